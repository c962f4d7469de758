"""The cases of cases.json: what to fit, on which data, and how to fit it with this package."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import b2b_sem as bs

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
}
SEMOPY_FILES = {"holzinger": "holzinger_swineford39_data.csv", "politicaldemocracy": "pd_data.csv"}


def parameters(ids: Any = None) -> list[Any]:
    """Return pytest parameters, one a case; those on survey files outside the project carry their mark."""
    wanted = list(CASES) if ids is None else list(ids)
    return [
        pytest.param(i, id=i, marks=[pytest.mark.shared_data] if CASES[i]["data"].startswith("shared:") else [])
        for i in wanted
    ]


def data_path(source: str) -> Path:
    """Return the file of a data source, or skip the test if it is one of the survey files and not here."""
    place, name = source.split(":")
    if place == "local":
        return HERE / "data" / f"{name}.csv"
    if place == "semopy":
        spec = importlib.util.find_spec("semopy")  # finds the folder without importing the package
        assert spec is not None
        assert spec.submodule_search_locations
        return Path(next(iter(spec.submodule_search_locations))) / "examples" / SEMOPY_FILES[name]
    assert place == "shared"
    folder = Path(os.environ.get("B2B_SEM_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / f"{name}.csv").is_file():
        pytest.skip(f"no {name}.csv in {folder}: set B2B_SEM_DATA to the folder of the survey files")
    return folder / f"{name}.csv"


@cache
def data_frame(source: str) -> pd.DataFrame:
    """Return the data of a source."""
    return pd.read_csv(data_path(source))


def model_text(case: str) -> str:
    """Return the model of a case."""
    return "\n".join(CASES[case]["model"])


def arguments(case: str) -> dict[str, Any]:
    """Return the keyword arguments of ``b2b_sem.fit`` for a case, without the engine."""
    spec = CASES[case]
    options = dict(spec.get("options", {}))
    source = spec.get("input", "raw")
    frame = data_frame(spec["data"])
    if source == "raw":
        options["data"] = frame
    elif source == "matrix":
        options["sample_cov"], options["nobs"] = frame.set_index(frame.columns[0]), spec["nobs"]
    else:
        used = frame[_observed(case)].dropna()
        options["sample_cov"], options["nobs"] = used.cov(), len(used)
        if source == "cov+mean":
            options["sample_mean"] = used.mean()
    return options


def _observed(case: str) -> list[str]:
    """Columns the model text names (moment input must not hold others' missing rows)."""
    words = {w for line in CASES[case]["model"] for w in line.replace("*", " ").replace("+", " ").split()}
    return [c for c in data_frame(CASES[case]["data"]).columns if c in words]


@cache
def fit(case: str, engine: str) -> Any:
    """Return the fit of a case by an engine (kept: several tests look at it)."""
    with warnings.catch_warnings():
        # improper solutions warn; what the warning says is in the result, and here only numbers are compared
        warnings.simplefilter("ignore", bs.B2BSemWarning)
        return bs.fit(model_text(case), engine=engine, kind=CASES[case]["function"], **arguments(case))


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
