"""Growth models against lavaan::growth(): defaults, estimates, errors and tests, by name."""

from __future__ import annotations

import copy
import json

import pytest
from growth_case import GROWTH, compare_numbers, fit_growth, growth_reference, spec
from reference_case import HERE, sha256

import b2b_sem as bs

MANIFEST = json.loads((GROWTH / "manifest.json").read_text(encoding="utf-8"))["sha256"]
RUNS = [(model, setting) for model, settings in spec()["runs"].items() for setting in settings]
pytestmark = pytest.mark.filterwarnings("ignore::b2b_sem.errors.B2BSemWarning")


def test_reference_files_belong_to_these_cases_and_scripts() -> None:
    assert MANIFEST["cases"] == sha256(GROWTH / "cases.json"), "cases.json changed: run generate.R"
    assert MANIFEST["generate"] == sha256(GROWTH / "generate.R"), "generate.R changed: run it"
    assert MANIFEST["common"] == sha256(HERE / "lavaan" / "common.R"), "common.R changed: run generate.R"
    assert MANIFEST["data"] == sha256(GROWTH / "growth.csv")
    assert set(MANIFEST["outputs"]) == set(spec()["runs"])
    for model, digest in MANIFEST["outputs"].items():
        assert digest == sha256(GROWTH / f"{model}.json"), f"{model}.json is not what generate.R wrote"
        assert list(growth_reference(model)) == spec()["runs"][model]


@pytest.mark.parametrize(("model", "setting"), RUNS)
def test_reference_is_a_solution(model: str, setting: str) -> None:
    assert growth_reference(model)[setting]["gradient"] < 1e-13


@pytest.mark.parametrize(("model", "setting"), RUNS)
def test_growth_gives_lavaans_numbers(model: str, setting: str) -> None:
    fit = fit_growth(model, setting)
    assert fit.converged
    assert fit.identified
    numbers = growth_reference(model)[setting]
    if setting == "FIML_x":
        # lavaan's baseline chi-square and unrestricted likelihood do not belong to its own chi-square here
        measures = numbers["measures"]
        assert abs(2 * (measures["unrestricted_logl"] - measures["logl"]) - measures["chisq"]) > 0.1
        left = {
            k: v
            for k, v in measures.items()
            if k not in ("baseline_chisq", "baseline_pvalue", "cfi", "tli", "unrestricted_logl")
        }
        numbers = {**numbers, "measures": left}
    assert compare_numbers(fit, numbers) == []


@pytest.mark.parametrize(
    ("column", "line"), [("est", "i ~1  est:"), ("se", "i ~1  se:"), ("est_std", "i ~1  est_std:")]
)
def test_a_wrong_number_is_seen(column: str, line: str) -> None:
    wrong = copy.deepcopy(growth_reference("linear")["ML"])
    row = next(r for r in wrong["parameters"] if (r["lhs"], r["op"]) == ("i", "~1"))
    row[column] *= 1 + 1e-5
    found = compare_numbers(fit_growth("linear", "ML"), wrong)
    assert len(found) == 1
    assert found[0].startswith(line)


def test_a_missing_row_and_a_wrong_measure_are_seen() -> None:
    wrong = copy.deepcopy(growth_reference("linear")["ML"])
    del wrong["parameters"][-1]
    wrong["measures"]["chisq"] *= 1 + 1e-7
    wrong["measures"]["other"] = 1.0
    assert len(compare_numbers(fit_growth("linear", "ML"), wrong)) == 3


def test_the_result_says_which_intercepts_growth_fixes_and_frees() -> None:
    fit = fit_growth("distal", "ML")
    notes = " ".join(fit.model.defaults)
    assert "Intercepts of observed variables are fixed at 0 (growth): t1, t2, t3, t4." in notes
    assert "Means of latent variables are free (growth): i, s." in notes
    assert fit.model.options["kind"] == "growth"


def test_growth_needs_means() -> None:
    with pytest.raises(bs.Unsupported, match="growth model needs a mean structure"):
        bs.fit("i =~ 1*t1 + 1*t2 + 1*t3", growth_reference("linear"), kind="growth", meanstructure=False)


def test_growth_and_sem_agree_when_every_intercept_is_written() -> None:
    text = "\n".join(spec()["models"]["linear"]["model"])
    spelled = text + "\ni ~ 1\ns ~ 1\n" + "\n".join(f"t{k} ~ 0*1" for k in range(1, 6))
    from growth_case import growth_data

    sem = bs.fit(spelled, growth_data(), engine="native")
    assert sem.measures["chisq"] == pytest.approx(fit_growth("linear", "ML").measures["chisq"], rel=1e-12)
