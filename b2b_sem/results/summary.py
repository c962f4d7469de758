"""A fit as text, laid out as users of lavaan know it, with what must be read first at the top."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from b2b_sem.results.fit import FitResult
from b2b_sem.results.method import ordered_of

__all__ = ["summarize"]

_WIDTH = 65
_NUMBER = 9  # width of one number column, with a space before it
_HEADINGS = ("Estimate", "Std.Err", "z-value", "P(>|z|)", "Std.lv", "Std.all")
_BLOCKS = (
    ("=~", "Latent Variables"),
    ("~", "Regressions"),
    ("~~", "Covariances"),
    ("~1", "Intercepts"),
    ("|", "Thresholds"),
)

Row = Mapping[str, Any]


def summarize(fit: FitResult) -> str:
    """Return a fit as text: warnings, how it was fitted, tests and indices, parameters, R-square.

    Parameters
    ----------
    fit : FitResult

    Returns
    -------
    str
        Plain ASCII apart from the user's own names; ends without a line break. Standardized columns: ``Std.lv``
        (latent variables standardized) and ``Std.all`` (all variables standardized). Residual quantities of
        endogenous variables carry a leading dot, and labels stand in brackets behind the name.
    """
    blocks = [_header(fit), *_warnings(fit), *_tests(fit), _conventions(fit)]
    rows: list[Row] = [{str(k): v for k, v in r.items()} for r in fit.own(fit.parameters).to_dict("records")]
    groups = list(dict.fromkeys(r["group"] for r in rows if r["op"] not in (":=", "==", "<", ">")))
    for group in groups:
        if len(groups) > 1:
            blocks.append(f"Group {group} [{fit.groups[group - 1]}]:" if fit.groups else f"Group {group}:")
        blocks.extend(_parameters([r for r in rows if r["group"] == group]))
        if fit.groups:
            blocks.extend(_explained(fit.r2[fit.groups[group - 1]]))
    if defined := [r for r in rows if r["op"] == ":="]:
        blocks.append(_table("Defined Parameters", [(None, [(str(r["lhs"]), "", r) for r in defined])]))
    if limits := [r for r in rows if r["op"] in ("==", "<", ">")]:
        blocks.append("\n".join(["Constraints:", *(f"    {r['lhs']} {r['op']} {r['rhs']}" for r in limits)]))
    if not fit.groups:
        blocks.extend(_explained(fit.r2))
    if fit.notes or fit.model.defaults:
        lines = list(dict.fromkeys((*fit.model.defaults, *fit.notes)))
        blocks.append("\n".join(["Notes:", *(_bullet(line) for line in lines)]))
    return "\n\n".join(blocks)


def _explained(r2: Mapping[str, float]) -> list[str]:
    if not r2:
        return []
    width = max(17, *(len(name) + 4 for name in r2))
    lines = ["R-Square:", " " * (width + 1) + f"{'Estimate':>{_NUMBER}}"]
    lines += [f"    {name:<{width - 3}}{_fixed(value):>{_NUMBER}}" for name, value in r2.items()]
    return ["\n".join(lines)]


def _header(fit: FitResult) -> str:
    steps = fit.optimizer.iterations
    step = "iteration" if fit.engine != "semopy" else "step from the solution of semopy"
    count = f"{steps} {step if steps == 1 else step.replace('iteration', 'iterations').replace('step', 'steps')}"
    if fit.ok:
        first = f"b2b_sem ended normally after {count}"
    elif fit.converged:
        first = f"b2b_sem ended after {count}, but the numbers below must not be used"
    else:
        first = f"b2b_sem did NOT converge ({steps} iterations): the numbers below must not be used"
    lines = [
        first,
        "",
        _pair("Estimator", fit.estimator),
        _pair("Engine", fit.engine),
        _pair("Number of model parameters", _count(fit.measures.get("npar"))),
        *([_pair("  of auxiliary variables (not shown)", str(_auxiliary(fit)))] if fit.auxiliary else []),
        "",
        _pair("Number of observations", str(fit.nobs)),
        *(_pair(f"  group {r.label}", str(r.nobs)) for r in fit.group_tests.itertuples()),
    ]
    options, ordered = fit.model.options, ordered_of(fit)
    missing = str(options.get("missing") or "listwise")
    if missing != "listwise":
        lines.append(_pair("Missing answers", missing))
    if missing == "mi":
        lines.append(_pair("Number of imputations", str(options.get("imputations"))))
    if ordered:
        lines.append(_pair("Ordered variables", f"{len(ordered)} of {len(fit.model.observed)}"))
        lines.append(_pair("Parameterization", str(options.get("parameterization"))))
    if fit.n_dropped:
        lines += [_pair("Number of rows read", str(fit.n_read)), _pair("Number of rows left out", str(fit.n_dropped))]
    return "\n".join(lines)


def _auxiliary(fit: FitResult) -> int:
    """Count the free parameters of auxiliary variables."""
    table = fit.parameters
    return int((table["free"] > 0).sum() - (fit.own(table)["free"] > 0).sum())


def _warnings(fit: FitResult) -> list[str]:
    failure = [f"{fit.failure}: do not interpret these numbers"] if fit.failure else []
    lines = list(dict.fromkeys([*failure, *fit.warnings]))
    return ["\n".join(["WARNINGS - read these first:", *(_bullet(line) for line in lines)])] if lines else []


def _tests(fit: FitResult) -> list[str]:
    m = fit.measures
    blocks = []
    scaled = "chisq_scaled" in m

    def block(title: str, rows: Iterable[tuple[str, str | None, str | None]]) -> None:
        kept = [(name, value, beside) for name, value, beside in rows if value is not None or beside is not None]
        if kept:
            head = [_pair("", "Standard", "Scaled")] if any(beside is not None for *_, beside in kept) else [""]
            lines = (_pair(name, value or "", beside) for name, value, beside in kept)
            blocks.append("\n".join([f"{title}:", *head, *lines]))

    def value(name: str) -> str | None:
        number = m.get(name, math.nan)
        return None if number is None or math.isnan(number) else _fixed(number)

    def count(name: str) -> str | None:
        number = m.get(name, math.nan)
        return None if number is None or math.isnan(number) else _count(number)

    def both(title: str, name: str, form: Callable[[str], str | None] = value) -> tuple[str, str | None, str | None]:
        return title, form(name), form(f"{name}_scaled")

    def robust(title: str, name: str) -> tuple[str, str | None, str | None]:
        number = value(f"{name}_robust")
        return (f"Robust {title}", None, number) if scaled else (f"Robust {title}", number, None)

    block(
        "Model Test User Model",
        [
            both("Test statistic", "chisq"),
            both("Degrees of freedom", "df", count),
            both("P-value (Chi-square)", "pvalue"),
            ("Scaling correction factor", None, value("chisq_scaling_factor")),
            ("  " + str(fit.model.options.get("test")), None, "" if scaled else None),
        ],
    )
    if fit.groups and fit.group_tests["chisq"].notna().any():  # pooled chi-squares are no sums over groups
        lines = [_pair(f"  {label}", _fixed(chisq)) for label, _, chisq in fit.group_tests.to_numpy().tolist()]
        blocks.append("\n".join(["Test statistic for each group:", *lines]))
    block(
        "Model Test Baseline Model",
        [
            both("Test statistic", "baseline_chisq"),
            both("Degrees of freedom", "baseline_df", count),
            both("P-value", "baseline_pvalue"),
            ("Scaling correction factor", None, value("baseline_chisq_scaling_factor")),
        ],
    )
    block(
        "User Model versus Baseline Model",
        [
            both("Comparative Fit Index (CFI)", "cfi"),
            both("Tucker-Lewis Index (TLI)", "tli"),
            robust("Comparative Fit Index (CFI)", "cfi"),
            robust("Tucker-Lewis Index (TLI)", "tli"),
        ],
    )
    block(
        "Loglikelihood and Information Criteria",
        [
            (title, value(name), None)
            for title, name in (
                ("Loglikelihood user model (H0)", "logl"),
                ("Loglikelihood unrestricted model (H1)", "unrestricted_logl"),
                ("Akaike (AIC)", "aic"),
                ("Bayesian (BIC)", "bic"),
                ("Sample-size adjusted Bayesian (SABIC)", "bic2"),
                ("Scaling correction factor (H0)", "scaling_factor_h0"),
            )
        ],
    )
    block(
        "Model Test against the Model without Products",
        [
            both("Likelihood-ratio statistic", "product_chisq"),
            ("Degrees of freedom", count("product_df"), count("product_df") if "product_chisq_scaled" in m else None),
            both("P-value (Chi-square)", "product_pvalue"),
            ("Scaling correction factor", None, value("product_scaling_factor")),
        ],
    )
    rmsea = (
        ("RMSEA", "rmsea"),
        ("90 Percent confidence interval - lower", "rmsea_ci_lower"),
        ("90 Percent confidence interval - upper", "rmsea_ci_upper"),
        ("P-value H_0: RMSEA <= 0.050", "rmsea_pvalue"),
    )
    block(
        "Root Mean Square Error of Approximation",
        [both(title, name) for title, name in rmsea] + [robust(title, name) for title, name in rmsea],
    )
    block("Standardized Root Mean Square Residual", [("SRMR", value("srmr"), None)])
    return blocks


def _conventions(fit: FitResult) -> str:
    options = fit.model.options
    lines = ["Parameter Estimates:", ""]
    for title, key in (("Standard errors", "se"), ("Information", "information"), ("Likelihood", "likelihood")):
        if options.get(key):
            lines.append(_pair(title, str(options[key]).capitalize()))
    if options.get("cluster"):
        lines.append(_pair("Clusters", str(options["cluster"])))
    return "\n".join(lines)


def _parameters(rows: list[Row]) -> list[str]:
    endogenous = {r["lhs"] for r in rows if r["op"] == "~"} | {r["rhs"] for r in rows if r["op"] == "=~"}

    def dotted(name: str) -> str:
        return f".{name}" if name in endogenous else f" {name}"

    blocks = []
    parts: list[tuple[str | None, list[tuple[str, str, Row]]]]
    for op, title in _BLOCKS:
        chosen = [r for r in rows if r["op"] == op and not (op == "~~" and r["lhs"] == r["rhs"])]
        if not chosen:
            continue
        if op == "|":
            parts = [(None, [(f" {r['lhs']}|{r['rhs']}", _label(r), r) for r in chosen])]
        elif op == "~1":
            parts = [(None, [(dotted(r["lhs"]), _label(r), r) for r in chosen])]
        else:
            heads: dict[str, list[tuple[str, str, Row]]] = {}
            for r in chosen:
                head = (dotted(r["lhs"]) if op == "~~" else f" {r['lhs']}") + f" {op}"
                heads.setdefault(head, []).append((dotted(r["rhs"]) if op == "~~" else f" {r['rhs']}", _label(r), r))
            parts = list(heads.items())
        blocks.append(_table(title, parts))
    if variances := [r for r in rows if r["op"] == "~~" and r["lhs"] == r["rhs"]]:
        blocks.append(_table("Variances", [(None, [(dotted(r["lhs"]), _label(r), r) for r in variances])]))
    if scales := [r for r in rows if r["op"] == "~*~"]:
        blocks.append(_table("Scales y*", [(None, [(f" {r['lhs']}", _label(r), r) for r in scales])]))
    return blocks


def _table(title: str, parts: list[tuple[str | None, list[tuple[str, str, Row]]]]) -> str:
    named = [name + (f"  ({label})" if label else "") for _, rows in parts for name, label, _ in rows]
    width = max([16, *(len(text) + 4 for text in named)])
    column = max([_NUMBER, *(len(cell) + 1 for _, rows in parts for *_, row in rows for cell in _cells(row))])
    lines = [f"{title}:", " " * width + "".join(f"{h:>{column}}" for h in _HEADINGS)]
    for head, rows in parts:
        if head is not None:
            lines.append(f" {head}")
        for name, label, row in rows:
            text = f"   {name}"
            if label:  # labels stand at the right edge of the name column, as in lavaan
                text = f"{text:<{width - len(label) - 2}}({label})"
            lines.append(f"{text:<{width}}" + "".join(f"{cell:>{column}}" for cell in _cells(row)))
    return "\n".join(line.rstrip() for line in lines)


def _cells(row: Row) -> list[str]:
    tested = not math.isnan(row["z"])  # fixed parameters have no test
    numbers = [row["est"], *((row["se"], row["z"], row["pvalue"]) if tested else (math.nan,) * 3)]
    if not tested and row["se"] > 0:
        numbers[1] = row["se"]
    numbers += [row["std_lv"], row["std_all"]]
    return [_fixed(v) for v in numbers]


def _label(row: Row) -> str:
    label = row["label"]
    return label if isinstance(label, str) and not label.startswith(".p") else ""


def _pair(name: str, value: str, beside: str | None = None) -> str:
    """Return a line of a name and a number and, with a scaled test, the number of that beside it."""
    line = f"  {name:<{_WIDTH - 2 - 13}}{value:>13}"
    return line if beside is None else f"{line}{beside:>13}".rstrip()


def _fixed(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text


def _count(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return str(int(value)) if float(value).is_integer() else f"{value:.3f}"


def _bullet(text: str) -> str:
    return textwrap.fill(text, 90, initial_indent="  - ", subsequent_indent="    ", break_long_words=False)
