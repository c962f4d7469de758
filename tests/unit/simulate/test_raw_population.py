"""Populations in the metric of the answers."""

import re

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.analysis.montecarlo import population as text_population
from b2b_sem.errors import SpecError
from b2b_sem.simulate.respond import simulate

SCALES = {
    "A": "{name: first, items: {a1: one, a2: two, a3: {text: three, reverse: true}}}",
    "B": "{name: second, items: {b1: one, b2: two, b3: three}}",
    "C": "{name: third, items: {c1: one, c2: two, c3: three}}",
}
FACTS = {
    "sector": "{label: sector, type: categorical, categories: {0: free, 1: regulated}}",
    "size": "{label: size, type: number}",
}
VALUES = """
standardized: false
values:
  loadings: {default: 1, items: {a2: 0.8, a3: 1.3, b2: 0.7, c3: -0.5}}
  paths: {B ~ A: 0.6, C ~ A: 0.3, C ~ B: -0.4%s}
  variances: {A: 0.8, C: 1.5}
  residual_variances: {B: 0.5, default: 0.4, a1: 0.6}
  residual_covariances: {a1 ~~ b1: 0.2}
  means: {A: 0.5}
  intercepts: {default: 3.5, b1: 2.5, C: 0.3}
"""
CONTINUOUS = "response: {type: continuous}\n"
#: The same for lavaan, with what the file leaves to be solved worked out by hand.
TEXT = """
A =~ 1*a1 + .8*a2 + 1.3*a3
B =~ 1*b1 + .7*b2 + 1*b3
C =~ 1*c1 + 1*c2 + -.5*c3
B ~ .6*A
C ~ .3*A + -.4*B
A ~~ .8*A
B ~~ .5*B
# var B = .36 * .8 + .5 = .788, cov(A, B) = .48: explained .09 * .8 + .16 * .788 - 2 * .12 * .48 = .08288
C ~~ 1.41712*C
a1 ~~ .6*a1 + .2*b1
a2 ~~ .4*a2
a3 ~~ .4*a3
b1 ~~ .4*b1
b2 ~~ .4*b2
b3 ~~ .4*b3
c1 ~~ .4*c1
c2 ~~ .4*c2
c3 ~~ .4*c3
A ~ .5*1
C ~ .3*1
b1 ~ 2.5*1
"""
TEXT += "".join(f"{i} ~ 3.5*1\n" for i in ("a1", "a2", "a3", "b2", "b3", "c1", "c2", "c3"))


@pytest.fixture
def write(small_population):
    def population(sections=CONTINUOUS, values=VALUES % "", covariate=False, structural="B ~ A; C ~ A + B", **more):
        return small_population(
            values + sections,
            scales=SCALES,
            facts=FACTS,
            structural=structural,
            model="covariates: {size: [B]}" if covariate else "",
            **more,
        )

    return population


def scored(data):
    frame = data.frame[list(data.population.items)].astype(float)
    frame["a3"] = 8 - frame["a3"]
    return frame


def means(pop):
    return np.array([pop.response_mean(item) for item in pop.items])


def test_moments_are_those_of_the_same_values_as_lavaan_text(write):
    pop, text = simulate(write(), n=2).population, text_population(TEXT)
    assert pop.items == text.names
    np.testing.assert_allclose(pop.item_cov(), text.cov, atol=1e-12)
    np.testing.assert_allclose(means(pop), text.mean, atol=1e-12)


def test_the_truth_holds_raw_and_standardized_values(write):
    data = simulate(write(), n=2)
    table = data.truth.set_index(["lhs", "op", "rhs"])
    for key, value in text_population(TEXT).values.items():
        if key in table.index:
            assert table.loc[key, "raw"] == pytest.approx(value, abs=1e-12)
    assert len(table) == 9 + 3 + 1 + 3 + 9 + 9 + 2
    # standardized: b sd(A) / sd(B); what is left of B; correlation of two residuals; mean over standard deviation
    assert table.loc[("B", "~", "A"), "value"] == pytest.approx(0.6 * (0.8 / 0.788) ** 0.5)
    assert table.loc[("B", "~~", "B"), "value"] == pytest.approx(0.5 / 0.788)
    assert table.loc[("a1", "~~", "b1"), "value"] == pytest.approx(0.2 / (0.6 * 0.4) ** 0.5)
    assert table.loc[("a3", "~1", ""), "value"] == pytest.approx(3.5 / (1.69 * 0.8 + 0.4) ** 0.5)
    assert table.loc[("C", "~1", ""), "value"] == pytest.approx(0.3 / 1.5**0.5)


