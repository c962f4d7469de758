"""Dynamic cut-offs of fit indices: a table beside the usual guides, and the distributions they come from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from b2b_sem.measures.notation import number
from b2b_sem.report.canvas import INK, MARKS, MUTED, Figure, axis_marks, base_layout
from b2b_sem.report.definition import GUIDES
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.cutoff import INDICES, FitCutoffs
from b2b_sem.results.study import StudyResult

__all__ = ["cutoff_figures", "cutoff_tables", "draw_cutoffs", "tabulate_cutoffs"]

SOURCE = "McNeish & Wolf 2023, doi:10.1037/met0000425"
SOURCE_ONE = "McNeish & Wolf 2022, doi:10.3758/s13428-021-01847-y"
#: The usual limits, as numbers for the figure.
_USUAL = {"srmr": 0.08, "rmsea": 0.06, "cfi": 0.95}
#: Levels whose distributions are drawn; of more, the first, the last and some between.
_MOST = 4
_BINS = 40
_DASHES = ("solid", "7px,5px", "16px,5px", "3px,3px")


def _name(found: FitCutoffs, index: str) -> str:
    scaled = "Scaled " if found.suffix and index != "srmr" else ""
    return scaled + index.upper()


def tabulate_cutoffs(found: FitCutoffs) -> Table:
    """Return the cut-offs of each index by level, beside its value and its usual guide."""
    columns = [
        Column("index", "Index", "value", merged=True),
        Column("value", "Value", "bounded3", merged=True),
        Column("guide", "Customary guide", "value", merged=True),
        Column("level", "Level", "count"),
        Column("left_out", "Left out, besides that of lower levels", "code"),
        Column("cut", "Cut-off", "bounded3"),
        Column("criterion", "Criterion", "value"),
        Column("sensitivity", "Sensitivity", "bounded"),
        Column("specificity", "Specificity", "bounded"),
        Column("reached", "Reached", "value"),
        Column("mcse", "MC error", "bounded3", shown=False),
        Column("correct", "Limit of a correct model", "bounded3", shown=False),
        Column("power", "Power at that limit", "bounded", shown=False),
    ]
    added = found.added.to_dict("records")
    rows = []
    for index in INDICES:
        own = found.table[found.table["index"] == index]
        for row in own.to_dict("records"):
            left = [a for a in added if a["level"] == row["level"]]
            rows.append(
                (
                    _name(found, index),
                    row["value"],
                    GUIDES[index].text,
                    row["level"],
                    "; ".join(f"{a['lhs']} {a['op']} {number(a['value'], 3, bounded=True)}*{a['rhs']}" for a in left),
                    row["cut"],
                    row["criterion"],
                    row["sensitivity"],
                    row["specificity"],
                    "" if row["reached"] is None else "yes" if row["reached"] else "no",
                    row["mcse"],
                    row["correct"],
                    row["power"],
                )
            )
    what = "correlations of residuals" if found.factors == 1 else "cross-loadings"
    notes = [
        f"{found.replications} samples of {found.nobs} respondents of each population, seed {found.seed}, estimator "
        f"{found.estimator}. The correct population has the estimates of the measurement model; that of a level also "
        f"has {what} which the model leaves out ({SOURCE_ONE if found.factors == 1 else SOURCE}).",
        "95/5: at least 95% of correct and of misspecified samples are on their own side of the cut-off; 90/10: at "
        "least 90%; none: too many of them overlap. Reached: the fit shows at least as much misfit. Customary guides: "
        f"{GUIDES['cfi'].source}.",
        *found.notes,
    ]
    return table("fit_cutoffs", "Cut-offs of fit indices for this model", columns, rows, notes)


def draw_cutoffs(found: FitCutoffs) -> Figure:
    """Draw the distributions of each index in correct and misspecified samples, with cut-offs and the usual limit."""
    levels = _shown(found.levels)
    plot = go.Figure()
    axes: dict[str, Any] = {}
    shapes: list[dict[str, Any]] = []
    width, gap = 0.29, 0.065
    said = []
    for place, index in enumerate(INDICES):
        suffix = "" if place == 0 else str(place + 1)
        own = found.table[found.table["index"] == index]
        cuts = dict(zip(own["level"].astype(int), own["cut"].astype(float), strict=True))
        drawn = {level: found.samples(level)[index].dropna().to_numpy() for level in (0, *levels)}
        value = found.values.get(index, math.nan)
        reach = [*drawn.values(), np.array([_USUAL[index]]), np.array([value]) if math.isfinite(value) else np.zeros(0)]
        low, high = float(min(v.min() for v in reach if len(v))), float(max(v.max() for v in reach if len(v)))
        pad = 0.02 * (high - low)
        edges = np.linspace(low, high, _BINS + 1)
        for position, (level, values) in enumerate(drawn.items()):
            share = np.histogram(values, edges)[0] / len(values)
            label = "correct model" if level == 0 else f"level {level}"
            colour = MUTED if level == 0 else MARKS[position - 1][0]
            plot.add_trace(
                go.Scatter(
                    x=np.repeat(edges, 2).tolist(),
                    y=[0.0, *np.repeat(100 * share, 2).tolist(), 0.0],
                    xaxis=f"x{suffix}",
                    yaxis="y",
                    mode="lines",
                    line={
                        "color": colour,
                        "width": 1.2 if level == 0 else 2,
                        "dash": "solid" if level == 0 else _DASHES[position - 1],
                    },
                    fill="tozeroy" if level == 0 else "none",
                    fillcolor="rgba(95,99,104,0.28)",
                    name=label,
                    legendgroup=label,
                    showlegend=place == 0,
                    hoverinfo="skip",
                )
            )
            cut = cuts.get(level, math.nan)
            if math.isfinite(cut):
                shapes.append(_upright(suffix, cut, colour, 1.6, _DASHES[position - 1]))
        shapes.append(_upright(suffix, _USUAL[index], INK, 1.0, "1px,3px"))
        if math.isfinite(value):
            shapes.append(_upright(suffix, value, INK, 2.4, "solid"))
        listed = ", ".join(
            f"level {level} {number(c, 3, bounded=True) if math.isfinite(c) else 'none'}" for level, c in cuts.items()
        )
        said.append(f"{_name(found, index)}: {listed}")
        start = place * (width + gap)
        axes[f"xaxis{suffix}"] = {
            "domain": [start, start + width],
            "range": [low - pad, high + pad],
            "title": {"text": _name(found, index)},
            "showline": True,
            "linecolor": "#d5d9de",
            "gridcolor": "#ececec",
            "zeroline": False,
            "fixedrange": True,
            **axis_marks(low, high, 7),
        }
    base = base_layout(height=360)
    base["margin"] = {**base["margin"], "t": 62, "l": 56}
    plot.update_layout(
        **base,
        **axes,
        shapes=shapes,
        yaxis={
            "title": {"text": "Samples (%)"},
            "gridcolor": "#ececec",
            "zeroline": False,
            "fixedrange": True,
            "rangemode": "tozero",
        },
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "itemclick": False},
        showlegend=True,
    )
    left = found.levels - len(levels)
    more = f" {left} level{'' if left == 1 else 's'} between {'is' if left == 1 else 'are'} not drawn." if left else ""
    own_value = "; the thick line is the fit itself" if any(math.isfinite(v) for v in found.values.values()) else ""
    return Figure(
        "fit-cutoffs",
        "Fit indices in correct and in misspecified samples",
        f"Upright lines: the cut-off of each level, in its colour; dotted: the customary limit{own_value}.{more} "
        f"({SOURCE_ONE if found.factors == 1 else SOURCE})",
        f"Cut-offs of fit indices. {'; '.join(said)}.",
        plot,
        min_width=640,
        max_width=1000,
    )


def _upright(suffix: str, x: float, colour: str, width: float, dash: str) -> dict[str, Any]:
    line = {"color": colour, "width": width, "dash": dash}
    return {"type": "line", "xref": f"x{suffix}", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line}


def _shown(levels: int) -> list[int]:
    if levels <= _MOST:
        return list(range(1, levels + 1))
    return sorted({round(v) for v in np.linspace(1, levels, _MOST)})


def cutoff_tables(result: StudyResult) -> dict[str, Table]:
    """Return the table of a study that asks for cut-offs, by name."""
    return {} if result.fit_cutoffs is None else {"fit_cutoffs": tabulate_cutoffs(result.fit_cutoffs)}


def cutoff_figures(result: StudyResult) -> dict[str, Figure]:
    """Return the figure of a study that asks for cut-offs, by name."""
    return {} if result.fit_cutoffs is None else {"fit-cutoffs": draw_cutoffs(result.fit_cutoffs)}
