"""Long data, one row for each person and wave, turned into wide data, one row a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from b2b_sem.data.group import group_labels
from b2b_sem.errors import DataError, did_you_mean
from b2b_sem.spec.wave import name_part

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Panel", "widen"]

#: More values of a column than this are no waves unless they are named.
MOST = 20


@dataclass(frozen=True)
class Panel:
    """Wide data.

    Attributes
    ----------
    frame : DataFrame
        One row a person, in the order of appearance; NaN where a person has no answer in a wave.
    columns : dict of str to dict of str to str
        By label of the wave, in order: the column of each item.
    notes : tuple of str
        What was left out.
    """

    frame: pd.DataFrame
    columns: dict[str, dict[str, str]]
    notes: tuple[str, ...]


def widen(data: Any, items: Sequence[str], wave: str, person: str, order: Sequence[Any] | None = None) -> Panel:
    """Return one row a person, with a column for each item in each wave.

    Parameters
    ----------
    data : DataFrame, mapping of columns, or Responses
    items : sequence of str
    wave, person : str
        Columns that tell waves and persons apart. Rows without one of them are left out and counted.
    order : sequence, optional
        Labels of the waves that are wanted, in order. Default: all of them, numbers and dates sorted, others as they
        appear.

    Raises
    ------
    DataError
        For unknown columns and waves, a single wave, and persons with two rows in a wave.
    """
    import pandas as pd

    frame = getattr(data, "frame", data)
    frame = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(dict(frame))
    known = [str(c) for c in frame.columns]
    for name in (wave, person, *items):
        if known.count(name) != 1:
            raise DataError(
                f"the data have {'no' if name not in known else 'more than one'} column '{name}'."
                f"{did_you_mean(name, known) if name not in known else ''}",
                hint="long data have the items, a column of waves and a column of persons",
            )
    for name in (wave, person):
        if name in items or wave == person:
            what = "tells both waves and persons apart" if wave == person else "is an item of the model"
            raise DataError(f"column '{name}' {what}", hint="name the column of waves and the column of persons")
    frame = frame.set_axis(known, axis=1)
    dated = frame[wave].dtype.kind == "M"
    labels, which = group_labels(frame[wave].astype(str).where(frame[wave].notna()) if dated else frame[wave])
    people, who = group_labels(frame[person])
    wanted = _order(sorted(labels) if dated else labels, order, wave)
    place = np.array([wanted.index(label) if label in wanted else -1 for label in labels] + [-1])[which]
    nameless = (which < 0) | (who < 0)
    unwanted = ~nameless & (place < 0)
    keep = ~nameless & ~unwanted
    place, row = place[keep], who[keep]
    cell, count = np.unique(row * len(wanted) + place, return_counts=True)
    if (count > 1).any():
        p, w = divmod(int(cell[np.argmax(count > 1)]), len(wanted))
        raise DataError(
            f"person {people[p]} has {int(count.max())} rows in wave {wanted[w]} ({int((count > 1).sum())} such cases)",
            hint="keep one row for each person and wave",
        )
    names = [name_part(label) for label in wanted]
    if len(set(names)) < len(names):
        names = [f"w{k + 1}" for k in range(len(names))]
    columns = {label: {item: f"{item}_{name}" for item in items} for label, name in zip(wanted, names, strict=True)}
    everybody = np.unique(row)
    made = {}
    for k, label in enumerate(wanted):
        at = place == k
        for item in items:
            answers = pd.Series(frame[item].to_numpy()[keep][at], index=row[at])
            made[columns[label][item]] = answers.reindex(everybody)
    notes = []
    for lost, why in ((nameless, f"lack {wave} or {person}"), (unwanted, "belong to other waves")):
        if lost.any():
            notes.append(f"{int(lost.sum())} of {len(frame)} rows were left out: they {why}.")
    return Panel(pd.DataFrame(made).reset_index(drop=True), columns, tuple(notes))


def _order(labels: Sequence[str], order: Sequence[Any] | None, wave: str) -> list[str]:
    if order is not None:
        wanted, _ = group_labels(np.array(list(order), dtype=object))
        unknown = next((label for label in wanted if label not in labels), None)
        if unknown is not None:
            raise DataError(
                f"there is no wave '{unknown}' in column '{wave}'.{did_you_mean(unknown, labels)}",
                hint=f"waves of the data: {', '.join(labels)}",
            )
    else:
        try:
            wanted = tuple(sorted(labels, key=float))
        except ValueError:
            wanted = tuple(labels)
    if len(wanted) > MOST and order is None:
        raise DataError(
            f"column '{wave}' has {len(wanted)} different values: {', '.join(wanted[:4])}, ...",
            hint="name the waves that are wanted: waves=[...]",
        )
    if len(wanted) < 2:
        shown = f"a single wave, {wanted[0]}" if wanted else "no wave"
        raise DataError(f"column '{wave}' has {shown}", hint="invariance over waves needs two or more")
    return list(wanted)
