"""Tables as plain text for terminals, numbers written as people read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from b2b_sem.measures.notation import count, interval, number, probability

__all__ = ["TextKind", "text_table"]

TextKind = Literal["text", "count", "number", "p", "flag", "interval"]

_WRITTEN: Mapping[str, Callable[[Any], str]] = {
    "text": str,
    "count": lambda v: "" if v != v else count(v),
    "number": lambda v: "" if v != v else number(v, 3),
    "p": lambda v: "" if v != v else probability(v),
    "flag": lambda v: "yes" if v else "no",
    "interval": lambda v: interval(v[0], v[1], 3),
}


def text_table(rows: Sequence[Mapping[Any, Any]], columns: Sequence[tuple[str, str, TextKind]]) -> str:
    """Return rows as aligned text.

    Parameters
    ----------
    rows : sequence of mappings
    columns : sequence of (key, heading, kind)
        Of an interval the key is that of a pair, else ``ci_lower`` and ``ci_upper`` of the row are taken. Numbers that
        are not there leave the cell empty.
    """

    def cell(row: Mapping[Any, Any], key: str, kind: TextKind) -> Any:
        return (row["ci_lower"], row["ci_upper"]) if kind == "interval" and key not in row else row[key]

    body = [[_WRITTEN[kind](cell(row, key, kind)) for key, _, kind in columns] for row in rows]
    widths = [max(len(head), *(len(line[k]) for line in body)) for k, (_, head, _) in enumerate(columns)]
    left = [kind in ("text", "flag") for _, _, kind in columns]
    lines = []
    for line in ([head for _, head, _ in columns], *body):
        cells = [f"{t:<{w}}" if flush else f"{t:>{w}}" for t, w, flush in zip(line, widths, left, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
