"""Modification indices and score tests of a fitted model, without refitting it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from b2b_sem.analysis.fitted import Context, context_of
from b2b_sem.engine.base import Array
from b2b_sem.engine.candidate import absent_parameters, standardizing_factors
from b2b_sem.engine.extension import LEAST_SHARE, Extension, Joint, extend, joint, profile
from b2b_sem.engine.group import GroupProblem
from b2b_sem.engine.group_extension import GroupExtension, extend_groups
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.constraint import label_values
from b2b_sem.engine.ordinal_extension import OrdinalExtension, extend_ordinal
from b2b_sem.engine.problem import Problem
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import ModelError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.measures.multiplicity import false_discovery
from b2b_sem.results.columns import MODIFICATION_COLUMNS
from b2b_sem.results.fit import FitResult
from b2b_sem.results.test import ScoreTest
from b2b_sem.spec import expression as ex
from b2b_sem.spec.partable import ParameterTable, Row
from b2b_sem.spec.syntax import Entry, parse_model

__all__ = ["extension_of", "modification_indices", "score_test", "tangent_of", "usable"]

#: Group from 1, then lhs, op, rhs.
Key = tuple[int, str, str, str]
OPERATORS = ("=~", "~", "~~", "~1", "|", "~*~")


def usable(fit: FitResult, what: str) -> Context:
    """Return the context of a fit whose solution a test can start from.

    Raises
    ------
    ModelError
        If the fit did not converge or the model is not identified.
    Unsupported
        For another estimator than maximum likelihood, for inequality constraints, and for a result without its data.
    """
    context = context_of(fit)
    if not fit.converged or not fit.identified:
        raise ModelError(f"{what} cannot be computed: {fit.failure}", hint="fit a simpler model first")
    options, table = context.problem.options, context.problem.table
    if table.ordered:
        return context
    # as in lavaan, score tests rest on the expected information, also where errors rest on the observed one
    casewise = options.missing != "listwise" and options.information == "observed"
    plain = options.se in ("standard", "none")
    if options.estimator != "ML" or not (options.information == "expected" or (casewise and plain)):
        raise Unsupported(
            f"{what} are not available for the estimator {fit.estimator} with {options.information} information",
            hint="fit the model with estimator='ML'",
        )
    weights = [part.moments.weight for part in getattr(context.problem, "parts", (context.problem,))]
    if any(isinstance(w, Casewise) and not w.incomplete.patterns[:, list(w.given)].all() for w in weights):
        raise Unsupported(
            f"{what} are not available where exogenous variables taken as fixed have missing values",
            hint="fit the model with fixed_x=False, or with missing='fiml'",
        )
    if table.inequalities or table.bounded:
        raise Unsupported(
            f"{what} are not available for a model with inequality constraints or bounds",
            hint="leave them out, or turn those that hold exactly into '=='",
        )
    return context


def tangent_of(context: Context, extension: Extension) -> Array:
    """Return the directions the model may move in, as changes of its entries and of the exogenous moments."""
    q = context.problem.table.nfree
    pick = (extension.parameter[extension.own][:, None] == np.arange(q)).astype(float)
    constraints = context.problem.constraints
    free = pick if constraints is None else pick @ constraints.basis
    nuisance = len(extension.nuisance)
    out = np.zeros((len(free) + nuisance, free.shape[1] + nuisance))
    out[: len(free), : free.shape[1]] = free
    out[len(free) :, free.shape[1] :] = np.eye(nuisance)
    return out


def extension_of(problem: Problem, theta: Array, *, absent: bool) -> Extension:
    """Return the model with a place for what it fixes and, if wanted, for what it does not have."""
    make = extend_ordinal if problem.table.ordered else extend
    if isinstance(problem, GroupProblem):
        added = [absent_parameters(p.table) for p in problem.parts] if absent else None
        return extend_groups(problem, theta, added, make)
    return make(problem, theta, absent_parameters(problem.table) if absent else ())


def _extend_by(problem: Problem, theta: Array, keys: Sequence[Key]) -> Extension:
    """Return the model with a place for the parameters named."""
    known = {(r.group, r.lhs, r.op, r.rhs) for r in problem.table.rows}
    new = [k for k in keys if k not in known]
    make = extend_ordinal if problem.table.ordered else extend
    if isinstance(problem, GroupProblem):
        groups = range(1, len(problem.parts) + 1)
        return extend_groups(problem, theta, [[k[1:] for k in new if k[0] == g] for g in groups], make)
    return make(problem, theta, [k[1:] for k in new])


def _factors(context: Context, extension: Extension) -> tuple[Array, Array, Array]:
    if isinstance(extension, GroupExtension):
        assert isinstance(context.problem, GroupProblem)
        parts = [
            _part_factors(part.table, own) for part, own in zip(context.problem.parts, extension.parts, strict=True)
        ]
        pairs = list(zip(extension.member, extension.local, strict=True))
        lv, full, nox = (np.array([parts[g][kind][k] for g, k in pairs]) for kind in range(3))
        return lv, full, nox
    return _part_factors(context.problem.table, extension)


def _part_factors(table: ParameterTable, extension: Extension) -> tuple[Array, Array, Array]:
    if isinstance(extension, OrdinalExtension):
        return extension.factors
    values = {r.lhs: float(r.value or 0.0) for r in extension.rows if r.op == "~~" and r.lhs == r.rhs}
    return standardizing_factors(table, extension.rows, extension.point.implied, values)


def modification_indices(
    fit: FitResult,
    *,
    sort: bool = False,
    minimum: float = 0.0,
    op: str | Sequence[str] | None = None,
    constrained: bool = False,
) -> pd.DataFrame:
    """Return the modification index and the expected change of every parameter the model fixes or leaves out.

    See :meth:`b2b_sem.analysis.fitted.Fit.modification_indices`.
    """
    wanted = _operators(op)
    rows, mi, epc, factors = _candidates(fit, constrained)
    lv, full, nox = factors
    pvalue = special.chdtrc(1, mi)
    known = np.isfinite(mi)
    table = pd.DataFrame(
        {
            "lhs": [r.lhs for r in rows],
            "op": [r.op for r in rows],
            "rhs": [r.rhs for r in rows],
            "group": [r.group for r in rows],
            "mi": mi,
            "epc": epc,
            "sepc_lv": epc * lv,
            "sepc_all": epc * full,
            "sepc_nox": epc * nox,
            "pvalue": pvalue,
            "pvalue_bonferroni": np.minimum(1.0, pvalue * max(int(known.sum()), 1)),
            "pvalue_fdr": false_discovery(np.where(known, pvalue, np.nan)),
        },
        columns=list(MODIFICATION_COLUMNS),
    )
    keep = known & (mi >= minimum) & table["op"].isin(wanted).to_numpy()
    table = table[keep]
    if sort:
        table = table.sort_values("mi", ascending=False, kind="stable")
    return table.reset_index(drop=True)


def _candidates(fit: FitResult, constrained: bool) -> tuple[list[Row], Array, Array, tuple[Array, ...]]:
    """Return rows, index, expected change and standardizing factors of what a model fixes or leaves out."""
    context = usable(fit, "modification indices")
    problem = context.problem
    with single_thread():
        extension = extension_of(problem, context.solution.theta, absent=True)
        entries = extension.extra
        if constrained:
            shared = np.bincount(extension.parameter[extension.own], minlength=problem.table.nfree) > 1
            own = extension.own
            entries = np.sort(np.concatenate([entries, own[shared[extension.parameter[own]]]]))
        found = profile(extension, tangent_of(context, extension), entries)
    mi = problem.nobs * found.score**2 / found.variance
    factors = tuple(f[entries] for f in _factors(context, extension))
    return [extension.rows[e] for e in entries], mi, found.score / found.variance, factors


def _operators(op: str | Sequence[str] | None) -> tuple[str, ...]:
    wanted = OPERATORS if op is None else (op,) if isinstance(op, str) else tuple(op)
    for name in wanted:
        if name not in OPERATORS:
            raise ModelSyntaxError(f"'{name}' is not an operator of parameters", hint=f"use {', '.join(OPERATORS)}")
    return wanted


def score_test(
    fit: FitResult,
    add: str | None = None,
    *,
    release: Iterable[int | str] | None = None,
) -> ScoreTest:
    """Test what releasing equality constraints, or adding parameters, would change.

    See :meth:`b2b_sem.analysis.fitted.Fit.score_test`.
    """
    context = usable(fit, "score tests")
    problem = context.problem
    if add is not None and release is not None:
        raise ModelSyntaxError("add and release are both given", hint="use one of them at a time")
    with single_thread():
        if add is not None:
            keys = _parameters(problem, add)
            extension = _extend_by(problem, context.solution.theta, keys)
            at = {(r.group, r.lhs, r.op, r.rhs): i for i, r in enumerate(extension.rows)}
            missing = [k for k in keys if k not in at]
            if missing:
                raise ModelSyntaxError(
                    f"'{_text(missing[0][1:])}' is another way to write a parameter of the model", hint="leave it out"
                )
            entries = np.array([at[k] for k in keys], dtype=np.intp)
            head = [(extension.rows[e].full_name, "==", "0") for e in entries]
            found = joint(extension, tangent_of(context, extension), entries, np.eye(len(keys)))
        else:
            extension = extension_of(problem, context.solution.theta, absent=False)
            constraints = _constraints(problem.table, extension)
            tested = _chosen(constraints, release)
            # a step that breaks one constraint by 1 and keeps the others
            inverse = np.linalg.pinv(np.array([c.gradient for c in constraints]))[:, tested]
            head = [(constraints[i].lhs, "==", constraints[i].rhs) for i in tested]
            found = joint(extension, tangent_of(context, extension), extension.own, inverse)
        return _score_result(context, extension, head, found)


def _score_result(context: Context, extension: Extension, head: list[tuple[str, str, str]], found: Joint) -> ScoreTest:
    n = context.problem.nobs
    variance = np.where(found.known, np.diag(found.variance), np.nan)
    single = n * found.score**2 / variance
    table = pd.DataFrame(head, columns=["lhs", "op", "rhs"])
    univariate = table.assign(chisq=single, df=1, pvalue=special.chdtrc(1, single), epc=found.score / variance)
    # whitened in the order of the univariate tests: partial sums of squares are the cumulative tests
    order = np.argsort(-np.where(found.known, single, -np.inf), kind="stable")[: int(found.known.sum())]
    scale = np.sqrt(variance[order])
    white, used = _whiten(found.variance[np.ix_(order, order)] / np.outer(scale, scale), found.score[order] / scale)
    running, df = n * np.cumsum(white**2), np.cumsum(used)
    cumulative = table.iloc[order].assign(chisq=running, df=df, pvalue=special.chdtrc(df, running))
    kept = order[used]
    step = np.zeros(len(head))
    step[kept] = np.linalg.solve(found.variance[np.ix_(kept, kept)], found.score[kept])
    total = float(running[-1]) if len(kept) else float("nan")
    count = len(kept)
    notes = []
    if count < len(head):
        unknown = [f"{a} {op} {b}" for i, (a, op, b) in enumerate(head) if i not in set(kept.tolist())]
        notes.append(
            f"Not identified if released, and left out of the total test: {', '.join(unknown)}: the model needs them."
        )
    return ScoreTest(
        total,
        count,
        float(special.chdtrc(count, total)) if count else float("nan"),
        tuple(notes),
        univariate,
        cumulative.reset_index(drop=True),
        _expected_change(context, extension, head, found.follow @ step),
    )


def _whiten(variance: Array, score: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return scores made independent one after the other (Cholesky), and which of them say something new."""
    count = len(score)
    white, used = np.zeros(count), np.zeros(count, dtype=bool)
    left, rest = variance.copy(), score.copy()
    for i in range(count):
        if left[i, i] <= LEAST_SHARE:
            continue
        used[i] = True
        column = left[:, i] / np.sqrt(left[i, i])
        white[i] = rest[i] / np.sqrt(left[i, i])
        rest = rest - column * white[i]
        left = left - np.outer(column, column)
    return white, used


