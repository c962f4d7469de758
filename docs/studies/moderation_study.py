"""Which way to ask whether one construct moderates the effect of another? A simulation with a known truth.

    python docs/studies/moderation_study.py --out study            500 samples of each condition, all routes
    python docs/studies/moderation_study.py --out study --quick    2: only to see that it works
    python docs/studies/moderation_study.py --out study --routes lms qml

Y depends on X, on M and on X:M; three items each. Conditions: normal factors, or factors of which most are high; no
product, or one that adds to the effect of X; 200, 400 or 800 respondents. Every sample goes through every route: LMS
(standard errors from the observed information, or robust), QML, product indicators (matched pairs, all pairs,
residual-centred), regression on scores, and a split of the respondents at the median of M. In a second model X is an
outcome itself, and Y has an outcome.

`moderation_all.csv` grows by a row a sample and route, so that a run which was broken off goes on where it stopped, and
routes can be run one after the other. Each sample has a random stream of its own: numbers depend neither on the number
of workers nor on the routes that are run. `moderation.csv` (bias, coverage, errors and power with their Monte Carlo
errors), `moderation_first.csv` (the first samples of each condition), tables and figures are made from it.
"""

from __future__ import annotations

import argparse
import csv
import gc
import importlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from paper import TEXT, draw_line, draw_mark, likely, percent, table

import b2b_sem as bs

SEED = 20261122
REPLICATIONS = 500
#: Samples of each condition that are kept with all their rows.
FIRST = 2
LOADINGS = (0.80, 0.75, 0.70)
#: Correlation of X and M, effects of X and M on Y, and standardized effect of the product where there is one.
RHO, B_X, B_M, B_XM = 0.3, 0.4, 0.2, 0.15
#: The second model: W on X, and Y on Z.
B_W, B_Z = 0.4, 0.5
#: Shape of the gamma distribution of skewed factors: skewness -2 / sqrt(SHAPE), excess kurtosis 6 / SHAPE.
SHAPE = 2.0
ALPHA = 0.05
DISTRIBUTIONS = ("normal", "skewed")
TRUTHS = {"none": 0.0, "product": B_XM}
SYNTAX = {
    "main": """
        X =~ x1 + x2 + x3
        M =~ m1 + m2 + m3
        Y =~ y1 + y2 + y3
        Y ~ X + M + X:M
    """,
    "chain": """
        W =~ w1 + w2 + w3
        X =~ x1 + x2 + x3
        M =~ m1 + m2 + m3
        Y =~ y1 + y2 + y3
        Z =~ z1 + z2 + z3
        X ~ W
        Y ~ X + M + X:M
        Z ~ Y
        W ~~ M
    """,
}
#: The routes that are latent: what `fit` is asked for.
LATENT: dict[str, dict[str, str]] = {
    "lms": {"interaction": "lms", "estimator": "ML"},
    "lms robust": {"interaction": "lms", "estimator": "MLR"},
    "qml": {"interaction": "qml", "estimator": "ML"},
    "dmc": {"interaction": "dmc", "estimator": "MLR"},
    "dmc-all": {"interaction": "dmc-all", "estimator": "MLR"},
    "rc": {"interaction": "rc", "estimator": "MLR"},
}
ROUTES = {
    "lms": "LMS",
    "lms robust": "LMS, robust SE",
    "qml": "QML",
    "dmc": "indicators, matched",
    "dmc-all": "indicators, all pairs",
    "rc": "indicators, residual-centred",
    "scores": "scores",
    "split": "split at the median",
}
SIZES = (200, 400, 800)
#: Model, distribution and truth of each condition, with its sizes and routes. Robust standard errors are for factors
#: that are not normal; one size will do for the second model.
DESIGN: dict[tuple[str, str, str], tuple[tuple[int, ...], tuple[str, ...]]] = {
    **{("main", "normal", t): (SIZES, tuple(r for r in ROUTES if r != "lms robust")) for t in TRUTHS},
    **{("main", "skewed", t): (SIZES, tuple(ROUTES)) for t in TRUTHS},
    **{("chain", "normal", t): ((400,), ("lms", "qml", "dmc")) for t in TRUTHS},
}
KEY = ("model", "distribution", "truth", "n", "number", "route")
COLUMNS = (
    *KEY,
    "state",  # ok, or why the row has no numbers
    "est", "se", "pvalue",  # in the units of the route
    "lr",  # p-value of the likelihood-ratio test, where there is one
    "std", "std_se", "covered",  # the standardized effect, and whether its 95 % interval holds the truth
)  # fmt: skip


