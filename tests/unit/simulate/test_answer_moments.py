"""Moments of answers without drawing any: against large samples of the same population."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

import b2b_sem as bs
from b2b_sem.analysis.power_population import GroupPopulation
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.measures.power import chisq_power
from b2b_sem.simulate.answer_moments import answer_population, ordinal_population, text_answers
from b2b_sem.simulate.respond import make_plan
from b2b_sem.spec.loader import load_population

SURVEY = """\
kind: survey
schema_version: 1
id: tiny
title: Tiny survey
format: {low: 1, high: 5}
scales:
  A: {name: first, items: {a1: one, a2: two, a3: {text: three, reverse: true}}}
  B: {name: second, items: {b1: one, b2: two, b3: three}}
facts:
  side: {label: side, type: categorical, categories: {1: left, 2: right, 3: middle}}
  staff: {label: staff, type: number, minimum: 1, maximum: 60}
  score: {label: score, type: number, maximum: 1.5}
  rank: {label: rank, type: categorical, categories: {0: low, 1: high}}
"""
MODEL = """\
kind: model
schema_version: 1
id: tiny
title: Tiny model
survey: ./survey.yaml
measurement: {A: {scale: A}, B: {scale: B}}
structural: B ~ A
covariates: {%s}
"""
SIMULATION = """\
kind: simulation
schema_version: 1
id: tiny
title: Tiny population
model: ./model.yaml
values:
  loadings: {default: 0.75, items: {b3: 0.5}}
  paths: {B ~ A: 0.4%s}
response: {mean: 3.4, sd: 1.1, items: {b1: {thresholds: [-2, -1, 0.1, 0.2]}}%s}
facts:
  side: {shares: {1: 0.5, 2: 0.3, 3: 0.2}}
  staff: {mean: 20, sd: 15}
  score: {mean: 0, sd: 1}
  rank: {shares: {0: 0.8, 1: 0.2}}
%s
n: 300
seed: 3
"""
GROUPS = """\
groups:
  split: side
  reference: 1
  levels:
    2: {means: {A: 0.8}, paths: {B ~ A: -0.1}, loadings: {a2: 0.4}, intercepts: {b2: -0.6}}
