"""Models and data for tests of the numerical core: every kind of parameter, small, made without looking at results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.constraint import LinearConstraints, linear_constraints
from b2b_sem.engine.native.implied import Structure, compile_structure
from b2b_sem.engine.native.loss import Moments, make_moments, objective
from b2b_sem.engine.native.start import start_values
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.syntax import parse_model

THREE = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nh =~ x7 + x8 + x9\n"

#: name -> model text and options
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "cfa": (THREE, {}),
    "cfa_std_lv": (THREE, {"std_lv": True}),
    "cfa_orthogonal": (THREE, {"orthogonal": True}),
    "cfa_means": (THREE, {"meanstructure": True}),
    "latent_means": (THREE + "x1 ~ 0*1\nf ~ 1\nx2 ~ m*1\nx3 ~ m*1", {}),
    "latent_paths": (THREE + "g ~ f\nh ~ a*f + b*g\nind := a*b\ntot := a + ind^2/(1 + a)", {}),
    "latent_paths_means": (THREE + "g ~ f\nh ~ f + g\ng ~ 1\nx4 ~ 0*1", {}),
    "second_order": (THREE + "s =~ f + g + h", {}),
    "second_order_std_lv": (THREE + "s =~ f + g + h", {"std_lv": True}),
    "second_order_outcome": (THREE + "s =~ f + g\nh ~ s\nx9 ~ s", {}),
    "path_fixed_x": ("x3 ~ a*x1 + x2\nx4 ~ b*x3 + x1\nx5 ~ x3 + x4\nind := a*b", {}),
    "path_random_x": ("x3 ~ x1 + x2\nx4 ~ x3 + x1", {"fixed_x": False}),
    "path_fixed_x_means": ("x3 ~ x1 + x2\nx4 ~ x3 + x1", {"meanstructure": True}),
    "path_random_x_means": ("x3 ~ x1 + x2\nx4 ~ x3", {"meanstructure": True, "fixed_x": False}),
    "mimic": ("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nf ~ x8 + x9\ng ~ f + x8", {}),
    "mimic_means": ("f =~ x1 + x2 + x3\nf ~ x8 + x9\nx7 ~ f + x8", {"meanstructure": True}),
    "residual_covariances": (THREE + "x1 ~~ x4\nx2 ~~ x5 + x7", {}),
    "covariance_observed_latent": ("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nx7 ~ f\nx7 ~~ g\nx8 ~~ g\nx8 ~~ x9", {}),
    # in this order: the chain that ties x10 to a latent variable is seen from its far end
    "covariance_chain": ("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nx8 ~~ x9\nx9 ~~ x10\ng ~~ x8", {}),
    "effect_on_indicator": ("f =~ x1 + x2 + x3 + x4\nf ~ x8\nx2 ~ x8\nx1 ~~ x2", {}),
    "equal_labels": (
        "f =~ x1 + a*x2 + b*x3\ng =~ x4 + a*x5 + b*x6\nx1 ~~ v*x1\nx4 ~~ v*x4\ng ~ c*f\nx7 ~ c*f + d*x9\nx8 ~ d*x9 + g",
        {},
    ),
    "equal_across_matrices": ("f =~ x1 + a*x2 + x3\nx1 ~~ a*x1\nx7 ~ a*f\nx7 ~ a*1\nx1 ~~ c*x3\nx7 ~~ c*x8", {}),
    "feedback": ("x1 ~ b1*x2 + x5\nx2 ~ b2*x1 + x6\nx1 ~~ x2\nloop := b1*b2", {}),
    "feedback_latent": (THREE + "g ~ f + h\nh ~ g + x10\ng ~~ h", {"meanstructure": True}),
    "fixed_values": ("f =~ 0.8*x1 + x2 + -0.4*x3 + x4\nx2 ~~ 0.3*x3\nx1 ~ 0.2*1\nx5 ~ 0.5*f + x6\nf ~~ 1.2*f", {}),
    "bifactor": (THREE + "q =~ x1 + x2 + x3 + x4 + x5 + x6\nq ~~ 0*f + 0*g + 0*h", {"std_lv": True}),
}
NAMES = tuple(f"x{i}" for i in range(1, 11))


@dataclass(frozen=True)
class Case:
    """A compiled model with sample moments."""

    table: ParameterTable
    structure: Structure
    moments: Moments
    fixed: dict[str, float]
    constraints: LinearConstraints | None

    @property
    def q(self) -> int:
        return self.table.nfree

    def points(self, count: int = 3) -> list[Array]:
        """Random parameter vectors around the starting values with a positive definite Sigma, none a minimum."""
        rng = np.random.default_rng(11)
        start = start_values(self.table, self.moments.cov, self.moments.mean, self.fixed)
        out: list[Array] = []
        for _ in range(1000):
            theta = start * rng.uniform(0.7, 1.3, self.q) + rng.uniform(-0.15, 0.15, self.q)
            # far from singular, so that differences of the function keep their digits
            if objective(self.structure, self.moments, theta) < 30.0:
                out.append(theta)
            if len(out) == count:
                return out
        raise AssertionError("no point with a positive definite covariance matrix")


@lru_cache(maxsize=1)
def frame() -> pd.DataFrame:
    """300 rows of ten correlated variables with means and very different residual variances."""
    rng = np.random.default_rng(20261121)
    n = 300
    f = rng.normal(size=n)
    g = 0.5 * f + rng.normal(size=n)
    h = 0.4 * f + 0.4 * g + rng.normal(size=n)
    out = {}
    for i, name in enumerate(NAMES[:9]):
        factor = (f, g, h)[i // 3]
        out[name] = 0.3 * i + (0.6 + 0.1 * i) * factor + rng.normal(scale=0.5 + 0.1 * i, size=n)
    out["x10"] = 0.4 * f + 0.3 * h + rng.normal(size=n)
    out["x8"] = out["x8"] + 0.3 * out["x2"]
    return pd.DataFrame(out)


@cache
def case(name: str) -> Case:
    """Return a compiled model of MODELS on the data of :func:`frame`."""
    text, options = MODELS[name]
    return compiled(text, **options)


def compiled(text: str, **options: Any) -> Case:
    """Compile a model on the data of :func:`frame`."""
    table = build_table(parse_model(text), **options)
    data = frame()[list(table.observed)].to_numpy()
    mean, cov = data.mean(axis=0), np.cov(data.T, bias=True).reshape(len(table.observed), -1)
    at = {v: i for i, v in enumerate(table.observed)}
    fixed = {r.name: float(cov[at[r.lhs], at[r.rhs]] if r.op == "~~" else mean[at[r.lhs]]) for r in table.rows if r.exo}
    structure = compile_structure(table, fixed)
    moments = make_moments(cov, mean if table.meanstructure else None)
    return Case(table, structure, moments, fixed, linear_constraints(table))


def derivative(function: Any, theta: Array, step: float = 3e-4) -> Array:
    """Central differences of order six, shape (..., q); their error is about 1e-12 of the function's size."""
    weights = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    columns = []
    for k in range(len(theta)):
        h = step * max(1.0, abs(theta[k]))
        total: Any = 0.0
        for m, weight in weights.items():
            up, down = theta.copy(), theta.copy()
            up[k] += m * h
            down[k] -= m * h
            total = total + weight * (np.asarray(function(up)) - np.asarray(function(down)))
        columns.append(total / h)
    return np.stack(columns, axis=-1)


