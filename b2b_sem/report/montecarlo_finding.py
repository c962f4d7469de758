"""What a Monte Carlo study found, in sentences: solutions, bias, standard errors, intervals, tests, verdicts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.results.montecarlo import MonteCarloResult

__all__ = ["HALF", "findings", "is_raw", "parameter_name"]

#: Half the width of a 95 % interval in standard errors.
HALF = 1.959963984540054

#: Share of samples that is called enough.
_ENOUGH = 0.80
#: Conditions that a sentence names.
_NAMED = 6


def is_raw(result: MonteCarloResult) -> bool:
    """Return whether the parameters are those of the raw solution."""
    return result.provenance.get("solution") == "raw"


def parameter_name(row: Mapping[Hashable, Any]) -> str:
    """Return a parameter as people write it, with its group."""
    lhs, op, rhs = (str(row[k]) for k in ("lhs", "op", "rhs"))
    text = {"~": f"{rhs} → {lhs}", "=~": f"{lhs} → {rhs}", ":=": lhs, "~1": f"{lhs} ~1"}.get(op, f"{lhs} {op} {rhs}")
    return f"{text} ({row['group']})" if row["group"] else text


def findings(result: MonteCarloResult) -> list[tuple[str, str]]:
    """Return what matters most, each with its Monte Carlo error: (about what, sentences)."""
    frame = result.parameters
    known = frame[frame["true"].map(math.isfinite) & (frame["sd"] > 0)]
    paths, other = known[known["op"] == "~"], known[known["op"] != "~"]
    rest = "other parameters" if (frame["op"] == "~1").any() else "loadings, variances and covariances"
    rest = rest if len(paths) else "parameters"
    out = [("Solutions", _solutions(result)), ("Verdicts", _verdicts(result))]
    for own, what in ((paths, "paths"), (other, rest)):
        if len(own):
            out.append((f"Bias of {what}", _bias(own)))
            out.append((f"Standard errors of {what}", _errors(own)))
            out.append((f"{100 * result.confidence:g}% intervals of {what}", _coverage(own, result.confidence)))
    missing = int(frame["true"].isna().sum())
    if missing:
        out.append(
            (
                "No true value",
                f"{missing} of {len(frame)} rows have none, because the population has no value that means the same: "
                "only the spread of their estimates is known.",
            )
        )
    return [(what, text) for what, text in [*out, *_fit(result)] if text]


def _solutions(result: MonteCarloResult) -> str:
    frame = result.replications
    if (frame["failed"] == 0).all() and (frame["improper"] == 0).all():
        return f"All {int(frame['replications'].sum())} samples have a proper solution."
    worst = _row(frame, frame["failed"].idxmax())
    text = f"{int(frame['failed'].sum())} of {int(frame['replications'].sum())} samples have no solution"
    if worst["failed"]:
        text += f", most of them with {worst['condition']}: {_percent(1 - worst['converged'], worst['converged_mcse'])}"
    improper = frame[frame["improper"].map(math.isfinite)]
    if (improper["improper"] > 0).any():
        most = _row(improper, improper["improper"].idxmax())
        text += f"; improper are up to {_percent(most['improper'], most['improper_mcse'])} ({most['condition']})"
    return f"{text}."


def _percent(share: float, error: float) -> str:
    return f"{number(100 * share, 1, glyphs=TYPESET)}% ± {number(100 * error, 1)}"


def _row(own: pd.DataFrame, at: Any) -> dict[Hashable, Any]:
    return own.loc[[at]].to_dict("records")[0]


def _at(row: Mapping[Hashable, Any]) -> str:
    return f"{parameter_name(row)}, {row['condition']}"


def _bias(own: pd.DataFrame) -> str:
    relative = own[own["rel_bias"].map(math.isfinite)]
    chance = (own["bias"].abs() > HALF * own["bias_mcse"]).sum()
    worst = _row(own, own["bias"].abs().idxmax())
    text = (
        f"From {number(own['bias'].min(), 3, glyphs=TYPESET)} to {number(own['bias'].max(), 3, glyphs=TYPESET)}; the "
        f"largest is that of {_at(worst)} "
        f"({number(worst['bias'], 3, glyphs=TYPESET)} ± {number(worst['bias_mcse'], 3)}"
    )
    if len(relative) and worst["true"] != 0:
        text += f", {number(100 * worst['rel_bias'], 1, glyphs=TYPESET)}% of the true value"
    return f"{text}). {_beyond(int(chance), len(own), 'differ from 0 by more than two Monte Carlo standard errors')}"


def _beyond(count: int, total: int, what: str) -> str:
    return f"{count} of {total} {what}; by chance alone about {max(1, round(0.05 * total))} would."


def _errors(own: pd.DataFrame) -> str:
    own = own[own["se_bias"].map(math.isfinite)]
    if own.empty:
        return ""
    low, high = (_row(own, own["se_bias"].idxmin()), _row(own, own["se_bias"].idxmax()))
    return (
        "Against the spread of the estimates they are off by "
        f"{_percent(low['se_bias'], low['se_bias_mcse'])} ({_at(low)}) to "
        f"{_percent(high['se_bias'], high['se_bias_mcse'])} ({_at(high)})."
    )


def _coverage(own: pd.DataFrame, level: float) -> str:
    own = own[own["coverage"].map(math.isfinite)]
    if own.empty:
        return ""
    off = np.sqrt(level * (1 - level) / own["n_used"])
    beyond = int(((own["coverage"] - level).abs() > HALF * off).sum())
    low, high = _row(own, own["coverage"].idxmin()), _row(own, own["coverage"].idxmax())
    aim = f"are farther from {100 * level:g}% than the Monte Carlo error allows, ± {100 * HALF * float(off.max()):.1f}"
    return (
        f"They hold the true value in {_percent(low['coverage'], low['coverage_mcse'])} ({_at(low)}) to "
        f"{_percent(high['coverage'], high['coverage_mcse'])} ({_at(high)}) of samples. "
        + _beyond(beyond, len(own), aim)
    )


def _fit(result: MonteCarloResult) -> list[tuple[str, str]]:
    frame = result.measures
    out = []
    for measure, name in (("pvalue", "Chi-square test"), ("pvalue_scaled", "Scaled chi-square test")):
        own = frame[(frame["measure"] == measure) & frame["rejected"].map(math.isfinite)]
        if len(own):
            rows = own.to_dict("records")
            shares = [f"{_percent(r['rejected'], r['rejected_mcse'])} ({r['condition']})" for r in rows[:_NAMED]]
            if len(rows) > _NAMED:
                shares.append(f"{len(rows) - _NAMED} more conditions in the table of fit measures")
            out.append((name, f"It rejects the model at alpha = {_alpha(result)} in {'; '.join(shares)}."))
    return out


def _alpha(result: MonteCarloResult) -> str:
    return number(result.alpha, 3, bounded=True).rstrip("0")


def _verdicts(result: MonteCarloResult) -> str:
    frame = result.verdicts
    if frame.empty:
        return ""
    never = frame.groupby("proposition", sort=False)["not_testable"].min() >= 1
    out, tested = [], frame[~frame["proposition"].map(never)]
    every = list(dict.fromkeys(tested["proposition"]))
    if every:
        parts = []
        for condition, own in tested.groupby("condition", sort=False):
            names = list(own.loc[own["supported"] >= _ENOUGH, "proposition"])
            said = "all" if len(names) == len(every) else ", ".join(names) or "none"
            parts.append(f"{said} ({condition})")
        if len(parts) > _NAMED:
            parts[_NAMED:] = [f"{len(parts) - _NAMED} more conditions in the table"]
        out.append(f"Supported in at least {100 * _ENOUGH:g}% of samples: {'; '.join(parts)}.")
    if never.any():
        out.append(f"Not testable by these fits: {', '.join(never.index[never])}.")
    return " ".join(out)
