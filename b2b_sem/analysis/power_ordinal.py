"""Power of z tests of models of ordinal items, fitted by weighted least squares (WLSMV).

The model is fitted to the thresholds and correlations of the population exactly; their asymptotic covariance matrix,
and with it weights and robust standard errors, come from one large sample of answers (noncentralities are right to
about 2 % with 20,000 of them). Powers are those of Wald tests: with estimates theta and covariance matrix V / N,
(R theta - r)' (R V R')^-1 (R theta - r) is the noncentrality of one row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from b2b_sem.analysis.fitted import context_of
from b2b_sem.analysis.ordinal import fit_ordinal
from b2b_sem.analysis.power_population import GroupPopulation, OrdinalPopulation
from b2b_sem.analysis.power_target import DRAW, Settings, Target, clean
from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array
from b2b_sem.errors import ModelError, Unsupported
from b2b_sem.spec.syntax import parse_model

__all__ = ["OrdinalTarget", "fit_ordinal_population"]


@dataclass(frozen=True, eq=False)
class OrdinalTarget(Target):
    """A model of ordinal items fitted to a population; restrictions are tested by Wald's test.

    Attributes
    ----------
    spread : (q, q) array
        Robust covariance matrix of the estimates from one row.
    """

    spread: Array | None = None

    method: ClassVar[str] = "wald"
    tests_fit: ClassVar[bool] = False

    @property
    def vcov(self) -> Array:
        """Covariance matrix of the estimates from one row, (q, q)."""
        assert self.spread is not None
        return self.spread

    def restricted(self, matrix: Array, right: Array, what: str) -> float:
        """Return the noncentrality of one row for ``matrix theta = right``.

        Raises
        ------
        ModelError
            If the restriction says nothing new; `what` names it.
        """
        gap, cov = matrix @ self.theta - right, matrix @ self.vcov @ matrix.T
        scale = np.sqrt(np.diag(cov))
        if not (scale > 0).all() or np.linalg.matrix_rank(cov / np.outer(scale, scale), tol=1e-8) < len(cov):
            raise ModelError(
                f"'{what}' says what the model says already, or twice the same",
                hint="test parameters that are free in the model",
            )
        return clean(float(gap @ np.linalg.solve(cov, gap)))


def fit_ordinal_population(population: GroupPopulation, model: str, settings: Settings) -> OrdinalTarget:
    """Fit a model of ordinal items to a population.

    Raises
    ------
    ModelError
        If it cannot be fitted.
    Unsupported
        For arguments that this way does not have, or an answer that hardly anybody gives.
    """
    ordinal = population.ordinal
    assert ordinal is not None
    if settings.missing != "listwise":
        raise Unsupported(f"missing='{settings.missing}' is not available for ordinal items here", hint=DRAW)
    choices: dict[str, Any] = {"std_lv": settings.std_lv, "orthogonal": settings.orthogonal}
    parsed = parse_model(model)
    # the statistics of the sample do not depend on the model: only which variables it measures does
    first = context_of(fit_ordinal(parsed, ordinal.rows, True, **choices)).observed
    found = fit_ordinal(parsed, ordinal.rows, True, observed=_exact(first, ordinal), **choices)
    if not found.converged or not found.identified:
        raise ModelError(
            f"the model cannot be fitted to the population itself: {found.failure}", hint="check both models"
        )
    context = context_of(found)
    spread = context.vcov * len(ordinal.rows)
    return OrdinalTarget(population, found, context.problem.moments, context.solution, spread=spread)


def _exact(observed: Observed, ordinal: OrdinalPopulation) -> Observed:
    """Return statistics with the values of the population in the place of those of the sample."""
    assert observed.ordinal is not None
    own = observed.ordinal[0]
    for name, levels in zip(own.names, own.levels, strict=True):
        if len(levels or ()) != len(ordinal.thresholds[name]) + 1:
            raise Unsupported(
                f"hardly anybody gives some answers to '{name}': its thresholds are not seen in samples", hint=DRAW
            )
    at = [ordinal.names.index(name) for name in own.names]
    cor = np.asarray(ordinal.cor[np.ix_(at, at)], dtype=np.float64)
    places = {name: k for k, name in enumerate(own.names)}
    statistic = np.empty(len(own.labels))
    for k, label in enumerate(own.labels):
        if "|t" in label:
            name, number = label.split("|t")
            statistic[k] = ordinal.thresholds[name][int(number) - 1]
        else:
            a, b = label.split("~~")
            statistic[k] = cor[places[a], places[b]]
    thresholds = tuple(np.array(ordinal.thresholds[name]) for name in own.names)
    return replace(observed, ordinal=(replace(own, cov=cor, thresholds=thresholds, statistic=statistic),))
