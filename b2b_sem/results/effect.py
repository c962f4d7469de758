"""Direct, indirect and total effects with their tests and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from b2b_sem.errors import Unsupported, did_you_mean
from b2b_sem.results.io import frame_from_records, records

__all__ = ["EFFECT_COLUMNS", "EFFECT_KINDS", "EffectsResult", "Replicates", "select_effects"]

EFFECT_KINDS: tuple[str, ...] = ("specific", "indirect", "direct", "total", "defined")

EFFECT_COLUMNS: tuple[str, ...] = (
    "kind",
    "outcome",
    "predictor",
    "path",
    "est",
    "se",
    "z",
    "pvalue",
    "ci_lower",
    "ci_upper",
    "est_std",
    "se_std",
    "z_std",
    "pvalue_std",
    "ci_lower_std",
    "ci_upper_std",
)


class Replicates(Protocol):
    """What bootstrap intervals are computed from.

    Attributes
    ----------
    theta : (R, q) array
        Estimates in the replicates, in the order of the table's ``free`` numbers; NaN in a replicate that failed, or
        such replicates left out.
    jackknife : (n, q) array or None
        Estimates without row i, for each row.
    failed : int
        Replicates without an estimate.
    """

    @property
    def theta(self) -> npt.NDArray[np.floating[Any]]: ...  # noqa: D102
    @property
    def jackknife(self) -> npt.NDArray[np.floating[Any]] | None: ...  # noqa: D102
    @property
    def failed(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class EffectsResult:
    """All effects of a model.

    Attributes
    ----------
    ci : str
        ``delta``, ``mc``, ``percentile``, ``bc`` or ``bca``.
    level : float
        Confidence level.
    draws : int
        Draws or replicates behind the intervals; 0 for the delta method.
    failed : int
        Draws or replicates without a value for at least one effect. They are left out of the intervals of those
        effects.
    seed : int or None
        Of the Monte Carlo draws.
    stable : bool
        Whether effects around loops die out (always true without loops). If not, total and indirect effects do not
        exist and are NaN.
    notes : tuple of str
    """

    ci: str
    level: float
    draws: int
    failed: int
    seed: int | None
    stable: bool
    notes: tuple[str, ...]
    _table: pd.DataFrame = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """Return all effects, one a row.

        kind (specific, indirect, direct, total, defined), outcome, predictor, path, est, se, z, pvalue, ci_lower,
        ci_upper, and the same for the standardized effect with the ending ``_std``.
        """
        return self._table.copy()

    def select(
        self, kind: str | None = None, *, outcome: str | None = None, predictor: str | None = None
    ) -> pd.DataFrame:
        """Return the effects of one kind, on one outcome, of one predictor.

        Raises
        ------
        Unsupported
            If there is no such kind.
        """
        return select_effects(self._table, EFFECT_KINDS, kind, outcome=outcome, predictor=predictor)

    def __str__(self) -> str:
        shown = self._table[["kind", "path", "est", "se", "pvalue", "ci_lower", "ci_upper", "est_std"]]
        head = f"Effects ({self.level:.0%} intervals: {self.ci})"
        body = shown.to_string(index=False, float_format=lambda v: f"{v:.3f}")
        return "\n".join([head, body, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result."""
        return {
            "ci": self.ci,
            "level": self.level,
            "draws": self.draws,
            "failed": self.failed,
            "seed": self.seed,
            "stable": self.stable,
            "notes": list(self.notes),
            "effects": records(self._table),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EffectsResult:
        """Rebuild a result from the output of ``to_json``."""
        return cls(
            ci=data["ci"],
            level=float(data["level"]),
            draws=int(data["draws"]),
            failed=int(data["failed"]),
            seed=None if data["seed"] is None else int(data["seed"]),
            stable=bool(data["stable"]),
            notes=tuple(data["notes"]),
            _table=frame_from_records(data["effects"], EFFECT_COLUMNS),
        )


def select_effects(
    table: pd.DataFrame, kinds: Sequence[str], kind: str | None, *, outcome: str | None, predictor: str | None
) -> pd.DataFrame:
    """Return the rows of one kind, on one outcome, of one predictor.

    Raises
    ------
    Unsupported
        If `kind` is none of `kinds`.
    """
    if kind is not None and kind not in kinds:
        raise Unsupported(
            f"there is no kind of effect '{kind}'.{did_you_mean(kind, kinds)}", hint="use " + ", ".join(kinds)
        )
    keep = pd.Series(True, index=table.index)
    for name, value in (("kind", kind), ("outcome", outcome), ("predictor", predictor)):
        if value is not None:
            keep &= table[name] == value
    return table[keep].reset_index(drop=True)
