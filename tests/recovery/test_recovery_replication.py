"""A thousand small samples from one population: are estimates, standard errors, tests and verdicts right on average?

Every bound is four times the Monte Carlo error of the number itself, with a stated allowance where theory has one. The
seed is fixed: the result is the same on every run.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import b2b_sem as bs
from b2b_sem.propositions import adjust, judge
from b2b_sem.spec.model import Proposition

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]

MODEL = """
A =~ a1 + a2 + a3
B =~ b1 + b2 + b3
C =~ c1 + c2 + c3
C ~ A + B
w ~ C + A
"""
N, REPLICATIONS = 400, 1000

LOADINGS = {"a1": 1.0, "a2": 0.8, "a3": 1.2, "b1": 1.0, "b2": 0.9, "b3": 0.7, "c1": 1.0, "c2": 1.1, "c3": 0.8}
#: B has no effect on C, and A none on w beside C: the two null paths.
TRUTH: dict[tuple[str, str, str], float] = {
    **{(item[0].upper(), "=~", item): value for item, value in LOADINGS.items()},
    ("C", "~", "A"): 0.4,
    ("C", "~", "B"): 0.0,
    ("w", "~", "C"): 0.5,
    ("w", "~", "A"): 0.0,
    **{(item, "~~", item): 0.6 for item in LOADINGS},
    ("w", "~~", "w"): 0.8,
    ("A", "~~", "A"): 1.0,
    ("B", "~~", "B"): 1.0,
    ("C", "~~", "C"): 0.7,
    ("A", "~~", "B"): 0.3,
}
PROPOSITIONS = tuple(
    Proposition(id=name, statement=f"{path}.", path=path, sign="+")
    for name, path in {"null": "B -> C", "null2": "A -> w", "true": "A -> C"}.items()
)
ALPHA = 0.05


def population_covariance() -> pd.DataFrame:
    """Write down the covariance matrix of the population, path by path, without any code of the package."""
    phi = np.array([[1.0, 0.3], [0.3, 1.0]])
    weight = np.array([0.4, 0.0])
    latent = np.zeros((4, 4))  # A, B, C, w
    latent[:2, :2] = phi
    latent[2, :2] = latent[:2, 2] = phi @ weight
    latent[2, 2] = weight @ phi @ weight + 0.7
    latent[3, :3] = latent[:3, 3] = 0.5 * latent[2, :3]
    latent[3, 3] = 0.25 * latent[2, 2] + 0.8
    names = [*LOADINGS, "w"]
    pattern = np.zeros((10, 4))
    for i, (item, value) in enumerate(LOADINGS.items()):
        pattern[i, "abc".index(item[0])] = value
    pattern[9, 3] = 1.0
    noise = np.diag([0.6] * 9 + [0.0])
    return pd.DataFrame(pattern @ latent @ pattern.T + noise, index=names, columns=names)


PARAMETER_NUMBERS = ("est", "se", "ci_lower", "ci_upper")
MEASURES = ("chisq", "df", "pvalue", "rmsea_ci_lower")


@dataclass(frozen=True)
class Replications:
    """Stacked results: rows are replications, columns (of what belongs to parameters) the free parameters."""

    names: list[tuple[str, str, str]]
    numbers: dict[str, Array]
    alone: list[dict[str, str]]
    holm: list[dict[str, str]]

    def __getitem__(self, name: str) -> Array:
        return self.numbers[name]

    def truth(self) -> Array:
        return np.array([TRUTH[name] for name in self.names])


@pytest.fixture(scope="module")
def replications() -> Iterator[Replications]:
    # The adjustment of p values collects garbage on every call (statsmodels does): what exists by now, that package
    # included, need not be looked at a thousand times.
    adjust([0.5], "holm")
    gc.collect()
    gc.freeze()
    yield replicate()
    gc.unfreeze()


def replicate() -> Replications:
    sigma = population_covariance()
    root = np.linalg.cholesky(sigma.to_numpy())
    rows: dict[str, list[Any]] = {name: [] for name in (*PARAMETER_NUMBERS, "std_lower", "std_upper", *MEASURES)}
    alone, holm = [], []
    names: list[tuple[str, str, str]] = []
    for child in np.random.SeedSequence(20261121).spawn(REPLICATIONS):
        answers = np.random.default_rng(child).standard_normal((N, len(sigma))) @ root.T
        cov = pd.DataFrame(np.cov(answers, rowvar=False), index=sigma.index, columns=sigma.columns)
        fit = bs.fit(MODEL, sample_cov=cov, nobs=N, engine="native")
        assert fit.ok, fit.failure
        table, standardized = free_rows(fit)
        names = names or keys(table)
        for column in PARAMETER_NUMBERS:
            rows[column].append(table[column].to_numpy(float))
        rows["std_lower"].append(standardized["ci_lower"].to_numpy(float))
        rows["std_upper"].append(standardized["ci_upper"].to_numpy(float))
        for name in MEASURES:
            rows[name].append(fit.measures[name])
        alone.append({v.id: v.verdict for v in judge(PROPOSITIONS[:1], fit, alpha=ALPHA, multiplicity="none")})
        holm.append({v.id: v.verdict for v in judge(PROPOSITIONS, fit, alpha=ALPHA, multiplicity="holm")})
    return Replications(names, {name: np.array(values) for name, values in rows.items()}, alone, holm)


def free_rows(fit: bs.FitResult) -> tuple[pd.DataFrame, pd.DataFrame]:
    free = fit.parameters["free"] > 0
    return fit.parameters[free], fit.standardized()[free]


def keys(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    return [tuple(row) for row in table[["lhs", "op", "rhs"]].itertuples(index=False)]


def test_design(replications: Replications) -> None:
    """The truth covers every free parameter, and the population fits the model exactly there."""
    assert set(replications.names) <= set(TRUTH)
    assert len(replications.names) == 6 + 4 + 10 + 3 + 1
    fit = bs.fit(MODEL, sample_cov=population_covariance() * N / (N - 1), nobs=N, engine="native")
    assert fit.measures["chisq"] == pytest.approx(0, abs=1e-8)
    found = {(r.lhs, r.op, r.rhs): r.est for r in fit.parameters.itertuples() if r.free}
    assert found == pytest.approx({name: TRUTH[name] for name in found}, abs=1e-7)


def test_estimates_are_unbiased(replications: Replications) -> None:
    """Mean estimate against truth.

    Maximum likelihood has a bias of order 1/N, for residual variances and loadings up to about 0.1 of the standard
    deviation here, which is allowed beside the Monte Carlo error of the mean (4 / sqrt(1000) = .13 of it).
    """
    spread = replications["est"].std(axis=0, ddof=1)
    bias = (replications["est"].mean(axis=0) - replications.truth()) / spread
    limit = 4 / math.sqrt(REPLICATIONS)
    assert np.all(np.abs(bias) < limit + 0.1)
    regressions = [i for i, name in enumerate(replications.names) if name[1] == "~"]
    assert np.all(np.abs(bias[regressions]) < limit)


def test_standard_errors_are_the_spread_of_the_estimates(replications: Replications) -> None:
    """Mean SE against the empirical standard deviation, whose own relative error is 1 / sqrt(2 R) = 2.2 %."""
    ratio = replications["se"].mean(axis=0) / replications["est"].std(axis=0, ddof=1)
    assert np.all(np.abs(ratio - 1) < 4 / math.sqrt(2 * REPLICATIONS))
    # on average over parameters, much closer: a factor like sqrt(N / (N - p)) or a wrong divisor would show
    assert abs(float(ratio.mean()) - 1) < 0.02


@pytest.mark.parametrize("kind", ["raw", "standardized"])
def test_intervals_cover_the_truth_as_often_as_they_say(replications: Replications, kind: str) -> None:
    r = replications
    if kind == "raw":
        truth, lower, upper = r.truth(), r["ci_lower"], r["ci_upper"]
    else:
        fit = bs.fit(MODEL, sample_cov=population_covariance(), nobs=N, engine="native")
        _, rows = free_rows(fit)
        assert keys(rows) == r.names
        truth, lower, upper = rows["est_std"].to_numpy(float), r["std_lower"], r["std_upper"]
    free = upper[0] > lower[0]  # the standardized variance of an exogenous latent is 1, not estimated
    assert free.sum() == (24 if kind == "raw" else 22)
    covered = ((lower <= truth) & (truth <= upper)).mean(axis=0)[free]
    error = math.sqrt(0.95 * 0.05 / REPLICATIONS)
    # Wald intervals of variances and of standardized values are skewed in small samples: 1 % is allowed for that
    assert np.all(np.abs(covered - 0.95) < 4 * error + 0.01)
    assert abs(float(covered.mean()) - 0.95) < 0.01


def test_chi_square_has_its_distribution(replications: Replications) -> None:
    r, df = replications, 31
    assert set(r["df"]) == {df}
    # the small-sample inflation of the statistic is of order df / N: below 3 % with ten variables and 400 rows
    error = math.sqrt(2 * df / REPLICATIONS)
    assert -4 * error < float(r["chisq"].mean()) - df < 4 * error + 0.03 * df
    rejected = float((r["pvalue"] < ALPHA).mean())
    assert abs(rejected - ALPHA) < 4 * math.sqrt(ALPHA * (1 - ALPHA) / REPLICATIONS)
    # the whole distribution, not only its mean and its tail: the distance of the p values from uniform (Kolmogorov)
    p = np.sort(r["pvalue"])
    steps = np.arange(1, REPLICATIONS + 1) / REPLICATIONS
    distance = max(float(np.max(steps - p)), float(np.max(p - steps + 1 / REPLICATIONS)))
    assert distance < 1.95 / math.sqrt(REPLICATIONS)  # exceeded once in a thousand


def test_rmsea_interval_excludes_zero_as_often_as_its_level_says(replications: Replications) -> None:
    """The lower bound of the 90 % interval is above 0 exactly when the 5 % test rejects."""
    assert np.array_equal(replications["rmsea_ci_lower"] > 0, replications["pvalue"] < ALPHA)


def test_error_rate_of_a_verdict(replications: Replications) -> None:
    """A path that is zero: supported in alpha / 2 of the samples (the other half has the opposite sign)."""
    rate = {kind: sum(v["null"] == kind for v in replications.alone) / REPLICATIONS for kind in VERDICTS}
    error = math.sqrt(ALPHA / 2 * (1 - ALPHA / 2) / REPLICATIONS)
    assert abs(rate["supported"] - ALPHA / 2) < 4 * error
    assert abs(rate["contradicted"] - ALPHA / 2) < 4 * error
    assert sum(rate.values()) == 1.0


def test_error_rate_of_a_family_of_verdicts(replications: Replications) -> None:
    """Holm: a wrong decision about any null path in at most alpha of the samples; the true path is always found."""
    wrong = sum(v["null"] != "not supported" or v["null2"] != "not supported" for v in replications.holm)
    error = math.sqrt(ALPHA * (1 - ALPHA) / REPLICATIONS)
    # with the true path rejected, Holm tests the two null paths at alpha / 2 and alpha: close to its level
    assert ALPHA - 5 * error < wrong / REPLICATIONS < ALPHA + 4 * error
    assert all(v["true"] == "supported" for v in replications.holm)


VERDICTS = ("supported", "contradicted", "not supported")