def test_answers_have_these_moments_and_a_fit_finds_the_values(write):
    data = simulate(write(), n=50_000, seed=5)
    frame, pop = scored(data), data.population
    sd = np.sqrt(np.diag(pop.item_cov()))
    np.testing.assert_allclose(frame.mean(), means(pop), atol=4 * sd.max() / 50_000**0.5)
    cov = pop.item_cov()
    error = np.sqrt((np.outer(sd, sd) ** 2 + cov**2) / 50_000)
    assert (np.abs(frame.cov().to_numpy() - cov) / error).max() < 4.5
    model = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\nB ~ A\nC ~ A + B\na1 ~~ b1"
    found = bs.fit(model, frame, engine="native").parameters
    both = found.merge(data.truth, on=["lhs", "op", "rhs"], how="inner")
    both = both[both["se"] > 0]
    assert len(both) == 6 + 3 + 1 + 3 + 9
    assert ((both["est"] - both["raw"]).abs() / both["se"]).max() < 4


def test_the_scale_of_a_standardized_population_is_all_that_differs(write):
    """Values that only put a standardized population on another scale give the same answers."""
    sections = """
facts: {sector: {shares: {0: 0.5, 1: 0.5}}, size: {mean: 30, sd: 10}}
distribution: {latents: {A: {skew: 1, kurtosis: 1.5}}}
groups:
  split: sector
  reference: 0
  levels: {1: {means: {%s}, loadings: {b2: %s}, paths: {C ~ B: %s}, intercepts: {c1: %s}}}
"""
    plain = """
values:
  loadings: {default: 0.8}
  paths: {B ~ A: 0.5, B ~ size: 0.2, C ~ A: 0.3, C ~ B: -0.4}
  method: {share: 0.1, scales: {C: 0}}
response: {type: continuous, mean: 4, sd: 1.5}
"""
    # A has the standard deviation 2 and B 3; answers have 1.5
    raw = """
standardized: false
values:
  loadings: {default: 1.2, scales: {A: 0.6, B: 0.4}}
  paths: {B ~ A: 0.75, B ~ size: 0.06, C ~ A: 0.15, C ~ B: -0.133333333333333333}
  variances: {A: 4, B: 9, C: 1, default: 2.25}
  means: {B: 0, C: 0, default: 4}
  method: {share: 0.1, scales: {C: 0}}
response: {type: continuous}
"""
    one = simulate(write(sections % ("A: 0.5", 0.6, -0.1, 0.4), plain, covariate=True), n=400)
    two = simulate(write(sections % ("A: 1, B: 0, C: 0", 0.3, -0.1 / 3, 2.6 + 2), raw, covariate=True), n=400)
    assert set(one.levels) == set(two.levels) == {"free", "regulated"}
    # the intercept of c1 moves from 4 to 4.6
    two = simulate(write(sections % ("A: 1, B: 0, C: 0", 0.3, -0.1 / 3, 4.6), raw, covariate=True), n=400)
    np.testing.assert_allclose(one.frame.drop(columns="id"), two.frame.drop(columns="id"), atol=2e-6)
    both = one.truth.merge(two.truth, on=["lhs", "op", "rhs", "group"], suffixes=("", "_raw"))
    both = both[(both["op"] != "~1") & both["expected"].notna()]
    np.testing.assert_allclose(both["expected"], both["expected_raw"], atol=1e-12)
    assert len(both) > 60


