"""Figures of groups: steps of invariance, items that work differently, latent means, and paths."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, interval, number, p_phrase
from b2b_sem.report.canvas import INK, MARKS, MUTED, Figure, axis_marks, base_layout, ticks, wrap_label
from b2b_sem.results.group_claim import GroupClaim
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.results.path_group import PathGroupResult

__all__ = [
    "Marks",
    "adjustment_name",
    "draw_claim",
    "draw_effects",
    "draw_ladder",
    "draw_latent_means",
    "draw_paths",
    "equality_p",
    "forest",
    "invariance_figures",
    "path_figures",
    "path_label",
]

NYE = "Nye, Bradburn, Olenick, Bialko & Drasgow 2019, doi:10.1177/1094428118761122"
#: Small, medium and large differences of an item by dMACS.
DMACS_GUIDES = ((0.2, "small"), (0.4, "medium"), (0.7, "large"))
_HOLDS, _FAILS = ("#0b5394", "circle"), ("#b3261e", "x")
_BEYOND = "#f3dfdc"
_BAND = "#f4f6f9"
_DIFFERS = "#fff3d6"
_ADJUSTMENTS = {"holm": "Holm", "bonferroni": "Bonferroni", "bh": "Benjamini-Hochberg"}


def invariance_figures(result: InvarianceResult, names: Mapping[str, str] | None = None) -> list[Figure]:
    """Return the figures of a ladder that its numbers allow: steps, items that work differently, latent means."""
    made = [draw_ladder(result), draw_effects(result, names), draw_latent_means(result, names)]
    return [f for f in made if f is not None]


def path_figures(result: PathGroupResult) -> list[Figure]:
    """Return the figures of a comparison of paths."""
    made = draw_paths(result)
    return [] if made is None else [made]


def adjustment_name(method: str) -> str:
    """Return who an adjustment of p-values is named after; empty without one."""
    return _ADJUSTMENTS.get(method, "")


def path_label(name: str) -> str:
    """Return a path as cause and outcome: ``PC~NR`` is ``NR -> PC``."""
    end, _, start = name.partition("~")
    return f"{start} -> {end}" if start else name


def equality_p(row: Mapping[Any, Any]) -> float:
    """Return the adjusted p-value that decides on a path: of the chi-square difference, else of the Wald test."""
    p = float(row["diff_adjusted"])
    return p if math.isfinite(p) else float(row["wald_adjusted"])


@dataclass(frozen=True)
class Marks:
    """Points of one group with their intervals; `rows` are places from the top, before groups are set apart."""

    name: str
    rows: Sequence[int]
    values: Sequence[float]
    bounds: Sequence[tuple[float, float]]
    hover: Sequence[str]
    written: bool = False


def draw_paths(result: PathGroupResult) -> Figure | None:
    """Draw each path with an interval for every group, and whether the groups differ; None without numbers."""
    frame = result.estimates
    frame = frame[frame["est"].map(math.isfinite)]
    if frame.empty:
        return None
    tests = {row["path"]: row for row in result.tests.to_dict("records")}
    paths = list(dict.fromkeys(frame["path"]))
    series = []
    for label in result.groups:
        own = frame[frame["group"] == label].to_dict("records")
        series.append(
            Marks(
                label,
                [paths.index(r["path"]) for r in own],
                [r["est"] for r in own],
                [(r["ci_lower"], r["ci_upper"]) for r in own],
                [_hover(path_label(r["path"]), label, r) for r in own],
            )
        )
    adjusted = adjustment_name(result.multiplicity)
    differ = [p for p in paths if p in tests and equality_p(tests[p]) < result.alpha]
    heading = f"p ({adjusted})" if adjusted else "p"
    sides = []
    for path in paths:
        p = equality_p(tests[path]) if path in tests else math.nan
        text = html.escape(p_phrase(p, glyphs=TYPESET)) if math.isfinite(p) else "no test"
        sides.append(f"<b>{text}<br>differs</b>" if path in differ else text)
    plot = forest(
        series,
        [wrap_label(path_label(p).replace("->", "→"), 26) for p in paths],
        "Coefficient (unstandardized)",
        sides=sides,
        heading=f"<b>Equal in all groups</b><br>{heading}",
        tinted=[i for i, p in enumerate(paths) if p in differ],
    )
    listed = ", ".join(path_label(p).replace("->", "to") for p in differ)
    found = f"Differs: {listed}." if differ else "No single path differs reliably."
    kinds = f" with {', '.join(result.equal)} equal" if result.equal and "=~" in result.model else ""
    return Figure(
        "paths-by-group",
        f"Paths by {result.group}",
        f"Points: coefficients of one joint model{kinds}; lines: {result.level:.0%} confidence intervals. Right: the "
        f"test that a path is equal in all groups{', adjusted over the paths' if adjusted else ''}; shaded where "
        f"p < {number(result.alpha, 2, bounded=True, glyphs=TYPESET)}. Paths whose intervals overlap may still differ: "
        "the test decides.",
        f"Forest plot of {len(paths)} paths in {len(result.groups)} groups. {found} All values are in the table of "
        "paths by group.",
        plot,
        min_width=520,
        max_width=980,
    )


def draw_latent_means(result: InvarianceResult, names: Mapping[str, str] | None = None) -> Figure | None:
    """Draw latent means minus those of the first group, with intervals; None where they may not be compared."""
    frame = result.means
    frame = frame[frame["est"].map(math.isfinite)]
    if frame.empty:
        return None
    first, *others = result.groups
    latents = list(dict.fromkeys(frame["latent"]))
    series = []
    for label in others:
        own = frame[frame["group"] == label].to_dict("records")
        series.append(
            Marks(
                label,
                [latents.index(r["latent"]) for r in own],
                [r["est"] for r in own],
                [(r["ci_lower"], r["ci_upper"]) for r in own],
                [_hover(r["latent"], label, r) for r in own],
                written=len(others) == 1,
            )
        )
    plot = forest(
        series,
        [wrap_label(_named(f, names), 30) for f in latents],
        f"Difference from {first}, in its standard deviations",
        shift=1,
    )
    text = "; ".join(
        f"{r['latent']} in {r['group']} {number(r['est'])} {interval(r['ci_lower'], r['ci_upper'])}"
        for r in frame.to_dict("records")
    )
    partial = "partial " if _released(result) else ""
    return Figure(
        "latent-means",
        f"Latent means by {result.group}",
        f"Points: latent means minus those of {first} (the line at 0), in standard deviations of {first}; lines: 95% "
        f"confidence intervals. Under {partial}scalar invariance; not adjusted for the number of comparisons.",
        f"Forest plot of latent mean differences from {first}: {text}.",
        plot,
        min_width=360,
        max_width=900,
    )


def draw_claim(claim: GroupClaim, names: Mapping[str, str] | None = None) -> Figure | None:
    """Draw total, direct and indirect differences of a claim on groups, with intervals; None without numbers."""
    frame = claim.effects
    frame = frame[frame["est"].map(math.isfinite) & frame["ci_lower"].map(math.isfinite)]
    if frame.empty:
        return None
    rows = frame.to_dict("records")
    labels = []
    for r in rows:
        through = f" through {r['through']}" if r["through"] else ""
        at = f" at the means of {r['at']}" if r["at"] else ""
        what = f"{_named(r['outcome'], names)}: {r['effect']}{through}{at}"
        labels.append(f"<b>{wrap_label(what, 34)}</b>" if r["judged"] else wrap_label(what, 34))
    series = [
        Marks(
            claim.level or str(rows[0]["predictor"]),
            range(len(rows)),
            [r["est"] for r in rows],
            [(r["ci_lower"], r["ci_upper"]) for r in rows],
            [_hover(r["outcome"], str(r["effect"]), r) for r in rows],
            written=True,
        )
    ]
    measured = sorted({str(r["predictor"]) for r in rows} - {claim.level})
    if measured:
        title, unit = "Effect (unstandardized)", f"effects of {', '.join(measured)}"
    else:
        title = f"{claim.level} minus {claim.reference}, in standard deviations of {claim.reference}"
        unit = f"differences of latent means, {claim.level} minus {claim.reference}"
    text = "; ".join(
        f"{r['outcome']} {r['effect']} {number(r['est'])} {interval(r['ci_lower'], r['ci_upper'])}" for r in rows
    )
    return Figure(
        f"claim-{claim.id}",
        f"What {claim.id} rests on",
        f"Points: {unit}; lines: {claim.level_ci:.0%} confidence intervals. Bold: what the verdict rests on.",
        f"Forest plot of {unit}: {text}.",
        forest(series, labels, title),
        min_width=420,
        max_width=900,
    )


def draw_ladder(result: InvarianceResult) -> Figure | None:
    """Draw CFI, RMSEA and SRMR of each step with the limits that decided; None if no index exists."""
    rows = result.steps.to_dict("records")
    panels = [(k, t) for k, t in (("cfi", "CFI"), ("rmsea", "RMSEA"), ("srmr", "SRMR")) if _finite(rows, k)]
    if not panels:
        return None
    kind = f"{result.indices} " if result.indices else ""
    plot = go.Figure()
    shapes: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    gap = 0.06
    width = (1 - gap * (len(panels) - 1)) / len(panels)
    for place, (key, title) in enumerate(panels):
        axis = "x" if place == 0 else f"x{place + 1}"
        limits = [_limit(result, row, key) for row in rows]
        values = [float(row[key]) for row in rows]
        low, high = _span([*values, *limits], rising=key != "cfi")
        for i, limit in enumerate(limits):
            if math.isfinite(limit):
                ends = (low, limit) if key == "cfi" else (limit, high)
                shapes.append(_box(axis, ends, (i - 0.5, i + 0.5), _BEYOND))
                line = {"color": MUTED, "width": 1.5, "dash": "4px,3px"}
                shapes.append(
                    {"type": "line", "xref": axis, "x0": limit, "x1": limit, "y0": i - 0.5, "y1": i + 0.5, "line": line}
                )
        for holds, (colour, symbol) in ((True, _HOLDS), (False, _FAILS)):
            at = [i for i, row in enumerate(rows) if bool(row["holds"]) is holds and math.isfinite(values[i])]
            if not at and place:
                continue
            plot.add_trace(
                go.Scatter(
                    x=[values[i] for i in at],
                    y=at,
                    xaxis=axis,
                    mode="markers+text",
                    marker={"symbol": symbol, "size": 11, "color": colour},
                    text=[number(values[i], 3, bounded=True, glyphs=TYPESET) for i in at],
                    textposition="top center",
                    textfont={"size": 12, "color": INK},
                    cliponaxis=False,
                    hovertext=[f"{rows[i]['step']}: {html.escape(str(rows[i]['reason']))}" for i in at],
                    hovertemplate="%{hovertext}<extra></extra>",
                    name="step holds" if holds else "step does not hold",
                    legendgroup=str(holds),
                    showlegend=place == 0 and bool(at),
                )
            )
        start = place * (width + gap)
        shapes.append(
            {"type": "rect", "xref": "paper", "x0": start, "x1": start + width, "yref": "paper", "y0": 0, "y1": 1}
            | {"line": {"color": "#c3c8ce", "width": 1}}
        )
        axes["xaxis" if place == 0 else f"xaxis{place + 1}"] = {
            "domain": [start, start + width],
            "range": [low, high],
            "gridcolor": "#e6e6e6",
            "showline": True,
            "linecolor": "#d5d9de",
            "zeroline": False,
            "fixedrange": True,
            "title": {
                "text": title if key == "srmr" else f"{kind}{title}".strip(),
                "font": {"size": 13},
                "standoff": 8,
            },
        } | _bounded_marks(low, high)
    plot.update_layout(
        **base_layout(height=110 + 54 * len(rows)),
        **axes,
        shapes=shapes,
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(rows))),
            "ticktext": [_step_label(row, tested="alpha" in result.limits) for row in rows],
            "range": [len(rows) - 0.5, -0.6],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemclick": False},
    )
    text = "; ".join(
        f"{r['step']} {'holds' if r['holds'] else 'does not hold'} (CFI {number(r['cfi'], 3, bounded=True)}, RMSEA "
        f"{number(r['rmsea'], 3, bounded=True)}, SRMR {number(r['srmr'], 3, bounded=True)})"
        for r in rows
    )
    return Figure(
        "invariance-ladder",
        f"Steps of invariance across {result.group}",
        _ladder_caption(result),
        f"Fit of {len(rows)} models: {text}.",
        plot,
        min_width=560,
        max_width=980,
    )


def draw_effects(result: InvarianceResult, names: Mapping[str, str] | None = None) -> Figure | None:
    """Draw how differently each item works (dMACS), items grouped by latent variable; None without numbers."""
    frame = result.effects
    frame = frame[frame["dmacs"].map(math.isfinite)]
    if frame.empty:
        return None
    released = set(_released(result))
    plot = go.Figure()
    shapes: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    places: dict[tuple[str, str], float] = {}
    labels: list[str] = []
    y = 0.0
    for k, (latent, rows) in enumerate(frame.groupby("latent", sort=False)):
        start = y
        referents = set(rows["referent"])
        for item in dict.fromkeys(rows["item"]):
            places[str(latent), item] = y + 1.45
            y += 1.0
            mark = " (referent)" if item in referents else " (released)" if item in released else ""
            labels.append(wrap_label(f"{item}{mark}", 30))
        y += 0.95
        if k % 2 == 0:
            shapes.append(_box("paper", (0, 1), (start + 0.1, y + 0.1), _BAND))
        texts.append(
            {
                "xref": "paper",
                "x": 0.01,
                "y": start + 0.25,
                "text": f"<b>{wrap_label(_named(str(latent), names), 60)}</b>",
                "showarrow": False,
                "xanchor": "left",
                "yanchor": "top",
                "font": {"size": 13},
            }
        )
    high = max(0.8, 1.08 * float(frame["dmacs"].max()))
    for value, word in DMACS_GUIDES:
        line = {"color": MUTED, "width": 1.2, "dash": "4px,4px"}
        shapes.append({"type": "line", "x0": value, "x1": value, "y0": 0, "y1": y + 0.1, "line": line})
        texts.append(
            {"x": value, "y": 0, "yanchor": "bottom", "text": word, "showarrow": False, "font": {"size": 12}}
            | {"xanchor": "center"}
        )
    _, *others = result.groups
    for place, label in enumerate(others, 1):
        own = frame[frame["group"] == label].to_dict("records")
        colour, symbol = MARKS[place % len(MARKS)] if len(others) > 1 else MARKS[0]
        plot.add_trace(
            go.Scatter(
                x=[r["dmacs"] for r in own],
                y=[places[r["latent"], r["item"]] + _apart(place - 1, len(others)) for r in own],
                mode="markers",
                marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}},
                hovertext=[
                    f"{html.escape(str(r['item']))}, {html.escape(label)}: {number(r['dmacs'], 2, glyphs=TYPESET)} "
                    f"(signed {number(r['signed'], 2, glyphs=TYPESET)})"
                    for r in own
                ],
                hovertemplate="%{hovertext}<extra></extra>",
                name=wrap_label(label, 30),
                showlegend=len(others) > 1,
            )
        )
    base = base_layout(height=round(96 + (22 + 5 * (len(others) > 1)) * y))
    base["margin"] = {**base["margin"], "t": 50 if len(others) > 1 else 30}
    plot.update_layout(
        **base,
        shapes=shapes,
        annotations=texts,
        xaxis={"range": [-0.03 * high, high], "gridcolor": "#e6e6e6", "zeroline": False, "fixedrange": True}
        | axis_marks(0.0, high)
        | {"title": {"text": "dMACS (standard deviations of the item)", "font": {"size": 13}, "standoff": 10}},
        yaxis={
            "tickmode": "array",
            "tickvals": list(places.values()),
            "ticktext": labels,
            "range": [y + 0.2, 0],
            "automargin": True,
            "tickfont": {"size": 12},
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "yref": "container", "x": 0, "itemclick": False}
        | {"yanchor": "top"},
    )
    worst = frame.sort_values("dmacs").iloc[-1]
    return Figure(
        "dmacs",
        f"Items that work differently across {result.group}",
        f"dMACS: how far expected answers of {_listed(others)} and {next(iter(result.groups))} differ at the same "
        "value of the latent variable, in standard deviations of the item; the referent is 0 by construction. "
        f"Guides: .20 small, .40 medium, .70 large ({NYE}).",
        f"Dot plot of dMACS of {frame['item'].nunique()} items; largest {number(float(worst['dmacs']))} "
        f"({worst['item']}, {worst['group']}). All values are in the table.",
        plot,
        min_width=360,
        max_width=900,
    )


# ---- parts -----------------------------------------------------------------------------------------------------------


def forest(
    series: Sequence[Marks],
    labels: Sequence[str],
    title: str,
    *,
    sides: Sequence[str] = (),
    heading: str = "",
    tinted: Sequence[int] = (),
    shift: int = 0,
) -> Any:
    """Return a forest plot: one row a label, one mark a series, text at the right."""
    plot = go.Figure()
    many = len(series)
    for place, marks in enumerate(series):
        colour, symbol = MARKS[(place + shift if many > 1 else 0) % len(MARKS)]
        lows = [v - a if math.isfinite(a) else 0.0 for v, (a, _) in zip(marks.values, marks.bounds, strict=True)]
        highs = [b - v if math.isfinite(b) else 0.0 for v, (_, b) in zip(marks.values, marks.bounds, strict=True)]
        plot.add_trace(
            go.Scatter(
                x=[float(v) for v in marks.values],
                y=[row + _apart(place, many) for row in marks.rows],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [float(v) for v in highs],
                    "arrayminus": [float(v) for v in lows],
                    "color": colour,
                    "thickness": 1.8,
                    "width": 5,
                },
                mode="markers",
                marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2, "color": colour}},
                hovertext=list(marks.hover),
                hovertemplate="%{hovertext}<extra></extra>",
                name=wrap_label(marks.name, 30),
            )
        )
    ends = [e for m in series for pair in m.bounds for e in pair if math.isfinite(e)]
    ends += [v for m in series for v in m.values]
    low, high = min(0.0, *ends), max(0.0, *ends)
    pad = 0.06 * (high - low) or 1.0
    size = max(44, 22 + 18 * many, *(18 * (1 + max(t.count("<br>") for t in (*labels, *sides))),))
    title = wrap_label(title, 64)
    extra = 17 * title.count("<br>")
    base = base_layout(height=104 + extra + size * len(labels))
    base["margin"] = {**base["margin"], "b": 52 + extra, **({"r": 176, "t": 44} if sides else {})}
    notes: list[dict[str, Any]] = [
        {
            "x": float(value),
            "y": row,
            "yshift": 14,
            "text": f"{number(value, 2, glyphs=TYPESET)} {interval(*limits, glyphs=TYPESET)}",
            "showarrow": False,
            "bgcolor": "#ffffff",
            "borderpad": 0,
            "font": {"size": 12, "color": INK},
        }
        for marks in series
        if marks.written
        for row, value, limits in zip(marks.rows, marks.values, marks.bounds, strict=True)
    ]
    column = [
        {
            "xref": "paper",
            "x": 1.02,
            "y": i,
            "text": text,
            "showarrow": False,
            "xanchor": "left",
            "yanchor": "middle",
            "align": "left",
            "font": {"size": 12},
        }
        for i, text in enumerate(sides)
    ]
    notes += column
    if heading:
        notes.append({**column[0], "yref": "paper", "y": 1.0, "yanchor": "bottom", "text": heading})
    plot.update_layout(
        **base,
        shapes=[_box("paper", (0, 1), (i - 0.5, i + 0.5), _DIFFERS) for i in tinted],
        annotations=notes,
        xaxis={
            "range": [low - pad, high + pad],
            "gridcolor": "#e6e6e6",
            "zeroline": True,
            "zerolinecolor": INK,
            "zerolinewidth": 1.2,
            "fixedrange": True,
            "title": {"text": title, "font": {"size": 13}, "standoff": 10},
        }
        | axis_marks(low - pad, high + pad),
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(labels))),
            "ticktext": list(labels),
            "range": [len(labels) - 0.4, -0.6],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemclick": False},
        showlegend=True,
    )
    return plot


def _apart(place: int, many: int) -> float:
    """Return how far the mark of a group stands from the middle of its row."""
    return (place - (many - 1) / 2) * min(0.26, 0.68 / many)


def _box(axis: str, x: tuple[float, float], y: tuple[float, float], fill: str) -> dict[str, Any]:
    ends = {"x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}
    return {"type": "rect", "xref": axis, **ends, "fillcolor": fill, "line": {"width": 0}, "layer": "below"}


def _hover(what: str, group: str, row: Mapping[Any, Any]) -> str:
    p = html.escape(p_phrase(row["pvalue"], glyphs=TYPESET))
    limits = interval(row["ci_lower"], row["ci_upper"], 3, glyphs=TYPESET)
    return f"{html.escape(what)}, {html.escape(group)}: {number(row['est'], 3, glyphs=TYPESET)} {limits}, {p}"


def _named(code: str, names: Mapping[str, str] | None) -> str:
    name = (names or {}).get(code, code)
    return code if name == code else f"{name} ({code})"


def _released(result: InvarianceResult) -> list[str]:
    """Return items whose expected answers differ: residual variances, released in the strict step, do not count."""
    rows = result.releases
    return [str(item) for item in rows.loc[rows["step"] != "strict", "item"]]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" or {names[-1]}"


def _finite(rows: Sequence[Mapping[Any, Any]], key: str) -> bool:
    return any(math.isfinite(float(row[key])) for row in rows)


def _step_label(row: Mapping[Any, Any], *, tested: bool) -> str:
    count, p = int(row["partial"]), float(row["pvalue_diff"])
    more = [f"{count} released"] if count else []
    if tested and math.isfinite(p):
        more.append(f"Δχ²: {html.escape(p_phrase(p, glyphs=TYPESET))}")
    small = f"<br><span style='font-size:11px'>{', '.join(more)}</span>" if more else ""
    return wrap_label(str(row["step"]), 24) + small


def _limit(result: InvarianceResult, row: Mapping[Any, Any], key: str) -> float:
    """Return the value of an index beyond which a step counts as worse; NaN where the index is not looked at."""
    limits, change = result.limits, float(row[f"{key}_change"])
    if row["step"] == "configural":
        return {"cfi": limits.get("least_cfi", math.nan), "srmr": limits.get("most_srmr", math.nan)}.get(key, math.nan)
    if not math.isfinite(change):
        return math.nan
    name = "srmr_loadings" if key == "srmr" and str(row["step"]).startswith("metric") else key
    allowed = limits.get(name, math.nan)
    return float(row[key]) - change + (-allowed if key == "cfi" else allowed)


def _span(values: Sequence[float], *, rising: bool) -> tuple[float, float]:
    """Return the ends of the axis of an index: room beside all values, little of it below 0."""
    there = [v for v in values if math.isfinite(v)]
    low, high = min(there), max(there)
    pad = 0.25 * (high - low) or 0.02
    return (max(-0.06 * (high + pad), low - pad), high + pad) if rising else (low - pad, high + pad)


def _bounded_marks(low: float, high: float) -> dict[str, Any]:
    marks = axis_marks(low, high, most=5)
    digits = max((len(str(t).partition(".")[2]) for t in marks["ticktext"]), default=0)
    return ticks(marks["tickvals"], digits)


def _ladder_caption(result: InvarianceResult) -> str:
    limits = result.limits
    text = "Circles: steps that hold; crosses: steps that do not. "
    if "cfi" in limits or "rmsea" in limits or "srmr" in limits:
        text += "Shaded: beyond the limit, counted from the last step that held. "
    if {"cfi", "rmsea", "srmr"} <= set(limits):
        text += "The CFI decides, or RMSEA and SRMR together. "
    if "alpha" in limits:
        text += f"The chi-square difference test decides at alpha = {limits['alpha']:g}. "
    return f"{text}Criteria: {result.source}."
