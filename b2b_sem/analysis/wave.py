"""Invariance over waves: one group that answered the same items several times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from b2b_sem.analysis.comparability import Estimates, comparable, effect_rows, mean_rows
from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.intake import check_columns
from b2b_sem.analysis.invariance import OPERATOR, GroupPlan
from b2b_sem.analysis.ladder import Ladder, Tested, estimates_of
from b2b_sem.analysis.score import extension_of, tangent_of
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.data.panel import widen
from b2b_sem.engine.threads import single_thread
from b2b_sem.engine.tied import tied_tests
from b2b_sem.errors import DataError
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.syntax import ParsedModel
from b2b_sem.spec.wave import WaveModel, wave_model

__all__ = ["WavePlan", "answered", "drop_out", "wave_data", "wave_estimates"]


def wave_data(
    parsed: ParsedModel, data: Any, waves: Any, wave: str | None, person: str | None, correlated: bool
) -> tuple[WaveModel, Any, str]:
    """Return the model of all waves, wide data, and what tells waves apart.

    Arguments and errors are those of :func:`b2b_sem.invariance`.
    """
    if (wave is None) != (person is None):
        raise DataError(
            f"{'wave' if person is None else 'person'} is given without {'person' if person is None else 'wave'}",
            hint="long data need both: the column of waves and the column of persons",
        )
    if wave is None or person is None:
        model = wave_model(parsed, waves, check_columns(data), correlated=correlated)
        return model, data, "waves"
    if isinstance(waves, Mapping | str):
        raise DataError(f"waves is {waves!r}", hint="with long data waves is a list of labels, in their order")
    check_columns(data)
    items = dict.fromkeys(x for members in measurement_model(parsed).items.values() for x in members)
    panel = widen(data, tuple(items), wave, person, waves)
    model = wave_model(parsed, panel.columns, [str(c) for c in panel.frame.columns], correlated=correlated)
    return replace(model, notes=(*model.notes, *panel.notes)), panel.frame, wave


@dataclass(frozen=True)
class WavePlan(GroupPlan):
    """Waves in the place of groups: parameters become equal within one model.

    Attributes
    ----------
    model : WaveModel
    """

    model: WaveModel

    alone = "fit each wave by itself first, or leave out what residuals share over waves (correlated=False)"
    noun = "waves"

    def fit(self, step: str, exempt: Sequence[str]) -> Fit:
        """Fit the model with all kinds equal up to a step."""
        names = list(self.steps)
        return fit_model(
            self.model.text([self.steps[s] for s in names[1 : names.index(step) + 1]], exempt),
            self.data,
            estimator=self.estimator,
            missing=self.missing,
            std_lv=True,
            meanstructure=True,
            engine="native",
        )

    def tests(self, step: str, found: Fit) -> list[Tested]:
        """Return a score test of each parameter that is equal in all waves."""
        context = context_of(found)
        number = {row.name: row.free for row in context.problem.table.rows}
        shared = []
        for each in self.model.shared(self.steps[step]):
            names = ["".join(row) for row in each.rows]
            if len({number[name] for name in names}) == 1:
                shared.append((each, names))
        with single_thread():
            extension = extension_of(context.problem, context.solution.theta, absent=False)
            tangent = tangent_of(context, extension)
            tested = tied_tests(extension, tangent, context.problem.nobs, [names for _, names in shared])
        return [
            Tested(each.parameter, each.latents, each.item, test.chisq, test.df, test.pvalue)
            for (each, _), test in zip(shared, tested, strict=True)
        ]

    def settle(self, ladder: Ladder) -> dict[str, Any]:
        """Return latent means, effect sizes, and what may be compared."""
        first = ladder.fits["configural"]
        rows = dict.fromkeys(self.model.labels, int(first.nobs))
        means = []
        if ladder.reached >= 2:
            means = mean_rows(wave_estimates(ladder.fits["scalar"], self.model), rows, self.measured)
        effects: list[dict[str, Any]] = []
        notes: list[str] = []
        if first.converged:
            cov = first.sample()["cov"]
            covs = []
            for wave in range(len(self.model.labels)):
                columns = {names[wave]: item for item, names in self.model.items.items()}
                covs.append(cov.loc[list(columns), list(columns)].rename(index=columns, columns=columns))
            found = wave_estimates(first, self.model)
            effects, notes = effect_rows(found, rows, covs, self.measured, ladder.exempt, self.noun)
        notes = [*drop_out(self.model, self.data, int(first.nobs), self.missing), *notes]
        return {
            "group": self.group,
            "groups": answered(self.model, self.data, int(first.nobs), self.missing),
            "statements": comparable(ladder, OPERATOR, self.noun),
            "notes": notes,
            "means": means,
            "effects": effects,
        }


def answered(model: WaveModel, data: Any, nobs: int, missing: str) -> dict[str, int]:
    """Return how many rows have an answer in each wave: all `nobs` where rows with holes are left out."""
    if missing == "listwise":
        return dict.fromkeys(model.labels, nobs)
    import pandas as pd

    frame = getattr(data, "frame", data)
    out = {}
    for wave, label in enumerate(model.labels):
        given = [pd.Series(frame[names[wave]]).notna().to_numpy() for names in model.items.values()]
        out[label] = int(np.any(given, axis=0).sum())
    return out


def drop_out(model: WaveModel, data: Any, nobs: int, missing: str, instead: str = "fiml") -> list[str]:
    """Return a note on answers of people who did not answer in all waves, where rows with holes are left out."""
    given = answered(model, data, nobs, "")
    if missing != "listwise" or max(given.values()) <= nobs:
        return []
    shown = ", ".join(f"{label} {count}" for label, count in given.items())
    return [
        f"Only {nobs} answered everything in all waves, but more gave answers in some of them ({shown}): "
        f"missing='{instead}' uses these, too."
    ]


def wave_estimates(found: Fit, model: WaveModel) -> Estimates:
    """Return the rows of the parameters by wave (from 1) and the names they have in the scale."""
    base = model.places()
    out: dict[tuple[int, str, str, str], Mapping[Any, Any]] = {}
    for (_, lhs, op, rhs), row in estimates_of(found).items():
        one, two = base.get(lhs), base.get(rhs) if op in ("=~", "~~") else (0, rhs)
        if one is not None and two is not None and two[0] in (0, one[0]):
            out[one[0], one[1], op, two[1]] = row
    return out
