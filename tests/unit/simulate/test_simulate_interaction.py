"""Respondents of populations with products: what is drawn, and what stays as it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.errors import SpecError
from b2b_sem.simulate.population import make_population, population
from b2b_sem.simulate.respond import SimulatedData, simulate
from b2b_sem.spec.loader import load_simulation

SURVEY = """\
kind: survey
schema_version: 1
id: small
title: Small survey
format: {low: 1, high: 7}
scales:
  X: {name: x, items: {x1: one, x2: two}}
  M: {name: m, items: {m1: one, m2: two}}
  Y: {name: y, items: {y1: one, y2: two, y3: three}}
  Z: {name: z, items: {z1: one, z2: two}}
facts:
  area: {label: area, type: categorical, categories: {1: north, 2: south}}
  rank: {label: rank, type: categorical, categories: {0: low, 1: high}}
  years: {label: years, type: number}
"""
MODEL = """\
kind: model
schema_version: 1
id: small
title: Small model
survey: ./survey.yaml
measurement: {W: {items: [z1, z2]}, X: {scale: X}, Y: {scale: Y}}
structural: |
  X ~ W
  Y ~ X
propositions:
  - {id: H, statement: It depends., test: moderation, path: X x M -> Y, sign: "+", measurement: {M: {scale: M}}}
  - {id: I, statement: On years., test: moderation, path: X x years -> Y, sign: "+"}
  - {id: J, statement: On rank., test: moderation, path: X x rank -> Y, sign: "+"}
"""
SIMULATION = """\
kind: simulation
schema_version: 1
id: small
title: Small population
model: ./model.yaml
values:
  loadings: {default: 0.8}
  paths: {X ~ W: 0.5, Y ~ X: 0.4%s}
  correlations: {%s}
  interactions: {%s}
%s
response: {%s}
facts:
  area: {shares: {1: 0.5, 2: 0.5}}
  rank: {shares: {0: 0.7, 1: 0.3}}
  years: {mean: 10, sd: 4}
