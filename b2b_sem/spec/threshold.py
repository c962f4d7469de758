"""Ordinal items in several groups: what each step of invariance makes equal, free and fixed.

Behind an ordinal item stands a continuous response y*, cut by thresholds. In the first group y* has the intercept 0 and
the scale 1 (its total variance in the delta parameterization, its residual variance under theta), and so it has in all
groups where thresholds are free. Identification follows Wu & Estabrook (2016), doi:10.1007/s11336-016-9506-0:

* Equal thresholds free, in the other groups, the intercept and the scale of y*. Two thresholds, of an item with three
  categories, give just these: the step restricts items with four categories and more.
* Equal loadings free the variances of latent variables in the other groups, where these are 1 in the first.
* Equal intercepts (all 0) free the means of latent variables.
* Equal residual variances (all 1) are the last step; they are parameters under theta only.

The single threshold of an item with two categories, its loading, intercept and scale cannot be told apart before all
of thresholds, loadings and intercepts are equal: such an item is as in the configural model up to that step, which then
leaves its scale free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from b2b_sem.spec.syntax import Entry, Modifiers, ParsedModel

__all__ = ["ORDINAL_STEPS", "released_thresholds", "restrict_step", "threshold_name", "untested_loadings"]

#: The steps in order, and what becomes equal in each.
ORDINAL_STEPS: Mapping[str, str] = MappingProxyType(
    {
        "configural": "",
        "thresholds": "thresholds",
        "metric": "loadings",
        "scalar": "intercepts",
        "strict": "residuals",
    }
)
ORDER = list(ORDINAL_STEPS)


def released_thresholds(exempt: Sequence[str]) -> list[str]:
    """Return the items whose thresholds are released; nothing else of them is then equal."""
    return list(dict.fromkeys(name.split("|")[0] for name in exempt if "|" in name))


def threshold_name(item: str, count: int) -> str:
    """Return what stands for all thresholds of an item among released equalities."""
    return f"{item}|t1-t{count}" if count > 1 else f"{item}|t1"


def untested_loadings(items: Mapping[str, Sequence[str]], levels: Mapping[str, int]) -> list[str]:
    """Return the latent variables of which equal thresholds and loadings make no two loadings equal.

    Parameters
    ----------
    items : mapping of str to sequence of str
        Items of each latent variable.
    levels : mapping of str to int
        Number of thresholds of each ordinal item.
    """
    return [f for f, own in items.items() if len(own) > 1 and sum(levels.get(i) != 1 for i in own) < 2]


def restrict_step(
    model: ParsedModel,
    levels: Mapping[str, int],
    groups: int,
    step: str,
    exempt: Sequence[str],
    parameterization: str,
    *,
    std_lv: bool = True,
) -> ParsedModel:
    """Return a model with what a step makes equal, free and fixed in each group.

    Parameters
    ----------
    model : ParsedModel
        Without thresholds, scales and intercepts of ordinal items. Labels and values of a user stay as they are.
    levels : mapping of str to int
        Number of thresholds of each ordinal item.
    groups : int
    step : str
        Of :data:`ORDINAL_STEPS`.
    exempt : sequence of str
        Released equalities: ``"x1|t1-t4"`` (all thresholds of x1), ``"F=~x1"``, ``"x1~1"``, ``"x1~~x1"``.
    parameterization : {"delta", "theta"}
    std_lv : bool
        Latent variables have variance 1 in the first group; else their first loading is 1 in all.
    """
    equal = _Equal(levels, ORDER.index(step), frozenset(exempt), frozenset(released_thresholds(exempt)))
    made = _Maker(groups)
    entries = [
        replace(e, modifiers=replace(e.modifiers, label=made.labels("lambda")))
        if e.op == "=~" and equal.loading(e) and not e.modifiers.label
        else e
        for e in model.entries
    ]
    stated = {(e.lhs, e.op, e.rhs) for e in entries}
    loadings = [e for e in entries if e.op == "=~"]
    new: list[Entry] = []
    for item in dict.fromkeys(e.rhs for e in loadings):
        if item in levels:
            new += _ordinal(item, levels[item], equal, made, parameterization)
        elif item not in {e.lhs for e in loadings}:
            if equal.intercept(item):
                new.append(made.same(item, "~1", "", "nu"))
            if equal.residual(item):
                new.append(made.same(item, "~~", item, "theta"))
    for latent in dict.fromkeys(e.lhs for e in loadings):
        own = [e for e in loadings if e.lhs == latent]
        if std_lv and any(equal.loading(e) for e in own):
            new.append(made.later(latent, "~~", latent, 1.0))
        if any(equal.intercept(e.rhs) for e in own):
            new.append(made.later(latent, "~1", "", 0.0))
    return replace(model, entries=(*entries, *(e for e in new if (e.lhs, e.op, e.rhs) not in stated)))


def _ordinal(item: str, count: int, equal: _Equal, made: _Maker, parameterization: str) -> list[Entry]:
    """Return the thresholds, intercept and scale of an item with equal thresholds; the defaults are those without."""
    if not equal.thresholds(item):
        return []
    out = [made.same(item, "|", f"t{k}", "tau") for k in range(1, count + 1)]
    if not equal.intercept(item):
        out.append(made.later(item, "~1", "", 0.0))
    if not equal.residual(item):
        out.append(made.later(item, "~*~" if parameterization == "delta" else "~~", item, 1.0))
    return out


@dataclass(frozen=True)
class _Equal:
    """What is equal in all groups: up to a step, with exceptions."""

    levels: Mapping[str, int]
    at: int
    exempt: frozenset[str]
    apart: frozenset[str]

    def _reached(self, step: str) -> bool:
        return self.at >= ORDER.index(step)

    def thresholds(self, item: str) -> bool:
        """Whether the response behind an item has one set of thresholds in all groups."""
        return item not in self.apart and self._reached("scalar" if self.levels[item] == 1 else "thresholds")

    def loading(self, e: Entry) -> bool:
        if f"{e.lhs}=~{e.rhs}" in self.exempt or not self._reached("metric"):
            return False
        return e.rhs not in self.levels or self.thresholds(e.rhs)

    def intercept(self, item: str) -> bool:
        return self._reached("scalar") and f"{item}~1" not in self.exempt and item not in self.apart

    def residual(self, item: str) -> bool:
        return self._reached("strict") and f"{item}~~{item}" not in self.exempt


class _Maker:
    """Entries for all groups, with labels of their own."""

    def __init__(self, groups: int) -> None:
        self.groups = groups
        self.count: dict[str, int] = {}

    def labels(self, kind: str) -> tuple[str, ...]:
        self.count[kind] = self.count.get(kind, 0) + 1
        return (f"{kind}.{self.count[kind]}",) * self.groups

    def same(self, lhs: str, op: str, rhs: str, kind: str) -> Entry:
        """Return a parameter that is equal in all groups."""
        return Entry(lhs, op, rhs, Modifiers(label=self.labels(kind)), 0, 0)

    def later(self, lhs: str, op: str, rhs: str, value: float) -> Entry:
        """Return a parameter that is fixed in the first group and free in the others."""
        return Entry(lhs, op, rhs, Modifiers(fixed=(value, *[None] * (self.groups - 1))), 0, 0)
