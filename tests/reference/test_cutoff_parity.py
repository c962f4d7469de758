"""Dynamic cut-offs: rules of the R package, indices of each sample as lavaan has them, quantiles, published tables."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from b2b_sem.analysis.cutoff import derive_cutoffs
from b2b_sem.analysis.cutoff_recipe import recipe_of_text
from b2b_sem.analysis.misspecification import misspecify
from b2b_sem.results.cutoff import INDICES
from b2b_sem.results.provenance import sha256

FOLDER = Path(__file__).parent / "cutoff"


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


specification = importlib.util.spec_from_file_location("cutoff_draws", FOLDER / "draws.py")
assert specification is not None
assert specification.loader is not None
draws = importlib.util.module_from_spec(specification)
specification.loader.exec_module(draws)

ADDED = {m["id"]: m for m in read("additions.json")["models"]}
SAMPLES = read("samples.json")
QUANTILES = read("quantiles.json")
#: Worst seen 6e-8 (items of scales 0.1 to 10); lavaan's numbers come from polished solutions.
TOLERANCE = 6e-7


def statements(name: str) -> list[tuple[int, str]]:
    recipe = recipe_of_text(draws.text(name), draws.MODELS[name]["n"])
    additions, _ = misspecify(recipe.solution)
    # the package rounds to four decimals
    return [(a.level, f"{a.lhs}{a.op}{round(a.value, 4)}*{a.rhs}") for a in additions]


@pytest.mark.parametrize("name", list(draws.MODELS))
def test_misspecifications_are_those_of_the_package(name: str) -> None:
    theirs = list(zip(ADDED[name]["levels"], ADDED[name]["added"], strict=True))
    assert statements(name) == theirs
    assert theirs


def difference(ours: np.ndarray, theirs: Any) -> float:
    other = np.array(theirs, dtype=float)
    if ours.shape != other.shape or np.isnan(ours).any() or np.isnan(other).any():
        return float("inf")
    return float(np.abs(ours - other).max())


def test_the_reference_belongs_to_these_cases() -> None:
    assert SAMPLES["cases"] == QUANTILES["cases"] == sha256(FOLDER / "cases.json")
    assert set(SAMPLES["samples"]) == set(draws.recipes())


@pytest.mark.parametrize("name", list(draws.recipes()))
def test_indices_of_each_sample(name: str) -> None:
    recipe = draws.recipes()[name]
    task, levels = draws.task(recipe)
    reference = SAMPLES["samples"][name]
    assert len(reference["indices"]) == levels
    for level, drawn in enumerate(draws.samples(recipe)):
        # NumPy drawing other numbers is told apart from a fit that differs
        assert [draws.checksum(s) for s in drawn] == pytest.approx(reference["checksum"][level], rel=1e-9)
        theirs = reference["indices"][level]
        ours = task.sample(level)["indices"][: len(theirs)]
        assert difference(ours, theirs) < TOLERANCE
        wrong = [list(row) for row in theirs]
        wrong[1][2] += 2e-6
        assert difference(ours, wrong) > TOLERANCE
        assert difference(ours, [[None, *row[1:]] for row in theirs]) == float("inf")


def deviation(own: np.ndarray, share: float, value: float, replications: int, rounding: float = 1e-9) -> float:
    """Return how many standard errors another simulation's quantile is from ours, on the scale of probabilities.

    Both simulations have their Monte Carlo error; where many samples have the same value (CFI = 1), any probability up
    to the share of these fits.
    """
    error = np.sqrt(share * (1 - share) * (1 / len(own) + 1 / replications))
    below, above = (own < value - rounding).mean(), (own <= value + rounding).mean()
    return float(max(below - share, share - above, 0.0) / error)


@pytest.mark.parametrize("name", list(QUANTILES["quantiles"]))
def test_quantiles_are_those_of_samples_that_r_draws(name: str) -> None:
    """R makes the populations and draws rows; here moments are drawn."""
    recipe = recipe_of_text(draws.text(name), draws.MODELS[name]["n"])
    found = derive_cutoffs(recipe, replications=2000, seed=5)
    shares, count = QUANTILES["shares"], QUANTILES["replications"]
    own, other = [], []
    for level, theirs in enumerate(QUANTILES["quantiles"][name]):
        for k, index in enumerate(INDICES):
            for share, row in zip(shares, theirs, strict=True):
                own.append(deviation(found.samples(level)[index].to_numpy(), share, row[k], count))
                if level:
                    other.append(deviation(found.samples(0)[index].to_numpy(), share, row[k], count))
    assert max(own) < 4
    # the numbers of a level must not pass for those of the correct model
    assert np.mean(np.array(other) > 4) > 0.8


def test_published_cutoffs_of_one_factor() -> None:
    """Wolf & McNeish, tutorial on dynamic cut-offs: 10 items on extraversion, n = 1,222, 500 samples."""
    published = {1: (0.025, 0.040, 0.986), 2: (0.037, 0.075, 0.953), 3: (0.043, 0.095, 0.928)}
    found = derive_cutoffs(recipe_of_text(draws.text("extraversion"), 1222), replications=2000, seed=1)
    assert set(found.table["criterion"]) == {"95/5"}
    for level, numbers in published.items():
        for index, theirs in zip(INDICES, numbers, strict=True):
            samples, share = found.samples(level)[index].to_numpy(), 0.95 if index == "cfi" else 0.05
            assert deviation(samples, share, theirs, 500, 0.0005) < 4
            others = [numbers[INDICES.index(index)] for other, numbers in published.items() if other != level]
            assert all(deviation(samples, share, wrong, 500, 0.0005) > 4 for wrong in others)


def test_published_cutoffs_of_three_factors() -> None:
    """Vignette of the R package `dynamic`: Holzinger & Swineford, n = 301, one cross-loading, no 95/5 cut-off."""
    found = derive_cutoffs(recipe_of_text(draws.text("holzinger"), 301), replications=2000, seed=1)
    first = found.table[found.table["level"] == 1]
    assert list(first["criterion"]) == ["90/10"] * 3
    assert found.added["value"].round(3).tolist() == [0.424, 0.570]
    for index, theirs in (("srmr", 0.040), ("rmsea", 0.044), ("cfi", 0.984)):
        samples, share = found.samples(1)[index].to_numpy(), 0.90 if index == "cfi" else 0.10
        assert deviation(samples, share, theirs, 500, 0.0005) < 4