def brute_moments(table: ParameterTable, theta: Array, fixed: dict[str, float]) -> tuple[Array, Array]:
    """Return Sigma and mu by the reticular action model: one matrix of arrows, one of covariances, nothing shared.

    McArdle & McDonald (1984), doi:10.1111/j.2044-8317.1984.tb00802.x: all variables v = (observed, latent) with
    v = m + A v + u, cov(u) = S, so cov(v) = (I - A)^-1 S (I - A)^-T.
    """
    names = [*table.observed, *table.latents]
    at = {v: i for i, v in enumerate(names)}
    a, s, m = np.zeros((len(names),) * 2), np.zeros((len(names),) * 2), np.zeros(len(names))
    for row in table.rows:
        value = theta[row.free - 1] if row.free else fixed[row.name] if row.exo else row.value
        if row.op == "=~":
            a[at[row.rhs], at[row.lhs]] = value
        elif row.op == "~":
            a[at[row.lhs], at[row.rhs]] = value
        elif row.op == "~~":
            s[at[row.lhs], at[row.rhs]] = s[at[row.rhs], at[row.lhs]] = value
        else:
            m[at[row.lhs]] = value
    inverse = np.linalg.inv(np.eye(len(names)) - a)
    p = len(table.observed)
    return (inverse @ s @ inverse.T)[:p, :p], (inverse @ m)[:p]


def brute_all_moments(table: ParameterTable, theta: Array, fixed: dict[str, float]) -> Array:
    """Return the covariance matrix of latent and observed variables together, observed first."""
    names = [*table.observed, *table.latents]
    at = {v: i for i, v in enumerate(names)}
    a, s = np.zeros((len(names),) * 2), np.zeros((len(names),) * 2)
    for row in table.rows:
        value = theta[row.free - 1] if row.free else fixed[row.name] if row.exo else row.value
        if row.op == "=~":
            a[at[row.rhs], at[row.lhs]] = value
        elif row.op == "~":
            a[at[row.lhs], at[row.rhs]] = value
        elif row.op == "~~":
            s[at[row.lhs], at[row.rhs]] = s[at[row.rhs], at[row.lhs]] = value
    inverse = np.linalg.inv(np.eye(len(names)) - a)
    out: Array = inverse @ s @ inverse.T
    return out
