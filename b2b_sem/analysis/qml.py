"""Models with products of latent variables by quasi-maximum likelihood (QML): the door from ``fit`` to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import check_data
from b2b_sem.analysis.multigroup import group_labels_of, make_group_fit, observe_groups
from b2b_sem.analysis.outcome import make_fit
from b2b_sem.analysis.product_result import ProductResult
from b2b_sem.analysis.product_setting import NO_CHISQ, product_settings, product_tables, read_options
from b2b_sem.data.observed import observe
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.product import infer_products
from b2b_sem.engine.product_group import infer_product_groups
from b2b_sem.engine.quasi import QuasiProblem, prepare_quasi, prepare_quasi_groups, solve_quasi, solve_quasi_groups
from b2b_sem.engine.threads import single_thread
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["fit_qml"]


def fit_qml(parsed: ParsedModel, data: Any, arguments: Mapping[str, Any]) -> Fit:
    """Fit a model with products by quasi-maximum likelihood (Klein & Muthen 2007, doi:10.1080/00273170701710205).

    Parameters
    ----------
    parsed : ParsedModel
    data : DataFrame or Responses
    arguments : mapping
        Those of :func:`b2b_sem.fit`.

    Raises
    ------
    Unsupported, DataError, ModelSyntaxError
        As :func:`b2b_sem.fit`.
    """
    if arguments["group"] is not None:
        return _fit_groups(parsed, data, arguments)
    options = read_options(data, arguments)
    linear, table = product_tables(parsed, arguments)
    with single_thread():
        check_data(table, data)
        fixed = table.exogenous if table.fixed_x and options.missing == "fiml" else ()
        observed = observe(
            data,
            table.observed,
            missing=options.missing,
            keep_raw=True,
            cluster=arguments["cluster"],
            complete=fixed,
        )
        problem = prepare_quasi(table, linear, observed, options, linear_constraints(table))
        found = solve_quasi(problem)
        inference = infer_products(
            found, observed, clusters=None if observed.clusters is None else observed.clusters[0]
        )
    notes = _notes(problem.scaling)
    settings = product_settings(arguments, options)
    return make_fit(table, observed, problem.problem, found.solution, inference, settings, notes, ProductResult)


def _fit_groups(parsed: ParsedModel, data: Any, arguments: Mapping[str, Any]) -> Fit:
    """Fit a model with products to several groups."""
    options, group = read_options(data, arguments), arguments["group"]
    linear, table = product_tables(parsed, arguments, group_labels_of(data, group))
    with single_thread():
        observed = observe_groups(table, data, group, options, arguments["cluster"])
        problem = prepare_quasi_groups(table, linear, observed, options, linear_constraints(table))
        found = solve_quasi_groups(problem)
        inference = infer_product_groups(found, observed)
    scaling = [v for part in problem.parts if isinstance(part, QuasiProblem) for v in part.scaling]
    notes, settings = _notes(tuple(dict.fromkeys(scaling))), product_settings(arguments, options)
    return make_group_fit(problem.problem, observed, found.solution, inference, settings, notes, ProductResult)


def _notes(scaling: tuple[str, ...]) -> tuple[str, ...]:
    return (
        "Products of latent variables: quasi-maximum likelihood (QML), which takes the density of "
        f"{', '.join(scaling)} given the other items as normal; estimator='MLR' allows for that in the standard "
        "errors. The log-likelihood is that of this density: do not compare it with the one of LMS.",
        NO_CHISQ,
    )
