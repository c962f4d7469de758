"""Pages of sections, each with figures and tables of which some are folded: of Monte Carlo studies and of plans."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from markupsafe import Markup

from b2b_sem.report.canvas import Figure
from b2b_sem.report.page import figure_spec, plotly_code, template
from b2b_sem.report.table import Table
from b2b_sem.results.io import write_text

__all__ = ["Block", "Section", "write_sections"]

#: Figures that stand beside each other, or the name of a table.
Block = str | tuple[Figure, ...]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    name, title : str
        Id and heading.
    lines : tuple of (str, str)
        What a sentence is about, and the sentence.
    blocks, folded : list of Block
        What is shown, and what is folded beneath it.
    """

    name: str
    title: str
    lines: tuple[tuple[str, str], ...] = ()
    blocks: list[Block] = field(default_factory=list)
    folded: list[Block] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        """Return all figures of the section."""
        return [f for block in (*self.blocks, *self.folded) if not isinstance(block, str) for f in block]


class _Result(Protocol):
    """What a page says of the result it shows."""

    @property
    def title(self) -> str: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def warnings(self) -> Sequence[str]: ...


def write_sections(
    result: _Result,
    subtitle: str,
    sections: Sequence[Section],
    tables: Mapping[str, Table],
    path: str | os.PathLike[str],
) -> Path:
    """Write a page that works without a network, whole or not at all; sections in which nothing stands are left out."""
    shown = [s for s in sections if s.lines or s.blocks or s.folded]
    page = template("sections.html.j2").render(
        title=result.title,
        subtitle=subtitle,
        notes=result.notes,
        warnings=result.warnings,
        sections=shown,
        specs={f.name: Markup(figure_spec(f)) for s in shown for f in s.figures()},
        tables={name: Markup(t.to_html()) for name, t in tables.items()},
        plotly=Markup(plotly_code()),
        version=version("b2b-sem"),
    )
    return write_text(path, page + "\n")
