"""From rows with ordinal items to what a model of them is fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from b2b_sem.data.answer import number_categories
from b2b_sem.data.observed import GroupMoments, Observed, _stack, stray_values
from b2b_sem.data.ordinal import ordinal_moments
from b2b_sem.data.table import Table, dropped_note

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.data.group import GroupRows
    from b2b_sem.data.read import Responses

__all__ = ["observe_ordinal"]


def observe_ordinal(
    frame: pd.DataFrame | Mapping[str, ArrayLike] | Responses | GroupRows,
    names: Sequence[str],
    ordered: Sequence[str],
    *,
    covariates: Sequence[str] = (),
    missing: str = "listwise",
    group: str | None = None,
    levels: Mapping[str, Sequence[float]] | None = None,
) -> Observed:
    """Return thresholds, means and latent correlations of the named columns.

    Parameters
    ----------
    frame : DataFrame, mapping of str to array, or Responses
    names : sequence of str
        Variables of the model, without those it is conditioned on.
    ordered : sequence of str
        Which of them are ordinal.
    covariates : sequence of str
        Variables conditioned on.
    missing : {"listwise", "pairwise"}
    group : str, optional
        Column that tells groups apart. The categories of an item are those of all groups.
    levels : mapping of str to sequence of float, optional
        Answers an item must have.

    Returns
    -------
    Observed
        Its ``ordinal`` holds the statistics of one group or of each, and ``raw`` the rows used (NaN for missing
        answers).

    Raises
    ------
    DataError
        As :func:`b2b_sem.data.observed.observe` and :func:`b2b_sem.data.ordinal.ordinal_moments`; an answer that one
        group gives and another does not.
    """
    if group is not None:
        return _observe_groups(frame, names, ordered, covariates, missing, group)
    table, texts, notes = number_categories(Table.open(frame, [*names, *covariates]), ordered)
    notes += [
        f"{name}: answers in words are numbered in their order: {', '.join(words)}" for name, words in texts.items()
    ]
    values = _stack(table.floats(), table.n)
    table.refuse_infinite(values)
    holes = np.isnan(values)
    table.refuse_empty({name: hole for name, hole in zip(table.names, holes, strict=True) if hole.any()})
    complete = ~holes.any(axis=0)
    if missing == "listwise":
        lost = [dropped_note(table.names, holes.sum(axis=1).tolist(), int((~complete).sum()), table.n)]
        table.refuse_too_few(int(complete.sum()), lost if holes.any() else [], use="missing='pairwise'")
        after = ", once rows with missing values are left out" if holes.any() else ""
        table.refuse_constant(values[:, complete], after)
    p = len(names)
    moments = ordinal_moments(
        values[:p].T,
        names,
        ordered,
        missing=missing,
        covariates=values[p:].T if covariates else None,
        covariate_names=covariates,
        levels=levels,
        n_empty=table.n_empty,
    )
    used = values[:, moments.rows]
    strays = [
        text
        for name, row in zip(table.names, used, strict=True)
        for text in stray_values([name], row[None, ~np.isnan(row)])
    ]
    labels = getattr(getattr(frame, "frame", frame), "index", None)
    return Observed(
        tuple(names),
        (GroupMoments(None, moments.nobs, moments.cov, moments.mean),),
        table.n + table.n_empty,
        table.n + table.n_empty - moments.nobs,
        (*notes, *moments.notes),
        (used.T,),
        (*strays, *moments.warnings),
        None if labels is None else labels[moments.rows],
        ordinal=(moments,),
    )


def _observe_groups(
    frame: pd.DataFrame | Mapping[str, ArrayLike] | Responses | GroupRows,
    names: Sequence[str],
    ordered: Sequence[str],
    covariates: Sequence[str],
    missing: str,
    group: str,
) -> Observed:
    """Return the statistics of each group, with the categories that occur in any of them."""
    from b2b_sem.data.group import join_groups, observe_each, split_rows

    wanted = [*names, *covariates]
    parts, n_read, notes = split_rows(frame, group, wanted)
    found: dict[str, set[float]] = {name: set() for name in ordered}
    for part in parts:
        table = Table.open(part, wanted)
        values = _stack(table.floats(), table.n)
        holes = np.isnan(values)
        needed = holes if missing == "listwise" else holes[len(names) :]
        rows = ~needed.any(axis=0)
        for name in ordered:
            answers = values[wanted.index(name), rows]
            found[name].update(answers[~np.isnan(answers)].tolist())
    levels = {name: sorted(answers) for name, answers in found.items()}
    each = observe_each(
        parts,
        lambda part: observe_ordinal(part, names, ordered, covariates=covariates, missing=missing, levels=levels),
    )
    return join_groups(each, [part.label for part in parts], n_read, notes)
