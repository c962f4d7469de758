"""Modification indices, score tests, Wald tests and chi-square differences against lavaan, by name."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from reference_case import CASES, data_frame, data_path, fit, model_text, sha256  # noqa: E402

import b2b_sem as bs  # noqa: E402
from b2b_sem.engine.difference import bread_and_meat, restriction, scaling_factor  # noqa: E402
from b2b_sem.engine.nested import reproduce  # noqa: E402
from b2b_sem.measures.difference import (  # noqa: E402
    satorra_2000,
    satorra_bentler_2001,
    satorra_bentler_2010,
)

SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
#: Ten times the largest difference over all cases. Changes near zero are differences of large numbers: held to
#: RTOL of one unit of chi-square, or of one standard error.
RTOL = 1e-7
PVALUE = 2e-15


def load(kind: str) -> dict[str, Any]:
    return json.loads((HERE / f"{kind}.json").read_text(encoding="utf-8"))


MANIFEST = load("manifest")
INDICES, SCORE, WALD, LRT = load("modindices"), load("score"), load("wald"), load("lrt")
OWN = {case["id"]: case for kind in ("score", "lrt") for case in SPEC[kind]}


def marked(ids: Sequence[str], source: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    return [
        pytest.param(i, id=i, marks=[pytest.mark.shared_data] if source[i]["data"].startswith("shared:") else [])
        for i in ids
    ]


@cache
def own_fit(case: str, number: int = -1) -> Any:
    spec = OWN[case]
    if spec.get("same_as"):
        return fit(spec["same_as"], "native")
    lines = spec["model"] if number < 0 else spec["models"][number]
    return bs.fit("\n".join(lines), data_frame(spec["data"]), engine="native", **spec.get("options", {}))


def number(value: Any) -> float:
    return math.nan if value is None else float(value)


def key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    lhs, op, rhs = str(row["lhs"]), str(row["op"]), str(row["rhs"] or "")
    if op == "==" and "~~" in lhs:  # a covariance that is added
        lhs = "~~".join(sorted(lhs.split("~~")))
    return (rhs, op, lhs) if op == "~~" and rhs < lhs else (lhs, op, rhs)


def compare_rows(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], floors: Mapping[str, Any]
) -> list[str]:
    """Return what differs between two tables, by name; a row on one side only is a difference."""
    mine, reference = {key(r): r for r in ours}, {key(r): r for r in theirs}
    out = []
    if len(mine) != len(ours) or len(reference) != len(theirs):
        out.append("a row is there twice")
    out += [f"{k}: not in the result" for k in reference if k not in mine]
    out += [f"{k}: not in the reference" for k in mine if k not in reference]
    for k, row in reference.items():
        if k not in mine:
            continue
        for column, floor in floors.items():
            a, b = number(mine[k][column]), number(row[column])
            allowed = RTOL * max(abs(b), floor(row) if callable(floor) else floor)
            if column == "pvalue":
                allowed = RTOL * max(1.0, number(row["chisq"])) * b + PVALUE
            if math.isnan(b) and column.startswith("sepc"):
                continue  # a variance: see generate.R, and test_standardized_change_of_a_variance
            if not abs(a - b) <= allowed:
                out.append(f"{k} {column}: {a:.12g}, reference {b:.12g}")
    return out


def standard_error(row: Mapping[str, Any]) -> float:
    """Of the expected change: epc^2 / mi is its variance."""
    mi, epc = number(row["mi"]), number(row["epc"])
    return abs(epc) / math.sqrt(mi) if mi > 0 else 1.0


def stretched(column: str) -> Any:
    return lambda row: (
        standard_error(row) * abs(number(row[column]) / number(row["epc"])) if number(row["epc"]) else 1.0
    )


def compare_indices(ours: Any, reference: Mapping[str, Any]) -> list[str]:
    rows = [dict(zip(reference, values, strict=True)) for values in zip(*reference.values(), strict=True)]
    floors = {"mi": 1.0, "epc": standard_error, **{c: stretched(c) for c in ("sepc_lv", "sepc_all", "sepc_nox")}}
    return compare_rows(ours.to_dict("records"), rows, floors)


# ---- the reference files themselves ----------------------------------------------------------------------------------


def test_reference_files_belong_to_these_cases_and_scripts() -> None:
    digests = MANIFEST["sha256"]
    assert digests["cases"] == sha256(HERE / "cases.json"), "cases.json changed: run tests/reference/tests/generate.R"
    assert digests["all_cases"] == sha256(HERE.parent / "cases.json")
    assert digests["generate"] == sha256(HERE / "generate.R")
    assert digests["common"] == sha256(HERE.parent / "lavaan" / "common.R")
    for name, digest in digests["outputs"].items():
        assert digest == sha256(HERE / f"{name}.json")
    assert list(INDICES) == SPEC["modindices"]
    assert list(SCORE) == [case["id"] for case in SPEC["score"]]
    assert list(LRT) == [case["id"] for case in SPEC["lrt"]]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(s, marks=[pytest.mark.shared_data] if s.startswith("shared:") else [])
        for s in sorted(MANIFEST["sha256"]["data"])
    ],
)
def test_data_are_those_of_the_reference(source: str) -> None:
    assert sha256(data_path(source)) == MANIFEST["sha256"]["data"][source]


# ---- modification indices --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", marked(SPEC["modindices"], CASES))
def test_modification_indices(case: str) -> None:
    assert compare_indices(fit(case, "native").modification_indices(), INDICES[case]) == []


def test_wrong_indices_would_be_seen() -> None:
    reference = {name: list(values) for name, values in INDICES["hs_three_factor"].items()}
    table = fit("hs_three_factor", "native").modification_indices()
    assert compare_indices(table.iloc[1:], reference)
    for column, factor in (("mi", 1 + 1e-6), ("epc", -1.0), ("sepc_all", 1 + 1e-6)):
        wrong = table.copy()
        wrong.loc[3, column] *= factor
        assert len(compare_indices(wrong, reference)) == 1


# ---- score tests -----------------------------------------------------------------------------------------------------


def compare_score(ours: Any, reference: Mapping[str, Any]) -> list[str]:
    out = []
    for name, allowed in (("chisq", RTOL), ("pvalue", 1e-5)):
        a, b = getattr(ours, name), reference[name]
        if abs(a - b) > allowed * abs(b) + PVALUE:
            out.append(f"total {name}: {a:.12g}, reference {b:.12g}")
    if ours.df != reference["df"]:
        out.append(f"total df: {ours.df}, reference {reference['df']}")
    tests = {"chisq": 1.0, "df": 0.0, "pvalue": 0.0}
    out += compare_rows(ours.univariate.to_dict("records"), reference["univariate"], tests)
    out += compare_rows(ours.cumulative.to_dict("records"), reference["cumulative"], tests)
    # changes are held to the size of the largest of their kind: parameters that do not move are differences
    floors = {c: max(abs(number(r[c])) for r in reference["epc"] if r[c] is not None) for c in ("epc", "epv")}
    floors |= {"est": 0.1, "sepc_lv": 0.1, "sepc_all": 0.1, "sepc_nox": 0.1}
    out += compare_rows(ours.epc.to_dict("records"), reference["epc"], floors)
    return out


@pytest.mark.parametrize("case", marked(list(SCORE), OWN))
def test_score_tests(case: str) -> None:
    result, reference = own_fit(case), SCORE[case]
    if "add" in OWN[case]:
        assert compare_score(result.score_test(OWN[case]["add"]), reference["all"]) == []
        return
    assert compare_score(result.score_test(), reference["all"]) == []
    assert compare_score(result.score_test(release=[2]), reference["second"]) == []
    assert compare_score(result.score_test(release=[1, 2]), reference["first_two"]) == []


def test_wrong_score_tests_would_be_seen() -> None:
    result = own_fit("hs_labels")
    assert compare_score(result.score_test(release=[1]), SCORE["hs_labels"]["second"])


# ---- Wald tests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", marked(list(WALD), CASES))
def test_wald_tests(case: str) -> None:
    for reference in WALD[case]:
        test = fit(case, "native").wald_test(reference["restrictions"])
        assert test.df == reference["df"]
        assert test.chisq == pytest.approx(reference["chisq"], rel=RTOL)
        assert test.pvalue == pytest.approx(reference["pvalue"], rel=1e-5, abs=PVALUE)


# ---- differences of chi-square ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", marked(list(LRT), OWN))
def test_differences(case: str) -> None:
    reference = LRT[case]["standard"]
    count = len(OWN[case]["models"])
    result = bs.compare(*(own_fit(case, i) for i in range(count)), names="abc"[:count])
    table = result.table
    assert list(table["model"]) == reference["model"]
    assert max(result.nested) < 1e-8
    names = {"df": "df", "aic": "aic", "bic": "bic", "chisq": "chisq", "chisq_diff": "chisq_diff"}
    names |= {"df_diff": "df_diff", "pvalue": "pvalue", "rmsea_diff": "rmsea"}
    for ours, theirs in names.items():
        expected = [number(v) for v in reference[theirs]]
        assert table[ours].to_numpy(float) == pytest.approx(expected, rel=1e-8, abs=1e-9, nan_ok=True), ours


@pytest.mark.parametrize("case", marked(list(LRT), OWN))
def test_scaled_differences(case: str) -> None:
    """From lavaan's scaling factors, and from the data."""
    reference = LRT[case]
    count = len(OWN[case]["models"])
    fits = [own_fit(case, i) for i in range(count)]
    order = sorted(range(count), key=lambda i: fits[i].measures["df"])
    mlm = [reference["mlm"][i] for i in order]
    for k in range(1, count):
        larger, smaller = fits[order[k - 1]], fits[order[k]]
        t1, r1, c1 = mlm[k - 1]["chisq"], mlm[k - 1]["df"], mlm[k - 1]["factor"]
        t0, r0, c0 = mlm[k]["chisq"], mlm[k]["df"], mlm[k]["factor"]
        c1 = 1.0 if c1 is None else c1
        found = satorra_bentler_2001(t1, r1, c1, t0, r0, c0)
        expected = reference["satorra_bentler_2001"]
        assert found.chisq == pytest.approx(expected["chisq_diff"][k], rel=1e-9)
        assert found.df == expected["df_diff"][k]
        assert found.pvalue == pytest.approx(expected["pvalue"][k], rel=1e-7)

        first, second = larger._context, smaller._context
        names = first.observed.names
        raw = first.observed.raw[0][:, [names.index(v) for v in first.problem.table.observed]]
        if first.problem.table.fixed_x:
            continue
        assert scaling_factor(first.problem, raw, first.solution.theta, r1) == pytest.approx(c1, rel=RTOL)
        bread, meat = bread_and_meat(first.problem, raw, first.solution.theta)
        given_up = restriction(first.problem, first.solution.theta, second.problem, second.solution.theta)
        found = satorra_2000(t1, r1, t0, r0, restriction=given_up, inverse=bread, meat=meat)
        assert found.chisq == pytest.approx(reference["satorra_2000"]["chisq_diff"][k], rel=RTOL)

        implied = smaller.implied()["cov"]
        point = reproduce(first.problem, first.solution.theta, tuple(implied.columns), implied.to_numpy(), None)
        apart = reference["m10_apart"]
        if (apart if isinstance(apart, float) else apart[k - 1]) > 1e-6:
            # lavaan's larger model does not have the moments of the smaller one there: see lavaan-differences
            continue
        c10 = scaling_factor(first.problem, raw, point.theta, r1)
        found = satorra_bentler_2010(t1, r1, c10, t0, r0, c0)
        assert found.chisq == pytest.approx(reference["satorra_bentler_2010"]["chisq_diff"][k], rel=1e-6)


