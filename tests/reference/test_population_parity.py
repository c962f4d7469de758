"""Populations whose levels differ, against the moments that lavaan implies for the same values."""

from __future__ import annotations

import copy
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.simulate.population import Population
from b2b_sem.simulate.respond import SimulatedData

HERE = Path(__file__).resolve().parent / "population"
#: Both sides multiply a few numbers of size 1.
MOMENTS = 1e-12
#: One model for all levels does not fit their mixture, which moves estimates of what is equal in all: at most .0019.
POOLED = 3e-3
#: Less than what values that do not hold in the mixture are away: the least is .0084.
APART = 8e-3


@cache
def ours() -> SimulatedData:
    return bs.simulate(HERE / "population.yaml", n=2, seed=1)


@cache
def read() -> dict[str, Any]:
    return json.loads((HERE / "moments.json").read_text(encoding="utf-8"))


def distance(pop: Population, theirs: dict[str, Any]) -> float:
    """Return the largest difference of the moments of items, and of the covariances of latents."""
    items, nodes = theirs["cov"]["names"], theirs["latent"]["names"]
    assert sorted(items) == sorted(pop.items)
    assert sorted(nodes) == sorted(pop.nodes)
    at = [pop.items.index(i) for i in items]
    of = [pop.nodes.index(n) for n in nodes]
    mean = np.array([pop.response_mean(i) for i in items])
    gaps = [
        pop.item_cov()[np.ix_(at, at)] - np.array(theirs["cov"]["values"]),
        mean - np.array(theirs["mean"]["values"]),
        pop.latent_cov()[np.ix_(of, of)] - np.array(theirs["latent"]["values"]),
    ]
    return max(float(np.abs(gap).max()) for gap in gaps)


def test_files_belong_together() -> None:
    found = {name: hashlib.sha256((HERE / name).read_bytes()).hexdigest() for name in read()["sha256"]}
    assert found == read()["sha256"]


@pytest.mark.parametrize("level", ["upper", "lower"])
def test_moments_of_each_level(level: str) -> None:
    assert distance(ours().levels[level], read()[level]) < MOMENTS


@pytest.mark.parametrize("what", ["cov", "mean", "latent"])
def test_a_wrong_moment_is_seen(what: str) -> None:
    wrong = copy.deepcopy(read()["lower"])
    values = np.array(wrong[what]["values"])
    values.flat[1] += 1e-9
    wrong[what]["values"] = values.tolist()
    assert distance(ours().levels["lower"], wrong) > MOMENTS
    assert distance(ours().levels["upper"], read()["lower"]) > 0.1


def solution() -> dict[tuple[str, str, str], float]:
    rows = read()["pooled"]
    return {(r["lhs"], r["op"], r["rhs"]): r["est_std"] for r in rows}


def test_what_is_said_to_hold_in_all_levels_together_does() -> None:
    theirs = solution()
    pooled = ours().pooled
    assert pooled is not None
    for row in pooled.to_dict("records"):
        lhs, op, rhs = row["lhs"], row["op"], row["rhs"]
        both = {(lhs, op, rhs), (rhs, op, lhs)} if op == "~~" else {(lhs, op, rhs)}
        (value,) = [theirs[key] for key in both if key in theirs]
        assert row["value"] == pytest.approx(value, abs=POOLED), (lhs, op, rhs)


def test_what_is_left_out_would_be_wrong() -> None:
    theirs = solution()
    data = ours()
    assert data.pooled is not None
    kept = {(a, op, b) for a, op, b in zip(data.pooled["lhs"], data.pooled["op"], data.pooled["rhs"], strict=True)}
    assert ("Y", "~~", "Y") not in kept
    upper = data.truth[(data.truth["group"] == "upper") & data.truth["op"].isin(["=~", "~"])]
    left = {(r["lhs"], r["op"], r["rhs"]): r["value"] for r in upper.to_dict("records")}
    # equal in all levels is M ~ Z, but its value in their mixture is another one
    wrong = [("M", "~", "X"), ("M", "~", "Z"), ("Y", "~", "M"), ("A", "~", "X"), ("A", "=~", "a1"), ("M", "=~", "m2")]
    assert not kept & set(wrong)
    assert min(abs(theirs[key] - left[key]) for key in wrong) > APART
