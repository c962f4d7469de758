"""Claims on groups with latents of their own, against lavaan: slopes, and total, direct and indirect differences."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from reference_case import data_frame

import b2b_sem as bs
from b2b_sem.analysis.claim_effect import compare_claim
from b2b_sem.analysis.fitted import context_of
from b2b_sem.engine.mean_difference import mean_differences
from b2b_sem.results.group_claim import GroupClaim
from b2b_sem.spec.claim import ClaimModel
from b2b_sem.spec.model import ModelSpec

HERE = Path(__file__).resolve().parent / "claim"
CASES: dict[str, dict[str, Any]] = {
    c["id"]: c for c in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
}
#: Reference solutions are polished; the largest difference measured is 1.5e-9.
RTOL = 2e-8
#: Of differences, which may be zero.
FLOOR = 1e-9
NUMBERS = ("est", "se", "z", "pvalue", "ci_lower", "ci_upper")
IDS = [
    pytest.param(i, id=i, marks=[pytest.mark.shared_data] if c["data"].startswith("shared:") else [])
    for i, c in CASES.items()
]


def claim_of(case: dict[str, Any]) -> ClaimModel:
    """Return the claim as a model file states it, its latents measured by the proposition."""
    lines = "\n".join(f"{y} ~ {' + '.join(x)}" for y, x in case["paths"].items())
    spec = ModelSpec.model_validate(
        {
            "schema_version": 1,
            "kind": "model",
            "id": "m",
            "title": "m",
            "text": "F =~ f1 + f2 + f3",
            "propositions": (
                {
                    "id": "P",
                    "statement": "s",
                    "test": "group",
                    "group": case["group"],
                    "level": "own",
                    "measurement": {f: {"items": tuple(items)} for f, items in case["latents"].items()},
                    "structural": lines,
                    case["role"]: tuple(case["between"]),
                    "parts": tuple({"path": f"RG -> {y}", "sign": "+"} for y in case["outcomes"]),
                },
            ),
        }
    )
    assert not list(spec.problems())
    found = spec.claim_model("P")
    assert found is not None
    # levels of a survey are names; these data have numbers and others
    return replace(found, level=case["level"])


@cache
def ours(case_id: str) -> GroupClaim:
    case = CASES[case_id]
    data = data_frame(case["data"])
    groups = data[case["group"]].map(lambda v: v if isinstance(v, str) else f"{v:g}", na_action="ignore")
    return compare_claim(claim_of(case), data, groups, case["options"], alpha=0.05, level=0.95)


@cache
def by_hand(case_id: str, kind: str) -> dict[str, dict[str, float]]:
    """Return the differences of one of the two models, chosen or not, by their names in the reference."""
    case, found = CASES[case_id], ours(case_id)
    data = data_frame(case["data"])
    group = data[case["group"]].map(lambda v: v if isinstance(v, str) else f"{v:g}", na_action="ignore")
    data = data.assign(**{case["group"]: group}).iloc[(group == case["level"]).argsort(kind="stable")]
    fit = bs.fit(
        found.text,
        data,
        group=case["group"],
        group_equal=["loadings", "intercepts", *(["regressions"] if kind == "equal" else [])],
        group_partial=case["partial"],
        std_lv=True,
        **case["options"],
    )
    context = context_of(fit)
    sizes = fit.group_tests["nobs"].to_numpy(float)
    shares = (sizes[0] / sizes.sum(), sizes[1] / sizes.sum())
    raw = context.problem.values(context.solution.theta)
    table = context.problem.table
    out = {}
    for d in mean_differences(table, raw, case["outcomes"], (1, 2), shares, unequal=kind == "free"):
        name = f"{d.effect}_{d.outcome}" + (f"_{d.through}" if d.through else "")
        name += {"": "", "first": "_at_1", "second": "_at_2"}[d.at]
        out[name] = {"est": d.value, "se": math.sqrt(float(d.slope @ context.vcov @ d.slope))}
    return out


def chosen(found: GroupClaim) -> dict[str, dict[str, float]]:
    """Return the effects of the public result by their names in the reference."""
    places = {"": "", found.reference: "_at_1", found.level: "_at_2"}
    return {
        f"{r['effect']}_{r['outcome']}" + (f"_{r['through']}" if r["through"] else "") + places[r["at"]]: r
        for r in found.effects.to_dict("records")
    }


def reference(case_id: str) -> dict[str, Any]:
    return json.loads((HERE / f"{case_id}.json").read_text(encoding="utf-8"))


def differ(what: str, a: dict[str, Any], b: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    return [
        f"{what} {name}: {a.get(name)!r}, reference {b[name]!r}"
        for name in names
        if name not in a or not abs(a[name] - b[name]) <= max(RTOL * abs(b[name]), FLOOR)
    ]


def table_differences(what: str, mine: dict[str, Any], theirs: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    out = [f"{what} {key}: on one side only" for key in sorted(mine.keys() ^ theirs.keys())]
    for key in sorted(mine.keys() & theirs.keys()):
        out += differ(f"{what} {key}", mine[key], theirs[key], names)
    return out


def all_differences(case_id: str, theirs: dict[str, Any]) -> list[str]:
    found = ours(case_id)
    out = differ("test", dict(found.slopes_test), theirs["test"], ("chisq", "df", "pvalue", "wald", "wald_pvalue"))
    slopes = {r["path"]: r for r in found.slopes.to_dict("records")}
    out += table_differences("slope", slopes, {r["path"]: r for r in theirs["slopes"]}, ("first", "second", *NUMBERS))
    tables = {kind: {r["name"]: r for r in theirs[kind]} for kind in ("equal", "free")}
    for kind, table in tables.items():
        out += table_differences(kind, by_hand(case_id, kind), table, ("est", "se"))
    kind = "equal" if found.equal_slopes else "free"
    return out + table_differences(f"chosen ({kind})", chosen(found), tables[kind], NUMBERS)


@pytest.mark.parametrize("case_id", IDS)
def test_close(case_id: str) -> None:
    assert not all_differences(case_id, reference(case_id))


@pytest.mark.parametrize("case_id", IDS)
def test_setting(case_id: str) -> None:
    """The groups stand in the same order, and our own ladder releases what the reference was told to free."""
    case, found, theirs = CASES[case_id], ours(case_id), reference(case_id)
    assert found.reasons == ()
    assert found.invariance is not None
    assert found.invariance.releases["parameter"].tolist() == case["partial"]
    assert dict(found.invariance.groups) == theirs["groups"]
    assert (found.reference, found.level) == tuple(theirs["groups"])
    assert found.equal_slopes == (theirs["test"]["pvalue"] >= 0.05)
    judged = found.effects[found.effects["judged"]]
    assert judged["outcome"].tolist() == case["outcomes"]
    assert set(judged["effect"]) == {"total" if case["role"] == "mediators" else "direct"}


def test_a_wrong_number_is_found() -> None:
    theirs = reference("hs_mlr")
    for place, name in (("slopes", "se"), ("equal", "est"), ("free", "se")):
        wrong = copy.deepcopy(theirs)
        wrong[place][0][name] *= 1 + 1e-6
        assert all_differences("hs_mlr", wrong)
    short = copy.deepcopy(theirs)
    short["free"].pop()
    assert len(all_differences("hs_mlr", short)) == 1
    test = copy.deepcopy(theirs)
    test["test"]["chisq"] *= 1 + 1e-6
    assert len(all_differences("hs_mlr", test)) == 1


def test_both_choices_are_among_the_cases() -> None:
    p = [reference(case_id)["test"]["pvalue"] for case_id in CASES]
    assert min(p) < 0.05 < max(p)


def test_reference_solutions_are_polished() -> None:
    for case_id in CASES:
        assert max(reference(case_id)["gradient"].values()) < 1e-7, case_id


def test_files_are_those_of_the_script() -> None:
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["sha256"]) >= {f"{i}.json" for i in CASES}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == digest, name
