"""Which method for holes, which for coarse answers? A simulation with a known truth, run with this package alone.

    python docs/studies/estimator_study.py --out study            1,000 replications a condition (500 with imputation)
    python docs/studies/estimator_study.py --out study --quick    20: only to see that it works

Two experiments on one model (three factors of three items, 400 respondents):

* holes: 20 % of the answers to six of the nine items are missing completely at random (MCAR), because of another
  answer (MAR), or because of the missing answer itself (MNAR). Listwise deletion, FIML and multiple imputation.
* answers: complete data recorded in 3, 5 or 7 categories, evenly or with most answers at one end. ML and MLR take the
  categories as numbers, WLSMV as categories.

It writes `estimates.csv` (bias and coverage of each kind of parameter with Monte Carlo errors), `tests.csv` (how often
the true model is rejected at 5 %), `tables.md` and one figure an experiment. Each replication has a random stream, so
that the numbers do not depend on the number of workers.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from paper import TEXT, draw_line, draw_mark

import b2b_sem as bs

MODEL = """
    PC =~ pc1 + pc2 + pc3
    RR =~ rr1 + rr2 + rr3
    BT =~ bt1 + bt2 + bt3
    RR ~ PC
    BT ~ PC + RR
"""
FACTORS = {"PC": ("pc1", "pc2", "pc3"), "RR": ("rr1", "rr2", "rr3"), "BT": ("bt1", "bt2", "bt3")}
ITEMS = tuple(item for items in FACTORS.values() for item in items)
LOADINGS = (0.8, 0.7, 0.6)
PATHS = {("RR", "PC"): 0.5, ("BT", "PC"): 0.2, ("BT", "RR"): 0.4}
N = 400
SEED = 20261122
SHARE = 0.20
#: Shares of the answers; the skewed ones pile up at the upper end, as answers of satisfied customers do.
ANSWERS = {
    "3, even": (0.25, 0.50, 0.25),
    "3, skewed": (0.07, 0.18, 0.75),
    "5, even": (0.07, 0.24, 0.38, 0.24, 0.07),
    "5, skewed": (0.03, 0.05, 0.10, 0.22, 0.60),
    "7, even": (0.03, 0.09, 0.22, 0.32, 0.22, 0.09, 0.03),
    "7, skewed": (0.02, 0.03, 0.05, 0.08, 0.12, 0.20, 0.50),
}
HOLES = ("MCAR", "MAR", "MNAR")
TREATMENTS = {"listwise": "listwise", "FIML": "fiml", "imputation": "mi"}
ESTIMATORS = ("ML", "MLR", "WLSMV")
IMPUTATIONS = 10


def draw(rng: np.random.Generator) -> pd.DataFrame:
    """Return complete answers with mean 0 and variance 1."""
    pc = rng.standard_normal(N)
    a = PATHS["RR", "PC"]
    rr = a * pc + math.sqrt(1 - a * a) * rng.standard_normal(N)
    b, c = PATHS["BT", "PC"], PATHS["BT", "RR"]
    rest = 1 - (b * b + c * c + 2 * a * b * c)
    bt = b * pc + c * rr + math.sqrt(rest) * rng.standard_normal(N)
    columns = {}
    for factor, items in zip((pc, rr, bt), FACTORS.values(), strict=True):
        for item, loading in zip(items, LOADINGS, strict=True):
            columns[item] = loading * factor + math.sqrt(1 - loading**2) * rng.standard_normal(N)
    return pd.DataFrame(columns)


def punch(frame: pd.DataFrame, mechanism: str, rng: np.random.Generator) -> pd.DataFrame:
    """Return `frame` with holes in the items of RR and BT; about SHARE of each is missing."""
    out = frame.copy()
    for item in (*FACTORS["RR"], *FACTORS["BT"]):
        if mechanism == "MCAR":
            chance = np.full(N, SHARE)
        else:
            # the probability doubles about every .4 standard deviations of what causes the hole
            cause = frame["pc1"] if mechanism == "MAR" else frame[item]
            chance = 1 / (1 + np.exp(2.05 - 1.7 * cause.to_numpy()))
        out.loc[rng.random(N) < chance, item] = np.nan
    return out


def record(frame: pd.DataFrame, answers: str) -> pd.DataFrame:
    """Return the answers cut into categories 1, 2, ... with the shares of ANSWERS."""
    from scipy.special import ndtri

    cuts = ndtri(np.cumsum(ANSWERS[answers])[:-1])
    return pd.DataFrame({item: np.searchsorted(cuts, frame[item]) + 1.0 for item in frame})


def truth(standardized: bool) -> dict[tuple[str, str, str], tuple[str, float]]:
    """Return the kind and the true value of each parameter that is judged."""
    out: dict[tuple[str, str, str], tuple[str, float]] = {}
    scale = {} if standardized else dict.fromkeys(FACTORS, LOADINGS[0])
    for factor, items in FACTORS.items():
        for item, loading in zip(items, LOADINGS, strict=True):
            if standardized or item != items[0]:
                out[factor, "=~", item] = ("loadings", loading / scale.get(factor, 1.0))
    for (y, x), value in PATHS.items():
        out[y, "~", x] = ("paths", value * scale.get(y, 1.0) / scale.get(x, 1.0))
    if not standardized:
        for item in (*FACTORS["RR"], *FACTORS["BT"]):
            out[item, "~1", ""] = ("intercepts", 0.0)
    return out


def judge(fit: Any, standardized: bool) -> dict[str, Any]:
    """Return estimates, standard errors and coverage of one fit."""
    table = fit.standardized() if standardized else fit.parameters
    value = "est_std" if standardized else "est"
    rows = {(r.lhs, r.op, r.rhs): r for r in table.itertuples()}
    found = {}
    for key, (_, true) in truth(standardized).items():
        row = rows[key]
        estimate, se = getattr(row, value), row.se
        found[key] = (estimate - true, se, bool(row.ci_lower <= true <= row.ci_upper))
    m = fit.measures
    return {"found": found, "rejected": m.get("pvalue_scaled", m["pvalue"]) < 0.05}


def replicate(experiment: str, condition: str, number: int, methods: Iterable[str]) -> dict[str, Any]:
    """Draw one sample and fit the model with each method; None for a fit that failed."""
    place = [*ANSWERS, *HOLES].index(condition)
    sequence = np.random.SeedSequence([SEED, place, number])
    rng = np.random.default_rng(sequence)
    frame = draw(rng)
    out: dict[str, Any] = {}
    for method in methods:
        options: dict[str, Any] = {"engine": "native"}
        if experiment == "holes":
            if "data" not in out:
                out["data"] = punch(frame, condition, rng)
            options |= {"missing": TREATMENTS[method], "meanstructure": True}
            if method == "imputation":
                options |= {"imputations": IMPUTATIONS, "seed": number}
        else:
            if "data" not in out:
                out["data"] = record(frame, condition)
            options |= {"estimator": method}
            if method == "WLSMV":
                options |= {"ordered": True}
        try:
            fit = bs.fit(MODEL, out["data"], **options)
        except bs.B2BSemError:
            out[method] = None
            continue
        out[method] = judge(fit, experiment == "answers") if fit.ok else None
    out.pop("data", None)
    return out


def summarize(experiment: str, condition: str, method: str, results: list[Any]) -> tuple[list[dict[str, Any]], Any]:
    """Return one row a kind of parameter, and how often the test rejects."""
    good = [r for r in results if r is not None]
    kinds = truth(experiment == "answers")
    head = {"experiment": experiment, "condition": condition, "method": method}
    rows = []
    for kind in dict.fromkeys(k for k, _ in kinds.values()):
        keys = [key for key, (k, _) in kinds.items() if k == kind]
        error = np.array([[r["found"][key][0] for key in keys] for r in good])
        se = np.array([[r["found"][key][1] for key in keys] for r in good])
        inside = np.array([[r["found"][key][2] for key in keys] for r in good])
        count = len(good)
        spread = error.std(axis=0, ddof=1)
        rows.append(
            {
                **head,
                "kind": kind,
                "replications": count,
                "lost": len(results) - count,
                "bias": error.mean(),
                "bias_mcse": error.mean(axis=1).std(ddof=1) / math.sqrt(count),
                "se_ratio": float((se.mean(axis=0) / spread).mean()),
                "rmse": float(np.sqrt((error**2).mean())),
                "coverage": inside.mean(),
                "coverage_mcse": inside.mean(axis=1).std(ddof=1) / math.sqrt(count),
            }
        )
    rejected = np.array([r["rejected"] for r in good])
    share = rejected.mean()
    test = {**head, "replications": len(good), "rejected": share, "mcse": math.sqrt(share * (1 - share) / len(good))}
    return rows, test


def run(replications: int, imputed: int, jobs: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run both experiments."""
    rows: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    plan = [("holes", c, tuple(TREATMENTS)) for c in HOLES] + [("answers", c, ESTIMATORS) for c in ANSWERS]
    with Parallel(n_jobs=jobs) as pool:
        for experiment, condition, methods in plan:
            quick = [m for m in methods if m != "imputation"]
            work = [
                delayed(replicate)(experiment, condition, k, methods if k < imputed else quick)
                for k in range(replications)
            ]
            results = pool(work)
            for method in methods:
                own = [r[method] for r in results if method in r]
                more, test = summarize(experiment, condition, method, own)
                rows += more
                tests.append(test)
            print(f"{experiment}: {condition} done", flush=True)
    return pd.DataFrame(rows), pd.DataFrame(tests)


