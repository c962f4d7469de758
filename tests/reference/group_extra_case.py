"""The cases of group_extra/cases.json: clusters, constraints, bounds and auxiliary variables with several groups."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import group_case as gc
import numpy as np
import pandas as pd
import pytest
from incomplete_case import punch
from reference_case import data_frame

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "group_extra"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in SPEC["cases"]}


def marks(data: str) -> list[Any]:
    """Return the mark of survey files outside the project."""
    return [pytest.mark.shared_data] if data.startswith("shared:") else []


def parameters(**wanted: bool) -> list[Any]:
    """Return pytest parameters, one a case and setting; only cases that have (or have not) what is named."""
    return [
        pytest.param(case, setting, id=f"{case}-{setting}", marks=marks(spec["data"]))
        for case, spec in CASES.items()
        if all((name in spec) == value for name, value in wanted.items())
        for setting in spec["settings"]
    ]


def extras(name: str) -> list[Any]:
    """Return pytest parameters of the difference or score tests."""
    found = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    out = []
    for k, item in enumerate(found):
        first = item["case"] if "case" in item else item["cases"][0]
        data = CASES[first]["data"] if first in CASES else gc.CASES[first]["data"]
        out.append(pytest.param(item, id=f"{first}-{k}", marks=marks(data)))
    return out


@cache
def case_data(case: str) -> pd.DataFrame:
    """Return the data of a case, with groups and holes made by the rules of generate.R."""
    spec = CASES[case]
    frame = punch(data_frame(spec["data"]), spec.get("holes"))
    if "firms" in spec:
        number = frame["firm"].str[1:].astype(int) % spec["firms"]
        frame = frame.assign(**{spec["group"]: np.array(list("abcdef"))[number]})
    return frame


@cache
def reference(case: str) -> dict[str, Any]:
    """Return lavaan's numbers of a case, by setting."""
    return json.loads((HERE / f"{case}.json").read_text(encoding="utf-8"))["settings"]


@cache
def fit(case: str, setting: str) -> Any:
    """Return the fit of a case (kept: several tests look at it)."""
    spec = CASES[case]
    options = {"group": spec["group"], "auxiliary": spec.get("auxiliary", ())} | spec["options"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.B2BSemWarning)
        return bs.fit("\n".join(spec["model"]), case_data(case), **(options | spec["settings"][setting]))
