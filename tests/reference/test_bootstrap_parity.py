"""Refits of resampled data against lavaan's, replicate by replicate, and intervals against R's ``boot.ci``."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from compare import row_key
from reference_case import HERE, fit, parameters, sha256

from b2b_sem.analysis.fitted import context_of
from b2b_sem.engine.base import moments_divisor
from b2b_sem.engine.replicate import replicator
from b2b_sem.engine.resample import bollen_stine, weighted_moments
from b2b_sem.engine.rowstack import row_stack
from b2b_sem.measures.interval import interval

FOLDER = HERE / "bootstrap"
IDS = ("hs_three_factor", "hs_mimic_means", "pd_indirect", "pd_constraint", "hs_wishart", "lima36")
KINDS = ("nonparametric", "bollen-stine")
#: Of a standard error; the largest difference measured is 6e-5 (a Heywood case of pd_indirect), usually 1e-6 to 1e-5.
ALLOWED = 3e-4


@cache
def reference(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def draws(seed: int, n: int, replicates: int) -> np.ndarray:
    """Rows drawn by the Park-Miller generator, as generate.R does; counts (replicates, n)."""
    x, counts = seed, np.zeros((replicates, n))
    for k in range(n * replicates):
        x = 16807 * x % 2147483647
        counts[k // n, x % n] += 1
    return counts


@cache
def ours(case: str, kind: str) -> tuple[list[tuple[str, str, str]], np.ndarray, np.ndarray, np.ndarray]:
    """Names, raw and standardized values, and chi-squares of our refits."""
    result = fit(case, "native")
    context = context_of(result)
    problem, data = context.problem, context.observed.raw[0]
    n = len(data)
    divisor = moments_divisor(n, problem.options.likelihood)
    if kind == "bollen-stine":
        mean = result.implied().get("mean")
        data = bollen_stine(
            data, problem.moments.cov, result.implied()["cov"].to_numpy(), None if mean is None else mean.to_numpy()
        )
    found = replicator(problem, context.solution.theta).fit(
        *weighted_moments(data, draws(reference(case)["seed"], n, 20), divisor=divisor)
    )
    assert found.converged.all()
    raw, std = row_stack(problem.table, replicator(problem, context.solution.theta).kernel, found.theta, found.exo)
    names = [row_key({"lhs": r.lhs, "op": r.op, "rhs": r.rhs}) for r in problem.table.rows]
    names += [(d.name, ":=", "") for d in problem.table.definitions]
    return names, raw, std, divisor * found.fmin


def differences(case: str, kind: str, *, spoil: float = 0.0) -> list[str]:
    """Say every difference, by name; `spoil` is added to one of our numbers."""
    names, raw, std, chisq = ours(case, kind)
    raw = raw.copy()
    raw[3, 1] += spoil
    theirs = reference(case)[kind]
    assert all(theirs["converged"])
    result = fit(case, "native")
    se = {row_key(r): r["se"] for r in result.parameters.to_dict("records")}
    std_se = {row_key(r): r["se"] for r in result.standardized().to_dict("records")}
    out = []
    for what, values, rows, spread in (("est", raw, "rows", se), ("std", std, "std_rows", std_se)):
        keys = [row_key(r) for r in theirs[rows]]
        keys = [(k[0], k[1], "") if k[1] == ":=" else k for k in keys]
        out += [f"{what} {k}: only in the reference" for k in keys if k not in names]
        out += [f"{what} {k}: only in ours" for k in names if k not in keys]
        expected = np.array(theirs[what], dtype=float)
        for j, key in enumerate(keys):
            if key not in names:
                continue
            allowed = ALLOWED * spread[key] + 1e-7 * np.abs(expected[:, j])
            away = np.abs(values[:, names.index(key)] - expected[:, j])
            out += [f"{what} {key} replicate {r}: {away[r]:.1e}" for r in np.flatnonzero(~(away <= allowed))]
    away = np.abs(chisq - np.array(theirs["chisq"]))
    out += [f"chisq of replicate {r}: {away[r]:.1e}" for r in np.flatnonzero(~(away <= 1e-7))]
    return out


def test_reference_files_belong_to_the_script() -> None:
    digests = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    assert digests["generate"] == sha256(FOLDER / "generate.R")
    assert digests["common"] == sha256(HERE / "lavaan" / "common.R")
    assert set(digests["outputs"]) == {*IDS, "intervals"}
    for name, digest in digests["outputs"].items():
        assert digest == sha256(FOLDER / f"{name}.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", parameters(IDS))
def test_replicates_are_lavaans(case: str, kind: str) -> None:
    assert max(reference(case)[kind]["gradient"]) < 1e-13
    assert differences(case, kind) == []


def test_a_wrong_estimate_is_noticed() -> None:
    assert len(differences("hs_three_factor", "nonparametric", spoil=1e-3)) == 1


@pytest.mark.parametrize("kind", ["normal", "basic", "percentile", "bca"])
def test_intervals_are_those_of_boot_ci(kind: str) -> None:
    numbers = reference("intervals")
    column = np.array(numbers["draws"])[:, None]
    jackknife = np.array(numbers["jackknife"])[:, None]
    for expected in numbers["intervals"]:
        found = interval(column, np.array([numbers["estimate"]]), kind, expected["level"], jackknife)
        np.testing.assert_allclose([found[0][0], found[1][0]], expected[kind], rtol=1e-10)
