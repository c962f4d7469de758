"""Factor scores: the best guess of a respondent's latent variables from the answers.

With u = y - mu: regression scores are the conditional means  E(eta | y) = mean(eta) + Cov(eta, y) Sigma^-1 u
(Thurstone 1935; Thomson 1939); Bartlett scores are the generalised least squares estimates
(L' D^-1 L)^-1 L' D^-1 u  of eta as fixed quantities (Bartlett 1937, doi:10.1111/j.2044-8295.1937.tb00863.x). See
Grice (2001), doi:10.1037/1082-989X.6.4.430, for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.implied import Implied, Structure
from b2b_sem.errors import Unsupported

__all__ = ["ScoreWeights", "bartlett_weights", "regression_weights"]

#: Part of a latent variable's direction that may lie outside what the indicators determine.
UNDETERMINED = 1e-8


@dataclass(frozen=True)
class ScoreWeights:
    """Scores are ``mean + (y - centre) weights'``.

    Attributes
    ----------
    weights : (k, p) array
        Of the k latent variables; NaN for one that the method says nothing about.
    centre : (p,) array
        Means of the observed variables that the model implies.
    mean : (k,) array
        Means of the latent variables.
    """

    weights: Array
    centre: Array
    mean: Array


def _means(structure: Structure, implied: Implied, coefficients: Array, sample: Array) -> tuple[Array, Array]:
    """Return the means of observed and latent variables.

    Without a mean structure the means are those of the model with all intercepts of observed variables free and those
    of latent variables 0: observed means are the sample's, and latent variables have the mean that observed predictors
    give them.
    """
    k = structure.nlatent
    if implied.mu is not None:
        return implied.mu, implied.eta_mean[:k]
    index = {v: i for i, v in enumerate(structure.observed)}
    given = sample[[index[v] for v in structure.eta[k:]]]
    inner = np.eye(k) - coefficients[:k, :k]
    return sample, np.linalg.solve(inner, coefficients[:k, k:] @ given)


def regression_weights(structure: Structure, implied: Implied, coefficients: Array, sample: Array) -> ScoreWeights:
    """Return the weights of regression scores.

    Parameters
    ----------
    structure, implied : Structure, Implied
    coefficients : (m, m) array
        B.
    sample : (p,) array
        Sample means, used without a mean structure.
    """
    p, m, k = structure.p, structure.m, structure.nlatent
    cross = implied.columns[:, p + m : p + m + k]  # Cov(y, eta)
    centre, mean = _means(structure, implied, coefficients, sample)
    return ScoreWeights(np.linalg.solve(implied.sigma, cross).T, centre, mean)


def bartlett_weights(
    structure: Structure, implied: Implied, loadings: Array, coefficients: Array, sample: Array
) -> ScoreWeights:
    """Return the weights of Bartlett scores.

    Observed outcomes in the structural part are indicators of the latent variables that predict them; observed
    predictors are known.

    Parameters
    ----------
    loadings, coefficients : (p, m) and (m, m) arrays
        Lambda and B.

    Raises
    ------
    Unsupported
        If the residual of an observed outcome is correlated with a latent variable or its residual, or an observed
        outcome predicts a latent variable: the equations are then not those of y given eta.
    """
    p, k = structure.p, structure.nlatent
    index = {v: i for i, v in enumerate(structure.observed)}
    at = np.array([index[v] for v in structure.eta[k:]], dtype=np.intp)  # place of the copied variables in y
    outcome = coefficients[k:].any(axis=1)
    inner = np.flatnonzero(outcome) + k
    for i in inner:
        if implied.psi[i, :k].any() or coefficients[:k, i].any():
            name = structure.eta[i]
            raise Unsupported(
                f"Bartlett scores are not available for a model in which the observed outcome {name} predicts a latent "
                "variable or covaries with one",
                hint="use method='regression'",
            )
    # y = direct eta + known part + error: rows of copied outcomes come from B, those of predictors are no equations
    direct = loadings[:, :k].copy()
    direct[at] = coefficients[k:, :k]
    error = implied.theta.copy()
    error[np.ix_(at, at)] = implied.psi[k:, k:]
    use = np.ones(p, dtype=bool)
    use[at[~outcome]] = False
    # the estimator is the same for D and D + L S L'; the latter is regular also when some residual variances are 0
    spread = np.diag(np.abs(np.diag(implied.eta_cov)[:k]))
    part = direct[use]
    total = error[np.ix_(use, use)] + part @ spread @ part.T
    half = np.linalg.solve(total, part)
    core = part.T @ half
    size = np.sqrt(np.maximum(np.diag(core), 0.0))
    scale = np.where(size > 0, size, 1.0)
    inverse = np.linalg.pinv(core / np.outer(scale, scale), rcond=1e-10, hermitian=True)
    determined = np.abs(inverse @ (core / np.outer(scale, scale)) - np.eye(k)).max(axis=1, initial=0.0) < UNDETERMINED
    weights = np.zeros((k, p))
    weights[:, use] = (inverse / np.outer(scale, scale)) @ half.T
    # an equation is about y minus what its observed predictors explain
    rest = np.eye(p)
    rest[np.ix_(at, at)] -= coefficients[k:, k:]
    weights = weights @ rest
    weights[~determined] = np.nan
    centre, mean = _means(structure, implied, coefficients, sample)
    return ScoreWeights(weights, centre, mean)
