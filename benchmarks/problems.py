"""The models that are timed: small, middle, large; with and without latent variables. Data have fixed seeds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import b2b_sem as bs

MODELS = Path(__file__).resolve().parent.parent / "examples" / "models"


@dataclass(frozen=True)
class Problem:
    """A model and its data.

    Attributes
    ----------
    name, title : str
    text : str
        lavaan syntax.
    data : DataFrame
        The columns of the model, scored.
    """

    name: str
    title: str
    text: str
    data: pd.DataFrame


def _semopy_file(name: str) -> pd.DataFrame:
    """Return a data set that the semopy package ships, without importing it."""
    spec = importlib.util.find_spec("semopy")
    assert spec is not None
    assert spec.submodule_search_locations
    return pd.read_csv(Path(next(iter(spec.submodule_search_locations))) / "examples" / name)


def _holzinger() -> Problem:
    data = _semopy_file("holzinger_swineford39_data.csv")[[f"x{i}" for i in range(1, 10)]]
    text = (MODELS / "holzinger_swineford.lav").read_text(encoding="utf-8")
    return Problem("holzinger", "3 latents x 3, CFA, N = 301", text, data)


def _democracy() -> Problem:
    data = _semopy_file("pd_data.csv")[[f"x{i}" for i in range(1, 4)] + [f"y{i}" for i in range(1, 9)]]
    text = (MODELS / "political_democracy.lav").read_text(encoding="utf-8")
    return Problem("democracy", "3 latents, residual covariances, N = 75", text, data)


def _lima36() -> Problem:
    """Return the path model of P1 to P8 with the first four items of each scale."""
    model, answers = bs.load_model("lima2026"), bs.simulate("lima2026", n=500, seed=20261121).frame
    survey = model.survey_spec
    assert survey is not None
    items = {latent: survey.items(latent)[:4] for latent in model.latents}
    data = answers[[item for group in items.values() for item in group]].astype(float)
    for item in set(survey.reverse_items()) & set(data):
        data[item] = sum(survey.range_of(item)) - data[item]
    measurement = "\n".join(f"{latent} =~ {' + '.join(group)}" for latent, group in items.items())
    return Problem("lima36", "9 latents x 4, paths P1 to P8, N = 500", f"{measurement}\n{model.structural}", data)


def _mediation() -> Problem:
    rng = np.random.default_rng(20261122)
    n = 400
    x1, x2 = rng.normal(size=(2, n))
    m = 0.5 * x1 + 0.2 * x2 + rng.normal(size=n)
    y = 0.4 * m + 0.1 * x1 + rng.normal(size=n)
    text = "m ~ a*x1 + x2\ny ~ b*m + c*x1"
    return Problem(
        "mediation", "observed variables only, N = 400", text, pd.DataFrame({"x1": x1, "x2": x2, "m": m, "y": y})
    )


def _wide() -> Problem:
    """Return 20 correlated latents with four items each: 80 items, 190 latent covariances."""
    rng = np.random.default_rng(20261123)
    n, factors = 1000, 20
    latent = rng.normal(size=(n, factors)) * np.sqrt(0.7) + rng.normal(size=(n, 1)) * np.sqrt(0.3)
    data = {
        f"y{k + 1}_{j + 1}": loading * latent[:, k] + rng.normal(size=n) * np.sqrt(1 - loading**2)
        for k in range(factors)
        for j, loading in enumerate((0.8, 0.75, 0.7, 0.65))
    }
    text = "\n".join(f"F{k} =~ " + " + ".join(f"y{k}_{j}" for j in range(1, 5)) for k in range(1, factors + 1))
    return Problem("wide", "20 latents x 4, CFA, N = 1000", text, pd.DataFrame(data))


def _forty() -> Problem:
    """Return a chain of 40 latents with four items each: 160 items, N = 500."""
    rng = np.random.default_rng(20261124)
    n, factors = 500, 40
    latent = rng.normal(size=(n, factors))
    for k in range(1, factors):
        latent[:, k] = 0.5 * latent[:, k - 1] + np.sqrt(0.75) * latent[:, k]
    data = {
        f"y{k + 1}_{j + 1}": 0.8 * latent[:, k] + 0.6 * rng.normal(size=n) for k in range(factors) for j in range(4)
    }
    lines = [f"F{k} =~ " + " + ".join(f"y{k}_{j}" for j in range(1, 5)) for k in range(1, factors + 1)]
    lines += [f"F{k} ~ F{k - 1}" for k in range(2, factors + 1)]
    return Problem("forty", "40 latents x 4, a chain of paths, N = 500", "\n".join(lines), pd.DataFrame(data))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "mediation": _mediation,
    "holzinger": _holzinger,
    "democracy": _democracy,
    "lima36": _lima36,
    "wide": _wide,
    "forty": _forty,
}
#: Problems that run only when named: lavaan needs about two minutes for each fit of the last one.
ON_REQUEST = ("forty",)
