"""Missing answers in the report: tables, figures, and how they were treated."""

from __future__ import annotations

import html
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.report.canvas import FONT, INK, Figure, base_layout
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.missingness import MissingnessResult
from b2b_sem.results.study import StudyResult

__all__ = [
    "describe_treatment",
    "draw_coverage",
    "draw_missing",
    "draw_patterns",
    "missing_figures",
    "missing_of",
    "missing_tables",
    "tabulate_coverage",
    "tabulate_missing",
    "tabulate_patterns",
    "tabulate_persons",
    "tabulate_related",
]

_ANSWERED, _LEFT_OUT = "#e3edf7", "#8a3b12"
_BLUES = [[0.0, "#ffffff"], [0.85, "#86b6e0"], [0.85, "#1d5c9c"], [1.0, "#08306b"]]
#: Rows of the table of differences that people see; the CSV file has all.
_SHOWN = 15
#: Items up to which the cells of the coverage map hold their numbers.
_READABLE = 14
_SPELLED = 8


def missing_of(result: StudyResult) -> MissingnessResult | None:
    """Return the diagnosis if there is one and an answer is missing."""
    found = result.missingness
    return found if found is not None and found.missing else None


def describe_treatment(result: StudyResult) -> str:
    """Return how the main fit dealt with missing answers, in plain words."""
    fit = result.fit
    method = str(fit.model.options.get("missing", "listwise"))
    if method in ("fiml", "fiml.x"):
        text = (
            f"The estimates use all answers of {fit.nobs} respondents (full information maximum likelihood): nothing "
            "was filled in, and each respondent counts with what is known. They are right if answers are missing at "
            "random, given the variables used."
        )
        if fit.auxiliary:
            text += f" Auxiliary variables that tell about the holes: {', '.join(fit.auxiliary)}."
        if fit.n_dropped:
            text += f" {fit.n_dropped} of {fit.n_read} rows were left out, see the notes on the sample."
        return text
    if method == "listwise":
        if not fit.n_dropped:
            return "No row was left out."
        others = "'missing: pairwise'" if fit.model.options.get("ordered") else "'missing: fiml' (or 'mi')"
        return (
            f"Rows with a hole in any variable of the model were left out: {fit.n_dropped} of {fit.n_read}. That is "
            "right only if answers are missing completely at random, and it wastes the answers of those rows; "
            f"{others} among the options of the study uses them."
        )
    if method == "pairwise":
        text = (
            "Each threshold and each correlation was estimated from all who gave the answers it needs (pairwise "
            "deletion). That keeps all rows, but is right only if answers are missing completely at random. Full "
            "information ('missing: fiml', 'estimator: MLR') needs less, and takes the answers as numbers: compare."
        )
    else:
        m, seed = (fit.model.options.get(key) for key in ("imputations", "seed"))
        drawn = "" if seed is None else f" (seed {seed})"
        text = (
            f"Missing answers were imputed {m} times{drawn}, the model was fitted to each completed data set and "
            "the results were pooled by Rubin's rules, so that standard errors know what was not answered. They are "
            "right if answers are missing at random, given the columns used for the imputation."
        )
        if fit.auxiliary:
            text += f" Columns outside the model that took part: {', '.join(fit.auxiliary)}."
    return f"{text} {fit.n_dropped} of {fit.n_read} rows were left out." if fit.n_dropped else text


def tabulate_missing(found: MissingnessResult) -> Table:
    """Return how many answers each item lacks, most first."""
    columns = [
        Column("item", "Item", "code"),
        Column("n", "Answers", "count"),
        Column("missing", "Missing", "count"),
        Column("percent", "%", "percent"),
    ]
    frame = found.items.sort_values("missing", ascending=False, kind="stable")
    rows = [tuple(r[c.key] for c in columns) for r in frame.to_dict("records")]
    return table("missing_items", "Missing answers by item", columns, rows, [f"{found.n} respondents."])


def tabulate_persons(found: MissingnessResult) -> Table:
    """Return how many respondents left how many items out."""
    columns = [
        Column("missing", "Items left out", "count"),
        Column("persons", "Respondents", "count"),
        Column("percent", "%", "percent"),
    ]
    rows = [tuple(r[c.key] for c in columns) for r in found.persons.to_dict("records")]
    notes = [f"{found.n_empty} respondents answered none of the items."] if found.n_empty else []
    return table("missing_persons", "Missing answers by respondent", columns, rows, notes)


def tabulate_patterns(found: MissingnessResult) -> Table:
    """Return the most frequent patterns of holes with the items that are left out."""
    columns = [
        Column("pattern", "Pattern", "count"),
        Column("persons", "Respondents", "count"),
        Column("percent", "%", "percent"),
        Column("missing", "Items left out", "count"),
        Column("left_out", "Which"),
    ]
    rows = [
        (*(r[c.key] for c in columns[:4]), ", ".join(r["left_out"]) or "none")
        for r in found.patterns.to_dict("records")
    ]
    notes = [f"The {len(rows)} most frequent of {found.n_patterns} patterns."]
    return table("missing_patterns", "Patterns of missing answers", columns, rows, notes)


