"""Models with products of latent variables by quasi-maximum likelihood (QML): the door from ``fit`` to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import check_data, refuse
from b2b_sem.analysis.lms import NO_CHISQ, product_settings, product_tables, read_options
from b2b_sem.analysis.moderated import ProductResult
from b2b_sem.analysis.outcome import make_fit
from b2b_sem.data.observed import observe
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.product import infer_products
from b2b_sem.engine.quasi import prepare_quasi, solve_quasi
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
    refuse(group=(arguments["group"], (None,), "fit each group by itself, or use interaction='lms'"))
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
    notes = (
        "Products of latent variables: quasi-maximum likelihood (QML), which takes the density of "
        f"{', '.join(problem.scaling)} given the other items as normal; estimator='MLR' allows for that in the "
        "standard errors. The log-likelihood is that of this density: do not compare it with the one of LMS.",
        NO_CHISQ,
    )
    settings = product_settings(arguments, options)
    return make_fit(table, observed, problem.problem, found.solution, inference, settings, notes, ProductResult)
