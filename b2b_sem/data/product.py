"""Columns of products: of items that measure the factors of a latent product, and of observed variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.table import Table
from b2b_sem.errors import DataError, Unsupported, did_you_mean
from b2b_sem.spec.indicator import CENTRINGS, ProductTerm, column_name, pairs_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METHODS", "add_product_columns", "product_columns", "product_indicators"]

#: Ways to make product indicators: how they are centred, from matched pairs or from all.
METHODS = tuple(f"{centring}{pairs}" for centring in CENTRINGS if centring != "ca" for pairs in ("", "-all"))


def product_indicators(
    data: Any, first: Sequence[str], second: Sequence[str], *, method: str = "dmc", names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the data with the products of the items of two factors as new columns: ``semTools::indProd``.

    Parameters
    ----------
    data : DataFrame, mapping of columns, or Responses
        One row a respondent.
    first, second : sequence of str
        Items of the two factors; the same twice for a square.
    method : {"dmc", "dmc-all", "mc", "mc-all", "rc", "rc-all"}
        ``"dmc"``: items are centred at their means, and so are the products (double-mean-centred: Lin, Wen, Marsh &
        Lin 2010, doi:10.1080/10705511.2010.488999). ``"mc"``: items only (Marsh, Wen & Hau 2004,
        doi:10.1037/1082-989X.9.3.275). ``"rc"``: the residuals of products regressed on all items of both factors
        (Little, Bovaird & Widaman 2006, doi:10.1207/s15328007sem1304_1). Matched pairs (the first with the first, ...)
        as far as the shorter list goes, or with ``-all`` all pairs, each once.
    names : sequence of str, optional
        Of the products; default: ``x1.z1`` for x1 times z1.

    Returns
    -------
    DataFrame
        All columns of the data, then the products. A product is missing where an item of it is; with ``"rc"`` where
        any item of the two factors is. Means are those of all answers to an item.

    Raises
    ------
    DataError
        For columns that are not there or no numbers, products without a name of their own, and items that say the
        same.
    Unsupported
        For an unknown method.

    Examples
    --------
    >>> import pandas as pd
    >>> answers = pd.DataFrame({"x1": [1, 2, 3, 6], "z1": [2, 1, 5, 4]})
    >>> product_indicators(answers, ["x1"], ["z1"])["x1.z1"].tolist()
    [0.0, 1.0, -2.0, 1.0]
    """
    import pandas as pd

    if method not in METHODS:
        raise Unsupported(
            f"method={method!r} is not available.{did_you_mean(str(method), METHODS)}",
            hint="use one of " + ", ".join(repr(m) for m in METHODS),
        )
    sets = []
    for argument, items in (("first", first), ("second", second)):
        own = [items] if isinstance(items, str) else [str(v) for v in items]
        if not own or len(set(own)) < len(own):
            raise DataError(
                f"{argument} names no item" if not own else f"{argument} names an item twice: {', '.join(own)}",
                hint=f"give {argument}=['x1', 'x2', ...]",
            )
        sets.append(tuple(own))
    centring, _, every = method.partition("-")
    pairs = pairs_of(sets[0], sets[1], bool(every))
    columns = tuple(column_name(*p) for p in pairs) if names is None else tuple(str(n) for n in names)
    if len(columns) != len(pairs):
        raise DataError(f"{len(columns)} names for {len(pairs)} products", hint="give each a name, or leave names out")
    term = ProductTerm("", sets[0], sets[1], pairs, centring, columns)
    whole = add_product_columns(data, [term])
    return pd.DataFrame(getattr(whole, "frame", whole))


def add_product_columns(data: Any, terms: Sequence[ProductTerm]) -> Any:
    """Return the data with the columns of products behind the others, as what they were given as.

    Parameters
    ----------
    data : DataFrame, mapping of str to array, or Responses
    terms : sequence of ProductTerm

    Raises
    ------
    DataError
        As :func:`product_columns`, and for a product whose name a column with other values has.
    """
    import pandas as pd

    frame = getattr(data, "frame", data)
    made = product_columns(data, terms)
    known = [name for name in made if name in {str(c) for c in frame}]
    for name, column in zip(known, Table.open(data, known).floats() if known else [], strict=True):
        size = np.nanmax(np.abs(made[name]), initial=0.0)
        if not np.allclose(column, made[name], rtol=0, atol=1e-8 * size, equal_nan=True):
            raise DataError(
                f"the data have a column '{name}', the name of a product that is to be made, with other values",
                file=getattr(data, "path", None),
                hint="rename the column or leave it out: products are computed",
            )
        del made[name]
    if isinstance(frame, pd.DataFrame):
        whole: Any = pd.concat([frame, pd.DataFrame(made, index=frame.index)], axis=1)
    else:
        whole = {**frame, **made}
    return whole if frame is data else replace(data, frame=whole)


def product_columns(data: Any, terms: Sequence[ProductTerm]) -> dict[str, NDArray[np.float64]]:
    """Return the columns of products by name.

    Parameters
    ----------
    data : DataFrame, mapping of str to array, or Responses
    terms : sequence of ProductTerm

    Returns
    -------
    dict of str to ndarray, shape (n,)
        NaN where an item is missing.

    Raises
    ------
    DataError
        For columns that are not there, no numbers or infinite; for residual centring, items that say the same.
    """
    names = list(dict.fromkeys(item for t in terms for item in (*t.first, *t.second)))
    table = Table.open(data, names)
    values = np.array(table.floats(), dtype=np.float64)
    table.refuse_infinite(values)
    table.refuse_empty({name: np.isnan(row) for name, row in zip(names, values, strict=True)})
    raw = dict(zip(names, values, strict=True))
    centred = dict(zip(names, values - np.nanmean(values, axis=1, keepdims=True), strict=True))
    out: dict[str, NDArray[np.float64]] = {}
    for term in terms:
        source = raw if term.centring == "none" else centred
        products = np.array([source[a] * source[b] for a, b in term.pairs])
        if term.centring == "rc":
            products = _residuals(products, centred, term, table)
        elif term.centring == "dmc" and not np.isnan(products).all(axis=1).any():
            products = products - np.nanmean(products, axis=1, keepdims=True)
        out |= dict(zip(term.columns, products, strict=True))
    return out


def _residuals(
    products: NDArray[np.float64], centred: Mapping[str, NDArray[np.float64]], term: ProductTerm, table: Table
) -> NDArray[np.float64]:
    """Return what all items of the two factors do not explain of the products, (k, n)."""
    items = list(dict.fromkeys((*term.first, *term.second)))
    predictors = np.array([np.ones(table.n), *(centred[v] for v in items)])
    rows = ~np.isnan(predictors).any(axis=0)
    if int(rows.sum()) <= len(predictors):
        raise DataError(
            f"{int(rows.sum())} rows have answers to all of {', '.join(items)}: too few to residual-centre products",
            file=table.file,
            hint="use method 'dmc'",
        )
    scale = np.sqrt(np.mean(predictors[:, rows] ** 2, axis=1, keepdims=True))
    if not scale.all():
        table.refuse_constant(np.array([centred[v][rows] for v in items]), "")
    basis = (predictors[:, rows] / scale).T
    found, _, rank, _ = np.linalg.lstsq(basis, products[:, rows].T, rcond=1e-10)
    if rank < basis.shape[1]:
        raise DataError(
            f"items that say the same: {', '.join(items)} cannot all predict their products",
            file=table.file,
            hint="leave out an item that is a sum or a copy of others",
        )
    out = np.full_like(products, np.nan)
    out[:, rows] = products[:, rows] - (basis @ found).T
    return out
