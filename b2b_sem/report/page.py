"""What all HTML pages share: templates, figures as JSON, plotly.js; and a page of figures alone."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from b2b_sem.report.canvas import Figure
from b2b_sem.report.cutoff import draw_cutoffs
from b2b_sem.report.group_figure import invariance_figures, path_figures
from b2b_sem.report.moderation_route import route_figures
from b2b_sem.report.power_figure import power_figures
from b2b_sem.report.power_sample import Sampled, sampled_contents, sampled_tables
from b2b_sem.report.power_table import power_tables
from b2b_sem.report.probe_figure import probe_figures
from b2b_sem.report.table import Table, link_dois
from b2b_sem.results.cutoff import FitCutoffs
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.results.io import write_text
from b2b_sem.results.moderation import ModerationResult
from b2b_sem.results.path_group import PathGroupResult
from b2b_sem.results.power import PowerResult
from b2b_sem.results.probe import JohnsonNeyman, SimpleSlopes

Probed = SimpleSlopes | JohnsonNeyman
Grouped = InvarianceResult | PathGroupResult | ModerationResult
Drawable = Grouped | PowerResult | Sampled | FitCutoffs | Probed | Sequence[Probed]

__all__ = ["figure_spec", "plotly_code", "template", "write_figures"]


def write_figures(
    result: Drawable,
    path: str | os.PathLike[str],
) -> Path:
    """Write the figures of a result (see below which have some) as one HTML page, whole or not at all.

    The page works without a network; the camera above each figure saves it as SVG.

    Parameters
    ----------
    result : InvarianceResult, PathGroupResult, ModerationResult, PowerResult and others
        Of :func:`b2b_sem.invariance`: steps, items that work differently (dMACS) and latent means. Of
        :func:`b2b_sem.compare_groups`: paths by group. Of :func:`b2b_sem.moderation`: standardized effects by route.
        Of :func:`b2b_sem.power`: power over numbers of respondents. Of :func:`b2b_sem.fit_cutoffs`: fit indices of
        correct and misspecified samples. By samples also :func:`b2b_sem.find_rows` and
        :func:`b2b_sem.find_effect`: curves with bands, and tables.
        Of :func:`b2b_sem.simple_slopes`: lines with bands, and the response surface. Of
        :func:`b2b_sem.johnson_neyman`: the slope over the moderator. A list of these makes one page.
    path : path
        Of the page, such as ``groups.html``. Folders on the way are made.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    title, subtitle, lines, figures = _contents(result)
    page = template("figures.html.j2").render(
        title=title,
        subtitle=subtitle,
        lines=lines,
        figures=figures,
        tables=[Markup(t.to_html()) for t in _tables(result)],
        specs=[Markup(figure_spec(f)) for f in figures],
        plotly=Markup(plotly_code()),
        version=version("b2b-sem"),
    )
    return write_text(path, page + "\n")


def _tables(result: Drawable) -> list[Table]:
    if isinstance(result, PowerResult):
        return power_tables(result)
    return sampled_tables(result) if isinstance(result, Sampled) else []


def _contents(result: Drawable) -> tuple[str, str, list[str], list[Figure]]:
    """Return title, subtitle, lines of text and figures of a page."""
    if isinstance(result, SimpleSlopes | JohnsonNeyman):
        result = [result]
    if isinstance(result, Sequence):
        first = result[0].surface
        lines = dict.fromkeys(note for part in result for note in part.notes)
        title = f"{first.focal} → {first.outcome}, moderated by {first.moderator}"
        return title, f"The product {first.product} in the equation of {first.outcome}", [*lines], probe_figures(result)
    if isinstance(result, Sampled):
        return sampled_contents(result)
    if isinstance(result, FitCutoffs):
        kind = "one factor" if result.factors == 1 else f"{result.factors} factors"
        lines_of = [*result.conclusions(), *result.notes]
        return "Cut-offs of fit indices", f"{kind}, {result.nobs} respondents", lines_of, [draw_cutoffs(result)]
    if isinstance(result, PowerResult):
        split = f" in {len(result.groups)} groups" if result.groups else ""
        return "Power", f"{result.nobs} respondents{split}", list(result.notes), power_figures(result)
    lines_of = [*result.statements, *result.warnings]
    if isinstance(result, ModerationResult):
        title = f"{result.focal} → {result.outcome}, moderated by {result.moderator}"
        how = f"estimator {result.options['estimator']}, missing answers: {result.options['missing']}"
        return title, f"One question by {len(result.rows)} routes · {how}", lines_of, route_figures(result)
    if isinstance(result, InvarianceResult):
        title, figures = "Measurement invariance", invariance_figures(result)
    else:
        title, figures = "Paths", path_figures(result)
    sizes = ", ".join(f"{label} (n = {n})" for label, n in result.groups.items())
    how = f"estimator {result.estimator}, missing answers: {result.missing}"
    return f"{title} by {result.group}", f"{sizes} · {how}", lines_of, figures


@functools.cache
def template(name: str) -> jinja2.Template:
    """Return a template of this package; its text is escaped, and ``doi:10...`` becomes a link by the filter `doi`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("b2b_sem.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["doi"] = lambda value: Markup(link_dois(str(value)))
    return environment.get_template(name)


def figure_spec(figure: Figure) -> str:
    """Return a figure as JSON that is safe inside a script element."""
    spec: dict[str, Any] = json.loads(figure.plot.to_json(engine="json"))
    spec["layout"].pop("template", None)  # 7 kB of defaults a figure; ours are spelled out
    spec["config"] = {
        "displaylogo": False,
        "responsive": not figure.fixed,
        "displayModeBar": "hover",
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": "svg", "filename": figure.name},
    }
    return json.dumps(spec, ensure_ascii=False, sort_keys=True).replace("<", "\\u003c")


def plotly_code() -> str:
    """Return plotly.js, safe inside a script element."""
    return get_plotlyjs().replace("</script", "<\\/script")
