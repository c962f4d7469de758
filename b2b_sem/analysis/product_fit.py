"""Models with products of latent variables fitted by a likelihood of the rows: from a call of ``fit`` to the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import check_data
from b2b_sem.analysis.multigroup import group_labels_of, make_group_fit, observe_groups
from b2b_sem.analysis.outcome import make_fit
from b2b_sem.analysis.product_result import ProductResult
from b2b_sem.analysis.product_setting import NO_CHISQ, product_settings, product_tables, read_options
from b2b_sem.data.observed import observe
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.product import ProductFit, infer_products
from b2b_sem.engine.product_group import GroupProductFit, GroupProducts, infer_product_groups
from b2b_sem.engine.threads import single_thread
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["Way", "fit_way"]


@dataclass(frozen=True)
class Way:
    """A way to fit products of latent variables.

    Attributes
    ----------
    prepare, prepare_groups : callable
        Compile the tables with and without products, of one group and of several, for the rows.
    solve, solve_groups : callable
        Maximise the likelihood.
    describe, describe_groups : callable
        Make the first note of the result from the solution.
    """

    prepare: Callable[..., Any]
    solve: Callable[[Any], ProductFit]
    describe: Callable[[ProductFit], str]
    prepare_groups: Callable[..., GroupProducts]
    solve_groups: Callable[[GroupProducts], GroupProductFit]
    describe_groups: Callable[[GroupProductFit], str]


def fit_way(parsed: ParsedModel, data: Any, arguments: Mapping[str, Any], way: Way) -> Fit:
    """Fit a model with products in one way.

    Parameters
    ----------
    parsed : ParsedModel
    data : DataFrame or Responses
    arguments : mapping
        Those of :func:`b2b_sem.fit`.
    way : Way

    Raises
    ------
    Unsupported, DataError, ModelSyntaxError
        As :func:`b2b_sem.fit`.
    """
    if arguments["group"] is not None:
        return _fit_groups(parsed, data, arguments, way)
    options, cluster = read_options(data, arguments), arguments["cluster"]
    linear, table = product_tables(parsed, arguments)
    with single_thread():
        check_data(table, data)
        fixed = table.exogenous if table.fixed_x and options.missing == "fiml" else ()
        observed = observe(
            data, table.observed, missing=options.missing, keep_raw=True, cluster=cluster, complete=fixed
        )
        found = way.solve(way.prepare(table, linear, observed, options, linear_constraints(table)))
        inference = infer_products(
            found, observed, clusters=None if observed.clusters is None else observed.clusters[0]
        )
    settings, notes = product_settings(arguments, options), (way.describe(found), NO_CHISQ)
    return make_fit(table, observed, found.problem.problem, found.solution, inference, settings, notes, ProductResult)


def _fit_groups(parsed: ParsedModel, data: Any, arguments: Mapping[str, Any], way: Way) -> Fit:
    """Fit a model with products to several groups."""
    options, group = read_options(data, arguments), arguments["group"]
    linear, table = product_tables(parsed, arguments, group_labels_of(data, group))
    with single_thread():
        observed = observe_groups(table, data, group, options, arguments["cluster"])
        found = way.solve_groups(way.prepare_groups(table, linear, observed, options, linear_constraints(table)))
        inference = infer_product_groups(found, observed)
    settings, notes = product_settings(arguments, options), (way.describe_groups(found), NO_CHISQ)
    return make_group_fit(found.problem.problem, observed, found.solution, inference, settings, notes, ProductResult)
