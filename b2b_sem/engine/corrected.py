"""Fit measures of full information maximum likelihood that do not depend on how much is missing.

The chi-square of rows with holes measures misfit with the weights of the data that are there; indices made from it are
not those of the same model without holes. Here the discrepancy is that of complete data at the estimates, between the
moments without a model and the implied ones, and the scaling factor c the ratio of its expectation to df
(Zhang & Savalei 2023, doi:10.1080/10705511.2022.2118114; their FIML-C in versions 6 and, for non-normal data, 3, as in
lavaan).
"""

from __future__ import annotations

from dataclasses import dataclass

from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import Moments, evaluate, make_moments
from b2b_sem.engine.scaled import Solution
from b2b_sem.measures import robust as fr

__all__ = ["Discrepancies", "corrected_measures", "discrepancy"]

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
    from b2b_sem.results.columns import ROBUST_MEASURE_NAMES

    if at.options.information == "first.order":
        return dict.fromkeys(ROBUST_MEASURE_NAMES, NAN)
    if df == 0:  # nothing to correct
        ones = dict.fromkeys(("cfi_robust", "tli_robust", "nnfi_robust", "rni_robust"), 1.0)
        zeros = dict.fromkeys(("rmsea_robust", "rmsea_ci_lower_robust", "rmsea_ci_upper_robust"), 0.0)
        return ones | zeros | {"rmsea_pvalue_robust": NAN}
    own, null = discrepancy(at, casewise, nobs), discrepancy(base, casewise, nobs)
    factor = own.expected / df
    base_factor = null.expected / base_df if base_df > 0 else NAN
    six = (own.chisq, df, null.chisq, base_df, factor, base_factor)
    known = factor > 0
    scaled = own.chisq / factor if known else NAN
    lower, upper = fr.rmsea_ci_robust(scaled, df, nobs, factor) if known else (NAN, NAN)
    return {
        "cfi_robust": fr.cfi_robust(*six),
        "tli_robust": fr.tli_robust(*six),
        "nnfi_robust": fr.tli_robust(*six),
        "rni_robust": fr.rni_robust(*six),
        "rmsea_robust": fr.rmsea_robust(own.chisq, df, nobs, factor),
        "rmsea_ci_lower_robust": lower,
        "rmsea_ci_upper_robust": upper,
        "rmsea_pvalue_robust": fr.rmsea_pvalue_robust(scaled, df, nobs, factor) if known else NAN,
    }


def discrepancy(at: Solution, casewise: Casewise, nobs: int) -> Discrepancies:
    """Return the misfit of complete data at a solution.

    With W the observed information of the moments without a model, W_c what it would be without holes, J the products
    of their scores, D their derivatives by the parameters, E the inverse of the parameters' information D'WD, and
    P = I - D E D'W: the expectation is tr(W_c W^-1) - tr(E D'W_c D) for normal data and tr(W_c P W^-1 J W^-1 P')
    otherwise.
    """
    plain = Moments(casewise.cov, casewise.mean, make_moments(casewise.cov, None).logdet)
    point = evaluate(at.structure, plain, at.point.theta)
    assert point is not None
    chisq = nobs * max(point.value, 0.0)
    if casewise.complete and at.options.test == "standard" and at.options.information != "first.order":
        # W is W_c: of the moments there are as many left as have no parameter
        spent = float((at.bread("expected") * at.expected).sum())
        return Discrepancies(chisq, len(casewise.varying) - spent)
    slopes = casewise.slopes(at.structure, at.point.implied)
    own, full = casewise.observed_moments, casewise.complete_moments
    inner = casewise.expected_moments if at.options.information == "expected" else own
    bread = invert_information(slopes.T @ inner @ slopes, 1, at.constraints).vcov
    inverse = casewise.inverse_moments
    if inverse is None:
        return Discrepancies(chisq, NAN)
    reach = full @ slopes
    if at.options.test == "standard":
        expected = float((full * inverse).sum() - (bread * (slopes.T @ reach)).sum())
        return Discrepancies(chisq, expected)
    pushed = casewise.inverse_meat.T
    # tr(W_c W^-1 J W^-1) is the same for every model
    expected = casewise.complete_trace
    expected -= 2.0 * float((bread * (slopes.T @ (pushed @ reach))).sum())
    expected += float(((bread @ (slopes.T @ reach) @ bread) * (slopes.T @ (casewise.moment_meat @ slopes))).sum())
    return Discrepancies(chisq, expected)
