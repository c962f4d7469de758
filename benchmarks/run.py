"""Time this package beside others on the same models, and its commands: prints ratios, writes JSON.

Run it with ``python benchmarks/run.py`` (or ``make bench``) from the top of the checkout.

One fit is everything a user gets: reading the model text, estimates, standard errors, the standardized solution with
its standard errors, and all fit measures. The first fit of each is not counted (warm); the median of the following is
taken (the fastest is in the JSON file, too). Every contender runs with one thread; those in Python take turns. What a
time means depends on the machine, what the ratio of two times means much less so: compare ratios. The ratio of a
contender is only shown when its chi-square is that of the others.
"""

from __future__ import annotations

import os

# one thread, said before numpy is imported
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import math
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from problems import ON_REQUEST, PROBLEMS, Problem

import b2b_sem as bs

HERE = Path(__file__).resolve().parent
CONTENDERS = ("native", "semopy engine", "raw semopy", "lavaan")
#: Timed beside "native" = 1. A chi-square further away than this (relative) is another model or another optimum.
SAME_CHISQ = 1e-3


def measure(contenders: dict[str, Callable[[], float]], seconds: float) -> dict[str, dict[str, Any]]:
    """Time the contenders in turns, so that a machine that slows down slows all of them down.

    The first call of each is not counted. Each gets at least 3 turns, then as many as fit into its `seconds` (at most
    200).
    """
    chisq = {name: once() for name, once in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    while waiting := [n for n, t in times.items() if len(t) < 3 or (sum(t) < seconds and len(t) < 200)]:
        for name in waiting:
            start = time.perf_counter()
            contenders[name]()
            times[name].append(time.perf_counter() - start)
    return {
        name: {"median": statistics.median(t), "best": min(t), "repeats": len(t), "chisq": chisq[name]}
        for name, t in times.items()
    }


def with_engine(problem: Problem, engine: str) -> Callable[[], float]:
    def once() -> float:
        return bs.fit(problem.text, problem.data, engine=engine).measures["chisq"]

    return once


def raw_semopy(problem: Problem) -> Callable[[], float]:
    import semopy

    def once() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = semopy.Model(problem.text)
            model.fit(problem.data)
            model.inspect(std_est=True)
            return float(semopy.calc_stats(model)["chi2"].iloc[0])

    return once


def time_lavaan(problems: list[Problem], seconds: float) -> tuple[str, dict[str, dict[str, Any]]]:
    """Time lavaan in one R process; return what ran and one entry a problem (nothing where R or lavaan is absent)."""
    if shutil.which("Rscript") is None:
        return "", {}
    with tempfile.TemporaryDirectory() as folder:
        for problem in problems:
            problem.data.to_csv(Path(folder) / f"{problem.name}.csv", index=False)
            (Path(folder) / f"{problem.name}.lav").write_text(problem.text, encoding="utf-8")
        names = [problem.name for problem in problems]
        command = ["Rscript", str(HERE / "lavaan.R"), folder, str(seconds), *names]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print("lavaan was not timed:", done.stderr.strip().splitlines()[-1:], file=sys.stderr)
        return "", {}
    version, *lines = done.stdout.strip().splitlines()
    found = {}
    for line in lines:
        name, median, best, repeats, chisq = line.split()
        found[name] = {"median": float(median), "best": float(best), "repeats": int(repeats), "chisq": float(chisq)}
    return version.strip(), found


def time_problem(problem: Problem, seconds: float, only_native: bool) -> dict[str, dict[str, Any]]:
    print(f"  {problem.name}", file=sys.stderr)
    contenders = {"native": with_engine(problem, "native")}
    if not only_native:
        contenders |= {"semopy engine": with_engine(problem, "semopy"), "raw semopy": raw_semopy(problem)}
    return measure(contenders, seconds)


def time_command(args: list[str], repeats: int) -> dict[str, Any]:
    """Time a whole process, Python's own start included."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats + 1):
            out = ["--out", str(Path(folder) / str(number))] if args[0] == "run" else []
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "b2b_sem", *args, *out], check=True, capture_output=True)
            times.append(time.perf_counter() - start)
    return {"median": statistics.median(times[1:]), "repeats": repeats}


def processor() -> str:
    """Return the type of processor, as the system names it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def show(results: dict[str, Any]) -> None:
    width = max(len(entry["title"]) for entry in results["problems"].values())
    print(f"\n{'time / native':<{width + 12}}  native ms" + "".join(f"{c:>15}" for c in CONTENDERS[1:]))
    for name, entry in results["problems"].items():
        times = entry["times"]
        base = times["native"]
        cells = []
        for contender in CONTENDERS[1:]:
            other = times.get(contender)
            if other is None:
                cells.append("-")
            elif math.isclose(other["chisq"], base["chisq"], rel_tol=SAME_CHISQ, abs_tol=1e-6):
                cells.append(f"{other['median'] / base['median']:.1f}")
            else:
                cells.append("other chi-sq.")
        print(
            f"{name:<11} {entry['title']:<{width}}  {1000 * base['median']:9.1f}" + "".join(f"{c:>15}" for c in cells)
        )
    for name, entry in results["commands"].items():
        print(f"{name:<30} {entry['median']:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time b2b_sem beside semopy and lavaan; print ratios, write JSON.")
    parser.add_argument(
        "problems",
        nargs="*",
        metavar="PROBLEM",
        help=f"default: all of {', '.join(PROBLEMS)} but {', '.join(ON_REQUEST)}",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results") / "bench.json", help="JSON file (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="time a contender gets for a problem (default: 2)")
    parser.add_argument("--only-native", action="store_true", help="leave the others out: for comparing two checkouts")
    options = parser.parse_args()
    unknown = sorted(set(options.problems) - set(PROBLEMS))
    if unknown:
        parser.error(f"unknown problem {', '.join(unknown)}: choose from {', '.join(PROBLEMS)}")
    chosen = [PROBLEMS[name]() for name in options.problems or (n for n in PROBLEMS if n not in ON_REQUEST)]
    problems: dict[str, Any] = {
        p.name: {"title": p.title, "times": time_problem(p, options.seconds, options.only_native)} for p in chosen
    }
    version, lavaan = ("", {}) if options.only_native else time_lavaan(chosen, options.seconds)
    for name, entry in lavaan.items():
        problems[name]["times"]["lavaan"] = entry
    print("  commands", file=sys.stderr)
    results = {
        "machine": {"cores": os.cpu_count(), "processor": processor(), "system": platform.system()},
        "versions": {"python": platform.python_version(), "b2b_sem": bs.__version__, "other": version},
        "problems": problems,
        "commands": {
            "b2b-sem --help": time_command(["--help"], 5),
            "b2b-sem run demo": time_command(["run", "demo"], 3),
        },
    }
    show(results)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
