"""How the answers are distributed: moments of the items, answer by answer as tables and as stacked bars."""

from __future__ import annotations

import html
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.report.canvas import FONT, INK, Figure
from b2b_sem.report.table import Column, Kind, Table, table
from b2b_sem.results.study import StudyResult

__all__ = ["draw_answers", "spread_answers", "tabulate_answers", "tabulate_items"]

#: Colours of the lowest, the middle and the highest answer.
_ENDS = ((138, 84, 20), (240, 238, 232), (29, 92, 156))
#: Percent from which a segment has room for its number.
_ROOM = 7.0
#: With more different answers over all items than this, the counts stay below each other.
_WIDE = 12


def tabulate_items(result: StudyResult) -> Table:
    """Return the distribution of the answers to every item."""
    columns: list[tuple[str, str, Kind]] = [
        ("name", "Item", "code"),
        ("scale", "Scale", "code"),
        ("n", "n", "count"),
        ("missing", "Missing", "count"),
        ("mean", "M", "number"),
        ("sd", "SD", "number"),
        ("min", "Min", "count"),
        ("max", "Max", "count"),
        ("skew", "Skew", "number"),
        ("kurtosis", "Excess kurtosis", "number"),
        ("categories", "Answers used", "count"),
        ("floor", "Lowest answer, %", "percent"),
        ("ceiling", "Highest answer, %", "percent"),
        ("empty", "Never given", "value"),
        ("sparse", "Given 1 to 4 times", "value"),
        ("reverse", "Reversed", "flag"),
        ("text", "Wording", "text"),
    ]
    frame = result.sample.items
    scales = "categories" in frame and bool(frame["categories"].notna().any())
    kept = [
        Column(
            k,
            h,
            kind,
            shown=scales
            if k in ("categories", "floor", "ceiling")
            else bool(frame[k].astype(str).str.len().gt(0).any())
            if k in ("empty", "sparse")
            else True,
        )
        for k, h, kind in columns
        if k in frame
    ]
    rows = [tuple(r[c.key] for c in kept) for r in frame.to_dict("records")]
    notes = ["After reverse coding. Severe: |skew| > 3 or |excess kurtosis| > 10 (Kline 2023)."]
    if scales:
        notes.append("Lowest and highest answer: those of the response format, else those that occur.")
    return table("items", "Answers by item", kept, rows, notes)


def tabulate_answers(result: StudyResult) -> Table | None:
    """Return how often each answer was given to each item, one row an answer; None without response scales."""
    frame = result.sample.answers
    if frame is None or not len(frame):
        return None
    columns = [
        Column("name", "Item", "code", merged=True),
        Column("answer", "Answer", "any"),
        Column("label", "Label", shown=bool(frame["label"].astype(str).str.len().gt(0).any())),
        Column("n", "n", "count"),
        Column("percent", "%", "percent"),
    ]
    rows = [tuple(r[c.key] for c in columns) for r in frame.to_dict("records")]
    return table("answers", "How often each answer was given", columns, rows, _empty(frame))


def spread_answers(result: StudyResult) -> Table | None:
    """Return the counts with one row an item and one column an answer; None if they would not fit beside each other."""
    frame = result.sample.answers
    if frame is None or not len(frame) or frame["answer"].nunique() > _WIDE:
        return None
    answers = sorted(frame["answer"].unique())
    given: dict[str, dict[float, int]] = {}
    for r in frame.to_dict("records"):
        given.setdefault(str(r["name"]), {})[r["answer"]] = int(r["n"])
    columns = [Column("name", "Item", "code"), *(Column(f"{a:g}", f"{a:g}", "count") for a in answers)]
    rows = [(name, *(counts.get(a, "") for a in answers)) for name, counts in given.items()]
    return table("answers", "How often each answer was given", columns, rows, _empty(frame))


def _empty(frame: pd.DataFrame) -> list[str]:
    """Return a note that names the answers nobody gave."""
    nobody = frame[frame["n"] == 0]
    if not len(nobody):
        return []
    shown = [
        f"{name} {', '.join(f'{a:g}' for a in rows['answer'])}" for name, rows in nobody.groupby("name", sort=False)
    ]
    return [f"Never given: {'; '.join(shown)}."]


