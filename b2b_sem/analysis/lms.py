"""Models with products of latent variables by maximum likelihood (LMS): the door from ``fit`` to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import check_data
from b2b_sem.analysis.outcome import make_fit
from b2b_sem.analysis.product_result import ProductResult
from b2b_sem.analysis.product_setting import NO_CHISQ, product_settings, product_tables, read_options
from b2b_sem.data.observed import observe
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.product import infer_products, solve_products
from b2b_sem.engine.product_problem import prepare_products
from b2b_sem.engine.setting import SAME_MISSING
from b2b_sem.engine.threads import single_thread
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["fit_lms"]


def fit_lms(parsed: ParsedModel, data: Any, arguments: Mapping[str, Any]) -> Fit:
    """Fit a model with products by maximum likelihood (LMS).

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
        from b2b_sem.analysis.lms_group import fit_lms_groups

        return fit_lms_groups(parsed, data, arguments)
    options, missing, cluster = read_options(data, arguments), arguments["missing"], arguments["cluster"]
    missing = SAME_MISSING.get(missing, missing)
    linear, table = product_tables(parsed, arguments)
    with single_thread():
        check_data(table, data)
        fixed = table.exogenous if table.fixed_x and missing == "fiml" else ()
        observed = observe(data, table.observed, missing=missing, keep_raw=True, cluster=cluster, complete=fixed)
        problem = prepare_products(table, linear, observed, options, linear_constraints(table))
        found = solve_products(problem)
        inference = infer_products(
            found, observed, clusters=None if observed.clusters is None else observed.clusters[0]
        )
    settings = product_settings(arguments, options)
    given = ", ".join(found.problem.given)
    notes = (
        f"Products of latent variables: maximum likelihood by integration over {given} (LMS), {found.points} points "
        f"in each dimension; twice as many change the log-likelihood by {abs(found.error):.1g}.",
        NO_CHISQ,
    )
    return make_fit(table, observed, found.problem.problem, found.solution, inference, settings, notes, ProductResult)
