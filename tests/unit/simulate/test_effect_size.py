"""Effects of a given size: what was asked for is what a regression on drawn latents finds; all else stays."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from plan_fixture import PLAN, load

from b2b_sem.errors import SpecError
from b2b_sem.simulate.effect_size import SizedPopulation, sized_population
from b2b_sem.simulate.population import Population
from b2b_sem.simulate.respond import make_plan
from b2b_sem.spec.loader import load_plan
from b2b_sem.spec.plan import PlanSpec

BUNDLED = load_plan("lima2026_plan")


def sized(spec: PlanSpec, name: str, size: str) -> SizedPopulation:
    model = spec.population_spec.model_spec
    return sized_population(spec, model.proposition(name), spec.aims(model)[name], size)


def latents(population: Population, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw latents straight from the equations."""
    cor = np.array(population.disturbance_cor).reshape(len(population.nodes), -1)
    noise = dict(zip(population.nodes, rng.multivariate_normal(np.zeros(len(cor)), cor, n).T, strict=True))
    out: dict[str, np.ndarray] = {}
    for name in population.order:
        value = population.disturbance_sd[name] * noise[name]
        for outcome, predictor, path in population.paths:
            if outcome == name:
                value = value + path * out[predictor]
        for x in population.interactions:
            if x.outcome == name:
                value = value + x.value * (out[x.first] * out[x.second] - x.mean)
        out[name] = value
    return out


def explained(y: np.ndarray, *predictors: np.ndarray) -> float:
    x = np.column_stack([np.ones(len(y)), *predictors])
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return 1 - float(left @ left) / float(((y - y.mean()) ** 2).sum())


def test_a_path_gets_the_value_and_the_sign_and_nothing_else_moves(tmp_path: Path) -> None:
    spec = load(tmp_path)
    own = sized(spec, "H1", "some")
    assert own.spec.paths() == {("B", "A"): 0.3, ("C", "A"): -0.2, ("C", "B"): 0.2}
    assert [(e.kind, e.size, e.name, e.value) for e in own.effects] == [("path", 0.2, "C ~ A", -0.2)]
    before, after = make_plan(spec.population_spec).population, make_plan(own.spec).population
    assert after.loadings == before.loadings
    np.testing.assert_allclose(np.diag(after.latent_cov()), 1.0)


def test_each_path_of_an_indirect_effect_has_the_size(tmp_path: Path) -> None:
    own = sized(load(tmp_path), "H2", "some")
    assert own.spec.paths() == {("B", "A"): -0.2, ("C", "A"): 0.25, ("C", "B"): 0.2}


@pytest.mark.parametrize("size", ["small", "large"])
def test_f2_of_a_product_is_that_of_a_regression(size: str) -> None:
    own = sized(BUNDLED, "P9", size)
    drawn = latents(make_plan(own.spec).population, 150_000, np.random.default_rng(1))
    assert drawn["RR"].var() == pytest.approx(1.0, abs=0.01)
    without = explained(drawn["RR"], drawn["PC"], drawn["PX"])
    r2 = explained(drawn["RR"], drawn["PC"], drawn["PX"], drawn["PC"] * drawn["PX"])
    # sampling error of f2 is about 2 f / sqrt(n)
    asked = BUNDLED.sizes[size].f2
    assert (r2 - without) / (1 - r2) == pytest.approx(asked, abs=4 * 2 * math.sqrt(asked / 150_000))


def test_f2_of_a_product_of_correlated_factors_with_a_negative_sign(tmp_path: Path) -> None:
    own = sized(load(tmp_path), "H3", "some")
    population = make_plan(own.spec).population
    assert own.effects[0].value < 0
    drawn = latents(population, 150_000, np.random.default_rng(2))
    linear = [drawn[name] for name in ("A", "B", "M")]
    r2 = explained(drawn["C"], *linear, drawn["A"] * drawn["M"])
    assert (r2 - explained(drawn["C"], *linear)) / (1 - r2) == pytest.approx(0.03, abs=4 * 2 * math.sqrt(0.03 / 1.5e5))


