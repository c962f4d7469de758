"""Comparing two results value by value."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from b2b_sem.results.verification import TOLERANCE, compare_results

RESULT: dict[str, Any] = {
    "nobs": 200,
    "ok": True,
    "chisq": 123.456,
    "warnings": ["loading of a1 .395 is below .40"],
    "fit": {
        "parameters": [
            {"lhs": "F", "op": "=~", "rhs": "a1", "group": 1, "est": 1.0, "se": None},
            {"lhs": "F", "op": "=~", "rhs": "a2", "group": 1, "est": 0.8, "se": 0.05},
        ],
        "optimizer": {"iterations": 5, "gradient": 1e-12},
        "cov": {"rows": ["a", "b"], "columns": ["a", "b"], "values": [[2e-9, 1e-9], [1e-9, 3e-9]]},
    },
    "effects": {"ci": "bca", "level": 0.95, "draws": 1000, "effects": [
        {"kind": "indirect", "path": "A -> B", "est": 0.3, "se": 0.1, "ci_lower": 0.1, "ci_upper": 0.5, "pvalue": 0.01}
    ]},
    "tables": {"power": [{"condition": "n=100", "power": 0.8, "power_mcse": 0.02, "rejected": 40}]},
    "study": {"data": "/here/d.csv", "alpha": 0.05},
    "provenance": {"created": "today"},
}  # fmt: skip


def changed(*path: Any, value: Any) -> dict[str, Any]:
    out = copy.deepcopy(RESULT)
    inner = out
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return out


def test_equal_and_what_is_not_compared() -> None:
    found = compare_results(RESULT, copy.deepcopy(RESULT))
    assert found.differences == ()
    assert found.worst is not None
    assert found.worst.size == 0
    for other in (
        changed("provenance", "created", value="tomorrow"),
        changed("study", "data", value="/there/d.csv"),
        changed("fit", "optimizer", "iterations", value=6),
    ):
        assert compare_results(RESULT, other).differences == ()


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("nobs",), 201, "nobs"),
        (("ok",), False, "ok"),
        (("ok",), 1, "ok"),
        (("chisq",), 123.456 * (1 + 2e-6), "chisq"),
        (("chisq",), None, "chisq"),
        (("fit", "parameters", 1, "est"), 0.8 + 2e-6, "fit.parameters, F =~ a2 1, est"),
        (("fit", "parameters", 0, "se"), 0.0, "fit.parameters, F =~ a1 1, se"),
        (("fit", "parameters", 1, "rhs"), "a3", "fit.parameters, F =~ a2 1"),
        (("fit", "cov", "values", 0, 1), 1.1e-9, "fit.cov, a, b"),
        (("warnings", 0), "loading of a2 .395 is below .40", "warnings, 1"),
        (("warnings", 0), "loading of a1 .405 is below .40", "warnings, 1"),
        (("tables", "power", 0, "rejected"), 41, "tables.power, n=100, rejected"),
        (("study", "alpha"), 0.01, "study, alpha"),
    ],
)
def test_what_differs_and_where(path: tuple[Any, ...], value: Any, place: str) -> None:
    for saved, other in ((RESULT, changed(*path, value=value)), (changed(*path, value=value), RESULT)):
        found = compare_results(saved, other)
        assert place in {d.place for d in found.differences} or path[-1] == "rhs"
        assert found.differences


def test_sizes_and_the_worst() -> None:
    other = changed("fit", "parameters", 1, "est", value=0.9)
    other["fit"]["parameters"][1]["se"] = 0.050001
    found = compare_results(RESULT, other)
    assert found.worst is not None
    # relative to the larger of the two values and of the column, which has the units of the data
    assert found.worst.size == pytest.approx(0.1 / 1.0)
    assert [d.column for d in found.differences] == ["est", "se"]
    assert found.differences[1].size == pytest.approx(1e-6 / 0.050001)
    within = compare_results(RESULT, changed("chisq", value=123.456 * (1 + 0.9 * TOLERANCE)))
    assert within.differences == ()
    assert within.worst is not None
    assert within.worst.place == "chisq"


def test_the_last_printed_place_of_prose_may_differ() -> None:
    assert compare_results(RESULT, changed("warnings", 0, value="loading of a1 .396 is below .40")).differences == ()
    assert compare_results(RESULT, changed("warnings", value=[])).differences
    # not of names
    assert compare_results({"path": "x.395"}, {"path": "x.396"}).differences


def test_other_random_numbers_may_differ_by_three_errors() -> None:
    limit = 3 * math.sqrt(2)
    # se of a limit at .025 from 1000 draws: se sqrt(q (1 - q) / B) / phi(1.96)
    error = 0.1 * math.sqrt(0.025 * 0.975 / 1000) / 0.0584451
    for factor, same in ((0.99, True), (1.01, False)):
        moved = changed("effects", "effects", 0, "ci_lower", value=0.1 + factor * limit * error)
        assert (compare_results(RESULT, moved, resampled=True).differences == ()) is same
        assert compare_results(RESULT, moved).differences
        moved = changed("tables", "power", 0, "power", value=0.8 + factor * limit * 0.02)
        assert (compare_results(RESULT, moved, resampled=True).differences == ()) is same
        assert compare_results(RESULT, moved).differences
    # estimates are no random draws
    assert compare_results(RESULT, changed("effects", "effects", 0, "est", value=0.301), resampled=True).differences
