"""Respondents of populations whose levels differ."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import SpecError
from b2b_sem.simulate.population import make_population
from b2b_sem.simulate.respond import SimulatedData, simulate
from b2b_sem.spec.loader import load_simulation

SURVEY = """\
kind: survey
schema_version: 1
id: small
title: Small survey
format: {low: 1, high: 7}
scales:
  X: {name: x, items: {x1: one, x2: two, x3: {text: three, reverse: true}}}
  Y:
    name: y
    facets: {f: first, s: second}
    items:
      y1: {text: one, facet: f}
      y2: {text: two, facet: f}
      y3: {text: three, facet: s}
      y4: {text: four, facet: s}
facts:
  area: {label: area, type: categorical, categories: {1: north, 2: south, 3: east, 4: west}}
  size: {label: size, type: number, minimum: 1}
  town: {label: town, type: text}
  rank: {label: rank, type: categorical, categories: {0: low, 1: high}}
groups:
  side: {fact: area, label: side, levels: {upper: [1], lower: [2, 3]}}
"""
MODEL = """\
kind: model
schema_version: 1
id: small
title: Small model
survey: ./survey.yaml
measurement: {X: {scale: X}, Y: {scale: Y%s}}
structural: Y ~ X
%s
"""
SIMULATION = """\
kind: simulation
schema_version: 1
id: small
title: Small population
model: ./model.yaml
values:
  loadings: {default: 0.8, items: {y4: 0.6}}
  paths: {Y ~ X: 0.5%s}
%s
response: {%s}
facts:
  area: {shares: {1: 0.4, 2: 0.25, 3: 0.15, 4: 0.2}}
  town: {shares: {Porto: 0.5, Braga: 0.3, Faro: 0.2}}
  rank: {shares: {0: 0.5, 1: 0.5}}
n: 40
seed: 3
"""
GROUPS = """\
groups:
  split: side
  reference: upper
  levels:
    lower: {%s}
