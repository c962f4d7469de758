"""Slopes, regions and conditional effects of products, against R: lm, semTools and lavaan."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import statsmodels.formula.api as smf
from reference_case import data_frame

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "probe"
NUMBERS: dict[str, Any] = json.loads((HERE / "numbers.json").read_text(encoding="utf-8"))
TESTED = ("est", "se", "z", "pvalue", "ci_lower", "ci_upper")
#: Least squares by two programs; all differences measured are below 1e-12.
EXACT = 5e-12
#: Polished solutions of lavaan; all differences measured are below 3e-10.
RTOL = 3e-9


def cases(kind: str) -> list[Any]:
    """Return the cases of a kind, marked where their data are not part of the project."""
    return [
        pytest.param(c, id=c["id"], marks=[pytest.mark.shared_data] if c["data"].startswith("shared:") else [])
        for c in NUMBERS[kind]
    ]


def differences(ours: Mapping[str, float], theirs: Mapping[str, Any], names: Any, rtol: float) -> list[str]:
    """Name the numbers that differ by more than `rtol`, relative to the larger of number and its standard error."""
    out = []
    for name in names:
        a, b = float(ours[name]), float(theirs[name])
        scale = abs(b) if name in ("se", "pvalue") else max(abs(b), float(theirs["se"]) if name != "z" else 1.0)
        # p-values lose digits with the size of z
        allowed = rtol * scale * (1.0 + float(theirs["z"]) ** 2 if name == "pvalue" else 1.0)
        if not abs(a - b) <= allowed + 1e-15:
            out.append(f"{name}: {a!r}, reference {b!r}")
    return out


def check_slopes(slopes: pd.DataFrame, reference: list[dict[str, Any]], rtol: float, names: Any = TESTED) -> list[str]:
    """Compare two tables of slopes, row by row."""
    assert len(slopes) == len(reference)
    out = []
    for ours, theirs in zip(slopes.to_dict("records"), reference, strict=True):
        assert ours["value"] == pytest.approx(theirs["value"], rel=1e-12)
        out += differences(ours, theirs, names, rtol)
    return out


@cache
def regression(formula: str, data: str, robust: bool) -> Any:
    """Fit a regression by statsmodels."""
    found = smf.ols(formula.replace("^2", " ** 2"), data_frame(data)).fit()
    return found.get_robustcov_results("HC3", use_t=True) if robust else found


@pytest.mark.parametrize("case", cases("regressions"))
def test_regression(case: dict[str, Any]) -> None:
    fit = regression(case["formula"], case["data"], case["robust"])
    product = f"{case['x']}:{case['m']}"
    slopes = bs.simple_slopes(fit, product, case["m"])
    assert slopes.surface.df == case["df"]
    assert check_slopes(slopes.table, case["slopes"], EXACT) == []
    at = bs.simple_slopes(fit, product, at="percentiles")
    assert check_slopes(at.table, case["percentiles"], EXACT) == []
    for simultaneous in (False, True):
        found = bs.johnson_neyman(fit, product, simultaneous=simultaneous)
        reference = case["simultaneous" if simultaneous else "pointwise"]
        assert found.bounds == pytest.approx(reference, rel=1e-9)
    size = bs.moderation_size(fit, product)
    assert size.r2 == pytest.approx(case["r2"], rel=1e-11)
    assert size.r2_without == pytest.approx(case["r2_without"], rel=1e-11)
    assert size.f2 == pytest.approx(case["f2"], rel=1e-8)


def test_a_wrong_slope_is_seen() -> None:
    case = copy.deepcopy(NUMBERS["regressions"][0])
    case["slopes"][1]["se"] *= 1 + 1e-9
    fit = regression(case["formula"], case["data"], case["robust"])
    assert check_slopes(bs.simple_slopes(fit, "x1:x7").table, case["slopes"], EXACT)


def double_centred(case: dict[str, Any]) -> pd.DataFrame:
    """Return the data with products of items: centred, multiplied, centred again."""
    data = data_frame(case["data"]).copy()
    for a, b in zip(case["first"], case["second"], strict=True):
        product = (data[a] - data[a].mean()) * (data[b] - data[b].mean())
        data[f"{a}.{b}"] = product - product.mean()
    return data


@cache
def latent_fit(position: int) -> bs.FitResult:
    """Fit a model with hand-made product indicators."""
    case = NUMBERS["latents"][position]
    products = " + ".join(f"{a}.{b}" for a, b in zip(case["first"], case["second"], strict=True))
    paths = [line for line in case["paths"] if ":=" not in line]
    text = "\n".join([*case["measurement"], f"XM =~ {products}", *paths])
    return bs.fit(text, double_centred(case), engine="native", meanstructure=True, **(case["options"] or {}))


@pytest.mark.parametrize("case", cases("latents"))
def test_latent_product(case: dict[str, Any]) -> None:
    fit = latent_fit(NUMBERS["latents"].index(case))
    product, aliases = f"{case['x']}:{case['m']}", {"XM": f"{case['x']}:{case['m']}"}
    slopes = bs.simple_slopes(fit, product, at=[-1.3, 0.0, 0.7], outcome=case["y"], aliases=aliases)
    assert check_slopes(slopes.table, case["slopes"], RTOL, ("est", "se", "z", "pvalue")) == []
    for simultaneous in (False, True):
        found = bs.johnson_neyman(fit, product, simultaneous=simultaneous, aliases=aliases)
        assert found.bounds == pytest.approx(case["simultaneous" if simultaneous else "pointwise"], rel=1e-6)


@pytest.mark.parametrize("case", cases("latents"))
def test_latent_product_by_its_name(case: dict[str, Any]) -> None:
    product = f"{case['x']}:{case['m']}"
    paths = [line.replace("XM", product) for line in case["paths"] if ":=" not in line]
    text = "\n".join([*case["measurement"], *paths])
    fit = bs.fit(text, data_frame(case["data"]), interaction="dmc", engine="native", **(case["options"] or {}))
    slopes = bs.simple_slopes(fit, product, at=[-1.3, 0.0, 0.7])
    assert check_slopes(slopes.table, case["slopes"], RTOL, ("est", "se", "z", "pvalue")) == []
    assert bs.johnson_neyman(fit, product).bounds == pytest.approx(case["pointwise"], rel=1e-6)


def named(effects: Any, predictor: str, outcome: str, at: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return conditional effects by the names that the R script gives them."""
    out = {}
    table = effects.table[(effects.table["predictor"] == predictor) & (effects.table["outcome"] == outcome)]
    for row in table.to_dict("records"):
        if row["kind"] in ("indirect", "total"):
            out[f"{row['kind']}_{at[row['at']]}"] = row
    index = effects.index[(effects.index["predictor"] == predictor) & (effects.index["outcome"] == outcome)]
    for row in index[index["kind"] == "indirect"].to_dict("records"):
        if math.isfinite(row["est"]):
            out[row["measure"]] = row
    return out


