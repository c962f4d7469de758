"""From inference to the result that a user gets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.analysis.fitted import Context, Fit
from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, EngineFit
from b2b_sem.engine.group import GroupInference, GroupProblem
from b2b_sem.engine.inference import Inference, Tested
from b2b_sem.engine.problem import Problem
from b2b_sem.results.columns import PARAMETER_COLUMNS, STANDARDIZED_COLUMNS
from b2b_sem.results.fit import ModelInfo, OptimizerInfo
from b2b_sem.spec.partable import ParameterTable

__all__ = ["assemble", "input_warnings", "make_fit", "parameter_tables"]


def make_fit(
    table: ParameterTable,
    observed: Observed,
    problem: Problem,
    solution: EngineFit,
    inference: Inference,
    settings: Mapping[str, Any],
    notes: tuple[str, ...],
    kind: type[Fit] = Fit,
) -> Fit:
    """Return the result of a fit.

    Parameters
    ----------
    table : ParameterTable
    observed : Observed
    problem : Problem
    solution : EngineFit
    inference : Inference
    settings : mapping
        Options as they were used.
    notes : tuple of str
    kind : type
        What the result can be asked.
    """
    names, latents = list(table.observed), list(table.latents)
    implied = inference.implied
    k = len(latents)

    def labelled(matrix: Array, labels: list[str]) -> pd.DataFrame:
        return pd.DataFrame(matrix, index=labels, columns=labels)

    mean = problem.moments.mean
    return assemble(
        problem,
        table.to_lavaan(problem.fixed),
        observed,
        solution,
        inference,
        settings,
        notes,
        kind,
        _r2=MappingProxyType(inference.r2),
        _sample_cov=labelled(problem.moments.cov, names),
        _implied_cov=labelled(implied.sigma, names),
        _latent_cov=labelled(implied.eta_cov[:k, :k], latents),
        _sample_mean=None if mean is None else pd.Series(mean, index=names),
        _implied_mean=None if implied.mu is None else pd.Series(implied.mu, index=names),
    )


def assemble(
    problem: Problem | GroupProblem,
    syntax: str,
    observed: Observed,
    solution: EngineFit,
    inference: Inference | GroupInference,
    settings: Mapping[str, Any],
    notes: tuple[str, ...],
    kind: type[Fit] = Fit,
    **moments: Any,
) -> Fit:
    """Return the result of a fit of one group or several; `moments` are the fields that differ between the two."""
    table = problem.table
    parameters, standardized = parameter_tables(table, inference.raw, inference.std_lv, inference.std_all)
    return kind(
        model=ModelInfo(
            table.text, syntax, table.defaults, table.modelled, table.latents, MappingProxyType(dict(settings))
        ),
        estimator=settings["estimator"],
        engine=solution.engine,
        converged=solution.converged,
        identified=inference.identified,
        admissible=inference.admissible,
        nobs=observed.nobs,
        n_read=observed.n_read,
        n_dropped=observed.n_dropped,
        optimizer=OptimizerInfo(solution.iterations, solution.gradient, solution.polish, solution.message),
        # values that look like undeclared missing codes come first: they are the usual cause of what follows
        warnings=(*observed.warnings, *inference.warnings, *input_warnings(table, observed)),
        notes=(*observed.notes, *notes),
        _measures=MappingProxyType(inference.measures),
        _parameters=parameters,
        _standardized=standardized,
        _context=Context(problem, observed, solution, inference.vcov),
        **moments,
    )


def parameter_tables(
    table: ParameterTable, raw: Tested, std_lv: Array, std: Tested
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the parameters and the standardized solution: rows of the table, then its definitions."""
    rows = [(r.lhs, r.op, r.rhs, r.group, r.label, r.free) for r in table.rows]
    rows += [(d.name, ":=", d.text, 0, d.name, 0) for d in table.definitions]
    head = dict(zip(("lhs", "op", "rhs", "group", "label", "free"), zip(*rows, strict=True), strict=True))
    wald = {"se": raw.se, "z": raw.z, "pvalue": raw.pvalue, "ci_lower": raw.lower, "ci_upper": raw.upper}
    parameters = pd.DataFrame(
        {**head, "est": raw.value, **wald, "std_lv": std_lv, "std_all": std.value},
        columns=list(PARAMETER_COLUMNS),
    )
    wald = {"se": std.se, "z": std.z, "pvalue": std.pvalue, "ci_lower": std.lower, "ci_upper": std.upper}
    standardized = pd.DataFrame({**head, "est_std": std.value, **wald}, columns=list(STANDARDIZED_COLUMNS))
    return parameters, standardized


def input_warnings(table: ParameterTable, observed: Observed) -> tuple[str, ...]:
    """Name what is probably a mistake of the user, although a model was fitted."""
    out = []
    variables = {*table.observed, *table.latents}
    for row in table.rows:
        if row.user and row.group == 1 and row.label in variables:
            target = row.rhs or "1"
            out.append(
                f"'{row.label}*{target}' in '{row.lhs} {row.op}' gives the parameter of {target} the label "
                f"'{row.label}'. It is not a product, although {row.label} is a variable: choose another label."
            )
    if observed.nobs < table.nfree:
        out.append(
            f"There are {table.nfree} free parameters but only {observed.nobs} rows: estimates, standard errors and "
            "tests of such a fit are not reliable. Collect more answers or simplify the model."
        )
    return tuple(out)