"""


@pytest.fixture
def draw(tmp_path: Path):  # type: ignore[no-untyped-def]
    def draw_them(
        level: str = "means: {Y: -0.4}",
        n: int = 2000,
        *,
        groups: str | None = None,
        facets: bool = False,
        covariate: tuple[str, str] = ("", ""),
        response: str = "type: continuous",
    ) -> SimulatedData:
        (tmp_path / "survey.yaml").write_text(SURVEY, encoding="utf-8")
        model = MODEL % (", second_order: facets" if facets else "", covariate[0])
        (tmp_path / "model.yaml").write_text(model, encoding="utf-8")
        section = GROUPS % level if groups is None else groups
        (tmp_path / "sim.yaml").write_text(SIMULATION % (covariate[1], section, response), encoding="utf-8")
        return simulate(tmp_path / "sim.yaml", n=n, seed=5)

    return draw_them


def answers(data: SimulatedData) -> pd.DataFrame:
    """Return the answers as scored."""
    frame = data.frame[list(data.population.items)].astype(float)
    frame["x3"] = 8 - frame["x3"]
    return frame


def test_answers_of_populations_without_groups_never_change() -> None:
    # Written down before there were groups: published seeds must go on giving the published data.
    frame = simulate("lima2026", n=60, seed=20260517).frame
    text = frame.to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "6efd473562f32bc06519f019626c41589def9c6c8a4a2d4a42c6386de56fa028"
    )


def test_levels_that_do_not_differ_answer_as_without_groups(draw) -> None:  # type: ignore[no-untyped-def]
    plain = draw(groups="", response="mean: 4.5, sd: 1.4, missing_rate: 0.1, careless_share: 0.05")
    same = draw("paths: {Y ~ X: 0.5}", response="mean: 4.5, sd: 1.4, missing_rate: 0.1, careless_share: 0.05")
    pd.testing.assert_frame_equal(plain.frame, same.frame)
    assert plain.levels == {}
    assert plain.pooled is None
    assert list(plain.truth) == ["lhs", "op", "rhs", "value", "expected"]


def test_who_is_not_in_the_level_answers_as_without_groups(draw) -> None:  # type: ignore[no-untyped-def]
    plain = draw(groups="").frame
    moved = draw("means: {Y: -0.4}, paths: {Y ~ X: 0.1}, loadings: {x1: 0.5}, intercepts: {y1: 1}").frame
    lower = plain["area"].isin([2, 3])
    assert lower.mean() == pytest.approx(0.4, abs=0.04)
    pd.testing.assert_frame_equal(plain[~lower], moved[~lower])
    changed = [c for c in ("x1", "x2", "y1", "y2", "y3", "y4") if not plain.loc[lower, c].equals(moved.loc[lower, c])]
    assert changed == ["x1", "y1", "y2", "y3", "y4"]


def test_moments_of_a_level_are_those_of_its_population(draw) -> None:  # type: ignore[no-untyped-def]
    data = draw("means: {X: 0.3, Y: -0.4}, paths: {Y ~ X: 0.1}, loadings: {x1: 0.5}, intercepts: {y1: 1}", n=60_000)
    frame, pop = answers(data), data.levels["lower"]
    lower = data.frame["area"].isin([2, 3])
    items = list(pop.items)
    want = np.array([pop.response_mean(item) for item in items])
    np.testing.assert_allclose((frame.loc[lower, items].mean() - 4) / 1.5, want, atol=0.02)
    np.testing.assert_allclose(frame.loc[lower, items].cov() / 1.5**2, pop.item_cov(), atol=0.025)
    np.testing.assert_allclose(frame.loc[~lower, items].cov() / 1.5**2, data.population.item_cov(), atol=0.025)
    by_hand = {"x1": 0.5 * 0.3, "x2": 0.8 * 0.3, "y1": 1 - 0.8 * 0.4, "y4": -0.6 * 0.4}
    assert {item: pop.response_mean(item) for item in by_hand} == pytest.approx(by_hand)
    assert pop.response_sd["x1"] == pytest.approx(np.sqrt(0.25 + 0.36))
    assert pop.intercept("Y") == pytest.approx(-0.4 - 0.1 * 0.3)


def test_a_joint_fit_finds_the_truth_of_each_level(draw) -> None:  # type: ignore[no-untyped-def]
    data = draw(
        "means: {X: 0.3, Y: -0.4}, paths: {Y ~ X: 0.1}, loadings: {x1: 0.5}, intercepts: {y1: 0.5}",
        n=40_000,
        response="mean: 4, sd: 1.3",
    )
    frame = answers(data).assign(side=data.frame["area"].map({1: "upper", 2: "lower", 3: "lower"}))
    frame = frame.dropna().sort_values("side", ascending=False)
    fit = bs.fit(
        "X =~ x2 + x1 + x3\nY =~ y2 + y1 + y3 + y4\nY ~ X",
        frame,
        group="side",
        group_equal=["loadings", "intercepts"],
        group_partial=["X=~x1", "x1~1", "y1~1"],
    )
    found = fit.standardized().assign(group=lambda t: t["group"].map({1: "upper", 2: "lower"}))
    both = data.truth.merge(found, on=["lhs", "op", "rhs", "group"])
    both = both[both["op"].isin(["~", "=~", "~~"])]
    assert len(both) == 2 * (7 + 1 + 2 + 7)
    gap = both["est_std"] - both["expected"]
    assert gap.abs().max() < 0.02
    # the means of latents, in standard deviations of the upper level: total means, not intercepts
    ladder = bs.fit(
        "X =~ x2 + x1 + x3\nY =~ y2 + y1 + y3 + y4",
        frame,
        group="side",
        std_lv=True,
        group_equal=["loadings", "intercepts"],
        group_partial=["X=~x1", "x1~1", "y1~1"],
    ).parameters
    rows = ladder[(ladder["op"] == "~1") & (ladder["group"] == 2) & ladder["lhs"].isin(["X", "Y"])]
    assert dict(zip(rows["lhs"], rows["est"], strict=True)) == pytest.approx({"X": 0.3, "Y": -0.4}, abs=0.03)


def test_truth_by_level_and_what_is_left_of_it_for_all_together(draw) -> None:  # type: ignore[no-untyped-def]
    data = draw("means: {Y: -0.4}, intercepts: {x1: 0.2}")
    truth = data.truth.set_index(["lhs", "op", "rhs", "group"])["value"]
    assert list(data.truth) == ["lhs", "op", "rhs", "group", "value", "expected"]
    assert truth["Y", "mean", "", "lower"] == truth["Y", "~1", "", "lower"] == -0.4
    assert truth["Y", "mean", "", "upper"] == 0
    assert truth["x1", "~1", "", "lower"] == 0.2
    assert set(data.truth["group"]) == {"upper", "lower"}
    assert data.pooled is not None
    kept = set(zip(data.pooled["lhs"], data.pooled["op"], data.pooled["rhs"], strict=True))
    # the variance of Y is larger in all together, and so is that of x1
    assert {("X", "=~", "x2"), ("x2", "~~", "x2")} <= kept
    assert not kept & {("Y", "~", "X"), ("Y", "=~", "y1"), ("X", "=~", "x1")}
    assert any("'side' differ in the population: upper" in note for note in data.notes)


def test_facets_carry_the_mean_of_their_construct(draw) -> None:  # type: ignore[no-untyped-def]
    data = draw("means: {Y: -0.4}", facets=True)
    pop = data.levels["lower"]
    assert pop.means["Y_f"] == pytest.approx(-0.4 * 0.8)
    assert pop.response_mean("y1") == pytest.approx(-0.4 * 0.8 * 0.8)
    assert pop.intercept("Y_f") == pytest.approx(0)


def test_texts_and_facts_as_splits(draw) -> None:  # type: ignore[no-untyped-def]
    section = "groups: {split: %s, reference: %s, levels: {%s: {means: {X: 0.5}}}}"
    data = draw(groups=section % ("town", "Porto", "Braga"), n=20_000)
    assert list(data.levels) == ["Porto", "Braga", "Faro"]
    assert set(data.truth["group"]) == {"Porto", "Braga", "Faro"}
    means = answers(data).groupby(data.frame["town"])["x1"].mean()
    assert means["Braga"] - means["Porto"] == pytest.approx(1.5 * 0.8 * 0.5, abs=0.1)
    assert means["Faro"] == pytest.approx(means["Porto"], abs=0.1)
    data = draw(groups=section % ("area", "north", 2))
    assert list(data.levels) == ["north", "south", "east", "west"]
    assert data.levels["south"].means == {"X": 0.5}
    assert data.levels["west"] is data.population


def test_a_predictor_cannot_tell_the_groups_apart(draw) -> None:  # type: ignore[no-untyped-def]
    covariate = ("covariates: {rank: [Y]}", ", Y ~ rank: 0.2")
    section = "groups: {split: rank, reference: low, levels: {high: {means: {X: 0.5}}}}"
    with pytest.raises(SpecError, match="'rank' tells the groups apart and is a predictor in the model"):
        draw(groups=section, covariate=covariate)
    assert len(draw(covariate=covariate, n=50).frame) == 50


def test_a_level_that_is_not_there_is_not_passed_over() -> None:
    spec = load_simulation("lima2026_sectors")
    assert spec.groups is not None
    levels = {"regulatd": spec.groups.levels["regulated"]}
    made = spec.model_copy(update={"groups": spec.groups.model_copy(update={"levels": levels})})
    with pytest.raises(SpecError, match="'sector' has no level 'regulatd'"):
        simulate(made, n=5, seed=1)


def test_impossible_values_of_a_level_are_named(draw, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecError, match=r"paths into Y \(X 1.2\) explain 1.44 .* in the level 'lower'") as caught:
        draw("paths: {Y ~ X: 1.2}")
    lines = (tmp_path / "sim.yaml").read_text(encoding="utf-8").splitlines()
    assert caught.value.line == next(i for i, line in enumerate(lines, 1) if "1.2" in line)


def test_a_level_keeps_the_residuals_of_the_reference() -> None:
    shape = {"latents": ("X", "Y"), "paths": {}}
    first = make_population(loadings={("X", "a"): 0.6, ("Y", "a"): 0.5, ("Y", "b"): 0.8}, **shape)
    other = make_population(
        loadings={("X", "a"): 0.9, ("Y", "a"): 0.5, ("Y", "b"): 0.8},
        correlations={("X", "Y"): 0.9},
        reference=first,
        **shape,
    )
    assert other.residual_sd == first.residual_sd
    assert other.response_sd["a"] ** 2 == pytest.approx(0.81 + 0.25 + 2 * 0.9 * 0.5 * 0.9 + (1 - 0.61))
    assert other.r2["a"] == pytest.approx(1 - 0.39 / other.response_sd["a"] ** 2)


def test_bundled_sectors_hold_what_they_say() -> None:
    data = simulate("lima2026_sectors", n=4000, seed=2)
    truth = data.truth.set_index(["lhs", "op", "rhs", "group"])["value"]
    assert truth["AU", "mean", "", "regulated"] < 0 < truth["LG", "mean", "", "regulated"]
    assert truth["AU", "~1", "", "regulated"] == pytest.approx(-0.45 + 0.25 * 0.30)
    differ = [
        (a, b)
        for (a, op, b, group), v in truth.items()
        if op == "~" and group == "regulated" and v != truth[a, op, b, "non_regulated"]
    ]
    assert differ == [("PC", "RE"), ("BT", "PC")]
    regulated = data.frame["sector"].isin([1, 2, 3])
    assert regulated.mean() == pytest.approx(0.5, abs=0.03)
    shift = data.frame[regulated].mean(numeric_only=True) - data.frame[~regulated].mean(numeric_only=True)
    assert shift["au1"] == pytest.approx(-0.45 * 0.78 * 1.35, abs=0.12)
    assert shift["lg1"] == pytest.approx(0.40 * 0.76 * 1.35, abs=0.12)
    assert abs(shift["pc1"]) < 0.12