@pytest.mark.parametrize("method", ["satorra.bentler.2001", "satorra.bentler.2010", "satorra.2000"])
@pytest.mark.parametrize("case", ["hs_equal", "pd_mediation"])
def test_scaled_comparison(case: str, method: str) -> None:
    """The whole way, with lavaan's scaling factors put into the fits."""
    fits = []
    for i, own in enumerate(LRT[case]["mlm"]):
        plain = own_fit(case, i)
        factor = own["factor"]
        fits.append(replace(plain, _measures={**plain.measures, "chisq_scaling_factor": factor}))
    result = bs.compare(*fits, names="abc"[: len(fits)], method=method)
    expected = LRT[case][method.replace(".", "_")]
    assert list(result.table["model"]) == expected["model"]
    for ours, theirs in {"chisq_diff": "chisq_diff", "pvalue": "pvalue", "chisq": "chisq"}.items():
        numbers = [number(v) for v in expected[theirs]]
        assert result.table[ours].to_numpy(float) == pytest.approx(numbers, rel=1e-6, nan_ok=True), ours
    if method == "satorra.bentler.2001":
        assert bs.compare(*fits).method == method
        with pytest.raises(bs.Unsupported, match="not chi-square distributed"):
            bs.compare(*fits, method="standard")


def test_models_of_the_cases_are_written_for_both_programs() -> None:
    for entry in SPEC["wald"]:
        assert model_text(entry["case"])
