"""How sure is a verdict on P10? Error rates and power of its parts, from a known truth, run with this package alone.

    python docs/studies/p10_study.py --out study            500 replications of each truth and size
    python docs/studies/p10_study.py --out study --quick    4: only to see that it works

The population is the bundled `lima2026_sectors` without the product of P9, with 56 items. Three truths:

* nothing: both sectors are alike in everything;
* means: authenticity is lower and legitimacy higher in regulated sectors, all paths are alike (at one size);
* all: the bundled values, in which two of the eight paths differ, too.

Each replication draws respondents, half of them from regulated sectors on average, and takes the steps that a study
with `groups: sector` takes: the ladder of invariance of the main model, the comparison of its paths, the ladder and the
joint model of authenticity, legitimacy and disclosure awareness, and the parts of P10.

`p10.csv` grows by a row a replication, so that a run which was broken off goes on where it stopped. Each replication
has a random stream of its own: the numbers do not depend on the number of workers. `p10.md` and `p10.svg` are made
from it.
"""

from __future__ import annotations

import argparse
import csv
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from paper import TEXT, draw_line, draw_mark, likely, percent, rate, table

import b2b_sem as bs
from b2b_sem.analysis.claim_effect import compare_claim
from b2b_sem.analysis.group_claim import claim_parts, compare_split
from b2b_sem.analysis.recovery import recover_groups
from b2b_sem.analysis.split import split_answers
from b2b_sem.data.read import Responses
from b2b_sem.data.score import rules_from_survey, score
from b2b_sem.results.comparison import ABSENT, HOLDS, OPEN, OPPOSITE, GroupComparison
from b2b_sem.spec.level import LevelValues
from b2b_sem.spec.loader import load_study

SEED = 20261122
REPLICATIONS = 500
SIZES = (150, 300, 600)
#: Sizes of each truth. One will do for the second: what it shows is no matter of size.
DESIGN = {"nothing": SIZES, "means": (300,), "all": SIZES}
TRUTHS = tuple(DESIGN)
SPLIT, LEVEL, REFERENCE = "sector", "regulated", "non_regulated"
ALPHA = 0.05
PARTS = {"a": "AU lower (P10a)", "b": "LG higher (P10b)", "c": "paths differ (P10c)"}
#: Paths that differ in the bundled population.
DIFFERENT = ("PC~RE", "BT~PC")
LETTER = {HOLDS: "h", OPPOSITE: "o", OPEN: "n", ABSENT: "-"}
COLUMNS = (
    "truth", "n", "number", "regulated",  # condition, and how many of the 2 n respondents are in regulated sectors
    "main", "main_released", "own", "own_released",  # last step that held and parameters released, by ladder
    "slopes",  # whether the differences rest on equal slopes
    "au", "au_se", "lg", "lg_se",  # differences of means
    "pa", "pb", "pc", "pc_wald",  # p-values of the parts; pc from the difference of chi-squares
    "parts",  # h holds, o significant with the other sign, n not significant, - not tested
    "found", "wrong",  # paths that differ, one at a time: those of DIFFERENT, others
    "covered", "intervals",  # intervals of paths by sector, and how many of them hold the truth
)  # fmt: skip


@functools.cache
def study() -> Any:
    """Return the bundled demonstration, which names survey, model, population and options."""
    return load_study("demo")


@functools.cache
def population(truth: str) -> Any:
    """Return the bundled population with the differences of a truth, and no others: without the product of P9."""
    spec = study().simulation_spec
    spec = spec.model_copy(update={"values": spec.values.model_copy(update={"interactions": {}})})
    own = spec.groups.levels[LEVEL]
    kept = {"nothing": LevelValues(), "means": LevelValues(means=own.means), "all": own}[truth]
    return spec.model_copy(update={"groups": spec.groups.model_copy(update={"levels": {LEVEL: kept}})})


def stream(truth: str, n: int, number: int) -> int:
    """Return the seed of a replication, the same whatever else is run."""
    place = (TRUTHS.index(truth), n, number)
    return int(np.random.SeedSequence(SEED, spawn_key=place).generate_state(1, np.uint64)[0])


