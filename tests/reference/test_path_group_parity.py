"""Paths compared across groups, against lavaan: Wald and difference tests, differences, power."""

from __future__ import annotations

import copy
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from reference_case import data_frame

import b2b_sem as bs
from b2b_sem.results.path_group import PathGroupResult

HERE = Path(__file__).resolve().parent / "path_group"
CASES: dict[str, dict[str, Any]] = {
    c["id"]: c for c in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
}
#: Reference solutions are polished.
RTOL = 2e-8
#: Of differences, which may be zero.
FLOOR = 1e-9
IDS = [
    pytest.param(i, id=i, marks=[pytest.mark.shared_data] if c["data"].startswith("shared:") else [])
    for i, c in CASES.items()
]


@cache
def ours(case_id: str) -> PathGroupResult:
    case = CASES[case_id]
    return bs.compare_groups(
        "\n".join(case["model"]),
        data_frame(case["data"]),
        case["group"],
        paths=case.get("paths"),
        partial=case.get("partial", ()),
        **case["options"],
    )


def reference(case_id: str) -> dict[str, Any]:
    return json.loads((HERE / f"{case_id}.json").read_text(encoding="utf-8"))


def differ(what: str, a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Compare two sets of numbers by name, all that the reference has."""
    out = []
    for name, theirs in b.items():
        if name in ("path", "group", "gradient"):
            continue
        if name not in a or theirs is None:
            out.append(f"{what} {name}: one side is missing")
        elif not abs(a[name] - theirs) <= max(RTOL * abs(theirs), FLOOR):
            out.append(f"{what} {name}: {a[name]!r}, reference {theirs!r}")
    return out


def all_differences(found: PathGroupResult, theirs: dict[str, Any]) -> list[str]:
    out = differ("omnibus", found.omnibus, theirs["omnibus"])
    out += differ("loadings", dict(found.loadings), theirs["loadings"])
    if dict(found.groups) != theirs["groups"]:
        out.append(f"groups: {dict(found.groups)}, reference {theirs['groups']}")
    for name, keys in (("tests", ["path"]), ("differences", ["path", "group"])):
        mine = {tuple(str(r[k]) for k in keys): r for r in getattr(found, name).to_dict("records")}
        other = {tuple(str(r[k]) for k in keys): r for r in theirs[name]}
        out += [f"{name} {key}: on one side only" for key in mine.keys() ^ other.keys()]
        for key in mine.keys() & other.keys():
            out += differ(f"{name} {key}", mine[key], other[key])
    return out


@pytest.mark.parametrize("case_id", IDS)
def test_close(case_id: str) -> None:
    assert not all_differences(ours(case_id), reference(case_id))


def test_a_wrong_number_is_found() -> None:
    theirs = reference("hs")
    for place, name in (("tests", "chisq_diff"), ("differences", "power"), ("tests", "wald_adjusted")):
        wrong = copy.deepcopy(theirs)
        wrong[place][0][name] *= 1 + 1e-6
        assert len(all_differences(ours("hs"), wrong)) == 1
    short = copy.deepcopy(theirs)
    short["differences"].pop()
    assert len(all_differences(ours("hs"), short)) == 1


def test_reference_solutions_are_polished() -> None:
    for case_id in CASES:
        theirs = reference(case_id)
        gradients = [theirs["gradient"], theirs["omnibus"]["gradient"], *(t["gradient"] for t in theirs["tests"])]
        assert max(gradients) < 1e-7, case_id


def test_files_are_those_of_the_script() -> None:
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["sha256"]) >= {f"{i}.json" for i in CASES}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == digest, name