# ---- one sample ------------------------------------------------------------------------------------------------------


def stream(model: str, distribution: str, truth: str, n: int, number: int) -> np.random.Generator:
    """Return the random numbers of a sample: a child that the seed spawns, the same whatever else is run."""
    place = (list(SYNTAX).index(model), DISTRIBUTIONS.index(distribution), list(TRUTHS).index(truth), n, number)
    return np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=place))


def moments(distribution: str) -> tuple[float, float]:
    """Return the variance of X M, and its covariance with X, which is also that with M."""
    if distribution == "normal":
        return 1.0 + RHO**2, 0.0
    # joint cumulants of gamma variables with a common part
    return 1.0 + RHO**2 + 6.0 * RHO / SHAPE, -2.0 * RHO / math.sqrt(SHAPE)


def draw_factors(model: str, distribution: str, truth: str, n: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return the factors, all with mean 0 and variance 1: a coefficient is a standardized effect."""
    out: dict[str, Any] = {}
    if distribution == "normal":
        m = rng.standard_normal(n)
        if model == "chain":
            # W carries the whole correlation of X and M
            with_m = RHO / B_W
            out["w"] = with_m * m + math.sqrt(1 - with_m**2) * rng.standard_normal(n)
            x = B_W * out["w"] + math.sqrt(1 - B_W**2) * rng.standard_normal(n)
        else:
            x = RHO * m + math.sqrt(1 - RHO**2) * rng.standard_normal(n)
    else:
        # sums of gamma variables with a common part, turned round: most answers are high
        shared, own_x, own_m = (rng.gamma(k * SHAPE, size=n) for k in (RHO, 1 - RHO, 1 - RHO))
        x, m = (-(shared + own - SHAPE) / math.sqrt(SHAPE) for own in (own_x, own_m))
    b = TRUTHS[truth]
    variance, covariance = moments(distribution)
    rest = 1 - (B_X**2 + B_M**2 + 2 * B_X * B_M * RHO + b**2 * variance + 2 * b * (B_X + B_M) * covariance)
    y = B_X * x + B_M * m + b * (x * m - RHO) + math.sqrt(rest) * rng.standard_normal(n)
    out |= {"x": x, "m": m, "y": y}
    if model == "chain":
        out["z"] = B_Z * y + math.sqrt(1 - B_Z**2) * rng.standard_normal(n)
    return out


def draw(model: str, distribution: str, truth: str, n: int, number: int) -> pd.DataFrame:
    """Return the answers of a sample; errors are normal."""
    rng = stream(model, distribution, truth, n, number)
    columns = {}
    for name, factor in draw_factors(model, distribution, truth, n, rng).items():
        for k, loading in enumerate(LOADINGS, 1):
            columns[f"{name}{k}"] = loading * factor + math.sqrt(1 - loading**2) * rng.standard_normal(n)
    return pd.DataFrame(columns)


def ask(route: str, model: str, frame: pd.DataFrame) -> dict[str, Any]:
    """Return what a route says about X:M."""
    if route not in LATENT:
        answer = bs.moderation(SYNTAX[model], frame, product="X:M", outcome="Y", routes=(route,)).route(route)
        if not answer.ok:
            return {"state": "failed"}
        names = ("est", "se", "pvalue", "std", "std_se", "std_lower", "std_upper")
        return {"state": "ok", **{k: getattr(answer, k) for k in names}}
    fit = bs.fit(SYNTAX[model], frame, **LATENT[route])  # type: ignore[arg-type]
    if not fit.ok:
        return {
            "state": "not converged" if not fit.converged else "not identified" if not fit.identified else "Heywood"
        }
    raw, std = (_row(t) for t in (fit.parameters, fit.standardized()))
    out = {"state": "ok", "est": raw.est, "se": raw.se, "pvalue": raw.pvalue, "std": std.est_std, "std_se": std.se}
    out |= {"std_lower": std.ci_lower, "std_upper": std.ci_upper}
    if "product_pvalue" in fit.measures:
        out["lr"] = fit.measures["product_pvalue"]
    return out


def _row(parameters: pd.DataFrame) -> Any:
    """Return the row of the product."""
    (row,) = (r for r in parameters.itertuples() if (r.lhs, r.op, r.rhs) == ("Y", "~", "X:M"))
    return row


def settle() -> None:
    """Keep what is loaded out of garbage collections: adjusting p-values, as the split does, begins with one."""
    if gc.get_freeze_count():
        return
    importlib.import_module("statsmodels.stats.multitest")
    gc.collect()
    gc.freeze()


def replicate(model: str, distribution: str, truth: str, n: int, number: int, route: str) -> dict[str, Any]:
    """Draw a sample and ask one route."""
    settle()
    key = (model, distribution, truth, n, number, route)
    try:
        found = ask(route, model, draw(model, distribution, truth, n, number))
    except bs.ModelError:
        found = {"state": "failed"}
    lower, upper = found.pop("std_lower", math.nan), found.pop("std_upper", math.nan)
    if math.isfinite(lower):
        found["covered"] = int(lower <= TRUTHS[truth] <= upper)
    return dict(zip(KEY, key, strict=True)) | found


# ---- running ---------------------------------------------------------------------------------------------------------


def plan(replications: int, routes: Iterable[str], design: Mapping[Any, Any] = DESIGN) -> Iterator[tuple[Any, ...]]:
    """Yield the keys of all rows; conditions grow together, so that a run that is broken off is worth something."""
    chosen = set(routes)
    for number in range(replications):
        for condition, (sizes, own) in design.items():
            for n in sizes:
                for route in own:
                    if route in chosen:
                        yield (*condition, n, number, route)


def read(file: Path) -> pd.DataFrame:
    """Return a file of rows."""
    # "none" is a truth, and no missing value
    return pd.read_csv(file, keep_default_na=False, na_values=[""])


def run(file: Path, keys: Iterable[tuple[Any, ...]], jobs: int) -> pd.DataFrame:
    """Run what is missing in a file of rows, and return the file, sorted."""
    done: set[tuple[Any, ...]] = set()
    if file.exists():
        done = {tuple(key) for key in read(file)[list(KEY)].to_numpy().tolist()}
    wanted = [key for key in keys if key not in done]
    with file.open("a", newline="", encoding="utf-8") as stream_out:
        writer = csv.DictWriter(stream_out, COLUMNS, restval="", lineterminator="\n")
        if not done:
            writer.writeheader()
        with Parallel(n_jobs=jobs, return_as="generator_unordered") as pool:
            for count, row in enumerate(pool(delayed(replicate)(*key) for key in wanted), 1):
                writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
                stream_out.flush()
                if count % 500 == 0:
                    print(f"{count} of {len(wanted)}", flush=True)
    rows = read(file)
    orders = {"model": list(SYNTAX), "distribution": list(DISTRIBUTIONS), "truth": list(TRUTHS), "route": list(ROUTES)}
    place = pd.DataFrame({k: rows[k].map(orders[k].index) if k in orders else rows[k] for k in KEY})
    return rows.loc[place.sort_values(list(KEY)).index].reset_index(drop=True)


# ---- reading ---------------------------------------------------------------------------------------------------------


def summarize(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a condition and route."""
    out = []
    for key, part in rows.groupby(["model", "distribution", "truth", "n", "route"], sort=False):
        good = part[part["state"] == "ok"]
        count = len(good)
        error = good["std"] - TRUTHS[str(key[2])]
        shares = {
            "coverage": good["covered"].mean(),
            "rejected": (good["pvalue"] < ALPHA).mean(),
            "lr_rejected": (good["lr"] < ALPHA).mean() if good["lr"].notna().all() else math.nan,
        }
        out.append(
            dict(zip(("model", "distribution", "truth", "n", "route"), key, strict=True))
            | {"replications": len(part), "lost": len(part) - count}
            | {"bias": error.mean(), "bias_mcse": error.std() / math.sqrt(count)}
            | {"spread": error.std(), "mean_se": good["std_se"].mean(), "rmse": math.sqrt((error**2).mean())}
            | {k: v for name, v in shares.items() for k, v in _share(name, v, count)}
        )
    return pd.DataFrame(out)


def _share(name: str, value: float, count: int) -> Iterator[tuple[str, float]]:
    yield name, value
    yield f"{name}_mcse", math.sqrt(value * (1 - value) / count)


def tables(summary: pd.DataFrame) -> str:
    """Return the results as Markdown tables."""
    out: list[str] = []
    for distribution in DISTRIBUTIONS:
        part = summary[(summary.model == "main") & (summary.distribution == distribution)]
        out += [f"### {distribution.capitalize()} factors", "", *_effects(part), ""]
    out += ["### Wald or likelihood ratio", "", *_tests(summary[summary.model == "main"]), ""]
    return "\n".join([*out, "### The longer model", "", *_effects(summary[summary.model == "chain"]), ""])


def _pairs(part: pd.DataFrame) -> Iterator[tuple[int, str, Any, Any]]:
    """Yield size and route with their rows without and with a product."""
    for (n, route), rows in part.groupby(["n", "route"], sort=False):
        by = rows.set_index("truth")
        yield int(n), str(route), by.loc["none"], by.loc["product"]


def _effects(part: pd.DataFrame) -> list[str]:
    head = ["n", "route", "bias, no product", "bias", "spread", "mean SE", "coverage", "type I", "power", "lost"]
    body = []
    for n, route, none, some in _pairs(part):
        numbers = ["", "", "", "", ""]
        if math.isfinite(some.bias):
            numbers = [*(f"{r.bias:+.3f} ({r.bias_mcse:.3f})" for r in (none, some))]
            numbers += [f"{some.spread:.3f}", f"{some.mean_se:.3f}", percent(some.coverage, some.coverage_mcse)]
        rates = [percent(r.rejected, r.rejected_mcse) for r in (none, some)]
        lost = 100 * (none.lost + some.lost) / (none.replications + some.replications)
        body.append([n, ROUTES[route], *numbers, *rates, f"{lost:.1f}"])
    return table(head, body)


def _tests(part: pd.DataFrame) -> list[str]:
    head = [
        "factors",
        "n",
        "route",
        "type I, Wald",
        "type I, likelihood ratio",
        "power, Wald",
        "power, likelihood ratio",
    ]
    body = []
    for distribution in DISTRIBUTIONS:
        for n, route, none, some in _pairs(part[part.distribution == distribution]):
            if math.isfinite(none.lr_rejected) and route in ("lms", "qml"):
                cells = [percent(r[k], r[f"{k}_mcse"]) for r in (none, some) for k in ("rejected", "lr_rejected")]
                body.append([distribution, n, ROUTES[route], *cells])
    return table(head, body)


# ---- figures ---------------------------------------------------------------------------------------------------------

LOOKS = {
    "lms": ("#0b5394", "circle"),
    "lms robust": ("#0b5394", "diamond"),
    "qml": ("#0b5394", "square"),
    "dmc": ("#4a7c3a", "circle"),
    "dmc-all": ("#4a7c3a", "square"),
    "rc": ("#4a7c3a", "triangle"),
    "scores": ("#b3541e", "circle"),
    "split": ("#b3541e", "triangle"),
}
#: Column, truth, lowest and highest value shown, marks of the axis, values to aim at.
PANELS: dict[str, tuple[str, str, float, float, tuple[float, ...], float]] = {
    "Bias, no product": ("bias", "none", -0.10, 0.10, (-0.1, -0.05, 0.0, 0.05, 0.1), 0.0),
    "Bias, product .15": ("bias", "product", -0.10, 0.10, (-0.1, -0.05, 0.0, 0.05, 0.1), 0.0),
    "Coverage, %": ("coverage", "product", 0.60, 1.0, (0.6, 0.7, 0.8, 0.9, 1.0), 0.95),
    "Type I errors, %": ("rejected", "none", 0.0, 0.25, (0.0, 0.05, 0.1, 0.15, 0.2, 0.25), ALPHA),
    "Power, %": ("rejected", "product", 0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), 0.8),
}


