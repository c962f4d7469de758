"""Time rows with missing answers beside lavaan: 36 items, 15 % of the answers missing, N = 500.

Run it with ``python benchmarks/missing.py`` from the top of the checkout. Nearly every respondent has a pattern of
missing answers of their own. One fit by full information maximum likelihood is everything a user gets: estimates,
standard errors, the test against the moments without a model (EM algorithm), the baseline model, and the standardized
solution with its standard errors; here also all fit indices, the robust ones among them, which take lavaan minutes and
are left out there unless asked for. Both run with one thread in this one run; times are processor seconds, memory is
the largest resident size of each process. lavaan gets one repeat. What multiple imputation takes, and the same model
without holes, is printed for this package alone.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from problems import PROBLEMS, Problem

import b2b_sem as bs

HERE = Path(__file__).resolve().parent


def with_holes(share: float, seed: int) -> tuple[Problem, pd.DataFrame]:
    """Return the 36-item problem and its data with answers missing completely at random."""
    problem = PROBLEMS["lima36"]()
    gone = np.random.default_rng(seed).random(problem.data.shape) < share
    return problem, problem.data.mask(gone)


def clock(once: Callable[[], float], repeats: int) -> dict[str, Any]:
    """Return processor seconds and what `once` returns; the first call, which also loads modules, does not count."""
    value = once()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        once()
        times.append(time.process_time() - start)
    return {"median": statistics.median(times), "best": min(times), "chisq": value}


def fit_once(problem: Problem, data: pd.DataFrame, **options: Any) -> Callable[[], float]:
    """Return a function that fits everything a user gets and returns the chi-square."""

    def once() -> float:
        fit = bs.fit(problem.text, data, **options)
        fit.standardized()
        return float(fit.measures["chisq"])

    return once


def peak() -> int:
    """Return the largest resident size of this process in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024))


def time_lavaan(problem: Problem, data: pd.DataFrame, repeats: int, what: str) -> dict[str, Any] | None:
    if shutil.which("Rscript") is None:
        return None
    environment = dict(os.environ)
    if os.environ.get("B2B_SEM_BLAS"):  # a faster BLAS for R than its own
        environment["LD_PRELOAD"] = os.environ["B2B_SEM_BLAS"]
    with tempfile.TemporaryDirectory() as folder:
        data.to_csv(Path(folder) / "data.csv", index=False)
        (Path(folder) / "model.lav").write_text(problem.text, encoding="utf-8")
        command = ["Rscript", str(HERE / "missing.R"), folder, str(repeats), what]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        print("lavaan was not timed:", done.stderr.strip().splitlines()[-1:])
        return None
    rows = [line.split() for line in done.stdout.strip().splitlines()]
    return {
        "version": rows[0][0],
        "blas": rows[0][4],
        "median": statistics.median(float(row[1]) for row in rows),
        "chisq": float(rows[0][2]),
        "megabytes": round(max(float(row[3]) for row in rows)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Time missing='fiml' beside lavaan's missing='ml'.")
    parser.add_argument("--share", type=float, default=0.15, help="share of answers missing (default: 0.15)")
    parser.add_argument("--repeats", type=int, default=5, help="fits of this package (default: 5)")
    parser.add_argument("--lavaan", type=int, default=1, help="fits of lavaan, 0 for none (default: 1)")
    parser.add_argument("--indices", action="store_true", help="lavaan also computes its fit indices (minutes)")
    parser.add_argument("--out", type=Path, default=Path("results") / "bench-missing.json")
    options = parser.parse_args()
    problem, data = with_holes(options.share, 20261122)
    patterns = len(np.unique(data.isna().to_numpy(), axis=0))
    print(f"{problem.title}, {options.share:.0%} missing, {patterns} patterns")
    here = clock(fit_once(problem, data, missing="fiml"), options.repeats) | {"megabytes": peak()}
    print(f"b2b_sem  {here['median']:8.3f} s  {here['megabytes']:5d} MB  chi-square {here['chisq']:.6f}")
    what = "all" if options.indices else "test"
    there = time_lavaan(problem, data, options.lavaan, what) if options.lavaan else None
    if there:
        print(f"lavaan   {there['median']:8.3f} s  {there['megabytes']:5d} MB  chi-square {there['chisq']:.6f}")
        print(f"ratio    {there['median'] / here['median']:8.1f}   BLAS of R: {there['blas']}")
    others: dict[str, dict[str, Any]] = {
        "ML without holes": {"data": problem.data, "missing": "listwise", "meanstructure": True, "engine": "native"},
        "FIML without holes": {"data": problem.data, "missing": "fiml"},
        "FIML, estimator MLR": {"data": data, "missing": "fiml", "estimator": "MLR"},
        "20 imputations": {"data": data, "missing": "mi", "imputations": 20, "seed": 1},
    }
    times = {}
    for name, what_fit in others.items():
        times[name] = clock(fit_once(problem, **what_fit), 1 if "imputations" in what_fit else options.repeats)
        print(f"{name:<20} {times[name]['median']:8.3f} s")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    results = {"patterns": patterns, "b2b_sem": here, "lavaan": there, "others": times}
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
