"""Time a four-step ladder of two groups beside lavaan: 36 items; configural, metric, scalar, strict.

Run it with ``python benchmarks/groups.py`` from the top of the checkout. One ladder is four fits with everything a user
gets (estimates, standard errors, tests, fit indices, standardized solution) and the three difference tests. lavaan does
the same: ``cfa()``, ``fitMeasures()``, ``standardizedSolution()``, ``lavTestLRT()``. Both run with one thread in this
one run. The items are those of the 36-item problem; its rows are split in two halves.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from problems import PROBLEMS

import b2b_sem as bs

HERE = Path(__file__).resolve().parent
LADDER: tuple[tuple[str, ...], ...] = (
    (),
    ("loadings",),
    ("loadings", "intercepts"),
    ("loadings", "intercepts", "residuals"),
)


def time_here(text: str, data: pd.DataFrame, repeats: int) -> dict[str, Any]:
    times = []
    chisq: list[float] = []
    for number in range(repeats + 1):
        start = time.perf_counter()
        fits = [bs.fit(text, data, group="half", group_equal=equal) for equal in LADDER]
        for fit in fits:
            fit.standardized()
        bs.compare(*fits)
        if number:  # the first one also loads modules
            times.append(time.perf_counter() - start)
        chisq = [fit.measures["chisq"] for fit in fits]
    return {"median": statistics.median(times), "best": min(times), "chisq": chisq}


def time_lavaan(text: str, data: pd.DataFrame, repeats: int) -> dict[str, Any] | None:
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        data.to_csv(Path(folder) / "data.csv", index=False)
        (Path(folder) / "model.lav").write_text(text, encoding="utf-8")
        command = ["Rscript", str(HERE / "groups.R"), folder, str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print("lavaan was not timed:", done.stderr.strip().splitlines()[-1:])
        return None
    rows = [line.split() for line in done.stdout.strip().splitlines()]
    return {
        "version": rows[0][0],
        "median": statistics.median(float(row[1]) for row in rows),
        "chisq": [float(value) for value in rows[0][2:]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Time an invariance ladder of two groups beside lavaan.")
    parser.add_argument("--repeats", type=int, default=5, help="ladders of this package (default: 5)")
    parser.add_argument("--lavaan", type=int, default=1, help="ladders of lavaan, 0 for none (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("results") / "bench-groups.json")
    options = parser.parse_args()
    problem = PROBLEMS["lima36"]()
    data = problem.data.assign(half=np.where(np.arange(len(problem.data)) % 2 == 0, "a", "b"))
    here = time_here(problem.text, data, options.repeats)
    print(f"{problem.title}, two groups, {len(LADDER)} steps, N = {len(data)}")
    print(f"b2b_sem  {here['median']:8.3f} s  chi-squares {' '.join(f'{c:.5f}' for c in here['chisq'])}")
    there = time_lavaan(problem.text, data, options.lavaan) if options.lavaan else None
    if there:
        print(f"lavaan   {there['median']:8.3f} s  chi-squares {' '.join(f'{c:.5f}' for c in there['chisq'])}")
        print(f"ratio    {there['median'] / here['median']:8.1f}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"b2b_sem": here, "lavaan": there}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
