"""Fit measures of full information maximum likelihood that do not depend on how much is missing.

The chi-square of rows with holes measures misfit with the weights of the data that are there; indices made from it are
not those of the same model without holes. Here the discrepancy is that of complete data at the estimates, between the
moments without a model and the implied ones, and the scaling factor c the ratio of its expectation to df
(Zhang & Savalei 2023, doi:10.1080/10705511.2022.2118114; their FIML-C in versions 6 and, for non-normal data, 3, as in
lavaan).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array, FitOptions
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import Moments, evaluate, make_moments
from b2b_sem.engine.scaled import Solution
from b2b_sem.measures import robust as fr

__all__ = [
    "Discrepancies",
    "Ingredients",
    "corrected_measures",
    "discrepancy",
    "expectation",
    "ingredients",
    "robust_indices",
    "saturated_measures",
    "unknown_measures",
]

NAN = float("nan")


@dataclass(frozen=True)
class Discrepancies:
    """Misfit of complete data, and its expectation if the model holds.

    Attributes
    ----------
    chisq : float
        N F of complete data, between the moments without a model and the implied ones.
    expected : float
        Expectation of `chisq`: c df.
    """

    chisq: float
    expected: float


def corrected_measures(
    at: Solution, base: Solution, casewise: Casewise, nobs: int, df: int, base_df: int
) -> dict[str, float]:
    """Return the ``*_robust`` measures.

    Parameters
    ----------
    at, base : Solution
        Of the model and of the baseline model.
    casewise : Casewise
        The rows.
    nobs, df, base_df : int

    Returns
    -------
    dict
        NaN with information from products of scores (MLF): the factors then compare two kinds of information, and are
        far from 1, or negative, although the model holds.
    """
    if at.options.information == "first.order":
        return unknown_measures()
    if df == 0:
        return saturated_measures()
    return robust_indices(discrepancy(at, casewise, nobs), discrepancy(base, casewise, nobs), nobs, df, base_df)


def unknown_measures() -> dict[str, float]:
    """Return the ``*_robust`` measures where they have no meaning."""
    from b2b_sem.results.columns import ROBUST_MEASURE_NAMES

    return dict.fromkeys(ROBUST_MEASURE_NAMES, NAN)


def saturated_measures() -> dict[str, float]:
    """Return the ``*_robust`` measures of a model without degrees of freedom: there is nothing to correct."""
    ones = dict.fromkeys(("cfi_robust", "tli_robust", "nnfi_robust", "rni_robust"), 1.0)
    zeros = dict.fromkeys(("rmsea_robust", "rmsea_ci_lower_robust", "rmsea_ci_upper_robust"), 0.0)
    return ones | zeros | {"rmsea_pvalue_robust": NAN}


def robust_indices(
    own: Discrepancies, null: Discrepancies, nobs: int, df: int, base_df: int, groups: int = 1
) -> dict[str, float]:
    """Return the ``*_robust`` measures from the misfit of the model and of the baseline model."""
    factor = own.expected / df
    base_factor = null.expected / base_df if base_df > 0 else NAN
    six = (own.chisq, df, null.chisq, base_df, factor, base_factor)
    known = factor > 0
    scaled = own.chisq / factor if known else NAN
    lower, upper = fr.rmsea_ci_robust(scaled, df, nobs, factor) if known else (NAN, NAN)
    root = math.sqrt(groups)
    return {
        "cfi_robust": fr.cfi_robust(*six),
        "tli_robust": fr.tli_robust(*six),
        "nnfi_robust": fr.tli_robust(*six),
        "rni_robust": fr.rni_robust(*six),
        "rmsea_robust": root * fr.rmsea_robust(own.chisq, df, nobs, factor),
        "rmsea_ci_lower_robust": root * lower,
        "rmsea_ci_upper_robust": root * upper,
        "rmsea_pvalue_robust": fr.rmsea_pvalue_robust(scaled, df, nobs, factor, 0.05 / root) if known else NAN,
    }


@dataclass(frozen=True)
class Ingredients:
    """What the expectation of the misfit is made of, for one group.

    Attributes
    ----------
    chisq : float
    level : float
        tr(W_c W^-1) or, for non-normal data, tr(W_c W^-1 J W^-1); NaN if W has no inverse.
    inner, reach, pushed, middle : (q, q) arrays
        D'WD, D'W_c D, D'J W^-1 W_c D and D'J D.
    """

    chisq: float
    level: float
    inner: Array
    reach: Array
    pushed: Array
    middle: Array


def ingredients(at: Solution, casewise: Casewise, nobs: int) -> Ingredients:
    """Return what :func:`expectation` needs of one group."""
    chisq = _complete_chisq(at, casewise, nobs)
    slopes = casewise.slopes(at.structure, at.point.implied)
    own, full = casewise.observed_moments, casewise.complete_moments
    inner = casewise.expected_moments if at.options.information == "expected" else own
    inverse = casewise.inverse_moments
    turned = slopes.T @ inner @ slopes
    empty = np.zeros_like(turned)
    if inverse is None:
        return Ingredients(chisq, NAN, turned, empty, empty, empty)
    wide = full @ slopes
    reach = slopes.T @ wide
    if at.options.test == "standard":
        return Ingredients(chisq, float((full * inverse).sum()), turned, reach, empty, empty)
    pushed, middle = slopes.T @ (casewise.inverse_meat.T @ wide), slopes.T @ (casewise.moment_meat @ slopes)
    # tr(W_c W^-1 J W^-1) is the same for every model
    return Ingredients(chisq, casewise.complete_trace, turned, reach, pushed, middle)


def expectation(of: Ingredients, options: FitOptions, constraints: LinearConstraints | None) -> Discrepancies:
    """Return the misfit of complete data and its expectation.

    With W the observed information of the moments without a model, W_c what it would be without holes, J the products
    of their scores, D their derivatives by the parameters, E the inverse of the parameters' information D'WD, and
    P = I - D E D'W: the expectation is tr(W_c W^-1) - tr(E D'W_c D) for normal data and tr(W_c P W^-1 J W^-1 P')
    otherwise.
    """
    if np.isnan(of.level):
        return Discrepancies(of.chisq, NAN)
    bread = invert_information(of.inner, 1, constraints).vcov
    if options.test == "standard":
        return Discrepancies(of.chisq, of.level - float((bread * of.reach).sum()))
    expected = of.level - 2.0 * float((bread * of.pushed).sum())
    expected += float(((bread @ of.reach @ bread) * of.middle).sum())
    return Discrepancies(of.chisq, expected)


def discrepancy(at: Solution, casewise: Casewise, nobs: int) -> Discrepancies:
    """Return the misfit of complete data at a solution, with its expectation."""
    if casewise.complete and at.options.test == "standard":
        # W is W_c: of the moments there are as many left as have no parameter
        spent = float((at.bread("expected") * at.expected).sum())
        return Discrepancies(_complete_chisq(at, casewise, nobs), len(casewise.varying) - spent)
    return expectation(ingredients(at, casewise, nobs), at.options, at.constraints)


def _complete_chisq(at: Solution, casewise: Casewise, nobs: int) -> float:
    plain = Moments(casewise.cov, casewise.mean, make_moments(casewise.cov, None).logdet)
    point = evaluate(at.structure, plain, at.point.theta)
    assert point is not None
    return nobs * max(point.value, 0.0)
