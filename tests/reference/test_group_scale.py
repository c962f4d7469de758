"""Scale quality in each group of a joint fit against semTools and psych; group_scale/generate.R defines each number."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_case import HERE, data_frame

import b2b_sem as bs
from b2b_sem.analysis.measurement import measurement

FOLDER = HERE / "group_scale"
CASES: dict[str, dict[str, Any]] = {
    c["id"]: c for c in json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))["cases"]
}
REFERENCE = json.loads((FOLDER / "scales.json").read_text(encoding="utf-8"))
#: Ten times the largest difference measured, and more: 5e-13; of ordered items 1e-8, from the estimates.
RTOL, ORDINAL_RTOL = 1e-11, 2e-7

PARAMETERS = [
    pytest.param(c, marks=[pytest.mark.shared_data] if spec["data"].startswith("shared:") else [])
    for c, spec in CASES.items()
]


@cache
def fitted(case: str) -> tuple[Any, pd.DataFrame]:
    spec = CASES[case]
    data = data_frame(spec["data"]).copy()
    items = [w for line in spec["model"] if "=~" in line for w in line.split("=~")[1].replace("+", " ").split()]
    if "cut" in spec:
        for item in items:
            data[item] = np.searchsorted(spec["cut"], data[item].to_numpy(float), side="right") + 1
    ordered = {"ordered": True} if spec.get("ordered") else {}
    return bs.fit("\n".join(spec["model"]), data, group=spec["group"], **ordered, **spec["options"]), data


def compared(case: str, reference: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return names, our numbers and those of the reference; a name missing on either side fails."""
    fit, _ = fitted(case)
    table = bs.reliability(fit)
    ratios, everything = bs.validity(fit), measurement(fit)
    assert list(dict.fromkeys(table["group"])) == list(reference) == list(ratios) == list(everything)
    out = []
    names = {"alpha": "alpha", "omega": "omega", "cr": "cr", "ave": "ave"}
    if CASES[case].get("ordered"):
        names |= {"alpha_ordinal": "alpha_ord"}
    for label, group in reference.items():
        own = table[table["group"] == label].set_index("scale")
        assert list(own.index) == list(group["ave"])
        for scale, row in own.to_dict("index").items():
            out += [(f"{label} {scale} {ours}", row[ours], group[theirs][scale]) for ours, theirs in names.items()]
            loadings = group["loadings"][scale].values()
            assert row["items"] == len(loadings)
            out.append((f"{label} {scale} lowest", row["loading_min"], min(loadings)))
            shown = everything[label].loadings
            mine = shown[shown["scale"] == scale].set_index("item")["std_all"]
            assert list(mine.index) == list(group["loadings"][scale])
            out += [(f"{label} {item}", mine[item], value) for item, value in group["loadings"][scale].items()]
        for key in ("htmt", "htmt2"):
            found, expected = getattr(ratios[label], key), np.array(group[key]["values"], dtype=float)
            assert list(found.index) == group[key]["names"]
            for i, j in zip(*np.tril_indices(len(found), -1), strict=True):
                out.append((f"{label} {key} {i} {j}", found.iloc[i, j], expected[i, j]))
        cor = pd.DataFrame(group["factor_cor"]["values"], group["factor_cor"]["names"], group["factor_cor"]["names"])
        for a in cor:
            out += [(f"{label} {a} {b}", ratios[label].latent_cor.loc[a, b], cor.loc[a, b]) for b in cor]
        out.append((f"{label} kmo", everything[label].adequacy["kmo"], group["kmo"]))
    return out


@pytest.mark.parametrize("case", PARAMETERS)
def test_scales_by_group(case: str) -> None:
    rtol = ORDINAL_RTOL if CASES[case].get("ordered") else RTOL
    rows = compared(case, REFERENCE[case]["groups"])
    assert len(rows) > 20
    wrong = [(name, ours, theirs) for name, ours, theirs in rows if not abs(ours - theirs) <= rtol * abs(theirs)]
    assert wrong == []


@pytest.mark.parametrize("case", PARAMETERS)
def test_answers_given_again(case: str) -> None:
    fit, data = fitted(case)
    again = bs.reliability(fit, data)
    assert list(again["group"]) == list(bs.reliability(fit)["group"])
    np.testing.assert_allclose(again["alpha"], bs.reliability(fit)["alpha"], rtol=1e-9)
    back = bs.FitResult.from_json(json.loads(json.dumps(fit.to_json())))
    np.testing.assert_allclose(bs.reliability(back)["ave"], bs.reliability(fit)["ave"], rtol=1e-12)


def test_the_omegas_of_the_reference_agree() -> None:
    """The sum of the answers: what is computed here from standardized responses is what semTools says without means."""
    for group in REFERENCE["ordinal_free"]["groups"].values():
        assert group["omega"] == pytest.approx(group["omega2"], rel=1e-6)
    for case in ("influencer_scalar", "hs_free", "satisfaction_strict"):
        for group in REFERENCE[case]["groups"].values():
            assert group["comprelsem"] == pytest.approx(group["omega"], rel=1e-8)


def test_a_wrong_number_is_seen() -> None:
    groups = json.loads(json.dumps(REFERENCE["hs_free"]["groups"]))
    label = next(iter(groups))
    groups[label]["ave"]["visual"] *= 1 + 1e-9
    wrong = [n for n, ours, theirs in compared("hs_free", groups) if not abs(ours - theirs) <= RTOL * abs(theirs)]
    assert wrong == [f"{label} visual ave"]


def test_files_are_those_of_the_manifest() -> None:
    digests = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["sha256"]

    def digest(name: str) -> str:
        return sha256((FOLDER / name).read_bytes()).hexdigest()

    assert digests["cases"] == digest("cases.json")
    assert digests["generate"] == digest("generate.R")
    assert digests["outputs"]["scales"] == digest("scales.json")