def tabulate_coverage(found: MissingnessResult) -> Table:
    """Return the share of respondents who answered both items of each pair (lower triangle)."""
    names = [str(n) for n in found.coverage.index]
    values = found.coverage.to_numpy(dtype=float)
    columns = [Column("item", "", "code"), *(Column(name, name, "bounded") for name in names)]
    rows = [(name, *(float(v) if j <= i else "" for j, v in enumerate(values[i]))) for i, name in enumerate(names)]
    notes = ["Share of the respondents who answered both items; the diagonal is that of one item."]
    return table("missing_coverage", "Coverage of pairs of items", columns, rows, notes)


def tabulate_related(found: MissingnessResult, largest: int | None = None) -> Table | None:
    """Return how those who left an item out differ from those who answered it, or None if nothing can be compared."""
    if not len(found.related):
        return None
    columns = [
        Column("item", "Left out", "code"),
        Column("variable", "Compared on", "code"),
        Column("n_missing", "n left out", "count"),
        Column("n_answered", "n answered", "count"),
        Column("mean_missing", "M left out", "number"),
        Column("mean_answered", "M answered", "number"),
        Column("d", "d", "number"),
        Column("t", "t", "number"),
        Column("df", "df", "number"),
        Column("pvalue", "p", "p"),
        Column("pvalue_fdr", "p (FDR)", "p"),
        Column("r", "r with item", "bounded"),
    ]
    rows = [
        tuple(r[c.key] for c in columns) for r in found.related.head(largest or len(found.related)).to_dict("records")
    ]
    notes = [
        "d: standardized difference; t, df, p: Welch's test; p (FDR): adjusted over all comparisons "
        "(Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x). A variable with a difference and a "
        "correlation is a candidate for the model or for the auxiliary variables. With few who left an item out and "
        "skewed answers Welch's test finds too many differences."
    ]
    if largest is not None and len(found.related) > largest:
        notes.append(f"The {largest} smallest p of {len(found.related)} comparisons.")
    return table("missing_related", "Who leaves items out", columns, rows, notes)


def missing_tables(result: StudyResult, *, shown: bool = False) -> dict[str, Table]:
    """Return all tables on missing answers by name; none if nothing is missing.

    Parameters
    ----------
    result : StudyResult
    shown : bool
        Shorten for people what is long.
    """
    found = missing_of(result)
    if found is None:
        return {}
    makers: list[Callable[[], Table | None]] = [
        lambda: tabulate_missing(found),
        lambda: tabulate_persons(found),
        lambda: tabulate_patterns(found),
        lambda: tabulate_coverage(found),
        lambda: tabulate_related(found, _SHOWN if shown else None),
    ]
    return {made.name: made for make in makers if (made := make()) is not None}


def missing_figures(result: StudyResult) -> dict[str, Figure]:
    """Return the figures on missing answers by name; none if nothing is missing."""
    found = missing_of(result)
    if found is None:
        return {}
    made = [draw_missing(found), draw_patterns(found), draw_coverage(found)]
    return {f.name: f for f in made if f is not None}


def draw_missing(found: MissingnessResult) -> Figure:
    """Draw the percentage of missing answers of each item, most first."""
    frame = found.items.sort_values("percent", ascending=False, kind="stable")
    names = [html.escape(str(n)) for n in frame["item"]]
    values = [float(v) for v in frame["percent"]]
    plot = go.Figure(
        go.Bar(
            x=values,
            y=list(range(len(names))),
            orientation="h",
            marker={"color": _LEFT_OUT},
            text=[number(v, 1, glyphs=TYPESET) for v in values],
            textposition="outside",
            textfont={"size": 11, "color": INK},
            cliponaxis=False,
            customdata=names,
            hovertemplate="%{customdata}: %{x:.1f} %<extra></extra>",
        )
    )
    plot.update_layout(
        **base_layout(height=90 + 20 * len(names)),
        xaxis={
            "range": [0.0, max(values) * 1.12],
            "gridcolor": "#e6e6e6",
            "fixedrange": True,
            "title": {"text": "Missing answers, %", "font": {"size": 13}, "standoff": 10},
        },
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [len(names) - 0.4, -0.6],
            "automargin": True,
            "tickfont": {"size": 11},
            "showgrid": False,
            "fixedrange": True,
        },
        bargap=0.25,
    )
    worst = frame.iloc[0]
    return Figure(
        "missing-items",
        "Missing answers by item",
        f"Percent of {found.n} respondents who gave no answer.",
        f"Bars: missing answers of {len(names)} items, at most {worst['percent']:.1f} % ({worst['item']}).",
        plot,
        min_width=320,
        max_width=760,
    )