@pytest.mark.parametrize(
    ("name", "size", "pairs"),
    [("P10", "large", {"PC": ["NR", "RE"], "BT": ["PC", "RR"]}), ("H4", "some", {"B": ["A"], "C": ["A", "B"]})],
)
def test_d_and_f2_of_a_claim_on_groups_are_those_of_regressions(
    name: str, size: str, pairs: dict[str, list[str]], tmp_path: Path
) -> None:
    spec = BUNDLED if name == "P10" else load(tmp_path)
    own = sized(spec, name, size)
    rng, n = np.random.default_rng(3), 150_000
    levels = [level for level in make_plan(own.spec).levels if level.name]
    parts = [latents(level.population, round(n * level.share), rng) for level in levels]
    drawn = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
    group = np.repeat([0.0, 1.0], [len(part["BT" if name == "P10" else "B"]) for part in parts])
    differ = {tuple(e.name.split(" ~ ")) for e in own.effects if e.kind == "f2"}
    base = spec.population_spec.paths()
    for outcome, predictors in pairs.items():
        linear = [group, *(drawn[p] for p in predictors)]
        products = {p: group * drawn[p] for p in predictors if (outcome, p) in differ}
        r2 = explained(drawn[outcome], *linear, *products.values())
        left = float(np.mean((1 - r2) * drawn[outcome].var()))
        share = group.mean()
        for p in products:
            there, here = (next(e.value for e in own.effects if e.name == f"{outcome} ~ {p}" and e.level == v.name)
                           for v in reversed(levels))  # fmt: skip
            if len(products) == 1:
                rest = explained(drawn[outcome], *linear)
                found = (r2 - rest) / (1 - r2)
                assert found == pytest.approx(spec.sizes[size].f2, abs=4 * 2 * math.sqrt(spec.sizes[size].f2 / n))
            assert share * (1 - share) * (there - here) ** 2 / left == pytest.approx(spec.sizes[size].f2, rel=0.02)
            mean = share * there + (1 - share) * here
            assert mean == pytest.approx(base[outcome, p], abs=0.003)
    shift = {e.name: e.value for e in own.effects if e.kind == "d"}
    expected = {"AU": -0.63, "LG": 0.63} if name == "P10" else {"D": -0.5}
    assert shift == expected
    means = next(level for level in levels if level.name in ("regulated", "red")).population.means
    assert {k: means[k] for k in expected} == expected


def test_a_level_that_has_the_path_itself_gets_the_value_too(tmp_path: Path) -> None:
    text = PLAN.replace(
        "H1: {}", "H1: {also: {groups: {split: team, reference: blue, levels: {red: {paths: {C~A: 0.6}}}}}}"
    )
    own = sized(load(tmp_path, text), "H1", "some")
    assert [level.population.paths for level in make_plan(own.spec).levels] == 2 * [
        (("B", "A", 0.3), ("C", "A", -0.2), ("C", "B", 0.2))
    ]


def test_values_of_the_file_take_the_place_of_sizes(tmp_path: Path) -> None:
    own = sized(
        load(tmp_path, PLAN.replace("H1: {}", "H1: {changes: {some: {values: {paths: {C~A: -0.4}}}}}")), "H1", "some"
    )
    assert own.spec.paths()["C", "A"] == -0.4
    assert [(e.kind, e.name, e.value) for e in own.effects] == [("change", "values: paths: C~A", -0.4)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("H1: {}", "H9: {}", "no proposition 'H9'"),
        ("path: 0.2, ", "", "'some' does not say what it means for H1: path"),
        ("sizes: {some", "sizes: {none: {}, some", "'none' says nothing"),
        ('differ: {B ~ A: "+", C ~ B: "-", C ~ A: "+"}', "differ: {}", "which ones"),
        ('C ~ B: "-"', 'A ~ B: "-"', "no path 'A ~ B'"),
        ("H1: {}", 'H1: {differ: {B ~ A: "+"}}', "H1 is not about groups"),
        ("H1: {}", "H1: {also: {model: other}}", "cannot touch 'model'"),
        ("H1: {}", "H1: {changes: {big: {}}}", "'sizes' does not name 'big'"),
        ("title: Small", "title: Small\n    power: 0.05", "not above alpha"),
        ("title: Small", "title: Small\n    options: {seed: 1}", "seed of its own"),
        ("small.population", "absent", "absent"),
    ],
)
def test_what_is_wrong_in_a_plan_is_said_with_its_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in PLAN
    with pytest.raises(SpecError, match=message) as error:
        load(tmp_path, PLAN.replace(old, new))
    assert "small.plan.yaml:" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "name", "message"),
    [
        ("H1: {}", "H1: {changes: {some: {values: {paths: {C~A: 1.2}}}}}", "H1", "H1: impossible values"),
        ("f2: 0.03", "f2: 0.9", "H4", "H4: impossible values"),
        (", paths: {C ~ M: 0.1}", "", "H3", "H3: .*C ~ M"),
        (
            "H4: {also: {claims: true}, ",
            "H4: {also: {facts: {team: {shares: {1: 1.0, 2: 0.0}}}}, ",
            "H4",
            "no respondents",
        ),
        ("C ~ M: 0.1", "C ~ M: much", "H3", "number"),
    ],
)
def test_a_population_that_cannot_be_is_refused(old: str, new: str, name: str, message: str, tmp_path: Path) -> None:
    assert old in PLAN
    spec = load(tmp_path, PLAN.replace(old, new))
    with pytest.raises(SpecError, match=message) as error:
        sized(spec, name, "some")
    assert "small.plan.yaml:" in str(error.value)


def test_the_bundled_sizes_are_those_of_their_sources() -> None:
    # d of a correlation r for two groups of equal size is 2 r / sqrt(1 - r^2)
    for size in BUNDLED.sizes.values():
        assert size.d == pytest.approx(2 * size.path / math.sqrt(1 - size.path**2), abs=0.005)
    assert [s.path for s in BUNDLED.sizes.values()] == [0.10, 0.20, 0.30]
    assert [s.f2 for s in BUNDLED.sizes.values()] == [0.005, 0.010, 0.025]
    assert list(BUNDLED.aims(BUNDLED.population_spec.model_spec)) == [f"P{k}" for k in range(1, 11)]
