"""estimator: auto in a study file and on the command line, with ordered answers and the report on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.study import read_study_result

SURVEY = """kind: survey
schema_version: 1
id: s
title: Small survey
format: {high: 4, anchors: {1: never, 4: always}}
scales:
  AA: {name: first, items: {a1: One, a2: Two, a3: {text: Three, reverse: true}}}
  BB: {name: second, items: {b1: One, b2: Two, b3: Three}}
"""
MODEL = """kind: model
schema_version: 1
id: m
title: Small model
survey: s.yaml
measurement: {AA: {scale: AA}, BB: {scale: BB}}
structural: BB ~ AA
propositions:
  - {id: H1, statement: More of the first brings more of the second., path: AA -> BB, sign: "+"}
rivals:
  none: {title: No path, why: Unrelated., remove: [BB ~ AA], add: [AA ~~ 0*BB]}
  one_factor: {title: One factor, why: All the same., form: one_factor}
"""
STUDY = """kind: study
schema_version: 1
id: small
title: Small study
model: m.yaml
data: {file: d.csv}
analyses: [fit, measurement, propositions, rivals: [none, one_factor]]
options: {estimator: auto}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    f = rng.normal(size=300)
    g = 0.6 * f + 0.8 * rng.normal(size=300)
    data = pd.DataFrame({n: x + 0.7 * rng.normal(size=300) for n, x in zip(NAMES, [f] * 3 + [g] * 3, strict=True)})
    data["a3"] = -data["a3"]
    # nobody answers 4 to b1
    data = pd.DataFrame({n: 1 + np.searchsorted([-0.8, 0.2, 9 if n == "b1" else 1.1], data[n]) for n in NAMES})
    data.to_csv("d.csv", index=False)
    for name, text in (("s", SURVEY), ("m", MODEL), ("small", STUDY)):
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


NAMES = ["a1", "a2", "a3", "b1", "b2", "b3"]


def test_a_study_states_what_was_chosen_and_fits_its_rivals_alike(here: Path) -> None:
    assert run(["run", "small.yaml"]) == 0
    result = read_study_result("results/small/results.json")
    assert result.fit.estimator == "WLSMV"
    assert result.fit.model.options["estimator_choice"] == "auto"
    assert result.study["options"]["estimator"] == "auto"
    assert result.fit.notes[0].startswith("estimator='auto' chose WLSMV: All 6 items have fewer than 5")
    assert {v.id: v.verdict for v in result.verdicts} == {"H1": "supported"}
    for rival in result.rivals:
        assert rival.fit is not None, rival.message
        assert rival.fit.estimator == "WLSMV"
        assert list(rival.fit.model.options["ordered"]) == NAMES
        assert "estimator_choice" not in rival.fit.model.options
    table = result.measurement.reliability
    assert table[["alpha", "alpha_ordinal", "omega", "omega_latent"]].notna().all(axis=None)
    page = Path("results/small/report.html").read_text(encoding="utf-8")
    assert "Omega of the sum" in page
    assert 'id="figure-answers"' in page
    assert "Never given: b1 4." in page
    items = pd.read_csv("results/small/tables/items.csv").set_index("name")
    assert items.loc["b1", "empty"] == 4
    assert items.loc["b1", "ceiling"] == 0.0
    reliability = pd.read_csv("results/small/tables/reliability.csv")
    np.testing.assert_allclose(reliability["alpha_ordinal"], table["alpha_ordinal"])


def test_rivals_take_over_what_auto_chose_on_few_rows(here: Path) -> None:
    pd.read_csv("d.csv").head(150).to_csv("d.csv", index=False)
    assert run(["run", "small.yaml"]) == 0
    result = read_study_result("results/small/results.json")
    assert [result.fit.estimator, *(r.fit.estimator for r in result.rivals if r.fit)] == ["ULSMV"] * 3


def test_fit_on_the_command_line_knows_the_survey(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "m.yaml", "--data", "d.csv", "--estimator", "auto", "--json", "out.json"]) == 0
    content = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert content["estimator"] == "WLSMV"
    assert content["model"]["options"]["estimator_choice"] == "auto"
    assert any(n.startswith("Answers given fewer than 5 times: b1 4.") for n in content["notes"])
    assert "estimator='auto' chose WLSMV" in capsys.readouterr().out
