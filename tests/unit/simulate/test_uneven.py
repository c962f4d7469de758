import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.analysis.recovery import recover
from b2b_sem.errors import SpecError
from b2b_sem.simulate.respond import simulate

ROWS = 300_000


@pytest.fixture
def write(small_population):
    def population(sections, *, covariate=False):
        path = ", B ~ sector: 0.3" if covariate else ""
        return small_population(
            f"values: {{loadings: {{default: 0.8}}, paths: {{B ~ A: 0.5{path}}}}}\n{sections}",
            high=5,
            model="covariates: {sector: [B]}" if covariate else "",
        )

    return population


def responses(data):
    """Return the continuous responses, standardized, as scored."""
    frame = data.frame[list(data.population.items)].astype(float)
    frame["a3"] = 6 - frame["a3"]
    return frame - 3


def skew(x):
    return (((x - x.mean()) / x.std()) ** 3).mean()


def kurtosis(x):
    return (((x - x.mean()) / x.std()) ** 4).mean() - 3


@pytest.mark.parametrize("method", ["vale-maurelli", "independent"])
def test_items_have_the_asked_moments_and_the_covariances_of_the_model(write, method):
    path = write(
        f"response: {{type: continuous, sd: 1}}\n"
        f"distribution: {{items: {{method: {method}, skew: 1, kurtosis: 2.5, "
        "scales: {B: {skew: -0.5, kurtosis: 1}}, items: {a3: {kurtosis: 1}}}}"
    )
    data = simulate(path, n=ROWS, seed=5)
    got = responses(data)
    np.testing.assert_allclose(np.cov(got.to_numpy(), rowvar=False), data.population.item_cov(), atol=0.012)
    want = {"a1": (1, 2.5), "a2": (1, 2.5), "a3": (0, 1), "b1": (-0.5, 1), "b2": (-0.5, 1), "b3": (-0.5, 1)}
    for item, (third, fourth) in want.items():
        assert got[item].mean() == pytest.approx(0, abs=0.01)
        assert skew(got[item]) == pytest.approx(third, abs=0.05)
        assert kurtosis(got[item]) == pytest.approx(fourth, abs=0.25)
    np.testing.assert_allclose(data.truth["expected"], data.truth["value"], rtol=1e-12)
    assert any("asked skew and kurtosis" in note for note in data.notes)


def test_skewed_latents_pass_their_moments_on(write):
    path = write("response: {type: continuous, sd: 1}\ndistribution: {latents: {A: {skew: 1.5, kurtosis: 4}}}")
    data = simulate(path, n=ROWS, seed=5)
    got = responses(data)
    np.testing.assert_allclose(np.cov(got.to_numpy(), rowvar=False), data.population.item_cov(), atol=0.012)
    # cumulants of a sum of independent parts add up
    for item in ("a1", "a2", "a3"):
        assert skew(got[item]) == pytest.approx(0.8**3 * 1.5, abs=0.04)
        assert kurtosis(got[item]) == pytest.approx(0.8**4 * 4, abs=0.3)
    assert skew(got["b1"]) == pytest.approx((0.8 * 0.5) ** 3 * 1.5, abs=0.03)


def test_answers_have_the_asked_shares(write):
    path = write("response: {shares: [0.05, 0.1, 0.2, 0.4, 0.25], items: {b1: {shares: [0.5, 0.2, 0.1, 0.1, 0.1]}}}")
    frame = simulate(path, n=ROWS, seed=5).frame
    general = [0.05, 0.1, 0.2, 0.4, 0.25]
    for item, want in (("a1", general), ("a3", general[::-1]), ("b2", general), ("b1", [0.5, 0.2, 0.1, 0.1, 0.1])):
        shares = frame[item].value_counts(normalize=True).sort_index()
        np.testing.assert_allclose(shares, want, atol=0.005)


def test_no_loading_is_expected_of_cut_responses_that_are_not_normal(write):
    data = simulate(write("distribution: {latents: {B: {skew: 1, kurtosis: 2}}}"), n=50)
    truth = data.truth.set_index(["lhs", "op", "rhs"])["expected"]
    assert np.isnan(truth["B", "=~", "b1"])
    assert truth["A", "=~", "a1"] == pytest.approx(0.8, abs=0.06)
    assert truth["B", "~", "A"] == 0.5
    assert any("no loadings are expected" in note for note in data.notes)


