"""The table of direct, indirect and total effects."""

from __future__ import annotations

from collections.abc import Collection

from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.study import StudyResult

__all__ = ["tabulate_effects"]

_KINDS = {
    "specific": "indirect, along one path",
    "indirect": "indirect, all paths",
    "direct": "direct",
    "total": "total",
    "defined": "defined in the model",
}

_FAMILY = "p values are those of single tests, not adjusted for their number."


def tabulate_effects(result: StudyResult, kinds: Collection[str] | None = None, *, named: bool = True) -> Table | None:
    """Return one row an effect, or None if the study did not ask for effects or the model has none.

    Parameters
    ----------
    result : StudyResult
    kinds : collection of str, optional
        Kinds to keep (``specific``, ``indirect``, ``direct``, ``total``, ``defined``); all without it.
    named : bool
        Whether people see which kind each row is.
    """
    effects = result.effects
    if effects is None:
        return None
    columns = [
        Column("kind", "Effect", shown=named),
        Column("path", "Path", "path"),
        Column("est", "Estimate", "number3"),
        Column("se", "SE", "number3"),
        Column("z", "z", "number"),
        Column("pvalue", "p", "p"),
        Column("ci", f"{effects.level:.0%} CI", "interval3"),
        Column("est_std", "Std.", "bounded3"),
        Column("ci_std", f"Std. {effects.level:.0%} CI", "interval_bounded3"),
        Column("outcome", "Outcome", "code", shown=False),
        Column("predictor", "Predictor", "code", shown=False),
        Column("se_std", "Std. SE", "number3", shown=False),
    ]
    rows = [
        (
            _KINDS[r["kind"]],
            *(r[name] for name in ("path", "est", "se", "z", "pvalue")),
            (r["ci_lower"], r["ci_upper"]),
            r["est_std"],
            (r["ci_lower_std"], r["ci_upper_std"]),
            *(r[name] for name in ("outcome", "predictor", "se_std")),
        )
        for r in effects.table.to_dict("records")
        if kinds is None or r["kind"] in kinds
    ]
    methods = {"delta": "Intervals and p values by the delta method.", "mc": "Monte Carlo intervals."}
    notes = [methods.get(effects.ci, f"Bootstrap intervals ({effects.ci})."), _FAMILY, *effects.notes]
    return table("effects", "Direct, indirect and total effects", columns, rows, notes) if rows else None
