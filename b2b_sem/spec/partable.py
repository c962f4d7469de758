"""From statements to a parameter table, with the defaults of lavaan's ``sem()`` and ``cfa()``.

The rules reproduced here (checked against lavaan 0.6 row by row, see tests/reference):

* the first loading of each latent variable is fixed at 1 (``std_lv``: variances of latents at 1 instead);
* residual variances and variances of latents are free; the residual variance of the only indicator of a latent is 0;
* exogenous latent variables covary; so do the residuals of endogenous variables (latent or observed) that predict
  nothing and indicate nothing; ``orthogonal`` fixes the covariances among latents at 0;
* exogenous observed variables are taken as fixed (``fixed_x``): their moments are set to the sample moments, unless
  the model text mentions their variance, covariance or intercept;
* under a mean structure intercepts of observed variables are free and those of latents 0; in a growth model (lavaan's
  ``growth()``) it is the other way round, and there always is a mean structure;
* ordinal variables have free thresholds; the intercept of the continuous response behind one is 0, its scale and (in
  the theta parameterization) its residual variance are 1;
* equal labels are one parameter; if one of them is fixed, all are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from b2b_sem.errors import ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.spec import expression as ex
from b2b_sem.spec.definition import check_constraints
from b2b_sem.spec.group import Equality, check_block, describe_groups, free_in_group, models_of_groups
from b2b_sem.spec.syntax import Constraint, Entry, ParsedModel

__all__ = ["ParameterTable", "Row", "build_table", "ordinal_names"]


@dataclass(frozen=True)
class Row:
    """One parameter.

    Attributes
    ----------
    lhs, op, rhs : str
        ``op`` is ``=~``, ``~``, ``~~``, ``~1`` (rhs empty), ``|`` (rhs t1, t2, ...: a threshold) or ``~*~`` (the
        scale of an ordinal variable).
    free : int
        Number of the free parameter from 1, or 0 when fixed. Rows with equal labels share a number.
    value : float or None
        The fixed value; None for free rows and for exogenous moments, which the data fix.
    start : float or None
        The user's starting value.
    label : str
    user : bool
        Written by the user (True) or added as a default.
    exo : bool
        A moment of exogenous observed variables, fixed at its sample value.
    line, column : int
        Place in the model text; 0 for defaults.
    lower, upper : float or None
        Bounds.
    group : int
        Number of the group from 1.
    """

    lhs: str
    op: str
    rhs: str
    free: int
    value: float | None
    start: float | None
    label: str
    user: bool
    exo: bool
    line: int = 0
    column: int = 0
    lower: float | None = None
    upper: float | None = None
    group: int = 1

    @property
    def name(self) -> str:
        """The parameter as text, such as ``PC~NR``."""
        return f"{self.lhs}{self.op}{self.rhs}"

    @property
    def full_name(self) -> str:
        """The name with the group behind it as lavaan writes it, such as ``PC~NR.g2``; group 1 has none."""
        return self.name if self.group == 1 else f"{self.name}.g{self.group}"


@dataclass(frozen=True)
class ParameterTable:
    """The whole model as rows.

    Attributes
    ----------
    rows : tuple of Row
        User rows in the order of the text, then defaults.
    constraints : tuple of Constraint
        ``:=``, ``==``, ``<`` and ``>`` statements.
    observed, latents : tuple of str
        In lavaan's order: indicators, then endogenous, then exogenous, then other observed variables.
    exogenous : tuple of str
        Observed variables that only predict (lavaan's ``ov.x``).
    meanstructure, fixed_x : bool
    defaults : tuple of str
        One sentence for each default that was applied.
    text, file : str
        Where the table comes from.
    ordered : tuple of str
        The ordinal variables, in model order.
    parameterization : {"delta", "theta"}
        What of their scale is a parameter: the variance of the response behind each item, or its residual variance.
    auxiliary : tuple of str
        Observed variables that are no part of the model: see ``b2b_sem.spec.auxiliary``.
    groups : tuple of str
        Labels of the groups; empty with one group. Rows of group 1 stand first, then those of group 2, and so on.
    total : int or None
        Number of free parameters of the whole model, where the table is the part of one of several groups.
    """

    rows: tuple[Row, ...]
    constraints: tuple[Constraint, ...]
    observed: tuple[str, ...]
    latents: tuple[str, ...]
    exogenous: tuple[str, ...]
    meanstructure: bool
    fixed_x: bool
    defaults: tuple[str, ...]
    text: str
    file: str | None
    ordered: tuple[str, ...] = ()
    parameterization: str = "delta"
    auxiliary: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    total: int | None = None

    def part(self, group: int) -> ParameterTable:
        """Return the rows of one group as a table of one group.

        Its parameters keep their numbers, and ``nfree`` counts those of all groups, so that the parts of all groups
        read one vector of parameters. Constraints and definitions stay with the whole table.

        Parameters
        ----------
        group : int
            From 1.
        """
        if not self.groups:
            return self
        rows = tuple(r for r in self.rows if r.group == group)
        measured = {r.lhs for r in rows if r.op == "=~"}
        latents = tuple(v for v in self.latents if v in measured)
        return replace(self, rows=rows, latents=latents, constraints=(), groups=(), total=self.nfree)

    @property
    def modelled(self) -> tuple[str, ...]:
        """The observed variables of the model itself."""
        return tuple(v for v in self.observed if v not in self.auxiliary) if self.auxiliary else self.observed

    @property
    def nfree(self) -> int:
        """Number of free parameters before ``==`` constraints."""
        return max((r.free for r in self.rows), default=0) if self.total is None else self.total

    @property
    def definitions(self) -> tuple[Constraint, ...]:
        """The ``:=`` statements, each after those it uses."""
        return tuple(c for c in self.constraints if c.op == ":=")

    @property
    def equalities(self) -> tuple[Constraint, ...]:
        """The ``==`` statements."""
        return tuple(c for c in self.constraints if c.op == "==")

    @property
    def inequalities(self) -> tuple[Constraint, ...]:
        """The ``<`` and ``>`` statements."""
        return tuple(c for c in self.constraints if c.op in ("<", ">"))

    @property
    def bounded(self) -> tuple[Row, ...]:
        """The free rows with a lower or upper bound."""
        return tuple(r for r in self.rows if r.free and (r.lower is not None or r.upper is not None))

    def to_lavaan(self, values: Mapping[str, float] | None = None) -> str:
        """Write the table as lavaan syntax with every default spelled out.

        The text gives the same model under lavaan's bare ``lavaan()`` function (no automatic parameters) as the
        original gives under ``sem()``. Products that are variables of their own, ``PC:PX``, are called ``PC.PX``, as
        columns and latent variables of lavaan must be.

        Parameters
        ----------
        values : mapping, optional
            For rows whose value the data fix (``exo``): parameter name -> value (of groups: the name with its group,
            as ``x~~x.g2``). Such rows are left out without it.
        """
        lines = []
        group = 0
        plain = {v: v.replace(":", ".") for v in (*self.latents, *self.observed) if ":" in v}
        for row in self.rows:
            if self.groups and row.group != group:
                group = row.group
                lines.append(f"group: {group}")
            term = plain.get(row.rhs, row.rhs) or "1"
            value = row.value if values is None else values.get(row.full_name if self.groups else row.name, row.value)
            parts = []
            if not row.free:
                if value is None:
                    continue
                parts.append(f"{_number(value)}*{term}")
            elif row.op == "=~" or (row.start is None and not row.label and row.lower is None and row.upper is None):
                # the first loading is free only if NA says so
                parts.append(f"NA*{term}")
            if row.label:
                parts.append(f"{row.label}*{term}")
            if row.start is not None:
                parts.append(f"start({row.start!r})*{term}")
            if row.free:
                bounds = (("lower", row.lower), ("upper", row.upper))
                parts += [f"{name}({bound!r})*{term}" for name, bound in bounds if bound is not None]
            lines.append(f"{plain.get(row.lhs, row.lhs)} {row.op.replace('~1', '~')} " + " + ".join(parts))
        lines += [f"{ex.render(c.left)} {c.op} {ex.render(c.right)}" for c in self.constraints]
        return "\n".join(lines)


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


@dataclass(frozen=True)
class _Names:
    """Roles of the variables, as lavaan's ``lavNames`` gives them."""

    latents: list[str]
    observed: list[str]
    exogenous: list[str]
    exogenous_latents: list[str]
    outcomes: list[str]  # endogenous variables that neither predict nor indicate: latents first

    @classmethod
    def of(cls, entries: tuple[Entry, ...]) -> _Names:
        latents = _unique(e.lhs for e in entries if e.op == "=~")
        indicators = _unique(e.rhs for e in entries if e.op == "=~")
        endogenous = _unique(e.lhs for e in entries if e.op == "~")
        predictors = _unique(e.rhs for e in entries if e.op == "~")
        ov_ind = [v for v in indicators if v not in latents]
        ov_y = [v for v in endogenous if v not in latents and v not in ov_ind]
        ov_x = [v for v in predictors if v not in latents and v not in ov_ind and v not in ov_y]
        mentioned = [v for e in entries if e.op == "~~" for v in (e.lhs,)]
        mentioned += [e.rhs for e in entries if e.op == "~~"]
        mentioned += [e.lhs for e in entries if e.op == "~1"]
        observed = _unique([*ov_ind, *ov_y, *ov_x, *(v for v in mentioned if v not in latents)])
        used = set(indicators) | set(endogenous)
        final = [v for v in endogenous if v not in indicators and v not in predictors]
        return cls(
            latents,
            observed,
            [v for v in ov_x if v not in mentioned],
            [v for v in latents if v not in used],
            [v for v in latents if v in final] + [v for v in observed if v in final],
        )


def build_table(
    model: ParsedModel,
    *,
    meanstructure: bool | None = None,
    std_lv: bool = False,
    orthogonal: bool = False,
    fixed_x: bool = True,
    categories: Mapping[str, int] | None = None,
    parameterization: str = "delta",
    growth: bool = False,
    groups: Sequence[str] = (),
    group_equal: Iterable[str] = (),
    group_partial: Iterable[str] = (),
) -> ParameterTable:
    """Build the parameter table of a parsed model.

    Parameters
    ----------
    model : ParsedModel
    meanstructure : bool, optional
        Default: only if the model text names an intercept, or with several groups.
    std_lv, orthogonal, fixed_x : bool
        As in lavaan.
    categories : mapping of str to int, optional
        The ordinal variables, each with its number of categories in the data.
    parameterization : {"delta", "theta"}
        Of the ordinal variables.
    growth : bool
        Intercepts of observed variables are fixed at 0 and means of latent variables are free, unless the text says
        otherwise.
    groups : sequence of str
        Labels of the groups, if there are several.
    group_equal, group_partial : iterable of str
        What is equal in all groups, and the parameters that are not: see ``b2b_sem.spec.group``.

    Returns
    -------
    ParameterTable

    Raises
    ------
    ModelSyntaxError
        If a modifier has values for another number of groups, a label or ``equal()`` refers to nothing, a definition
        is circular or hides a label, or blocks and groups do not go together.
    """
    several = len(groups) > 1
    known = {*model.columns, *(e.lhs for e in model.entries if e.op == "=~")}
    product = next((e for e in model.entries if ":" in e.rhs and e.rhs not in known), None)
    if product is not None:
        raise Unsupported(
            f"the interaction '{product.rhs}' is not available here",
            file=model.file,
            line=product.line,
            column=product.column,
            hint="remove the term; products go with fit() and numbers as answers, and not with 'auto' or imputation",
        )
    models = models_of_groups(model, groups)
    names = _Names.of(models[0].entries)
    if not names.observed:
        raise ModelSyntaxError("the model has no observed variable", file=model.file)
    ordered = [v for v in names.observed if v in (categories or {})]
    _check_ordinal(model, ordered, categories or {}, parameterization)
    equal = Equality.of(group_equal, group_partial, several, bool(ordered))
    means = growth or any(e.op == "~1" for e in model.entries) or bool(ordered) or equal.needs_means
    means = means or (several if meanstructure is None else meanstructure)
    rows: list[Row] = []
    notes: list[str] = []
    latents: list[str] = []
    for g, own in enumerate(models, start=1):
        roles = _Names.of(own.entries)
        if own is not model:
            check_block(own, roles, names, equal, std_lv=std_lv)
        part, found = _single(
            own,
            roles,
            means,
            [v for v in roles.observed if v in ordered],
            categories or {},
            std_lv=std_lv,
            orthogonal=orthogonal,
            fixed_x=fixed_x,
            growth=growth,
            parameterization=parameterization,
        )
        if own is model:
            theta = parameterization == "theta"
            part = free_in_group(part, g, equal, names, ordered, std_lv=std_lv, growth=growth, theta=theta)
        else:
            part = [replace(r, group=g) for r in part]
        written = [_modify(r, e, model, g, len(groups)) for r, e in zip(part, own.entries, strict=False)]
        rows += [*written, *part[len(written) :]]
        notes += [n for n in found if n not in notes]
        latents += [v for v in roles.latents if v not in latents]
    if several:
        notes += describe_groups(equal, model, rows)
        rows = equal.tie(rows, names, ordered)
    rows = _number_free(_tie(_resolve_equal(rows, model)))
    constraints = check_constraints({r.label for r in rows if r.label}, model)
    return ParameterTable(
        tuple(rows),
        constraints,
        tuple(names.observed),
        tuple(latents),
        tuple(names.exogenous),
        means,
        fixed_x and bool(names.exogenous),
        tuple(notes),
        model.text,
        model.file,
        tuple(ordered),
        parameterization,
        groups=tuple(groups) if several else (),
    )


def _single(
    model: ParsedModel,
    names: _Names,
    means: bool,
    ordered: list[str],
    categories: Mapping[str, int],
    *,
    std_lv: bool,
    orthogonal: bool,
    fixed_x: bool,
    growth: bool,
    parameterization: str,
) -> tuple[list[Row], list[str]]:
    """Return the rows of one group before the user's modifiers, in the order of the text, then defaults; and notes."""
    order = {v: i for i, v in enumerate([*names.latents, *names.observed])}
    entries = [_ordered(e, order) for e in model.entries]
    rows = [Row(e.lhs, e.op, e.rhs, 1, None, None, "", True, False, e.line, e.column) for e in entries]
    given = {(r.lhs, r.op, r.rhs) for r in rows}
    rows += [
        Row(lhs, op, rhs, 1, None, None, "", False, False)
        for lhs, op, rhs in _defaults(names, means, {v: categories[v] for v in ordered})
        if (lhs, op, rhs) not in given
    ]
    rows, notes = _fix_defaults(
        rows, names, ordered, std_lv=std_lv, orthogonal=orthogonal, fixed_x=fixed_x, growth=growth
    )
    if ordered:
        rows = _fix_ordinal(rows, ordered)
        notes.append(_describe_ordinal(parameterization))
    return rows, notes


def ordinal_names(model: ParsedModel, ordered: Iterable[str] | bool) -> list[str]:
    """Return the variables to be treated as ordinal, in model order.

    Parameters
    ----------
    model : ParsedModel
    ordered : iterable of str, or bool
        Names; True for all observed variables that are measured or predicted. Variables with thresholds in the model
        text are ordinal in any case.

    Raises
    ------
    ModelSyntaxError
        If a name is not an observed variable of the model, or only predicts.
    """
    names = _Names.of(model.entries)
    stated = {e.lhs: e for e in model.entries if e.op in ("|", "~*~")}
    given = [] if isinstance(ordered, bool) else _unique(ordered)
    for name in [*given, *stated]:
        entry = stated.get(name)
        where: dict[str, Any] = {} if entry is None else {"line": entry.line, "column": entry.column}
        if name not in names.observed:
            raise ModelSyntaxError(
                f"the ordinal variable '{name}' is not an observed variable of the model."
                f"{did_you_mean(name, names.observed)}",
                file=model.file,
                hint="name columns that the model measures or predicts",
                **where,
            )
        if name in names.exogenous:
            raise ModelSyntaxError(
                f"'{name}' only predicts, and predictors are taken as numbers: it cannot be ordinal",
                file=model.file,
                hint=f"leave it out of ordered; use 0/1 columns for its categories, or measure it: 'f =~ {name}'",
                **where,
            )
    wanted = {*given, *stated}
    if ordered is True:
        wanted |= {v for v in names.observed if v not in names.exogenous}
    return [v for v in names.observed if v in wanted]


def _check_ordinal(
    model: ParsedModel, ordered: list[str], categories: Mapping[str, int], parameterization: str
) -> None:
    """Raise for statements on thresholds, scales and variances that do not go with the ordinal variables."""
    for e in model.entries:
        place: dict[str, Any] = {"file": model.file, "line": e.line, "column": e.column}
        if e.op in ("|", "~*~") and e.lhs not in ordered:
            raise Unsupported(
                f"thresholds and scales ('{e.op}') belong to ordinal variables, and '{e.lhs}' is not one here",
                hint=f"fit with ordered=['{e.lhs}', ...], or remove the statement",
                **place,
            )
        if e.op == "|" and int(e.rhs[1:]) >= categories[e.lhs]:
            raise ModelSyntaxError(
                f"{e.lhs} has {categories[e.lhs]} categories in the data, and so {categories[e.lhs] - 1} thresholds: "
                f"there is no {e.rhs}",
                hint="remove the statement, or check the answers",
                **place,
            )
        if e.lhs not in ordered:
            continue
        if e.op == "~*~" and parameterization == "theta":
            raise Unsupported(
                f"the scale of {e.lhs} follows from its residual variance in the theta parameterization",
                hint="remove the statement, or use parameterization='delta'",
                **place,
            )
        if e.op == "~~" and e.lhs == e.rhs and parameterization == "delta":
            raise Unsupported(
                f"the residual variance of the ordinal variable {e.lhs} is no parameter in the delta parameterization",
                hint="remove the statement, or use parameterization='theta'",
                **place,
            )


def _fix_ordinal(rows: list[Row], ordered: list[str]) -> list[Row]:
    """Fix what the thresholds leave undetermined: intercept 0, residual variance and scale 1."""
    known = set(ordered)

    def fix(row: Row) -> Row:
        if row.user or row.lhs not in known:
            return row
        if row.op == "~*~" or (row.op == "~~" and row.lhs == row.rhs):
            return replace(row, free=0, value=1.0)
        return replace(row, free=0, value=0.0) if row.op == "~1" else row

    return [fix(row) for row in rows]


def _describe_ordinal(parameterization: str) -> str:
    if parameterization == "theta":
        return "Residual variances of the responses behind ordinal items are fixed at 1 (theta), their intercepts at 0."
    return "Variances of the responses behind ordinal items are fixed at 1 (delta), their intercepts at 0."


def _ordered(entry: Entry, order: Mapping[str, int]) -> Entry:
    """Put the sides of a covariance in model order, so that each has one name."""
    if entry.op == "~~" and order[entry.lhs] > order[entry.rhs]:
        return replace(entry, lhs=entry.rhs, rhs=entry.lhs)
    return entry


def _defaults(names: _Names, means: bool, categories: Mapping[str, int]) -> list[tuple[str, str, str]]:
    """All rows that exist by default, in lavaan's order."""
    x = names.exogenous
    out = [(v, "|", f"t{k}") for v in categories for k in range(1, categories[v])]
    out += [(v, "~~", v) for v in names.observed if v not in x]
    out += [(v, "~~", v) for v in names.latents]
    out += [(a, "~~", b) for a, b in combinations(names.exogenous_latents, 2)]
    out += [(a, "~~", b) for a, b in combinations(names.outcomes, 2)]
    out += [(a, "~~", b) for i, a in enumerate(x) for b in x[i:]]
    out += [(v, "~*~", v) for v in categories]
    if means:
        out += [(v, "~1", "") for v in [*names.observed, *names.latents]]
    return out


def _fix_defaults(
    rows: list[Row],
    names: _Names,
    ordered: list[str],
    *,
    std_lv: bool,
    orthogonal: bool,
    fixed_x: bool,
    growth: bool,
) -> tuple[list[Row], list[str]]:
    latents, x = set(names.latents), set(names.exogenous)
    centred = set(names.observed) if growth else latents
    count = Counter(r.lhs for r in rows if r.op == "=~")
    times = Counter(r.rhs for r in rows if r.op == "=~")
    single = {r.rhs for r in rows if r.op == "=~" and count[r.lhs] == 1 and times[r.rhs] == 1} - {*ordered}
    seen: set[str] = set()
    out: list[Row] = []
    for row in rows:
        value: float | None = None
        exo = False
        fixed = False
        if row.op == "=~" and not std_lv and row.lhs not in seen:
            seen.add(row.lhs)
            value, fixed = 1.0, True
        elif row.op == "~~" and row.lhs == row.rhs:
            if std_lv and row.lhs in latents:
                value, fixed = 1.0, True
            elif not row.user and row.lhs in single:
                value, fixed = 0.0, True
        elif row.op == "~~" and not row.user and orthogonal and row.lhs in latents and row.rhs in latents:
            value, fixed = 0.0, True
        elif row.op == "~1" and not row.user and row.lhs in centred:
            value, fixed = 0.0, True
        if not row.user and fixed_x and row.op in ("~~", "~1") and row.lhs in x and (row.rhs or row.lhs) in x:
            value, fixed, exo = None, True, True
        out.append(replace(row, free=0, value=value, exo=exo) if fixed else row)
    notes = _describe(out, names, std_lv, orthogonal, single)
    return out, [*notes, *_describe_growth(out)] if growth else notes


def _describe_growth(rows: list[Row]) -> list[str]:
    """Name the intercepts that a growth model fixes and those it frees."""
    auto = [r for r in rows if r.op == "~1" and not r.user and not r.exo]
    zero, free = ([r.lhs for r in auto if bool(r.free) is wanted] for wanted in (False, True))
    notes = [f"Intercepts of observed variables are fixed at 0 (growth): {', '.join(zero)}."] if zero else []
    return notes + ([f"Means of latent variables are free (growth): {', '.join(free)}."] if free else [])


def _describe(rows: list[Row], names: _Names, std_lv: bool, orthogonal: bool, single: set[str]) -> list[str]:
    notes = []
    if names.latents:
        notes.append(
            "Variances of latent variables are fixed at 1 (std_lv)."
            if std_lv
            else "The first loading of each latent variable is fixed at 1."
        )
    auto = [r for r in rows if not r.user and r.op == "~~" and r.lhs != r.rhs]

    def pairs(group: list[str]) -> str:
        members = set(group)
        return ", ".join(f"{r.lhs} ~~ {r.rhs}" for r in auto if r.lhs in members and r.rhs in members)

    if orthogonal and any(r.lhs in names.latents for r in auto):
        notes.append("Covariances among latent variables are fixed at 0 (orthogonal).")
    elif text := pairs(names.exogenous_latents):
        notes.append(f"Exogenous latent variables covary: {text}.")
    outcomes = names.outcomes if not orthogonal else [v for v in names.outcomes if v not in names.latents]
    if text := pairs(outcomes):
        notes.append(f"Residuals of outcomes that predict nothing covary: {text}.")
    if any(r.exo for r in rows):
        notes.append(f"Exogenous observed variables are taken as fixed (fixed_x): {', '.join(names.exogenous)}.")
    elif text := pairs(names.exogenous):
        notes.append(f"Exogenous observed variables covary: {text}.")
    lone = [r.lhs for r in rows if r.op == "~~" and not r.user and r.lhs == r.rhs and r.lhs in single]
    if lone:
        notes.append(f"The residual variance of a single indicator is fixed at 0: {', '.join(lone)}.")
    return notes


def _modify(row: Row, entry: Entry, model: ParsedModel, group: int = 1, groups: int = 0) -> Row:
    mods = entry.modifiers
    for values in (mods.fixed, mods.start, mods.label, mods.lower, mods.upper):
        if len(values) > 1 and len(values) != groups:
            there = f"there are {groups}" if groups > 1 else "there is one"
            raise ModelSyntaxError(
                f"'{entry.text}' has modifiers for {len(values)} groups, but {there}",
                file=model.file,
                line=entry.line,
                column=entry.column,
                hint="give one value for all groups, or one for each of them: c(a, b)*x"
                if groups > 1
                else "give one value, or fit with group='column'",
            )
    mods = mods.of_group(group)
    if mods.fixed:
        value = mods.fixed[0]
        row = replace(row, free=int(value is None), value=value)
    if mods.start:
        row = replace(row, start=mods.start[0])
        if not row.free and not mods.fixed:
            # lavaan: a start value on a parameter fixed by default sets its value
            row = replace(row, value=mods.start[0], start=None)
    if mods.label:
        row = replace(row, label=mods.label[0])
    if mods.lower or mods.upper:
        row = replace(row, lower=next(iter(mods.lower), None), upper=next(iter(mods.upper), None))
        if row.lower is not None and row.upper is not None and row.lower > row.upper:
            raise ModelSyntaxError(
                f"the lower bound of '{entry.text}' ({row.lower:g}) is above the upper one ({row.upper:g})",
                file=model.file,
                line=entry.line,
                column=entry.column,
                hint="exchange the two",
            )
    return row


def _resolve_equal(rows: list[Row], model: ParsedModel) -> list[Row]:
    """Turn ``equal("f=~x1")`` into a label shared with that parameter."""
    index = {r.name: i for i, r in enumerate(rows)}
    index |= {f"{r.rhs}~~{r.lhs}": i for i, r in enumerate(rows) if r.op == "~~"}
    index |= {r.label: i for i, r in reversed(list(enumerate(rows))) if r.label}
    out = list(rows)
    for i, entry in enumerate(model.entries):
        target = entry.modifiers.equal
        if not target:
            continue
        j = index.get(target)
        if j is None:
            raise ModelSyntaxError(
                f'equal("{target}") names no parameter.{did_you_mean(target, index)}',
                file=model.file,
                line=entry.line,
                column=entry.column,
                hint='write the parameter as in the model, for example equal("F=~x1")',
            )
        label = out[j].label or f".p{j + 1}."
        out[j] = replace(out[j], label=label)
        out[i] = replace(out[i], label=label)
    return out


def _tie(rows: list[Row]) -> list[Row]:
    """Rows with one label: if any is fixed, all are fixed at the first fixed value."""
    fixed: dict[str, float | None] = {}
    count = Counter(r.label for r in rows if r.label)
    for row in rows:
        if row.label and count[row.label] > 1 and not row.free and row.label not in fixed:
            fixed[row.label] = row.value
    return [replace(r, free=0, value=fixed[r.label]) if r.label in fixed else r for r in rows]


def _number_free(rows: list[Row]) -> list[Row]:
    numbers: dict[str, int] = {}
    out = []
    for i, row in enumerate(rows):
        if row.free:
            key = row.label or f"#{i}"  # no label looks like this
            row = replace(row, free=numbers.setdefault(key, len(numbers) + 1))
        out.append(row)
    return out
