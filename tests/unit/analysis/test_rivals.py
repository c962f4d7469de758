"""Rival models: which are nested, which way, and what the comparison says."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import b2b_sem as bs
from b2b_sem.analysis.rivals import compare_rival, relation
from b2b_sem.results.fit import FitResult

MEASURES = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\n"
MAIN = MEASURES + "B ~ A\nC ~ A + B"


@lru_cache(maxsize=1)
def data() -> pd.DataFrame:
    rng = np.random.default_rng(21)
    n = 350
    a = rng.normal(size=n)
    b = 0.6 * a + rng.normal(size=n)
    c = 0.5 * b + rng.normal(size=n)
    return pd.DataFrame(
        {f"{v}{i}": f + rng.normal(scale=0.7, size=n) for v, f in (("a", a), ("b", b), ("c", c)) for i in (1, 2, 3)}
    )


@cache
def fitted(text: str) -> FitResult:
    found = bs.fit(text, data(), engine="native")
    assert found.ok
    return found


@pytest.mark.parametrize(
    ("rival", "expected"),
    [
        (MAIN, "same"),
        (MEASURES + "B ~ A\nC ~ B + A", "same"),
        (MEASURES + "B ~ A\nC ~ B", "restricted"),
        (MEASURES + "B ~ A\nC ~ B + 0*A", "restricted"),
        (MAIN + "\na1 ~~ b1", "extended"),
        (MAIN + "\nb1 ~~ a1\nc1 ~~ a1", "extended"),
        (MEASURES + "B ~ A\nC ~ B\na1 ~~ b1", "other"),
        (MEASURES + "B ~ A\nC ~ B + 0.5*A", "restricted"),  # the main model frees what is fixed there
        (MAIN + "\na1 ~~ 0.1*b1", "other"),  # fixed at a value the main model does not allow
        (MEASURES + "A ~ B\nC ~ A + B", "other"),
        (MEASURES + "B ~ p*A\nC ~ p*A + B", "other"),
        (MAIN.replace("b2", "e*b2") + "\ne == 1", "other"),
        (MAIN.replace(" + c3", ""), "other"),
        ("A =~ a1 + a2 + a3 + b1 + b2 + b3 + c1 + c2 + c3", "other"),
    ],
)
def test_relation(rival: str, expected: str) -> None:
    assert relation(fitted(MAIN), fitted(rival)) == expected
    opposite = {"restricted": "extended", "extended": "restricted"}
    assert relation(fitted(rival), fitted(MAIN)) == opposite.get(expected, expected)


def test_difference_test_of_a_restricted_rival() -> None:
    main, rival = fitted(MAIN), fitted(MEASURES + "B ~ A\nC ~ A + 0*B")
    found = compare_rival("r", "R", "why", main, rival)
    diff = rival.measures["chisq"] - main.measures["chisq"]
    assert diff > 10
    assert found.chisq_diff == pytest.approx(diff, rel=1e-12)
    assert found.df_diff == 1
    assert found.pvalue_diff == pytest.approx(stats.chi2.sf(diff, 1), rel=1e-10)
    assert found.message == "The restrictions of the rival worsen the fit reliably: the main model is preferred."
    assert (found.name, found.title, found.why, found.fit) == ("r", "R", "why", rival)


def test_difference_test_of_an_extended_rival() -> None:
    small, big = fitted(MEASURES + "B ~ A\nC ~ B"), fitted(MAIN)
    found = compare_rival("r", "R", "why", small, big)
    assert (found.relation, found.df_diff) == ("extended", 1)
    assert found.chisq_diff == pytest.approx(small.measures["chisq"] - big.measures["chisq"], rel=1e-12)
    assert found.pvalue_diff > 0.05  # A has no effect on C beside B
    assert found.message == "The additional parameters do not improve the fit reliably: the simpler model is preferred."
    turned = compare_rival("r", "R", "why", big, small)
    assert (turned.chisq_diff, turned.pvalue_diff) == (found.chisq_diff, found.pvalue_diff)
    assert turned.message == found.message
    better = compare_rival("r", "R", "why", fitted(MEASURES + "B ~ A\nC ~ A + 0*B"), big)
    assert better.message == "The restrictions of the main model worsen the fit reliably: the rival is preferred."


def test_models_that_are_not_nested_are_compared_by_bic() -> None:
    main, rival = fitted(MAIN), fitted("A =~ a1 + a2 + a3 + b1 + b2 + b3 + c1 + c2 + c3")
    found = compare_rival("r", "R", "why", main, rival)
    assert math.isnan(found.chisq_diff)
    assert math.isnan(found.pvalue_diff)
    assert found.df_diff is None
    assert "BIC is lower for the main model" in found.message
    assert main.measures["bic"] < rival.measures["bic"]
    assert "BIC is lower for the rival" in compare_rival("r", "R", "why", rival, main).message


def test_other_variables_cannot_be_compared() -> None:
    found = compare_rival("r", "R", "why", fitted(MAIN), fitted(MAIN.replace(" + c3", "")))
    assert "neither a test nor information criteria" in found.message
    assert math.isnan(found.chisq_diff)


def test_the_same_model_is_called_so() -> None:
    found = compare_rival("r", "R", "why", fitted(MAIN), fitted(MAIN))
    assert found.message == "The two models have the same parameters."
    assert math.isnan(found.chisq_diff)


@pytest.mark.parametrize(("main_failed", "who"), [(True, "main model"), (False, "rival")])
def test_failed_fits_are_not_compared(main_failed: bool, who: str) -> None:
    good, failed = fitted(MAIN), replace(fitted(MEASURES + "B ~ A\nC ~ B"), converged=False)
    main, rival = (failed, good) if main_failed else (good, failed)
    found = compare_rival("r", "R", "why", main, rival)
    assert found.message == f"Not compared: the estimation did not converge (the {who})."
    assert math.isnan(found.chisq_diff)
    assert math.isnan(found.pvalue_diff)
    assert found.df_diff is None


@cache
def ordinal(text: str, parameterization: str = "delta") -> FitResult:
    cut = pd.DataFrame({name: np.digitize(x, np.quantile(x, [0.2, 0.5, 0.8])) for name, x in data().items()})
    found = bs.fit(text, cut, ordered=True, parameterization=parameterization)
    assert found.ok
    return found


@pytest.mark.parametrize("parameterization", ["delta", "theta"])
def test_rivals_of_ordinal_items_are_nested(parameterization: str) -> None:
    # residual variances (delta) and scales (theta) are computed from the rest: they differ between nested models
    main = ordinal(MAIN, parameterization)
    rival = ordinal(MEASURES + "B ~ A\nC ~ B", parameterization)
    found = compare_rival("r", "R", "why", main, rival)
    assert found.relation == "restricted"
    assert found.df_diff == 1
    expected = bs.compare(main, rival).table.iloc[1]
    assert (found.chisq_diff, found.pvalue_diff) == (expected["chisq_diff"], expected["pvalue"])
    assert 0 <= found.pvalue_diff <= 1


def test_a_fixed_residual_variance_of_an_ordinal_item_is_no_nesting() -> None:
    assert relation(ordinal(MAIN, "theta"), ordinal(MAIN + "\na1 ~~ 2*a1", "theta")) == "other"


def test_rivals_of_ordinal_items_and_numbers_are_compared() -> None:
    items = ["a1", "a2", "a3"]
    mixed = data().assign(**{v: np.digitize(data()[v], [-0.5, 0.5]) for v in items})
    main, rival = (bs.fit(text, mixed, ordered=items) for text in (MAIN, MEASURES + "B ~ A\nC ~ B"))
    found = compare_rival("r", "R", "why", main, rival)
    assert (found.relation, found.df_diff) == ("restricted", 1)
    assert 0 <= found.pvalue_diff <= 1
    shifted = bs.fit(MAIN, mixed.assign(c1=mixed["c1"] + 1), ordered=items)
    with pytest.raises(bs.DataError, match="different sample moments"):
        bs.compare(shifted, rival)
