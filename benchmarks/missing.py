"""Time full information maximum likelihood beside lavaan: 36 items, 15 % of the answers missing, N = 500.

Run it with ``python benchmarks/missing.py`` from the top of the checkout. Nearly every respondent has a pattern of
missing answers of their own. One fit is everything a user gets: estimates, standard errors, the test against the
moments without a model (EM algorithm), robust fit indices and the standardized solution. lavaan, whose fit indices take
minutes here, leaves them out unless told otherwise, and gets one repeat. Both run with one thread in this one run.
Memory is the highest use of the process (Python, with everything it has loaded) and what R reports for its objects.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
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


def time_here(problem: Problem, data: pd.DataFrame, repeats: int) -> dict[str, Any]:
    times = []
    chisq = 0.0
    for number in range(repeats + 1):
        start = time.perf_counter()
        fit = bs.fit(problem.text, data, missing="fiml")
        chisq = fit.measures["chisq"]
        fit.standardized()
        if number:  # the first one also loads modules
            times.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if platform.system() == "Darwin" else 1024)
    return {"median": statistics.median(times), "best": min(times), "chisq": chisq, "megabytes": round(memory)}


def time_lavaan(problem: Problem, data: pd.DataFrame, repeats: int, what: str) -> dict[str, Any] | None:
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        data.to_csv(Path(folder) / "data.csv", index=False)
        (Path(folder) / "model.lav").write_text(problem.text, encoding="utf-8")
        command = ["Rscript", str(HERE / "missing.R"), folder, str(repeats), what]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print("lavaan was not timed:", done.stderr.strip().splitlines()[-1:])
        return None
    rows = [line.split() for line in done.stdout.strip().splitlines()]
    return {
        "version": rows[0][0],
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
    here = time_here(problem, data, options.repeats)
    print(f"{problem.title}, {options.share:.0%} missing, {patterns} patterns")
    print(f"b2b_sem  {here['median']:8.3f} s  {here['megabytes']:5d} MB  chi-square {here['chisq']:.6f}")
    what = "all" if options.indices else "test"
    there = time_lavaan(problem, data, options.lavaan, what) if options.lavaan else None
    if there:
        print(f"lavaan   {there['median']:8.3f} s  {there['megabytes']:5d} MB  chi-square {there['chisq']:.6f}")
        print(f"ratio    {there['median'] / here['median']:8.1f}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    results = {"patterns": patterns, "b2b_sem": here, "lavaan": there}
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
