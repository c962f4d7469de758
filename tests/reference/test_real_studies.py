"""Commands on real files against lavaan: `b2b-sem fit` on six data sets, and a whole `b2b-sem run` of a study."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from compare import Tolerance, compare
from real_case import (
    CASES,
    ENGINES,
    REAL,
    STUDY,
    as_reference,
    command,
    fit_by_command,
    largest_differences,
    load_real,
    parameters,
    run_by_command,
)
from reference_case import HERE, ROOT, data_path, sha256

import b2b_sem as bs
from b2b_sem.results.study import read_study_result

MANIFEST = json.loads((REAL / "manifest.json").read_text(encoding="utf-8"))["sha256"]
RIVALS = [case["study"] for case in CASES.values() if case.get("study", "main") != "main"]


@cache
def fitted(case: str, engine: str) -> dict[str, Any]:
    return fit_by_command(case, "--engine", engine)


@pytest.fixture(scope="module", params=ENGINES)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("study") / request.param
    return {**run_by_command(out, "--engine", request.param), "folder": out, "asked": request.param}


# ---- the reference files themselves ----------------------------------------------------------------------------------


def test_reference_files_belong_to_these_models_and_scripts() -> None:
    assert MANIFEST["cases"] == sha256(REAL / "cases.json"), "run tests/reference/real/generate.R"
    for script, digest in MANIFEST["scripts"].items():
        assert digest == sha256(HERE / script), f"{script} changed: run tests/reference/real/generate.R"
    for model, digest in MANIFEST["models"].items():
        assert digest == sha256(ROOT / model), f"{model} changed: run tests/reference/real/generate.R"
    assert set(MANIFEST["models"]) == {case["model"] for case in CASES.values()}
    assert set(MANIFEST["outputs"]) == set(CASES)
    for case, digest in MANIFEST["outputs"].items():
        assert digest == sha256(REAL / f"{case}.json"), f"{case}.json is not what generate.R wrote"


@pytest.mark.parametrize("case", parameters())
def test_data_are_those_of_the_reference(case: str) -> None:
    source = CASES[case]["data"]
    assert sha256(data_path(source)) == MANIFEST["data"][source]


@pytest.mark.parametrize("case", CASES)
def test_reference_is_a_solution_and_its_gradient_explains_where_lavaan_stops(case: str) -> None:
    reference = load_real(case)
    assert reference["converged"]
    assert reference["gradient"]["scaled"] < 1e-14
    default, q = reference["lavaan_default"], reference["measures"]["npar"]
    # what a gradient of this size can move, in standard errors: sqrt(N q) g, times the condition of the curvature
    reach = 100 * math.sqrt(reference["nobs"] * q) * default["gradient"]["scaled"]
    assert 1e-7 < default["largest_move"] < reach


@pytest.mark.parametrize("case", [i for i in CASES if "study" in CASES[i]])
def test_lavaan_was_given_the_models_of_the_study(case: str) -> None:
    model = bs.load_model(STUDY.parent / "model.yaml")
    rival = CASES[case]["study"]
    text = (ROOT / CASES[case]["model"]).read_text(encoding="utf-8")
    assert model.syntax(None, None if rival == "main" else rival).strip() == text.strip()


def test_every_rival_of_the_study_has_its_reference() -> None:
    assert tuple(RIVALS) == bs.load_study(STUDY, check_data=False).rivals


# ---- b2b-sem fit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", parameters())
def test_fit_writes_lavaans_numbers(case: str, engine: str) -> None:
    result, reference = fitted(case, engine), load_real(case)
    assert result["engine"] == engine
    assert result["converged"]
    assert compare(as_reference(result), reference) == []
    # the same once more without any floor: no estimate, standard error or measure is further away than 1e-5 of itself
    assert max(largest_differences(as_reference(result), reference).values()) < 1e-5


@pytest.mark.parametrize("case", parameters())
def test_engines_write_the_same_numbers(case: str) -> None:
    native, semopy = (as_reference(fitted(case, engine)) for engine in ENGINES)
    assert compare(native, semopy, Tolerance(rtol=1e-6)) == []


@pytest.mark.shared_data
def test_left_out_rows_are_counted() -> None:
    result = fitted("corprep", "native")
    assert (result["n_read"], result["n_dropped"], result["nobs"]) == (344, 8, load_real("corprep")["nobs"])
    (note,) = [note for note in result["notes"] if "8 of 344 rows" in note]
    for name in ("cusl_1 (3)", "cusl_2 (4)", "cusl_3 (3)", "cusa (1)"):
        assert name in note


@pytest.mark.shared_data
def test_a_missing_code_does_what_an_empty_cell_does() -> None:
    coded = data_path("shared:corprep").with_name("corprep_m99.csv")
    args = ["fit", str(ROOT / CASES["corprep"]["model"]), "--data", str(coded), "--missing-code", "-99", "--json", "-"]
    result = json.loads(command([*args, "--engine", "native"]))
    assert (result["n_read"], result["n_dropped"]) == (344, 8)
    assert compare(as_reference(result), load_real("corprep")) == []


@pytest.mark.shared_data
def test_comparison_sees_another_model() -> None:
    lines = compare(as_reference(fitted("study_main", "native")), load_real("study_full_mediation"))
    assert "measure df" in " ".join(lines)
    assert any(line.startswith("parameters PI ~ SIC: not in the reference") for line in lines)


# ---- b2b-sem run -----------------------------------------------------------------------------------------------------


@pytest.mark.shared_data
def test_run_writes_lavaans_numbers_for_model_and_rivals(study: dict[str, Any]) -> None:
    fits = {"main": study["fit"], **{rival["name"]: rival["fit"] for rival in study["rivals"]}}
    assert list(fits) == ["main", *RIVALS]
    for name, result in fits.items():
        assert result["engine"] == study["asked"]
        assert compare(as_reference(result), load_real(f"study_{name}")) == [], name


@pytest.mark.shared_data
def test_verdicts_rest_on_lavaans_numbers(study: dict[str, Any]) -> None:
    reference = load_real("study_main")

    def row(table: str, path: str) -> dict[str, Any]:
        predictor, outcome = path.split(" -> ")
        (found,) = [r for r in reference[table] if (r["lhs"], r["op"], r["rhs"]) == (outcome, "~", predictor)]
        return found

    *tested, last = study["verdicts"]
    assert [v["id"] for v in tested] == [f"H{i}" for i in range(1, 11)]
    assert last["verdict"] == "not testable here"
    p = {v["id"]: row("parameters", v["path"])["pvalue"] for v in tested}
    # Holm by hand: the k-th smallest p times the number of hypotheses not yet rejected, never falling
    holm: dict[str, float] = {}
    for k, name in enumerate(sorted(p, key=p.__getitem__)):
        holm[name] = max([min(1.0, (len(p) - k) * p[name]), *holm.values()])
    for verdict in tested:
        ours = row("standardized", verdict["path"])
        numbers = [verdict[n] for n in ("std", "ci_lower", "ci_upper", "pvalue", "p_adjusted")]
        expected = [ours["est_std"], ours["ci_lower"], ours["ci_upper"], p[verdict["id"]], holm[verdict["id"]]]
        assert numbers == pytest.approx(expected, rel=1e-6, abs=1e-14)
        supported = holm[verdict["id"]] < 0.05 and ours["est_std"] > 0
        assert verdict["verdict"] == ("supported" if supported else "not supported")
    assert sum(v["verdict"] == "supported" for v in tested) == 6


@pytest.mark.shared_data
def test_nested_rivals_are_compared_by_lavaans_chi_squares(study: dict[str, Any]) -> None:
    main = load_real("study_main")["measures"]
    rivals = {rival["name"]: rival for rival in study["rivals"]}
    for name, sign, relation in (("full_mediation", 1, "restricted"), ("liking_pays", -1, "extended")):
        other = load_real(f"study_{name}")["measures"]
        assert rivals[name]["relation"] == relation
        assert rivals[name]["chisq_diff"] == pytest.approx(sign * (other["chisq"] - main["chisq"]), rel=1e-7)
        assert rivals[name]["df_diff"] == sign * (other["df"] - main["df"])
    assert rivals["one_factor"]["df_diff"] is None


@pytest.mark.shared_data
def test_run_writes_a_complete_folder(study: dict[str, Any]) -> None:
    folder: Path = study["folder"]
    listed = {entry["path"] for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]}
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert listed | {"manifest.json"} == there
    assert {"report.html", "results.json", "tables/verdicts.csv", "tables/rivals.csv"} <= there
    again = read_study_result(folder / "results.json")
    assert [v.verdict for v in again.verdicts] == [v["verdict"] for v in study["verdicts"]]
    # a background question that is an outcome of the model is called by its label and shown with its wording
    assert "willingness to pay" in next(v.sentence for v in again.verdicts if v.id == "H10")
    items = again.sample.items.set_index("name")
    assert items.loc["wtp", "text"].startswith("How much")
