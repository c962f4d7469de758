"""Invariance of ordinal items over waves: the ladder of several groups, written into one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from b2b_sem.analysis.comparability import Estimates
from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.ladder import Ladder
from b2b_sem.analysis.ordinal_ladder import OrdinalPlan
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.analysis.wave import answered, drop_out, wave_estimates
from b2b_sem.errors import DataError, did_you_mean
from b2b_sem.spec.partable import ParameterTable, Row
from b2b_sem.spec.syntax import Entry, parse_model
from b2b_sem.spec.threshold import restrict_step
from b2b_sem.spec.wave import WaveModel

__all__ = ["OrdinalWavePlan", "waves_of_step"]


def waves_of_step(
    model: WaveModel, levels: Mapping[str, int], step: str, exempt: Sequence[str], parameterization: str
) -> str:
    """Return the model of a step: that of several groups, each group's part with the names of its wave.

    Parameters
    ----------
    model : WaveModel
    levels : mapping of str to int
        Number of thresholds of each ordinal item.
    step : str
    exempt : sequence of str
        Released equalities, as :func:`~b2b_sem.spec.threshold.restrict_step` takes them.
    parameterization : {"delta", "theta"}
    """
    scale, rest = model.scale()
    groups = restrict_step(parse_model(scale), levels, len(model.labels), step, exempt, parameterization)
    lines = []
    for wave in range(len(model.labels)):
        names = {base: own[wave] for part in (model.latents, model.items) for base, own in part.items()}
        lines += [_statement(e, names, wave + 1) for e in groups.entries]
    return "\n".join([*lines, rest])


def _statement(entry: Entry, names: Mapping[str, str], wave: int) -> str:
    own = entry.modifiers.of_group(wave)
    term = "1" if entry.op == "~1" else names.get(entry.rhs, entry.rhs)
    modifier = f"{own.label[0]}*" if own.label else ""
    if own.fixed:
        modifier = "NA*" if own.fixed[0] is None else f"{own.fixed[0]!r}*"
    return f"{names[entry.lhs]} {entry.op.replace('~1', '~')} {modifier}{term}"


@dataclass
class OrdinalWavePlan(OrdinalPlan):
    """Waves in the place of groups, and ordinal items.

    Attributes
    ----------
    model : WaveModel
    """

    model: WaveModel = field(kw_only=True)

    noun = "waves"
    alone = "fit each wave by itself first; join answers that are rare in a wave"

    def fit(self, step: str, exempt: Sequence[str]) -> Fit:
        """Fit the model of a step."""
        chosen = "theta" if step == "strict" else self.parameterization
        first = step == "configural"
        found = fit_model(
            self.model.text() if first else waves_of_step(self.model, self.levels, step, exempt, chosen),
            self.data,
            estimator=self.estimator,
            missing=self.missing,
            ordered=self._ordered(),
            parameterization=chosen,
            std_lv=True,
        )
        if first:
            self.groups = self.model.labels
            self.levels = self._levels(found)
        return found

    def _ordered(self) -> Any:
        """Return the columns of ordinal items, which are named as in the scale or by their columns."""
        if isinstance(self.ordered, bool):
            return self.ordered
        columns: list[str] = []
        named = (self.ordered,) if isinstance(self.ordered, str) else tuple(self.ordered)
        asked = {name: item for item, own in self.model.items.items() for name in own}
        others = {rhs for _, op, rhs, _ in self.model.entries if op == "=~"} - set(asked)
        for name in named:
            item = name if name in self.model.items else asked.get(name)
            if item is None and name not in others:
                raise DataError(
                    f"ordered names '{name}', which is no item of the model.{did_you_mean(name, self.model.items)}",
                    hint=f"items: {', '.join(self.model.items)}",
                )
            columns += [name] if item is None else self.model.items[item]
        return list(dict.fromkeys(columns))

    def _levels(self, found: Fit) -> dict[str, int]:
        """Return the number of thresholds of each item of the scale, whose answers must be the same in all waves."""
        ordinal = context_of(found).observed.ordinal
        assert ordinal is not None
        given = dict(zip(ordinal[0].names, ordinal[0].levels, strict=True))
        out = {}
        for item, columns in self.model.items.items():
            first = given[columns[0]]
            for label, column in zip(self.model.labels, columns, strict=True):
                own = given[column]
                if (first is None) != (own is None):
                    raise DataError(f"'{column}' is ordinal in some waves only", hint="name it in all waves or in none")
                if first is not None and own is not None and list(first) != list(own):
                    raise DataError(
                        f"item '{item}' has the answers {_listed(first)} in wave {self.model.labels[0]} and "
                        f"{_listed(own)} in wave {label}",
                        hint="thresholds need the same answers in all waves: join categories, or leave the item out",
                    )
            if first is not None:
                out[item] = len(first) - 1
        return out

    def _candidates(self, step: str, table: ParameterTable) -> list[tuple[str, str, tuple[str, ...], list[int]]]:
        """Return what a step makes equal: name, item, latent variables, rows of all waves but the first."""
        base = self.model.places()

        def as_group(row: Row) -> Row:
            one, two = base.get(row.lhs), base.get(row.rhs) if row.op in ("=~", "~~") else (0, row.rhs)
            if one is None or two is None or two[0] not in (0, one[0]):
                return replace(row, op="", group=1)  # of another scale, or over waves
            return replace(row, lhs=one[1], rhs=two[1], group=one[0])

        return super()._candidates(step, replace(table, rows=tuple(as_group(r) for r in table.rows)))

    def estimates(self, found: Fit) -> Estimates:
        """Return the rows of the parameters by wave and the names they have in the scale."""
        return wave_estimates(found, self.model)

    def sizes(self, found: Fit) -> dict[str, int]:
        """Return the number of rows, that of all waves: it weights them."""
        return dict.fromkeys(self.model.labels, int(found.nobs))

    def settle(self, ladder: Ladder) -> dict[str, Any]:
        """Return latent means, effect sizes, and what may be compared."""
        nobs = int(ladder.fits["configural"].nobs)
        settled = super().settle(ladder)
        notes = [*drop_out(self.model, self.data, nobs, self.missing, "pairwise"), *settled["notes"]]
        return {**settled, "groups": answered(self.model, self.data, nobs, self.missing), "notes": notes}

    def samples(self, found: Fit) -> list[Mapping[str, Any]]:
        """Return the sample moments of each wave, with the names of the scale."""
        whole = found.sample()
        out: list[Mapping[str, Any]] = []
        for wave in range(len(self.model.labels)):
            base = {own[wave]: item for item, own in self.model.items.items()}
            cuts = whole["th"]
            kept = [name for name in cuts.index if str(name).split("|")[0] in base]
            names = {name: "|".join([base[str(name).split("|")[0]], str(name).split("|")[1]]) for name in kept}
            cov = whole["cov"].loc[list(base), list(base)].rename(index=base, columns=base)
            out.append({"th": cuts.loc[kept].rename(names), "cov": cov})
        return out


def _listed(answers: Sequence[Any]) -> str:
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in answers)