@pytest.mark.parametrize("ordered", [None, ["a1", "a2", "a3", "b1", "b2", "b3"]])
def test_a_study_says_nothing_about_what_is_not_expected(write, ordered):
    data = simulate(write("distribution: {latents: {B: {skew: 1, kurtosis: 2}}}"), n=400)
    model = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nB ~ A"
    fit = bs.fit(model, data.frame, engine="native", ordered=ordered)
    found = recover(data.truth, fit)
    assert {(a, b) for a, op, b in zip(found["lhs"], found["op"], found["rhs"], strict=True) if op == "=~"} == {
        ("A", "a1"), ("A", "a2"), ("A", "a3"),
    }  # fmt: skip
    assert ((found["lhs"] == "B") & (found["op"] == "~")).any()
    assert found["truth"].notna().all()


def test_normal_moments_leave_the_answers_as_they_are(write):
    plain = simulate(write(""), n=200).frame
    same = simulate(write("distribution: {latents: {A: {skew: 0, kurtosis: 0}}}"), n=200).frame
    other = simulate(write("distribution: {latents: {A: {skew: 1, kurtosis: 2}}}"), n=200).frame
    assert plain.equals(same)
    assert not plain.equals(other)


@pytest.mark.parametrize("method", ["vale-maurelli", "independent"])
def test_the_first_rows_do_not_depend_on_how_many_follow(write, method):
    # the second asks for so little kurtosis that independent parts are beta variables
    path = write(f"distribution: {{items: {{method: {method}, skew: 1, kurtosis: 0.8}}}}")
    few, many = simulate(path, n=7, seed=7).frame, simulate(path, n=300, seed=7).frame
    assert few.equals(many.head(7))


def test_each_level_has_the_asked_moments(write):
    groups = "groups: {split: sector, reference: 0, levels: {1: {means: {A: 1}, loadings: {a1: 0.5}}}}"
    facts = "facts: {sector: {shares: {0: 0.5, 1: 0.5}}}"
    path = write(
        f"response: {{type: continuous, sd: 1}}\ndistribution: {{items: {{skew: 1, kurtosis: 2}}}}\n{groups}\n{facts}"
    )
    data = simulate(path, n=ROWS, seed=5)
    got = responses(data)
    for code, pop in ((0, data.population), (1, next(iter(data.levels[n] for n in list(data.levels)[1:])))):
        own = got[data.frame["sector"] == code]
        np.testing.assert_allclose(np.cov(own.to_numpy(), rowvar=False), pop.item_cov(), atol=0.02)
        assert skew(own["a1"]) == pytest.approx(1, abs=0.06)
        assert own["a2"].mean() == pytest.approx(0.8 * code, abs=0.02)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ("distribution: {latents: {A: {skew: 2, kurtosis: 1}}}", "no variable has skew 2 and excess kurtosis 1"),
        ("distribution: {latents: {A: {skew: 2, kurtosis: 4}}}", "A: no cubic polynomial of a normal variable"),
        ("distribution: {items: {skew: 2, kurtosis: 4}}", "a1: no cubic polynomial of a normal variable"),
        (
            "distribution: {items: {method: independent, skew: 3, kurtosis: 7.5}}",
            "too much skew for so little kurtosis",
        ),
        ("distribution: {latents: {C: {skew: 1}}}", "there is no latent 'C'"),
        ("distribution: {items: {items: {c1: {skew: 1}}}}", "there is no item 'c1'"),
        ("distribution: {items: {skew: 1}, latents: {A: {skew: 1}}}", "give one of the two"),
        ("response: {shares: [0.2, 0.2, 0.2, 0.2, 0.1]}", "the shares sum to 0.9, not to 1"),
        ("response: {shares: [0.5, 0.5]}", "2 shares, but a1 has 5 answers"),
        ("response: {mean: 3, shares: [0.2, 0.2, 0.2, 0.2, 0.2]}", "shares already say everything"),
        ("response: {type: continuous, shares: [0.2, 0.2, 0.2, 0.2, 0.2]}", "continuous answers have no shares"),
        (
            "response: {shares: [0.2, 0.2, 0.2, 0.2, 0.2]}\ndistribution: {latents: {A: {skew: 1, kurtosis: 2}}}",
            "shares of the answers to 'a1' cannot be asked for: its response is not normal",
        ),
    ],
)
def test_what_cannot_be_is_refused(write, refuses, sections, message):
    refuses(write(sections), message)


def test_moments_of_items_and_shares_do_not_go_with_predictors_with_categories(write):
    facts = "facts: {sector: {shares: {0: 0.5, 1: 0.5}}}"
    with pytest.raises(SpecError, match="cannot depend on the fact 'sector'"):
        simulate(write(f"distribution: {{items: {{skew: 1, kurtosis: 2}}}}\n{facts}", covariate=True))
    with pytest.raises(
        SpecError, match=r"shares of the answers to 'b1' cannot be asked for.*predictors with categories"
    ):
        simulate(write(f"response: {{shares: [0.2, 0.2, 0.2, 0.2, 0.2]}}\n{facts}", covariate=True))
