"""Drawings as PDF and PNG, by matplotlib: no program beside Python, and the same font on every machine."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from b2b_sem.errors import B2BSemWarning
from b2b_sem.report.shape import BACKGROUND, Drawing, Ellipse, Line, Polygon, Rectangle, Shape, Words, clean

__all__ = ["to_pdf", "to_png"]

# DejaVu Sans, which comes with matplotlib, is wider than the Helvetica that places were computed for
_FACE = "DejaVu Sans"
_SMALLER = 0.84
_POINT = 0.75  # a pixel in points


def to_pdf(drawing: Drawing) -> bytes:
    """Return a drawing as a page of PDF of its size; text is text, fonts are embedded. Same drawing, same bytes."""
    return _render(drawing, "pdf", 72.0, {"Title": clean(drawing.title), "CreationDate": None})


def to_png(drawing: Drawing, *, dpi: float = 300.0) -> bytes:
    """Return a drawing as PNG; 96 dpi is one dot a pixel of the drawing, journals ask for 300 and more."""
    return _render(drawing, "png", dpi, {"Title": clean(drawing.title).encode("latin-1", "replace").decode("latin-1")})


def _render(drawing: Drawing, form: str, dpi: float, metadata: dict[str, Any]) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: Any = {
        "font.family": [_FACE, *_fallback(drawing.shapes)],
        "pdf.fonttype": 42,  # whole letters instead of pictures of them: the text can be searched and edited
        "path.simplify": False,
        "text.usetex": False,
        "text.parse_math": False,
        "axes.unicode_minus": False,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings(), _quiet():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure = Figure(figsize=(drawing.width / 96, drawing.height / 96), dpi=dpi, facecolor=BACKGROUND)
        FigureCanvasAgg(figure)
        page = figure.add_axes((0, 0, 1, 1))
        page.set_axis_off()
        page.set_xlim(0, drawing.width)
        page.set_ylim(drawing.height, 0)
        for order, shape in enumerate(drawing.shapes, 1):
            for artist in _artists(shape):
                artist.set_zorder(order)
                page.add_artist(artist)
        out = io.BytesIO()
        figure.savefig(out, format=form, dpi=dpi, metadata=metadata, facecolor=BACKGROUND)
    return out.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself that a font for other scripts has no bold face."""
    log = logging.getLogger("matplotlib.font_manager")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _artists(s: Shape) -> list[Any]:
    from matplotlib import patches
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    if isinstance(s, Line):
        xs, ys = zip(*s.points, strict=True)
        width = s.width * _POINT
        style: Any = (0, tuple(d * _POINT / width for d in s.dash)) if s.dash else "-"
        line = Line2D(xs, ys, color=s.colour, linewidth=width, linestyle=style, solid_joinstyle="round")
        line.set_dash_capstyle("butt")
        line.set_solid_capstyle("butt")
        return [line]
    if isinstance(s, Polygon):
        return [patches.Polygon(s.points, closed=True, facecolor=s.fill, edgecolor="none", linewidth=0)]
    if isinstance(s, Ellipse):
        pen: dict[str, Any] = {"facecolor": s.fill, "edgecolor": s.colour, "linewidth": s.line * _POINT}
        return [patches.Ellipse((s.x, s.y), s.width, s.height, **pen)]
    if isinstance(s, Rectangle):
        pen = {"facecolor": s.fill, "edgecolor": s.colour, "linewidth": s.line * _POINT}
        return [patches.Rectangle((s.area[0], s.area[1]), s.width, s.height, **pen)]
    out: list[Any] = []
    if s.plate:
        left, top, right, bottom = s.area
        plate = patches.Rectangle((left - 1, top), right - left + 2, bottom - top, linewidth=0, facecolor=BACKGROUND)
        plate.set_alpha(0.92)
        out.append(plate)
    text = Text(
        s.x,
        s.y + 0.35 * s.size,
        s.text,
        color=s.colour,
        fontsize=s.size * _POINT * _SMALLER,
        fontweight="bold" if s.bold else "normal",
        horizontalalignment="left" if s.anchor == "left" else "center",
        verticalalignment="baseline",
        parse_math=False,
    )
    return [*out, text]


def _fallback(shapes: Iterable[Shape]) -> list[str]:
    """Return installed fonts for the signs that the usual one does not have; warn of signs that no font has."""
    from matplotlib import font_manager, ft2font

    missing = {ord(c) for s in shapes if isinstance(s, Words) for c in s.text if ord(c) > 0x2FF}
    path = font_manager.findfont(_FACE, fallback_to_default=False)
    missing -= set(ft2font.FT2Font(path).get_charmap())
    found = []
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda e: (e.name, e.fname)) if missing else ():
        if entry.weight not in (400, "normal", "regular") or entry.style != "normal" or "Last Resort" in entry.name:
            continue  # the last resort draws boxes
        have = missing & set(ft2font.FT2Font(entry.fname).get_charmap())
        if have:
            found.append(entry.name)
            missing -= have
        if not missing:
            break
    if missing:
        signs = " ".join(chr(c) for c in sorted(missing)[:10])
        warnings.warn(
            f"no installed font has the signs {signs}: they are boxes in PDF and PNG. Install a font that has them "
            "(for example Noto Sans), or use SVG",
            B2BSemWarning,
            stacklevel=2,
        )
    return found
