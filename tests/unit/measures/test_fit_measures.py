"""Fit measures: numbers of R, definitions solved back, and the edges where a formula divides by zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from b2b_sem.measures import fit as fm

# lavaan 0.6-14, cfa() of HolzingerSwineford1939 with three factors: fitMeasures() of it
CHISQ, DF, BASE, BASE_DF, N, NPAR = 85.3055217707, 24, 918.851589291, 36, 301, 21
LOGL = -3737.74492663


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (fm.cfi(CHISQ, DF, BASE, BASE_DF), 0.930559651799),
        (fm.tli(CHISQ, DF, BASE, BASE_DF), 0.895839477699),
        (fm.rfi(CHISQ, DF, BASE, BASE_DF), 0.860741077073),
        (fm.nfi(CHISQ, DF, BASE, BASE_DF), 0.907160718048),
        (fm.pnfi(CHISQ, DF, BASE, BASE_DF), 0.604773812032),
        (fm.ifi(CHISQ, DF, BASE), 0.931490849987),
        (fm.rni(CHISQ, DF, BASE, BASE_DF), 0.930559651799),
        (fm.aic(LOGL, NPAR), 7517.48985325),
        (fm.bic(LOGL, NPAR, N), 7595.33916881),
        (fm.bic2(LOGL, NPAR, N), 7528.73911173),
        (fm.rmsea(CHISQ, DF, N), 0.0921214845102),
        (fm.rmsea_pvalue(CHISQ, DF, N), 6.61236778052e-04),
        (fm.critical_n(CHISQ, DF, N, 0.05), 129.490200301),
        (fm.critical_n(CHISQ, DF, N, 0.01), 152.654026533),
        (fm.agfi(0.943332061258, 45, DF), 0.893747614860),
        (fm.pgfi(0.943332061258, 45, DF), 0.503110432671),
        (fm.mfi(CHISQ, DF, N), 0.903177285931),
        (fm.ecvi(CHISQ, NPAR, N), 0.422941932791),
    ],
)
def test_numbers_of_lavaan(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("chisq", "df", "expected"),
    [
        (85.30552, 24, 8.50255880544447e-09),  # R: pchisq(85.30552, 24, lower.tail = FALSE)
        (38.12536, 35, 0.329174570537149),  # R: pchisq(38.12536, 35, lower.tail = FALSE)
        (1200.0, 300, 8.14148365605908e-108),  # R: pchisq(1200, 300, lower.tail = FALSE)
        (0.0, 5, 1.0),
        (-1e-12, 5, 1.0),  # rounding below zero is zero
    ],
)
def test_chisq_pvalue(chisq: float, df: int, expected: float) -> None:
    assert fm.chisq_pvalue(chisq, df) == pytest.approx(expected, rel=1e-12)


def test_close_fit_has_the_tail_of_the_noncentral_distribution() -> None:
    # R: 1 - pchisq(85.30552, 24, ncp = 301*24*.05^2), 1 - pchisq(38.12536, 35, ncp = 75*35*.05^2)
    assert fm.rmsea_pvalue(85.30552, 24, 301) == pytest.approx(0.000661237022405059, rel=1e-9)
    assert fm.rmsea_pvalue(38.12536, 35, 75) == pytest.approx(0.611097970284194, rel=1e-10)
    assert fm.rmsea_pvalue(38.12536, 35, 75, close=0.0) == pytest.approx(0.329174570537149, rel=1e-10)


def test_rmsea_interval_of_r() -> None:
    # R: sqrt(l / (301*24)), l = uniroot(function(l) pchisq(85.30552, 24, ncp = l) - p, c(0, 400), tol = 1e-12)$root,
    # with p = .95 and .05
    assert fm.rmsea_ci(85.30552, 24, 301) == pytest.approx((0.0714184894264621, 0.1136780155656410), rel=1e-9)
    assert fm.rmsea_ci(85.30552, 24, 301, level=0.95) == pytest.approx(
        (0.0672164136334831, 0.1176286955721911), rel=1e-9
    )
    assert fm.rmsea_ci(38.12536, 35, 75) == pytest.approx((0.0, 0.0922330680077903), rel=1e-9)


@pytest.mark.parametrize(
    ("chisq", "df", "n"),
    [
        (85.3, 24, 301),
        (38.1, 35, 75),
        (300.0, 24, 100),
        (4000.0, 500, 2000),
        (60.0, 50, 10**6),
        (5.0, 1, 60),
        (3.0, 1, 10),
        (2e4, 800, 500),
    ],
)
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_rmsea_interval_solves_its_equations(chisq: float, df: int, n: int, level: float) -> None:
    lower, upper = fm.rmsea_ci(chisq, df, n, level=level)
    assert 0 <= lower <= fm.rmsea(chisq, df, n) <= upper
    assert stats.ncx2.cdf(chisq, df, n * df * upper**2) == pytest.approx((1 - level) / 2, abs=1e-8)
    if stats.chi2.cdf(chisq, df) <= (1 + level) / 2:
        assert lower == 0.0
    else:
        assert stats.ncx2.cdf(chisq, df, n * df * lower**2) == pytest.approx((1 + level) / 2, abs=1e-8)


def test_a_fit_better_than_chance_has_rmsea_zero_and_perfect_indices() -> None:
    chisq, df = 10.0, 24
    assert fm.rmsea(chisq, df, 301) == 0.0
    assert fm.cfi(chisq, df, BASE, BASE_DF) == 1.0
    assert fm.tli(chisq, df, BASE, BASE_DF) > 1.0
    assert fm.rni(chisq, df, BASE, BASE_DF) > 1.0
    assert fm.mfi(chisq, df, N) > 1.0
    assert fm.rmsea_ci(chisq, df, 301) == (0.0, 0.0)  # P(X <= 10 | 24) < .05 already at noncentrality 0
    assert stats.chi2.cdf(chisq, df) < 0.05
    assert fm.rmsea_pvalue(chisq, df, 301) > 0.999


def test_saturated_model() -> None:
    assert math.isnan(fm.chisq_pvalue(0.0, 0))
    assert math.isnan(fm.rmsea_pvalue(0.0, 0, 100))
    assert fm.rmsea(0.0, 0, 100) == 0.0
    assert fm.rmsea_ci(0.0, 0, 100) == (0.0, 0.0)
    for value in (fm.cfi, fm.tli, fm.nfi, fm.rfi):
        assert value(0.0, 0, 200.0, 10) == 1.0
    assert fm.ifi(0.0, 0, 200.0) == 1.0
    assert fm.pnfi(0.0, 0, 200.0, 10) == 0.0
    assert (fm.agfi(1.0, 10, 0), fm.pgfi(1.0, 10, 0)) == (1.0, 0.0)
    assert math.isnan(fm.critical_n(0.0, 0, 100))


def test_perfect_fit_with_degrees_of_freedom() -> None:
    assert fm.chisq_pvalue(0.0, 3) == 1.0
    assert fm.critical_n(0.0, 3, 100) == math.inf
    assert fm.rmsea_ci(0.0, 3, 100) == (0.0, 0.0)
    assert fm.mfi(0.0, 2, 100) == pytest.approx(math.exp(0.01))


def test_uncorrelated_data_leave_nothing_to_explain() -> None:
    assert fm.cfi(3.0, 4, 5.0, 10) == 1.0
    assert math.isnan(fm.nfi(0.0, 4, 0.0, 10))
    assert math.isnan(fm.pnfi(0.0, 4, 0.0, 10))
    assert math.isnan(fm.rni(3.0, 4, 10.0, 10))
    assert math.isnan(fm.ifi(3.0, 4, 4.0))
    assert fm.ifi(3.0, 4, 3.0) == 1.0
    assert fm.tli(3.0, 4, 10.0, 10) == 1.0
    # a model worse than the baseline
    assert fm.cfi(50.0, 4, 30.0, 10) == 0.0
    assert math.isnan(fm.nfi(50.0, 12, 30.0, 10))
    assert math.isnan(fm.rfi(50.0, 12, 30.0, 10))
    assert fm.rfi(50.0, 4, 30.0, 10) == 1.0  # as lavaan: a negative numerator counts as 1


def test_huge_samples_stay_finite() -> None:
    n = 10**9
    lower, upper = fm.rmsea_ci(5e6, 100, n)
    assert lower < fm.rmsea(5e6, 100, n) < upper
    assert upper - lower < 1e-4
    assert fm.rmsea(5e6, 100, n) == pytest.approx(math.sqrt((5e6 / 100 - 1) / n), rel=1e-12)
    assert fm.chisq_pvalue(5e6, 100) == 0.0
    assert fm.rmsea_pvalue(5e6, 100, n) == pytest.approx(1.0)


# -- measures of matrices ----------------------------------------------------------------------------------------------

S = np.array([[2.0, 0.8, 0.5], [0.8, 1.5, 0.3], [0.5, 0.3, 1.0]])
SIGMA = np.array([[2.1, 0.6, 0.4], [0.6, 1.5, 0.5], [0.4, 0.5, 0.9]])
M, MU = np.array([1.0, -0.5, 2.0]), np.array([1.2, -0.5, 1.7])


def test_rmr_and_srmr_by_hand() -> None:
    raw = [-0.1, 0.2, 0.1, 0.0, -0.2, 0.1]  # s11 s21 s31 s22 s32 s33
    assert fm.rmr(S, SIGMA) == pytest.approx(math.sqrt(sum(r * r for r in raw) / 6), rel=1e-12)
    scaled = [-0.1 / 2, 0.2 / math.sqrt(3), 0.1 / math.sqrt(2), 0.0, -0.2 / math.sqrt(1.5), 0.1]
    assert fm.srmr(S, SIGMA) == pytest.approx(math.sqrt(sum(r * r for r in scaled) / 6), rel=1e-12)
    means = [-0.2, 0.0, 0.3]
    assert fm.rmr(S, SIGMA, M, MU) == pytest.approx(math.sqrt(sum(r * r for r in raw + means) / 9), rel=1e-12)
    scaled_means = [-0.2 / math.sqrt(2), 0.0, 0.3]
    assert fm.srmr(S, SIGMA, M, MU) == pytest.approx(
        math.sqrt(sum(r * r for r in scaled + scaled_means) / 9), rel=1e-12
    )


def test_log_likelihood_is_the_sum_of_log_densities() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 3)) @ np.linalg.cholesky(S).T + M
    cov, mean = np.cov(x.T, bias=True), x.mean(axis=0)
    joint = stats.multivariate_normal(MU, SIGMA).logpdf(x).sum()
    assert fm.log_likelihood(cov, mean, SIGMA, MU, 40) == pytest.approx(joint, rel=1e-12)
    margin = stats.multivariate_normal(MU[[0, 2]], SIGMA[np.ix_([0, 2], [0, 2])]).logpdf(x[:, [0, 2]]).sum()
    assert fm.log_likelihood(cov, mean, SIGMA, MU, 40, given=[0, 2]) == pytest.approx(joint - margin, rel=1e-12)
    # means that are fitted exactly
    exact = stats.multivariate_normal(mean, SIGMA).logpdf(x).sum()
    assert fm.log_likelihood(cov, None, SIGMA, None, 40) == pytest.approx(exact, rel=1e-12)


def lower_triangle(p: int) -> list[tuple[int, int]]:
    """Return the places of vech, column by column."""
    return [(i, j) for j in range(p) for i in range(j, p)]


def duplication(p: int) -> np.ndarray:
    """Return D with vec(A) = D vech(A)."""
    out = np.zeros((p * p, p * (p + 1) // 2))
    for k, (i, j) in enumerate(lower_triangle(p)):
        out[i * p + j, k] = out[j * p + i, k] = 1.0
    return out


@pytest.mark.parametrize("given", [None, [2], [0, 2]])
@pytest.mark.parametrize("means", [False, True])
def test_gfi_with_the_weight_matrix_written_out(given: list[int] | None, means: bool) -> None:
    d, omega = duplication(3), np.linalg.inv(SIGMA)
    weight = 0.5 * d.T @ np.kron(omega, omega) @ d
    vech = lower_triangle(3)
    s = np.array([S[i, j] for i, j in vech])
    e = s - np.array([SIGMA[i, j] for i, j in vech])
    keep = np.array([not (given and i in given and j in given) for i, j in vech], dtype=float)
    weight = weight * np.outer(keep, keep)
    top, bottom = e @ weight @ e, s @ weight @ s
    if means:
        out = np.array([not (given and i in given) for i in range(3)], dtype=float)
        w = omega * np.outer(out, out)
        top, bottom = top + (M - MU) @ w @ (M - MU), bottom + M @ w @ M
    found = fm.gfi(S, SIGMA, M if means else None, MU if means else None, given=given)
    assert found == pytest.approx(1 - top / bottom, rel=1e-12)
    assert fm.gfi(S, S) == pytest.approx(1.0, abs=1e-12)
