"""Speed and memory of ordinal items beside lavaan in the same run: thresholds, polychoric correlations, WLSMV.

    python benchmarks/ordinal.py [--quick] [--out FILE]

One fit is everything a user gets: polychoric correlations with their asymptotic covariance matrix, estimates, robust
standard errors, the standardized solution with its standard errors, the scaled and shifted test, the baseline model
and all fit measures. One BLAS thread everywhere; times are processor seconds of the process that works, after a first
fit that is not counted. Memory is the largest resident size of the process (`peak`) and, for this package, what one fit
adds at its largest (`fit`).
"""

from __future__ import annotations

import os

# one thread, said before numpy is imported
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import b2b_sem as bs

LAVAAN = """
args <- commandArgs(trailingOnly = TRUE)
suppressPackageStartupMessages(library(lavaan))
frame <- read.csv(args[1])
model <- paste(readLines(args[2]), collapse = "\\n")
used <- function() { t <- proc.time(); t[["user.self"]] + t[["sys.self"]] }
run <- function() { fit <- sem(model, frame, ordered = TRUE); fitMeasures(fit); standardizedSolution(fit); fit }
fit <- run()
times <- replicate(as.integer(args[3]), { from <- used(); run(); used() - from })
peak <- as.numeric(gsub("[^0-9]", "", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))) / 1024
cat(as.character(packageVersion("lavaan")), median(times), peak, fitMeasures(fit, c("chisq", "chisq.scaled")),
  paste(tail(strsplit(extSoftVersion()[["BLAS"]], "/")[[1]], 2), collapse = "/"), "\\n")
"""


def answers(factors: int, categories: int, rows: int, seed: int = 1) -> tuple[str, pd.DataFrame]:
    """Return a model of correlated factors with four items each, and answers to it."""
    rng = np.random.default_rng(seed)
    eta = rng.multivariate_normal(np.zeros(factors), 0.5 * np.eye(factors) + 0.5, rows)
    cuts = np.linspace(-1.6, 1.6, categories - 1) if categories > 2 else np.zeros(1)
    columns = {
        f"x{f}{i}": np.digitize(0.75 * eta[:, f] + np.sqrt(1 - 0.75**2) * rng.normal(size=rows), cuts) + 1
        for f in range(factors)
        for i in range(4)
    }
    model = "\n".join(f"F{f} =~ " + " + ".join(f"x{f}{i}" for i in range(4)) for f in range(factors))
    return model, pd.DataFrame(columns)


def time_own(model: str, frame: pd.DataFrame, repeats: int) -> dict[str, Any]:
    """Time this package."""
    fit = bs.fit(model, frame, ordered=True)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        bs.fit(model, frame, ordered=True).standardized()
        times.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tracemalloc.start()
    bs.fit(model, frame, ordered=True)
    more = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    measures = fit.measures
    return {
        "seconds": statistics.median(times),
        "peak_mb": peak,
        "fit_mb": more,
        "chisq": measures["chisq"],
        "chisq_scaled": measures["chisq_scaled"],
    }


def time_lavaan(model: str, frame: pd.DataFrame, repeats: int) -> dict[str, Any] | None:
    """Time lavaan, or return None where R or lavaan is absent."""
    if shutil.which("Rscript") is None:
        return None
    environment = dict(os.environ)
    if os.environ.get("B2B_SEM_BLAS"):  # a faster BLAS for R than its own
        environment["LD_PRELOAD"] = os.environ["B2B_SEM_BLAS"]
    with tempfile.TemporaryDirectory() as folder:
        data, text, script = (Path(folder) / name for name in ("d.csv", "m.lav", "run.R"))
        frame.to_csv(data, index=False)
        text.write_text(model, encoding="utf-8")
        script.write_text(LAVAAN, encoding="utf-8")
        done = subprocess.run(
            ["Rscript", str(script), str(data), str(text), str(repeats)],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
    if done.returncode:
        return None
    version, seconds, peak, chisq, scaled, blas = done.stdout.split()
    return {
        "blas": blas,
        "version": version,
        "seconds": float(seconds),
        "peak_mb": float(peak),
        "chisq": float(chisq),
        "chisq_scaled": float(scaled),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one size, few repetitions")
    parser.add_argument("--out", type=Path, help="also write the numbers as JSON")
    chosen = parser.parse_args()
    sizes = [(9, 7, 500)] if chosen.quick else [(3, 5, 300), (9, 2, 500), (9, 5, 500), (9, 7, 500), (9, 7, 2000)]
    repeats = 3 if chosen.quick else 7
    found = {}
    for factors, categories, rows in sizes:
        name = f"{4 * factors} items, {categories} categories, {rows} rows"
        model, frame = answers(factors, categories, rows)
        own = time_own(model, frame, repeats)
        other = time_lavaan(model, frame, 1 if chosen.quick else 3)
        found[name] = {"native": own, "lavaan": other}
        line = f"{name:<36} {1000 * own['seconds']:8.0f} ms  peak {own['peak_mb']:.0f} MB, a fit {own['fit_mb']:.0f} MB"
        if other is not None:
            same = abs(own["chisq_scaled"] / other["chisq_scaled"] - 1)
            line += f"   lavaan {1000 * other['seconds']:8.0f} ms ({other['seconds'] / own['seconds']:.0f} x)"
            line += f"  peak {other['peak_mb']:.0f} MB  chi-squares {same:.0e} apart"
        print(line, flush=True)
    if other is not None:
        print(f"lavaan {other['version']}, BLAS of R: {other['blas']}")
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
