"""Monte Carlo experiments: draw samples from a population, fit a model to each, and look at what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from b2b_sem.data.observed import GroupMoments, Observed
from b2b_sem.engine.base import Array, FitOptions, moments_divisor
from b2b_sem.engine.blocks import run_blocks
from b2b_sem.engine.inference import count_df
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.native.implied import compile_structure, implied_moments
from b2b_sem.engine.problem import prepare, solve
from b2b_sem.engine.replicate import Replicator, replicator, standard_errors
from b2b_sem.engine.resample import stream, wishart_moments
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, ModelSyntaxError
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.syntax import parse_model

__all__ = ["MonteCarlo", "Population", "moments_of", "monte_carlo", "population"]

#: Replicates in a block, each block with a random stream of its own.
BLOCK = 128


@dataclass(frozen=True, eq=False)
class Population:
    """Moments of a population.

    Attributes
    ----------
    names : tuple of str, length p
    cov : (p, p) array
    mean : (p,) array
    values : mapping
        True value of each parameter by (lhs, op, rhs), where known.
    sd : mapping of str to float
        Standard deviations of observed and latent variables, where known.
    """

    names: tuple[str, ...]
    cov: Array
    mean: Array
    values: Mapping[tuple[str, str, str], float]
    sd: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class MonteCarlo:
    """Fits of R samples from a population.

    Attributes
    ----------
    n, seed, nobs : int
    df : int
    theta, se : (n, q) arrays
        NaN where no minimum was found.
    chisq, pvalue : (n,) arrays
    converged, admissible : (n,) bool arrays
    truth : (q,) array
        True values of the free parameters; NaN where the population has none of that name.
    names : tuple of (lhs, op, rhs), one for each free parameter
    """

    n: int
    seed: int
    nobs: int
    df: int
    theta: Array
    se: Array
    chisq: Array
    pvalue: Array
    converged: npt.NDArray[np.bool_]
    admissible: npt.NDArray[np.bool_]
    truth: Array
    names: tuple[tuple[str, str, str], ...]

    @property
    def failed(self) -> int:
        """Samples without a solution."""
        return self.n - int(self.converged.sum())

    def summary(self, *, alpha: float = 0.05, level: float = 0.95) -> pd.DataFrame:
        """Return one row a free parameter, over the samples with a solution.

        Columns: lhs op rhs true; mean, its bias, the standard deviation of the estimates, the mean standard error;
        coverage of the Wald interval; power, the share of samples whose Wald test rejects zero; and Monte Carlo
        standard errors of bias (sd / sqrt(R)), coverage and power (sqrt(p (1 - p) / R)) (Morris, White & Crowther 2019,
        doi:10.1002/sim.8086).
        """
        good = self.converged
        theta, se, count = self.theta[good], self.se[good], int(good.sum())
        if count < 2:
            raise ModelError(f"{self.failed} of {self.n} samples have no solution", hint="use larger samples")
        usable = np.isfinite(se)
        tested = usable.sum(axis=0)
        quantile = float(special.ndtri(0.5 + level / 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.abs(theta / se)
            covered = (np.abs(theta - self.truth) <= quantile * se).sum(axis=0) / tested
            covered = np.where(np.isfinite(self.truth), covered, np.nan)
            power = (z > float(special.ndtri(1 - alpha / 2))).sum(axis=0) / tested
            sd = theta.std(axis=0, ddof=1)
            mean_se = np.where(usable, se, 0.0).sum(axis=0) / tested
        lhs, op, rhs = zip(*self.names, strict=True)
        return pd.DataFrame(
            {
                "lhs": lhs,
                "op": op,
                "rhs": rhs,
                "true": self.truth,
                "mean": theta.mean(axis=0),
                "bias": theta.mean(axis=0) - self.truth,
                "sd": sd,
                "mean_se": mean_se,
                "coverage": covered,
                "power": power,
                "bias_mcse": sd / np.sqrt(count),
                "coverage_mcse": np.sqrt(covered * (1 - covered) / tested),
                "power_mcse": np.sqrt(power * (1 - power) / tested),
            }
        )

    def rejection(self, *, alpha: float = 0.05) -> tuple[float, float]:
        """Return the share of samples whose chi-square test rejects the model, and its Monte Carlo standard error."""
        p = self.pvalue[self.converged]
        share = float((p < alpha).mean()) if self.df else float("nan")
        return share, float(np.sqrt(share * (1 - share) / len(p)))


def population(model: str, *, std_lv: bool = False, meanstructure: bool = True) -> Population:
    """Return the moments implied by a model whose parameters are all given.

    Parameters
    ----------
    model : str
        lavaan syntax with a number for every parameter: ``F =~ 1*x1 + .8*x2``, ``F ~~ .5*F``. What the text does not
        mention but lavaan's defaults add (residual variances, covariances of exogenous latents, intercepts) takes
        variance 1 and 0.
    std_lv, meanstructure : bool

    Raises
    ------
    ModelSyntaxError
        If the covariance matrix is not positive definite.
    """
    return moments_of(build_table(parse_model(model), meanstructure=meanstructure, std_lv=std_lv, fixed_x=False))


def moments_of(table: ParameterTable) -> Population:
    """Return the moments of a table of one group at its starting values; see :func:`population`."""
    theta = np.zeros(table.nfree)
    for row in table.rows:
        if row.free:
            default = 1.0 if row.op == "~~" and row.lhs == row.rhs else 0.0
            theta[row.free - 1] = default if row.start is None else row.start
    structure = compile_structure(table, {})
    implied = implied_moments(structure, theta)
    if implied is None or np.linalg.eigvalsh(implied.sigma)[0] <= 0:
        raise ModelSyntaxError(
            "the population's covariance matrix is not positive definite", hint="check the variances of the model"
        )
    values = {_key(r.lhs, r.op, r.rhs): float(theta[r.free - 1] if r.free else r.value or 0.0) for r in table.rows}
    mean = np.zeros(len(table.observed)) if implied.mu is None else implied.mu
    variances = dict(zip(structure.eta, np.diag(implied.eta_cov), strict=True))
    variances |= dict(zip(table.observed, np.diag(implied.sigma), strict=True))
    sd = {name: float(np.sqrt(max(v, 0.0))) for name, v in variances.items()}
    return Population(table.observed, implied.sigma, mean, values, sd)


def _key(lhs: str, op: str, rhs: str) -> tuple[str, str, str]:
    return (rhs, op, lhs) if op == "~~" and rhs < lhs else (lhs, op, rhs)


@dataclass(frozen=True, eq=False)
class _Experiment:
    replicator: Replicator
    cov: Array
    mean: Array | None
    nobs: int
    seed: int

    def sample(self, block: int) -> dict[str, Array]:
        """Draw and fit one block of samples."""
        problem = self.replicator.problem
        divisor = moments_divisor(self.nobs, problem.options.likelihood)
        with single_thread():
            rng = stream(self.seed, block)
            cov, mean = wishart_moments(rng, self.cov, self.mean, self.nobs, BLOCK, divisor=divisor)
            found = self.replicator.fit(cov, mean)
            se = np.full(found.theta.shape, np.nan)
            good = found.converged
            se[good] = standard_errors(problem, self.replicator.kernel, found.theta[good], found.exo[good], self.nobs)
            return {**found.__dict__, "se": se}


def monte_carlo(
    truth: Population,
    model: str,
    *,
    nobs: int,
    n: int,
    seed: int,
    jobs: int = 1,
    likelihood: str = "normal",
    std_lv: bool = False,
    orthogonal: bool = False,
    meanstructure: bool | None = None,
    fixed_x: bool = False,
    progress: Callable[[int], None] | None = None,
    cluster: str | None = None,
    folder: Path | None = None,
) -> MonteCarlo:
    """Draw normal samples from a population and fit a model to each.

    Moments are drawn directly (Wishart and normal), rows are never made. Block k of samples has random stream k of
    ``SeedSequence(seed)``, so the numbers do not depend on `jobs`.

    Parameters
    ----------
    truth : Population
    model : str
        lavaan syntax; need not be the population's model.
    nobs : int
        Rows of each sample.
    n : int
        Samples.
    seed, jobs : int
    likelihood, std_lv, orthogonal, meanstructure, fixed_x
        As in :func:`b2b_sem.fit`.
    progress : callable, optional
        Called with the samples done.
    cluster : str, optional
        Address of a dask scheduler whose workers do the work.
    folder : Path, optional
        Where finished blocks are kept and looked for.

    Raises
    ------
    DataError
        If samples are too small, or the model has variables the population does not.
    ModelError
        If the model cannot be fitted to the population itself.
    """
    table: ParameterTable = build_table(
        parse_model(model), meanstructure=meanstructure, std_lv=std_lv, orthogonal=orthogonal, fixed_x=fixed_x
    )
    unknown = [v for v in table.observed if v not in truth.names]
    if unknown:
        raise DataError(f"the population has no variable '{unknown[0]}'", hint="check the names in both models")
    if nobs <= len(table.observed):
        raise DataError(f"nobs={nobs} rows for {len(table.observed)} variables", hint="use larger samples")
    if n < 1:
        raise DataError(f"n={n} samples", hint="ask for at least 1")
    at = [truth.names.index(v) for v in table.observed]
    cov, mean = truth.cov[np.ix_(at, at)], truth.mean[at]
    constraints = linear_constraints(table)
    options = FitOptions(likelihood="wishart" if likelihood == "wishart" else "normal")
    with single_thread():
        scale = nobs / moments_divisor(nobs, likelihood)
        moments = GroupMoments(None, nobs, np.asarray(cov / scale, float), np.asarray(mean, float))
        observed = Observed(table.observed, (moments,), nobs, 0)
        problem = prepare(table, observed, options, constraints)
        solution, _ = solve(problem, "native")
        if not solution.converged:
            raise ModelError("the model cannot be fitted to the population itself", hint="check both models")
        prepared = replicator(problem, solution.theta)
        task = _Experiment(prepared, cov, mean if table.meanstructure else None, nobs, seed)
        found = run_blocks(task, "sample", -(-n // BLOCK), jobs, folder, progress, size=BLOCK, cluster=cluster)
    found = {name: part[:n] for name, part in found.items()}
    df = count_df(table, constraints)[2]
    chisq = moments_divisor(nobs, likelihood) * np.maximum(found["fmin"], 0.0)
    names = {r.free: _key(r.lhs, r.op, r.rhs) for r in reversed(table.rows) if r.free}
    keys = tuple(names[k + 1] for k in range(table.nfree))
    return MonteCarlo(
        n=n,
        seed=seed,
        nobs=nobs,
        df=df,
        theta=found["theta"],
        se=found["se"],
        chisq=chisq,
        pvalue=special.chdtrc(df, chisq) if df else np.full(n, np.nan),
        converged=found["converged"].astype(bool),
        admissible=found["admissible"].astype(bool),
        truth=np.array([truth.values.get(k, np.nan) for k in keys]),
        names=keys,
    )
