"""Estimates from semopy: the only file that imports it.

semopy 2.3.11 finds maximum likelihood estimates of complete-data, continuous, single-group models. Its fit measures,
degrees of freedom, mean structure, missing-data and ordinal parts are not used, and neither are its defaults: the
whole parameter table is spelled out, variables get neutral names, parameters are read back by name (their order
follows PYTHONHASHSEED), every fit takes a fresh ``Model``, and its stopping rule is tightened. What it finds is the
starting point of the native optimiser, so the two engines end at the same minimum.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.errors import Unsupported
from b2b_sem.spec.partable import ParameterTable

__all__ = ["estimate", "unsupported_reason"]


def unsupported_reason(table: ParameterTable) -> str:
    """Say why semopy cannot fit this table; empty if it can."""
    if table.meanstructure:
        return "semopy's mean structure is not reliable"
    if table.equalities:
        return "semopy has no '==' constraints"
    if table.inequalities or table.bounded:
        return "semopy's bounds and inequality constraints are not reliable"
    if not any(r.op in ("=~", "~") for r in table.rows):
        return "semopy needs a measurement or a regression"
    latents = set(table.latents)
    predictors = {r.rhs for r in table.rows if r.op == "~"}
    for row in table.rows:
        sides = {row.lhs, row.rhs}
        if row.op == "~~" and sides & latents and any(v not in latents and v not in predictors for v in sides):
            return "semopy has no covariance between a latent variable and an observed outcome"
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence semopy's messages: they go to the root logger, which would get a handler for good."""
    handler = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(handler)
    others = [h for h in root.handlers if h is not handler]
    levels = [h.level for h in others]
    try:
        for other in others:
            other.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for other, level in zip(others, levels, strict=True):
            other.setLevel(level)
        root.removeHandler(handler)


def render(table: ParameterTable, fixed: dict[str, float]) -> tuple[str, dict[str, str]]:
    """Write the table in semopy's syntax.

    Returns
    -------
    text : str
        With variables ``y0, y1, ...`` (observed) and ``f0, f1, ...`` (latent), parameters ``p1, p2, ...``.
    names : dict
        Observed name -> neutral name.
    """
    observed = {v: f"y{i}" for i, v in enumerate(table.observed)}
    names = observed | {v: f"f{i}" for i, v in enumerate(table.latents)}
    lines = []
    for row in table.rows:
        if row.free:
            factor = f"p{row.free}"
        else:
            value = fixed[row.name] if row.exo else row.value
            factor = np.format_float_positional(float(value or 0.0), trim="0")
        lines.append(f"{names[row.lhs]} {row.op} {factor}*{names[row.rhs]}")
    return "\n".join(lines), observed


def estimate(table: ParameterTable, cov: Array, nobs: int, fixed: dict[str, float], start: Array) -> Array:
    """Return semopy's maximum likelihood estimates of the free parameters, shape (q,).

    Parameters
    ----------
    table : ParameterTable
    cov : (p, p) array
        Sample covariance matrix in the order of ``table.observed``.
    nobs : int
    fixed : dict
        Values of exogenous moments by row name.
    start : (q,) array
        Starting values.

    Raises
    ------
    Unsupported
        If semopy refuses the model or fails on it.
    """
    import pandas as pd
    import semopy

    text, observed = render(table, fixed)
    labels = list(observed.values())
    try:
        with _quiet():
            model = semopy.Model(text)
            for k, value in enumerate(start):
                model.parameters[f"p{k + 1}"].start = float(value)
            frame = pd.DataFrame(np.array(cov), index=labels, columns=labels)
            model.fit(cov=frame, n_samples=nobs, options={"ftol": 1e-12, "maxiter": 1000})
            active = [name for name, p in model.parameters.items() if p.active]
            found = dict(zip(active, np.asarray(model.param_vals, dtype=float), strict=True))
    except Exception as error:  # semopy raises whatever its internals raise; all of it means the same to the user
        raise Unsupported(
            f"semopy cannot fit this model ({type(error).__name__}: {error})", hint="use engine='native'"
        ) from error
    theta = np.array([found.get(f"p{k + 1}", np.nan) for k in range(table.nfree)])
    if not np.isfinite(theta).all():
        raise Unsupported("semopy returned no usable estimates for this model", hint="use engine='native'")
    return theta
