"""What a study found in plain words: the opening sentences and the notices that must be read before the numbers."""

from __future__ import annotations

from dataclasses import dataclass

from b2b_sem.measures.notation import ASCII, Glyphs, count, interval, is_missing, number, p_phrase
from b2b_sem.results.fit import FitResult
from b2b_sem.results.study import StudyResult
from b2b_sem.results.variant import variant
from b2b_sem.results.verdict import CONTRADICTED, NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED

__all__ = [
    "Notice",
    "describe_fit",
    "describe_instrument",
    "describe_trust",
    "describe_verdicts",
    "notices",
    "warnings_of",
]


@dataclass(frozen=True)
class Notice:
    """Something to read with the numbers.

    Attributes
    ----------
    level : str
        ``"error"``, ``"warning"`` or ``"info"``.
    title : str
    lines : tuple of str
    first : bool
        Whether it stands before the findings (else right behind them).
    """

    level: str
    title: str
    lines: tuple[str, ...] = ()
    first: bool = True


def describe_verdicts(result: StudyResult) -> str:
    """Return how many propositions are supported, not supported, contradicted and not testable, by name."""
    groups = {key: [v.id for v in result.verdicts if v.verdict == key] for key in _WORDS}
    tested = sum(len(groups[k]) for k in (SUPPORTED, NOT_SUPPORTED, CONTRADICTED))
    if not result.verdicts:
        return "The model declares no propositions, so there is no verdict."
    if not tested:
        return f"None of the {len(result.verdicts)} propositions could be tested."
    whole = "the one proposition" if tested == 1 else f"the {tested} propositions"
    parts = [
        f"Of {whole} tested, {len(groups[SUPPORTED])} {_be(groups[SUPPORTED])} supported{_names(groups[SUPPORTED])}"
    ]
    for key in (NOT_SUPPORTED, CONTRADICTED):
        if groups[key]:
            parts.append(f"{len(groups[key])} {_be(groups[key])} {_WORDS[key]}{_names(groups[key])}")
    text = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] + "."
    if groups[NOT_TESTABLE]:
        text += f" Not testable here: {', '.join(groups[NOT_TESTABLE])}."
    return text


_WORDS = {
    SUPPORTED: "supported",
    NOT_SUPPORTED: "not supported",
    CONTRADICTED: "contradicted",
    NOT_TESTABLE: "not testable here",
}


def _be(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _names(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def describe_fit(fit: FitResult, glyphs: Glyphs = ASCII) -> str:
    """Return the fit in the form papers use: chi-square, CFI, TLI, RMSEA with interval, SRMR.

    After a scaled test the scaled chi-square and the robust indices are given, and called so. Measures that are not
    available are left out.
    """
    m = fit.measures

    def value(name: str) -> float | None:
        v = m.get(name)
        return None if v is None or is_missing(float(v)) else float(v)

    def bounded(name: str) -> str:
        return number(value(name), 3, bounded=True, glyphs=glyphs)

    symbol = "χ²" if glyphs is not ASCII else "chi-square"
    parts = []
    test = variant(m, "chisq")
    if value(f"chisq{test}") is not None:
        p = value(f"pvalue{test}")
        tail = f", {p_phrase(p, glyphs=glyphs)}" if p is not None else ""
        head = f"{_word(test)}{symbol}({count(value(f'df{test}'))}, N = {count(fit.nobs)})"
        parts.append(f"{head} = {number(value(f'chisq{test}'), glyphs=glyphs)}{tail}")
    for name, label in (("cfi", "CFI"), ("tli", "TLI")):
        kind = variant(m, name)
        if value(name + kind) is not None:
            parts.append(f"{_word(kind)}{label} = {bounded(name + kind)}")
    kind = variant(m, "rmsea")
    if value(f"rmsea{kind}") is not None:
        low, high = (value(f"rmsea_ci_{side}{kind}") for side in ("lower", "upper"))
        text = interval(low, high, 3, bounded=True, glyphs=glyphs)
        parts.append(f"{_word(kind)}RMSEA = {bounded(f'rmsea{kind}')}, 90% CI {text}")
    if value("srmr") is not None:
        parts.append(f"SRMR = {bounded('srmr')}")
    return "; ".join(parts) if parts else "no fit measures are available"


def _word(suffix: str) -> str:
    """Return how the variant of a measure is announced: ``"robust "``, ``"scaled "`` or nothing."""
    return f"{suffix[1:]} " if suffix else ""


def describe_trust(fit: FitResult) -> str:
    """Return whether the fit may be relied on, in plain words, with the values compared with their guides."""
    if not fit.ok:
        return f"The numbers must not be used: {fit.failure}. No verdict rests on this fit."
    m = fit.measures
    if m.get("df", float("nan")) == 0:
        return "The model has no degrees of freedom: it reproduces the data by construction, so its fit says nothing."
    guides = (
        ("cfi", "CFI", 0.95, 1),
        ("tli", "TLI", 0.95, 1),
        ("rmsea", "RMSEA", 0.06, -1),
        ("srmr", "SRMR", 0.08, -1),
    )
    read = [(k + variant(m, k), _word(variant(m, k)) + label, guide, sign) for k, label, guide, sign in guides]
    known = [(label, m[k], guide, sign) for k, label, guide, sign in read if not is_missing(float(m.get(k, "nan")))]
    outside = [
        f"{label} {number(v, 3, bounded=True)} (guide: about {number(guide, 2, bounded=True)} or "
        f"{'higher' if sign > 0 else 'lower'})"
        for label, v, guide, sign in known
        if sign * (v - guide) < 0
    ]
    start = "The estimation converged to a proper solution"
    if not known:
        return f"{start}."
    if not outside:
        return (
            f"{start}; the customary indices lie within their guides (Hu & Bentler 1999), which does not prove the "
            "model."
        )
    return (
        f"{start}, but the model does not reproduce the data well by customary guides (Hu & Bentler 1999): "
        f"{'; '.join(outside)}. Read the verdicts with care and look at the largest residuals."
    )


def warnings_of(result: StudyResult) -> tuple[str, ...]:
    """Return all warnings of the study, the fit and the scales, each once."""
    scales = () if result.measurement is None else result.measurement.warnings
    return tuple(dict.fromkeys((*result.warnings, *result.fit.warnings, *scales)))


def describe_instrument(notice: str) -> str:
    """Return the survey's own notice as a sentence, with what follows from it."""
    return f"Status of the survey: {notice.rstrip('.')}. Validate the items before decisions rest on them."


def notices(result: StudyResult) -> tuple[Notice, ...]:
    """Return what must be read before the numbers, the most serious first."""
    out: list[Notice] = []
    if not result.ok:
        out.append(Notice("error", "The fit failed", (describe_trust(result.fit),)))
    if result.truth is not None:
        text = "The answers were generated by a computer from known values. They say nothing about real buyers."
        out.append(Notice("info", "Simulated respondents", (text,)))
    draft = result.study.get("instrument_notice")
    if draft:
        out.append(Notice("warning", "Draft instrument", (describe_instrument(str(draft)),)))
    scales = set() if result.measurement is None else set(result.measurement.warnings)
    first = [w for w in warnings_of(result) if w not in scales]
    rest = [w for w in warnings_of(result) if w in scales]
    if first:
        out.append(Notice("warning", "Read these warnings first", tuple(first)))
    if rest:
        out.append(Notice("warning", "The scales need attention", tuple(rest), first=False))
    return tuple(out)
