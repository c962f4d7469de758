"""Models with products of latent variables by maximum likelihood (LMS): a way to fit them."""

from __future__ import annotations

from b2b_sem.analysis.product_fit import Way
from b2b_sem.engine.product import ProductFit, solve_products
from b2b_sem.engine.product_group import GroupProductFit, prepare_product_groups, solve_product_groups
from b2b_sem.engine.product_problem import prepare_products

__all__ = ["LMS"]


def _describe(found: ProductFit) -> str:
    given = ", ".join(found.problem.given)
    return (
        f"Products of latent variables: maximum likelihood by integration over {given} (LMS), {found.points} points "
        f"in each dimension; twice as many change the log-likelihood by {abs(found.error):.1g}."
    )


def _describe_groups(found: GroupProductFit) -> str:
    return (
        f"Products of latent variables: maximum likelihood by integration over {', '.join(found.problem.given)} (LMS) "
        f"in each group, at most {found.points} points in each dimension; twice as many change the log-likelihood by "
        f"{abs(found.error):.1g}."
    )


#: Latent moderated structural equations (Klein & Moosbrugger 2000, doi:10.1007/BF02296338).
LMS = Way(prepare_products, solve_products, _describe, prepare_product_groups, solve_product_groups, _describe_groups)
