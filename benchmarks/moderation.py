"""Time models with products of latent variables, with everything a user gets: estimates, standard errors, measures.

Run it with ``python benchmarks/moderation.py`` from the top of the checkout; ``--data FILE`` names oneInt.csv (2,000
rows, 9 items), which is not part of the project: without it simulated data of the same size are used. Times are
processor seconds of one thread; the first fit, which also loads modules, does not count. "points" are those of the
integral in each dimension, "error" is what twice as many change the log-likelihood by. ``--points`` also prints the
log-likelihood of the first problem at its solution by number of points.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import b2b_sem as bs
from b2b_sem.analysis.fitted import context_of
from b2b_sem.engine.native.mixture import Mixture, make_grid

ONE = "X =~ x1 + x2 + x3\nZ =~ z1 + z2 + z3\nY =~ y1 + y2 + y3\nY ~ X + Z + X:Z"
TWENTY = """
NR =~ nr1 + nr2 + nr3
RE =~ re1 + re2 + re3
PC =~ pc1 + pc2 + pc3 + pc4
PX =~ px1 + px2 + px3
RR =~ rr1 + rr2 + rr3 + rr4
BT =~ bt1 + bt2 + bt3
PC ~ NR + RE
RR ~ PC + PX + PC:PX
BT ~ RR + PC
"""
TWO = """
X =~ x1 + x2 + x3
M =~ m1 + m2 + m3
A =~ a1 + a2
B =~ b1 + b2
Y =~ y1 + y2
Y ~ X + M + A + B + X:M + A:B
"""


def items(rng: np.random.Generator, text: str, values: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the items that a model measures, with loadings around 1 and a reliability of about .7."""
    out = {}
    for latent, names in re.findall(r"(\w+) =~ (.*)", text):
        for k, name in enumerate(names.split(" + ")):
            out[name] = 3.0 + (1.0, 0.9, 0.8, 1.1)[k] * values[latent] + 0.6 * rng.normal(size=len(values[latent]))
    return pd.DataFrame(out)


def one(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    z = 0.2 * x + rng.normal(size=n)
    y = 0.7 * x + 0.6 * z + 0.7 * x * z + rng.normal(size=n)
    return items(rng, ONE, {"X": x, "Z": z, "Y": y})


def twenty(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    nr, other, px = rng.normal(size=(3, n))
    re_ = 0.4 * nr + 0.9 * other
    px = 0.2 * nr + px
    pc = 0.4 * nr + 0.3 * re_ + 0.7 * rng.normal(size=n)
    rr = 0.4 * pc + 0.2 * px + 0.25 * pc * px + 0.7 * rng.normal(size=n)
    bt = 0.4 * rr + 0.3 * pc + 0.6 * rng.normal(size=n)
    return items(rng, TWENTY, {"NR": nr, "RE": re_, "PC": pc, "PX": px, "RR": rr, "BT": bt})


def two(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, m, a, b = np.linalg.cholesky(np.full((4, 4), 0.3) + 0.7 * np.eye(4)) @ rng.normal(size=(4, n))
    y = 0.4 * x + 0.2 * m + 0.3 * x * m + 0.2 * a + 0.1 * b - 0.2 * a * b + 0.7 * rng.normal(size=n)
    return items(rng, TWO, {"X": x, "M": m, "A": a, "B": b, "Y": y})


def clock(text: str, data: pd.DataFrame, repeats: int, **options: Any) -> tuple[float, Any]:
    """Return the median of processor seconds, and the last fit."""
    times, found = [], None
    for _ in range(repeats + 1):
        start = time.process_time()
        found = bs.fit(text, data, **options)
        times.append(time.process_time() - start)
    return float(np.median(times[1:])), found


def by_points(found: Any) -> None:
    """Print the log-likelihood at a solution by number of points over six standard deviations on either side."""
    context = context_of(found)
    mixture = context.problem.moments.weight
    assert isinstance(mixture, Mixture)
    theta = context.solution.theta
    implied, at = mixture.whole_moments(theta), list(mixture.given)
    mean, sd = implied.eta_mean[at], np.sqrt(np.diag(implied.eta_cov)[at])
    exact = mixture.log_likelihood(theta, make_grid(mean, sd, 401))
    print("points  error of the log-likelihood")
    for count in (13, 17, 21, 25, 31, 41, 51, 61):
        print(f"{count:6d}  {mixture.log_likelihood(theta, make_grid(mean, sd, count)) - exact:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="oneInt.csv")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--points", action="store_true")
    options = parser.parse_args()
    rows = pd.read_csv(options.data) if options.data else one(2000, 1)
    answers = twenty(600, 1)
    gone = np.random.default_rng(2).random(answers.shape)
    problems: list[tuple[str, str, pd.DataFrame, dict[str, Any]]] = [
        ("one product, 9 items, n = 2000", ONE, rows, {}),
        ("20 items, n = 600", TWENTY, answers, {}),
        ("20 items, n = 600, robust", TWENTY, answers, {"estimator": "MLR"}),
        ("20 items, 2 % missing", TWENTY, answers.mask(gone < 0.02), {"missing": "fiml"}),
        ("20 items, 15 % missing", TWENTY, answers.mask(gone < 0.15), {"missing": "fiml"}),
        ("two dimensions, 12 items, n = 600", TWO, two(600, 2), {}),
    ]
    for number, (name, text, data, settings) in enumerate(problems):
        seconds, found = clock(text, data, options.repeats, **settings)
        note = re.search(r"(\d+) points in each dimension; twice as many .* by (\S+)\.", "\n".join(found.notes))
        points, error = note.groups() if note else ("?", "?")
        print(
            f"{name:36s} {seconds:6.2f} s   points {points:>4s}   error {error:>6s}   logl {found.measures['logl']:.4f}"
        )
        if options.points and number == 0:
            by_points(found)


if __name__ == "__main__":
    main()
