"""Definitions and constraints of a model: every name refers to something, in an order that can be computed."""

from __future__ import annotations

from collections.abc import Collection

from b2b_sem.errors import ModelSyntaxError, did_you_mean
from b2b_sem.spec import expression as ex
from b2b_sem.spec.syntax import Constraint, ParsedModel

__all__ = ["check_constraints"]


def check_constraints(labels: Collection[str], model: ParsedModel) -> tuple[Constraint, ...]:
    """Return the definitions, each after those it uses, then the other constraints.

    Parameters
    ----------
    labels : collection of str
        Labels of parameters.
    model : ParsedModel

    Raises
    ------
    ModelSyntaxError
        If a definition hides a label or another one or refers to itself, or a name is not known.
    """
    defined: dict[str, Constraint] = {}
    for constraint in model.constraints:
        if constraint.op != ":=":
            continue
        name = constraint.name
        if name in labels or name in defined:
            raise ModelSyntaxError(
                f"'{name}' is defined twice" if name in defined else f"'{name}' is already the label of a parameter",
                file=model.file,
                line=constraint.line,
                column=constraint.column,
                hint="choose another name",
            )
        defined[name] = constraint
    known = set(labels) | set(defined)
    for constraint in model.constraints:
        sides = [constraint.right] if constraint.op == ":=" else [constraint.left, constraint.right]
        for reference in (n for side in sides for n in ex.names(side)):
            if reference.name not in known:
                raise ModelSyntaxError(
                    f"'{reference.name}' is not the label of any parameter.{did_you_mean(reference.name, known)}",
                    file=model.file,
                    line=reference.line,
                    column=reference.column,
                    hint=f"label the parameter first, for example 'y ~ {reference.name}*x'",
                )
    return (*_sorted(defined, model), *(c for c in model.constraints if c.op != ":="))


def _sorted(defined: dict[str, Constraint], model: ParsedModel) -> list[Constraint]:
    """Order definitions so that each stands after those it uses."""
    out: dict[str, Constraint] = {}
    open_: set[str] = set()

    def visit(name: str) -> None:
        if name in out:
            return
        constraint = defined[name]
        if name in open_:
            raise ModelSyntaxError(
                f"the definition of '{name}' refers to itself",
                file=model.file,
                line=constraint.line,
                column=constraint.column,
            )
        open_.add(name)
        for reference in ex.names(constraint.right):
            if reference.name in defined:
                visit(reference.name)
        out[name] = constraint

    for name in defined:
        visit(name)
    return list(out.values())
