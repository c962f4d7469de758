"""The samples whose indices are compared with lavaan's: moments of continuous items, answers of ordinal ones."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import b2b_sem as bs
from b2b_sem.analysis.cutoff_recipe import Recipe, recipe_of, recipe_of_text
from b2b_sem.analysis.cutoff_sample import MomentSamples, RowSamples, prepare_moments, prepare_rows
from b2b_sem.analysis.misspecification import misspecify

FOLDER = Path(__file__).parent
MODELS: dict[str, dict[str, Any]] = {
    m["id"]: m for m in json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))["models"]
}
SEED = 20230
#: Samples of each population that are compared.
MOMENTS, ROWS = 6, 3
COVARIANCE = """
F =~ a + b + c
G =~ d + e + f
a ~~ d
"""
ORDINAL = "F =~ .7*x1 + .6*x2 + .8*x3\nG =~ .65*x4 + .75*x5 + .55*x6\nF ~~ .4*G"
THRESHOLDS = {"x1": [-1.0, 0.2, 1.1], "x2": [-0.4], "x3": [-1.2, -0.3, 0.5, 1.3], "x5": [0.1, 1.0]}


def text(name: str) -> str:
    """Return a model of cases.json."""
    return "\n".join(MODELS[name]["model"])


def raw_fit() -> bs.FitResult:
    """Return a fit with means, the Wishart likelihood and items of different scales."""
    rng = np.random.default_rng(11)
    factors = rng.standard_normal((240, 2)) @ np.array([[1.0, 0.5], [0.0, 0.9]])
    rows = np.repeat(factors, 3, axis=1) * [0.9, 0.7, 0.8, 0.6, 1.0, 0.7] + rng.standard_normal((240, 6)) * 0.7
    rows[:, 0] += 0.4 * rows[:, 3]
    frame = pd.DataFrame(rows * [1, 10, 0.1, 5, 2, 3] + [0, 3, 1, -2, 5, 8], columns=list("abcdef"))
    return bs.fit(COVARIANCE, frame, likelihood="wishart", meanstructure=True, engine="native")


def recipes() -> dict[str, Recipe]:
    """Return what samples are drawn for, by name."""
    found = {name: recipe_of_text(text(name), MODELS[name]["n"]) for name in ("holzinger", "two_factors", "one_six")}
    found["raw"] = recipe_of(raw_fit())
    written = recipe_of_text(ORDINAL, 300)
    thresholds = {item: np.array(THRESHOLDS.get(item, [-0.8, 0.0, 0.7])) for item in written.solution.items}
    ordinal = replace(written, thresholds=thresholds, suffix="_scaled", estimator="WLSMV")
    found["ordinal"] = ordinal
    found["ordinal_uls"] = replace(ordinal, nobs=220, estimator="ULSMV")
    return found


def task(recipe: Recipe) -> tuple[MomentSamples | RowSamples, int]:
    """Return the samples of a recipe, and the number of its populations."""
    populations = (recipe.solution, *misspecify(recipe.solution)[1])
    prepare = prepare_rows if recipe.thresholds else prepare_moments
    return prepare(recipe, populations, SEED, 1), len(populations)


def samples(recipe: Recipe) -> list[list[Any]]:
    """Return the first samples of each population: covariance and mean, or answers."""
    drawn, levels = task(recipe)
    if isinstance(drawn, RowSamples):
        return [[frame for _, frame in zip(range(ROWS), drawn.draw(level), strict=False)] for level in range(levels)]
    out = []
    for level in range(levels):
        cov, mean = drawn.draw(level)
        out.append([(cov[r], None if mean is None else mean[r]) for r in range(MOMENTS)])
    return out


def checksum(sample: Any) -> float:
    """Return a number that sees every value of a sample."""
    values = sample.to_numpy(dtype=float) if isinstance(sample, pd.DataFrame) else sample[0]
    return float((np.cos(np.arange(values.size)).reshape(values.shape) * values).sum())


def main(folder: Path) -> None:
    """Write samples.json into `folder`."""
    out = []
    for name, recipe in recipes().items():
        drawn, _ = task(recipe)
        names = list(recipe.solution.items)
        if isinstance(drawn, MomentSamples):
            names = list(drawn.replicators[0].problem.table.observed)
        entry: dict[str, Any] = {
            "id": name,
            "model": recipe.model,
            "n": recipe.nobs,
            "names": names,
            "estimator": recipe.estimator,
            "likelihood": recipe.likelihood,
            "settings": dict(recipe.settings),
            "levels": [],
        }
        for level in samples(recipe):
            rows = []
            for sample in level:
                if isinstance(sample, pd.DataFrame):
                    rows.append({"rows": sample.to_numpy().tolist()})
                else:
                    cov, mean = sample
                    rows.append({"cov": cov.tolist(), "mean": None if mean is None else mean.tolist()})
                rows[-1]["checksum"] = checksum(sample)
            entry["levels"].append(rows)
        out.append(entry)
    (folder / "samples.json").write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