def compare(frame: pd.DataFrame) -> GroupComparison:
    """Compare the sectors as a study does."""
    spec = study()
    model, survey, settings = spec.model_spec, spec.survey_spec, spec.fit_settings().stated()
    rules = rules_from_survey(survey, dict.fromkeys([*model.items(survey), *model.items(survey, claims=("P10",))]))
    scored = score(Responses.from_frame(frame), rules).frame
    paths = [f"{end} ~ {start}" for end, start in model.regressions()]
    common = {"alpha": ALPHA, "level": 0.95}
    found = compare_split(SPLIT, model.syntax(survey), scored, survey, paths, settings, multiplicity="holm", **common)
    claim = model.claim_model("P10", survey)
    _, groups = split_answers(scored, survey, SPLIT)
    own = compare_claim(claim, scored, groups, settings, **common)
    return GroupComparison(found.name, found.label, found.invariance, found.paths, found.reasons, (own,))


def replicate(truth: str, n: int, number: int) -> dict[str, Any]:
    """Draw 2 n respondents and test P10."""
    drawn = bs.simulate(population(truth), 2 * n, stream(truth, n, number))
    found = compare(drawn.frame)
    own, ladder = found.claims[0], found.invariance
    claim = next(p for p in study().model_spec.propositions if p.id == "P10")
    # latents of the claim are not in the main model: no part of P10 rests on a fit of all respondents
    parts = claim_parts(claim, None, found, ALPHA)  # type: ignore[arg-type]
    out: dict[str, Any] = {"truth": truth, "n": n, "number": number}
    out["regulated"] = 0 if ladder is None else ladder.groups[LEVEL]
    for name, one in (("main", ladder), ("own", own.invariance)):
        out[name] = "none" if one is None else one.holds or "none"
        out[f"{name}_released"] = 0 if one is None else len(one.releases)
    out["slopes"] = "" if own.equal_slopes is None else int(own.equal_slopes)
    for part, name in zip(parts, ("au", "lg"), strict=False):
        out[name], out[f"{name}_se"] = part.estimate, part.se
    out |= {f"p{letter}": part.pvalue for letter, part in zip(PARTS, parts, strict=True)}
    out["parts"] = "".join(LETTER[part.outcome] for part in parts)
    if found.paths is not None:
        out["pc_wald"] = found.paths.omnibus["wald_pvalue"]
        single = found.paths.tests
        sure = single[single["diff_adjusted"] < ALPHA]["path"]
        out["found"], out["wrong"] = int(sure.isin(DIFFERENT).sum()), int((~sure.isin(DIFFERENT)).sum())
    judged = recover_groups(drawn.truth, found)
    judged = judged[judged["quantity"] == "path"]
    out["covered"], out["intervals"] = int(judged["covered"].sum()), len(judged)
    return out


# ---- running ---------------------------------------------------------------------------------------------------------


def run(file: Path, replications: int, design: Mapping[str, Iterable[int]], jobs: int) -> pd.DataFrame:
    """Run what is missing in a file of results, and return the file."""
    done = set()
    if file.exists():
        done = {tuple(key) for key in pd.read_csv(file)[["truth", "n", "number"]].to_numpy().tolist()}
    # sizes grow together: a run that is broken off is worth something
    plan = [(t, n, k) for t in design for k in range(replications) for n in design[t] if (t, n, k) not in done]
    with file.open("a", newline="", encoding="utf-8") as stream_out:
        writer = csv.DictWriter(stream_out, COLUMNS, restval="", lineterminator="\n")
        if not done:
            writer.writeheader()
        with Parallel(n_jobs=jobs, return_as="generator_unordered") as pool:
            for count, row in enumerate(pool(delayed(replicate)(*key) for key in plan), 1):
                writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})
                stream_out.flush()
                if count % 50 == 0:
                    print(f"{count} of {len(plan)} replications", flush=True)
    return tidy(file)


def tidy(file: Path) -> pd.DataFrame:
    """Sort a file of results, and return it."""
    lines = file.read_text(encoding="utf-8").splitlines()

    def place(line: str) -> tuple[int, int, int]:
        truth, n, number = line.split(",")[:3]
        return TRUTHS.index(truth), int(n), int(number)

    file.write_text("\n".join([lines[0], *sorted(lines[1:], key=place)]) + "\n", encoding="utf-8")
    return pd.read_csv(file, dtype={"parts": str})


