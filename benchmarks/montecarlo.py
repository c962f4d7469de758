"""Time of 10,000 samples of the main model: drawing, ordinal answers, fit, standard errors, tests and verdicts.

    python benchmarks/montecarlo.py [--quick] [--samples N] [--peers N] [--out FILE]

One, two and four processes, and local dask clusters of as many worker processes; the same work in a plain loop of
semopy and of lavaan (on a few samples, by the processor time of one), all in one run. One BLAS thread everywhere.
`seconds` is wall clock, which says nothing on a busy machine; `cpu` is processor time of all processes. Peak memory is
that of the process that starts the others. The numbers of all runs of this package must be the same. B2B_SEM_BLAS may
name an OpenBLAS library for R.
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
import psutil
from batch import peak_memory
from threadpoolctl import threadpool_limits

import b2b_sem as bs
from b2b_sem.simulate.experiment import prepare_trial
from b2b_sem.simulate.respond import make_plan
from b2b_sem.simulate.trial import Trial

N = 400
NAME = f"n={N}"


def study() -> Any:
    """Return the bundled study at one size."""
    spec = bs.load_montecarlo("lima2026_samples")
    assert spec.population_spec is not None
    assert spec.model_spec is not None
    changed = spec.model_copy(update={"conditions": spec.conditions.model_copy(update={"n": (N,)})})
    return changed.tie(spec.population_spec, spec.model_spec)


def trial() -> Trial:
    """Return its condition, prepared."""
    spec = study()
    cell = spec.cells()[0]
    assert spec.population_spec is not None
    return prepare_trial(spec, make_plan(spec.population_spec), cell, spec.seed)


def processor_time() -> float:
    """Return the processor seconds of this process and of all it has started and that live."""
    own = psutil.Process()
    times = []
    for process in (own, *own.children(recursive=True)):
        try:
            times.append(process.cpu_times())
        except psutil.NoSuchProcess:
            continue
    return sum(t.user + t.system for t in times) + times[0].children_user + times[0].children_system


def timed(name: str, replications: int, **how: Any) -> tuple[dict[str, Any], np.ndarray]:
    """Run the study once."""
    peak_memory(reset=True)
    cpu, began = processor_time(), time.perf_counter()
    result = bs.monte_carlo(study(), replications=replications, **how)
    seconds, cpu = time.perf_counter() - began, processor_time() - cpu
    measures = result.measures.set_index("measure")["mean"]
    row = {
        "run": name,
        "samples": replications,
        "seconds": round(seconds, 2),
        "cpu": round(cpu, 2),
        "cpu_ms_a_sample": round(1000 * cpu / replications, 3),
        "peak_mib": round(peak_memory() / 1024),
        "mean_chisq": round(float(measures["chisq"]), 2),
    }
    print(row, flush=True)
    return row, np.array(result.samples[NAME]["est"])


def spread(count: int) -> list[dict[str, Any]]:
    """Run the study on processes and clusters of 1, 2 and 4; all numbers must be equal."""
    from distributed import LocalCluster

    rows = []
    row, first = timed("1 process", count)
    rows.append(row)
    for jobs in (2, 4):
        row, est = timed(f"{jobs} processes", count, jobs=jobs)
        np.testing.assert_array_equal(first, est)
        rows.append(row)
    for workers in (1, 2, 4):
        options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
        with LocalCluster(host="127.0.0.1", processes=True, **options) as cluster:
            row, est = timed(
                f"dask, {workers} worker{'s' if workers > 1 else ''}", count, cluster=str(cluster.scheduler_address)
            )
        np.testing.assert_array_equal(first, est)
        rows.append(row)
    return rows


# ---- the same work by others -----------------------------------------------------------------------------------------


def recipe() -> tuple[str, tuple[str, ...], np.ndarray, list[list[float]]]:
    """Return the model, the items, the correlations behind their answers and the cut points of each."""
    one = trial()
    items = tuple(one.plan.population.items)
    cuts = [
        list(one.plan.spec.shape(item, one.plan.survey.scale_of(item)).cut_points(*one.plan.survey.range_of(item)))
        for item in items
    ]
    return one.text, items, np.asarray(one.plan.population.item_cov()), cuts


def semopy_loop(count: int) -> dict[str, Any]:
    """Return seconds a sample of a loop: draw, fit, table of estimates with standard errors, tests and measures."""
    import semopy

    text, items, cov, cuts = recipe()
    root = np.linalg.cholesky(cov)
    rng = np.random.default_rng(1)

    def sample() -> float:
        x = rng.standard_normal((N, len(items))) @ root.T
        data = pd.DataFrame({item: 1.0 + np.searchsorted(cuts[k], x[:, k]) for k, item in enumerate(items)})
        model = semopy.Model(text)
        model.fit(data)
        model.inspect(std_est=True)
        return float(semopy.calc_stats(model)["chi2"].iloc[0])

    sample()
    cpu = time.process_time()
    chisq = [sample() for _ in range(count)]
    return {"seconds": (time.process_time() - cpu) / count, "samples": count, "mean_chisq": float(np.mean(chisq))}


R_SCRIPT = """
suppressPackageStartupMessages(library(lavaan))
args <- commandArgs(TRUE); model <- readLines(args[1]); cov <- as.matrix(read.csv(args[2])); n <- as.integer(args[4])
cuts <- lapply(strsplit(readLines(args[3]), " "), as.numeric); rows <- as.integer(args[5])
cpu <- function(code) { t <- proc.time(); force(code); d <- proc.time() - t; d[["user.self"]] + d[["sys.self"]] }
set.seed(1); root <- chol(cov); chisq <- numeric(0)
draw <- function() {
  x <- matrix(rnorm(rows * ncol(root)), rows) %*% root
  data <- as.data.frame(sapply(seq_len(ncol(x)), function(k) 1 + findInterval(x[, k], cuts[[k]])))
  names(data) <- colnames(cov); data }
