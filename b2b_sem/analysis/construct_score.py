"""Scores of constructs, as regressions on scores use them: scale means, or factor scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from b2b_sem.analysis.structural import fit
from b2b_sem.engine.base import Array
from b2b_sem.measures.reliability import alpha
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.question import items_of
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["SCORES", "ConstructScores", "score_constructs"]

#: Ways to score.
SCORES = ("mean", "regression", "bartlett")


@dataclass(frozen=True, eq=False)
class ConstructScores:
    """Scores, one row a respondent.

    Attributes
    ----------
    values : DataFrame
        One column a variable; NaN where an answer is missing.
    reliability : dict of str to float
        Alpha of scale means; 1 of observed variables; NaN where it is not known.
    warnings : tuple of str
    """

    values: pd.DataFrame
    reliability: dict[str, float]
    warnings: tuple[str, ...] = ()


def score_constructs(parsed: ParsedModel, answers: pd.DataFrame, names: Sequence[str], method: str) -> ConstructScores:
    """Score variables of a model.

    Parameters
    ----------
    parsed : ParsedModel
    answers : DataFrame
        The columns of the model as numbers.
    names : sequence of str
        Latent and observed variables; observed ones are taken as they are.
    method : {"mean", "regression", "bartlett"}
        Mean of all items of a latent variable, or factor scores of the measurement model, all latent variables free to
        covary.

    Raises
    ------
    ModelError, Unsupported
        If the measurement model has no factor scores.
    """
    latents = {e.lhs for e in parsed.entries if e.op == "=~"}
    factor = None
    if method != "mean" and latents & set(names):
        found = fit(measurement_model(parsed).text, answers)
        factor = found.factor_scores(method).reindex(answers.index)
    columns: dict[str, Array] = {}
    reliability: dict[str, float] = {}
    warnings: list[str] = []
    for name in dict.fromkeys(names):
        items = list(items_of(parsed, name))
        rows = answers[items].to_numpy(dtype=float)
        if name not in latents:
            columns[name], reliability[name] = rows[:, 0], 1.0
            continue
        if factor is not None:
            columns[name], reliability[name] = factor[name].to_numpy(dtype=float), float("nan")
            continue
        columns[name] = rows.mean(axis=1)
        complete = rows[np.isfinite(rows).all(axis=1)]
        cov = np.atleast_2d(np.cov(complete, rowvar=False)) if len(complete) > 2 else np.full((1, 1), np.nan)
        reliability[name] = alpha(cov) if len(items) > 1 and np.isfinite(cov).all() else float("nan")
        if against := [items[i] for i in _against(cov)]:
            warnings.append(
                f"{', '.join(against)} correlate negatively with the other items of {name}: the mean of its items is "
                "no score of it before they are reverse-coded."
            )
    return ConstructScores(pd.DataFrame(columns, index=answers.index), reliability, tuple(warnings))


def _against(cov: Array) -> list[int]:
    """Return the places of items whose loading on the first principal component has the sign that fewer items have."""
    sd = np.sqrt(np.diag(cov))
    if len(cov) < 2 or not (np.isfinite(cov).all() and (sd > 0).all()):
        return []
    sign = np.sign(np.linalg.eigh(cov / np.outer(sd, sd))[1][:, -1])
    fewer = -1.0 if sign.sum() >= 0 else 1.0
    return np.flatnonzero(sign == fewer).tolist()
