"""Compare two files of run.py, such as one of the last release and one of a change: head / base, below 1 is faster.

Run it with ``python benchmarks/compare.py base.json head.json``. Both must come from the same machine, best one right
after the other. With ``--fail-above 1.25`` the exit code is 1 when anything became slower by more than that and by more
than 2 ms (a fit) or 0.1 s (a command): small absolute differences are noise.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def medians(results: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return name -> (median seconds, smallest difference that counts)."""
    found = {}
    for problem, entry in results["problems"].items():
        for contender, times in entry["times"].items():
            found[f"{problem}, {contender}"] = (times["median"], 0.002)
    for command, times in results["commands"].items():
        found[command] = (times["median"], 0.1)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Print head / base for every time that both files have.")
    parser.add_argument("base", type=Path)
    parser.add_argument("head", type=Path)
    parser.add_argument("--fail-above", type=float, metavar="RATIO", help="exit with 1 if anything is slower by more")
    options = parser.parse_args()
    base, head = (json.loads(path.read_text(encoding="utf-8")) for path in (options.base, options.head))
    if base["machine"] != head["machine"]:
        print("warning: the files come from different machines", file=sys.stderr)
    before, after = medians(base), medians(head)
    slower = []
    print(f"{'':<32} {'base':>10} {'head':>10} {'ratio':>7}")
    for name in [n for n in before if n in after]:
        (old, least), (new, _) = before[name], after[name]
        ratio = new / old
        print(f"{name:<32} {1000 * old:8.1f}ms {1000 * new:8.1f}ms {ratio:7.2f}")
        if options.fail_above is not None and ratio > options.fail_above and new - old > least:
            slower.append(name)
    for name in sorted(set(before) ^ set(after)):
        print(f"{name:<32} only in {'base' if name in before else 'head'}")
    if slower:
        print("slower: " + "; ".join(slower), file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
