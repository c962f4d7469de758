"""Time of 10,000 samples of the main model: drawing, ordinal answers, fit, standard errors, tests and verdicts.

    python benchmarks/montecarlo.py [--quick] [--out FILE]

One process, two processes, and local dask clusters of 1, 2 and 4 worker processes (where `distributed` is installed);
one BLAS thread everywhere, wall clock. Peak memory is that of the process that starts the others. The numbers of all
runs must be the same. For the peers' time of a fit see `batch.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

import b2b_sem as bs

N = 400


def study() -> Any:
    """Return the bundled study at one size."""
    spec = bs.load_montecarlo("lima2026_samples")
    assert spec.population_spec is not None
    assert spec.model_spec is not None
    changed = spec.model_copy(update={"conditions": spec.conditions.model_copy(update={"n": (N,)})})
    return changed.tie(spec.population_spec, spec.model_spec)


def timed(name: str, replications: int, **how: Any) -> tuple[dict[str, Any], np.ndarray]:
    """Run the study once."""
    began = time.perf_counter()
    result = bs.monte_carlo(study(), replications=replications, **how)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {"run": name, "samples": replications, "seconds": round(seconds, 1), "peak_mb": round(peak)}
    print(row, flush=True)
    return row, result.samples[f"n={N}"]["est"]


def main() -> None:
    """Run all and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500 samples instead of 10,000")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    count = 500 if given.quick else 10_000
    rows, numbers = [], []
    for jobs in (1, 2):
        row, est = timed(f"{jobs} process{'es' if jobs > 1 else ''}", count, jobs=jobs)
        rows.append(row)
        numbers.append(est)
    try:
        from distributed import LocalCluster
    except ImportError:
        print("distributed is not installed: no dask cluster")
    else:
        for workers in (1, 2, 4):
            options = {
                "n_workers": workers,
                "threads_per_worker": 1,
                "processes": True,
                "dashboard_address": "127.0.0.1:0",
            }
            with LocalCluster(host="127.0.0.1", **options) as cluster:
                row, est = timed(f"dask, {workers} workers", count, cluster=cluster.scheduler_address)
            rows.append(row)
            numbers.append(est)
    for other in numbers[1:]:
        np.testing.assert_array_equal(numbers[0], other)
    if given.out is not None:
        given.out.write_text(json.dumps({"cores": os.cpu_count(), "runs": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
