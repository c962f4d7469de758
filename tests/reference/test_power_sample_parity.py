"""Power by samples against a loop of lavaan over the same 20 samples: which of them reject."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.results.power_sample import SampledPower
from b2b_sem.simulate.power_trial import make_sampler

FOLDER = Path(__file__).parent / "montecarlo"
REFERENCE: dict[str, Any] = json.loads((FOLDER / "reference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def result() -> SampledPower:
    return bs.power(FOLDER / "study.yaml")


def lavaan(alpha: float) -> dict[str, float]:
    """Return the share of lavaan's samples that reject, of each path and of each pair of paths in a row."""
    pvalue = np.array(REFERENCE["pvalue"], dtype=float)
    paths = {name: pvalue[:, k] < alpha for k, name in enumerate(REFERENCE["rows"]) if "~" in name.replace("~~", "")}
    paths = {name: hit for name, hit in paths.items() if "=~" not in name}
    out = {name: float(hit.mean()) for name, hit in paths.items()}
    for first in paths:
        for second in paths:
            if second.split("~")[1] == first.split("~")[0]:
                name = " -> ".join([first.split("~")[1], first.split("~")[0], second.split("~")[0]])
                out[name] = float((paths[first] & paths[second]).mean())
    return out


def test_shares_are_those_of_lavaan(result: SampledPower) -> None:
    theirs = lavaan(result.alpha)
    ours = result.table[result.table["kind"].isin(["path", "indirect"])].set_index("test")["power"].to_dict()
    short = {name: value for name, value in ours.items() if name.count("->") <= 2}
    assert set(short) == set(theirs)
    assert short == theirs
    assert 0 < min(theirs.values()) < 1  # some samples reject and some do not
    assert short != lavaan(result.alpha / 5)


def test_single_samples_are_those_of_lavaan(result: SampledPower) -> None:
    spec = bs.load_montecarlo(FOLDER / "study.yaml")
    sampler = make_sampler(spec, seed=spec.seed)
    hit = sampler.draw(result.nobs, 0, result.replications)
    pvalue, at = np.array(REFERENCE["pvalue"], dtype=float), {n: k for k, n in enumerate(REFERENCE["rows"])}
    compared = 0
    for k, test in enumerate(sampler.tests):
        if test.kind == "path":
            assert (hit[:, k] == (pvalue[:, at[test.test]] < sampler.alpha)).all()
        elif test.kind == "indirect":
            steps = [f"{b}~{a}" for a, b in pairwise(test.test.split(" -> "))]
            assert (hit[:, k] == np.all([pvalue[:, at[s]] < sampler.alpha for s in steps], axis=0)).all()
        else:
            continue
        compared += 1
    assert compared == 8 + sum(t.kind == "indirect" for t in sampler.tests)
