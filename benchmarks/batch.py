"""Speed of repeated fits, beside semopy and lavaan in the same run: bootstrap, Monte Carlo, growth.

    python benchmarks/batch.py [--quick] [--out FILE]

One BLAS thread everywhere; times are processor seconds of the process that works (R's are its own), so that a busy
machine disturbs them little. lavaan runs where Rscript has it; B2B_SEM_BLAS may name an OpenBLAS library to preload.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import b2b_sem as bs
from b2b_sem.analysis.montecarlo import monte_carlo, population

ROOT = Path(__file__).resolve().parents[1]


def problem(latents: int, rows: int, seed: int = 1) -> tuple[str, str, pd.DataFrame]:
    """Model, population and data: a chain of latent variables with four items each."""
    rng = np.random.default_rng(seed)
    eta = rng.normal(size=(rows, latents))
    for k in range(1, latents):
        eta[:, k] = 0.5 * eta[:, k - 1] + np.sqrt(0.75) * eta[:, k]
    columns, model, truth = {}, [], []
    for k in range(latents):
        names = [f"x{k}_{j}" for j in range(4)]
        for name in names:
            columns[name] = 0.8 * eta[:, k] + 0.6 * rng.normal(size=rows)
            truth.append(f"{name} ~~ .36*{name}")
        model.append(f"F{k} =~ " + " + ".join(names))
        truth.append(f"F{k} =~ " + " + ".join(f"1*{name}" for name in names))
        truth.append(f"F{k} ~~ {0.64 if not k else 0.48}*F{k}")
    for k in range(1, latents):
        model.append(f"F{k} ~ b{k}*F{k - 1}")
        truth.append(f"F{k} ~ .5*F{k - 1}")
    model += [f"ind{k} := b{k}*b{k + 1}" for k in range(1, latents - 1)]
    return "\n".join(model), "\n".join(truth), pd.DataFrame(columns)


def timed(function: Any) -> tuple[float, float, Any]:
    """Return processor seconds, wall seconds and the result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = function()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def semopy_refits(model: str, data: pd.DataFrame, count: int) -> float:
    """Seconds a refit in a loop of semopy fits, each starting at the full-sample estimates."""
    import semopy

    text = "\n".join(line for line in model.splitlines() if ":=" not in line)
    for k in range(1, 100):
        text = text.replace(f"b{k}*", "")
    rng = np.random.default_rng(1)
    fitted = semopy.Model(text)
    fitted.fit(data)
    start = fitted.param_vals.copy()

    def refit() -> None:
        for _ in range(count):
            fitted.load(data.iloc[rng.integers(0, len(data), len(data))].reset_index(drop=True))
            fitted.param_vals = start.copy()
            fitted.fit()

    return timed(refit)[0] / count


R_SCRIPT = """
suppressPackageStartupMessages(library(lavaan))
args <- commandArgs(TRUE); data <- read.csv(args[1]); model <- readLines(args[2]); n <- as.integer(args[3])
cpu <- function(code) { t <- proc.time(); force(code); d <- proc.time() - t; d[["user.self"]] + d[["sys.self"]] }
fit <- sem(model, data, auto.cov.y = FALSE)
set.seed(1)
boot <- cpu(suppressWarnings(bootstrapLavaan(fit, R = n)))
slow <- cpu(for (i in seq_len(max(2, n %/% 5))) suppressWarnings(sem(model, data[sample(nrow(data), replace = TRUE), ],
  auto.cov.y = FALSE)))
one <- sem(model, data, auto.cov.y = FALSE)
s <- fitted(one)$cov; slots <- list(slotOptions = one@Options, slotParTable = one@ParTable)
root <- chol(unclass(s)); rows <- nrow(data)
fast <- cpu(for (i in seq_len(max(2, n %/% 5))) {
  x <- as.data.frame(matrix(rnorm(rows * ncol(root)), rows) %*% root); names(x) <- colnames(s)
  suppressWarnings(do.call(lavaan, c(slots, list(data = x)))) })
single <- cpu({ f <- sem(model, data, auto.cov.y = FALSE); fitMeasures(f) })
cat(boot / n, slow / max(2, n %/% 5), fast / max(2, n %/% 5), single, "\\n")
"""


