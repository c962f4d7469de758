"""Parameters of several groups: what equality frees, which rows are one parameter, by the rules of lavaan.

Every group has the same rows. ``group_equal`` names kinds of parameters that are one number in all groups:

* ``loadings``, ``intercepts`` (of observed variables), ``thresholds``, ``regressions``, ``residuals`` (variances of
  observed variables), ``residual.covariances``, ``means`` (of latent variables), ``lv.variances``, ``lv.covariances``;
* ``group_partial`` names parameters that are exempt, as ``"f=~x2"`` or ``"x2~1"``.

What equality identifies becomes free in all groups but the first: means of latent variables with equal intercepts or
thresholds, unless means are equal, too; variances of latent variables with equal loadings under ``std_lv``, unless
they are equal, too; scales of ordinal items (or their residual variances, in the theta parameterization) with equal
thresholds. With ordinal items equal thresholds include equal intercepts. A parameter the model text labels keeps its
labels: ``c(a, b)*x`` is not made equal. Where one of several equal parameters is fixed, all are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported, did_you_mean

if TYPE_CHECKING:
    from b2b_sem.spec.partable import Row, _Names
    from b2b_sem.spec.syntax import ParsedModel

__all__ = ["GROUP_EQUAL", "Equality", "check_block", "describe_groups", "free_in_group", "models_of_groups"]

#: What may be equal in all groups.
GROUP_EQUAL = (
    "loadings",
    "intercepts",
    "means",
    "thresholds",
    "regressions",
    "residuals",
    "residual.covariances",
    "lv.variances",
    "lv.covariances",
)


@dataclass(frozen=True)
class Equality:
    """What is equal in all groups.

    Attributes
    ----------
    kinds : tuple of str
        Of :data:`GROUP_EQUAL`, in that order.
    exempt : tuple of str
        Names of parameters without blanks.
    """

    kinds: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()

    @classmethod
    def of(cls, equal: Iterable[str], partial: Iterable[str], several: bool, ordinal: bool) -> Equality:
        """Check what a user asks for.

        Parameters
        ----------
        equal, partial : iterable of str
        several : bool
            Whether there is more than one group.
        ordinal : bool
            Whether the model has thresholds.

        Raises
        ------
        DataError
            If something is to be equal, and there is one group.
        Unsupported
            For an unknown kind, and for equal thresholds in a model without them.
        """
        wanted = [equal] if isinstance(equal, str) else [str(e) for e in equal]
        exempt = [partial] if isinstance(partial, str) else [str(p) for p in partial]
        for name, given in (("group_equal", wanted), ("group_partial", exempt)):
            if given and not several:
                raise DataError(
                    f"{name} compares groups, and there is one", hint=f"give group='column', or leave {name} out"
                )
        for kind in wanted:
            if kind not in GROUP_EQUAL:
                raise Unsupported(
                    f"group_equal='{kind}' is not available.{did_you_mean(kind, GROUP_EQUAL)}",
                    hint="use " + ", ".join(repr(k) for k in GROUP_EQUAL),
                )
        if "thresholds" in wanted and not ordinal:
            raise Unsupported(
                "group_equal='thresholds' needs ordinal items, and there are none",
                hint="use 'intercepts', or say which items are ordinal: ordered=[...]",
            )
        if ordinal and {"thresholds", "intercepts"} & set(wanted):
            wanted += ["thresholds", "intercepts"]
        return cls(tuple(k for k in GROUP_EQUAL if k in wanted), tuple(re.sub(r"\s+", "", e) for e in exempt))

    @property
    def needs_means(self) -> bool:
        """Whether the means must be modelled."""
        return "intercepts" in self.kinds or "means" in self.kinds

    def tie(self, rows: list[Row], names: _Names, ordered: Sequence[str]) -> list[Row]:
        """Give rows that are one parameter one label, or one value where one of them is fixed.

        Parameters
        ----------
        rows : list of Row
            Those of all groups.
        names : roles of the variables
            In the first group.
        ordered : sequence of str
        """
        self._check_exempt(rows)
        shared = {
            _cell(row) for row in rows if row.group == 1 and self._covers(row, names, ordered) and not self._frees(row)
        }
        members: dict[object, list[int]] = {}
        for i, row in enumerate(rows):
            key = row.label or (_cell(row) if _cell(row) in shared else i)
            members.setdefault(key, []).append(i)
        out = list(rows)
        for same in members.values():
            if len(same) < 2:
                continue
            fixed = next((rows[i] for i in same if not rows[i].free), None)
            for i in same:
                if fixed is not None:
                    out[i] = replace(out[i], free=0, value=fixed.value)
                elif not out[i].label:
                    out[i] = replace(out[i], label=f".p{same[0] + 1}.")
        return out

    def _covers(self, row: Row, names: _Names, ordered: Sequence[str]) -> bool:
        """Whether a row of the first group is to be equal; covariances of latent and observed are those of latents."""
        latent = row.lhs in names.latents
        modelled = not latent and row.lhs not in names.exogenous
        kind = {
            "=~": "loadings",
            "~": "regressions",
            "|": "thresholds" if row.lhs in ordered else "",
            "~1": "means" if latent else "intercepts" if modelled else "",
        }.get(row.op, "")
        if row.op == "~~" and row.lhs == row.rhs:
            kind = "lv.variances" if latent else "residuals" if modelled else ""
        elif row.op == "~~":
            kind = "lv.covariances" if latent else "residual.covariances" if modelled else ""
        return kind in self.kinds

    def _frees(self, row: Row) -> bool:
        return any(name in self.exempt for name in _spellings(row))

    def _check_exempt(self, rows: Sequence[Row]) -> None:
        known = [name for row in rows for name in _spellings(row)]
        for name in self.exempt:
            if name not in known:
                raise ModelSyntaxError(
                    f"group_partial='{name}' names no parameter.{did_you_mean(name, known)}",
                    hint="write it as in the model, for example 'F=~x2', 'x2~1' or 'x2|t1'",
                )


def _cell(row: Row) -> tuple[str, str, str]:
    """Return what a parameter is, whichever side of a covariance stands first."""
    lhs, rhs = sorted((row.lhs, row.rhs)) if row.op == "~~" else (row.lhs, row.rhs)
    return lhs, row.op, rhs


def _spellings(row: Row) -> Iterator[str]:
    yield row.name
    if row.op == "~~" and row.lhs != row.rhs:
        yield f"{row.rhs}~~{row.lhs}"


def models_of_groups(model: ParsedModel, groups: Sequence[str]) -> list[ParsedModel]:
    """Return the statements of each group: those of its block, or the whole model where there are no blocks.

    Parameters
    ----------
    model : ParsedModel
    groups : sequence of str
        Labels; a block names its group by label or by number from 1.

    Raises
    ------
    ModelSyntaxError
        If blocks and groups are not the same.
    """
    count = max(len(groups), 1)
    if not model.blocks:
        return [model] * count
    if len(groups) < 2:
        raise ModelSyntaxError(
            "the model has blocks for groups, but there is one group",
            file=model.file,
            hint="fit with group='column', or write the model without 'group:'",
        )
    labels = [str(g) for g in groups]
    numbers = [str(g) for g in range(1, count + 1)]
    shown = ", ".join(f"{i} ({label})" for i, label in enumerate(labels, start=1))
    ways = [known for known in (numbers, labels) if set(model.blocks) <= set(known)]
    if not ways:
        known = labels if set(model.blocks) & set(labels) else numbers
        name = next(b for b in model.blocks if b not in known)
        raise ModelSyntaxError(
            f"the block 'group: {name}' names no group; the groups are {shown}.{did_you_mean(name, labels)}",
            file=model.file,
            hint="give each group one block, all by their numbers or all by their labels",
        )
    if len(ways) == 2 and any(numbers.index(b) != labels.index(b) for b in model.blocks):
        raise ModelSyntaxError(
            f"the names of the blocks may be numbers or labels, which are not the same: the groups are {shown}",
            file=model.file,
            hint="sort the rows of the data so that the groups come in the order of their labels, or use other labels",
        )
    if absent := [label for own, label in zip(ways[0], labels, strict=True) if own not in model.blocks]:
        raise ModelSyntaxError(
            f"there is no block for {', '.join(absent)}",
            file=model.file,
            hint="give each group one block: 'group: 1', its statements, 'group: 2', and so on",
        )
    found = {g: model.blocks.index(name) + 1 for g, name in enumerate(ways[0], start=1)}
    return [replace(model, entries=tuple(e for e in model.entries if e.block == found[g])) for g in range(1, count + 1)]


def check_block(model: ParsedModel, names: _Names, first: _Names, equal: Equality, *, std_lv: bool) -> None:
    """Refuse what is not available where groups have models of their own.

    Raises
    ------
    Unsupported
        If observed variables, or those that only predict, are not those of the first group; if equality would have to
        free parameters, which it does only where all groups have the same model.
    """
    for what, own, wanted in (
        ("observed variables", names.observed, first.observed),
        ("variables that only predict", names.exogenous, first.exogenous),
    ):
        if set(own) != set(wanted):
            other = sorted(set(own) ^ set(wanted))
            raise Unsupported(
                f"the blocks of the groups differ in their {what}: {', '.join(other)}",
                file=model.file,
                line=model.entries[0].line if model.entries else None,
                hint="use the same variables in all blocks",
            )
    kinds = set(equal.kinds)
    freeing = {"intercepts", "thresholds"} & kinds and "means" not in kinds
    if freeing or (std_lv and "loadings" in kinds and "lv.variances" not in kinds):
        raise Unsupported(
            "with a block for each group, equality does not free the means and variances that it identifies",
            file=model.file,
            hint="give equal parameters the same label in each block, and free means by 'f ~ NA*1'",
        )


def free_in_group(
    rows: list[Row],
    group: int,
    equal: Equality,
    names: _Names,
    ordered: Sequence[str],
    *,
    std_lv: bool,
    growth: bool,
    theta: bool,
) -> list[Row]:
    """Return the rows of one group, before the user's modifiers: free where equality with the first identifies them.

    Parameters
    ----------
    rows : list of Row
        Those of a model with one group.
    group : int
        From 1.
    equal : Equality
    names : roles of the variables
    ordered : sequence of str
    std_lv, growth : bool
        As in :func:`b2b_sem.spec.partable.build_table`.
    theta : bool
        Whether residual variances of ordinal items are parameters, rather than their scales.
    """
    if group == 1:
        return rows
    latents = set(names.latents)
    kinds = set(equal.kinds)
    means = not growth and bool({"intercepts", "thresholds"} & kinds) and "means" not in kinds
    variances = std_lv and "loadings" in kinds and "lv.variances" not in kinds
    scales = "thresholds" in kinds

    def wanted(row: Row) -> bool:
        own = row.lhs == row.rhs
        if row.lhs in latents and not row.user:
            return (means and row.op == "~1") or (variances and own and row.op == "~~")
        return scales and row.lhs in ordered and own and row.op == ("~~" if theta else "~*~")

    return [replace(row, free=1, value=None, group=group) if wanted(row) else replace(row, group=group) for row in rows]


def describe_groups(equal: Equality, model: ParsedModel, rows: Sequence[Row]) -> list[str]:
    """Return one sentence for each thing that is equal, and for each thing that this frees.

    Raises
    ------
    Unsupported
        For ``equal()``, which would tie parameters of some groups only.
    """
    for entry in model.entries:
        if entry.modifiers.equal:
            raise Unsupported(
                "equal() is not available with several groups",
                file=model.file,
                line=entry.line,
                column=entry.column,
                hint="give both parameters labels, one for each group: c(a, b)*x",
            )
    notes = []
    if equal.kinds:
        exempt = f", except {', '.join(equal.exempt)}" if equal.exempt else ""
        notes.append(f"Equal in all groups: {', '.join(equal.kinds)}{exempt}.")
    single = list(
        dict.fromkeys(label for e in model.entries for label in e.modifiers.label if len(e.modifiers.label) == 1)
    )
    if single:
        notes.append(f"Labels given once hold in all groups, which makes their parameters equal: {', '.join(single)}.")
    fixed = {r.name for r in rows if r.group == 1 and not r.free}
    freed = [r for r in rows if r.group == 2 and r.free and r.name in fixed and not r.user]
    for op, what in (("~1", "Means of latent variables"), ("~~", "Variances"), ("~*~", "Scales of ordinal items")):
        if found := [r.lhs for r in freed if r.op == op]:
            notes.append(f"{what} are free in all groups but the first: {', '.join(found)}.")
    return notes