# ---- reading ---------------------------------------------------------------------------------------------------------


def outcomes(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return what is counted: each part, the conjunction, and significance in either direction."""
    parts = rows["parts"]
    out = {letter: parts.str[k] == "h" for k, letter in enumerate(PARTS)}
    out["P10"] = parts == "hhh"
    out |= {f"{letter} either": parts.str[k].isin(["h", "o"]) for k, letter in enumerate("ab")}
    return out


def conditions(results: pd.DataFrame) -> Iterable[tuple[str, int, pd.DataFrame]]:
    """Yield truth, respondents a group, and the rows of each condition."""
    for (truth, n), rows in results.groupby(["truth", "n"], sort=False):
        yield str(truth), int(n), rows


def tables(results: pd.DataFrame) -> str:
    """Return the results as Markdown tables."""
    return "\n".join([*_verdicts(results), "", *_means(results), "", *_ladders(results), ""])


def _percent(hits: pd.Series) -> str:
    return percent(*rate(hits))


def _verdicts(results: pd.DataFrame) -> list[str]:
    head = ["truth", "n a group", "AU lower", "LG higher", "paths differ", "P10 holds", "AU differs", "LG differs"]
    body = []
    for truth, n, rows in conditions(results):
        found = outcomes(rows)
        body.append([truth, n, *(_percent(found[k]) for k in ("a", "b", "c", "P10", "a either", "b either"))])
    return ["### Verdicts", "", *table(head, body)]


def true_means(truth: str) -> Mapping[str, float]:
    """Return the true differences of means, 0 where none is named."""
    return population(truth).groups.levels[LEVEL].means


def _means(results: pd.DataFrame) -> list[str]:
    head = ["truth", "n a group", "construct", "true difference", "bias", "spread", "mean SE", "coverage of 95 %"]
    body = []
    for truth, n, rows in conditions(results):
        for name in ("AU", "LG"):
            tested = rows[rows[name.lower()].notna()]
            true = true_means(truth).get(name, 0.0)
            error, se = tested[name.lower()] - true, tested[f"{name.lower()}_se"]
            bias = f"{error.mean():+.3f} ({error.std() / math.sqrt(len(error)):.3f})"
            inside = _percent(error.abs() <= 1.959963984540054 * se)
            body.append([truth, n, name, f"{true:+.2f}", bias, f"{error.std():.3f}", f"{se.mean():.3f}", inside])
    return ["### Differences of means", "", *table(head, body)]


def _ladders(results: pd.DataFrame) -> list[str]:
    head = [
        "truth",
        "n a group",
        "main model scalar",
        "own latents scalar",
        "a parameter released",
        "slopes unequal",
        "differing paths found",
        "both found",
        "a wrong path found",
        "coverage of paths",
    ]
    body = []
    for truth, n, rows in conditions(results):
        released = rows["main_released"] + rows["own_released"] > 0
        compared = rows[rows["found"].notna()]
        wrong = compared["wrong"] + (0 if truth == "all" else compared["found"])
        found = f"{100 * compared['found'].mean() / len(DIFFERENT):.1f}" if truth == "all" else ""
        both = _percent(compared["found"] == len(DIFFERENT)) if truth == "all" else ""
        covered = 100 * compared["covered"].sum() / compared["intervals"].sum()
        ladders = [_percent(hits) for hits in (rows["main"] == "scalar", rows["own"] == "scalar", released)]
        slopes = _percent(rows["slopes"] == 0)
        body.append([truth, n, *ladders, slopes, found, both, _percent(wrong > 0), f"{covered:.1f}"])
    return ["### Ladders and paths", "", *table(head, body)]


# ---- figure ----------------------------------------------------------------------------------------------------------

LINES = {
    "a": ("AU lower (P10a)", "#b3541e", "circle"),
    "b": ("LG higher (P10b)", "#2b6a99", "square"),
    "c": ("paths differ (P10c)", "#4a7c3a", "triangle"),
    "P10": ("P10, all three", "#1a1a1a", "diamond"),
}
TITLES = {"nothing": "No difference: errors", "means": "Means differ, paths do not", "all": "All differ: power"}


def draw_figure(results: pd.DataFrame) -> str:
    """Return an SVG picture: how often each part holds, by truth and size, with 95 % Monte Carlo intervals."""
    shown = list(DESIGN)
    left, width, top, high = 50, 240, 66, 220
    total, bottom = left + width * len(shown) + 10, top + high
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {bottom + 50}" role="img" '
        f'aria-label="Share of replications in which each part of P10 holds, by truth and respondents a group">',
        f'<rect width="{total}" height="{bottom + 50}" fill="#fff"/>',
    ]
    for k, (title, colour, mark) in enumerate(LINES.values()):
        svg.append(draw_mark(mark, left + 10 + 165 * k, 18, colour))
        svg.append(f'<text x="{left + 20 + 165 * k}" y="22" font-size="12" {TEXT}>{title}</text>')
    rates = {(truth, n): outcomes(rows) for truth, n, rows in conditions(results)}
    for column, truth in enumerate(shown):
        start = left + width * column
        # errors need a scale of their own
        most = 0.10 if truth == "nothing" else 1.0
        y = _scale(bottom, high, most)
        svg.append(f'<text x="{start + 10}" y="48" font-size="12" font-weight="bold" {TEXT}>{TITLES[truth]}</text>')
        for step in range(6):
            value = most * step / 5
            svg.append(draw_line(start + 10, start + width - 20, y(value), y(value), "#e3e3e3"))
            label = f"{100 * value:.0f} %"
            svg.append(
                f'<text x="{start + 6}" y="{y(value) + 4:.1f}" font-size="10" text-anchor="end" {TEXT}>{label}</text>'
            )
        for wanted in (ALPHA, ALPHA / 2) if truth == "nothing" else (ALPHA, 0.8):
            svg.append(draw_line(start + 10, start + width - 20, y(wanted), y(wanted), "#1a1a1a", "3 3"))
        for k, (key, (_, colour, mark)) in enumerate(LINES.items()):
            before: tuple[float, float] | None = None
            for n in SIZES:
                if (truth, n) not in rates:
                    continue
                share, _ = rate(rates[truth, n][key])
                x = (
                    start
                    + 50
                    + (width - 100) * math.log2(n / SIZES[0]) / math.log2(SIZES[-1] / SIZES[0])
                    + 5 * (k - 1.5)
                )
                ends = likely(share, len(rates[truth, n][key]))
                svg.append(draw_line(x, x, y(ends[0]), y(min(most, ends[1])), colour))
                if before is not None:
                    svg.append(draw_line(before[0], x, before[1], y(share), colour))
                svg.append(draw_mark(mark, x, y(share), colour))
                before = (x, y(share))
        for n in SIZES:
            x = start + _along(n, width)
            svg.append(f'<text x="{x:.1f}" y="{bottom + 18}" font-size="10" text-anchor="middle" {TEXT}>{n}</text>')
        place = f'x="{start + width / 2}" y="{bottom + 36}"'
        svg.append(f'<text {place} font-size="11" text-anchor="middle" {TEXT}>respondents a group</text>')
    svg.append("</svg>")
    return "\n".join(svg) + "\n"


def _along(n: int, width: float) -> float:
    """Return where a size stands on the axis of a panel: doubling the sample is one step."""
    return 50 + (width - 100) * math.log2(n / SIZES[0]) / math.log2(SIZES[-1] / SIZES[0])


def _scale(bottom: float, high: float, most: float) -> Callable[[float], float]:
    return lambda value: bottom - high * value / most


def main() -> None:
    """Run the study and write its files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    results = run(given.out / "p10.csv", 4 if given.quick else REPLICATIONS, DESIGN, given.jobs)
    text = tables(results)
    (given.out / "p10.md").write_text(text, encoding="utf-8")
    (given.out / "p10.svg").write_text(draw_figure(results), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    # workers look functions with a memory up by the name of their module, which must not be that of the script
    from p10_study import main as start

    start()
