"""Models with products of latent variables by quasi-maximum likelihood (QML): a way to fit them."""

from __future__ import annotations

from collections.abc import Iterable

from b2b_sem.analysis.product_fit import Way
from b2b_sem.engine.product import ProductFit
from b2b_sem.engine.product_group import GroupProductFit
from b2b_sem.engine.quasi import QuasiProblem, prepare_quasi, prepare_quasi_groups, solve_quasi, solve_quasi_groups

__all__ = ["QML"]


def _describe(found: ProductFit) -> str:
    return _note([found.problem])


def _describe_groups(found: GroupProductFit) -> str:
    return _note(found.problem.parts)


def _note(problems: Iterable[object]) -> str:
    scaling = dict.fromkeys(v for part in problems if isinstance(part, QuasiProblem) for v in part.scaling)
    return (
        "Products of latent variables: quasi-maximum likelihood (QML), which takes the density of "
        f"{', '.join(scaling)} given the other items as normal; estimator='MLR' allows for that in the standard "
        "errors. The log-likelihood is that of this density: do not compare it with the one of LMS."
    )


#: Klein & Muthen 2007, doi:10.1080/00273170701710205.
QML = Way(prepare_quasi, solve_quasi, _describe, prepare_quasi_groups, solve_quasi_groups, _describe_groups)
