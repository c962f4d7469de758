"""Power by theory beside power by samples, in three populations that nothing in the package was made for.

Run it from the checkout: ``python docs/studies/power_study.py`` writes ``power.csv`` beside this file (about a minute).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pandas as pd

import b2b_sem as bs


def residuals(names: str, value: float) -> str:
    """Return lavaan lines with a residual variance for each name."""
    return "\n".join(f"{name} ~~ {value}*{name}" for name in names.split())


CASES = {
    "weak indicators": (
        "A =~ 1*a1 + .9*a2 + 1.1*a3 + .7*a4\nB =~ 1*b1 + .8*b2 + .9*b3\nC =~ 1*c1 + 1.2*c2 + .8*c3\n"
        "A ~~ .6*A\nB ~~ .5*B\nA ~~ .25*B\nC ~ .28*A + .33*B\nC ~~ .4*C\n"
        + "\n".join([residuals("a1 a2 a3 a4", 0.9), residuals("b1 b2 b3", 0.8), residuals("c1 c2 c3", 0.7)]),
        "A =~ a1 + a2 + a3 + a4\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\nC ~ A + B",
        (120, 200, 350),
    ),
    "observed chain": (
        "x ~~ 1*x\nm1 ~ .3*x\nm2 ~ .35*m1 + .1*x\ny ~ .25*m2 + .15*m1 + .05*x\nm1 ~~ .9*m1\nm2 ~~ .85*m2\ny ~~ .9*y",
        "m1 ~ x\nm2 ~ m1 + x\ny ~ m2 + m1 + x",
        (100, 200, 400),
    ),
    "latent mediation": (
        "X =~ 1*x1 + .7*x2 + .8*x3\nM =~ 1*m1 + .6*m2 + .9*m3\nY =~ 1*y1 + .8*y2 + .7*y3 + .9*y4\n"
        "X ~~ 1*X\nM ~ -.5*X\nY ~ .2*M + .1*X\nM ~~ .75*M\nY ~~ .9*Y\n"
        + "\n".join([residuals("x1 x2 x3 m1 m2 m3", 0.6), residuals("y1 y2 y3 y4", 0.5)]),
        "X =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nY =~ y1 + y2 + y3 + y4\nM ~ X\nY ~ M + X",
        (150, 250, 500),
    ),
}


def compare(replications: int, seed: int) -> pd.DataFrame:
    """Return one row a population, test and number of rows: power by theory and by samples."""
    parts = []
    for name, (truth, model, sizes) in CASES.items():
        theory = bs.power(truth, model, nobs=sizes[0]).curve(sizes)
        theory = theory[theory["method"].isin(["likelihood-ratio", "joint"])]
        theory = theory.rename(columns={"power": "theory"})[["kind", "test", "nobs", "theory"]]
        counted = bs.power(truth, model, nobs=sizes[0], sizes=sizes, replications=replications, seed=seed).shares
        counted = counted.rename(columns={"power": "samples"})[["kind", "test", "nobs", "samples", "mcse"]]
        both = theory.merge(counted, on=["kind", "test", "nobs"], validate="one_to_one")
        both.insert(0, "population", name)
        parts.append(both[both["kind"].isin(["path", "indirect"])])
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Write the table and print where the two differ most."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "power.csv")
    given = parser.parse_args()
    found = compare(given.replications, given.seed)
    found.round(4).to_csv(given.out, index=False, lineterminator="\n")
    found["difference"] = found["samples"] - found["theory"]
    worst = found.loc[found.groupby(["population", "nobs"])["difference"].apply(lambda d: d.abs().idxmax())]
    print(worst.to_string(index=False, float_format=lambda v: f"{v:.3f}"))
    error = 0.5 / math.sqrt(given.replications)
    print(f"Monte Carlo standard error of a share: at most {error:.4f}")


if __name__ == "__main__":
    main()
