"""Factor scores of a fitted model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Context, context_of, part_context, refuse_ordinal
from b2b_sem.data.incomplete import group_patterns
from b2b_sem.data.table import Table
from b2b_sem.engine.base import Array
from b2b_sem.engine.native.casemoment import case_residuals
from b2b_sem.engine.native.implied import BETA, LAMBDA, Implied, Structure, implied_moments
from b2b_sem.engine.native.mixture import Mixture
from b2b_sem.engine.problem import Problem
from b2b_sem.engine.product_score import posterior_means, scoring_grid
from b2b_sem.engine.score import bartlett_weights, regression_weights
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, Unsupported, did_you_mean
from b2b_sem.results.fit import FitResult
from b2b_sem.spec.product import product_rows

__all__ = ["SCORE_METHODS", "factor_scores"]

SCORE_METHODS: tuple[str, ...] = ("regression", "bartlett")


def factor_scores(fit: FitResult, method: str = "regression", data: Any = None) -> Any:
    """Return scores of the latent variables, as lavaan's ``lavPredict``.

    Parameters
    ----------
    fit : FitResult
        As returned by ``b2b_sem.fit``.
    method : {"regression", "bartlett"}
        Regression scores: conditional means, Cov(eta, y) Sigma^-1 (y - mu) + mean(eta) (Thurstone 1935). Bartlett
        scores: generalised least squares with the latent variables as fixed quantities (Bartlett 1937,
        doi:10.1111/j.2044-8295.1937.tb00863.x), unbiased given the latent variables. With latent products (LMS)
        regression scores are E(eta | answers), which is not linear in the answers.
    data : DataFrame, mapping of columns, or Responses, optional
        Rows to score. Default: the rows the model was fitted to.

    Returns
    -------
    DataFrame
        One column a latent variable, one row for each complete row, labelled with the index of the data; for a model
        fitted with ``missing="fiml"`` one row for each row with an answer (regression scores). Without a
        mean structure, scores are centred at the sample means. Bartlett scores are NaN for a latent variable with
        latent indicators only: the data say nothing about it beyond its indicators. For a fit of several groups a dict
        of these by label.

    Raises
    ------
    Unsupported
        For another method, without rows to score, or where Bartlett scores are not defined.
    DataError
        If `data` lack a variable or hold text.
    ModelError
        If the model implies no covariance matrix.
    """
    if method not in SCORE_METHODS:
        raise Unsupported(
            f"scores by method {method!r} are not available.{did_you_mean(str(method), SCORE_METHODS)}",
            hint="use " + " or ".join(map(repr, SCORE_METHODS)),
        )
    if fit.groups:
        if data is not None:
            raise Unsupported(
                "scores of other rows are not available for a fit of several groups", hint="leave data out"
            )
        return {label: _scores(part_context(fit, label), method, None) for label in fit.groups}
    return _scores(context_of(fit), method, data)


def _scores(context: Context, method: str, data: Any) -> pd.DataFrame:
    """Return the scores of one group."""
    problem, observed = context.problem, context.observed
    refuse_ordinal(problem, "factor scores", "use sum scores, or fit the items as numbers (leave ordered out)")
    structure = problem.structure
    if not structure.nlatent:
        raise Unsupported("the model has no latent variable to score", hint="use the observed variables themselves")
    group = observed.groups[0]
    if group.mean is None:
        raise Unsupported(
            "the model was fitted to a covariance matrix without means, so that scores have no zero point",
            hint="fit it to the data, or give sample_mean=... beside the matrix",
        )
    rows, index = _rows(context, data)
    theta = context.solution.theta
    if product_rows(problem.table):
        return _product_scores(problem, theta, method, rows, index, fitted=data is None)
    with single_thread():
        implied = implied_moments(structure, theta)
        if implied is None:
            raise ModelError("the model implies no covariance matrix at the estimates: (I - B) is singular")
        if np.isnan(rows).any():
            scores = _conditional_means(structure, implied, method, rows)
            return pd.DataFrame(scores, index=index, columns=list(structure.eta[: structure.nlatent]))
        loadings, coefficients = (_filled(structure, matrix, theta) for matrix in (LAMBDA, BETA))
        if method == "regression":
            weights = regression_weights(structure, implied, coefficients, group.mean)
        else:
            weights = bartlett_weights(structure, implied, loadings, coefficients, group.mean)
        scores = (rows - weights.centre) @ weights.weights.T + weights.mean
    return pd.DataFrame(scores, index=index, columns=list(structure.eta[: structure.nlatent]))


def _product_scores(
    problem: Problem, theta: Array, method: str, rows: Array, index: pd.Index, *, fitted: bool
) -> pd.DataFrame:
    """Return E(eta | answers) in a model with latent products."""
    mixture = problem.moments.weight
    if method != "regression" or not isinstance(mixture, Mixture):
        raise Unsupported(
            "scores of models with latent products are means given the answers, by LMS",
            hint="use method='regression'" if isinstance(mixture, Mixture) else "fit with interaction='lms'",
        )
    with single_thread():
        grid = None if fitted else scoring_grid(mixture, theta)
        means = posterior_means(mixture, theta, rows, grid)
    names = list(problem.structure.eta[: problem.structure.nlatent])
    return pd.DataFrame(means[:, : len(names)], index=index, columns=names)


def _conditional_means(structure: Structure, implied: Implied, method: str, rows: Array) -> Array:
    """Return E(eta | answers) of rows with holes: mean(eta) + Cov(eta, y_o) Sigma_oo^-1 (y_o - mu_o)."""
    if method != "regression":
        raise Unsupported(
            "Bartlett scores are not available for rows with missing values", hint="use method='regression'"
        )
    assert implied.mu is not None
    p, m, k = structure.p, structure.m, structure.nlatent
    cross = implied.columns[:, p + m : p + m + k]
    out: Array = case_residuals(group_patterns(rows), implied.mu, implied.sigma) @ cross + implied.eta_mean[:k]
    return out


def _filled(structure: Structure, matrix: int, theta: Array) -> Array:
    out = structure.templates[matrix].copy()
    entries, i, j = structure.where[matrix]
    out[i, j] = theta[structure.free[entries]]
    return out


def _rows(context: Context, data: Any) -> tuple[Array, pd.Index]:
    """Return the complete rows to score, shape (n, p), and their labels."""
    observed = context.observed
    if data is None:
        if observed.raw is None:
            raise Unsupported(
                "the model was fitted to a covariance matrix: there are no rows to score", hint="give data=..."
            )
        rows = observed.raw[0]
        labels = observed.index
        return rows, pd.RangeIndex(len(rows)) if labels is None else pd.Index(labels)
    table = Table.open(data, list(observed.names))
    columns = np.stack(table.floats(), axis=1)
    frame = getattr(data, "frame", data)
    labels = frame.index if hasattr(frame, "columns") else pd.RangeIndex(table.n)
    holes_allowed = context.problem.options.missing != "listwise"
    complete = np.isfinite(columns).any(axis=1) if holes_allowed else np.isfinite(columns).all(axis=1)
    if not complete.any():
        what = "row with an answer" if holes_allowed else "complete row"
        raise DataError(f"there is no {what} to score", hint="every variable of the model needs an answer")
    return columns[complete], labels[np.flatnonzero(complete)]
