"""Print how far the commands are from lavaan on real files: one row a case and engine.

Run it with ``python tests/reference/real/table.py`` from the top of the checkout; ``--markdown`` prints a table for a
document. `B2B_SEM_DATA` names the folder of the survey files (default ``../shared/data``).

Columns: the largest plain relative difference from lavaan's numbers of estimates, standard errors, the standardized
solution, its standard errors, fit measures and their p values; then how far lavaan's own default stop is from the
minimum (its gradient in units of curvature, the largest distance of an estimate in standard errors), and the gradient
that is left after polishing, where the numbers compared here were taken.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from real_case import CASES, ENGINES, as_reference, fit_by_command, largest_differences, load_real

HEADER = ["case", "engine", "chisq", "df", "est", "se", "std.all", "std se", "measures", "p"]
HEADER += ["lavaan stop", "in SE", "polished"]


def rows() -> list[list[str]]:
    found = []
    for case in CASES:
        reference = load_real(case)
        default = reference["lavaan_default"]
        for engine in ENGINES:
            fitted = fit_by_command(case, "--engine", engine)
            differences = largest_differences(as_reference(fitted), reference)
            found.append(
                [
                    case,
                    engine,
                    f"{fitted['measures']['chisq']:.4f}",
                    str(fitted["measures"]["df"]),
                    *(f"{value:.0e}" for value in differences.values()),
                    f"{default['gradient']['scaled']:.0e}",
                    f"{default['largest_move']:.0e}",
                    f"{reference['gradient']['scaled']:.0e}",
                ]
            )
    return found


def main() -> None:
    table = [HEADER, *rows()]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADER))]
    markdown = "--markdown" in sys.argv[1:]
    for number, row in enumerate(table):
        cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        print("| " + " | ".join(cells) + " |" if markdown else "  ".join(cells))
        if markdown and number == 0:
            print("|" + "|".join("-" * (w + 2) if i < 2 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|")


if __name__ == "__main__":
    main()