def _expected_change(
    context: Context, extension: Extension, head: list[tuple[str, str, str]], change: Array
) -> pd.DataFrame:
    names = {lhs for lhs, _, _ in head}
    at = [
        i
        for i, row in enumerate(extension.rows)
        if extension.parameter[i] >= -1 and (extension.parameter[i] >= 0 or row.full_name in names)
    ]
    rows = [extension.rows[i] for i in at]
    est = np.array([float(r.value or 0.0) for r in rows])
    lv, full, nox = (f[at] for f in _factors(context, extension))
    epc = change[at]
    return pd.DataFrame(
        {
            "lhs": [r.lhs for r in rows],
            "op": [r.op for r in rows],
            "rhs": [r.rhs for r in rows],
            "group": [r.group for r in rows],
            "label": [r.label for r in rows],
            "est": est,
            "epc": epc,
            "epv": est + epc,
            "sepc_lv": epc * lv,
            "sepc_all": epc * full,
            "sepc_nox": epc * nox,
        }
    )


def _parameters(problem: Problem, text: str) -> list[Key]:
    """Return the parameters that a text of model syntax names, each as a row that the model does not have free.

    With several groups those of every group, or of the groups that the text has blocks for; what is free in some of
    them is left out there.
    """
    parsed = parse_model(text)
    if parsed.constraints or not parsed.entries:
        raise ModelSyntaxError("add names parameters only", hint="write them as in a model: 'F =~ x5; x1 ~~ x2'")
    tables = [part.table for part in problem.parts] if isinstance(problem, GroupProblem) else [problem.table]
    blocks = [_block(name, problem.table.groups) for name in parsed.blocks]
    out = []
    for entry in parsed.entries:
        groups = [blocks[entry.block - 1]] if blocks else range(1, len(tables) + 1)
        found = {g: _parameter(tables[g - 1], entry) for g in groups}
        absent = [(g, *key) for g, (key, taken) in found.items() if not taken]
        if not absent:
            key, taken = next(iter(found.values()))
            raise ModelSyntaxError(
                f"'{_text(key)}' is already {taken} in the model",
                hint="name parameters that are fixed or absent",
                line=entry.line,
                column=entry.column,
            )
        out += absent
    return out