def lavaan(model: str, data: pd.DataFrame, count: int) -> dict[str, float]:
    """Seconds: bootstrapLavaan a refit, a plain loop, the Monte Carlo loop with reused slots, one fit."""
    if shutil.which("Rscript") is None:
        return {}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if os.environ.get("B2B_SEM_BLAS"):
        environment["LD_PRELOAD"] = os.environ["B2B_SEM_BLAS"]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("data.csv", "model.lav", "run.R")]
        data.to_csv(paths[0], index=False)
        paths[1].write_text(model + "\n", encoding="utf-8")
        paths[2].write_text(R_SCRIPT, encoding="utf-8")
        done = subprocess.run(
            ["Rscript", "--vanilla", str(paths[2]), str(paths[0]), str(paths[1]), str(count)],
            capture_output=True,
            text=True,
            env=environment,
        )
    if done.returncode:
        print(f"lavaan left out: {done.stderr.strip()[-200:]}", file=sys.stderr)
        return {}
    names = ("bootstrap", "loop", "montecarlo", "single")
    return dict(zip(names, map(float, done.stdout.split()), strict=True))


def growth(quick: bool) -> list[dict[str, float]]:
    """Single fits in processes of their own: seconds and peak memory."""
    cases = [(9, n) for n in (200, 500, 2_000, 10_000, 100_000, *(() if quick else (1_000_000,)))]
    cases += [(k, 500) for k in (3, 20, 40)]
    out = []
    for latents, rows in cases:
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); import batch; batch.one(int(sys.argv[2]), int(sys.argv[3]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(ROOT / "benchmarks"), str(latents), str(rows)],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        out.append(json.loads(done.stdout))
        print(out[-1])
    return out


def peak_memory(*, reset: bool = False) -> int:
    """Return the largest resident memory so far in KiB; with `reset`, start counting again from what is held now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def one(latents: int, rows: int) -> None:
    """Fit once after a small fit that loads everything, and print what it took."""
    warm = problem(3, 100)
    bs.fit(warm[0], warm[2], engine="native")
    model, _, data = problem(latents, rows)
    before = peak_memory(reset=True)
    cpu, wall, fit = timed(lambda: bs.fit(model, data, engine="native"))
    after = peak_memory()
    size = data.to_numpy().nbytes / 2**20
    print(
        json.dumps(
            {
                "latents": latents,
                "rows": rows,
                "parameters": fit.measures["npar"],
                "cpu": round(cpu, 4),
                "wall": round(wall, 4),
                "data_mib": round(size, 1),
                "peak_before_mib": before // 1024,
                "peak_after_mib": after // 1024,
            }
        )
    )


def main() -> None:
    """Run everything, print ratios, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmark_batch.json")
    options = parser.parse_args()
    threadpool_limits(1)
    model, truth, data = problem(9, 500)
    fit = bs.fit(model, data, engine="native")
    fit.bootstrap(128, seed=1, ci="bc")  # load everything
    draws = 1_000 if options.quick else 5_000
    numbers: dict[str, Any] = {"items": 36, "rows": 500, "parameters": fit.measures["npar"]}
    cpu, _, _ = timed(lambda: fit.bootstrap(draws, seed=2, ci="bc"))
    numbers["bootstrap_refit"] = cpu / draws
    numbers["bca_draws"] = draws
    for jobs in (1, 2):
        _, wall, boot = timed(lambda jobs=jobs: fit.bootstrap(draws, seed=2, jobs=jobs))
        tables = timed(lambda boot=boot: (boot.parameters, boot.standardized()))[1]
        numbers[f"bca_wall_{jobs}_jobs"] = wall + tables
    samples = population(truth)
    text = "\n".join(line for line in model.splitlines() if ":=" not in line)
    monte_carlo(samples, text, nobs=500, n=10, seed=1)
    count = 512 if options.quick else 2048
    numbers["montecarlo"] = timed(lambda: monte_carlo(samples, text, nobs=500, n=count, seed=1))[0] / count
    peers = 20 if options.quick else 100
    numbers["semopy_refit"] = semopy_refits(model, data, peers)
    numbers["lavaan"] = lavaan(model, data, peers)
    print(json.dumps(numbers, indent=1))
    print(f"bootstrap: {numbers['semopy_refit'] / numbers['bootstrap_refit']:.0f} x semopy")
    if numbers["lavaan"]:
        print(f"bootstrap: {numbers['lavaan']['bootstrap'] / numbers['bootstrap_refit']:.0f} x lavaan")
        print(f"Monte Carlo: {numbers['lavaan']['montecarlo'] / numbers['montecarlo']:.0f} x lavaan's fastest loop")
    numbers["growth"] = growth(options.quick)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    print(f"-> {options.out}")


if __name__ == "__main__":
    main()
