"""Quasi-maximum likelihood against printed results of an established program: all rows, standard errors, likelihood.

The product is a square, where that version's formulas were right; printed results of the same version for a product of
two variables rest on a conditional variance that later versions corrected (see docs/developer/lavaan-differences.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from b2b_sem.analysis.structural import fit

PUBLISHED = json.loads((Path(__file__).parent / "quasi" / "published.json").read_text())
#: Half of the last printed digit, and what stopping at a relative change of 1e-6 leaves; z relative: that program takes
#: the Hessian from one-sided second differences of the likelihood with large steps, which moves standard errors by 1%.
EST, Z = 0.0005 + 0.0003, 0.015


def differences(rows: pd.DataFrame) -> list[str]:
    """Return where printed and own numbers differ; a row that is missing on either side is a difference."""
    own: dict[Any, Any] = {}
    for r in rows[rows["free"] > 0].itertuples():
        key = (r.lhs, r.op, r.rhs)
        own[tuple(sorted((r.lhs, r.rhs))) if r.op == "~~" else key] = r
    out = []
    for r in PUBLISHED["rows"]:
        key = tuple(sorted((r["lhs"], r["rhs"]))) if r["op"] == "~~" else (r["lhs"], r["op"], r["rhs"])
        mine = own.pop(key, None)
        if mine is None:
            out.append(f"{key}: missing")
            continue
        out += [f"{key}: {mine.est} {r['est']}"] if abs(mine.est - r["est"]) > EST else []
        out += [f"{key}: se {mine.se} {r['se']}"] if abs(mine.se - r["se"]) > 0.0005 + Z * r["se"] else []
        out += [f"{key}: z {mine.z} {r['z']}"] if abs(mine.z - r["z"]) > Z * r["z"] else []
    return out + [f"{key}: not printed" for key in own]


@pytest.mark.shared_data
def test_printed_results(shared_data: Path) -> None:
    data = pd.read_csv(shared_data / "TPB.csv")
    found = fit(PUBLISHED["model"], data, interaction="qml")
    assert differences(found.parameters) == []
    assert found.measures["logl"] == pytest.approx(PUBLISHED["logl"], abs=0.006)
    assert found.measures["aic"] == pytest.approx(PUBLISHED["aic"], abs=0.011)
    assert found.measures["npar"] == PUBLISHED["npar"]
    # the comparison sees a wrong number, standard error and a missing row
    changed = found.parameters.copy()
    at = changed.index[changed["rhs"] == "INT:INT"][0]
    changed.loc[at, "est"] += 0.002
    assert differences(changed)
    changed = found.parameters.copy()
    changed.loc[at, "se"] *= 1.05
    changed.loc[at, "z"] /= 1.05
    assert differences(changed)
    assert differences(found.parameters.drop(index=at))
    # LMS is another method: its likelihood is another number
    exact = fit(PUBLISHED["model"], data)
    assert abs(exact.measures["logl"] - PUBLISHED["logl"]) > 0.04
