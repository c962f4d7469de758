"""Drawings as TikZ: a LaTeX document that compiles alone, or the picture to include in another."""

from __future__ import annotations

from collections.abc import Iterable

from b2b_sem.report.shape import Drawing, Ellipse, Line, Polygon, Rectangle, Shape, Words, clean

__all__ = ["escape_tex", "to_tikz"]

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # no ligatures: -- would become a dash
    "−": r"\ensuremath{-}",
    "–": r"\textendash{}",
    "…": r"\ldots{}",
    "→": r"\ensuremath{\rightarrow}",
    "↔": r"\ensuremath{\leftrightarrow}",
    "²": r"\textsuperscript{2}",
    "×": r"\ensuremath{\times}",
    "*": r"\textasteriskcentered{}",
}


def escape_tex(text: str) -> str:
    """Return plain text as LaTeX that prints it; nothing in it is a command any more."""
    return "".join(_ESCAPES.get(c, c) for c in clean(text))


def to_tikz(drawing: Drawing, *, fragment: bool = False) -> str:
    """Return a drawing as LaTeX.

    Parameters
    ----------
    drawing : Drawing
    fragment : bool
        Only the ``tikzpicture``, to ``\\input`` in a document that loads the package tikz; else a whole document.

    Notes
    -----
    One unit of the picture is one pixel (1/96 inch). pdfLaTeX prints Latin letters; other scripts need XeLaTeX or
    LuaLaTeX and a font that has them, and the document says so.
    """
    colours = {name: f"sem{k}" for k, name in enumerate(dict.fromkeys(_colours(drawing.shapes)))}
    picture = [
        "% " + clean(drawing.title).replace("\n", " "),
        r"\begin{tikzpicture}[x=0.75bp,y=-0.75bp,inner sep=0,outer sep=0,line join=round]",
        *(rf"\definecolor{{{new}}}{{HTML}}{{{old[1:].upper()}}}" for old, new in colours.items()),
        rf"\path[use as bounding box] (0,0) rectangle ({_n(drawing.width)},{_n(drawing.height)});",
        *(_shape(s, colours) for s in drawing.shapes),
        r"\end{tikzpicture}",
    ]
    if fragment:
        return "\n".join(picture) + "\n"
    wide, high = drawing.width * 0.75 + 8, drawing.height * 0.75 + 8
    head = [
        r"\RequirePackage{fix-cm} % any size of Computer Modern",
        r"\documentclass{article}",
        r"\usepackage{iftex}",
        r"\ifPDFTeX\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{textcomp}",
        r"\else\usepackage{fontspec}\fi % for other scripts: \setsansfont{...} with a font that has them",
        r"\usepackage{tikz}",
        rf"\usepackage[paperwidth={_n(wide)}bp,paperheight={_n(high)}bp,margin=4bp,nohead,nofoot]{{geometry}}",
        r"\pagestyle{empty}\parindent0pt\topskip0pt\parskip0pt",
        r"\begin{document}",
    ]
    return "\n".join([*head, *picture, r"\end{document}"]) + "\n"


def _colours(shapes: Iterable[Shape]) -> Iterable[str]:
    for s in shapes:
        if isinstance(s, Polygon | Ellipse | Rectangle):
            yield s.fill
        if not isinstance(s, Polygon):
            yield s.colour


def _shape(s: Shape, colours: dict[str, str]) -> str:
    if isinstance(s, Line):
        on_off = " ".join(f"{'off' if k % 2 else 'on'} {_n(0.75 * d)}bp" for k, d in enumerate(s.dash))
        dash = f",dash pattern={on_off}" if s.dash else ""
        path = " -- ".join(f"({_n(x)},{_n(y)})" for x, y in s.points)
        return rf"\draw[{colours[s.colour]},line width={_n(0.75 * s.width)}bp{dash}] {path};"
    if isinstance(s, Polygon):
        path = " -- ".join(f"({_n(x)},{_n(y)})" for x, y in s.points)
        return rf"\fill[{colours[s.fill]}] {path} -- cycle;"
    if isinstance(s, Ellipse | Rectangle):
        pen = f"draw={colours[s.colour]},fill={colours[s.fill]},line width={_n(0.75 * s.line)}bp"
        if isinstance(s, Ellipse):
            return (
                rf"\path[{pen}] ({_n(s.x)},{_n(s.y)}) ellipse [x radius={_n(s.width / 2)},y radius={_n(s.height / 2)}];"
            )
        left, top, right, bottom = s.area
        return rf"\path[{pen}] ({_n(left)},{_n(top)}) rectangle ({_n(right)},{_n(bottom)});"
    return _words(s, colours)


def _words(s: Words, colours: dict[str, str]) -> str:
    plate = ""
    if s.plate:
        left, top, right, bottom = s.area
        plate = (
            rf"\fill[white,fill opacity=0.92] ({_n(left - 1)},{_n(top)}) rectangle ({_n(right + 1)},{_n(bottom)});" "\n"
        )
    size = 0.75 * s.size
    weight = r"\bfseries" if s.bold else ""
    font = rf"\sffamily{weight}\fontsize{{{_n(size)}bp}}{{{_n(1.2 * size)}bp}}\selectfont"
    anchor = "base west" if s.anchor == "left" else "base"
    where = f"({_n(s.x)},{_n(s.y + 0.35 * s.size)})"
    return (
        rf"{plate}\node[anchor={anchor},text={colours[s.colour]},font={{{font}}}] at {where} {{{escape_tex(s.text)}}};"
    )


def _n(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
