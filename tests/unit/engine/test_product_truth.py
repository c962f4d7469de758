"""LMS against an integral over all latent variables at once: likelihood, maximum, standard errors."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from product_truth import Truth

import b2b_sem as bs
from b2b_sem.analysis.fitted import context_of

MEASURED = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\n"
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "a product of an outcome of a product": (MEASURED + "y1 ~ A + B + A:B\nz ~ y1 + A + y1:A", {}),
    "holes, squares": (MEASURED + "y1 ~ A + B + A:A + B:B\na1 ~~ b1", {"missing": "fiml"}),
    "groups, holes, observed moderator": (
        "A =~ a1 + a2 + a3\nY =~ y1 + y2 + y3\nY ~ A + c + A:c",
        {"group": "team", "missing": "fiml", "group_equal": ["loadings", "intercepts", "regressions"]},
    ),
    "facets": ("A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nG =~ A + 1*B\nz ~ G + c + G:c", {"std_lv": False}),
}


@cache
def answers(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(21)
    a, c = rng.normal(size=(2, n))
    b = 0.4 * a + 0.9 * rng.normal(size=n)
    y = 0.4 * a + 0.3 * b + 0.3 * a * b + 0.2 * a * c + 0.7 * rng.normal(size=n)
    factors = {"a": a, "b": b, "y": y}
    frame = pd.DataFrame({f"{v}{k}": f + 0.6 * rng.normal(size=n) for v, f in factors.items() for k in (1, 2, 3)})
    return frame.assign(c=c, z=0.5 * y + 0.3 * a + rng.normal(size=n), team=np.where(rng.random(n) < 0.5, "k", "l"))


def holes(frame: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    out = frame.copy()
    for name in ("a1", "a2", "b2", "y2"):
        out.loc[rng.random(len(out)) < 0.1, name] = np.nan
    return out


@pytest.mark.parametrize("name", CASES)
def test_likelihood_maximum_and_errors(name):
    model, options = CASES[name]
    data = holes(answers()) if "missing" in options else answers()
    fit = bs.fit(model, data, **options)
    rows = fit.parameters.to_dict("records")
    parts = [data[data["team"] == g] for g in fit.groups] or [data]
    truths = [Truth([r for r in rows if r["group"] == g], part) for g, part in enumerate(parts, 1)]
    theta, vcov = context_of(fit).solution.theta, context_of(fit).vcov

    def likelihood(at: np.ndarray) -> float:
        return float(sum(t.log_likelihoods(at[: len(t.theta)]).sum() for t in truths))

    known = 0.0
    if "c" in model.split("=~")[-1]:  # taken as fixed: its density is no part of the likelihood
        for part in parts:
            known -= 0.5 * len(part) * (np.log(2.0 * np.pi * part["c"].var(ddof=0)) + 1.0)
    top = likelihood(theta)
    assert top - known == pytest.approx(fit.measures["logl"], abs=2e-5)
    for k in range(len(theta)):
        # along a column of the covariance matrix the likelihood has the curvature 1 in units of the standard error
        step = 0.05 * vcov[:, k] / np.sqrt(vcov[k, k])
        low2, low, high, high2 = (likelihood(theta + j * step) for j in (-2, -1, 1, 2))
        assert (8.0 * (high - low) - (high2 - low2)) / 0.6 == pytest.approx(0.0, abs=1e-4)
        assert (low2 - 16.0 * low + 30.0 * top - 16.0 * high + high2) / 0.03 == pytest.approx(1.0, abs=2e-3)