work <- function(fit) {
  raw <- parameterEstimates(fit); std <- standardizedSolution(fit)
  chisq <<- c(chisq, fitMeasures(fit, c("chisq", "df", "pvalue", "cfi", "tli", "rmsea", "rmsea.pvalue", "srmr"))[[1]])
  p.adjust(raw$pvalue[raw$op == "~"], "holm") }
one <- sem(model, draw()); invisible(work(one)); chisq <- numeric(0)
loop <- cpu(for (i in seq_len(n)) work(suppressWarnings(sem(model, draw()))))
mean_chisq <- mean(chisq)
slots <- list(slotOptions = one@Options, slotParTable = one@ParTable)
fast <- cpu(for (i in seq_len(n)) work(suppressWarnings(do.call(lavaan, c(slots, list(data = draw()))))))
cat(loop / n, fast / n, mean_chisq, as.character(packageVersion("lavaan")), "\\n")
"""


def lavaan_loop(count: int) -> dict[str, Any]:
    """Return seconds a sample of a plain loop of ``sem``, and of one that reuses what does not change."""
    if shutil.which("Rscript") is None:
        return {}
    text, items, cov, cuts = recipe()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if os.environ.get("B2B_SEM_BLAS"):
        environment["LD_PRELOAD"] = os.environ["B2B_SEM_BLAS"]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("model.lav", "cov.csv", "cuts.txt", "run.R")]
        paths[0].write_text(text + "\n", encoding="utf-8")
        pd.DataFrame(cov, columns=list(items)).to_csv(paths[1], index=False)
        paths[2].write_text("\n".join(" ".join(map(repr, own)) for own in cuts) + "\n", encoding="utf-8")
        paths[3].write_text(R_SCRIPT, encoding="utf-8")
        words = ["Rscript", "--vanilla", *(str(paths[k]) for k in (3, 0, 1, 2)), str(count), str(N)]
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"lavaan left out: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return {}
    loop, fast, chisq, version = done.stdout.split()
    return {
        "seconds": float(loop),
        "seconds_slots_reused": float(fast),
        "samples": count,
        "mean_chisq": float(chisq),
        "version": version,
    }


def main() -> None:
    """Run all, compare, print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500 samples instead of 10,000, 4 of the peers")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--peers", type=int, help="samples of the peers")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    threadpool_limits(1)
    count = given.samples or (500 if given.quick else 10_000)
    peers = given.peers or (4 if given.quick else 30)
    rows = spread(count)
    own = rows[0]["cpu"] / count
    others = {"semopy": semopy_loop(peers), "lavaan": lavaan_loop(peers)}
    for name, found in others.items():
        for key in ("seconds", "seconds_slots_reused"):
            if key in found:
                whole = found[key] * 10_000 / 60
                print(
                    f"{name} ({key}): {found[key]:.3f} s a sample, 10,000 in {whole:.0f} min, {found[key] / own:.0f} x"
                )
    out = {"cores": os.cpu_count(), "rows": N, "items": len(recipe()[1]), "runs": rows, "peers": others}
    print(json.dumps(out["peers"], indent=1))
    if given.out is not None:
        given.out.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