"""
N = 150_000


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write_files(sections: str = "", response: str = "", covariates: str = "", paths: str = "") -> Path:
        (tmp_path / "survey.yaml").write_text(SURVEY, encoding="utf-8")
        (tmp_path / "model.yaml").write_text(MODEL % covariates, encoding="utf-8")
        (tmp_path / "sim.yaml").write_text(SIMULATION % (paths, response, sections), encoding="utf-8")
        return tmp_path / "sim.yaml"

    return write_files


def population(path: Path, group: str | None = None) -> GroupPopulation:
    return answer_population(make_plan(bs.load_simulation(path)), group)


def agrees(found: GroupPopulation, k: int, frame: pd.DataFrame) -> None:
    """Moments lie within 5 standard errors of those of the sample, standard errors by its fourth moments."""
    part = found.parts[k]
    data = frame.assign(a3=6 - frame["a3"])[list(part.names)].to_numpy(dtype=float)
    n = len(data)
    centred = data - data.mean(axis=0)
    assert np.abs((part.mean - data.mean(axis=0)) / (centred.std(axis=0) / np.sqrt(n))).max() < 5
    cov = centred.T @ centred / n
    error = np.sqrt(((centred**2).T @ (centred**2) / n - cov**2) / n)
    assert np.abs((part.cov - cov) / error).max() < 5
    # such a difference would be seen
    assert np.abs((1.03 * part.cov - cov) / error).max() > 5


def test_levels_with_their_own_loadings_intercepts_means_and_paths(write) -> None:  # type: ignore[no-untyped-def]
    path = write(GROUPS)
    frame = bs.simulate(path, n=N, seed=8).frame
    found = population(path, "side")
    assert found.labels == ("left", "right", "middle")
    assert found.shares == pytest.approx((0.5, 0.3, 0.2))
    for k in range(3):
        agrees(found, k, frame[frame["side"] == k + 1])
    assert found.parts[0].cov == pytest.approx(found.parts[2].cov)  # who is not named is as the reference
    whole = population(path)
    agrees(whole, 0, frame)
    assert any("analysed together" in note for note in whole.notes)
    assert not whole.changeable


def test_facts_that_predict(write) -> None:  # type: ignore[no-untyped-def]
    names = "staff: [B], score: [A], rank: [B]"
    path = write(covariates=names, paths=", B ~ staff: 0.3, A ~ score: -0.4, B ~ rank: 0.5")
    found = population(path)
    assert found.parts[0].names == ("a1", "a2", "a3", "b1", "b2", "b3", "staff", "score", "rank")
    agrees(found, 0, bs.simulate(path, n=N, seed=2).frame)


def test_continuous_answers(write) -> None:  # type: ignore[no-untyped-def]
    path = write(response=", type: continuous", covariates="rank: [A]", paths=", A ~ rank: 0.4")
    text = path.read_text(encoding="utf-8").replace(", items: {b1: {thresholds: [-2, -1, 0.1, 0.2]}}", "")
    path.write_text(text, encoding="utf-8")
    agrees(population(path), 0, bs.simulate(path, n=N, seed=2).frame)


def test_reasons_for_missing_answers(write) -> None:  # type: ignore[no-untyped-def]
    path = write(
        "missing:\n  mechanisms:\n    - {items: [B], rate: 0.1}\n    - {items: [a1, a2], rate: 0.2, together: true}\n"
        "  planned: {sets: {P: [a3], Q: [b1], R: [b2]}, leave_out: 1}\n",
        ", missing_rate: 0.05",
    )
    found = population(path)
    items = ["a1", "a2", "a3", "b1", "b2", "b3"]
    seen = bs.simulate(path, n=40_000, seed=4).frame[items].notna()
    holes = found.holes[0]
    # 5 standard errors of shares
    assert holes.complete(items) == pytest.approx(seen.all(axis=1).mean(), abs=0.012)
    assert holes.complete(["a1", "a2"]) == pytest.approx(0.8 * 0.95**2)
    assert holes.complete(["b1", "b2"]) == pytest.approx(0.9**2 * 0.95**2 / 3)
    patterns = holes.patterns(items)
    together = (patterns.seen.T * patterns.shares) @ patterns.seen
    values = seen.to_numpy(dtype=float)
    assert together == pytest.approx(values.T @ values / len(values), abs=0.015)
    assert not holes.touches(["staff"])


@pytest.mark.parametrize(
    ("sections", "response", "what"),
    [
        ("clusters: {name: firm, size: 5, icc: 0.1}", "", "clusters"),
        ("distribution: {latents: {A: {skew: 1, kurtosis: 2}}}", "", "not normal"),
        ("missing: {mechanisms: [{items: [b1], rate: 0.1, on_itself: 1}]}", "", "missing for a reason"),
        ("missing: {mechanisms: [{items: [b1], rate: 0.1, depends_on: {a1: 1}}]}", "", "missing for a reason"),
        ("", ", careless_share: 0.1", "at random"),
        ("", ", straight: {share: 0.1}", "repeat one answer"),
    ],
)
def test_what_moments_do_not_describe_is_refused(write, sections: str, response: str, what: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Unsupported, match=what) as caught:
        population(write(sections, response))
    assert "replications" in str(caught.value)


def test_other_groups_than_those_of_the_file_are_refused(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="no groups differ"):
        population(write(), "side")
    with pytest.raises(DataError, match="not what differs"):
        population(write(GROUPS), "rank")


def test_paths_of_one_group_change_alone(write) -> None:  # type: ignore[no-untyped-def]
    found = population(write(GROUPS), "side")
    for group in range(3):
        changed = found.with_paths({("B", "A", group): 0.25}, "variance")
        assert changed is not None
        values = [changed.value("B", "~", "A", g) for g in range(3)]
        assert values == pytest.approx([0.25 if g == group else before for g, before in enumerate((0.4, -0.1, 0.4))])
        for g in range(3):  # nothing else does
            same = np.allclose(changed.parts[g].cov, found.parts[g].cov, atol=1e-12)
            assert same == (g != group)
    assert found.with_paths({("B", "A", 0): 1.2}, "variance") is None


# ---- answers as categories -------------------------------------------------------------------------------------------


def test_ordinal_items_have_the_values_of_the_population_and_the_spread_of_samples(write) -> None:  # type: ignore[no-untyped-def]
    path = write()
    found = bs.power(path, nobs=250, ordered=True, restrictions=())
    (row,) = found.table.to_dict("records")
    assert (row["test"], row["method"]) == ("B~A", "wald")
    # nothing is lost to rounding, and nothing to chance: the statistics are exact
    assert row["std_all"] == pytest.approx(0.4, abs=1e-6)
    frame = bs.simulate(path, n=6000, seed=77).frame
    fit = bs.fit("A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nB ~ A", frame.assign(a3=6 - frame["a3"]), ordered=True)
    own = fit.parameters.set_index(["lhs", "op", "rhs"]).loc[("B", "~", "A")]
    spread = row["value"] / np.sqrt(row["per_row"])
    # both samples leave standard errors uncertain by about 2 %
    assert spread == pytest.approx(own["se"] * np.sqrt(6000), rel=0.06)
    assert row["power"] == pytest.approx(float(chisq_power(250 * row["per_row"], 1)))
    assert found.curve([250])["power"].iloc[0] == row["power"]


def test_restrictions_of_ordinal_items_are_wald_tests(write) -> None:  # type: ignore[no-untyped-def]
    model = "A =~ a1 + a2 + a3\nB =~ b1 + b*b2 + c*b3\nB ~ p*A"
    found = bs.power(write(), model, nobs=250, ordered=True, restrictions=["p == 0", "b == c; p == 0"]).table
    rows = found.set_index("test")
    assert rows.loc["p == 0", "per_row"] == pytest.approx(rows.loc["B~A", "per_row"])
    assert rows.loc["b == c; p == 0", "df"] == 2
    assert rows.loc["b == c; p == 0", "per_row"] > rows.loc["p == 0", "per_row"]
    with pytest.raises(bs.ModelError, match="twice the same"):
        bs.power(write(), model, nobs=250, ordered=True, restrictions=["b == c; c == b"])


@pytest.mark.parametrize(
    ("sections", "response", "covariates", "options", "what"),
    [
        (GROUPS, "", "", {}, "groups that differ"),
        (GROUPS, "", "", {"group": "side"}, "groups of ordinal items"),
        ("", ", missing_rate: 0.1", "", {}, "missing answers"),
        ("", "", "staff: [B]", {}, "facts that predict"),
        ("", "", "", {"detectable": True}, "smallest detectable"),
        ("", "", "", {"missing": "fiml"}, "missing='fiml'"),
        ("", ", scales: {A: {thresholds: [-2, 0, 2, 9]}}", "", {}, "hardly anybody"),
    ],
)
def test_what_ordinal_items_do_not_have(write, sections, response, covariates, options, what) -> None:  # type: ignore[no-untyped-def]
    path = write(sections, response, covariates, ", B ~ staff: 0.1" if covariates else "")
    with pytest.raises(Unsupported, match=what):
        bs.power(path, nobs=250, ordered=True, **options)


# ---- raw values, and thresholds of a level ---------------------------------------------------------------------------

RAW = """
standardized: false
values:
  loadings: {default: 1, items: {a2: 0.8, b2: 0.7}}
  paths: {B ~ A: 0.6%s}
  variances: {A: 0.8}
  residual_variances: {B: 0.5, default: 0.4, a1: 0.6}
  means: {A: 0.5}
  intercepts: {default: 3.5, b1: 2.5}