def draw_figure(summary: pd.DataFrame, distribution: str) -> str:
    """Return an SVG picture: bias, coverage, errors and power by size and route, with 95 % Monte Carlo intervals.

    What lies beyond an axis stands at its end, as an arrow.
    """
    part = summary[(summary.model == "main") & (summary.distribution == distribution)]
    left, width, top, step, gap = 200, 150, 48, 15, 12
    sizes = list(dict.fromkeys(part.n))
    routes = [r for r in ROUTES if r in set(part.route)]
    block = step * len(routes) + gap
    bottom = top + block * len(sizes)
    total = left + width * len(PANELS) + 10
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {bottom + 30}" role="img" '
        f'aria-label="Bias, coverage, type I errors and power of each route with {distribution} factors">',
        f'<rect width="{total}" height="{bottom + 30}" fill="#fff"/>',
    ]
    places = {}
    for i, n in enumerate(sizes):
        start = top + block * i
        svg.append(f'<text x="8" y="{start + 13}" font-size="12" font-weight="bold" {TEXT}>n = {n}</text>')
        for k, route in enumerate(routes):
            y = places[n, route] = start + step * k + 9
            name = f'font-size="11" text-anchor="end" {TEXT}>{ROUTES[route]}'
            svg.append(f'<text x="{left - 8}" y="{y + 4}" {name}</text>')
    for column, (title, (what, truth, low, high, marks, wanted)) in enumerate(PANELS.items()):
        start = left + width * column

        def place(value: float, start: int = start, low: float = low, high: float = high) -> float:
            return start + 10 + (min(max(value, low), high) - low) / (high - low) * (width - 30)

        svg.append(f'<text x="{start + 10}" y="20" font-size="12" font-weight="bold" {TEXT}>{title}</text>')
        for value in marks:
            x = place(value)
            svg.append(draw_line(x, x, top - 6, bottom - gap + 4, "#e3e3e3"))
            label = f"{value:g}" if what == "bias" else f"{100 * value:.0f}"
            svg.append(f'<text x="{x:.1f}" y="36" font-size="9" text-anchor="middle" {TEXT}>{label}</text>')
        svg.append(draw_line(place(wanted), place(wanted), top - 6, bottom - gap + 4, "#1a1a1a", "3 3"))
        for row in part[part.truth == truth].to_dict("records"):
            value, y = row[what], places[row["n"], row["route"]]
            if not math.isfinite(value):
                continue
            colour, shape = LOOKS[row["route"]]
            half = 1.959963984540054 * row["bias_mcse"]
            ends = (value - half, value + half) if what == "bias" else likely(value, row["replications"] - row["lost"])
            svg.append(draw_line(place(ends[0]), place(ends[1]), y, y, colour))
            if low <= value <= high:
                svg.append(draw_mark(shape, place(value), y, colour))
            else:
                tip, side = place(value), math.copysign(6.0, value - low)
                points = f"{tip:.1f},{y} {tip - side:.1f},{y - 4} {tip - side:.1f},{y + 4}"
                svg.append(f'<polygon points="{points}" fill="none" stroke="{colour}"/>')
    svg.append("</svg>")
    return "\n".join(svg) + "\n"


def main() -> None:
    """Run the study and write its files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--routes", nargs="+", choices=list(ROUTES), default=list(ROUTES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    keys = plan(2 if given.quick else REPLICATIONS, given.routes)
    rows = run(given.out / "moderation_all.csv", keys, given.jobs)
    rows[rows["number"] < FIRST].to_csv(given.out / "moderation_first.csv", index=False)
    summary = summarize(rows)
    summary.to_csv(given.out / "moderation.csv", index=False, float_format="%.6g")
    text = tables(summary)
    (given.out / "moderation.md").write_text(text, encoding="utf-8")
    for distribution in DISTRIBUTIONS:
        (given.out / f"moderation-{distribution}.svg").write_text(draw_figure(summary, distribution), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
