"""How the numbers of a fit came about: sentences, the short form, and the head of the summary."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.results.fit import FitResult
from b2b_sem.results.method import describe_method, label_method, ordered_of

MODEL = "F =~ x1 + x2 + x3\nG =~ x4 + x5 + y\nG ~ F"


@cache
def answers() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    f = rng.normal(size=(300, 1))
    g = 0.6 * f + 0.8 * rng.normal(size=(300, 1))
    noise = rng.normal(size=(300, 6))
    latent = np.hstack([np.repeat(f, 3, axis=1), np.repeat(g, 3, axis=1)]) * 0.8 + 0.6 * noise
    data = pd.DataFrame(np.digitize(latent, [-1, 0, 1]).astype(float), columns=["x1", "x2", "x3", "x4", "x5", "y"])
    data["y"] = latent[:, 5]
    data.loc[:39, "x2"] = np.nan
    return data.assign(a=f[:, 0], firm=np.arange(300) // 5)


def fitted(**options: Any) -> FitResult:
    return bs.fit(MODEL, answers(), **options)


@pytest.mark.parametrize(
    ("options", "label", "sentences"),
    [
        (
            {"engine": "native"},
            "estimator ML, listwise deletion of 40 rows, N = 260",
            (
                "The model was fitted by maximum likelihood (estimator ML); answers count as numbers.",
                "40 of 300 rows were left out for missing values (listwise deletion).",
                "Standard errors are from the expected information; the chi-square is not scaled.",
            ),
        ),
        (
            {"missing": "fiml", "auxiliary": ["a"]},
            "estimator ML, full information (FIML), N = 300",
            (
                "The model was fitted by maximum likelihood (estimator ML); answers count as numbers.",
                "All answers of 300 respondents were used (full information maximum likelihood), with the auxiliary "
                "variables a.",
                "Standard errors are from the observed information; the chi-square is not scaled.",
                "CFI, TLI and RMSEA are the robust ones.",
            ),
        ),
        (
            {"ordered": ["x1", "x2", "x3", "x4", "x5"], "missing": "pairwise", "parameterization": "theta"},
            "estimator WLSMV, 5 of 6 variables ordered, pairwise deletion, N = 300",
            (
                "Thresholds and correlations of the responses behind the answers were fitted by diagonally weighted "
                "least squares (estimator WLSMV): 5 of 6 variables are ordered categories (x1, x2, x3, x4, x5); y "
                "counts as a number. Parameterization: theta.",
                "Each threshold and correlation uses all who gave the answers it needs (pairwise deletion).",
                "Standard errors are robust to the choice of weights (robust.sem); the chi-square is scaled and "
                "shifted.",
                "CFI, TLI and RMSEA are the scaled ones.",
            ),
        ),
        (
            {"missing": "mi", "imputations": 2, "seed": 5, "estimator": "MLM"},
            "estimator MLM, 2 imputed data sets, N = 300",
            (
                "The model was fitted by maximum likelihood (estimator MLM); answers count as numbers.",
                "Missing answers were imputed 2 times (seed 5) and the fits pooled.",
                "Standard errors follow Rubin's rules; those of each data set are robust to answers that are not "
                "normal (robust.sem); the chi-square is Satorra-Bentler and pooled over the imputed data sets.",
                "CFI, TLI and RMSEA are the robust ones.",
            ),
        ),
        (
            {"missing": "fiml", "estimator": "MLR", "cluster": "firm"},
            "estimator MLR, full information (FIML), N = 300",
            (
                "The model was fitted by maximum likelihood (estimator MLR); answers count as numbers.",
                "All answers of 300 respondents were used (full information maximum likelihood).",
                "Standard errors are robust to answers that are not normal and not independent (sandwich of scores); "
                "rows with the same firm may depend on each other; the chi-square is Yuan-Bentler (Mplus variant).",
                "CFI, TLI and RMSEA are the robust ones.",
            ),
        ),
        (
            {"estimator": "GLS"},
            "estimator GLS, listwise deletion of 40 rows, N = 260",
            (
                "The model was fitted by generalized least squares (estimator GLS); answers count as numbers.",
                "40 of 300 rows were left out for missing values (listwise deletion).",
                "Standard errors are from the expected information; the chi-square is not scaled.",
            ),
        ),
    ],
)
def test_method_in_words(options: dict[str, Any], label: str, sentences: tuple[str, ...]) -> None:
    fit = fitted(**options)
    assert label_method(fit) == label
    assert describe_method(fit) == sentences
    again = FitResult.from_json(json.loads(json.dumps(fit.to_json(), allow_nan=False)))
    assert describe_method(again) == sentences
    assert label_method(again) == label


def test_the_choice_of_the_estimator_is_told() -> None:
    fit = fitted(estimator="auto")
    assert "(estimator WLSMV, chosen by 'estimator: auto', see the notes on the fit)" in describe_method(fit)[0]
    assert ordered_of(fit) == ("x1", "x2", "x3", "x4", "x5")


def test_head_of_the_summary() -> None:
    def head(**options: Any) -> dict[str, str]:
        text = fitted(**options).summary().split("Model Test User Model")[0]
        return {line[:46].strip(): line[46:].strip() for line in text.splitlines() if line.startswith("  ")}

    ordinal = head(ordered=["x1", "x2"], missing="pairwise")
    assert ordinal["Missing answers"] == "pairwise"
    assert ordinal["Ordered variables"] == "2 of 6"
    assert ordinal["Parameterization"] == "delta"
    imputed = head(missing="mi", imputations=2, seed=1)
    assert (imputed["Missing answers"], imputed["Number of imputations"]) == ("mi", "2")
    assert not {"Missing answers", "Ordered variables"} & set(head())
