"""Several groups against lavaan: real groups, equality of all kinds, all estimators, every number by name."""

from __future__ import annotations

import copy

import group_case as gc
import pytest
from reference_case import data_path, sha256

import b2b_sem as bs


def test_the_numbers_belong_to_script_cases_and_data():
    manifest = gc.json.loads((gc.HERE / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["script"] == sha256(gc.HERE / "generate.R")
    assert manifest["cases"] == sha256(gc.HERE / "cases.json")
    assert set(manifest["data"]) == set(gc.CASES)
    for case, digest in manifest["data"].items():
        source = gc.CASES[case]["data"]
        if not source.startswith("shared:"):
            assert sha256(data_path(source)) == digest, case


@pytest.mark.parametrize(("case", "setting"), gc.parameters())
def test_all_numbers(case, setting):
    problems = gc.compare(gc.fit(case, setting), gc.reference(case)[setting])
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("where", "name", "factor"),
    [
        ("measures", "chisq", 1 + 1e-6),
        ("measures", "chisq_scaled", 1 + 1e-5),
        ("measures", "rmsea", 1 + 1e-6),
        ("measures", "srmr", 1 + 1e-6),
        ("measures", "gfi", 1 + 1e-6),
        ("measures", "logl", 1 + 1e-9),
        ("parameters", "est", 1 + 1e-5),
        ("parameters", "se", 1 + 1e-5),
        ("standardized", "se", 1 + 1e-4),
    ],
)
def test_a_wrong_number_is_found(where, name, factor):
    wrong = copy.deepcopy(gc.reference("hs_scalar")["MLM"])
    if where == "measures":
        wrong["measures"][name] *= factor
    else:
        row = next(r for r in wrong[where] if r["op"] == "~~" and r["group"] == 2 and r["se"])
        row[name] *= factor
    assert gc.compare(gc.fit("hs_scalar", "MLM"), wrong)


def test_a_missing_row_is_found():
    wrong = copy.deepcopy(gc.reference("hs_scalar")["ML"])
    wrong["parameters"] = [r for r in wrong["parameters"] if not (r["op"] == "~1" and r["group"] == 2)]
    assert gc.compare(gc.fit("hs_scalar", "ML"), wrong)


@pytest.mark.parametrize(("case", "setting"), gc.parameters(lambda n: n["score"]))
def test_releasing_equality_across_groups(case, setting):
    ref = gc.reference(case)[setting]["score"]
    rows = {row["plabel"]: gc.key(row) for row in ref["table"]}
    found = gc.fit(case, setting).score_test().univariate
    ours = {frozenset((sorted_sides(str(r.lhs)), sorted_sides(str(r.rhs)))): r.chisq for r in found.itertuples()}
    compared = 0
    for row in ref["uni"]:
        if row["lhs"] not in rows or row["rhs"] not in rows:
            continue  # a statement of labels
        pair = frozenset(name(*rows[side]) for side in (row["lhs"], row["rhs"]))
        assert ours[pair] == pytest.approx(row["X2"], rel=1e-6, abs=1e-8), pair
        compared += 1
    assert compared


def sorted_sides(text: str) -> str:
    """Return a parameter with the two sides of a covariance in alphabetical order."""
    body, dot, group = text.partition(".g")
    lhs, op, rhs = body.partition("~~")
    return (f"{rhs}~~{lhs}" if op and rhs < lhs else body) + dot + group


def name(lhs: str, op: str, rhs: str, group: int) -> str:
    """Return a parameter as it is written in score tests."""
    return f"{lhs}{op}{rhs}" if group == 1 else f"{lhs}{op}{rhs}.g{group}"


@pytest.mark.parametrize(("case", "setting"), gc.parameters(lambda n: n["modindices"]))
def test_modification_indices(case, setting):
    ref = {gc.key(row): row for row in gc.reference(case)[setting]["modindices"]}
    ours = {gc.key(row): row for row in gc.fit(case, setting).modification_indices().to_dict("records")}
    # moments of fixed covariates and paths into them: see the differences from lavaan
    table = gc.fit(case, setting)._context.problem.table
    covariates = set(table.exogenous) if table.fixed_x else set()
    shared = [key for key in ref if key[0] not in covariates and (ref[key]["mi"] or 0) > 1e-6]
    assert shared
    assert all(key in ours for key in shared)
    # a negative variance has no root: lavaan takes that of its size
    columns = ("mi", "epc", "sepc_lv", "sepc_all", "sepc_nox") if gc.fit(case, setting).admissible else ("mi", "epc")
    for key in shared:
        for column in columns:
            value = ref[key][column]
            if value is not None:
                assert ours[key][column] == pytest.approx(value, rel=1e-6, abs=1e-8), (key, column)


@pytest.mark.parametrize(("case", "setting"), gc.parameters(lambda n: n["scores"]))
def test_factor_scores(case, setting):
    ref = gc.reference(case)[setting]["scores"]
    scores = gc.fit(case, setting).factor_scores()
    for label, theirs in ref.items():
        ours = scores[label][theirs["names"]].to_numpy()
        spread = ours.std(axis=0)
        picked = ours[[0, 1, 2, len(ours) - 1]]
        assert (abs(picked - theirs["first"]) <= 1e-6 * spread).all(), label


def test_wald_test_across_groups():
    for setting, ref in gc.reference("hs_labels").items():
        found = gc.fit("hs_labels", setting).wald_test("; ".join(gc.CASES["hs_labels"]["wald"]))
        assert found.df == ref["wald"]["df"]
        assert found.chisq == pytest.approx(ref["wald"]["stat"], rel=1e-6)


@pytest.mark.parametrize("ladder", gc.ladders())
def test_difference_tests_of_a_ladder(ladder):
    fits = [gc.fit(case, ladder["setting"]) for case in ladder["cases"]]
    table = bs.compare(*fits).table.iloc[1:]
    for column, theirs, rtol in (("chisq_diff", "chisq", 1e-6), ("df_diff", "df", 0), ("pvalue", "pvalue", 1e-4)):
        assert table[column].to_numpy() == pytest.approx(gc.np.atleast_1d(ladder[theirs]), rel=rtol), column
    if ladder["setting"] == "ML":
        assert table["rmsea_diff"].to_numpy() == pytest.approx(gc.np.atleast_1d(ladder["rmsea"]), rel=1e-6, abs=1e-9)
