"""Do simulated respondents have what the file of their population asks for? Moments of 1,000,000 rows of each kind.

    python docs/studies/population_check.py --out study            1,000,000 rows of each population
    python docs/studies/population_check.py --out study --quick    50,000: only to see that it works

Every population is a small file with a survey, or lavaan text. What is asked for is worked out here from the numbers
in the file, by closed forms, and not by the program that draws. Beside each kind of quantity stands the largest
distance of what is found from what was asked, and that in standard errors: those come from the spread of the quantity
over 50 parts of the rows, so that they hold for skew, kurtosis and clusters, too. Of 100 true values one is about 2.6
standard errors away, of 1,000 one 3.3. Rates of answers that are missing for a reason are solved with 50,000
respondents of a fixed seed and come out within about .003: they have no standard errors.

`population-check.csv` holds each quantity, `population-check.md` the table.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from paper import table

import b2b_sem as bs

ROWS, QUICK, SEED, PARTS = 1_000_000, 50_000, 20261122, 50
#: Solved with a sample, and so not exact: found within so much.
SOLVED, SOLVED_FOR = 0.004, ("rates missing at random", "rates missing not at random")
Frame = pd.DataFrame
#: What is looked at, name of the value, asked, how it is found in rows.
Quantity = tuple[str, str, float, Callable[[Frame], float]]

SURVEY = """
kind: survey
schema_version: 1
id: check
title: Check
format: {low: 1, high: 7}
scales:
  A: {name: first, items: {a1: one, a2: two, a3: {text: three, reverse: true}}}
  B: {name: second, items: {b1: one, b2: two, b3: three}}
  C: {name: third, items: {c1: one, c2: two, c3: three}}
  H:
    name: fourth
    facets: {u: first, v: second, w: third}
    items: {h1: {text: a, facet: u}, h2: {text: b, facet: u}, h3: {text: c, facet: v}, h4: {text: d, facet: v},
            h5: {text: e, facet: w}, h6: {text: f, facet: w}}
attention_checks: {ac1: {text: tick seven, answer: 7, after: b3}}
facts:
  sector: {label: sector, type: categorical, categories: {0: free, 1: regulated}}
  size: {label: size, type: number}