def _block(name: str, groups: Sequence[str]) -> int:
    """Return the number of the group that a block names by label or number."""
    if name in groups:
        return groups.index(name) + 1
    if name.isdigit() and 1 <= int(name) <= len(groups):
        return int(name)
    raise ModelSyntaxError(
        f"the block 'group: {name}' names no group of the fit.{did_you_mean(name, groups)}",
        hint=f"use one of {', '.join(groups)}" if groups else "leave the blocks out: the fit has one group",
    )


def _parameter(table: ParameterTable, entry: Entry) -> tuple[tuple[str, str, str], str]:
    """Return the row that a statement names in one group, and what it is there if it cannot be added."""
    order = {v: i for i, v in enumerate([*table.latents, *table.observed])}
    where: dict[str, Any] = {"line": entry.line, "column": entry.column}
    for name in filter(None, (entry.lhs, entry.rhs)):
        if name not in order:
            raise ModelSyntaxError(
                f"'{name}' is not a variable of the model.{did_you_mean(name, order)}",
                hint="a score test adds parameters, not variables",
                **where,
            )
    if entry.op == "=~" and entry.lhs not in table.latents:
        raise ModelSyntaxError(f"'{entry.lhs}' is not a latent variable of the model", **where)
    if entry.op == "~1" and not table.meanstructure:
        raise ModelSyntaxError("the model has no mean structure", hint="fit with meanstructure=True", **where)
    key = (entry.lhs, entry.op, entry.rhs)
    if entry.op == "~~" and order[entry.lhs] > order[entry.rhs]:
        key = (entry.rhs, entry.op, entry.lhs)
    rows = {(r.lhs, r.op, r.rhs): r for r in table.rows}
    row = rows.get(key) or (rows.get((key[2], key[1], key[0])) if entry.op == "~~" else None)
    if row is None:
        return key, ""
    return (row.lhs, row.op, row.rhs), "free" if row.free else "as in the data" if row.exo else ""


