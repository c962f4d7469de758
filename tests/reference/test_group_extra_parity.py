"""Several groups with clusters, constraints, bounds, auxiliary variables against lavaan; difference and score tests."""

from __future__ import annotations

import copy

import group_case as gc
import group_extra_case as ge
import pytest
from reference_case import data_path, sha256

import b2b_sem as bs
from b2b_sem.engine.group_replicate import GroupTask, group_replicator, group_row_stack
from b2b_sem.engine.resample import weighted_moments


def test_the_numbers_belong_to_script_cases_and_data():
    manifest = ge.json.loads((ge.HERE / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["script"] == sha256(ge.HERE / "generate.R")
    assert manifest["cases"] == sha256(ge.HERE / "cases.json")
    assert set(manifest["data"]) == set(ge.CASES)
    for case, digest in manifest["data"].items():
        source = ge.CASES[case]["data"]
        if not source.startswith("shared:"):
            assert sha256(data_path(source)) == digest, case


@pytest.mark.parametrize(("case", "setting"), ge.parameters())
def test_reference_is_a_solution(case, setting):
    assert ge.reference(case)[setting]["gradient"]["polished"] < 1e-11


@pytest.mark.parametrize(("case", "setting"), ge.parameters())
def test_all_numbers(case, setting):
    problems = gc.compare(ge.fit(case, setting), ge.reference(case)[setting])
    if "auxiliary" in ge.CASES[case]:  # lavaan's rest on another baseline model: see the differences
        known = {f"measure {name}_robust: only on one side" for name in ("cfi", "tli", "nnfi", "rni")}
        assert known <= set(problems)
        problems = [p for p in problems if p not in known]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("where", "name"), [("measures", "chisq_scaled"), ("measures", "cfi_robust"), ("parameters", "se")]
)
def test_a_wrong_number_is_found(where, name):
    wrong = copy.deepcopy(ge.reference("cluster_sem")["MLR"])
    row = wrong[where] if where == "measures" else next(r for r in wrong[where] if r["op"] == "~" and r["group"] == 2)
    row[name] *= 1 + 1e-5
    assert gc.compare(ge.fit("cluster_sem", "MLR"), wrong)


@pytest.mark.parametrize(("case", "setting"), ge.parameters(constrained=True))
def test_active_constraints_and_bounds_are_those_of_lavaan(case, setting):
    ref, fitted = ge.reference(case)[setting], ge.fit(case, setting)
    active = fitted._context.problem.constraints
    assert (0 if active is None else len(active.active)) == ref["active"]
    ours = {
        gc.key({"lhs": r.lhs, "op": r.op, "rhs": r.rhs, "group": r.group}): r for r in _table(fitted).rows if r.free
    }
    for row in ref.get("bounds") or []:
        mine = ours[gc.key(row)]
        for value, theirs in ((mine.lower, row.get("lower")), (mine.upper, row.get("upper"))):
            assert value == (None if theirs is None else pytest.approx(theirs, rel=1e-12, abs=1e-15)), row


def _table(fitted):
    return fitted._context.problem.table


def test_a_bound_under_equal_loadings_is_the_parameter_fixed_there():
    # lavaan drops bounds where parameters are equal
    text = "visual =~ x1 + {}*x2 + x3\ntextual =~ x4 + x5 + x6"
    data = ge.case_data("bounds")
    options = {"group": "school", "group_equal": ["loadings", "intercepts"]}
    held = bs.fit(text.format("lower(0.9)"), data, **options)
    fixed = bs.fit(text.format("0.9"), data, **options)
    assert held.measures["chisq"] == pytest.approx(fixed.measures["chisq"], rel=1e-9)
    loading = held.parameters.query("op == '=~' and rhs == 'x2'")
    assert loading["est"].tolist() == [0.9, 0.9]
    assert loading["se"].tolist() == [0.0, 0.0]
    others = held.parameters.query("not (op == '=~' and rhs == 'x2')")["se"].to_numpy()
    same = fixed.parameters.query("not (op == '=~' and rhs == 'x2')")["se"].to_numpy()
    assert others == pytest.approx(same, rel=1e-7, nan_ok=True)


@pytest.mark.parametrize("item", ge.extras("differences"))
def test_difference_tests(item):
    fits = []
    settings = item.get("equal") or [None] * len(item["cases"])
    for case, equal in zip(item["cases"] * (len(settings) // len(item["cases"])), settings, strict=True):
        own = case in ge.CASES
        spec, data = (ge.CASES[case], ge.case_data(case)) if own else (gc.CASES[case], gc.case_data(case))
        options = {"group": spec["group"]} | spec["options"] | {"estimator": item["estimator"]}
        if equal is not None:
            options["group_equal"] = [name for name in ([equal] if isinstance(equal, str) else equal) if name]
        fits.append(bs.fit("\n".join(spec["model"]), data, **options))
    table = bs.compare(*fits, method=item["method"]).table.iloc[1:]
    for column, theirs, rtol in (("chisq_diff", "chisq", 1e-6), ("df_diff", "df", 0), ("pvalue", "pvalue", 1e-5)):
        assert table[column].to_numpy() == pytest.approx(gc.np.atleast_1d(item[theirs]), rel=rtol), column


@pytest.mark.parametrize("item", ge.extras("scores"))
def test_score_tests_of_parameters_to_add(item):
    found = gc.fit(item["case"], item["setting"]).score_test(add=item["add"])
    assert (found.chisq, found.df) == (pytest.approx(item["total"]["X2"], rel=1e-6), item["total"]["df"])
    ours = {str(r.lhs): r for r in found.univariate.itertuples()}
    assert set(ours) == {row["lhs"] for row in item["uni"]}
    for row in item["uni"]:
        mine = ours[row["lhs"]]
        assert mine.chisq == pytest.approx(row["X2"], rel=1e-6), row
        assert mine.pvalue == pytest.approx(row["p_value"], rel=1e-5), row
    changes = {gc.key(row): row for row in found.epc.to_dict("records")}
    for row in item["table"]:
        if row["epc"] is not None and row["op"] != "==":
            assert changes[gc.key(row)]["epc"] == pytest.approx(row["epc"], rel=1e-5, abs=1e-7), row


def _counts(sizes, seed):
    """Return how often each row of each group is drawn, by the generator of generate.R."""
    out = []
    for size in sizes:
        counts = gc.np.zeros((1, size))
        for _ in range(size):
            seed = 16807 * seed % 2147483647
            counts[0, seed % size] += 1
        out.append(counts)
    return out


@pytest.mark.parametrize("item", ge.extras("replicates"))
def test_refits_of_resampled_groups(item):
    fitted = gc.fit(item["case"], "ML")
    context = fitted._context
    prepared = group_replicator(context.problem, context.solution.theta)
    data = context.observed.raw
    sizes = [len(part) for part in data]
    draws = [_counts(sizes, item["seed"] + r) for r in range(1, len(item["chisq"]) + 1)]
    moments = [
        weighted_moments(part, gc.np.concatenate([d[g] for d in draws]), divisor=len(part))
        for g, part in enumerate(data)
    ]
    found = prepared.fit_groups(moments, gc.np.tile([n / sum(sizes) for n in sizes], (len(draws), 1)))
    assert found.converged.all()
    assert sum(sizes) * found.fmin == pytest.approx(item["chisq"], rel=1e-8)
    raw, std = group_row_stack(context.problem, prepared.kernel, found.theta, found.exo)
    table = fitted.parameters
    keys = [gc.key(row) for row in table.to_dict("records")]
    theirs = [gc.key(row | {"group": row["group"] or 0}) for row in item["rows"]]
    assert sorted(keys) == sorted(theirs)
    order = [theirs.index(key) for key in keys]
    # in standard errors: replicates stop where a step is 1e-3 of one, and take it
    for ours, name, spread in ((raw, "est", table["se"]), (std, "std", fitted.standardized()["se"])):
        expected = gc.np.array(item[name], dtype=float)[:, order]
        allowed = 1e-4 * spread.fillna(0).to_numpy() + 1e-6
        assert (abs(ours - expected) <= allowed).all(), name


def test_a_row_that_is_left_out_is_left_out_of_its_group():
    fitted = gc.fit("hs_labels", "ML")
    context = fitted._context
    first, second = context.observed.raw
    task = GroupTask(group_replicator(context.problem, context.solution.theta), (first, second), 0, 64)
    at = len(first) + 4
    theta = gc.np.concatenate([task.leave_out(b)["theta"] for b in range(-(-(len(first) + len(second)) // 64))])[at]
    frame = gc.case_data("hs_labels")
    school = frame["school"] == fitted.groups[1]
    again = bs.fit("\n".join(gc.CASES["hs_labels"]["model"]), frame.drop(frame.index[school][4]), group="school")
    assert theta == pytest.approx(again._context.solution.theta, abs=1e-5)


@pytest.mark.parametrize("item", ge.extras("residuals"))
def test_standard_errors_of_residuals(item):
    fitted = gc.fit(item["case"], "ML")
    found = {
        "raw": fitted.residuals(se=True),
        "cor_bollen": fitted.residuals("cor_bollen", se=True),
        "normalized": fitted.residuals("normalized", se=True),
        "mplus": fitted.residuals("standardized_mplus", se=True),
    }
    gap = 0.0
    for label, ref in zip(fitted.groups, item["groups"], strict=True):
        names = ref["names"]
        p = len(names)
        i, j = gc.np.tril_indices(p)
        order = gc.np.lexsort((i, j))  # column by column, as in R
        unit = gc.np.sqrt(gc.np.diag(fitted.sample()[label]["cov"].loc[names, names]))
        for kind, ours in found.items():
            theirs = gc.np.array([gc.np.nan if v is None else v for v in ref[kind]], dtype=float)
            cov = ours[label]["cov_se"].loc[names, names].to_numpy()[i, j][order]
            scale = 1.0 if kind == "cor_bollen" else gc.np.outer(unit, unit)[i, j][order]
            assert cov / scale == pytest.approx(theirs[p:] / scale, rel=1e-6, abs=1e-7, nan_ok=True), (label, kind)
            mean = ours[label]["mean_se"].loc[names].to_numpy()
            scale = 1.0 if kind == "cor_bollen" else unit
            assert mean / scale == pytest.approx(theirs[:p] / scale, rel=1e-6, abs=1e-7, nan_ok=True), (label, kind)
        own = gc.np.array(ref["own"][p:], dtype=float)
        gap = max(gap, float(gc.np.nanmax(abs(own - gc.np.array(ref["raw"][p:], dtype=float)) / own.max())))
    # lavaan's own numbers are these where groups share nothing
    assert (gap < 1e-6) == (item["case"] == "hs_configural")
    z = fitted.residuals("standardized")[fitted.groups[0]]["cov"]
    assert z.to_numpy() == pytest.approx(found["raw"][fitted.groups[0]]["cov_z"].to_numpy(), nan_ok=True)
