"""Models with products of latent variables by quasi-maximum likelihood (QML): the door from ``fit`` to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import refuse
from b2b_sem.analysis.lms import Way, fit_way
from b2b_sem.engine.product import ProductFit
from b2b_sem.engine.quasi import QuasiProblem, prepare_quasi, solve_quasi
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
    return fit_way(parsed, data, arguments, QML)


def _describe(found: ProductFit) -> str:
    problem = found.problem
    assert isinstance(problem, QuasiProblem)
    return (
        "Products of latent variables: quasi-maximum likelihood (QML), which takes the density of "
        f"{', '.join(problem.scaling)} given the other items as normal; estimator='MLR' allows for that in the "
        "standard errors. The log-likelihood is that of this density: do not compare it with the one of LMS."
    )


QML = Way("qml", prepare_quasi, solve_quasi, _describe)