"""


@pytest.mark.parametrize("kind", ["ordinal", "continuous"])
def test_raw_values_with_facts(small_population, kind: str) -> None:  # type: ignore[no-untyped-def]
    facts = {
        "rank": "{label: rank, type: categorical, categories: {0: low, 1: high}}",
        "staff": "{label: staff, type: number, minimum: 1}",
    }
    drawn = "facts: {rank: {shares: {0: 0.7, 1: 0.3}}, staff: {mean: 12, sd: 6}}\n"
    path = small_population(
        RAW % ", B ~ rank: 0.8, A ~ staff: 0.05" + f"response: {{type: {kind}}}\n" + drawn,
        facts=facts,
        model="covariates: {rank: [B], staff: [A]}",
        high=5,
    )
    found = population(path)
    agrees(found, 0, bs.simulate(path, n=N, seed=2).frame)
    assert not found.changeable
    with pytest.raises(Unsupported, match="paths can change"):
        bs.power(path, detectable=True)


def test_raw_values_as_categories(small_population) -> None:  # type: ignore[no-untyped-def]
    path = small_population(RAW % "" + "response: {type: ordinal}\n", high=5)
    ordinal = ordinal_population(make_plan(bs.load_simulation(path))).ordinal
    assert ordinal is not None
    assert np.diag(ordinal.cor) == pytest.approx(1)
    for item in ordinal.names:
        shares = ordinal.rows[item].value_counts(normalize=True).sort_index().to_numpy()
        expected = np.diff([0, *special.ndtr(ordinal.thresholds[item]), 1])
        # 5 standard errors of 20,000 respondents
        assert shares == pytest.approx(expected, abs=0.018)


def test_thresholds_of_a_level(small_population) -> None:  # type: ignore[no-untyped-def]
    groups = "groups: {split: sector, reference: 0, levels: {1: {thresholds: {a1: [-1, -0.5, 0.5, 1.6]}}}}\n"
    path = small_population(
        "values: {loadings: {default: 0.8}, paths: {B ~ A: 0.5}}\nresponse: {mean: 3, sd: 1}\n"
        "facts: {sector: {shares: {0: 0.5, 1: 0.5}}}\n" + groups,
        high=5,
    )
    frame = bs.simulate(path, n=N, seed=2).frame
    found = population(path, "sector")
    for k in (0, 1):
        agrees(found, k, frame[frame["sector"] == k])


def test_products_of_a_level_are_refused(small_population) -> None:  # type: ignore[no-untyped-def]
    scales = {
        "A": "{name: first, items: {a1: one, a2: two, a3: {text: three, reverse: true}}}",
        "B": "{name: second, items: {b1: one, b2: two, b3: three}}",
        "C": "{name: third, items: {c1: one, c2: two, c3: three}}",
    }
    path = small_population(
        "values: {loadings: {default: 0.8}, paths: {B ~ A: 0.5, B ~ C: 0.2}, interactions: {B ~ A:C: 0}}\n"
        "response: {type: continuous}\nfacts: {sector: {shares: {0: 0.5, 1: 0.5}}}\n"
        "groups: {split: sector, reference: 0, levels: {1: {interactions: {B ~ A:C: 0.2}}}}\n",
        scales=scales,
        structural="B ~ A + C + A:C",
    )
    with pytest.raises(Unsupported, match="products"):
        population(path, "sector")


# ---- lavaan text in a file -------------------------------------------------------------------------------------------

TEXT = """\
kind: simulation
schema_version: 1
id: plain
title: A population of lavaan text
text: |
  F =~ 1*x1 + .8*x2 + .7*x3
  y ~ .4*F + .5*1
  y ~~ .8*y
  x1 ~~ .5*x1
  x2 ~~ .6*x2
  x3 ~~ .5*x3
