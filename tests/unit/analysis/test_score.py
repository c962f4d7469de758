"""Modification indices and score tests: what they mean, what they must not depend on, what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.engine.extension import extend, profile
from b2b_sem.results.columns import MODIFICATION_COLUMNS

MODEL = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\ng ~ f + z"
NAMES = [f"x{i}" for i in range(1, 7)]


def answers(n: int = 2000, seed: int = 3) -> pd.DataFrame:
    """Two factors, a covariate that also moves x6 a little, and a small residual covariance of x1 and x2."""
    rng = np.random.default_rng(seed)
    z, f = rng.normal(size=(2, n))
    g = 0.4 * f + 0.3 * z + rng.normal(size=n)
    shared = 0.25 * rng.normal(size=n)
    parts = [f + shared, 0.8 * f + shared, 0.9 * f, g, 0.7 * g, 0.8 * g + 0.06 * z]
    frame = pd.DataFrame({name: p + 0.7 * rng.normal(size=n) for name, p in zip(NAMES, parts, strict=True)})
    return frame.assign(z=z)


@pytest.fixture(scope="module")
def fit() -> bs.FitResult:
    return bs.fit(MODEL, answers(), engine="native")


def row(table: pd.DataFrame, lhs: str, op: str, rhs: str) -> pd.Series:
    found = table[(table.lhs == lhs) & (table.op == op) & (table.rhs == rhs)]
    assert len(found) == 1
    return found.iloc[0]


def test_columns_and_order(fit: bs.FitResult) -> None:
    table = fit.modification_indices()
    assert tuple(table.columns) == MODIFICATION_COLUMNS
    assert not table.duplicated(["lhs", "op", "rhs"]).any()
    free = fit.parameters.query("free > 0")
    assert set(zip(table.lhs, table.op, table.rhs, strict=True)).isdisjoint(
        zip(free.lhs, free.op, free.rhs, strict=True)
    )
    ordered = fit.modification_indices(sort=True)
    assert ordered["mi"].is_monotonic_decreasing
    large = fit.modification_indices(minimum=3.84, op=["=~", "~~"])
    assert set(large["op"]) <= {"=~", "~~"}
    assert (large["mi"] >= 3.84).all()
    assert set(fit.modification_indices(op="~")["op"]) == {"~"}


@pytest.mark.parametrize("added", ["f =~ x5", "x1 ~~ x2", "x4 ~~ x6", "f ~ z", "x2 ~~ x5", "f =~ x4"])
def test_an_index_is_about_the_fall_of_chi_square_and_the_change_that_happens(fit: bs.FitResult, added: str) -> None:
    found = row(fit.modification_indices(), *added.split())
    refit = bs.fit(f"{MODEL}\n{added}", answers(), engine="native")
    fall = fit.measures["chisq"] - refit.measures["chisq"]
    assert found["mi"] == pytest.approx(fall, rel=0.1, abs=0.05)
    parameters = row(refit.parameters, *added.split())
    assert found["epc"] == pytest.approx(parameters["est"], rel=0.15, abs=0.003)
    for kind in ("std_lv", "std_all"):
        # the variances it is standardized by are those before the change
        assert found[f"sepc{kind[3:]}"] == pytest.approx(parameters[kind], rel=0.4, abs=0.003)


def test_a_path_into_a_fixed_covariate_counts_as_one_into_a_random_one() -> None:
    """The likelihoods are the same; lavaan's fixed.x = TRUE gives other numbers here (see lavaan-differences)."""
    fixed = bs.fit(MODEL, answers(), engine="native").modification_indices()
    free = bs.fit(MODEL, answers(), engine="native", fixed_x=False).modification_indices()
    same = ["lhs", "op", "rhs"]
    pd.testing.assert_frame_equal(fixed[same], free[same])
    np.testing.assert_allclose(fixed["mi"], free["mi"], rtol=1e-7, atol=1e-7)
    # equivalent models: z depends on f, f on z, or the two covary
    assert row(fixed, "z", "~", "f")["mi"] == pytest.approx(row(fixed, "f", "~", "z")["mi"], rel=1e-6)