"""
MODEL = """
kind: model
schema_version: 1
id: check
title: Check
survey: ./survey.yaml
measurement: {%s}
structural: |
%s
%s
"""
POPULATION = """
kind: simulation
schema_version: 1
id: check
title: Check
model: ./model.yaml
%s
"""
THREE = "A: {scale: A}, B: {scale: B}, C: {scale: C}"
PATHS = "  B ~ A\n  C ~ A + B"
#: B on A .5, C on A .3 and on B .2: correlations .5, .3 + .2 * .5, .2 + .3 * .5.
PLAIN = "values:\n  loadings: {default: 0.8, items: {b3: 0.6}}\n  paths: {B ~ A: 0.5, C ~ A: 0.3, C ~ B: 0.2%s}\n%s"
LATENT = {("A", "B"): 0.5, ("A", "C"): 0.4, ("B", "C"): 0.35}
CONTINUOUS = "response: {type: continuous, mean: 4, sd: 1}\n"
HALVES = "facts: {sector: {shares: {0: 0.6, 1: 0.4}}, size: {mean: 30, sd: 10}}\n"
ITEMS = ("a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3")


# ---- what is looked at -----------------------------------------------------------------------------------------------


def third(x: pd.Series) -> float:
    """Return the skewness."""
    return float((((x - x.mean()) / x.std()) ** 3).mean())


def fourth(x: pd.Series) -> float:
    """Return the excess kurtosis."""
    return float((((x - x.mean()) / x.std()) ** 4).mean() - 3)


def loading(item: str) -> float:
    """Return the loading of an item of the plain population."""
    return 0.6 if item == "b3" else 0.8


def between(first: str, second: str, latent: dict[tuple[str, str], float] | None = None) -> float:
    """Return the correlation of two items of the plain population."""
    pair = (first[0].upper(), second[0].upper())
    return loading(first) * loading(second) * (1.0 if pair[0] == pair[1] else (latent or LATENT)[pair])


def moments(latent: dict[tuple[str, str], float] | None = None) -> Iterator[Quantity]:
    """Yield means, standard deviations and correlations of the plain population, answers around 4."""
    for i, item in enumerate(ITEMS):
        yield "means", item, 4.0, lambda f, a=item: float(f[a].mean())  # type: ignore[misc]
        yield "standard deviations", item, 1.0, lambda f, a=item: float(f[a].std())  # type: ignore[misc]
        for other in ITEMS[i + 1 :]:
            value = between(item, other, latent)
            yield "correlations", f"{item} {other}", value, lambda f, a=item, b=other: float(f[a].corr(f[b]))  # type: ignore[misc]


def shapes(skews: dict[str, float], kurtoses: dict[str, float]) -> Iterator[Quantity]:
    """Yield skew and kurtosis of items."""
    for item, value in skews.items():
        yield "skew", item, value, lambda f, a=item: third(f[a])  # type: ignore[misc]
    for item, value in kurtoses.items():
        yield "kurtosis", item, value, lambda f, a=item: fourth(f[a])  # type: ignore[misc]


def within(level: int, quantities: Iterator[Quantity] | list[Quantity]) -> Iterator[Quantity]:
    """Yield the same quantities of the respondents of one level."""
    for what, name, asked, find in quantities:
        yield what, f"{name} in {level}", asked, lambda f, g=find: g(f[f["sector"] == level])  # type: ignore[misc]


def mean_of(item: str, asked: float, what: str = "means") -> Quantity:
    """Return the mean of a column."""
    return what, item, asked, lambda f: float(f[item].mean())


def share_of(item: str, answer: float, asked: float) -> Quantity:
    """Return how often an answer is given, of those that are."""
    return "shares of answers", f"{item} = {answer:g}", asked, lambda f: float((f[item].dropna() == answer).mean())


def missing_of(item: str, asked: float, what: str = "rates of missing answers") -> Quantity:
    """Return how often an answer is missing."""
    return what, item, asked, lambda f: float(f[item].isna().mean())


def covariance_of(first: str, second: str, asked: float, what: str = "covariances") -> Quantity:
    """Return a covariance."""
    return what, f"{first} {second}", asked, lambda f: float(f[[first, second]].cov().iloc[0, 1])


def product_of(first: str, second: str, outcome: str, asked: float) -> Quantity:
    """Return the third joint central moment, to which only a product of latents adds."""

    def find(f: Frame) -> float:
        x = f[[first, second, outcome]] - f[[first, second, outcome]].mean()
        return float((x[first] * x[second] * x[outcome]).mean())

    return "moments of products", f"{first} {second} {outcome}", asked, find


def icc_of(item: str, asked: float, size: int) -> Quantity:
    """Return the intraclass correlation by analysis of variance, of clusters of one size."""

    def find(f: Frame) -> float:
        whole = f[f.groupby("firm")["firm"].transform("size") == size]
        means = whole.groupby("firm")[item].transform("mean")
        count = len(whole) // size
        outer = ((means - whole[item].mean()) ** 2).sum() / (count - 1)
        inner = ((whole[item] - means) ** 2).sum() / (len(whole) - count)
        return float((outer - inner) / (outer + (size - 1) * inner))

    return "intraclass correlations", item, asked, find


def normal_share(low: float, high: float) -> float:
    """Return the share of a standard normal variable between two points."""
    return 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)))


# ---- populations -----------------------------------------------------------------------------------------------------


def plain(sections: str, paths: str = "", values: str = "") -> str:
    """Return the file of the plain population with more in it."""
    return PLAIN % (paths, values) + sections


def answers(item: str) -> list[Quantity]:
    """Return the shares of the answers 1 to 7 that are rounded from a mean of 4.6 and a standard deviation of 1.35."""
    ends = [-math.inf, *((k + 0.5 - 4.6) / 1.35 for k in range(1, 7)), math.inf]
    return [share_of(item, k + 1, normal_share(ends[k], ends[k + 1])) for k in range(7)]


def cases() -> Iterator[tuple[str, dict[str, str], list[Quantity]]]:
    """Yield name, files and what is asked of each population."""
    yield "normal", {"": plain(CONTINUOUS)}, list(moments())
    moment = "distribution: {items: {method: %s, skew: 1, kurtosis: 2.5, items: {b1: {skew: -0.5, kurtosis: 1}}}}\n"
    for method in ("vale-maurelli", "independent"):
        skews = {item: -0.5 if item == "b1" else 1.0 for item in ITEMS}
        kurtoses = {item: 1.0 if item == "b1" else 2.5 for item in ITEMS}
        yield (
            f"skewed items, {method}",
            {"": plain(CONTINUOUS + moment % method)},
            [*moments(), *shapes(skews, kurtoses)],
        )
    # an item has what its latent passes on: the loading to the third and fourth power
    skewed = dict.fromkeys(ITEMS[:3], 1.5 * 0.8**3)
    heavy = dict.fromkeys(ITEMS[:3], 4 * 0.8**4)
    # B is .5 A + what is left, which is normal; to b3 goes .6 of it
    skewed |= {"b1": 1.5 * (0.5 * 0.8) ** 3, "b3": 1.5 * (0.5 * 0.6) ** 3}
    heavy |= {"b1": 4 * (0.5 * 0.8) ** 4, "b3": 4 * (0.5 * 0.6) ** 4}
    yield (
        "skewed latent",
        {"": plain(CONTINUOUS + "distribution: {latents: {A: {skew: 1.5, kurtosis: 4}}}\n")},
        [*moments(), *shapes(skewed, heavy)],
    )
    given = [0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.3]
    text = f"response: {{mean: 4.6, sd: 1.35, items: {{b1: {{shares: {given}}}}}}}\n"
    yield (
        "whole-number answers",
        {"": plain(text)},
        [*answers("a1"), *answers("c3"), *(share_of("b1", k + 1, share) for k, share in enumerate(given))],
    )
    mechanisms = (
        "missing: {mechanisms: [{items: [C], rate: 0.15, depends_on: {a1: 0.8, size: -0.4}}, "
        "{items: [b1], rate: 0.1, on_itself: 1}, {items: [b2, b3], rate: 0.05, together: true}]}\n"
    )
    yield (
        "missing answers",
        {"": plain(mechanisms + HALVES)},
        [
            *(missing_of(item, 0.15, "rates missing at random") for item in ITEMS[6:]),
            missing_of("b1", 0.1, "rates missing not at random"),
            *(missing_of(item, 0.05, "rates missing by chance") for item in ("b2", "b3")),
            missing_of("a1", 0.0, "rates missing by chance"),
        ],
    )
    planned = "missing: {planned: {sets: {x: [A], y: [B], z: [C]}, leave_out: 1}}\nresponse: {missing_rate: 0.1}\n"
    yield (
        "planned forms",
        {"": plain(planned)},
        # one third is not asked, and of the rest a tenth is missing
        [missing_of(item, 1 / 3 + 0.1 * 2 / 3, "rates of planned forms") for item in ITEMS],
    )
    thoughtless = "response: {careless_share: 0.1, straight: {share: 0.05}}\n"
    yield (
        "answers without thought",
        {"": plain(thoughtless)},
        [
            # six of seven answers at random are wrong; who repeats one answer gives 7 to the check if the first is 7
            (
                "attention checks failed",
                "ac1",
                0.95 * 0.1 * 6 / 7 + 0.05 * (1 - _first()),
                lambda f: float((f["ac1"] != 7).mean()),
            ),
        ],
    )
    method = "  method: {share: 0.1, scales: {C: 0}, direction: recorded}\n"
    sign = {"a3": -1.0}

    def raised(first: str, second: str) -> float:
        both = 0.0 if "c" in (first[0], second[0]) else 0.1 * sign.get(first, 1.0) * sign.get(second, 1.0)
        return between(first, second) + both

    yield (
        "common method variance",
        {"": plain(CONTINUOUS, values=method)},
        [covariance_of(a, b, raised(a, b)) for k, a in enumerate(ITEMS) for b in ITEMS[k + 1 :]]
        + [covariance_of(a, a, 1.0) for a in ITEMS],
    )
    clusters = "clusters: {name: firm, size: 10, icc: 0.2, latents: {A: 0.3}, residuals: 0.1}\n"
    yield (
        "clusters",
        {"": plain(CONTINUOUS + clusters)},
        # of B: .25 of A with .3 between, .75 with .2; of a response the loading squared, of its residual .1
        [
            icc_of("a1", 0.64 * 0.3 + 0.36 * 0.1, 10),
            icc_of("b1", 0.64 * (0.25 * 0.3 + 0.75 * 0.2) + 0.36 * 0.1, 10),
            icc_of("b3", 0.36 * (0.25 * 0.3 + 0.75 * 0.2) + 0.64 * 0.1, 10),
            *(quantity for quantity in moments() if quantity[0] == "correlations"),
        ],
    )
    facts = "facts: {size: {mean: 30, sd: 10}, sector: {shares: {0: 0.6, 1: 0.4}}}\n"
    root = math.sqrt(0.24)
    yield (
        "facts that predict",
        {
            "": plain(CONTINUOUS + facts, paths=", B ~ size: 0.3, C ~ sector: -0.2"),
            "model": MODEL % (THREE, PATHS, "covariates: {size: [B], sector: [C]}"),
        },
        [
            covariance_of("size", "b1", 0.8 * 0.3 * 10),
            covariance_of("size", "c1", 0.8 * 0.3 * 0.2 * 10),
            covariance_of("sector", "c1", -0.8 * 0.2 * root),
            covariance_of("sector", "b1", 0.0),
            covariance_of("a1", "b1", 0.64 * 0.5),
            covariance_of("b1", "b1", 1.0),
            covariance_of("c1", "c1", 1.0),
            mean_of("size", 30.0),
            mean_of("sector", 0.4),
        ],
    )
    higher = "values: {loadings: {default: 0.8, items: {h1: 0.7}}, paths: {H ~ A: 0.5}}\n" + CONTINUOUS
    yield (
        "second order",
        {"": higher, "model": MODEL % ("A: {scale: A}, H: {scale: H, second_order: facets}", "  H ~ A", "")},
        # facet factors load by .8 on H
        [
            covariance_of("h1", "h2", 0.7 * 0.8),
            covariance_of("h3", "h4", 0.64),
            covariance_of("h1", "h3", 0.7 * 0.8 * 0.64),
            covariance_of("h3", "h5", 0.64 * 0.64),
            covariance_of("a1", "h3", 0.8 * 0.5 * 0.64),
            *(covariance_of(item, item, 1.0) for item in ("h1", "h3", "h6")),
        ],
    )
    products = {"model": MODEL % (THREE, "  C ~ A + B + A:B", "")}
    interaction = (
        "values:\n  loadings: {default: 0.8}\n  paths: {C ~ A: 0.3, C ~ B: 0.2}\n  correlations: {A ~~ B: 0.4}\n"
        "  interactions: {C ~ A:B: 0.25}\n"
    )
    eight = 0.8**3
    yield (
        "products",
        {"": interaction + CONTINUOUS, **products},
        [
            product_of("a1", "b1", "c1", eight * 0.25 * (1 + 0.16)),
            product_of("a2", "b3", "c2", eight * 0.25 * (1 + 0.16)),
            # E[A^2 C] = b E[A^2 (AB - r)] = 2 r b
            product_of("a1", "a2", "c1", eight * 0.25 * 2 * 0.4),
            covariance_of("a1", "c1", 0.64 * (0.3 + 0.2 * 0.4)),
            covariance_of("c1", "c1", 1.0),
            mean_of("c1", 4.0),
        ],
    )
    groups = "groups:\n  split: sector\n  reference: 0\n  levels:\n    1: {%s}\n"
    own = "interactions: {C ~ A:B: -0.1}, correlations: {A ~~ B: 0.1}"
    yield (
        "products by level",
        {"": interaction + CONTINUOUS + HALVES + groups % own, **products},
        [
            *within(0, [product_of("a1", "b1", "c1", eight * 0.25 * 1.16)]),
            *within(1, [product_of("a1", "b1", "c1", -eight * 0.1 * 1.01), covariance_of("a1", "b1", 0.064)]),
            *within(1, [covariance_of("a1", "c1", 0.64 * (0.3 + 0.2 * 0.1)), covariance_of("c1", "c1", 1.0)]),
        ],
    )
    own = "means: {A: 0.5}, paths: {B ~ A: 0.2}, loadings: {b2: 0.5}, intercepts: {c1: 0.4}"
    # means are total ones: that of B stays 0, whatever leads to it
    yield (
        "levels that are not invariant",
        {"": plain(CONTINUOUS + HALVES + groups % own)},
        [
            *within(0, list(moments())),
            *within(
                1, [mean_of("a1", 4.4), mean_of("a3", 4.4), mean_of("b1", 4.0), mean_of("c1", 4.4), mean_of("c2", 4.0)]
            ),
            *within(1, [covariance_of("a1", "b1", 0.64 * 0.2), covariance_of("b1", "b2", 0.4)]),
            # the residual stays: .25 + .36
            *within(1, [covariance_of("b2", "b2", 0.61), covariance_of("b1", "b1", 1.0)]),
            *within(1, [covariance_of("a1", "c1", 0.64 * (0.3 + 0.2 * 0.2))]),
        ],
    )
    own = "thresholds: {b1: [-2, -1, -0.5, 0, 0.5, 1.5]}, means: {B: 0.3}"
    cuts = [-math.inf, -2, -1, -0.5, 0, 0.5, 1.5, math.inf]
    shifted = [c - 0.8 * 0.3 for c in cuts]
    yield (
        "thresholds by level",
        {"": plain("response: {mean: 4.6, sd: 1.35}\n" + HALVES + groups % own)},
        [
            *within(0, answers("b1")),
            *within(1, [share_of("b1", k + 1, normal_share(shifted[k], shifted[k + 1])) for k in range(7)]),
            *within(1, answers("a1")),
        ],
    )
    raw = """
