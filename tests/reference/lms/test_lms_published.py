"""Latent products against printed results of Mplus and of the R package modsem, by name.

Mplus prints three decimals, and the covariance matrix of the estimates with six digits. Its own error is larger: the
search ends at a derivative of 1e-3, and 15 adaptive points are not exact either. The tolerance of variances and
covariances is three times the largest difference found, 4e-4 of the product of the standard errors; printed numbers
must be the same up to the last digit, give or take one where that error reaches it.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs

PUBLISHED = json.loads((Path(__file__).resolve().parent / "published.json").read_text(encoding="utf-8"))
#: Of variances and covariances of estimates, in products of standard errors.
COVARIANCE = 1.2e-3
#: Of estimates, relative to their standard errors, beside the rounding of three decimals; ratios have the same error.
NOISE = 2e-3
#: The model of Mplus with a label for every parameter whose covariances are printed.
LABELLED = """
X =~ x1 + lx*x2
Z =~ z1 + z2
Y =~ y1 + ly*y2
Y ~ b1*X + b2*Z + b3*X:Z
ccoef := (b1 + b2*b3) / 2
b1 == b2
y1 ~ i*1
y2 ~ j*1
y1 ~~ ty*y1
Y ~~ vy*Y
X ~~ vx*X + c*Z
Z ~~ vz*Z
"""
pytestmark = pytest.mark.shared_data


@cache
def data(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "oneInt.csv")


@cache
def fitted(folder: Path) -> Any:
    return bs.fit(PUBLISHED["mplus"]["model"], data(folder), estimator=PUBLISHED["mplus"]["estimator"])


def key(row: Any) -> str:
    return f"{row.lhs}:=" if row.op == ":=" else f"{row.lhs}{row.op}{row.rhs}"


def differences(found: Any, reference: dict[str, Any]) -> list[str]:
    """Return every number of the printed results that is not found, one line each."""
    out: list[str] = []

    def hold(name: str, ours: float, theirs: float, allowed: float) -> None:
        if not abs(ours - theirs) <= allowed:
            out.append(f"{name}: {ours:.7g}, printed {theirs:.7g}")

    for name, value in reference["measures"].items():
        hold(name, found.measures[name], value, 0.00051)
    for name, value in reference["r2"].items():
        hold(f"r2 {name}", found.r2[name], value, 0.00051)
    rows = {key(r): r for r in found.parameters.itertuples()}
    free = {k for k, r in rows.items() if r.free > 0 or r.op == ":="}
    out += [f"{name}: not on both sides" for name in free ^ set(reference["parameters"])]
    for name in free & set(reference["parameters"]):
        row, printed = rows[name], reference["parameters"][name]
        hold(f"{name} est", row.est, printed["est"], 0.0005 + NOISE * row.se)
        hold(f"{name} se", row.se, printed["se"], 0.0005 + NOISE * row.se)
        hold(f"{name} z", row.z, printed["z"], 0.0005 + NOISE * abs(row.z))
        hold(f"{name} variance", row.se**2, printed["variance"], COVARIANCE * row.se**2)
    std = {f"{r.lhs}{r.op}{r.rhs}": r for r in found.standardized().itertuples() if r.op != ":=" and r.se > 0}
    out += [f"{name}: not on both sides, standardized" for name in set(std) ^ set(reference["standardized"])]
    for name in set(std) & set(reference["standardized"]):
        row, printed = std[name], reference["standardized"][name]
        hold(f"{name} std", row.est_std, printed["est"], 0.0005 + NOISE * row.se)
        hold(f"{name} std se", row.se, printed["se"], 0.0005 + NOISE * row.se)
        hold(f"{name} std z", row.z, printed["z"], 0.0005 + NOISE * abs(row.z))
    return out


def test_mplus(shared_data: Path) -> None:
    found = fitted(shared_data)
    assert found.ok
    assert differences(found, PUBLISHED["mplus"]) == []


def test_covariances_of_estimates(shared_data: Path) -> None:
    """Wald tests see covariances: the variance of a - b, for pairs whose covariance Mplus prints."""
    reference = PUBLISHED["mplus"]
    labels = {"Y~X": "b1", "Y~X:Z": "b3", "y1~1": "i", "y2~1": "j", "X~~X": "vx", "Z~~Z": "vz", "X~~Z": "c"}
    labels |= {"Y~~Y": "vy", "X=~x2": "lx", "Y=~y2": "ly", "y1~~y1": "ty", "ccoef:=": "ccoef"}
    pairs = {name: name.split("|") for name in reference["covariances"]}
    text = LABELLED
    text += "\n".join(f"d{k} := {labels[a]} - {labels[b]}" for k, (a, b) in enumerate(pairs.values()))
    found = bs.fit(text, data(shared_data), estimator="MLR")
    rows = {key(r): r.se for r in found.parameters.itertuples()}
    for k, (name, (a, b)) in enumerate(pairs.items()):
        covariance = (rows[a] ** 2 + rows[b] ** 2 - rows[f"d{k}:="] ** 2) / 2.0
        assert covariance == pytest.approx(reference["covariances"][name], abs=COVARIANCE * rows[a] * rows[b]), name


@pytest.mark.parametrize(
    "path",
    [
        ("measures", "logl"),
        ("r2", "Y"),
        ("parameters", "Y~X:Z", "est"),
        ("parameters", "Y~X:Z", "variance"),
        ("parameters", "ccoef:=", "z"),
        ("standardized", "Y~X:Z", "est"),
        ("standardized", "Y~X:Z", "z"),
    ],
)
def test_a_wrong_number_is_seen(path: tuple[str, ...], shared_data: Path) -> None:
    reference = copy.deepcopy(PUBLISHED["mplus"])
    *outer, last = path
    at = reference
    for name in outer:
        at = at[name]
    at[last] *= 1.01
    assert len(differences(fitted(shared_data), reference)) == 1
    del reference["parameters"]["Y~X:Z"]
    assert any("not on both sides" in line for line in differences(fitted(shared_data), reference))


@pytest.mark.parametrize("number", range(len(PUBLISHED["modsem"])))
def test_modsem(number: int, shared_data: Path) -> None:
    """24 fixed points of Gauss and Hermite miss the log-likelihood by some hundredths; the linear model has none."""
    reference = PUBLISHED["modsem"][number]
    found = bs.fit(reference["model"], data(shared_data))
    measures = found.measures
    for name, value in reference["measures"].items():
        allowed = {"npar": 0.0, "linear_logl": 0.0051}.get(name, 0.05 if name == "logl" else 0.1)
        assert measures[name] == pytest.approx(value, abs=allowed), name
    assert np.isclose(measures["aic"], -2.0 * measures["logl"] + 2.0 * measures["npar"])
