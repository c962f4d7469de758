"""One BLAS thread inside fits: threads cost far more than they gain on matrices this small."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

__all__ = ["single_thread"]


@cache
def _controller() -> Any:
    # finding the libraries takes longer than a small fit; both BLAS copies are loaded by then
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def single_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS uses one thread; earlier settings come back at its end."""
    context: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return context
