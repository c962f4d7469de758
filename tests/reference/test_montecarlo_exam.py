"""Monte Carlo studies of other options and models than the main one, against loops of lavaan over the same samples.

Clusters, answers missing at random, groups, ordinal answers and a model that is not that of the population: each
sample's estimates, standard errors, p-values and fit measures, by name.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.results.montecarlo import MonteCarloResult
from b2b_sem.results.provenance import sha256
from b2b_sem.simulate.trial import FIT_MEASURES

FOLDER = Path(__file__).parent / "montecarlo_exam"
REFERENCE: dict[str, Any] = json.loads((FOLDER / "reference.json").read_text(encoding="utf-8"))
LEVELS = {"0": "free", "1": "regulated"}


@cache
def result(study: str) -> MonteCarloResult:
    return bs.monte_carlo(FOLDER / f"{study}.yaml")


def test_the_reference_belongs_to_these_files() -> None:
    assert {name: sha256(FOLDER / f"{name}.yaml") for name in REFERENCE["files"]} == REFERENCE["files"]


def place(row: Any) -> tuple[frozenset[str], str, str]:
    name = frozenset((row["lhs"], row["rhs"])) if row["op"] == "~~" else f"{row['lhs']} {row['rhs']}"
    return name, row["op"], row["group"]


def their_place(name: str) -> tuple[Any, str, str]:
    text, _, group = name.partition(" ")
    op = next(op for op in ("=~", "~~", "~") if op in text)
    lhs, rhs = text.split(op)
    return (frozenset((lhs, rhs)) if op == "~~" else f"{lhs} {rhs}"), op, LEVELS.get(group, "")


def largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference, relative to 1 where numbers are smaller; a number on one side only is infinite."""
    if (np.isnan(ours) != np.isnan(theirs)).any():
        return float("inf")
    return float(np.nanmax(np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))))


@pytest.mark.parametrize(
    "case", REFERENCE["conditions"], ids=lambda c: " ".join(filter(None, (c["study"], c["samples"], c["options"])))
)
def test_each_sample(case: dict[str, Any]) -> None:
    found = result(case["study"])
    n, _, change = case["samples"].partition(" ")
    name = ", ".join(filter(None, (f"n={n}", change, case["options"])))
    table = found.parameters.query("condition == @name")
    theirs = {their_place(row): k for k, row in enumerate(case["rows"])}
    ours = [place(row) for row in table.to_dict("records")]
    assert set(ours) == set(theirs)
    assert len(ours) == len(theirs)
    at, sample = [theirs[row] for row in ours], found.samples[name]
    tested = np.array(sample["se"]) > 0
    for what in ("est", "se", "pvalue"):
        one, other = np.array(sample[what]), np.array(case[what], dtype=float)[:, at]
        if what != "est":  # lavaan writes NA for the tests of fixed variances, standardized to 1
            one, other = np.where(tested, one, np.nan), np.where(tested, other, np.nan)
        assert largest(one, other) < 1e-6, what
        wrong = other.copy()
        wrong[2, 3] += 1e-5
        assert largest(one, wrong) > 1e-6
    incomplete = case["study"] == "holes" and case["options"] != "listwise"
    kept = dict(zip(FIT_MEASURES, np.array(sample["measures"]).T, strict=True))
    for measure in case["measures"][0]:
        value = np.array([row[measure] for row in case["measures"]], dtype=float)
        # the saturated moments of incomplete answers are where lavaan's EM stops
        assert largest(kept[measure], value) < (1e-5 if incomplete else 1e-6), measure
    assert "chisq_scaled" in case["measures"][0] or not np.isfinite(kept["chisq_scaled"]).any()


def test_both_ways_are_examined() -> None:
    batched = {study: set(result(study).conditions["batched"]) for study in ("factors_fitted", "groups", "clusters")}
    assert batched == {"factors_fitted": {True}, "groups": {False}, "clusters": {True, False}}