def test_units_do_not_matter() -> None:
    data = answers()
    factors = pd.Series([1e-4, 1e3, 1.0, 1e5, 1e-2, 1e2, 1e3], index=data.columns)
    plain = bs.fit(MODEL, data, engine="native").modification_indices()
    scaled = bs.fit(MODEL, data * factors, engine="native").modification_indices()
    pd.testing.assert_frame_equal(plain[["lhs", "op", "rhs"]], scaled[["lhs", "op", "rhs"]])
    for column in ("mi", "sepc_all"):
        np.testing.assert_allclose(scaled[column], plain[column], rtol=1e-6, atol=1e-7)


def test_marker_or_unit_variance_does_not_matter() -> None:
    data = answers()
    marker = bs.fit(MODEL, data, engine="native").modification_indices()
    unit = bs.fit(MODEL, data, engine="native", std_lv=True).modification_indices()
    pd.testing.assert_frame_equal(marker[["lhs", "op", "rhs"]], unit[["lhs", "op", "rhs"]])
    np.testing.assert_allclose(unit["mi"], marker["mi"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(unit["sepc_all"], marker["sepc_all"], rtol=1e-5, atol=1e-6)


def test_what_cannot_be_told_from_the_model_is_left_out(fit: bs.FitResult) -> None:
    table = fit.modification_indices()
    keys = set(zip(table.lhs, table.op, table.rhs, strict=True))
    # freeing a marker beside a free variance, or a covariance where the path is free
    assert ("f", "=~", "x1") not in keys
    assert ("f", "~~", "g") not in keys


def test_a_second_order_loading_is_not_listed_again_as_a_path() -> None:
    """lavaan lists it, overwrites the loading with 0, and gives wrong indices for every parameter."""
    rng = np.random.default_rng(11)
    n = 800
    top = rng.normal(size=n)
    first = [0.8 * top + 0.6 * rng.normal(size=n) for _ in range(3)]
    frame = pd.DataFrame(
        {f"{name}{i}": f + 0.6 * rng.normal(size=n) for name, f in zip("abc", first, strict=True) for i in (1, 2, 3)}
    )
    frame["w"] = 0.5 * first[0] + rng.normal(size=n)
    text = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\nG =~ A + B + C\nw ~ G\nA ~ w"
    result = bs.fit(text.replace("A ~ w", "A ~ 0*w"), frame, engine="native")
    table = result.modification_indices()
    assert table[(table.lhs == "A") & (table.op == "~") & (table.rhs == "G")].empty
    found = row(table, "A", "=~", "b2")
    refit = bs.fit(text.replace("A ~ w", "A ~ 0*w\nA =~ b2"), frame, engine="native")
    assert found["mi"] == pytest.approx(result.measures["chisq"] - refit.measures["chisq"], rel=0.15, abs=0.05)
    assert table["mi"].max() < result.measures["chisq"]


def test_adjusted_p_values(fit: bs.FitResult) -> None:
    table = fit.modification_indices(sort=True)
    count = len(table)
    np.testing.assert_allclose(table["pvalue_bonferroni"], np.minimum(1, table["pvalue"] * count))
    ranks = np.arange(1, count + 1)
    expected = np.minimum.accumulate((table["pvalue"].to_numpy() * count / ranks)[::-1])[::-1]
    np.testing.assert_allclose(table["pvalue_fdr"], np.minimum(1, expected))
    few = fit.modification_indices(sort=True, minimum=float(table["mi"].iloc[3]))
    np.testing.assert_array_equal(few["pvalue_fdr"], table["pvalue_fdr"].iloc[:4])


def test_standardized_change_of_a_variance() -> None:
    result = bs.fit("f =~ x1 + x2 + x3 + x4\nx1 ~~ 0.3*x1", answers(), engine="native")
    found = row(result.modification_indices(), "x1", "~~", "x1")
    assert found["sepc_lv"] == found["epc"]
    assert found["sepc_all"] == pytest.approx(found["epc"] / result.implied()["cov"].loc["x1", "x1"], rel=1e-12)


def test_constrained_parameters_one_by_one() -> None:
    text = "f =~ x1 + a*x2 + a*x3\ng =~ x4 + a*x5 + x6"
    result = bs.fit(text, answers(), engine="native")
    plain = result.modification_indices()
    table = result.modification_indices(constrained=True)
    assert len(table) == len(plain) + 3
    for lhs, rhs in (("f", "x2"), ("f", "x3"), ("g", "x5")):
        freed = text.replace(f"a*{rhs}", rhs)
        fall = result.measures["chisq"] - bs.fit(freed, answers(), engine="native").measures["chisq"]
        assert row(table, lhs, "=~", rhs)["mi"] == pytest.approx(fall, rel=0.15, abs=0.05)
    pair = bs.fit("f =~ x1 + a*x2 + a*x3\ng =~ x4 + x5 + x6", answers(), engine="native")
    single = pair.score_test().univariate["chisq"].iloc[0]
    both = pair.modification_indices(constrained=True)
    for name in ("x2", "x3"):
        assert row(both, "f", "=~", name)["mi"] == pytest.approx(single, rel=1e-9)


def test_the_extended_structure_is_the_model(fit: bs.FitResult) -> None:
    context = fit._context
    problem, theta = context.problem, context.solution.theta
    extension = extend(problem, theta, [("f", "=~", "x4"), ("x1", "~~", "x5"), ("z", "~", "g")])
    names = list(problem.table.observed)
    np.testing.assert_allclose(extension.point.implied.sigma, fit.implied()["cov"].loc[names, names], atol=1e-12)
    # the gradient of the model's own parameters vanishes at its solution
    assert np.abs(extension.score[extension.own]).max() < 1e-9
    # blocks and diagonal are the same information
    every = np.arange(len(extension.rows))
    whole = extension.information(every, every)
    np.testing.assert_allclose(np.diag(whole), extension.information_diagonal(every), rtol=1e-12)
    np.testing.assert_allclose(whole, whole.T, atol=1e-12)


def test_the_score_is_the_derivative_of_the_fit_function(fit: bs.FitResult) -> None:
    from b2b_sem.engine.native.loss import evaluate

    context = fit._context
    extension = extend(
        context.problem, context.solution.theta, [("f", "=~", "x4"), ("x1", "~~", "x5"), ("z", "~", "g")]
    )
    values = np.array([float(r.value or 0.0) for r in extension.rows])
    for entry in extension.extra:
        step = 1e-5
        ends = []
        for sign in (1, -1):
            moved = values.copy()
            moved[entry] += sign * step
            point = evaluate(extension.structure, context.problem.moments, moved)
            assert point is not None
            ends.append(point.value)
        assert extension.score[entry] == pytest.approx(-0.25 * (ends[0] - ends[1]) / step, abs=1e-7)


def test_many_candidates_are_done_in_parts(fit: bs.FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit.modification_indices()
    monkeypatch.setattr("b2b_sem.engine.extension.CHUNK", 3)
    pd.testing.assert_frame_equal(fit.modification_indices(), whole, rtol=1e-9)
    assert profile is not None


# ---- score tests -----------------------------------------------------------------------------------------------------


def test_adding_a_parameter_is_its_modification_index(fit: bs.FitResult) -> None:
    test = fit.score_test("x2 ~~ x1; f =~ x5")
    table = fit.modification_indices()
    expected = [row(table, "x1", "~~", "x2"), row(table, "f", "=~", "x5")]
    np.testing.assert_allclose(test.univariate["chisq"], [r["mi"] for r in expected], rtol=1e-9)
    np.testing.assert_allclose(test.univariate["epc"], [r["epc"] for r in expected], rtol=1e-9)
    assert test.df == 2
    assert test.chisq == pytest.approx(test.cumulative["chisq"].iloc[-1], rel=1e-12)
    refit = bs.fit(f"{MODEL}\nx1 ~~ x2\nf =~ x5", answers(), engine="native")
    assert test.chisq == pytest.approx(fit.measures["chisq"] - refit.measures["chisq"], rel=0.1)
    moved = test.epc.set_index(["lhs", "op", "rhs"])["epv"]
    after = refit.parameters.set_index(["lhs", "op", "rhs"])["est"]
    assert moved["f", "=~", "x2"] == pytest.approx(after["f", "=~", "x2"], abs=0.05)
    assert "Total score test" in test.summary()
    assert test.to_json()["df"] == 2


def test_release_by_number_label_or_statement() -> None:
    text = "f =~ x1 + a*x2 + a*x3\ng =~ x4 + b*x5 + c*x6\nb == c"
    result = bs.fit(text, answers(), engine="native")
    every = result.score_test()
    assert list(every.univariate["lhs"]) == ["b", "f=~x2"]
    for release in ([2], ["a"], "a", ["f=~x2 == f=~x3"]):
        assert result.score_test(release=release).chisq == pytest.approx(every.univariate["chisq"].iloc[1])
    freed = bs.fit("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6", answers(), engine="native")
    assert every.chisq == pytest.approx(result.measures["chisq"] - freed.measures["chisq"], rel=0.1)


def test_redundant_constraints_count_once() -> None:
    text = "f =~ x1 + a*x2 + b*x3\ng =~ x4 + c*x5 + x6\na == b\nb == c\na == c"
    assert bs.fit(text, answers(), engine="native").score_test().df == 2


def test_a_constraint_the_model_needs_is_said_not_tested() -> None:
    result = bs.fit("f =~ NA*a*x1 + a*x2\ng =~ x4 + x5 + x6\nf ~~ 1*f\nf ~~ 0*g", answers(), engine="native")
    test = result.score_test()
    assert test.df == 0
    assert np.isnan(test.univariate["chisq"]).all()
    assert "f=~x1 == f=~x2" in test.warnings[0]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda f: f.score_test(), bs.ModelError, "no equality constraint"),
        (lambda f: f.score_test("f =~ x1; x2 ~~ x2"), bs.ModelSyntaxError, "already free"),
        (lambda f: f.score_test("f =~ x9"), bs.ModelSyntaxError, "'x9' is not a variable of the model"),
        (lambda f: f.score_test("z ~~ z"), bs.ModelSyntaxError, "as in the data"),
        (lambda f: f.score_test("x1 ~ 1"), bs.ModelSyntaxError, "no mean structure"),
        (lambda f: f.score_test("a == b"), bs.ModelSyntaxError, "names parameters only"),
        (lambda f: f.score_test("x1 =~ x2"), bs.ModelSyntaxError, "not a latent variable"),
        (lambda f: f.score_test("f =~ x4", release=[1]), bs.ModelSyntaxError, "both given"),
        (lambda f: f.modification_indices(op="=="), bs.ModelSyntaxError, "not an operator"),
    ],
)
def test_wrong_questions_are_refused(fit: bs.FitResult, call: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call(fit)  # type: ignore[operator]


def test_an_unknown_constraint_is_named() -> None:
    result = bs.fit("f =~ x1 + load*x2 + load*x3\ng =~ x4 + x5 + x6", answers(), engine="native")
    with pytest.raises(bs.ModelSyntaxError, match=r"'lod' is no equality constraint.*'load'"):
        result.score_test(release=["lod"])
    with pytest.raises(bs.ModelSyntaxError, match="'3'"):
        result.score_test(release=[3])


def test_a_failed_fit_has_no_indices() -> None:
    every = " + ".join(NAMES)
    bad = bs.fit(
        f"f =~ {every}\ng =~ {every}\nx1 ~~ 0.4*x1\nx2 ~~ 0.4*x2\nx4 ~~ 0.4*x4", answers()[NAMES], engine="native"
    )
    assert not bad.identified
    for question in (lambda: bad.modification_indices(), lambda: bad.wald_test("a == 0")):
        with pytest.raises(bs.ModelError, match="cannot be computed"):
            question()


def test_a_result_from_a_file_has_no_problem(fit: bs.FitResult) -> None:
    from b2b_sem.analysis.score import modification_indices

    with pytest.raises(bs.Unsupported, match="read from a file"):
        modification_indices(bs.FitResult.from_json(fit.to_json()))