def _text(key: tuple[str, str, str]) -> str:
    return f"{key[0]} ~ 1" if key[1] == "~1" else " ".join(key)


@dataclass(frozen=True)
class _Constraint:
    """One equality of the model: its gradient in the model's own entries, and its names."""

    gradient: Array
    lhs: str
    rhs: str
    label: str = ""


def _constraints(table: ParameterTable, extension: Extension) -> list[_Constraint]:
    """Return all equalities without redundant ones, ``==`` statements first and equal labels after them."""
    own = extension.own
    count = len(own)
    # free rows are the first entries, in the order of the table
    pick = np.zeros((len(table.rows), count))
    pick[own, np.arange(count)] = 1.0
    values = np.array([float(r.value or 0.0) for r in extension.rows[: len(table.rows)]])
    stated = []
    if table.equalities:
        known = label_values(table, values, pick, table.definitions, undefined_as_nan=True)
        for statement in table.equalities:
            (_, da), (_, db) = ex.evaluate(statement.left, known), ex.evaluate(statement.right, known)
            stated.append(_Constraint(np.zeros(count) + da - db, ex.render(statement.left), statement.text))
    tied = []
    first: dict[int, int] = {}
    for k, entry in enumerate(own):
        j = first.setdefault(int(extension.parameter[entry]), k)
        if j != k:
            gradient = np.zeros(count)
            gradient[j], gradient[k] = 1.0, -1.0
            tied.append(
                _Constraint(
                    gradient,
                    extension.rows[own[j]].full_name,
                    extension.rows[entry].full_name,
                    extension.rows[entry].label,
                )
            )
    kept = _independent([*tied, *stated])
    return [c for c in kept if not c.label] + [c for c in kept if c.label]


