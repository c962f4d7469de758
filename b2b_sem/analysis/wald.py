"""Wald tests of restrictions on the parameters of a fitted model."""

from __future__ import annotations

import numpy as np
from scipy import special

from b2b_sem.analysis.fitted import context_of
from b2b_sem.engine.base import Array
from b2b_sem.engine.native.constraint import label_values
from b2b_sem.errors import ModelError, ModelSyntaxError, did_you_mean
from b2b_sem.results.fit import FitResult
from b2b_sem.results.test import WaldTest
from b2b_sem.spec import expression as ex
from b2b_sem.spec.syntax import Constraint, parse_model

__all__ = ["restriction_values", "wald_chisq", "wald_test"]

#: Eigenvalue, in correlation metric, of the covariance matrix of the restrictions below which one follows from others.
SINGULAR = 1e-10


def wald_test(fit: FitResult, restrictions: str) -> WaldTest:
    """Test restrictions on labelled parameters.

    See :meth:`b2b_sem.analysis.fitted.Fit.wald_test`.
    """
    texts, value, jacobian = restriction_values(fit, restrictions)
    context = context_of(fit)
    variance = jacobian @ context.vcov @ jacobian.T
    scale = _scale(variance, jacobian, context.vcov, texts)
    eigenvalues, vectors = np.linalg.eigh(variance / np.outer(scale, scale))
    if eigenvalues[0] < SINGULAR:
        guilty = np.flatnonzero(np.abs(vectors[:, 0]) > 1e-6)
        raise ModelError(
            "these restrictions are not independent of each other: " + "; ".join(texts[i] for i in guilty),
            hint="leave out those that follow from the others",
        )
    white = vectors.T @ (value / scale)
    chisq = float((white**2 / eigenvalues).sum())
    return WaldTest(
        chisq,
        len(value),
        float(special.chdtrc(len(value), chisq)),
        texts,
        tuple(float(v) for v in value),
        tuple(float(s) for s in np.sqrt(np.diag(variance))),
    )


def wald_chisq(value: Array, cov: Array) -> float:
    """Return the Wald statistic of ``value = 0``; NaN where a value has no standard error or follows from others.

    Parameters
    ----------
    value : (k,) array
    cov : (k, k) array
    """
    sd = np.sqrt(np.maximum(np.diag(cov), 0.0))
    if not np.isfinite(sd).all() or not (sd > 0).all():
        return float("nan")
    eigenvalues, vectors = np.linalg.eigh(cov / np.outer(sd, sd))
    if eigenvalues[0] < SINGULAR:
        return float("nan")
    return float(((vectors.T @ (value / sd)) ** 2 / eigenvalues).sum())


def restriction_values(fit: FitResult, restrictions: str) -> tuple[tuple[str, ...], Array, Array]:
    """Return restrictions as text, left minus right side of each (k,), and the derivatives (k, q)."""
    context = context_of(fit)
    if not fit.converged or not fit.identified:
        raise ModelError(f"a Wald test cannot be computed: {fit.failure}", hint="fit a simpler model first")
    table = context.problem.table
    statements = _parse(restrictions)
    raw = context.problem.values(context.solution.theta)
    rows = len(table.rows)
    known = label_values(table, raw.value[:rows], raw.jacobian[:rows], table.definitions, undefined_as_nan=True)
    values, slopes = [], []
    for statement in statements:
        for side in (statement.left, statement.right):
            for name in ex.names(side):
                if name.name not in known:
                    raise ModelSyntaxError(
                        f"'{name.name}' is not a label of the model.{did_you_mean(name.name, known)}",
                        line=name.line,
                        column=name.column,
                        hint="label the parameter in the model, for example 'y ~ b*x', and fit it again",
                    )
        (a, da), (b, db) = ex.evaluate(statement.left, known), ex.evaluate(statement.right, known)
        values.append(a - b)
        slopes.append(np.zeros(table.nfree) + da - db)
    value, jacobian = np.array(values), np.array(slopes)
    texts = tuple(f"{ex.render(s.left)} == {s.text}" for s in statements)
    return texts, value, jacobian


def _scale(variance: Array, jacobian: Array, vcov: Array, texts: tuple[str, ...]) -> Array:
    """Return standard errors; refuse a restriction that has none."""
    diagonal = np.diag(variance)
    if not np.isfinite(diagonal).all():
        at = int(np.flatnonzero(~np.isfinite(diagonal))[0])
        raise ModelError(f"'{texts[at]}' has no standard error at the estimates", hint="leave it out")
    # what the variance would be if nothing cancelled
    size = np.abs(jacobian) @ np.sqrt(np.maximum(np.diag(vcov), 0.0))
    for text, own, whole in zip(texts, diagonal, size, strict=True):
        if own <= 1e-16 * whole**2:
            raise ModelError(
                f"'{text}' has no uncertainty: its parameters are fixed, or the model already imposes it",
                hint="test parameters that are free in the model",
            )
    return np.sqrt(diagonal)


def _parse(text: str) -> tuple[Constraint, ...]:
    parsed = parse_model(text)
    if parsed.entries or not parsed.constraints or any(c.op != "==" for c in parsed.constraints):
        raise ModelSyntaxError(
            "a Wald test takes restrictions on labels", hint="write 'a == b', several on their own lines or after ';'"
        )
    return parsed.constraints
