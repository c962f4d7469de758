"""The table of fit measures: what to read first, customary guides, and notes on test and indices."""

from __future__ import annotations

from collections.abc import Mapping

from b2b_sem.measures.notation import ASCII, Glyphs, count, interval, is_missing, number, probability
from b2b_sem.report.definition import FIT_CAUTION, GUIDES
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.fit import FitResult
from b2b_sem.results.variant import TEST_TITLES, variant

__all__ = ["tabulate_fit", "tabulate_measures"]

#: Measures that only estimators with a likelihood have.
_LIKELIHOOD = ("logl", "aic", "bic", "bic2")


def tabulate_fit(fit: FitResult, glyphs: Glyphs = ASCII) -> Table:
    """Return the fit measures as papers print them, each with its customary guide and the source of the guide."""
    m = fit.measures

    def value(name: str) -> float:
        return m.get(name, float("nan"))

    def bounded(name: str, digits: int = 3) -> str:
        return number(value(name), digits, bounded=True, glyphs=glyphs)

    def plain(name: str, digits: int = 2) -> str:
        return number(value(name), digits, glyphs=glyphs)

    def span(low: str, high: str) -> str:
        return interval(value(low), value(high), 3, bounded=True, glyphs=glyphs)

    spelled: dict[str, tuple[str, str]] = {
        "chisq": (
            "Chi-square (df), p",
            f"{plain('chisq')} ({count(value('df'), glyphs=glyphs)}), {probability(value('pvalue'), glyphs=glyphs)}",
        ),
        "cfi": ("CFI", bounded("cfi")),
        "tli": ("TLI", bounded("tli")),
        "rmsea": ("RMSEA [90% CI]", f"{bounded('rmsea')} {span('rmsea_ci_lower', 'rmsea_ci_upper')}"),
        "rmsea_pvalue": ("p of close fit", probability(value("rmsea_pvalue"), glyphs=glyphs)),
        "srmr": ("SRMR", bounded("srmr")),
        "baseline_chisq": (
            "Baseline chi-square (df)",
            f"{plain('baseline_chisq')} ({count(value('baseline_df'), glyphs=glyphs)})",
        ),
        "npar": ("Free parameters", count(value("npar"), glyphs=glyphs)),
        "logl": ("Log-likelihood", plain("logl")),
        "aic": ("AIC", plain("aic")),
        "bic": ("BIC", plain("bic")),
        "bic2": ("BIC, sample-size adjusted", plain("bic2")),
    }
    spelled = {k: line for k, line in spelled.items() if k not in _LIKELIHOOD or not is_missing(value(k))}
    better = {name + kind for name in ("chisq", "cfi", "tli", "rmsea", "rmsea_pvalue") if (kind := variant(m, name))}
    if better:
        spelled = _with_variants(fit, spelled, glyphs)
    notes = [*_fit_notes(fit, glyphs), FIT_CAUTION]
    rows = []
    for key, (label, text) in spelled.items():
        stem = key.removesuffix("_scaled").removesuffix("_robust")
        guide = None if better & {f"{key}_scaled", f"{key}_robust"} else GUIDES.get(stem)
        rows.append((key, label, text, guide.text if guide else "", guide.source if guide else ""))
    columns = [
        Column("measure", "Measure", shown=False),
        Column("label", "Measure"),
        Column("value", "Value", "value"),
        Column("guide", "Customary guide"),
        Column("source", "Source of the guide"),
    ]
    return table("fit", "Fit of the model", columns, rows, notes)


def _with_variants(
    fit: FitResult, spelled: Mapping[str, tuple[str, str]], glyphs: Glyphs
) -> dict[str, tuple[str, str]]:
    """Return the lines of the fit table, scaled test and robust indices first."""
    m = fit.measures

    def value(name: str) -> float:
        return m.get(name, float("nan"))

    def bounded(name: str) -> str:
        return number(value(name), 3, bounded=True, glyphs=glyphs)

    df, p = count(value("df_scaled"), glyphs=glyphs), probability(value("pvalue_scaled"), glyphs=glyphs)
    first = {"chisq": spelled["chisq"]}
    if variant(m, "chisq"):
        text = f"{number(value('chisq_scaled'), glyphs=glyphs)} ({df}), {p}"
        first = {"chisq_scaled": ("Scaled chi-square (df), p", text)}
    kinds = {name: variant(m, name) for name in ("cfi", "tli", "rmsea")}
    words = {"_robust": "Robust", "_scaled": "Scaled"}
    for name in ("cfi", "tli"):
        if kind := kinds[name]:
            first[name + kind] = (f"{words[kind]} {name.upper()}", bounded(name + kind))
    if kind := kinds["rmsea"]:
        low, high = (value(f"rmsea_ci_{side}{kind}") for side in ("lower", "upper"))
        limits = interval(low, high, 3, bounded=True, glyphs=glyphs)
        first[f"rmsea{kind}"] = (f"{words[kind]} RMSEA [90% CI]", f"{bounded(f'rmsea{kind}')} {limits}")
        close = probability(value(f"rmsea_pvalue{kind}"), glyphs=glyphs)
        first[f"rmsea_pvalue{kind}"] = (f"{words[kind]} p of close fit", close)
    rest = {}
    for key, (label, text) in spelled.items():
        plain = ", not scaled" if f"{key}_scaled" in m else ", not robust" if f"{key}_robust" in m else ""
        rest[key] = (label + plain, text)
    return {**first, **{key: line for key, line in rest.items() if key not in first}}


def _fit_notes(fit: FitResult, glyphs: Glyphs) -> list[str]:
    """Return what test and indices are, and which of them to read."""
    m, options = fit.measures, fit.model.options
    notes = []
    if variant(m, "chisq"):
        title = TEST_TITLES.get(str(options.get("test")), "scaled")
        factor = number(m.get("chisq_scaling_factor", float("nan")), 3, glyphs=glyphs)
        why = (
            f"do not have the distribution they are compared with, because {fit.estimator} weights the residuals "
            "without regard to their correlations"
            if options.get("ordered")
            else "take the answers for normally distributed"
        )
        notes.append(
            f"The test is {title}, scaling factor {factor}: read the first lines. The values that are not scaled {why}."
        )
    if options.get("ordered") and variant(m, "cfi") == "_scaled":
        notes.append(
            "Robust CFI, TLI and RMSEA do not exist here (see the page on ordinal items). The scaled ones of ordered "
            "items look better than the guides, made for continuous answers, suppose (Xia & Yang 2019, "
            "doi:10.3758/s13428-018-1055-2)."
        )
    if options.get("missing") in ("fiml", "fiml.x") and variant(m, "cfi") == "_robust":
        notes.append(
            "Robust CFI, TLI and RMSEA estimate those of complete answers; the others look better the more answers are "
            "missing where the model is wrong (Zhang & Savalei 2023, doi:10.1080/10705511.2022.2118114)."
        )
    if options.get("missing") == "mi":
        notes.append("Chi-square and what follows from it are pooled over the imputed data sets.")
    return notes


def tabulate_measures(fit: FitResult) -> Table:
    """Return every fit measure by its lavaan name, for machines."""
    columns = [
        Column("measure", "Measure", "code"),
        Column("value", "Value", "number3"),
        Column("guide", "Guide"),
        Column("source", "Source"),
    ]
    rows = []
    for name, value in fit.measures.items():
        guide = GUIDES.get(name.removesuffix("_scaled").removesuffix("_robust"))
        rows.append((name, value, guide.text if guide else "", guide.source if guide else ""))
    return table("fit", "Fit measures", columns, rows, [FIT_CAUTION])