def _independent(constraints: list[_Constraint]) -> list[_Constraint]:
    """Leave out constraints that follow from those before them."""
    kept: list[_Constraint] = []
    basis: list[Array] = []
    for constraint in constraints:
        rest = constraint.gradient
        size = float(np.linalg.norm(rest))
        for b in basis * 2:  # twice: rounding
            rest = rest - (rest @ b) * b
        if size > 0 and np.linalg.norm(rest) > 1e-10 * size:
            basis.append(rest / np.linalg.norm(rest))
            kept.append(constraint)
    return kept


def _chosen(constraints: list[_Constraint], release: Iterable[int | str] | None) -> list[int]:
    if not constraints:
        raise ModelError(
            "the model has no equality constraint to release",
            hint="name parameters to add: fit.score_test(add='F =~ x5')",
        )
    if release is None:
        return list(range(len(constraints)))
    out: list[int] = []
    texts = [f"{c.lhs}=={c.rhs}".replace(" ", "") for c in constraints]
    for item in [release] if isinstance(release, int | str) else release:
        if isinstance(item, str):
            text = item.replace(" ", "")
            found = [i for i, c in enumerate(constraints) if text in (c.label, texts[i])]
        else:
            found = [item - 1] if 1 <= item <= len(constraints) else []
        if not found:
            known = [*texts, *(c.label for c in constraints if c.label)]
            raise ModelSyntaxError(
                f"'{item}' is no equality constraint of the model.{did_you_mean(str(item), known)}",
                hint=f"give a number from 1 to {len(constraints)}, a label, or one of: {', '.join(texts[:4])}",
            )
        out += [i for i in found if i not in out]
    return out
