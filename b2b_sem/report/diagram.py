"""The path diagram: one layout for the report, HTML, SVG, PDF, PNG and TikZ."""

from __future__ import annotations

import html
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from b2b_sem.errors import DataError, Unsupported, did_you_mean
from b2b_sem.measures.notation import TYPESET, interval, number, p_phrase
from b2b_sem.report.block import Look
from b2b_sem.report.canvas import Figure
from b2b_sem.report.compose import Composition, compose
from b2b_sem.report.interactive import to_plotly
from b2b_sem.report.network import Network, network_of
from b2b_sem.report.shape import Drawing, clean, grey_drawing
from b2b_sem.report.structure import PathEstimate
from b2b_sem.report.svg import to_svg
from b2b_sem.report.tikz import to_tikz
from b2b_sem.results.fit import FitResult
from b2b_sem.results.io import write_bytes, write_text
from b2b_sem.results.path_group import PathGroupResult
from b2b_sem.results.study import StudyResult
from b2b_sem.results.verdict import NOT_TESTABLE, Verdict

__all__ = ["FORMATS", "Diagram", "draw_path_diagram", "path_diagram"]

FORMATS = ("svg", "pdf", "png", "tex", "html")
_NODE = (124.0, 82.0)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "kind": ("structural", "full"),
    "style": ("verdict", "significance", "plain"),
    "label": ("stars", "interval", "p", "none"),
    "estimates": ("std", "raw"),
}


