"""What must not change a fit: order, names, units, the way the scale is set, the engine, the form of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from engine_case import MODELS, THREE, case, compiled, frame

import b2b_sem as bs
from b2b_sem.engine.native.loss import objective
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.results.fit import FitResult

CFA = THREE + "x1 ~~ x4"
SEM = THREE + "g ~ a*f\nh ~ b*g + f\nx10 ~ h + f\nind := a*b"
MIMIC = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nf ~ x8 + x9\ng ~ f + x8"
FREE_OF_UNITS = (
    "chisq",
    "df",
    "npar",
    "pvalue",
    "cfi",
    "tli",
    "rmsea",
    "rmsea_ci_upper",
    "srmr",
    "gfi",
    "baseline_chisq",
)


def native(text: str, data: Any = None, **options: Any) -> FitResult:
    if data is None and "sample_cov" not in options:
        data = frame()
    found = bs.fit(text, data, **{"engine": "native", **options})
    assert found.ok, found.warnings
    return found


def keyed(
    found: FitResult, column: str, *, std: bool = False, rename: dict[str, str] | None = None
) -> dict[str, float]:
    """Return a column by parameter name; the sides of a covariance are sorted."""
    table = found.standardized() if std else found.parameters
    rename = rename or {}
    out = {}
    for row in table.to_dict("records"):
        if row["op"] == ":=":
            out[row["lhs"]] = row[column]
            continue
        sides = [rename.get(row[k], row[k]) for k in ("lhs", "rhs")]
        sides = sorted(sides) if row["op"] == "~~" else sides
        out[row["op"].join(sides)] = row[column]
    return out


def assert_same(a: dict[str, float], b: dict[str, float], rtol: float = 1e-7, atol: float = 1e-9) -> None:
    assert set(a) == set(b)
    np.testing.assert_allclose([a[k] for k in b], list(b.values()), rtol=rtol, atol=atol, equal_nan=True)


def assert_same_fit(a: FitResult, b: FitResult, **names: Any) -> None:
    for column in ("est", "se", "z", "ci_lower", "ci_upper", "std_all"):
        assert_same(keyed(a, column, **names), keyed(b, column))
    for column in ("est_std", "se"):
        assert_same(keyed(a, column, std=True, **names), keyed(b, column, std=True))
    assert_same(a.measures, b.measures)


# -- order and names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [CFA, SEM, MIMIC])
def test_order_of_rows_and_columns(text: str) -> None:
    shuffled = frame().sample(frac=1, random_state=3).loc[:, list(frame().columns[::-1])]
    assert_same_fit(native(text, shuffled), native(text))


def test_order_of_statements_and_terms() -> None:
    other = "h ~ f + b*g\nx10 ~ f + h\nind := a*b\nh =~ x7 + x9 + x8\ng ~ a*f\ng =~ x4 + x6 + x5\nf =~ x1 + x3 + x2"
    assert_same_fit(native(other), native(SEM))


def test_names_of_variables() -> None:
    names = {f"x{i}": f"größe_{11 - i}" for i in range(1, 11)}
    text = SEM
    for old in sorted(names, key=len, reverse=True):
        text = text.replace(old, names[old])
    back = {v: k for k, v in names.items()}
    assert_same_fit(native(text, frame().rename(columns=names)), native(SEM), rename=back)


# -- units -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [CFA, SEM, MIMIC, MIMIC + "\nx1 ~ 1"])
@pytest.mark.parametrize("variable", ["x1", "x2", "x8"])
def test_units_of_a_variable(text: str, variable: str) -> None:
    data = frame().copy()
    data[variable] *= 1000.0
    big, plain = native(text, data), native(text)
    for name in FREE_OF_UNITS:
        assert big.measures[name] == pytest.approx(plain.measures[name], rel=1e-8), name
    assert_same(keyed(big, "est_std", std=True), keyed(plain, "est_std", std=True))
    assert_same(keyed(big, "se", std=True), keyed(plain, "se", std=True))
    assert_same(keyed(big, "z"), keyed(plain, "z"), rtol=1e-6)
    # the density of the variable shrinks by the factor, unless the likelihood is conditional on it or without it
    random = variable in plain.model.observed and not (variable == "x8" and "f ~ x8" in text)
    shift = 300 * np.log(1000) if random else 0.0
    assert big.measures["logl"] == pytest.approx(plain.measures["logl"] - shift, rel=1e-9)


def test_adding_a_constant_moves_means_only() -> None:
    text = MIMIC + "\nx1 ~ 1"
    moved, plain = native(text, frame() + 7.0), native(text)
    for name in FREE_OF_UNITS:
        if name != "gfi":  # lavaan's GFI counts means from zero
            assert moved.measures[name] == pytest.approx(plain.measures[name], rel=1e-8), name
    loadings = [k for k in keyed(plain, "est") if "=~" in k or "~~" in k]
    a, b = keyed(moved, "est"), keyed(plain, "est")
    np.testing.assert_allclose([a[k] for k in loadings], [b[k] for k in loadings], rtol=1e-7)
    # x1 = tau + f, and f = a8 x8 + a9 x9 moves with the covariates
    moved_by = 7.0 * (1.0 - b["f~x8"] - b["f~x9"])
    assert a["x1~1"] == pytest.approx(b["x1~1"] + moved_by, rel=1e-7)


# -- one model in several forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [CFA, SEM, MIMIC, THREE + "s =~ f + g + h"])
def test_marker_and_unit_variance_are_one_model(text: str) -> None:
    marker, unit = native(text), native(text, std_lv=True)
    for name in FREE_OF_UNITS:
        assert unit.measures[name] == pytest.approx(marker.measures[name], rel=1e-8), name
    assert_same(keyed(unit, "est_std", std=True), keyed(marker, "est_std", std=True))
    assert_same(keyed(unit, "se", std=True), keyed(marker, "se", std=True), atol=1e-7)


def test_another_marker_is_the_same_model() -> None:
    other = native("f =~ NA*x1 + x2 + 1*x3\n" + CFA.split("\n", 1)[1])
    for name in FREE_OF_UNITS:
        assert other.measures[name] == pytest.approx(native(CFA).measures[name], rel=1e-8), name
    assert_same(keyed(other, "est_std", std=True), keyed(native(CFA), "est_std", std=True))


@pytest.mark.parametrize("text", [MIMIC, "x3 ~ x1 + x2\nx4 ~ x3 + x1"])
@pytest.mark.parametrize("means", [False, True])
def test_covariates_fixed_or_random(text: str, means: bool) -> None:
    fixed = native(text, meanstructure=means)
    random = native(text, meanstructure=means, fixed_x=False)
    same = ("chisq", "df", "pvalue", "cfi", "tli", "rmsea", "srmr", "baseline_chisq", "baseline_df")
    for name in same:
        assert random.measures[name] == pytest.approx(fixed.measures[name], rel=1e-8), name
    assert random.measures["npar"] == fixed.measures["npar"] + 3 + 2 * means
    a, b = keyed(random, "est"), keyed(fixed, "est")
    assert_same(a, b)
    paths = [k for k in a if "~~" not in k and "~1" not in k]
    sa, sb = keyed(random, "se"), keyed(fixed, "se")
    np.testing.assert_allclose([sa[k] for k in paths], [sb[k] for k in paths], rtol=1e-6)


@pytest.mark.parametrize("text", [CFA, SEM])
def test_a_saturated_mean_structure_changes_nothing_else(text: str) -> None:
    means, plain = native(text, meanstructure=True), native(text)
    for name in ("chisq", "df", "pvalue", "cfi", "rmsea", "logl", "unrestricted_logl"):
        assert means.measures[name] == pytest.approx(plain.measures[name], rel=1e-8), name
    assert means.measures["npar"] == plain.measures["npar"] + len(plain.model.observed)
    a, b = keyed(means, "se"), keyed(plain, "se")
    np.testing.assert_allclose([a[k] for k in b], list(b.values()), rtol=1e-6)
    est, se = keyed(means, "est"), keyed(means, "se")
    for v in plain.model.observed:
        assert est[f"{v}~1"] == pytest.approx(frame()[v].mean(), rel=1e-8)
        # the model reproduces the variances of these variables, so the SE is that of a mean
        assert se[f"{v}~1"] == pytest.approx(frame()[v].std(ddof=0) / np.sqrt(300), rel=0.02)


def test_covariance_matrix_instead_of_data() -> None:
    data = frame()
    for options in ({}, {"likelihood": "wishart"}):
        moments = native(SEM, sample_cov=data.cov(), nobs=len(data), **options)
        assert_same_fit(moments, native(SEM, **options))
    text = SEM + "\nx1 ~ 1"
    assert_same_fit(native(text, sample_cov=data.cov(), sample_mean=data.mean(), nobs=len(data)), native(text))


def test_wishart_and_normal_differ_by_the_divisor_only() -> None:
    n = len(frame())
    normal, wishart = native(SEM), native(SEM, likelihood="wishart")
    assert wishart.measures["chisq"] == pytest.approx(normal.measures["chisq"] * (n - 1) / n, rel=1e-9)
    assert wishart.measures["fmin"] == pytest.approx(normal.measures["fmin"], rel=1e-8)
    a, b = keyed(wishart, "est"), keyed(normal, "est")
    ratio = {k: (n / (n - 1) if "~~" in k else 1.0) for k in b}
    np.testing.assert_allclose([a[k] for k in b], [b[k] * ratio[k] for k in b], rtol=1e-7, atol=1e-9)
    sa, sb = keyed(wishart, "se"), keyed(normal, "se")
    np.testing.assert_allclose(
        [sa[k] for k in b], [sb[k] * ratio[k] * np.sqrt(n / (n - 1)) for k in b], rtol=1e-6, atol=1e-12
    )
    assert_same(keyed(wishart, "est_std", std=True), keyed(normal, "est_std", std=True))


@pytest.mark.parametrize("means", [False, True])
@pytest.mark.parametrize(
    ("text", "covariates"), [(CFA, ()), (MIMIC, ("x8", "x9")), ("x3 ~ x1 + x2 + x8", ("x1", "x2", "x8"))]
)
def test_the_baseline_is_the_model_of_uncorrelated_variables(
    text: str, covariates: tuple[str, ...], means: bool
) -> None:
    """Exogenous variables keep their covariances in it; it is fitted here like any other model."""
    found = native(text, meanstructure=means)
    lines = [f"{v} ~~ {v}" for v in found.model.observed]
    lines += [f"{a} ~~ {b}" for i, a in enumerate(covariates) for b in covariates[i + 1 :]]
    base = native("\n".join(lines), meanstructure=means)
    for name in ("chisq", "df", "pvalue"):
        assert found.measures[f"baseline_{name}"] == pytest.approx(base.measures[name], rel=1e-9), name


def test_saturated_path_model_is_least_squares() -> None:
    found = native("x5 ~ x1 + x2 + x8")
    data = frame()
    x = np.column_stack([np.ones(len(data)), data[["x1", "x2", "x8"]]])
    beta, rss, *_ = np.linalg.lstsq(x, data["x5"], rcond=None)
    n = len(data)
    est, se = keyed(found, "est"), keyed(found, "se")
    cov = np.linalg.inv(x.T @ x) * rss[0] / n
    for i, v in enumerate(["x1", "x2", "x8"], start=1):
        assert est[f"x5~{v}"] == pytest.approx(beta[i], rel=1e-8)
        assert se[f"x5~{v}"] == pytest.approx(np.sqrt(cov[i, i]), rel=1e-8)
    assert est["x5~~x5"] == pytest.approx(rss[0] / n, rel=1e-9)
    assert se["x5~~x5"] == pytest.approx(rss[0] / n * np.sqrt(2 / n), rel=1e-8)
    assert (found.measures["df"], found.measures["chisq"]) == (0, pytest.approx(0.0, abs=1e-9))
    assert np.isnan(found.measures["pvalue"])
    assert found.r2["x5"] == pytest.approx(1 - rss[0] / n / data["x5"].var(ddof=0), rel=1e-9)
    assert found.measures["logl"] == pytest.approx(-n / 2 * (np.log(2 * np.pi * rss[0] / n) + 1), rel=1e-10)


# -- engines and starts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cfa", "latent_paths", "second_order", "mimic", "equal_labels", "path_fixed_x"])
def test_engines_agree(name: str) -> None:
    text, options = MODELS[name]
    a, b = native(text, engine="semopy", **options), native(text, **options)
    assert (a.engine, b.engine) == ("semopy", "native")
    assert a.optimizer.polish is not None
    assert b.optimizer.polish is None
    for column in ("est", "se", "std_all"):
        assert_same(keyed(a, column), keyed(b, column), rtol=1e-7, atol=1e-8)
    assert_same(a.measures, b.measures, rtol=1e-7)


@pytest.mark.parametrize(
    "name", ["cfa", "cfa_means", "latent_paths", "second_order", "mimic_means", "residual_covariances"]
)
def test_far_starts_reach_the_same_minimum(name: str) -> None:
    c = case(name)
    rng = np.random.default_rng(5)
    sizes = np.array([1.0 if r.op == "~~" and r.lhs == r.rhs else 0.0 for r in _first_rows(c.table)])
    values = []
    for _ in range(4):
        start = np.where(sizes > 0, rng.uniform(0.5, 30.0, c.q), rng.uniform(-0.3, 2.5, c.q))
        if not np.isfinite(objective(c.structure, c.moments, start)):
            continue
        found = minimize(c.structure, c.moments, [lambda s=start: s])
        assert found.converged, found.message
        assert found.gradient <= 1e-8
        values.append(found.fmin)
    from b2b_sem.engine.native.start import start_values

    usual = minimize(c.structure, c.moments, [lambda: start_values(c.table, c.moments.cov, c.moments.mean, c.fixed)])
    assert len(values) >= 2
    # other local minima would be higher; none may be lower
    assert min(values) == pytest.approx(usual.fmin, rel=1e-9)


def _first_rows(table: Any) -> list[Any]:
    return [next(r for r in table.rows if r.free == k + 1) for k in range(table.nfree)]


def test_user_starts_are_used_and_do_not_change_the_result() -> None:
    text = "f =~ x1 + start(3)*x2 + 0.1?x3 + x4\nx1 ~~ start(2.5)*x1"
    c = compiled(text)
    from b2b_sem.engine.native.start import plain_start, start_values

    for start in (
        start_values(c.table, c.moments.cov, None, {}),
        plain_start(c.table, c.moments.cov, None),
    ):
        by_name = {r.name: start[r.free - 1] for r in c.table.rows if r.free}
        assert (by_name["f=~x2"], by_name["f=~x3"], by_name["x1~~x1"]) == (3.0, 0.1, 2.5)
    assert_same_fit(native(text), native("f =~ x1 + x2 + x3 + x4"))


def test_repeated_fits_are_identical() -> None:
    a, b = native(SEM), native(SEM)
    pd.testing.assert_frame_equal(a.parameters, b.parameters, check_exact=True)
    assert a.measures == b.measures