def tables(estimates: pd.DataFrame, tests: pd.DataFrame) -> str:
    """Return the results as Markdown tables."""
    out = []
    for experiment, title in (("holes", "Holes"), ("answers", "Answers")):
        part = estimates[estimates.experiment == experiment]
        kinds = list(dict.fromkeys(part.kind))
        head = [f"bias of {k}" for k in kinds] + [f"coverage of {k}" for k in kinds] + ["true model rejected", "lost"]
        out += [f"### {title}", "", "| condition | method | " + " | ".join(head) + " |", "|---" * (len(head) + 2) + "|"]
        for (condition, method), rows in part.groupby(["condition", "method"], sort=False):
            by = rows.set_index("kind")
            test = tests[(tests.condition == condition) & (tests.method == method)].iloc[0]
            cells = [f"{by.bias[k]:+.3f}" for k in kinds] + [f"{100 * by.coverage[k]:.1f} %" for k in kinds]
            cells += [f"{100 * test.rejected:.1f} %", str(by.lost.iloc[0])]
            out.append(f"| {condition} | {method} | " + " | ".join(cells) + " |")
        size = f"{part.replications.max()} replications"
        worst = (
            f"largest Monte Carlo error: bias {part.bias_mcse.max():.3f}, coverage {100 * part.coverage_mcse.max():.1f}"
        )
        out += ["", f"{size}; {worst} points.", ""]
    return "\n".join(out)


