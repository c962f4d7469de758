"""Fit measures of models with latent products, of one group or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.engine.base import Array, EngineFit, FitOptions
from b2b_sem.engine.inference import NAN, measure_names
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import Implied
from b2b_sem.engine.native.loss import evaluate
from b2b_sem.engine.problem import Problem
from b2b_sem.measures import fit as fm
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import product_rows

__all__ = [
    "Likelihoods",
    "find_likelihoods",
    "log_likelihood_of_fixed",
    "product_measures",
    "restricted_factor",
    "scaling_factor",
]


@dataclass(frozen=True)
class Likelihoods:
    """Solutions of a model with products and of the same model without.

    Attributes
    ----------
    value : float
        Smallest -2 log L / N, exogenous variables included.
    npar : int
        Free parameters, less those that equations take away.
    linear : float
        The same value without products; NaN if not known.
    linear_npar : int
    scaling : float
        Scaling factor of the log-likelihood; NaN where standard errors are not robust.
    product_scaling : float
        Scaling factor of the test against the model without products.
    """

    value: float
    npar: int
    linear: float = NAN
    linear_npar: int = 0
    scaling: float = NAN
    product_scaling: float = NAN


def find_likelihoods(
    problem: Problem,
    without: ParameterTable,
    solution: EngineFit,
    linear: EngineFit,
    information: Array,
    middle: Array | None,
) -> Likelihoods:
    """Return what the measures of a solution are made from.

    Parameters
    ----------
    problem : Problem
        Of one group or of several.
    without : ParameterTable
        Of the model without products.
    solution, linear : EngineFit
        Of the model and of the one without products.
    information : (q, q) array
    middle : (q, q) array or None
        Cross-products of the scores behind robust standard errors.
    """
    table, constraints = problem.table, problem.constraints
    rank = 0 if constraints is None else constraints.rank
    scaling = NAN if middle is None else scaling_factor(information, middle, constraints)
    found = Likelihoods(solution.fmin, table.nfree - rank, scaling=scaling)
    if not linear.converged or constraints is not None or not only_products(table, without):
        return found
    free = len(linear.theta)
    flat = np.zeros(table.nfree)
    flat[:free] = linear.theta
    at = evaluate(problem.structure, problem.moments, flat)
    if at is None:
        return found
    if middle is not None and free < len(flat):
        factor = restricted_factor(information, middle, None, np.eye(len(flat))[:, :free])
        found = replace(found, product_scaling=factor)
    return replace(found, linear=at.value, linear_npar=free)


def only_products(table: ParameterTable, linear: ParameterTable) -> bool:
    """Whether a model is the one without products as soon as its other parameters are 0.

    It is not if a product has a fixed value or the label of a path: then there is no test of the products.
    """
    return all(r.free > linear.nfree if r.free else r.value == 0.0 for r in product_rows(table))


def product_measures(
    parts: Sequence[Problem], implied: Sequence[Implied], found: Likelihoods, *, converged: bool
) -> dict[str, float]:
    """Return the likelihood, information criteria, the test against the model without products, and SRMR.

    Parameters
    ----------
    parts : sequence of Problem
        One for each group.
    implied : sequence of Implied
        The moments of all variables in each group, products and all.
    found : Likelihoods
    converged : bool

    Notes
    -----
    ``scaling_factor_h0`` is tr(I^-1 J) / npar with the observed information I and the cross-products J of the scores.
    ``product_chisq_scaled`` is ``product_chisq`` divided by tr(M) / df, see :func:`restricted_factor`.
    """
    n = sum(part.nobs for part in parts)
    out = dict.fromkeys(measure_names(FitOptions(), casewise=False), NAN) | {"npar": found.npar, "ntotal": n}
    if not converged:
        return out
    given, rmr, srmr = 0.0, 0.0, 0.0
    for part, own in zip(parts, implied, strict=True):
        table, cov, mean = part.table, part.moments.cov, part.moments.mean
        x = [table.observed.index(v) for v in table.exogenous] if table.fixed_x else []
        given += log_likelihood_of_fixed(cov, x, part.nobs)
        share = part.nobs / n
        rmr += share * fm.rmr(cov, own.sigma, mean, own.mu)
        srmr += share * fm.srmr(cov, own.sigma, mean, own.mu)
    logl = -0.5 * n * found.value - given
    out |= {
        "fmin": found.value / 2.0,
        "logl": logl,
        "aic": fm.aic(logl, found.npar),
        "bic": fm.bic(logl, found.npar, n),
        "bic2": fm.bic2(logl, found.npar, n),
        "rmr": rmr,
        "srmr": srmr,
    }
    robust = math.isfinite(found.scaling)
    if robust:
        out["scaling_factor_h0"] = found.scaling
    if math.isfinite(found.linear):
        linear, df = -0.5 * n * found.linear - given, found.npar - found.linear_npar
        chisq = 2.0 * (logl - linear)
        out |= {
            "linear_logl": linear,
            "product_chisq": chisq,
            "product_df": df,
            "product_pvalue": fm.chisq_pvalue(chisq, df) if df else NAN,
        }
        if robust and df:
            scaled = chisq / found.product_scaling
            out |= {
                "product_chisq_scaled": scaled,
                "product_pvalue_scaled": fm.chisq_pvalue(scaled, df),
                "product_scaling_factor": found.product_scaling,
            }
    return out


def scaling_factor(information: Array, middle: Array, constraints: LinearConstraints | None) -> float:
    """Return tr(I^-1 J) / q, the scaling factor of a log-likelihood.

    Parameters
    ----------
    information : (q, q) array
        Observed information of a respondent.
    middle : (q, q) array
        Mean cross-product of the scores.
    constraints : LinearConstraints or None
    """
    if constraints is not None:
        basis = constraints.basis
        information, middle = basis.T @ information @ basis, basis.T @ middle @ basis
    if not len(information):
        return NAN
    return float(np.trace(np.linalg.solve(information, middle))) / len(information)


def restricted_factor(
    information: Array, middle: Array, constraints: LinearConstraints | None, directions: Array
) -> float:
    """Return tr(M) / d, M = (A I^-1 A')^-1 A I^-1 J I^-1 A', the mean of a likelihood-ratio test divided by d.

    Satorra (2000), doi:10.1007/978-1-4615-4603-0_17: all at the estimates of the larger model, and never negative.

    Parameters
    ----------
    information, middle : (q, q) arrays
        Of the larger model, as in :func:`scaling_factor`.
    constraints : LinearConstraints or None
        Of the larger model.
    directions : (q, q0) array
        In which its parameters can move as long as it is the smaller model; A is what is orthogonal to them.
    """
    if constraints is not None:
        basis = constraints.basis
        information, middle = basis.T @ information @ basis, basis.T @ middle @ basis
        directions = basis.T @ directions
    left, size, _ = np.linalg.svd(directions)
    rank = int((size > 1e-10 * size.max(initial=0.0)).sum())
    give_up = left[:, rank:].T
    bread = np.linalg.solve(information, give_up.T)
    inner = give_up @ bread
    return float(np.trace(np.linalg.solve(inner, bread.T @ middle @ bread))) / len(give_up)


def log_likelihood_of_fixed(cov: Array, x: list[int], n: int) -> float:
    """Return the log-likelihood of exogenous variables taken as fixed, at their own moments."""
    if not x:
        return 0.0
    logdet = float(np.linalg.slogdet(cov[np.ix_(x, x)])[1])
    return -0.5 * n * (len(x) * math.log(2.0 * math.pi) + logdet + len(x))
