"""The tables of a study: built from results, written as CSV with full-precision numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.measures.notation import count, is_missing, number, probability
from b2b_sem.report.answer import tabulate_answers, tabulate_items
from b2b_sem.report.comparison import comparison_tables, tabulate_parts
from b2b_sem.report.cutoff import cutoff_tables
from b2b_sem.report.definition import FORNELL_LARCKER, HAIR, HENSELER, ROEMER
from b2b_sem.report.effect import tabulate_effects
from b2b_sem.report.fit import tabulate_fit, tabulate_measures
from b2b_sem.report.missingness import missing_tables
from b2b_sem.report.moderation_claim import moderation_tables, tabulate_moderation_truth
from b2b_sem.report.recovery import tabulate_group_truth
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.fit import FitResult
from b2b_sem.results.io import write_text
from b2b_sem.results.method import label_method
from b2b_sem.results.study import StudyResult
from b2b_sem.results.variant import variant

__all__ = [
    "build_tables",
    "tabulate_answers",
    "tabulate_background",
    "tabulate_fit",
    "tabulate_items",
    "tabulate_latent_correlations",
    "tabulate_loadings",
    "tabulate_parameters",
    "tabulate_provenance",
    "tabulate_r2",
    "tabulate_reliability",
    "tabulate_residuals",
    "tabulate_rivals",
    "tabulate_sample_covariance",
    "tabulate_standardized",
    "tabulate_truth",
    "tabulate_validity",
    "tabulate_verdicts",
    "write_tables",
]

_ADJUSTMENTS = {"holm": "Holm", "bonferroni": "Bonferroni", "bh": "Benjamini-Hochberg"}
_RELATIONS = {"=~": "loading", "~": "regression", "~~": "covariance", "~1": "intercept", ":=": "defined"}
STAR_NOTE = "* p < .05, ** p < .01, *** p < .001."


def tabulate_verdicts(result: StudyResult) -> Table:
    """Return one row a proposition; the CSV has the raw estimates and the sentences too."""
    verdicts = result.verdicts
    adjustment = verdicts[0].adjustment if verdicts else "none"
    level = verdicts[0].level if verdicts else 0.95
    adjusted = _ADJUSTMENTS.get(adjustment, "")
    notes = [f"Standardized coefficients with {level:.0%} intervals."]
    apart = [v.id for v in verdicts if v.test == "moderation" and v.p_adjusted == v.p_adjusted]
    if adjusted:
        tested = sum(v.p_adjusted == v.p_adjusted for v in verdicts) - len(apart)
        notes.append(f"p ({adjusted}) is adjusted over the {tested} propositions tested.")
        if apart:
            own = "is a family of its own" if len(apart) == 1 else "are a family of their own"
            notes[-1] = (
                f"p ({adjusted}) is adjusted over {tested} propositions; {', '.join(apart)} on moderation {own}."
            )
    if verdicts:
        notes.append(f"Decisions at alpha = {number(verdicts[0].alpha, 2, bounded=True)}.")
        if result.ok:
            others = "; those on groups on fits of the groups" if any(v.parts for v in verdicts) else ""
            others += f"; {', '.join(apart)} on a model with the product" if apart else ""
            notes.append(f"They rest on one fit: {label_method(result.fit)}{others}.")
    columns = [
        Column("id", "", "value"),
        Column("path", "Path", "path"),
        Column("verdict", "Verdict", "verdict"),
        Column("std", "Std. coef.", "bounded"),
        Column("ci", f"{level:.0%} CI", "interval_bounded"),
        Column("pvalue", "p", "p"),
        Column("p_adjusted", f"p ({adjusted})" if adjusted else "p (as tested)", "p", shown=bool(adjusted)),
        Column("sign", "Sign", "code"),
        Column("statement", "Proposition"),
        Column("reason", "Reason", shown=False),
        Column("sentence", "Sentence", shown=False),
        Column("estimate", "Estimate", "number3", shown=False),
        Column("se", "SE", "number3", shown=False),
        Column("z", "z", "number", shown=False),
        Column("std_se", "Std. SE", "number3", shown=False),
        Column("alpha", "Alpha", "number", shown=False),
        Column("level", "Level", "number", shown=False),
        Column("adjustment", "Adjustment", shown=False),
        Column("test", "Test", shown=False),
    ]
    rows = [
        (
            v.id,
            v.path,
            v.verdict,
            v.std,
            (v.ci_lower, v.ci_upper),
            v.pvalue,
            v.p_adjusted,
            v.sign,
            v.statement,
            v.reason,
            v.sentence,
            v.estimate,
            v.se,
            v.z,
            v.std_se,
            v.alpha,
            v.level,
            v.adjustment,
            v.test,
        )
        for v in verdicts
    ]
    return table("verdicts", "Verdicts on the propositions", columns, rows, notes)


def tabulate_parameters(fit: FitResult) -> Table:
    """Return all parameters: estimate, SE, z, p, interval, standardized."""
    frame = fit.own(fit.parameters)
    grouped = frame["group"].nunique() > 1
    columns = [
        Column("lhs", "Left", "code"),
        Column("op", "Operator", "code"),
        Column("rhs", "Right", "code"),
        Column("kind", "Kind"),
        Column("group", "Group", "any", shown=grouped),
        Column("label", "Label", shown=bool(frame["label"].astype(str).str.len().gt(0).any())),
        Column("free", "Free", "count", shown=False),
        Column("est", "Estimate", "number3"),
        Column("se", "SE", "number3"),
        Column("z", "z", "number"),
        Column("pvalue", "p", "p"),
        Column("ci", "95% CI", "interval"),
        Column("std_lv", "Std. (latent)", "number3", shown=False),
        Column("std_all", "Std. (all)", "bounded3"),
    ]
    rows = []
    for r in frame.to_dict("records"):
        kind = "variance" if r["op"] == "~~" and r["lhs"] == r["rhs"] else _RELATIONS.get(r["op"], "constraint")
        fixed = r["z"] != r["z"]
        rows.append(
            (
                r["lhs"],
                r["op"],
                r["rhs"],
                kind,
                r["group"],
                r["label"],
                r["free"],
                r["est"],
                float("nan") if fixed and not r["se"] else r["se"],
                r["z"],
                r["pvalue"],
                None if fixed and not r["se"] else (r["ci_lower"], r["ci_upper"]),
                r["std_lv"],
                r["std_all"],
            )
        )
    notes = ["Rows without a standard error are fixed."]
    if fit.auxiliary:
        notes.append(f"Parameters of the auxiliary variables ({', '.join(fit.auxiliary)}) are left out.")
    return table("parameters", "All parameters", columns, rows, notes)


def tabulate_standardized(fit: FitResult) -> Table:
    """Return the completely standardized solution with delta-method SEs and intervals."""
    frame = fit.own(fit.standardized())
    columns = [
        Column("lhs", "Left", "code"),
        Column("op", "Operator", "code"),
        Column("rhs", "Right", "code"),
        Column("group", "Group", "any", shown=frame["group"].nunique() > 1),
        Column("label", "Label", shown=False),
        Column("est_std", "Std. estimate", "bounded3"),
        Column("se", "SE", "bounded3"),
        Column("z", "z", "number"),
        Column("pvalue", "p", "p"),
        Column("ci", "95% CI", "interval"),
    ]
    rows = [
        (
            *(r[k] for k in ("lhs", "op", "rhs", "group", "label", "est_std", "se", "z", "pvalue")),
            (r["ci_lower"], r["ci_upper"]),
        )
        for r in frame.to_dict("records")
    ]
    return table("standardized", "Standardized solution", columns, rows)


def tabulate_loadings(result: StudyResult) -> Table | None:
    """Return standardized loadings with intervals and item wording, or None without a measurement part."""
    if result.measurement is None:
        return None
    items = result.sample.items
    wording = dict(zip(items["name"], items["text"], strict=True)) if {"name", "text"} <= set(items) else {}
    columns = [
        Column("item", "Item", "code"),
        Column("scale", "Scale", "code"),
        Column("std_all", "Std. loading", "bounded"),
        Column("ci", "95% CI", "interval_bounded"),
        Column("est", "Estimate", "number3"),
        Column("se", "SE", "number3"),
        Column("r2", "R²", "bounded"),
        Column("std_se", "Std. SE", "number3", shown=False),
        Column("text", "Wording", shown=any(wording.values())),
    ]
    rows = [
        (
            r["item"],
            r["scale"],
            r["std_all"],
            (r["ci_lower"], r["ci_upper"]),
            r["est"],
            r["se"] or float("nan"),  # a fixed loading has SE 0
            r["r2"],
            r["std_se"],
            wording.get(r["item"]),
        )
        for r in result.measurement.loadings.to_dict("records")
    ]
    return table("loadings", "Loadings", columns, rows)


def tabulate_reliability(result: StudyResult) -> Table | None:
    """Return reliability and convergent validity by scale, or None without a measurement part."""
    if result.measurement is None:
        return None
    frame = result.measurement.reliability
    ordinal = "omega_latent" in frame
    columns = [
        Column("scale", "Scale", "code"),
        Column("items", "Items", "count"),
        Column("alpha", "Alpha", "bounded"),
        *([Column("alpha_ordinal", "Ordinal alpha", "bounded")] if ordinal else []),
        Column("omega", "Omega of the sum" if ordinal else "Omega", "bounded"),
        *([Column("omega_latent", "Omega, latent", "bounded")] if ordinal else []),
        Column("cr", "CR", "bounded"),
        Column("ave", "AVE", "bounded"),
        Column("sqrt_ave", "√AVE", "bounded"),
        Column("loading_min", "Lowest loading", "bounded"),
        Column("loading_max", "Highest loading", "bounded"),
    ]
    rows = [tuple(r.get(c.key) for c in columns) for r in frame.to_dict("records")]
    notes = [f"Guides: alpha, omega and CR .70 to .90 ({HAIR}); AVE .50 or higher ({FORNELL_LARCKER})."]
    if ordinal:
        notes.append(
            "Omega of the sum is the reliability of the answers as they are added up; ordinal alpha, latent omega, CR "
            "and AVE speak of the responses behind the answers."
        )
    a = result.measurement.adequacy
    if a.get("kmo", float("nan")) == a.get("kmo"):
        bartlett = (
            f"; Bartlett's chi-square({count(a.get('bartlett_df'))}) = {number(a.get('bartlett_chisq'))}, p "
            f"{probability(a.get('bartlett_pvalue'))}"
        )
        known = a.get("bartlett_chisq") == a.get("bartlett_chisq")
        notes.append(f"KMO = {number(a['kmo'], 2, bounded=True)}{bartlett if known else ''}.")
    return table("reliability", "Reliability and convergent validity", columns, rows, notes)


def tabulate_validity(result: StudyResult, which: str) -> Table | None:
    """Return a lower-triangular table of scales by scales.

    Parameters
    ----------
    which : {"fornell_larcker", "htmt", "htmt2"}
    """
    if result.measurement is None:
        return None
    titles = {
        "fornell_larcker": "Fornell-Larcker criterion",
        "htmt": "HTMT ratios",
        "htmt2": "HTMT2 ratios",
    }
    guide = f"Guides: below .85, or below .90 for conceptually close constructs ({HENSELER})."
    notes = {
        "fornell_larcker": "Diagonal: square roots of AVE; below: correlations of the constructs.",
        "htmt": guide,
        "htmt2": f"Geometric means throughout ({ROEMER}). {guide}",
    }
    frame: pd.DataFrame = getattr(result.measurement, which)
    return _square(which, titles[which], frame, [notes[which]], lower=True) if len(frame) else None


def tabulate_latent_correlations(fit: FitResult) -> Table | None:
    """Return the model-implied correlations of the latent variables, or None without latent variables."""
    frame = fit.latent_cor()
    if not len(frame):
        return None
    notes = ["Implied by the whole model, structural part included."]
    return _square("latent_correlations", "Correlations of the constructs", frame, notes, lower=True)


def _square(name: str, title: str, frame: pd.DataFrame, notes: list[str], *, lower: bool) -> Table:
    values = frame.to_numpy(dtype=float)
    names = [str(c) for c in frame.columns]
    columns = [Column("name", "", "code"), *(Column(n, n, "bounded") for n in names)]
    rows = [
        (str(row), *("" if lower and j > i else float(values[i, j]) for j in range(len(names))))
        for i, row in enumerate(frame.index)
    ]
    return table(name, title, columns, rows, notes)


def tabulate_r2(fit: FitResult) -> Table:
    """Return the explained variance of every endogenous construct and indicator, constructs first."""
    latents = set(fit.model.latents)
    measured = {r["rhs"] for r in fit.parameters.to_dict("records") if r["op"] == "=~"}
    ordered = sorted(fit.r2.items(), key=lambda item: item[0] in measured - latents)
    columns = [Column("variable", "Variable", "code"), Column("role", "Role"), Column("r2", "R²", "bounded3")]
    rows = [
        (name, "indicator" if name in measured - latents else "construct" if name in latents else "observed", value)
        for name, value in ordered
    ]
    return table("r2", "Explained variance", columns, rows)


def tabulate_sample(result: StudyResult) -> Table:
    """Return how many rows were read, left out and used."""
    s = result.sample
    columns = [Column("quantity", "Quantity"), Column("value", "Value", "count")]
    rows = [("rows read", s.n_read), ("rows left out", s.n_dropped), ("rows used", s.n_used)]
    return table("sample", "Rows of data", columns, rows)


def tabulate_background(result: StudyResult) -> Table | None:
    """Return the categories of all background variables, or None if there are none."""
    if not result.sample.background:
        return None
    columns = [
        Column("variable", "Variable", merged=True),
        Column("category", "Category"),
        Column("n", "n", "count"),
        Column("percent", "%", "percent"),
    ]
    rows = [
        (label, str(r["category"]), r["n"], r["percent"])
        for label, frame in result.sample.background
        for r in frame.to_dict("records")
    ]
    return table("background", "Background of the respondents", columns, rows)


def tabulate_rivals(result: StudyResult) -> Table | None:
    """Return the main model and its rivals side by side, or None without rivals."""
    if not result.rivals:
        return None
    main = result.fit.measures
    read = {name: name + variant(main, name) for name in ("chisq", "df", "cfi", "rmsea")}
    likely = any(not is_missing(f.measures.get("aic")) for f in (result.fit, *(r.fit for r in result.rivals)) if f)
    columns = [
        Column("name", "Name", "code", shown=False),
        Column("title", "Model"),
        Column("relation", "Relation", shown=False),
        Column(read["chisq"], "scaled χ²" if read["chisq"] != "chisq" else "χ²", "number"),
        Column(read["df"], "df", "count"),
        Column(read["cfi"], _heading(read["cfi"]), "bounded3"),
        Column(read["rmsea"], _heading(read["rmsea"]), "bounded3"),
        Column("srmr", "SRMR", "bounded3"),
        Column("aic", "AIC", "number", shown=likely),
        Column("bic", "BIC", "number", shown=likely),
        Column("chisq_diff", "Δχ²", "number"),
        Column("df_diff", "Δdf", "count"),
        Column("pvalue_diff", "p of Δχ²", "p"),
        Column("remark", "Remark"),
        Column("why", "Why it is tested", shown=False),
    ]
    words = {
        "restricted": "nested in the main model",
        "extended": "the main model is nested in it",
        "other": "not nested: compare AIC and BIC",
    }
    measures = (*read.values(), "srmr", "aic", "bic")
    rows: list[tuple[Any, ...]] = [
        ("main", "Main model", "", *(main.get(k) for k in measures), "", "", "", result.fit.failure, "")
    ]
    for r in result.rivals:
        usable = r.fit is not None and r.fit.ok
        m: Mapping[str, float] = r.fit.measures if r.fit is not None and usable else {}
        failure = "" if r.fit is None else r.fit.failure
        said = (failure if failure not in r.message else "", r.message)
        remark = "; ".join(p for p in said if p) if not usable else r.message or words[r.relation]
        diff = (r.chisq_diff, r.df_diff, r.pvalue_diff) if usable else (None, None, None)
        rows.append((r.name, r.title, r.relation, *(m.get(k) for k in measures), *diff, remark, r.why))
    notes = ["Lower AIC and BIC are better."] if likely else ["This estimator has no AIC and BIC."]
    notes.append("Δχ² is given for nested models only; a failed rival shows no numbers.")
    if read["chisq"] != "chisq":
        notes.append("Δχ² is a scaled difference test, not the difference of the scaled χ².")
    elif result.fit.model.options.get("missing") == "mi":
        notes.append("χ² and Δχ² are pooled over the imputed data sets.")
    return table("rivals", "Rival models on the same data", columns, rows, notes)


def _heading(name: str) -> str:
    """Return what a column is called: ``"CFI"``, ``"robust CFI"``."""
    stem, _, kind = name.partition("_")
    return f"{kind} {stem.upper()}".strip()


def tabulate_residuals(fit: FitResult, largest: int | None = None) -> Table:
    """Return correlation residuals by size, all of them or the `largest` ones."""
    names = [v for v in fit.sample()["cov"].index if v not in fit.auxiliary]
    frame = fit.residuals("cor")["cov"].loc[names, names]
    values = frame.to_numpy(dtype=float)
    i, j = np.tril_indices(len(frame), -1)
    order = np.lexsort((j, i, -np.abs(values[i, j])))[:largest]
    sample, implied = (_correlation(m["cov"].loc[names, names]) for m in (fit.sample(), fit.implied()))
    columns = [
        Column("first", "Item", "code"),
        Column("second", "Item", "code"),
        Column("observed", "Observed r", "bounded3"),
        Column("implied", "Implied r", "bounded3"),
        Column("residual", "Residual", "bounded3"),
    ]
    names = list(frame.index)
    rows = [
        (
            names[j[k]],
            names[i[k]],
            float(sample[i[k], j[k]]),
            float(implied[i[k], j[k]]),
            float(values[i[k], j[k]]),
        )
        for k in order
    ]
    big = int(np.sum(np.abs(values[i, j]) > 0.10))
    notes = [f"{big} of {len(i)} absolute residuals exceed .10, the size worth explaining (Kline 2023)."]
    if what := _moments_of(fit):
        notes.append(f"Observed: {what}.")
    return table("residuals", "Largest correlation residuals", columns, rows, notes)


def _moments_of(fit: FitResult) -> str:
    """Return what the sample moments are, where they are not those of the rows as they stand."""
    missing = fit.model.options.get("missing", "listwise")
    if fit.model.options.get("ordered"):
        pairs = ", each from all who answered both items" if missing == "pairwise" else ""
        return f"correlations of the responses behind ordered answers (polychoric, polyserial){pairs}"
    if missing in ("fiml", "fiml.x"):
        return "estimated by maximum likelihood from all answers, without the model"
    return "means over the imputed data sets" if missing == "mi" else ""


def _correlation(cov: pd.DataFrame) -> np.ndarray:
    values = cov.to_numpy(dtype=float)
    sd = np.sqrt(np.diag(values))
    return values / np.outer(sd, sd)


def tabulate_truth(result: StudyResult, ops: Collection[str] | None = None) -> Table | None:
    """Return known values beside estimates, or None for real data.

    Parameters
    ----------
    ops : collection of str, optional
        Kinds of parameters to keep (``~``, ``=~``, ...); all without it.
    """
    if result.truth is None:
        return None
    frame = result.truth if ops is None else result.truth[result.truth["op"].isin(list(ops))]
    both = "population" in frame
    columns = [
        Column("lhs", "Left", "code"),
        Column("op", "Operator", "code"),
        Column("rhs", "Right", "code"),
        *([Column("population", "Population", "bounded")] if both else []),
        Column("truth", "Expected" if both else "Population", "bounded"),
        Column("est_std", "Estimate", "bounded"),
        Column("ci", "95% CI", "interval_bounded"),
        Column("covered", "Covered", "flag"),
    ]
    rows = [
        (
            *(r[c.key] for c in columns[:-2]),
            (r["ci_lower"], r["ci_upper"]),
            _flag(r["covered"]),
        )
        for r in frame.to_dict("records")
    ]
    known = [r[-1] for r in rows if r[-1] is not None]
    target = "expected" if both else "population"
    notes = [f"{sum(known)} of {len(known)} intervals cover the {target} value; in the long run 95% should."]
    if both:
        ordered = "; of ordered items, the population value itself" if result.fit.model.options.get("ordered") else ""
        notes.append(f"Expected: the population value as it shows in answers on the survey's response scale{ordered}.")
    if split := result.study.get("population_groups"):
        notes.append(
            f"Values that are not the same in all groups of '{split}' are left out: this fit is one of all groups."
        )
    return table("truth", "Known values and estimates", columns, rows, notes) if rows else None


def _flag(value: Any) -> bool | None:
    return None if value is None or value != value else bool(value)


def tabulate_provenance(result: StudyResult) -> Table:
    """Return versions, digests, seed and settings as key and value."""
    rows: list[tuple[str, str]] = []

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for k, v in value.items():
                walk(f"{prefix}: {k}" if prefix else str(k), v)
        elif isinstance(value, list | tuple):
            if all(isinstance(v, str | int | float) for v in value):
                rows.append((prefix, ", ".join(map(str, value)) or "none"))
            else:
                for k, v in enumerate(value, 1):
                    walk(f"{prefix} {k}", v)
        elif value is not None:
            rows.append((prefix, str(value)))

    walk("", result.provenance)
    return table(
        "provenance", "Software, inputs and settings", [Column("key", "What"), Column("value", "Value", "any")], rows
    )


def tabulate_sample_covariance(fit: FitResult) -> Table:
    """Return the sample covariance matrix with divisor n - 1: with n, enough to fit the model to complete data again.

    With ordinal items it holds what the model was fitted to: their latent correlations.
    """
    cov = fit.sample()["cov"]
    notes = [f"n = {fit.nobs}."]
    if fit.model.options.get("ordered"):
        title = "Sample correlations of the responses behind the answers"
    else:
        title = "Sample covariance matrix"
        notes.append("Divisor n - 1.")
        if fit.model.options.get("likelihood", "normal") == "normal" and fit.nobs > 1:
            cov = cov * (fit.nobs / (fit.nobs - 1))
    if what := _moments_of(fit):
        notes.append(f"{what[0].upper()}{what[1:]}.")
    return _square("sample_covariance", title, cov, notes, lower=False)


def build_tables(result: StudyResult) -> dict[str, Table]:
    """Return all tables that this result has, by name, in the order of the report."""
    fit = result.fit
    makers: list[Callable[[], Table | None]] = [
        lambda: tabulate_verdicts(result),
        lambda: tabulate_parts(result),
        lambda: tabulate_measures(fit),
        lambda: tabulate_residuals(fit),
        lambda: tabulate_r2(fit),
        lambda: tabulate_effects(result),
        lambda: tabulate_parameters(fit),
        lambda: tabulate_standardized(fit),
        lambda: tabulate_loadings(result),
        lambda: tabulate_reliability(result),
        lambda: tabulate_validity(result, "fornell_larcker"),
        lambda: tabulate_validity(result, "htmt"),
        lambda: tabulate_validity(result, "htmt2"),
        lambda: tabulate_latent_correlations(fit),
        lambda: tabulate_sample(result),
        lambda: tabulate_items(result),
        lambda: tabulate_answers(result),
        lambda: tabulate_background(result),
        *(lambda made=made: made for made in cutoff_tables(result).values()),
        *(lambda made=made: made for made in missing_tables(result).values()),
        *(lambda made=made: made for made in comparison_tables(result).values()),
        *(lambda made=made: made for made in moderation_tables(result).values()),
        lambda: tabulate_sample_covariance(fit),
        lambda: tabulate_rivals(result),
        lambda: tabulate_truth(result),
        lambda: tabulate_group_truth(result),
        lambda: tabulate_moderation_truth(result),
        lambda: tabulate_provenance(result),
    ]
    tables = [made for make in makers if (made := make()) is not None]
    return {t.name: t for t in tables}


def write_tables(result: StudyResult, directory: str | os.PathLike[str]) -> list[Path]:
    """Write every table as ``<name>.csv`` with full-precision numbers, and ``index.csv`` with titles and notes.

    Parameters
    ----------
    result : StudyResult
    directory : path
        Made if it is not there. Each file appears whole or not at all.

    Returns
    -------
    list of Path
        The files, in the order of the report, the index last.

    Raises
    ------
    OSError
        If the directory cannot be written.
    """
    folder = Path(directory)
    tables = build_tables(result)
    paths = [write_text(folder / f"{name}.csv", t.to_csv()) for name, t in tables.items()]
    index = table(
        "index",
        "Tables",
        [Column("file", "File"), Column("title", "Title"), Column("notes", "Notes")],
        [(f"{name}.csv", t.title, " ".join(t.notes)) for name, t in tables.items()],
    )
    return [*paths, write_text(folder / "index.csv", index.to_csv())]
