"""Models with products of latent variables in several groups (LMS): the door from ``fit`` to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.multigroup import group_labels_of, make_group_fit, observe_groups
from b2b_sem.analysis.product_result import ProductResult
from b2b_sem.analysis.product_setting import NO_CHISQ, product_settings, product_tables, read_options
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.product_group import infer_product_groups, prepare_product_groups, solve_product_groups
from b2b_sem.engine.threads import single_thread
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["fit_lms_groups"]


def fit_lms_groups(parsed: ParsedModel, data: Any, arguments: Mapping[str, Any]) -> Fit:
    """Fit a model with products to several groups by maximum likelihood; arguments as :func:`b2b_sem.fit`.

    Raises
    ------
    Unsupported, DataError, ModelSyntaxError
        As :func:`b2b_sem.fit`.
    """
    options, group = read_options(data, arguments), arguments["group"]
    linear, table = product_tables(parsed, arguments, group_labels_of(data, group))
    with single_thread():
        observed = observe_groups(table, data, group, options, arguments["cluster"])
        problem = prepare_product_groups(table, linear, observed, options, linear_constraints(table))
        found = solve_product_groups(problem)
        inference = infer_product_groups(found, observed)
    notes = (
        f"Products of latent variables: maximum likelihood by integration over {', '.join(found.problem.given)} (LMS) "
        f"in each group, at most {found.points} points in each dimension; twice as many change the log-likelihood by "
        f"{abs(found.error):.1g}.",
        NO_CHISQ,
    )
    settings = product_settings(arguments, options)
    return make_group_fit(found.problem.problem, observed, found.solution, inference, settings, notes, ProductResult)
