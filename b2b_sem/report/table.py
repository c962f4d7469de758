"""One neutral table type and its three forms: HTML for the report, CSV for machines, plain text for terminals."""

from __future__ import annotations

import csv
import html
import io
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from b2b_sem.measures.notation import ASCII, TYPESET, Glyphs, count, interval, is_missing, number, probability

__all__ = ["Column", "Kind", "Table", "link_dois"]

Kind = Literal[
    "text",  # words
    "code",  # a name from the data or the model
    "path",  # NR -> PC
    "value",  # short text that must not wrap
    "count",  # whole number
    "percent",  # one decimal
    "number",  # two decimals
    "number3",  # three decimals
    "bounded",  # two decimals, no leading zero
    "bounded3",  # three decimals, no leading zero
    "p",  # probability
    "interval",  # pair of numbers
    "interval_bounded",  # pair of numbers, no leading zero
    "interval3",  # the same with three decimals
    "interval_bounded3",
    "error_bounded3",  # number with its Monte Carlo standard error, three decimals, no leading zero
    "error3",  # the same with leading zeros
    "error_percent",  # share with its Monte Carlo standard error, in percent
    "verdict",  # supported, not supported, ...
    "flag",  # yes or no
    "any",  # formatted text or a number as it is
]

_WORDS = {"text", "code", "path", "value", "verdict", "flag", "any"}
#: What the names of a column that holds pairs end with in CSV files, by the beginning of its kind.
_ENDS = {"interval": ("_lower", "_upper"), "error": ("", "_mcse")}
_LONG = 45  # characters from which a cell gets room to wrap
_DOI = re.compile(r"(?:doi:|https?://(?:dx\.)?doi\.org/)(10\.\d{4,9}/[^\s;,]*[^\s;,.)\]])")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    key : str
        Name in CSV files (intervals become ``<key>_lower`` and ``<key>_upper``, numbers with errors ``<key>`` and
        ``<key>_mcse``).
    heading : str
        Heading for people.
    kind : Kind
        What the cells are; decides how they are formatted and aligned.
    shown : bool
        Whether people see the column; CSV files have all of them.
    merged : bool
        Whether equal neighbours share one cell in HTML.
    """

    key: str
    heading: str
    kind: Kind = "text"
    shown: bool = True
    merged: bool = False


@dataclass(frozen=True)
class Table:
    """A table that does not know how it will be shown.

    Attributes
    ----------
    name : str
        Stem of the CSV file and the id in HTML.
    title : str
        Caption.
    columns : tuple of Column
    rows : tuple of tuple
        Raw values: numbers, text, None or NaN for missing, pairs in columns of intervals and of numbers with errors.
    notes : tuple of str
        What a reader must know; ``doi:10...`` becomes a link in HTML.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: a row has {len(row)} cells for {len(self.columns)} columns")

    def to_csv(self) -> str:
        """Return all columns with full-precision numbers; missing cells are empty (RFC 4180, LF line ends)."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        header: list[str] = []
        for c in self.columns:
            header += [c.key + end for end in _ENDS.get(c.kind.split("_")[0].rstrip("3"), ("",))]
        writer.writerow(header)
        for row in self.rows:
            cells: list[str] = []
            for value, c in zip(row, self.columns, strict=True):
                if c.kind.startswith(tuple(_ENDS)):
                    cells += [_exact(v) for v in (value or (None, None))]
                elif c.kind == "count" and isinstance(value, float) and value.is_integer():
                    cells.append(str(int(value)))
                else:
                    cells.append(_exact(value))
            writer.writerow(cells)
        return stream.getvalue()

    def to_html(self) -> str:
        """Return a ``<figure>`` with an accessible table that scrolls inside its own container."""
        shown = [i for i, c in enumerate(self.columns) if c.shown]
        name = html.escape(self.name, quote=True)
        out = [
            f'<figure class="table" id="table-{name}">',
            f'<div class="scroll" tabindex="0" role="region" aria-labelledby="caption-{name}">',
            f'<table><caption id="caption-{name}">{link_dois(self.title)}</caption>',
            "<thead><tr>",
        ]
        out += [
            f'<th scope="col" class="{_css(self.columns[i])}">{html.escape(self.columns[i].heading)}</th>'
            for i in shown
        ]
        out.append("</tr></thead><tbody>")
        for line, row in enumerate(self.rows):
            cells = []
            for place, i in enumerate(shown):
                column = self.columns[i]
                if column.merged and line and self.rows[line - 1][i] == row[i]:
                    continue
                text = _cell_html(row[i], column.kind)
                tag, scope = ("th", ' scope="row"') if place == 0 else ("td", "")
                if column.merged:
                    equal = 1
                    while line + equal < len(self.rows) and self.rows[line + equal][i] == row[i]:
                        equal += 1
                    scope = f' scope="rowgroup" rowspan="{equal}"' if tag == "th" else f' rowspan="{equal}"'
                kind = _css(column) + (" long" if column.kind == "text" and len(str(row[i])) > _LONG else "")
                cells.append(f'<{tag}{scope} class="{kind}">{text}</{tag}>')
            out.append("<tr>" + "".join(cells) + "</tr>")
        out.append("</tbody></table></div>")
        if self.notes:
            lines = " ".join(link_dois(note if note[-1:] in ".;:" else f"{note}.") for note in self.notes if note)
            out.append(f'<figcaption class="note"><i>Note.</i> {lines}</figcaption>')
        out.append("</figure>")
        return "\n".join(out)

    def to_text(self, width: int = 100) -> str:
        """Return the table for a terminal at most `width` characters wide; long words of the last text column wrap.

        Raises
        ------
        ValueError
            If the other columns alone need more than `width`.
        """
        shown = [i for i, c in enumerate(self.columns) if c.shown]
        columns = [self.columns[i] for i in shown]
        body = [[format_cell(row[i], self.columns[i].kind, ASCII) for i in shown] for row in self.rows]
        sizes = [max([len(c.heading), *(len(r[k]) for r in body)]) for k, c in enumerate(columns)]
        room = width - sum(sizes) - 2 * (len(sizes) - 1)
        elastic = [k for k, c in enumerate(columns) if c.kind == "text"]
        while room < 0 and elastic:
            k = max(elastic, key=lambda j: sizes[j])
            if sizes[k] <= 12:
                break
            sizes[k] -= 1
            room += 1
        if room < 0:
            raise ValueError(f"table {self.name} needs {width - room} columns, {width} are there")
        right = [c.kind not in _WORDS for c in columns]
        lines = [self.title, "-" * (sum(sizes) + 2 * (len(sizes) - 1))]
        for cells in ([c.heading for c in columns], *body):
            wrapped = [textwrap.wrap(cell, sizes[k]) or [""] for k, cell in enumerate(cells)]
            for depth in range(max(map(len, wrapped))):
                parts = [w[depth] if depth < len(w) else "" for w in wrapped]
                lines.append(
                    "  ".join(
                        f"{p:>{s}}" if r else f"{p:<{s}}" for p, s, r in zip(parts, sizes, right, strict=True)
                    ).rstrip()
                )
        lines += [textwrap.fill(f"Note. {note}", width) for note in self.notes]
        return "\n".join(lines)


def link_dois(text: str) -> str:
    """Return `text` escaped for HTML, with each ``doi:10...`` or address of a DOI turned into a link."""
    out, last = [], 0
    for match in _DOI.finditer(text):
        doi = html.escape(match[1], quote=True)
        out.append(html.escape(text[last : match.start()]))
        out.append(f'<a href="https://doi.org/{doi}">doi:{doi}</a>')
        last = match.end()
    return "".join(out) + html.escape(text[last:])


def _interval(value: Any, glyphs: Glyphs, digits: int, *, bounded: bool = False) -> str:
    lower, upper = value or (None, None)
    return interval(lower, upper, digits, bounded=bounded, glyphs=glyphs)


def _with_error(value: Any, glyphs: Glyphs, digits: int, *, bounded: bool = False, factor: float = 1.0) -> str:
    pair: tuple[Any, Any] = value or (None, None)
    one, error = pair
    text = number(None if is_missing(one) else factor * one, digits, bounded=bounded, glyphs=glyphs)
    if is_missing(one):
        return text
    beside = number(None if is_missing(error) else factor * error, digits, bounded=bounded, glyphs=glyphs)
    return f"{text} ({beside})"


_NUMERIC: dict[str, Callable[[Any, Glyphs], str]] = {
    "count": lambda v, g: count(v, glyphs=g),
    "percent": lambda v, g: number(v, 1, glyphs=g),
    "number": lambda v, g: number(v, 2, glyphs=g),
    "number3": lambda v, g: number(v, 3, glyphs=g),
    "bounded": lambda v, g: number(v, 2, bounded=True, glyphs=g),
    "bounded3": lambda v, g: number(v, 3, bounded=True, glyphs=g),
    "p": lambda v, g: probability(v, glyphs=g),
    "interval": lambda v, g: _interval(v, g, 2),
    "interval_bounded": lambda v, g: _interval(v, g, 2, bounded=True),
    "interval3": lambda v, g: _interval(v, g, 3),
    "error_bounded3": lambda v, g: _with_error(v, g, 3, bounded=True),
    "error3": lambda v, g: _with_error(v, g, 3),
    "error_percent": lambda v, g: _with_error(v, g, 1, factor=100.0),
    "interval_bounded3": lambda v, g: _interval(v, g, 3, bounded=True),
}


def format_cell(value: Any, kind: Kind, glyphs: Glyphs) -> str:
    """Return one cell as people read it; an empty text stays empty (not applicable is not missing)."""
    if isinstance(value, str) and not value:
        return ""
    if kind in _NUMERIC:
        return _NUMERIC[kind](value, glyphs)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return glyphs.missing
    if kind == "flag":
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _cell_html(value: Any, kind: Kind) -> str:
    text = format_cell(value, kind, TYPESET)
    if kind == "verdict":
        return f'<span class="verdict {html.escape(text.replace(" ", "-"), quote=True)}">{html.escape(text)}</span>'
    if kind == "path":
        text = text.replace("->", "→")
    if kind in ("code", "path"):
        return f"<code>{html.escape(text)}</code>"
    return link_dois(text)


def _css(column: Column) -> str:
    return column.kind if column.kind in ("text", "any", "path") else "word" if column.kind in _WORDS else "num"


def _exact(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else ""
    return str(value)


def table(
    name: str, title: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]], notes: Sequence[str] = ()
) -> Table:
    """Return a :class:`Table` from any sequences."""
    return Table(name, title, tuple(columns), tuple(tuple(r) for r in rows), tuple(notes))