def draw_figure(estimates: pd.DataFrame, experiment: str) -> str:
    """Return an SVG picture: coverage of the 95 % interval by condition, method and kind of parameter."""
    part = estimates[estimates.experiment == experiment]
    kinds, conditions = list(dict.fromkeys(part.kind)), list(dict.fromkeys(part.condition))
    methods = list(dict.fromkeys(part.method))
    colours = dict(zip(methods, ("#b3541e", "#2b6a99", "#4a7c3a"), strict=True))
    marks = dict(zip(methods, ("circle", "square", "triangle"), strict=True))
    width, left, row, top = 250, 110, 26, 64
    low = max(0.0, math.floor(20 * part.coverage.min() - 0.2) / 20)
    height = top + row * len(conditions) + 40
    total = left + width * len(kinds) + 20
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" role="img" '
        f'aria-label="Coverage of 95 % intervals by condition and method">',
        f'<rect width="{total}" height="{height}" fill="#fff"/>',
    ]
    for k, method in enumerate(methods):
        key = left + 90 * k
        svg.append(draw_mark(marks[method], key, 18, colours[method]))
        svg.append(f'<text x="{key + 10}" y="22" font-size="12" {TEXT}>{method}</text>')
    for column, kind in enumerate(kinds):
        start = left + width * column

        def place(value: float, start: int = start) -> float:
            return start + 10 + (value - low) / (1 - low) * (width - 40)

        svg.append(f'<text x="{start + 10}" y="48" font-size="12" font-weight="bold" {TEXT}>{kind}</text>')
        for value in np.arange(low, 1.0001, 0.05 if low >= 0.7 else 0.1 if low > 0.4 else 0.2):
            x: float = place(float(value))
            svg.append(draw_line(x, x, top - 8, height - 32, "#e3e3e3"))
            label = f"{100 * value:.0f}"
            svg.append(f'<text x="{x:.1f}" y="{height - 16}" font-size="10" text-anchor="middle" {TEXT}>{label}</text>')
        svg.append(draw_line(place(0.95), place(0.95), top - 8, height - 32, "#1a1a1a", "3 3"))
        for i, condition in enumerate(conditions):
            y = top + row * i + row / 2
            if column == 0:
                svg.append(
                    f'<text x="{left - 8}" y="{y + 4}" font-size="12" text-anchor="end" {TEXT}>{condition}</text>'
                )
            for k, method in enumerate(methods):
                here = part[(part.kind == kind) & (part.condition == condition) & (part.method == method)].iloc[0]
                at, half = y + 6 * (k - 1), 1.96 * here.coverage_mcse
                ends = (place(max(low, here.coverage - half)), place(min(1.0, here.coverage + half)))
                svg.append(draw_line(*ends, at, at, colours[method]))
                svg.append(draw_mark(marks[method], place(here.coverage), at, colours[method]))
    svg.append("</svg>")
    return "\n".join(svg) + "\n"


def main() -> None:
    """Run the study and write its files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    replications, imputed = (20, 20) if given.quick else (1000, 500)
    estimates, tests = run(replications, imputed, given.jobs)
    given.out.mkdir(parents=True, exist_ok=True)
    estimates.to_csv(given.out / "estimates.csv", index=False, float_format="%.6g")
    tests.to_csv(given.out / "tests.csv", index=False, float_format="%.6g")
    text = tables(estimates, tests)
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    for experiment in ("holes", "answers"):
        (given.out / f"{experiment}.svg").write_text(draw_figure(estimates, experiment), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
