"""Propositions on groups, from answers to verdict."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.group_claim import _letters, _not_equal, compare_split, split_answers
from b2b_sem.errors import DataError
from b2b_sem.propositions import judge
from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.verdict import Verdict
from b2b_sem.spec.loader import load_survey
from b2b_sem.spec.model import Part, Proposition

TEXT = "AU =~ a1 + a2 + a3\nLG =~ l1 + l2 + l3\nPC =~ p1 + p2 + p3\nPC ~ AU + LG"
P10: dict[str, Any] = {
    "id": "P10",
    "statement": "Regulation matters.",
    "test": "group",
    "group": "sector",
    "level": "regulated",
    "parts": (Part(path="RG -> AU", sign="-"), Part(path="RG -> LG", sign="+")),
    "needs": "groups",
}


def respondents(
    au: float = -0.6, lg: float = 0.6, slope: float = 0.4, seed: int = 1, n: int = 400, first: int = 1
) -> pd.DataFrame:
    """Sectors 1 to 3 are regulated: the means of AU and LG, and the path from AU to PC, differ by these amounts."""
    rng = np.random.default_rng(seed)
    frames = []
    for regulated in (True, False) if first == 1 else (False, True):
        a = rng.normal(au if regulated else 0.0, 1.0, n)
        g = rng.normal(lg if regulated else 0.0, 1.0, n)
        p = (0.3 + slope * regulated) * a + 0.3 * g + rng.normal(size=n)
        columns = {
            f"{k}{i}": 4 + 0.8 * latent + rng.normal(scale=0.6, size=n)
            for k, latent in (("a", a), ("l", g), ("p", p))
            for i in (1, 2, 3)
        }
        frames.append(pd.DataFrame(columns).assign(sector=rng.integers(1, 4, n) + (0 if regulated else 3)))
    return pd.concat(frames, ignore_index=True)


def compared(data: pd.DataFrame, text: str = TEXT, **settings: Any) -> GroupComparison:
    survey = load_survey("lima2026")
    return compare_split("sector", text, data, survey, None, settings, alpha=0.05, level=0.95, multiplicity="holm")


def verdict(data: pd.DataFrame, prop: dict[str, Any] = P10, text: str = TEXT, **options: Any) -> Verdict:
    fit = bs.fit(text, data)
    (found,) = judge([Proposition(**prop)], fit, comparisons=[compared(data, text)], **options)
    return found


@pytest.mark.parametrize("first", [1, 4])
def test_a_claim_is_supported_if_all_parts_hold_whatever_group_comes_first(first: int) -> None:
    found = verdict(respondents(first=first))
    assert found.verdict == "supported"
    assert [(p.id, p.outcome) for p in found.parts] == [("P10a", "holds"), ("P10b", "holds"), ("P10c", "holds")]
    assert found.parts[0].estimate < 0 < found.parts[1].estimate
    assert found.pvalue == max(p.pvalue for p in found.parts)
    assert "the mean of AU in regulated minus that in the other group" in found.sentence
    assert found.sentence.endswith("P10 is supported.")


def test_one_part_that_does_not_hold_is_enough() -> None:
    found = verdict(respondents(slope=0.0))
    assert found.verdict == "not supported"
    assert [p.outcome for p in found.parts] == ["holds", "holds", "open"]
    assert "P10c is not significant" in found.reason
    assert found.p_adjusted > 0.05


def test_a_part_with_the_other_sign_contradicts() -> None:
    found = verdict(respondents(au=0.6))
    assert found.verdict == "contradicted"
    assert found.parts[0].outcome == "opposite"
    assert "P10a is the opposite" in found.reason


def test_measured_regulation_takes_the_place_of_the_means() -> None:
    data = respondents()
    rng = np.random.default_rng(5)
    data["RG"] = rng.normal(size=len(data))
    for item in ("a1", "a2", "a3"):
        data[item] -= 0.4 * data["RG"]
    found = verdict(data, text=TEXT + "\nAU ~ RG\nLG ~ RG")
    assert found.parts[0].text.startswith("the path from RG to AU is -")
    assert found.parts[0].outcome == "holds"
    assert found.parts[1].outcome == "open"


def test_what_is_missing_is_said() -> None:
    data = respondents()
    text = "AU =~ a1 + a2 + a3\nPC =~ p1 + p2 + p3\nPC ~ AU"
    found = verdict(data, text=text)
    assert found.verdict == "not testable here"
    assert "the model has no LG" in found.reason
    assert found.parts[0].outcome == "holds"
    assert np.isnan(found.p_adjusted)
    none = judge([Proposition(**P10)], bs.fit(text, data))[0]
    assert none.verdict == "not testable here"
    assert none.parts == ()
    nameless = verdict(data, prop={**P10, "level": None})
    assert "does not say which group is meant" in nameless.reason


def test_means_need_equal_intercepts() -> None:
    data = respondents()
    regulated = data["sector"] <= 3
    for item, shift in (("a1", 1.5), ("a2", -1.5), ("l1", 1.5), ("l2", -1.5)):
        data.loc[regulated, item] += shift
    found = verdict(data)
    assert found.verdict == "not testable here"
    assert "equal intercepts were not established" in found.reason


def test_a_single_path_is_claimed_for_every_group() -> None:
    prop = {k: v for k, v in P10.items() if k not in ("parts", "level")}
    found = verdict(respondents(), prop={**prop, "path": "AU -> PC", "sign": "+"})
    assert found.verdict == "supported"
    assert [p.claim for p in found.parts] == ["AU -> PC (+) in regulated", "AU -> PC (+) in non_regulated"]
    weak = verdict(respondents(slope=-0.3), prop={**prop, "path": "AU -> PC", "sign": "+"})
    assert weak.verdict == "not supported"


def test_a_claim_is_one_member_of_the_family() -> None:
    data = respondents()
    paths = [Proposition(id=f"P{i}", statement="s", path=f"{x} -> PC", sign="+") for i, x in enumerate(("AU", "LG"), 1)]
    found = judge(
        [*paths, Proposition(**P10)], bs.fit(TEXT, data), comparisons=[compared(data)], multiplicity="bonferroni"
    )
    assert found[2].p_adjusted == pytest.approx(3 * found[2].pvalue)
    assert found[0].p_adjusted == pytest.approx(min(1.0, 3 * found[0].pvalue))


def test_json() -> None:
    found = verdict(respondents())
    assert Verdict.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))).to_json() == found.to_json()
    old = {k: v for k, v in found.to_json().items() if k != "parts"}
    assert Verdict.from_json(old).parts == ()
    both = compared(respondents())
    again = GroupComparison.from_json(json.loads(json.dumps(both.to_json(), allow_nan=False)))
    assert again.to_json() == both.to_json()


def test_splits() -> None:
    survey = load_survey("lima2026")
    frame = pd.DataFrame({"sector": [1, 4.0, "3", None, 9], "country": ["PT", "DE", " PT", None, "FR"]})
    label, groups = split_answers(frame, survey, "sector")
    assert label == "regulatory environment of the sector"
    assert groups.tolist()[:3] == ["regulated", "non_regulated", "regulated"]
    assert groups.isna().tolist() == [False, False, False, True, True]
    assert split_answers(frame, survey, "country")[1].isna().all()  # fewer than the minimum
    bare = survey.model_copy(update={"groups": {}})
    assert split_answers(frame, bare, "country")[1].tolist()[:3] == ["PT", "DE", "PT"]
    for name, text in (("firm_size", "is a number"), ("role", "no column 'role'"), ("sektor", "no group or fact")):
        with pytest.raises(DataError, match=text):
            split_answers(frame, survey, name)


def test_other_estimators_and_unequal_loadings_are_said() -> None:
    assert "MLR: GLS is not available" in compared(respondents(), estimator="GLS").reasons[0]
    data = respondents()
    data.loc[data["sector"] <= 3, ["a1", "a2", "l1", "l2", "p1", "p2"]] *= [-1, 3, -1, 3, -1, 3]
    found = compared(data)
    assert found.paths is None
    assert "loadings are not equal" in found.reasons[-1]


def ordinal(data: pd.DataFrame) -> pd.DataFrame:
    """Cut the answers into four categories."""
    items = data.columns.drop("sector")
    return data.assign(**{item: np.searchsorted([3.0, 4.0, 5.0], data[item]) + 1 for item in items})


def test_ordinal_items_stay_ordinal() -> None:
    found = compared(ordinal(respondents()), ordered=True, estimator="WLSMV", parameterization="theta")
    assert found.reasons == ()
    assert found.invariance is not None
    assert found.paths is not None
    assert (found.invariance.estimator, found.paths.estimator) == ("WLSMV", "WLSMV")
    assert found.invariance.steps["step"].tolist() == ["configural", "thresholds", "metric", "scalar"]
    means = found.invariance.means.set_index("latent")
    # the first group is the regulated one: the others' mean of AU is higher, of LG lower
    assert means.loc["AU", "est"] > 0.3
    assert means.loc["LG", "est"] < -0.3
    tests = found.paths.tests.set_index("path")
    assert tests.loc["PC~AU", "pvalue_diff"] < 0.01 < tests.loc["PC~LG", "pvalue_diff"]


def test_what_ordinal_items_replace_is_said() -> None:
    found = compared(ordinal(respondents(n=250)), ordered=["a1", "a2", "a3"], estimator="DWLS", missing="fiml")
    assert any("WLSMV: DWLS is not available" in r for r in found.reasons)
    assert any("pairs of answers: missing='fiml'" in r for r in found.reasons)
    assert found.invariance is not None
    assert any("Ordinal items: a1, a2, a3 (4 categories)" in n for n in found.invariance.notes)


def test_a_released_first_item_gives_no_unit() -> None:
    data = respondents()
    data.loc[data["sector"] <= 3, "a1"] = 4 + 2.5 * (data["a1"] - 4)
    found = compared(data)
    assert found.invariance is not None
    assert "AU=~a1" in found.invariance.releases["parameter"].tolist()
    assert found.paths is not None
    assert found.paths.fit is not None
    assert found.paths.fit.model.options["std_lv"] is True


def test_two_categories_need_equal_intercepts_for_paths() -> None:
    data = respondents(n=600)
    items = data.columns.drop("sector")
    cuts = {item: 3.6 + 0.4 * (k % 3) for k, item in enumerate(items)}
    data = data.assign(**{item: (data[item] > cuts[item]).astype(int) for item in items})
    data["sector"] = np.where(data["sector"] <= 3, "regulated", "open")
    steps = ("configural", "thresholds", "metric", "scalar")
    why = [_not_equal(bs.invariance(TEXT, data, "sector", ordered=True, steps=steps[:k]), True) for k in (2, 3, 4)]
    assert why[0] == "loadings are not equal in the groups"
    assert "only with equal intercepts (AU, LG, PC)" in why[1]
    assert why[2] == ""


def test_parts_beyond_z_have_names() -> None:
    names = list(islice(_letters(), 54))
    assert names[:2] == ["a", "b"]
    assert names[25:28] == ["z", "aa", "ab"]
    assert len(set(names)) == 54