standardized: false
values:
  loadings: {default: 1, items: {a2: 0.7, b2: 1.3}}
  paths: {B ~ A: 0.6, C ~ A: 0.3, C ~ B: -0.4, B ~ size: 0.02}
  variances: {A: 0.8, C: 1.5}
  residual_variances: {B: 0.5, default: 0.4, a1: 0.6}
  residual_covariances: {a1 ~~ b1: 0.2}
  means: {A: 0.5}
  intercepts: {default: 3.5, C: 0.3}
response: {type: continuous}
"""
    own = "means: {A: 1}, variances: {A: 1.2}, loadings: {c2: 0.6}, intercepts: {c3: 4}, residual_variances: {b3: 0.9}"
    first, second = _raw(0.8, 0.5), _raw(1.2, 1.0, c2=0.6, c3=4.0, b3=0.9)
    yield (
        "raw values by level",
        {"": raw + HALVES + groups % own, "model": MODEL % (THREE, PATHS, "covariates: {size: [B]}")},
        [*within(0, first), *within(1, second)],
    )
    text = """
X =~ 0.9*x1 + 0.8*x2 + 1.1*x3
Y =~ 1*y1 + 1.2*y2
Y ~ 0.5*X + 0.2*z
X ~~ 1.5*X
Y ~~ 0.6*Y
z ~~ 2*z
x1 ~~ 0.5*x1 + 0.2*y1
y1 ~~ 0.7*y1
x1 ~ 4*1
z ~ 10*1
y2 | -1*t1 + 0.5*t2
"""
    # Y has .25 * 1.5 + .04 * 2 + .6, and the mean .2 * 10
    spread = math.sqrt(1.44 * 1.055 + 1)
    ends = [-math.inf, (-1 - 1.2 * 2) / spread, (0.5 - 1.2 * 2) / spread, math.inf]
    yield (
        "lavaan text",
        {"text": text},
        [
            covariance_of("x1", "x1", 0.81 * 1.5 + 0.5),
            covariance_of("x2", "x3", 0.88 * 1.5),
            covariance_of("x1", "y1", 0.9 * 0.5 * 1.5 + 0.2),
            covariance_of("z", "y1", 0.2 * 2),
            covariance_of("y1", "y1", 1.055 + 0.7),
            mean_of("x1", 4.0),
            mean_of("y1", 2.0),
            mean_of("z", 10.0),
            *(share_of("y2", k + 1, normal_share(ends[k], ends[k + 1])) for k in range(3)),
        ],
    )


def _first() -> float:
    """Return how often who repeats one answer starts with a 7: answers have mean 4 and sd 1.5, or are random."""
    return 0.9 * normal_share(2.5 / 1.5, math.inf) + 0.1 / 7


def _raw(variance: float, mean: float, c2: float = 1.0, c3: float = 3.5, b3: float = 0.4) -> list[Quantity]:
    """Return moments of a level of the raw population, from its values."""
    ab = 0.6 * variance
    b = 0.36 * variance + 0.0004 * 100 + 0.5
    bc, ac = 0.3 * ab - 0.4 * b, 0.3 * variance - 0.4 * ab
    centre = 0.6 * mean + 0.02 * 30
    last = 0.3 + 0.3 * mean - 0.4 * centre
    return [
        mean_of("a1", 3.5 + mean),
        mean_of("b2", 3.5 + 1.3 * centre),
        mean_of("c1", 3.5 + last),
        mean_of("c2", 3.5 + c2 * last),
        mean_of("c3", c3 + last),
        covariance_of("a1", "a1", variance + 0.6),
        covariance_of("a1", "b1", ab + 0.2),
        covariance_of("a2", "b2", 0.7 * 1.3 * ab),
        covariance_of("b3", "b3", b + b3),
        covariance_of("b1", "c1", bc),
        covariance_of("a1", "c2", c2 * ac),
        covariance_of("c1", "c1", 1.5 + 0.4),
        covariance_of("size", "b1", 2.0),
    ]


# ---- the check -------------------------------------------------------------------------------------------------------


def draw(files: dict[str, str], rows: int, folder: Path) -> Frame:
    """Return the rows of a population, items as scored."""
    if "text" in files:
        return bs.simulate(files["text"], n=rows, seed=SEED).frame
    (folder / "survey.yaml").write_text(SURVEY, encoding="utf-8")
    (folder / "model.yaml").write_text(files.get("model", MODEL % (THREE, PATHS, "")), encoding="utf-8")
    path = folder / "population.yaml"
    path.write_text(POPULATION % files[""], encoding="utf-8")
    frame = bs.simulate(path, n=rows, seed=SEED).frame
    return frame.assign(a3=8 - frame["a3"])


def check(rows: int) -> Frame:
    """Return each quantity of each population: asked, found, and the distance in standard errors."""
    out = []
    for name, files, quantities in cases():
        with tempfile.TemporaryDirectory() as folder:
            frame = draw(files, rows, Path(folder))
        parts = [frame.iloc[k * rows // PARTS : (k + 1) * rows // PARTS] for k in range(PARTS)]
        for what, value, asked, find in quantities:
            found = find(frame)
            error = float(np.std([find(part) for part in parts], ddof=1)) / math.sqrt(PARTS)
            out.append((name, what, value, asked, found, error))
    return pd.DataFrame(out, columns=["population", "what", "name", "asked", "found", "error"])


def summary(found: Frame) -> list[str]:
    """Return the table: the worst of each kind of quantity."""
    apart = (found["found"] - found["asked"]).abs()
    found = found.assign(apart=apart, z=apart / found["error"].where(found["error"] > 0))
    rows = []
    for (population, what), own in found.groupby(["population", "what"], sort=False):
        ends = dict.fromkeys(f"{value:.3g}" for value in (own["asked"].min(), own["asked"].max()))
        z = "" if what in SOLVED_FOR else f"{own['z'].max():.1f}"
        rows.append((population, what, len(own), " to ".join(ends), f"{own['apart'].max():.4f}", z))
    return table(["population", "", "values", "asked", "largest distance", "in standard errors"], rows)


def main() -> None:
    """Draw, compare and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = check(QUICK if arguments.quick else ROWS)
    found.to_csv(arguments.out / "population-check.csv", index=False, float_format="%.6g")
    lines = summary(found)
    (arguments.out / "population-check.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