n: 40
seed: 3
"""


@pytest.fixture
def draw(tmp_path: Path):  # type: ignore[no-untyped-def]
    def draw_them(
        interactions: str = "",
        paths: str = "",
        correlations: str = "",
        n: int = 2000,
        groups: str = "",
        response: str = "type: continuous",
        model: str = MODEL,
    ) -> SimulatedData:
        (tmp_path / "survey.yaml").write_text(SURVEY, encoding="utf-8")
        (tmp_path / "model.yaml").write_text(model, encoding="utf-8")
        text = SIMULATION % (paths, correlations, interactions, groups, response)
        (tmp_path / "sim.yaml").write_text(text, encoding="utf-8")
        return simulate(tmp_path / "sim.yaml", n=n, seed=5)

    return draw_them


def test_without_products_the_bundled_sectors_answer_as_ever() -> None:
    # written down before there were products
    spec = load_simulation("lima2026_sectors")
    without = spec.model_copy(update={"values": spec.values.model_copy(update={"interactions": {}})})
    text = simulate(without, n=60, seed=20260517).frame.to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "6f3ec5e866e2d6aa9016f04870c7d8fa351004b3671d3507daddf3c98cc67ed3"
    )
    frame = simulate(spec, n=60, seed=20260517).frame
    other = simulate(without, n=60, seed=20260517).frame
    changed = {c[:2] for c in frame if c not in other or not frame[c].equals(other[c])}
    assert changed == {"px", "rr", "bt", "de"}


@pytest.mark.parametrize(
    "response", ["type: continuous", "mean: 4.5, sd: 1.4, missing_rate: 0.1, careless_share: 0.05"]
)
def test_only_what_the_product_leads_to_changes(draw, response: str) -> None:  # type: ignore[no-untyped-def]
    plain = draw(response=response).frame
    with_product = draw("Y ~ X:M: 0.3", ", Y ~ M: 0", response=response).frame
    shared = [c for c in plain if c not in ("y1", "y2", "y3")]
    if "careless" in response:  # these answer at random to more items
        same = [float((plain[c] == with_product[c])[plain[c].notna() & with_product[c].notna()].mean()) for c in shared]
        assert min(same) > 0.9
    else:
        pd.testing.assert_frame_equal(plain[shared], with_product[shared])
    assert not plain["y1"].equals(with_product["y1"])
    assert {"m1", "m2"} <= set(with_product)


def test_moments_are_those_of_the_population(draw) -> None:  # type: ignore[no-untyped-def]
    data = draw("Y ~ X:M: 0.35, Y ~ X:years: 0.2", ", Y ~ M: 0.2, Y ~ years: 0.1", "W ~~ M: 0.6", n=200_000)
    pop = data.population
    at = {name: i for i, name in enumerate(pop.nodes)}
    phi = pop.latent_cov()
    np.testing.assert_allclose(np.diag(phi), 1.0, atol=1e-12)
    # by hand: products of factors with correlation .3 vary by 1 + .09 and are uncorrelated with everything else
    assert phi[at["X"], at["M"]] == pytest.approx(0.3)
    explained = 0.4**2 + 0.2**2 + 0.1**2 + 2 * 0.4 * 0.2 * 0.3 + 0.35**2 * 1.09 + 0.2**2
    assert pop.r2["Y"] == pytest.approx(explained)
    np.testing.assert_allclose(np.array(pop.interaction_cov), [[1.09, 0.0], [0.0, 1.0]], atol=1e-12)
    items = list(pop.items)
    answers = (data.frame[items] - 4) / 1.5
    np.testing.assert_allclose(answers.mean(), 0.0, atol=0.01)
    np.testing.assert_allclose(answers.cov(), pop.item_cov(), atol=0.015)
    # and the product itself: E[(x1 - 0)(m1 - 0) y1] = loadings times (b3 (1 + r^2))
    third = float((answers["x1"] * answers["m1"] * answers["y1"]).mean())
    assert third == pytest.approx(0.8**3 * 0.35 * 1.09, abs=0.015)
    years = (data.frame["years"] - 10) / 4
    assert float((answers["x1"] * years * answers["y1"]).mean()) == pytest.approx(0.8**2 * 0.2, abs=0.015)
    # the outcome is not normal: a product makes its tails heavier
    y = answers["y1"]
    assert float((y**4).mean() / (y**2).mean() ** 2) > 3.1
    assert float((answers["z1"] ** 4).mean()) == pytest.approx(3.0, abs=0.06)


def test_two_products_with_a_common_factor_covary() -> None:
    made = make_population(
        latents=("A", "B", "C", "Y"),
        loadings={("Y", "y1"): 0.8},
        paths={("Y", "A"): 0.3},
        correlations={("A", "B"): 0.5, ("B", "C"): 0.2},
        interactions={("Y", "A", "B"): 0.3, ("Y", "A", "C"): 0.2, ("Y", "B", "B"): 0.1},
    )
    # Isserlis: Cov(ab, cd) = r_ac r_bd + r_ad r_bc
    want = [[1 + 0.25, 1 * 0.2 + 0.0 * 0.5, 2 * 0.5 * 1], [0.2, 1.0, 2 * 0.5 * 0.2], [1.0, 0.2, 2.0]]
    np.testing.assert_allclose(np.array(made.interaction_cov), want, atol=1e-12)
    np.testing.assert_allclose([x.mean for x in made.interactions], [0.5, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(np.diag(made.latent_cov()), 1.0, atol=1e-12)
    rows = {(a, b): v for a, op, b, v in made.truth() if op == "~"}
    assert rows["Y", "A:B"] == 0.3


def test_ordinal_answers_are_cut_from_the_responses(draw) -> None:  # type: ignore[no-untyped-def]
    exact = draw("Y ~ X:M: 0.3", ", Y ~ M: 0", n=300).frame
    cut = draw("Y ~ X:M: 0.3", ", Y ~ M: 0", n=300, response="mean: 4, sd: 1.5").frame
    for item in ("y1", "m2", "x1"):
        want = exact[item].round().clip(1, 7).astype(int)
        assert (want == cut[item]).all(), item


def test_a_fact_with_categories_needs_an_independent_factor(draw) -> None:  # type: ignore[no-untyped-def]
    data = draw("Y ~ X:rank: 0.3", ", Y ~ rank: 0.1", n=100_000)
    assert np.diag(data.population.latent_cov()) == pytest.approx(1.0)
    answers = (data.frame[["y1", "x1"]] - 4) / 1.5
    assert float(answers["y1"].var()) == pytest.approx(1.0, abs=0.02)
    model = MODEL.replace("  X ~ W\n", "  X ~ W + rank\n")
    with pytest.raises(SpecError, match="'rank' of the product X:rank has categories, and the factors are not"):
        draw("Y ~ X:rank: 0.3", ", Y ~ rank: 0.1, X ~ rank: 0.2", model=model)


def test_what_cannot_be_drawn_is_named(draw, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecError, match=r"paths into Y \(X 0.4, M 0, X:M 0.95\) explain 1.06"):
        draw("Y ~ X:M: 0.95", ", Y ~ M: 0")
    model = MODEL.replace("structural: |\n", "structural: |\n  Z ~ Y + Y:X\n").replace(
        "{W:", "{Z: {items: [m1, m2]}, W:"
    )
    model = model[: model.index("propositions:")] + "propositions:\n" + model[model.index("  - {id: I") :]
    with pytest.raises(SpecError, match="'Y' of the product Y:X depends on a product itself") as caught:
        draw("Y ~ X:years: 0.2, Z ~ Y:X: 0.1", ", Y ~ years: 0, Z ~ Y: 0.2", model=model)
    line = (tmp_path / "sim.yaml").read_text(encoding="utf-8").splitlines()[(caught.value.line or 0) - 1]
    assert "interactions" in line


def test_truth_of_the_main_model_and_of_the_equation(draw) -> None:  # type: ignore[no-untyped-def]
    data = draw("Y ~ X:M: 0.3", ", Y ~ M: 0.2", "W ~~ M: 0.4")
    assert data.moderated is not None
    assert data.pooled is not None
    found = {
        (a, b): v for a, b, v in zip(data.moderated["lhs"], data.moderated["rhs"], data.moderated["value"], strict=True)
    }
    assert found == {("Y", "X"): 0.4, ("Y", "M"): 0.2, ("Y", "X:M"): 0.3}
    # a main model without M finds another effect of X, because M goes along with it
    kept = set(zip(data.pooled["lhs"], data.pooled["op"], data.pooled["rhs"], strict=True))
    assert ("X", "~", "W") in kept
    assert not kept & {("Y", "~", "X"), ("Y", "~~", "Y"), ("Y", "~", "X:M"), ("Y", "~", "M")}
    apart = draw("Y ~ X:M: 0.3", ", Y ~ M: 0.2")
    assert apart.pooled is not None
    kept = set(zip(apart.pooled["lhs"], apart.pooled["op"], apart.pooled["rhs"], strict=True))
    assert ("Y", "~", "X") in kept
    assert ("Y", "~~", "Y") not in kept
    assert draw().moderated is None
    assert draw().pooled is None


def test_products_within_groups(draw) -> None:  # type: ignore[no-untyped-def]
    groups = "groups: {split: area, reference: north, levels: {south: {%s}}}"
    same = draw("Y ~ X:M: 0.3", ", Y ~ M: 0.2", groups=groups % "paths: {X ~ W: 0.2}", n=60_000)
    assert same.moderated is not None
    assert set(same.moderated["rhs"]) == {"X", "M", "X:M"}
    for change in ("paths: {Y ~ X: 0.1}", "means: {M: 0.3}", "correlations: {W ~~ M: 0.4}"):
        other = draw("Y ~ X:M: 0.3", ", Y ~ M: 0.2", groups=groups % change)
        assert other.moderated is not None
        assert other.moderated.empty, change
    rows = same.truth[same.truth["rhs"] == "X:M"]
    assert list(rows["group"]) == ["north", "south"]
    south = same.frame["area"] == 2
    answers = (same.frame[list(same.population.items)] - 4) / 1.5
    np.testing.assert_allclose(answers[south].cov(), same.levels["south"].item_cov(), atol=0.03)


def test_bundled_sectors_hold_the_product() -> None:
    spec = load_simulation("lima2026_sectors")
    assert spec.model_spec is not None
    assert spec.survey_spec is not None
    pop = population(spec, spec.model_spec, spec.survey_spec)
    (product,) = pop.interactions
    assert (product.outcome, product.first, product.second, product.value) == ("RR", "PC", "PX", 0.2)
    assert pop.added_last == {"PX"}
    data = simulate(spec, n=2, seed=1)
    assert data.moderated is not None
    assert data.pooled is not None
    assert set(data.moderated["rhs"]) == {"PC", "PX", "PC:PX"}
    rows = set(zip(data.pooled["lhs"], data.pooled["op"], data.pooled["rhs"], strict=True))
    assert {("RR", "~", "PC"), ("BT", "~", "RR"), ("DE", "~", "BT")} <= rows
    assert ("RR", "~~", "RR") not in rows
