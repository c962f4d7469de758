"""How well are correlations of skewed latents kept when answers are whole numbers?

    python docs/studies/skewed_answers.py --out study            500,000 respondents of each kind
    python docs/studies/skewed_answers.py --out study --quick    20,000: only to see that it works

Two latents with four items each (loadings .8) correlate by .5 and are normal or skewed, in the same direction or in
opposite ones. Their responses are cut into five or seven answers, around the middle of the scale or near its upper end
(mean 4.2 of 5, or 6 of 7). A factor model is fitted to the answers as numbers (ML) and as ordinal items (DWLS), and to
the responses before they are cut. The table says which correlation each of them finds; chance moves it by about .0015.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from paper import table

import b2b_sem as bs

ROWS, QUICK, SEED = 500_000, 20_000, 20261122
ASKED = 0.5
ITEMS = [f"{scale}{k}" for scale in "ab" for k in range(1, 5)]
MODEL = "A =~ a1 + a2 + a3 + a4\nB =~ b1 + b2 + b3 + b4"
#: Skew and excess kurtosis.
SHAPES = {"normal": (0, 0), "skew 1": (1, 1.5), "skew 2": (2, 6), "skew -1": (-1, 1.5), "skew -2": (-2, 6)}
PAIRS = (
    ("normal", "normal"),
    ("skew 1", "skew 1"),
    ("skew -1", "skew -1"),
    ("skew 1", "skew -1"),
    ("skew 2", "skew 2"),
    ("skew -2", "skew -2"),
    ("skew 2", "skew -2"),
    ("skew 2", "normal"),
)
#: Answers, and their mean and standard deviation before rounding.
SCALES = {
    "1 to 5": (5, 3.0, 1.0),
    "1 to 5, high": (5, 4.2, 1.0),
    "1 to 7": (7, 4.0, 1.5),
    "1 to 7, high": (7, 6.0, 1.5),
}
FILES = {
    "survey.yaml": """
kind: survey
schema_version: 1
id: answers
title: Answers
format: {low: 1, high: %d}
scales:
  A: {name: first, items: {a1: one, a2: two, a3: three, a4: four}}
  B: {name: second, items: {b1: one, b2: two, b3: three, b4: four}}
""",
    "model.yaml": """
kind: model
schema_version: 1
id: answers
title: Answers
survey: ./survey.yaml
measurement: {A: {scale: A}, B: {scale: B}}
""",
    "population.yaml": """
kind: simulation
schema_version: 1
id: answers
title: Answers
model: ./model.yaml
values: {loadings: {default: 0.8}, correlations: {A ~~ B: %g}}
response: {type: %s, mean: %g, sd: %g}
distribution: {latents: {A: {skew: %g, kurtosis: %g}, B: {skew: %g, kurtosis: %g}}}
""",
}


def draw(kind: str, scale: str, first: str, second: str, rows: int) -> pd.DataFrame:
    """Return answers, or the responses behind them."""
    high, mean, sd = SCALES[scale]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "survey.yaml").write_text(FILES["survey.yaml"] % high, encoding="utf-8")
        (folder / "model.yaml").write_text(FILES["model.yaml"], encoding="utf-8")
        numbers = (ASKED, kind, mean, sd, *SHAPES[first], *SHAPES[second])
        (folder / "population.yaml").write_text(FILES["population.yaml"] % numbers, encoding="utf-8")
        return bs.simulate(folder / "population.yaml", n=rows, seed=SEED).frame[ITEMS]


def correlation(frame: pd.DataFrame, *, ordinal: bool) -> tuple[float, float]:
    """Return the correlation of the latents, and the mean standardized loading."""
    options = {"ordered": ITEMS, "estimator": "DWLS", "se": "none"} if ordinal else {"engine": "native"}
    found = bs.fit(MODEL, frame, **options).standardized()  # type: ignore[arg-type]
    row = found[(found["lhs"] == "A") & (found["op"] == "~~") & (found["rhs"] == "B")]
    return float(row["est_std"].iloc[0]), float(found.loc[found["op"] == "=~", "est_std"].mean())


def main() -> None:
    """Draw, fit and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = QUICK if arguments.quick else ROWS
    out = []
    for first, second in PAIRS:
        whole = correlation(draw("continuous", "1 to 7", first, second, rows), ordinal=False)
        for scale in SCALES:
            frame = draw("ordinal", scale, first, second, rows)
            numbers, categories = (correlation(frame, ordinal=ordinal) for ordinal in (False, True))
            out.append((first, second, scale, whole[0], numbers[0], categories[0], numbers[1], categories[1]))
    names = ["A", "B", "answers", "responses", "ml", "dwls", "ml_loading", "dwls_loading"]
    found = pd.DataFrame(out, columns=names)
    found.to_csv(arguments.out / "skewed-answers.csv", index=False, float_format="%.5g")
    cells = [(*row[:3], *(f"{x:.3f}" for x in row[3:])) for row in found.itertuples(index=False)]
    head = ["A", "B", "answers", "before cutting", "ML", "DWLS", "loadings, ML", "loadings, DWLS"]
    lines = table(head, cells)
    (arguments.out / "skewed-answers.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