@dataclass(frozen=True)
class Diagram:
    """A path diagram with its caption.

    Attributes
    ----------
    drawing : Drawing
        Lines, ellipses, boxes and words, in pixels of 1/96 inch.
    title, caption : str
        The caption says what the numbers, stars and styles are, and what is not drawn.
    positions : mapping of str to (x, y)
        Centre of each node: what ``diagram: positions`` of a model file, or the argument `positions`, changes.
    """

    drawing: Drawing
    title: str
    caption: str
    positions: Mapping[str, tuple[float, float]]

    def to_svg(self) -> str:
        """Return the diagram as an SVG document."""
        return to_svg(self.drawing)

    def to_tex(self, *, fragment: bool = False) -> str:
        """Return the diagram as a LaTeX document, or only its ``tikzpicture``."""
        return to_tikz(self.drawing, fragment=fragment)

    def to_html(self) -> str:
        """Return the diagram as a page that needs no network; names and tests show under the pointer."""
        title, caption = html.escape(clean(self.title)), html.escape(clean(self.caption))
        style = "body{margin:2rem auto;max-width:75rem;font-family:Helvetica,Arial,sans-serif;color:#1a1a1a}"
        style += "figure{margin:0}svg{max-width:100%;height:auto}figcaption{line-height:1.5;margin-top:1rem}"
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{style}</style></head>\n<body><main><h1>{title}</h1><figure>\n{self.to_svg()}"
            f"<figcaption>{caption}</figcaption></figure></main></body></html>\n"
        )

    def to_pdf(self) -> bytes:
        """Return the diagram as one page of PDF."""
        from b2b_sem.report.raster import to_pdf

        return to_pdf(self.drawing)

    def to_png(self, *, dpi: float = 300.0) -> bytes:
        """Return the diagram as PNG."""
        from b2b_sem.report.raster import to_png

        return to_png(self.drawing, dpi=dpi)

    def save(self, path: str | os.PathLike[str], *, dpi: float = 300.0) -> Path:
        """Write the diagram, whole or not at all, in the form that the ending of the name says.

        Parameters
        ----------
        path : path
            Ends in .svg, .pdf, .png, .tex or .html. Folders on the way are made.
        dpi : float
            Dots per inch of a PNG, from 36 to 1200.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        Unsupported
            For another ending.
        DataError
            For a resolution out of range.
        OSError
            If the file cannot be written.
        """
        form = format_of(path)
        if not 36 <= dpi <= 1200:
            raise DataError(f"the resolution is {dpi:g} dpi", hint="it lies between 36 and 1200")
        if form == "png":
            return write_bytes(path, self.to_png(dpi=dpi))
        if form == "pdf":
            return write_bytes(path, self.to_pdf())
        return write_text(path, {"svg": self.to_svg, "tex": self.to_tex, "html": self.to_html}[form]())

    def _repr_html_(self) -> str:
        """Show the diagram in notebooks."""
        return self.to_svg()


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the form a file name asks for.

    Raises
    ------
    Unsupported
        If it is none of those that can be written.
    """
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in FORMATS:
        what = f"'{Path(path).name}' ends in none of the forms of a diagram"
        raise Unsupported(what, hint="use one of ." + ", .".join(FORMATS))
    return form


def path_diagram(
    result: FitResult | StudyResult | PathGroupResult,
    kind: Literal["structural", "full"] = "structural",
    *,
    style: Literal["verdict", "significance", "plain"] | None = None,
    label: Literal["stars", "interval", "p", "none"] = "stars",
    estimates: Literal["std", "raw"] = "std",
    group: str | None = None,
    grey: bool = False,
    alpha: float | None = None,
    names: Mapping[str, str] | None = None,
    positions: Mapping[str, Sequence[float]] | None = None,
    title: str = "Path diagram",
) -> Diagram:
    """Draw a model with its estimates, ready to be printed.

    Latent variables are ellipses, observed ones boxes. Of models of several groups each group is drawn, with all
    nodes at the same places. Products (``PC:PX``) are arrows that end on the path they change. Places, arrows and
    labels are computed here; no other program is needed, and the same result gives the same picture.

    Parameters
    ----------
    result : FitResult, StudyResult or PathGroupResult
        Of a study the main model, with its verdicts and the moderations that were tested; of a comparison of groups
        the fit with free paths.
    kind : {"structural", "full"}
        Constructs and paths alone, or also indicators, loadings and residual variances.
    style : {"verdict", "significance", "plain"}, optional
        What lines tell: the verdict on the proposition by colour and dashes; p below `alpha` solid, else dashed; or
        nothing. Default: the verdict where there are any, else significance.
    label : {"stars", "interval", "p", "none"}
        What stands beside the coefficient. Of a path with a proposition p is the adjusted one.
    estimates : {"std", "raw"}
        Completely standardized coefficients, or unstandardized ones.
    group : str, optional
        Draw this group alone.
    grey : bool
        No colours.
    alpha : float, optional
        Default: that of the study, else 0.05.
    names : mapping of code to name, optional
        Names of nodes; default: those of the study.
    positions : mapping of code to (x, y), optional
        Centres of nodes in pixels, y downwards; default: those of the model file of the study. Nodes that are not
        named stay where they are; arrows find their way.
    title : str

    Returns
    -------
    Diagram

    Raises
    ------
    DataError
        For an unknown option, group or node, and for nodes on one another.
    Unsupported
        For a comparison without its fit, and for intervals of unstandardized coefficients.
    """
    for name, value in (("kind", kind), ("label", label), ("estimates", estimates), ("style", style)):
        if value is not None and value not in _CHOICES[name]:
            near = did_you_mean(str(value), _CHOICES[name])
            raise DataError(f"{name} is '{value}'.{near}", hint="one of " + ", ".join(_CHOICES[name]))
    if estimates == "raw" and label == "interval":
        raise Unsupported("intervals are those of standardized coefficients", hint="use estimates='std'")
    fit, verdicts, claims, study = _parts(result)
    if alpha is None:
        alpha = float(study.get("alpha") or 0.05)
    if not 0 < alpha < 1:
        raise DataError(f"alpha is {alpha:g}", hint="it lies between 0 and 1")
    chosen = style or ("verdict" if any(v.test in ("path", "moderation") for v in verdicts) else "significance")
    full = kind == "full"
    networks = [
        network_of(
            fit,
            verdicts=verdicts,
            claims=claims if estimates == "std" else (),
            names=names if names is not None else study.get("construct_names"),
            group=number_,
            full=full,
        )
        for number_ in _groups(fit, group)
    ]
    if not networks[0].nodes:
        raise DataError("the model has no variables to draw")
    look = Look(full, chosen, label, estimates, alpha, _NODE)
    places = positions if positions is not None else _stated_positions(study, networks[0])
    composed = _compose(networks, look, fit, places, title)
    drawing = grey_drawing(composed.drawing) if grey else composed.drawing
    caption = _caption(fit, verdicts, networks, composed, look)
    return Diagram(drawing, title, caption, composed.positions)


def draw_path_diagram(result: StudyResult) -> Figure:
    """Draw the structural part of the main model of a study as a figure of the report.

    A model without directed paths is drawn as a ring of correlated constructs, a fit that failed without numbers.

    Parameters
    ----------
    result : StudyResult
        ``study["construct_names"]``, a mapping of code to name, labels the nodes when it is there.

    Returns
    -------
    Figure
        Fixed size in pixels; never an arrow through a node.
    """
    fit, verdicts, claims, study = _parts(result)
    networks = [
        network_of(
            fit, verdicts=verdicts, claims=claims, names=study.get("construct_names"), group=_groups(fit, None)[0]
        )
    ]
    look = Look(False, "verdict", "stars", "std", float(study.get("alpha") or 0.05), _NODE)
    directed = bool(networks[0].paths or networks[0].moderations)
    title = "Path diagram" if directed else "Correlated constructs"
    composed = _compose(networks, look, fit, _stated_positions(study, networks[0]), title)
    return Figure(
        name="path-diagram",
        title=title,
        caption=_caption(fit, verdicts, networks, composed, look),
        alt=composed.drawing.description,
        plot=to_plotly(composed.drawing),
        min_width=round(composed.drawing.width),
        fixed=True,
    )


def _parts(
    result: FitResult | StudyResult | PathGroupResult,
) -> tuple[FitResult, tuple[Verdict, ...], tuple[Any, ...], Mapping[str, Any]]:
    """Return fit, verdicts, moderations and settings of what is drawn."""
    if isinstance(result, StudyResult):
        return result.fit, result.verdicts, result.moderations, result.study
    if isinstance(result, PathGroupResult):
        if result.fit is None:
            raise Unsupported(
                "this comparison of groups was read from a file and has no fit", hint="compare the groups again"
            )
        return result.fit, (), (), {"alpha": result.alpha}
    if not isinstance(result, FitResult):
        raise DataError(
            f"a {type(result).__name__} cannot be drawn as a path diagram",
            hint="give the result of bs.fit, bs.run_study or bs.compare_groups",
        )
    return result, (), (), {}


def _stated_positions(study: Mapping[str, Any], network: Network) -> dict[str, Sequence[float]]:
    """Return the positions of the model file; those of variables that this fit does not have are left out."""
    stated = (study.get("diagram") or {}).get("positions") or {}
    return {n.code: stated[n.code] for n in network.nodes if n.code in stated}


def _groups(fit: FitResult, group: str | None) -> list[int | None]:
    """Return the numbers of the groups to draw."""
    if group is None:
        return [k + 1 for k in range(len(fit.groups))] or [None]
    if group not in fit.groups:
        known = ", ".join(fit.groups) or "the fit has one group"
        raise DataError(f"there is no group '{group}'.{did_you_mean(group, fit.groups)}", hint=f"groups: {known}")
    return [fit.groups.index(group) + 1]


def _compose(
    networks: Sequence[Network],
    look: Look,
    fit: FitResult,
    positions: Mapping[str, Sequence[float]] | None,
    title: str,
) -> Composition:
    about: dict[int, tuple[str, ...]] = {}
    for network in networks:
        moderations = [m.estimate for m in network.moderations]
        for line in (*network.paths, *network.covariances, *moderations):
            about[id(line)] = _hover(line, network)
    places: dict[str, Any] = {k: tuple(float(x) for x in v) for k, v in (positions or {}).items()}
    return compose(networks, look, about=about, positions=places, title=title, description=_describe(networks))


def _hover(line: PathEstimate, network: Network) -> tuple[str, ...]:
    source, target = clean(line.source), clean(line.target)
    title = f"{source} {'↔' if line.kind == 'covariance' else '→'} {target}"
    if line.kind == "moderation":
        edge = next(m for m in network.moderations if m.estimate is line).edge
        title = f"{source} moderates {clean(edge[0])} → {clean(edge[1])}"
    v = line.proposition
    if v:
        title = f"{clean(v.id)}: {title}"
    if not network.usable:
        return title, "no numbers: the fit failed"
    rows = [
        title,
        f"standardized {number(line.std, 3, bounded=True, glyphs=TYPESET)} "
        f"{interval(line.ci_lower, line.ci_upper, 3, bounded=True, glyphs=TYPESET)}",
        f"estimate {number(line.est, 3, glyphs=TYPESET)}, SE {number(line.se, 3, glyphs=TYPESET)}, "
        f"{p_phrase(line.pvalue, glyphs=TYPESET)}",
    ]
    if v:
        if v.adjustment != "none" and v.verdict != NOT_TESTABLE:
            rows.append(f"adjusted {p_phrase(v.p_adjusted, glyphs=TYPESET)}")
        rows.append(v.verdict)
        rows += textwrap.wrap(clean(v.statement), 60)
    return tuple(rows)


def _caption(
    fit: FitResult, verdicts: Sequence[Verdict], networks: Sequence[Network], composed: Composition, look: Look
) -> str:
    first = networks[0]
    if not fit.ok:
        return f"Structure only: {fit.failure}, so no coefficient is shown."
    what = "Standardized" if look.estimates == "std" else "Unstandardized"
    if not (first.paths or first.moderations):
        if not look.full:
            return "Lines: correlations; the thicker, the stronger. All values are in the table of correlations."
        parts = [f"{what} loadings and residual variances."]
    else:
        parts = [f"{what} coefficients" + (" with loadings and residual variances" if look.full else "")]
        adjusted = any(v.adjustment != "none" for v in verdicts)
        if look.label == "stars":
            parts[0] += "; stars rest on the adjusted p of each proposition:" if adjusted else ":"
            parts[0] += " * p < .05, ** p < .01, *** p < .001."
        elif look.label == "interval":
            parts[0] += f" with {_level(fit):.0%} confidence intervals (delta method)."
        elif look.label == "p" and adjusted:
            parts[0] += "; p is the adjusted one of each proposition."
        else:
            parts[0] += "."
    if composed.dashed:
        parts.append(f"Dashed: not significant at {number(look.alpha, 3, bounded=True).rstrip('0')}.")
    if composed.arcs:
        parts.append(
            "Thin double arrows: correlations." if look.estimates == "std" else "Thin double arrows: covariances."
        )
    if first.moderations:
        parts.append("Arrows that end on an arrow: moderation, the coefficient of the product.")
    if first.apart:
        parts.append(f"{', '.join(first.apart)}: from a model of its own, with the product.")
    parts += _hidden(composed.hidden, look)
    untested = [v.id for v in verdicts if v.verdict == NOT_TESTABLE]
    if untested:
        parts.append(f"Not testable here: {', '.join(untested)}.")
    if len(networks) == 1 and fit.groups:
        parts.append(f"Group: {first.label}.")
    return " ".join(parts)


def _hidden(hidden: Sequence[PathEstimate], look: Look) -> list[str]:
    """Say what is not drawn: in full where it is short."""
    names = "correlations" if look.estimates == "std" else "covariances"
    loadings = [c for c in hidden if c.kind == "loading"]
    others = [c for c in hidden if c.kind != "loading"]
    said = []
    if others and len(others) <= 4:

        def one(c: PathEstimate) -> str:
            value = (
                number(c.std, 2, bounded=True, glyphs=TYPESET)
                if look.estimates == "std"
                else number(c.est, 2, glyphs=TYPESET)
            )
            return f"{c.source} ↔ {c.target} {value}"

        said.append(f"Not drawn: {', '.join(map(one, others))} ({names} of residuals or predictors).")
    elif others:
        said.append(f"Not drawn: {len(others)} {names}, listed in the table of all parameters.")
    if loadings:
        shown = ", ".join(f"{c.source} =~ {c.target}" for c in loadings[:6]) + (", ..." if len(loadings) > 6 else "")
        said.append(f"Not drawn: further loadings {shown}.")
    return said


def _level(fit: FitResult) -> float:
    """Return the confidence level of the intervals of a fit."""
    return float(fit.model.options.get("level") or 0.95)


def _describe(networks: Sequence[Network]) -> str:
    def one(p: PathEstimate, usable: bool) -> str:
        joint = " with " if p.kind == "covariance" else " on a path to " if p.kind == "moderation" else " to "
        return f"{p.source}{joint}{p.target}" + (f" {number(p.std, 2, bounded=True)}" if usable else "")

    first = networks[0]
    parts = [f"Path diagram of {', '.join(n.code for n in first.nodes)}."]
    for network in networks:
        lines: Iterable[PathEstimate] = (*network.paths, *(m.estimate for m in network.moderations))
        lines = tuple(lines) or network.covariances
        lead = f"Group {network.label}: " if network.label else "Paths: "
        parts.append(lead + "; ".join(one(p, network.usable) for p in lines) + ".")
    return " ".join(parts)