def test_products_on_another_scale(write):
    sections = "response: {type: continuous%s}\n"
    plain = """
values:
  loadings: {default: 0.8}
  paths: {B ~ A: 0.5, C ~ A: 0.3, C ~ B: 0}
  interactions: {C ~ A:B: 0.2}
"""
    raw = """
standardized: false
values:
  loadings: {default: 1.2, scales: {A: 0.6, B: 0.4}}
  paths: {B ~ A: 0.75, C ~ A: 0.15, C ~ B: 0}
  variances: {A: 4, B: 9, C: 1, default: 2.25}
  interactions: {C ~ A:B: 0.033333333333333333}
"""
    structural = "B ~ A; C ~ A + B + A:B"
    one = simulate(write(sections % ", sd: 1.5", plain, structural=structural), n=400)
    two = simulate(write(sections % "", raw, structural=structural), n=400)
    np.testing.assert_allclose(one.frame, two.frame, atol=2e-6)
    key = ["lhs", "op", "rhs"]
    assert two.moderated is not None
    assert two.moderated.set_index(key).loc[("C", "~", "A:B"), "raw"] == pytest.approx(1 / 30)
    assert two.moderated.set_index(key).loc[("C", "~", "A:B"), "value"] == pytest.approx(0.2)
    pd_one, pd_two = one.truth.set_index(key)["value"], two.truth.set_index(key)["value"]
    np.testing.assert_allclose(pd_one, pd_two[pd_one.index], atol=1e-12)


def test_levels_have_raw_values_of_their_own(write):
    groups = """
groups:
  split: sector
  reference: 0
  levels:
    1:
      means: {A: 1}
      variances: {A: 1.2}
      paths: {B ~ A: 0.2}
      loadings: {c2: 0.6}
      intercepts: {c3: 4, B: -0.2}
      residual_variances: {b3: 0.9, C: 0.7}
facts: {sector: {shares: {0: 0.5, 1: 0.5}}}
"""
    data = simulate(write(CONTINUOUS + groups), n=100_000, seed=6)
    other = TEXT.replace("A ~~ .8*A", "A ~~ 1.2*A").replace("A ~ .5*1", "A ~ 1*1\nB ~ -.2*1")
    other = other.replace("B ~ .6*A", "B ~ .2*A").replace("1*c2 +", ".6*c2 +").replace("c3 ~ 3.5", "c3 ~ 4")
    other = other.replace("b3 ~~ .4", "b3 ~~ .9").replace("C ~~ 1.41712", "C ~~ .7")
    frame = scored(data)
    for level, code, text in (("free", 0, TEXT), ("regulated", 1, other)):
        pop, want = data.levels[level], text_population(text)
        np.testing.assert_allclose(pop.item_cov(), want.cov, atol=1e-12)
        np.testing.assert_allclose(means(pop), want.mean, atol=1e-12)
        own = frame[data.frame["sector"] == code]
        np.testing.assert_allclose(own.cov(), want.cov, atol=0.05)
        np.testing.assert_allclose(own.mean(), want.mean, atol=0.03)
        rows = data.truth[data.truth["group"] == level].set_index(["lhs", "op", "rhs"])["raw"]
        for key, value in want.values.items():
            if key in rows.index:
                assert rows[key] == pytest.approx(value, abs=1e-12)
    # in all respondents together only what does not depend on means and variances of latents holds
    assert data.pooled is not None
    pooled = data.pooled.set_index(["lhs", "op", "rhs"])["raw"].dropna()
    assert ("B", "~", "A") not in pooled.index
    assert pooled["A", "=~", "a2"] == 0.8


def test_whole_number_answers_are_cut_between_the_answers(write):
    ordinal, whole = simulate(write(""), n=3000).frame, simulate(write(), n=3000).frame
    np.testing.assert_array_equal(ordinal["b1"], np.clip(np.ceil(whole["b1"] - 0.5), 1, 7))
    cuts = (
        "response: {items: {b1: {thresholds: [1, 2, 3, 4, 5, 5.5]}, "
        "c1: {shares: [0.1, 0.2, 0.3, 0.2, 0.1, 0.05, 0.05]}}}"
    )
    frame = simulate(write(cuts), n=50_000).frame
    want = 1 + np.searchsorted([1, 2, 3, 4, 5, 5.5], simulate(write(), n=50_000).frame["b1"])
    np.testing.assert_array_equal(frame["b1"], want)
    shares = frame["c1"].value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.3, 0.2, 0.1, 0.05, 0.05], atol=0.008)


