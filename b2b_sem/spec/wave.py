"""One scale asked several times: the measurement model of all waves, and which of its parameters a step makes equal.

Data are wide: each wave has its own columns. A model of one wave is repeated for each of them, by a rule that turns the
name of an item into that of its column; or the model of all waves is given, with the latent variables that are one and
the same. Latent variables covary freely over waves, and so do the residuals of an item with those of itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from b2b_sem.errors import DataError, Unsupported, did_you_mean
from b2b_sem.spec.measurement import MeasurementModel, measurement_model
from b2b_sem.spec.syntax import ParsedModel, parse_model

__all__ = ["Shared", "WaveModel", "name_part", "wave_model"]

#: What the model syntax takes as a name.
_NAME = re.compile(r"(?:[^\W\d]|\.(?!\d))[\w.]*")
#: Stands for the name of an item or a latent variable in a rule such as "t1_{}".
_BLANK = "{}"
_FORMS = "give a mapping such as {'T1': '_t1', 'T2': '_t2'}: the label of each wave and what follows names in it"


@dataclass(frozen=True)
class Shared:
    """One parameter of the scale, and where it stands in each wave.

    Attributes
    ----------
    parameter : str
        As in the model of one wave: ``F=~x1``, ``x1~1``, ``x1~~x1``.
    latents : tuple of str
        Latent variables of the scale that the item belongs to.
    item : str
    rows : tuple of (lhs, op, rhs)
        One a wave.
    label : str
        Of the parameter where it is equal.
    """

    parameter: str
    latents: tuple[str, ...]
    item: str
    rows: tuple[tuple[str, str, str], ...]
    label: str


@dataclass(frozen=True)
class WaveModel:
    """The measurement model of all waves.

    Attributes
    ----------
    labels : tuple of str
        Of the waves, in order.
    latents, items : mapping of str to tuple of str
        Names of each latent variable and columns of each item, one a wave.
    members : mapping of str to tuple of str
        Items of each latent variable.
    entries : tuple of (lhs, op, rhs, value)
        Loadings and covariances of all waves; value is None where a parameter is free.
    correlated : bool
        Whether residuals of an item covary over waves.
    notes : tuple of str
    """

    labels: tuple[str, ...]
    latents: Mapping[str, tuple[str, ...]]
    items: Mapping[str, tuple[str, ...]]
    members: Mapping[str, tuple[str, ...]]
    entries: tuple[tuple[str, str, str, float | None], ...]
    correlated: bool
    notes: tuple[str, ...]

    @property
    def measured(self) -> MeasurementModel:
        """The model without equalities, with the items of the scale."""
        return MeasurementModel(self.text(), dict(self.members), self.notes)

    def shared(self, kind: str) -> tuple[Shared, ...]:
        """Return the parameters that are one number in all waves if "loadings", "intercepts" or "residuals" are equal.

        Those with a fixed value are equal already.
        """
        out = []
        for item, columns in self.items.items():
            owners = tuple(f for f, members in self.members.items() if item in members)
            if kind == "loadings":
                for k, latent in enumerate(owners):
                    rows = tuple((f, "=~", x) for f, x in zip(self.latents[latent], columns, strict=True))
                    label = f"loading{k + 1 if k else ''}.{item}"
                    out.append(Shared(f"{latent}=~{item}", (latent,), item, rows, label))
            elif kind == "intercepts":
                rows = tuple((x, "~1", "") for x in columns)
                out.append(Shared(f"{item}~1", owners, item, rows, f"intercept.{item}"))
            elif kind == "residuals" and item not in self._alone:
                rows = tuple((x, "~~", x) for x in columns)
                out.append(Shared(f"{item}~~{item}", owners, item, rows, f"residual.{item}"))
        fixed = {e[:3] for e in self.entries if e[3] is not None}
        return tuple(s for s in out if not fixed.intersection(s.rows))

    def text(self, equal: Iterable[str] = (), exempt: Collection[str] = ()) -> str:
        """Return the model in model syntax, for latent variables of variance 1 and mean 0 unless it says otherwise.

        With equal loadings the latent variables of later waves have variances of their own, with equal intercepts means
        of their own: equality identifies them.

        Parameters
        ----------
        equal : iterable of str
            "loadings", "intercepts", "residuals".
        exempt : collection of str
            Parameters that are not equal all the same, as :class:`Shared` names them.
        """
        kinds = tuple(equal)
        tied = [s for kind in kinds for s in self.shared(kind) if s.parameter not in exempt]
        label = {row: s.label for s in tied for row in s.rows}
        lines = []
        for lhs, op, rhs, value in self.entries:
            factor = label.pop((lhs, op, rhs), "") if value is None else repr(value)
            lines.append(f"{lhs} {op} {factor}{'*' if factor else ''}{rhs}")
        lines += [f"{lhs} {op.replace('~1', '~')} {name}*{rhs or '1'}" for (lhs, op, rhs), name in label.items()]
        lines += self._lasting()
        later = [name for names in self.latents.values() for name in names[1:]]
        if "loadings" in kinds:
            lines += [f"{name} ~~ NA*{name}" for name in later]
        if "intercepts" in kinds:
            lines += [f"{name} ~ NA*1" for name in later]
        return "\n".join(lines)

    def scale(self) -> tuple[str, str]:
        """Return the measurement part of the scale as it is in one wave, and the other statements of all waves."""
        places = self.places()
        own, rest = [], []
        for lhs, op, rhs, value in self.entries:
            one, two = places.get(lhs), places.get(rhs)
            text = f"{'' if value is None else f'{value!r}*'}"
            if one is None or two is None or (op != "=~" and lhs != rhs):
                rest.append(f"{lhs} {op} {text}{rhs}")
            elif one[0] == two[0] == 1:
                own.append(f"{one[1]} {op} {text}{two[1]}")
        return "\n".join(own), "\n".join([*rest, *self._lasting()])

    def places(self) -> dict[str, tuple[int, str]]:
        """Return the wave (from 1) of each latent variable and column of the scale, and its name in the scale."""
        names = [*self.latents.items(), *self.items.items()]
        return {name: (wave, base) for base, own in names for wave, name in enumerate(own, 1)}

    def _lasting(self) -> list[str]:
        """Covariances of residuals of an item with its own in other waves that the model does not have yet."""
        if not self.correlated:
            return []
        known = {frozenset((lhs, rhs)) for lhs, op, rhs, _ in self.entries if op == "~~"}
        pairs = [p for x, columns in self.items.items() if x not in self._alone for p in combinations(columns, 2)]
        return [f"{a} ~~ {b}" for a, b in pairs if frozenset((a, b)) not in known]

    @property
    def _alone(self) -> set[str]:
        """Items that are the only one of a latent variable: they have no residual."""
        return {members[0] for members in self.members.values() if len(members) == 1}


def wave_model(parsed: ParsedModel, waves: Any, columns: Collection[str] = (), *, correlated: bool = True) -> WaveModel:
    """Return the measurement model of all waves.

    Parameters
    ----------
    parsed : ParsedModel
    waves : mapping
        Either, for a model of one wave, the label of each wave and how names become names of that wave: what follows
        them (``"_t1"``), a pattern (``"t1_{}"``), the columns in the order in which the items stand in the model, or a
        mapping of items to columns. Or, for a model of all waves, each latent variable of the scale and its names in
        the waves (``{"dem": ["dem60", "dem65"]}``); items belong together by their places.
    columns : collection of str
        Of the data.
    correlated : bool
        Whether residuals of an item covary over waves.

    Raises
    ------
    DataError
        For rules that do not give each item one column in each wave.
    Unsupported
        For what :func:`~b2b_sem.spec.measurement.measurement_model` refuses, and values fixed in some waves only.
    """
    if not isinstance(waves, Mapping):
        raise DataError(f"waves is {waves!r}", hint=_FORMS)
    rules = {str(label): rule for label, rule in waves.items()}
    measured = measurement_model(parsed)
    entries = [
        (e.lhs, e.op, e.rhs, e.modifiers.fixed[0] if e.modifiers.fixed else None)
        for e in parse_model(measured.text).entries
    ]
    named = [r for r in rules.values() if isinstance(r, list | tuple)]
    whole = bool(rules) and len(named) == len(rules) and all(f in measured.items for r in named for f in r)
    if whole:
        found = _collect(measured, rules, entries, correlated)
    else:
        found = _repeat(measured, rules, entries, set(columns), correlated)
    _check_columns(found, columns)
    return found


def name_part(label: str) -> str:
    """Return the label of a wave as it can end a name."""
    return re.sub(r"[^\w.]", "_", label)


_Entry = tuple[str, str, str, float | None]


def _repeat(
    measured: MeasurementModel,
    rules: Mapping[str, Any],
    entries: Sequence[_Entry],
    columns: Collection[str],
    correlated: bool,
) -> WaveModel:
    """Repeat the model of one wave for each of them."""
    if len(rules) < 2:
        raise DataError(f"there {'is one wave' if rules else 'are no waves'}", hint=f"name two or more; {_FORMS}")
    items = tuple(dict.fromkeys(x for members in measured.items.values() for x in members))
    places = {label: _columns(label, rule, items) for label, rule in rules.items()}
    used: dict[str, str] = {}
    for label, place in places.items():
        for item, column in place.items():
            if column in used:
                raise DataError(
                    f"column '{column}' is {used[column]} and item '{item}' of wave {label}",
                    hint="each item of each wave has a column of its own",
                )
            used[column] = f"item '{item}' of wave {label}"
    taken = {*columns, *used}
    latents: dict[str, tuple[str, ...]] = {}
    for latent in measured.items:
        names = []
        for label, rule in rules.items():
            name = _apply(rule, latent) if isinstance(rule, str) else f"{latent}_{name_part(label)}"
            while name in taken:
                name += "_"
            taken.add(name)
            names.append(name)
        latents[latent] = tuple(names)
    at = [{**{f: names[w] for f, names in latents.items()}, **place} for w, place in enumerate(places.values())]
    repeated = tuple((here[lhs], op, here[rhs], value) for here in at for lhs, op, rhs, value in entries)
    asked = {item: tuple(place[item] for place in places.values()) for item in items}
    return WaveModel(tuple(rules), latents, asked, measured.items, repeated, correlated, measured.notes)


def _columns(label: str, rule: Any, items: tuple[str, ...]) -> dict[str, str]:
    """Return the column of each item in a wave."""
    if isinstance(rule, str):
        return {item: _apply(rule, item) for item in items}
    if isinstance(rule, Mapping):
        unknown = next((str(k) for k in rule if k not in items), None)
        if unknown is not None:
            raise DataError(
                f"wave {label} names '{unknown}', which is no item of the model.{did_you_mean(unknown, items)}",
                hint=f"items of the model: {', '.join(items)}",
            )
        missing = [item for item in items if item not in rule]
        if missing:
            raise DataError(f"wave {label} has no column for {', '.join(missing)}", hint="name a column for every item")
        return {item: str(rule[item]) for item in items}
    if isinstance(rule, list | tuple):
        if len(rule) != len(items):
            raise DataError(
                f"wave {label} has {len(rule)} columns, but the model has {len(items)} items",
                hint=f"give one for each, in this order: {', '.join(items)}",
            )
        return dict(zip(items, map(str, rule), strict=True))
    raise DataError(f"wave {label} is {rule!r}", hint=_FORMS)


def _apply(rule: str, name: str) -> str:
    return rule.replace(_BLANK, name) if _BLANK in rule else f"{name}{rule}"


def _collect(
    measured: MeasurementModel, rules: Mapping[str, Any], entries: Sequence[_Entry], correlated: bool
) -> WaveModel:
    """Find which latent variables and items of a model of all waves are the same."""
    latents = {base: tuple(map(str, names)) for base, names in rules.items()}
    count = len(next(iter(latents.values())))
    for base, names in latents.items():
        if len(names) < 2 or len(names) != count:
            raise DataError(
                f"{base} has {len(names)} wave{'' if len(names) == 1 else 's'}: {', '.join(names)}",
                hint="name one latent variable for each of two or more waves, as many for each scale",
            )
    flat = [name for names in latents.values() for name in names]
    twice = next((n for n in flat if flat.count(n) > 1), None)
    if twice is not None:
        raise DataError(f"the latent variable '{twice}' is named twice", hint="each belongs to one scale and one wave")
    items: dict[str, tuple[str, ...]] = {}
    members: dict[str, tuple[str, ...]] = {}
    owner: dict[str, tuple[str, int]] = {}
    for base, names in latents.items():
        sets = [measured.items[name] for name in names]
        if len({len(s) for s in sets}) > 1:
            shown = ", ".join(f"{n} {len(s)}" for n, s in zip(names, sets, strict=True))
            raise DataError(f"{base} has different numbers of items: {shown}", hint="all waves have the same items")
        for columns in zip(*sets, strict=True):
            for wave, column in enumerate(columns):
                if owner.setdefault(column, (columns[0], wave)) != (columns[0], wave):
                    raise DataError(
                        f"'{column}' has another place among the items of '{names[wave]}' than in other waves",
                        hint="write the items of all waves in the same order; an item belongs to one wave",
                    )
            items[columns[0]] = columns
        members[base] = sets[0]
    odd = next((n for n in items if n in latents), None)
    if odd is not None:
        raise DataError(f"the scale '{odd}' has the name of an item", hint="give it another name")
    value = {e[:3]: e[3] for e in entries}
    for base, names in latents.items():
        for item in members[base]:
            for rows in (
                [(f, "=~", x) for f, x in zip(names, items[item], strict=True)],
                [(x, "~~", x) for x in items[item]],
            ):
                if len({value.get(r) for r in rows}) > 1:
                    raise Unsupported(
                        f"a parameter of '{item}' has values that differ between waves",
                        hint="fix it at one value in all waves, or leave it free",
                    )
    others = [f for f in measured.items if f not in flat]
    notes = [f"Asked once, with parameters of their own: {', '.join(others)}."] if others else []
    labels = next(iter(latents.values())) if len(latents) == 1 else tuple(str(w + 1) for w in range(count))
    return WaveModel(labels, latents, items, members, tuple(entries), correlated, (*measured.notes, *notes))


def _check_columns(found: WaveModel, columns: Collection[str]) -> None:
    for item, names in found.items.items():
        for label, column in zip(found.labels, names, strict=True):
            if columns and column not in columns:
                raise DataError(
                    f"wave {label}: item '{item}' would be in column '{column}', which the data do not have."
                    f"{did_you_mean(column, columns)}",
                    hint="check the rule of the wave; a model that has the items of all waves takes the latent "
                    "variables of each scale, waves={'F': ['F1', 'F2']}",
                )
            if not _NAME.fullmatch(column):
                raise DataError(
                    f"wave {label}: '{column}' cannot stand in a model",
                    hint="rename the column: letters, digits, '_' and '.', with a letter first",
                )
    for names in found.latents.values():
        for name in names:
            if not _NAME.fullmatch(name):
                raise DataError(
                    f"the latent variable '{name}' cannot stand in a model",
                    hint="let the rule of the wave make a name: letters, digits, '_' and '.', with a letter first",
                )
