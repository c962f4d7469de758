"""How much of an outcome a product explains: delta R2 and f2."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from b2b_sem.analysis.equation import Equation, equation_of, group_context, read_terms, structural_moments
from b2b_sem.engine.base import Array
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.results.fit import FitResult
from b2b_sem.results.probe import ModerationSize

__all__ = ["moderation_size"]


def moderation_size(
    fit: Any,
    product: str,
    *,
    outcome: str | None = None,
    without: FitResult | None = None,
    aliases: Mapping[str, str] | None = None,
    group: str | None = None,
) -> ModerationSize:
    """Return R2 with and without a product, their difference, and f2 = delta R2 / (1 - R2).

    R2 is one minus the residual variance over the variance of the outcome that the whole model implies. Without the
    product it is that of the best linear prediction from the other terms of the same equation, in the population that
    the model describes: delta R2 = b3^2 Var(XM | other terms) / Var(Y), the squared semipartial correlation of the
    product. With normal X and M around 0 it is b3^2 (Var(X) Var(M) + Cov(X, M)^2) / Var(Y). In a regression this is
    what the sum of squares without the product says.

    Parameters
    ----------
    fit : FitResult or regression result
        As in :func:`simple_slopes`.
    product : str
        ``X:M``.
    outcome : str, optional
        Needed where the product stands in several equations.
    without : FitResult, optional
        A fit of the model without the product: its R2 is then that without. It differs a little, since other
        parameters are estimated anew.
    aliases, group
        As in :func:`simple_slopes`.

    Returns
    -------
    ModerationSize

    Raises
    ------
    ModelSyntaxError, DataError, Unsupported
        As :func:`simple_slopes`; Unsupported also where a factor depends on a product itself and so is not normal.
    """
    equation, named = equation_of(fit, product, None, outcome, group, aliases)
    notes = (f"These numbers must not be interpreted: {equation.failure}.",) if equation.failure else ()
    k = next(k for k, t in enumerate(equation.terms) if sorted(t) == sorted((named.focal, named.moderator)))
    name = ":".join(equation.terms[k])
    if not isinstance(fit, FitResult):
        if without is not None:
            raise DataError("without= is for fits of models", hint="leave it out: a regression is fitted again")
        return _of_regression(fit, k, named.outcome, name)
    r2 = float((fit.r2 if group is None else fit.r2[str(group)])[named.outcome])
    if without is not None:
        own = without.r2 if group is None else without.r2.get(str(group), {})
        if named.outcome not in own:
            raise DataError(
                f"the fit without the product says nothing about '{named.outcome}'",
                hint="fit the same model without the product to the same data",
            )
        text = "Without: R2 of the model without the product, fitted to the same data."
        return ModerationSize(named.outcome, name, r2, float(own[named.outcome]), text, notes)
    share = _unique_share(fit, equation, k, aliases, group)
    text = (
        "Without: R2 of the best linear prediction from the other terms of the equation, under the moments that the "
        "model implies."
    )
    return ModerationSize(named.outcome, name, r2, r2 - share, text, notes)


def _unique_share(
    fit: FitResult, equation: Equation, product: int, aliases: Mapping[str, str] | None, group: str | None
) -> float:
    """Return the variance that only the product explains, as a share of the variance of the outcome."""
    context, number = group_context(fit, group)
    names, mean, cov = structural_moments(context)
    kept = [k for k, t in enumerate(equation.terms) if t and (equation.value[k] or equation.cov[k, k])]
    if product not in kept:
        return 0.0
    # a product that is a variable of the model (product indicators) has moments of its own
    terms = [(c,) if (c := equation.columns[k]) in names else equation.terms[k] for k in kept]
    if any(len(t) == 2 for t in terms):
        rows = fit.parameters
        rows = rows[(rows["op"] == "~") & (rows["group"] == number)]
        _refuse_bent(rows["lhs"], read_terms(rows["rhs"], aliases), {v for t in terms for v in t})
    joint = _term_cov(terms, names, mean, cov)
    k = kept.index(product)
    others = [i for i in range(len(terms)) if i != k]
    unique = joint[k, k]
    if others:
        unique -= joint[k, others] @ np.linalg.lstsq(joint[np.ix_(others, others)], joint[others, k], rcond=None)[0]
    at = names.index(equation.outcome)
    variance = cov[at, at]
    return float(equation.value[product] ** 2 * max(unique, 0.0) / variance) if variance > 0 else math.nan


def _refuse_bent(outcomes: Iterable[str], terms: Iterable[tuple[str, ...]], used: set[str]) -> None:
    """Refuse predictors that depend on products: they are not normal, and their products have other variances."""
    equations = list(zip(outcomes, terms, strict=True))
    bent = {y for y, term in equations if len(term) == 2}
    pairs = [(y, x) for y, term in equations for x in term]
    while more := {y for y, x in pairs if x in bent} - bent:
        bent |= more
    found = sorted(used & bent)
    if found:
        raise Unsupported(
            f"{found[0]} depends on a product itself and is not normal, so the share of a product with it is not known",
            hint="give without=, a fit of the model without this product",
        )


def _term_cov(terms: Sequence[tuple[str, ...]], names: Sequence[str], mean: Array, cov: Array) -> Array:
    """Return the covariance matrix of terms: variables, and products of normal variables (Isserlis 1918).

    Cov(ab, cd) = s_ac s_bd + s_ad s_bc + m_a m_c s_bd + m_a m_d s_bc + m_b m_c s_ad + m_b m_d s_ac, and
    Cov(a, cd) = m_c s_ad + m_d s_ac (doi:10.1093/biomet/12.1-2.134).
    """
    place = {v: i for i, v in enumerate(names)}

    def pair(s: tuple[str, ...], t: tuple[str, ...]) -> float:
        if len(s) > len(t):
            s, t = t, s
        i, j = [place[v] for v in s], [place[v] for v in t]
        if len(t) == 1:
            return float(cov[i[0], j[0]])
        if len(s) == 1:
            return float(mean[j[0]] * cov[i[0], j[1]] + mean[j[1]] * cov[i[0], j[0]])
        (a, b), (c, d) = i, j
        return float(
            cov[a, c] * cov[b, d]
            + cov[a, d] * cov[b, c]
            + mean[a] * mean[c] * cov[b, d]
            + mean[a] * mean[d] * cov[b, c]
            + mean[b] * mean[c] * cov[a, d]
            + mean[b] * mean[d] * cov[a, c]
        )

    return np.array([[pair(s, t) for t in terms] for s in terms])


def _of_regression(fit: Any, product: int, outcome: str, name: str) -> ModerationSize:
    model = fit.model
    design, y = np.asarray(model.exog, dtype=float), np.asarray(model.endog, dtype=float)
    if not hasattr(fit, "rsquared") or not np.array_equal(np.asarray(getattr(model, "wexog", None)), design):
        raise Unsupported(
            f"R2 of {type(model).__name__} is not available", hint="fit the regression by ordinary least squares (OLS)"
        )
    total = float(((y - y.mean()) ** 2).sum())

    def explained(columns: Array) -> float:
        left = y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
        return 1.0 - float(left @ left) / total

    text = "Without: R2 of the regression without the product, by least squares."
    return ModerationSize(outcome, name, explained(design), explained(np.delete(design, product, axis=1)), text)