def test_a_fact_with_a_raw_path(write):
    facts = "facts: {size: {mean: 30, sd: 10}}\n"
    data = simulate(write(CONTINUOUS + facts, VALUES % ", B ~ size: 0.02", covariate=True), n=5_000, seed=2)
    # var B = .36 * .8 + .0004 * 100 + .5, mean B = .6 * .5 + .02 * 30
    assert data.population.latent_cov()[2, 2] == pytest.approx(0.828)
    assert data.population.means["B"] == pytest.approx(0.9)
    fit = bs.fit("B =~ b1 + b2 + b3\nA =~ a1 + a2 + a3\nB ~ A + size\na1 ~~ b1", data.frame.assign(**scored(data)))
    row = fit.parameters.query("lhs == 'B' and rhs == 'size'").iloc[0]
    assert abs(row["est"] - 0.02) < 4 * row["se"]


def test_reliabilities_give_residual_variances(write):
    values = """
standardized: false
values:
  loadings: {default: 1, items: {a2: 0.7}, reliability: {A: 0.85}}
  paths: {B ~ A: 0.6, C ~ A: 0.3, C ~ B: -0.4}
  variances: {A: 1.5, B: 2, C: 1.5}
  residual_variances: {default: 0.4}
"""
    pop = simulate(write(CONTINUOUS, values), n=2).population
    cov, at = pop.item_cov(), [pop.items.index(item) for item in ("a1", "a2", "a3")]
    assert 2.7**2 * 1.5 / cov[np.ix_(at, at)].sum() == pytest.approx(0.85)
    assert pop.residual_sd["b1"] ** 2 == pytest.approx(0.4)
    # means that are not named are the midpoints of the answers
    assert set(means(pop)) == {4.0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("residual_variances: {B: 0.5,", "residual_variances: {B: 0.5, C: 1,", "'C' stands under 'variances', too"),
        ("{default: 3.5,", "{default: 3.5, A: 1,", "'A' stands under 'means', too"),
        ("residual_variances: {B: 0.5,", "residual_variances: {", "no variance for B"),
        ("default: 0.4, a1: 0.6", "a1: 0.6", "no residual variance for a2, a3, b1, b2, b3 and 3 more"),
        ("variances: {A: 0.8,", "variances: {", "no variance for A"),
        ("variances: {A: 0.8, C: 1.5}\n  residual_variances: {", "variances: {C: 1.5}\n  residual_variances: {A: 1, ",
         "'A' has no residual"),
        ("variances: {A: 0.8,", "variances: {A: 0,", "'A' must be above 0"),
        ("variances: {A: 0.8, C: 1.5}", "variances: {A: 0.8, C: 0.05}", r"paths into C .* explain 1.66 times"),
        ("a1: 0.6", "a1: 0.6, x9: 1", "no variable 'x9'"),
        ("a1 ~~ b1: 0.2", "a1 ~~ b1: 0.6", "cannot have these correlations"),
        ("a1 ~~ b1: 0.2", "A ~~ B: 0.2", "'A' has no residual"),
        ("b1: 2.5", "b1: 12", "the mean of 'b1', 12.3, lies outside its answers"),
        ("intercepts:", "residual_correlations: {a1 ~~ b1: 0.1}\n  intercepts:",
         "stands under 'residual_correlations', too"),
        ("intercepts:", "covariances: {A ~~ B: 0.1}\n  intercepts:", "'B' is an outcome"),
        ("response: {}", "response: {mean: 4}", "follows from the intercepts and variances"),
        ("response: {}", "response: {scales: {A: {sd: 1}}}", "follows from the intercepts and variances"),
        ("loadings: {default: 1,", "loadings: {default: 1, reliability: {A: 0.8},", "the variance of a1 is given, too"),
        ("loadings: {default: 1,", "loadings: {scales: {B: 1, C: 1},", "no loading for a1 of A"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(write, refuses, old, new, message):
    text = VALUES % "" + "response: {}\n"
    assert old in text
    refuses(write("", text.replace(old, new, 1)), message)


def test_raw_values_that_are_not_said_to_be_raw(write):
    with pytest.raises(SpecError) as caught:
        simulate(write(CONTINUOUS, (VALUES % "").replace("standardized: false\n", "")))
    hints = [problem.hint for problem in caught.value.problems]
    assert "Write 'standardized: false' if values are in the metric of the answers." in hints


def test_a_level_that_cannot_be_is_refused(write, refuses):
    groups = """
groups: {split: sector, reference: 0, levels: {1: {%s}}}
facts: {sector: {shares: {0: 0.5, 1: 0.5}}}
"""
    for own, message in (
        ("variances: {B: 1}, residual_variances: {B: 1}", "'B' stands under 'variances', too"),
        ("residual_variances: {A: 1}", "'A' has no residual"),
        ("variances: {a1: 1}", "no latent 'a1'"),
        ("paths: {C ~ B: 3}", "in the level '1'"),
        ("covariances: {A ~~ B: 1}", "'B' is an outcome"),
    ):
        refuses(write(CONTINUOUS + groups % own), re.escape(message))


def test_covariances_of_exogenous_latents_and_of_disturbances(write):
    """A disturbance that correlates with one that stands behind a predictor."""
    values = """
standardized: false
values:
  loadings: {default: 1}
  paths: {C ~ A: 0.5, C ~ B: 0.4}
  variances: {A: 2, B: 1.5, %s}
  residual_variances: {%s default: 0.4}
  covariances: {A ~~ B: 0.7}
"""
    structural = "C ~ A + B"
    whole = simulate(write(CONTINUOUS, values % ("C: 3", ""), structural=structural), n=2).population
    # .25 * 2 + .16 * 1.5 + 2 * .5 * .4 * .7
    assert whole.disturbance_sd["C"] ** 2 == pytest.approx(3 - 1.02)
    assert whole.latent_cov()[0, 1] == pytest.approx(0.7)
    values = """
standardized: false
values:
  loadings: {default: 1}
  paths: {B ~ A: 0.6, C ~ B: 0.5}
  variances: {A: 1, B: 2%s}
  residual_variances: {%sdefault: 0.4}
  residual_covariances: {B ~~ C: -0.4}
"""
    structural = "B ~ A; C ~ B"
    for given in ((", C: 3", ""), ("", "C: 2.9, ")):
        pop = simulate(write(CONTINUOUS, values % given, structural=structural), n=2).population
        # var C = .25 * 2 + 2 * .5 * (-.4) + psi
        assert pop.disturbance_sd["C"] ** 2 == pytest.approx(2.9)
        assert pop.latent_cov()[2, 2] == pytest.approx(3.0)
        rows = {row[:3]: row[3] for row in pop.truth()}
        assert rows["B", "~~", "C"] == pytest.approx(-0.4)


@pytest.mark.parametrize("kind", ["continuous", "ordinal"])
def test_power_by_theory_does_not_depend_on_the_scale(write, kind):
    plain = "values:\n  loadings: {default: 0.8}\n  paths: {B ~ A: 0.3, C ~ A: 0.3, C ~ B: -0.2}\n"
    plain += f"response: {{type: {kind}, mean: 4, sd: 1.5}}\n"
    raw = """
standardized: false
values:
  loadings: {default: 1.2, scales: {A: 0.6, B: 0.4}}
  paths: {B ~ A: 0.45, C ~ A: 0.15, C ~ B: -0.066666666666666667}
  variances: {A: 4, B: 9, C: 1, default: 2.25}
"""
    raw += f"response: {{type: {kind}}}\n"
    tables = [bs.power(write(text, ""), nobs=150).table for text in (plain, raw)]
    np.testing.assert_allclose(*(table["power"] for table in tables), atol=1e-7)