def draw_patterns(found: MissingnessResult) -> Figure:
    """Draw the most frequent patterns: items across, patterns down, holes dark, counts beside."""
    names = [str(n) for n in found.items["item"]]
    rows = found.patterns.to_dict("records")
    z = [[int(name in set(r["left_out"])) for name in names] for r in rows]
    labels = [f"{r['persons']} ({number(r['percent'], 1, glyphs=TYPESET)} %)" for r in rows]
    plot = go.Figure(
        go.Heatmap(
            z=z,
            x=list(range(len(names))),
            y=list(range(len(rows))),
            colorscale=[[0.0, _ANSWERED], [1.0, _LEFT_OUT]],
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=2,
            showscale=False,
            customdata=[
                [f"{html.escape(n)}: {'left out' if hole else 'answered'}" for n, hole in zip(names, line, strict=True)]
                for line in z
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    axis = {"showgrid": False, "zeroline": False, "fixedrange": True, "tickmode": "array", "automargin": True}
    base = base_layout(height=100 + 24 * len(rows))
    base["margin"] = {"l": 10, "r": 46, "t": 30, "b": 14}  # labels stand above, beside the button of the figure
    plot.update_layout(
        **base,
        xaxis={
            **axis,
            "tickvals": list(range(len(names))),
            "ticktext": [html.escape(n) for n in names],
            "tickangle": -90 if len(names) > 8 else 0,
            "tickfont": {"size": 11},
            "range": [-0.5, len(names) - 0.5],
            "side": "top",
        },
        yaxis={
            **axis,
            "tickvals": list(range(len(rows))),
            "ticktext": labels,
            "range": [len(rows) - 0.5, -0.5],
            "title": {"text": "Respondents", "font": {"size": 13}, "standoff": 14},
        },
    )
    hidden = found.n_patterns - len(rows)
    covered = sum(int(r["persons"]) for r in rows)
    more = f" The other {hidden} patterns belong to {found.n - covered} respondents." if hidden else ""
    return Figure(
        "missing-patterns",
        "Patterns of missing answers",
        f"Each row is a pattern: light where answered, dark where left out; its respondents stand beside it.{more}",
        f"Map of the {len(rows)} most frequent of {found.n_patterns} patterns over {len(names)} items; all are in the "
        "table of patterns.",
        plot,
        min_width=150 + 15 * len(names),
        max_width=max(420, 180 + 42 * len(names)),
    )


def draw_coverage(found: MissingnessResult) -> Figure | None:
    """Draw the share of respondents who answered both items of each pair; None with fewer than two items."""
    size = len(found.coverage)
    if size < 2 or found.lowest is None:
        return None
    names = [html.escape(str(n)) for n in found.coverage.index]
    values = found.coverage.to_numpy(dtype=float)
    z = [[float(values[i, j]) if j <= i else None for j in range(size)] for i in range(size)]
    text = [["" if v is None else number(v, 2, bounded=True, glyphs=TYPESET) for v in line] for line in z]
    plot = go.Figure(
        go.Heatmap(
            z=z,
            x=list(range(size)),
            y=list(range(size)),
            text=text,
            colorscale=_BLUES,
            zmin=0.0,
            zmax=1.0,
            xgap=1,
            ygap=1,
            hoverongaps=False,
            customdata=[[f"{names[i]}, {names[j]}" for j in range(size)] for i in range(size)],
            hovertemplate="%{customdata}: %{text}<extra></extra>",
            showscale=size > _READABLE,
        )
    )
    if size <= _READABLE:
        for i, j in zip(*np.tril_indices(size), strict=True):
            colour = "#ffffff" if values[i, j] > _BLUES[2][0] else INK
            plot.add_annotation(
                x=int(j), y=int(i), text=text[i][j], showarrow=False, font={"size": 11, "color": colour, "family": FONT}
            )
    axis = {"showgrid": False, "zeroline": False, "fixedrange": True, "tickmode": "array", "automargin": True}
    ticks = {"tickvals": list(range(size)), "ticktext": names, "tickfont": {"size": 11}}
    plot.update_layout(
        **base_layout(height=110 + (32 if size <= _READABLE else 16) * size),
        xaxis={**axis, **ticks, "range": [-0.5, size - 0.5], "tickangle": -90 if size > _SPELLED else 0},
        yaxis={**axis, **ticks, "range": [size - 0.5, -0.5]},
    )
    first, second, share = found.lowest
    return Figure(
        "missing-coverage",
        "Coverage",
        f"Share of the respondents who answered both items. Lowest: {first} with {second}, "
        f"{number(share, 2, bounded=True)}.",
        f"Heat map of the coverage of {size} items, lowest for {first} with {second}; all values are in the table.",
        plot,
        min_width=60 + (30 if size <= _READABLE else 14) * size,
        max_width=max(360, 90 + (60 if size <= _READABLE else 26) * size),
    )