def draw_answers(result: StudyResult) -> Figure | None:
    """Draw the shares of the answers as one stacked bar an item, items grouped by scale; None without them."""
    frame = result.sample.answers
    if frame is None:
        return None
    blocks = {str(k): rows for k, rows in frame.groupby("name", sort=False) if rows["n"].sum() > 0}
    if not blocks:
        return None
    items = result.sample.items
    scale_of = dict(zip(items["name"], items["scale"], strict=True)) if {"name", "scale"} <= set(items) else {}
    places, headings = _places(list(blocks), scale_of)
    sets = {tuple(rows["answer"]) for rows in blocks.values()}
    plot = go.Figure()
    for position in range(max(len(rows) for rows in blocks.values())):
        plot.add_trace(_layer(blocks, places, position, title=f"{max(sets)[position]:g}" if len(sets) == 1 else ""))
    last = max(places.values())
    plot.update_layout(
        barmode="stack",
        height=round(96 + 21 * (last + 1)),
        margin={"l": 10, "r": 16, "t": 40, "b": 52},
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        hoverlabel={"bgcolor": "#ffffff", "font": {"color": INK}},
        dragmode=False,
        bargap=0.12,
        annotations=headings,
        showlegend=len(sets) == 1,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemclick": False, "traceorder": "normal"},
        xaxis={
            "range": [0, 100],
            "tickvals": [0, 25, 50, 75, 100],
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
            "title": {"text": "Percent of those who answered", "font": {"size": 13}, "standoff": 10},
        },
        yaxis={
            "tickmode": "array",
            "tickvals": list(places.values()),
            "ticktext": [html.escape(name) for name in places],
            "range": [last + 0.7, -0.7],
            "automargin": True,
            "tickfont": {"size": 11},
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
    )
    turned = "after reverse coding, " if "reverse" in items and bool(items["reverse"].any()) else ""
    return Figure(
        "answers",
        "Answers by item",
        f"Shares of the answers, {turned}from the lowest (brown) to the highest (blue).",
        f"Stacked bars of the answers to {len(blocks)} items; all counts are in the table.",
        plot,
        min_width=420,
        max_width=900,
    )


def _places(names: list[str], scale_of: dict[str, str]) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return the height of every bar, and the headings of the scales above their items."""
    places: dict[str, float] = {}
    headings: list[dict[str, Any]] = []
    y, current = 0.0, None
    for name in names:
        scale = scale_of.get(name, "")
        if scale != current and scale:
            headings.append(
                {
                    "xref": "paper",
                    "x": 0,
                    "y": y,
                    "text": f"<b>{html.escape(scale)}</b>",
                    "showarrow": False,
                    "xanchor": "left",
                    "yanchor": "middle",
                    "font": {"size": 13},
                }
            )
            y += 1
        current = scale
        places[name] = y
        y += 1
    return places, headings


def _layer(blocks: dict[str, pd.DataFrame], places: dict[str, float], position: int, title: str) -> Any:
    """Return the bars of the answer at one position, counted from the lowest."""
    x, y, colours, inks, texts, hover = [], [], [], [], [], []
    for name, rows in blocks.items():
        if position >= len(rows):
            continue
        row = rows.iloc[position]
        share = float(row["percent"])
        colour = _colour(position / (len(rows) - 1) if len(rows) > 1 else 0.5)
        x.append(share)
        y.append(places[name])
        colours.append("#{:02x}{:02x}{:02x}".format(*colour))
        inks.append("#ffffff" if sum(colour) < 380 else INK)
        texts.append(f"{share:.0f}" if share >= _ROOM else "")
        label = f" ({html.escape(str(row['label']))})" if row["label"] else ""
        words = f"{row['answer']:g}{label}: {int(row['n'])}, {number(share, 1, glyphs=TYPESET)}%"
        hover.append(f"{html.escape(name)}: {words}")
    return go.Bar(
        x=x,
        y=y,
        orientation="h",
        name=title,
        marker={"color": colours, "line": {"color": "#ffffff", "width": 0.5}},
        text=texts,
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"size": 11, "color": inks},
        hovertext=hover,
        hoverinfo="text",
    )


def _colour(position: float) -> tuple[int, int, int]:
    """Return the colour at a position from 0, the lowest answer, to 1, the highest."""
    half, rest = (0, 2 * position) if position <= 0.5 else (1, 2 * position - 1)
    low, high = _ENDS[half], _ENDS[half + 1]
    red, green, blue = (round(a + rest * (b - a)) for a, b in zip(low, high, strict=True))
    return red, green, blue