@pytest.mark.shared_data
def test_moderated_mediation_of_latent_variables() -> None:
    position = next(i for i, c in enumerate(NUMBERS["latents"]) if c["id"] == "tpb")
    case = NUMBERS["latents"][position]
    found = bs.conditional_effects(
        latent_fit(position), "INT:PBC", at=[-1.3, 0.0, 0.7], aliases={"XM": "INT:PBC"}, predictor="ATT"
    )
    ours = named(found, "ATT", "BEH", {"-1.3": "low", "0": "mean", "0.7": "high"})
    reference = {row["name"]: row for row in case["defined"]}
    for name in ("low", "mean", "high"):
        assert differences(ours[f"indirect_{name}"], reference[f"at_{name}"], TESTED, RTOL) == []
    assert differences(ours["index"], reference["index"], TESTED, RTOL) == []
    assert math.isclose(ours["contrast"]["est"], reference["contrast"]["est"], rel_tol=1e-7)


@pytest.mark.parametrize("case", cases("mediations"))
def test_moderated_mediation(case: dict[str, Any]) -> None:
    data = data_frame(case["data"]).copy()
    for name, (a, b) in case["columns"].items():
        data[name] = data[a] * data[b]
    fit = bs.fit(
        "\n".join(line for line in case["model"] if ":=" not in line), data, engine="native", meanstructure=True
    )
    aliases = {name: ":".join(pair) for name, pair in case["columns"].items()}
    product = next(iter(aliases.values()))
    found = bs.conditional_effects(fit, product, at=[3.0, 5.0], aliases=aliases, predictor="x1", outcome="x9")
    ours = named(found, "x1", "x9", {"3": "low", "5": "high"})
    reference = {row["name"]: row for row in case["defined"]}
    if case["id"] == "both_stages":
        # the product of the direct effect changes the total effect, too
        assert set(ours) == set(reference)
    assert set(reference) <= set(ours)
    for name, row in reference.items():
        assert differences(ours[name], row, TESTED, RTOL) == [], name
