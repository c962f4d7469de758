"""Parameter tables of several groups, row by row against lavaan: what is free, fixed, equal and labelled.

The reference is written by ``group_table/generate.R``; nothing is fitted, so every value is compared exactly.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from b2b_sem.spec.partable import ParameterTable, Row, build_table
from b2b_sem.spec.syntax import parse_model

HERE = Path(__file__).parent / "group_table"
CASES = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text())["cases"]}
REFERENCE = json.loads((HERE / "reference.json").read_text())
TABLES = {table["id"]: table for table in REFERENCE["tables"]}
COLUMNS = ("lhs", "op", "rhs", "user", "group", "free", "ustart", "label", "lower", "upper")


def build(case: dict[str, Any]) -> ParameterTable:
    options = dict(case["options"])
    growth = options.pop("kind", "sem") == "growth"
    return build_table(
        parse_model("\n".join(case["model"])),
        groups=tuple(f"g{k + 1}" for k in range(case["groups"])),
        categories=case.get("ordered"),
        growth=growth,
        **options,
    )


def ours(row: Row) -> tuple[Any, ...]:
    sides = sorted((row.lhs, row.rhs)) if row.op == "~~" else (row.lhs, row.rhs)
    number = row.start if row.free else row.value
    return (sides[0], row.op, sides[1], row.user, row.group, row.free, number, row.label, row.lower, row.upper)


def theirs(table: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows = []
    for lhs, op, rhs, user, group, free, ustart, label, lower, upper in zip(
        *(table["rows"][name] for name in COLUMNS), strict=True
    ):
        sides = sorted((lhs, rhs)) if op == "~~" else (lhs, rhs)
        rows.append((sides[0], op, sides[1], bool(user), int(group), free, ustart, label, lower, upper))
    return rows


def differences(found: list[tuple[Any, ...]], wanted: list[tuple[Any, ...]]) -> list[str]:
    out = [f"{len(found)} rows, lavaan has {len(wanted)}"] if len(found) != len(wanted) else []
    return out + [f"{a} lavaan: {b}" for a, b in zip(found, wanted, strict=False) if a != b]


def test_the_reference_is_of_these_cases() -> None:
    assert hashlib.sha256((HERE / "cases.json").read_bytes()).hexdigest() == REFERENCE["cases_digest"]
    assert list(CASES) == list(TABLES)


@pytest.mark.parametrize("name", CASES)
def test_table_is_that_of_lavaan(name: str) -> None:
    table = build(CASES[name])
    assert table.meanstructure is TABLES[name]["meanstructure"]
    assert differences([ours(r) for r in table.rows], theirs(TABLES[name])) == []


@pytest.mark.parametrize("name", ["scalar", "ordinal_scalar", "fixed_each"])
def test_the_parts_are_the_whole(name: str) -> None:
    table = build(CASES[name])
    parts = [table.part(g) for g in (1, 2)]
    assert [r for part in parts for r in part.rows] == list(table.rows)
    assert {part.nfree for part in parts} == {table.nfree}


def test_a_wrong_equality_is_seen() -> None:
    found = [ours(r) for r in build(CASES["scalar"] | {"options": {"group_equal": ["loadings"]}}).rows]
    assert any("~1" in text for text in differences(found, theirs(TABLES["scalar"])))
