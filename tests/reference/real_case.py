"""The cases of real/cases.json: commands on real files, and what they write in the layout of a reference file."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from compare import NOT_COMPARED, row_key
from reference_case import HERE, ROOT, data_path

from b2b_sem.cli.app import run

REAL = HERE / "real"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads((REAL / "cases.json").read_text(encoding="utf-8"))["cases"]
}
STUDY = ROOT / "examples" / "influencer" / "study.yaml"
ENGINES = ("native", "semopy")


def parameters(ids: Iterable[str] = CASES) -> list[Any]:
    """Return pytest parameters, one a case; those on survey files outside the project carry their mark."""
    return [
        pytest.param(i, id=i, marks=[pytest.mark.shared_data] if CASES[i]["data"].startswith("shared:") else [])
        for i in ids
    ]


def load_real(case: str) -> dict[str, Any]:
    """Return the lavaan numbers of a case."""
    return json.loads((REAL / f"{case}.json").read_text(encoding="utf-8"))


def command(args: list[str]) -> str:
    """Run a ``b2b-sem`` command that must succeed; return what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(args)
    assert code == 0, f"b2b-sem {' '.join(args)} gave {code}:\n{err.getvalue()}"
    return out.getvalue()


def fit_by_command(case: str, *options: str) -> dict[str, Any]:
    """Return the JSON that ``b2b-sem fit`` prints for a case."""
    spec = CASES[case]
    return json.loads(
        command(["fit", str(ROOT / spec["model"]), "--data", str(data_path(spec["data"])), "--json", "-", *options])
    )


def run_by_command(out: Path, *options: str) -> dict[str, Any]:
    """Return the results.json that ``b2b-sem run`` writes for the influencer study."""
    command(["run", str(STUDY), "--data", str(data_path("shared:influencer")), "--out", str(out), *options])
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def as_reference(fit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of a fit in the layout of a reference file."""

    def matrix(part: Mapping[str, Any]) -> dict[str, Any]:
        assert part["rows"] == part["columns"]
        return {"names": part["rows"], "values": part["values"]}

    same = ("admissible", "nobs", "measures", "parameters", "standardized", "r2")
    return {
        **{name: fit[name] for name in same},
        "implied": {"cov": matrix(fit["implied_cov"])},
        "sample": {"cov": matrix(fit["sample_cov"])},
    }


def largest_differences(ours: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """Return the largest relative difference of estimates, SEs, standardized solution, its SEs, measures and p values.

    Plain ``|a - b| / |b|`` without any floor, over every number of the reference; a number that is 0 there (SEs of
    fixed parameters) must be 0 in the fit, or the difference is infinite. The RMSEA bounds are compared with the
    tightly solved ones. Of the p values of the measures those below 1e-10 are left out: lavaan computes 1 - F(x), whose
    rounding is 1e-16 (and about 1e-13 for the non-central distribution).
    """
    out = {}
    for name, (table, column) in {
        "est": ("parameters", "est"),
        "se": ("parameters", "se"),
        "std.all": ("standardized", "est_std"),
        "std se": ("standardized", "se"),
    }.items():
        mine = {row_key(row): row[column] for row in ours[table]}
        out[name] = max(_relative(mine[row_key(row)], row[column]) for row in reference[table])
    out |= {"measures": 0.0, "p": 0.0}
    for name, value in reference["measures"].items():
        if name in NOT_COMPARED or ("pvalue" in name and value is not None and value < 1e-10):
            continue
        kind = "p" if "pvalue" in name else "measures"
        out[kind] = max(out[kind], _relative(ours["measures"][name], value))
    return out


def _relative(ours: float | None, reference: float | None) -> float:
    if ours is None or reference is None:
        return 0.0 if ours is reference else float("inf")
    if ours == reference:
        return 0.0
    return abs(ours - reference) / abs(reference) if reference else float("inf")