%s
n: 300
"""


def test_text_that_is_cut_into_answers(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(TEXT % "thresholds: {x1: [-1, 0.2, 1.5]}\nshares: {y: [0.1, 0.2, 0.7]}", encoding="utf-8")
    found = text_answers(load_population(path))
    data = bs.simulate(path, n=N, seed=3).frame[list(found.parts[0].names)].to_numpy(dtype=float)
    cov = np.cov(data, rowvar=False)
    error = 5 * np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / N)
    assert (np.abs(found.parts[0].cov - cov) < error).all()
    assert found.parts[0].mean == pytest.approx(data.mean(axis=0), abs=0.015)
    assert not found.changeable


def test_text_in_a_file_is_the_text(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(TEXT % "missing_rate: 0.1", encoding="utf-8")
    found = bs.power(path, detectable=True, missing="fiml")
    lines = TEXT[TEXT.index("  F =~") : TEXT.index("%s")]
    expected = bs.power(lines, "F =~ x1 + x2 + x3\ny ~ F", nobs=300, missing_rate=0.1, missing="fiml", detectable=True)
    assert found.nobs == 300
    columns = ["power", "rows_needed", "detectable"]
    assert found.table[columns].to_numpy() == pytest.approx(expected.table[columns].to_numpy(), nan_ok=True)
    path.write_text(TEXT % "skew: {x1: 1}\nkurtosis: 2", encoding="utf-8")
    with pytest.raises(Unsupported, match="not normal"):
        bs.power(path)
