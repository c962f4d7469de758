"""Groups in simulation files: what is read, and what is refused where."""

from __future__ import annotations

from pathlib import Path

import pytest

from b2b_sem.errors import SpecError
from b2b_sem.spec.loader import load_simulation, load_study

SURVEY = """\
kind: survey
schema_version: 1
id: small
title: Small survey
format: {low: 1, high: 7}
scales:
  X: {name: x, items: {x1: one, x2: two, x3: three}}
  Y: {name: y, items: {y1: one, y2: two, y3: three}}
  A: {name: a, items: {a1: one, a2: two, a3: three}}
facts:
  area: {label: area, type: categorical, categories: {1: north, 2: south, 3: east}}
  size: {label: size, type: number}
  town: {label: town, type: text}
groups:
  side: {fact: area, label: side, levels: {upper: [1], lower: [2, 3]}}
"""
MODEL = """\
kind: model
schema_version: 1
id: small
title: Small model
survey: ./survey.yaml
measurement: {X: {scale: X}, Y: {scale: Y}}
structural: Y ~ X
propositions:
  - id: P1
    statement: Levels differ.
    test: group
    group: side
    level: lower
    measurement: {A: {scale: A}}
    parts: [{path: area -> A, sign: "-"}]
"""
SIMULATION = """\
kind: simulation
schema_version: 1
id: small
title: Small population
model: ./model.yaml
claims: true
values:
  loadings: {default: 0.8}
  paths: {Y ~ X: 0.5}
groups:
  split: side
  reference: upper
  levels:
    lower:
      means: {Y: -0.3}
      paths: {Y ~ X: 0.2}
      correlations: {X ~~ A: 0.1}
      loadings: {x2: 0.5}
      intercepts: {x1: 0.4}
facts:
  area: {shares: {1: 0.5, 2: 0.5}}
  town: {shares: {Porto: 0.5, Braga: 0.5}}
"""


def write(folder: Path, *changes: tuple[str, str]) -> Path:
    text = SIMULATION
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "survey.yaml").write_text(SURVEY, encoding="utf-8")
    (folder / "model.yaml").write_text(MODEL, encoding="utf-8")
    (folder / "sim.yaml").write_text(text, encoding="utf-8")
    return folder / "sim.yaml"


def test_values_of_a_level_fall_back_to_those_of_the_file(tmp_path: Path) -> None:
    spec = load_simulation(write(tmp_path))
    assert spec.groups is not None
    level = spec.groups.levels["lower"]
    assert (spec.paths()["Y", "X"], spec.paths(level)["Y", "X"]) == (0.5, 0.2)
    assert spec.correlations() == {}
    assert spec.correlations(level) == {("A", "X"): 0.1}
    assert [spec.loading(i, "X", level) for i in ("x1", "x2")] == [0.8, 0.5]
    assert spec.loading("x2", "X") == 0.8
    assert spec.model_spec is not None
    assert spec.latents(spec.model_spec) == ("X", "Y", "A")


def test_a_fact_names_levels_by_its_labels_or_codes(tmp_path: Path) -> None:
    for name in ("south", "2"):
        spec = load_simulation(
            write(tmp_path, ("split: side", "split: area"), ("e: upper", "e: north"), ("  lower:", f"  {name}:"))
        )
        assert spec.groups is not None
        assert spec.groups.name_of("south", (2,)) in ("south", 2)
        assert spec.groups.name_of("north", (1,)) is None
    texts = write(tmp_path, ("split: side", "split: town"), ("e: upper", "e: Porto"), ("  lower:", "  Braga:"))
    assert load_simulation(texts).groups is not None


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("split: side", "split: sied", 11, "has no group or fact 'sied'. Did you mean"),
        ("split: side", "split: size", 11, "'size' is a number: it names no groups"),
        ("reference: upper", "reference: uper", 12, "'side' has no level 'uper'. Did you mean 'upper'"),
        ("    lower:", "    lover:", 14, "'side' has no level 'lover'. Did you mean 'lower'"),
        ("    lower:", "    upper:", 14, "'upper' is the reference level"),
        ("    lower:", "    2:", 14, "'side' has no level '2'"),
        ("means: {Y", "means: {Z", 15, "there is no latent 'Z'"),
        ("means: {Y: -0.3}", "means: {Y: low}", 15, "must be a number"),
        ("means: {Y: -0.3}", "means: {Y: -30}", 15, "must be at least -3"),
        ("      paths: {Y ~ X", "      paths: {X ~ Y", 16, "has no path 'X ~ Y'. Did you mean 'Y ~ X'"),
        ("      paths: {Y ~ X", "      paths: {Y ~~ X", 16, "write two names like 'PC ~ NR'"),
        ("X ~~ A: 0.1", "Y ~~ A: 0.1", 17, "'Y' is an outcome in the model"),
        ("X ~~ A: 0.1", "X ~~ B: 0.1", 17, "the model has no latent 'B'"),
        ("loadings: {x2", "loadings: {x9", 18, "there is no item 'x9'"),
        ("loadings: {x2: 0.5}", "loadings: {x2: 1.5}", 18, "must be below 1"),
        ("intercepts: {x1", "intercepts: {q1", 19, "there is no item 'q1'"),
        ("  area: {shares: {1: 0.5, 2: 0.5}}\n", "", 11, "the fact 'area', which is not drawn"),
        ("{1: 0.5, 2: 0.5}", "{1: 1.0}", 14, "no respondent is in the level 'lower'"),
        ("{1: 0.5, 2: 0.5}", "{2: 0.5, 3: 0.5}", 12, "no respondent is in the level 'upper'"),
        ("town: {shares: {Porto: 0.5, Braga: 0.5}}", "town: {mean: 1, sd: 1}", 22, "is of type text: give shares"),
        ("claims: true", "claims: false", 5, "A: measured by propositions of 'small' only"),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    path = write(tmp_path, (old, new))
    with pytest.raises(SpecError) as caught:
        load_simulation(path)
    found = caught.value.problems[0] if caught.value.problems else caught.value
    assert message in str(found)
    assert found.line == line, str(caught.value)


def test_no_level_is_a_mistake(tmp_path: Path) -> None:
    head = SIMULATION[SIMULATION.index("    lower:") : SIMULATION.index("facts:")]
    with pytest.raises(SpecError, match="no level differs from the reference"):
        load_simulation(write(tmp_path, ("  levels:\n" + head, "  levels: {}\n")))


def test_levels_that_are_the_same_twice(tmp_path: Path) -> None:
    path = write(
        tmp_path, ("split: side", "split: area"), ("reference: upper", "reference: 1"), ("    lower:", "    north:")
    )
    with pytest.raises(SpecError, match="'north' is the same level as '1'"):
        load_simulation(path)


def test_without_claims_the_population_is_that_of_the_main_model(tmp_path: Path) -> None:
    spec = load_simulation(write(tmp_path, ("claims: true\n", ""), ("      correlations: {X ~~ A: 0.1}\n", "")))
    assert spec.model_spec is not None
    assert spec.latents(spec.model_spec) == ("X", "Y")


def test_a_study_may_use_what_only_propositions_measure(tmp_path: Path) -> None:
    write(tmp_path)
    study = tmp_path / "study.yaml"
    study.write_text(
        "kind: study\nschema_version: 1\nid: s\ntitle: S\nmodel: ./model.yaml\n"
        "data: {simulate: ./sim.yaml, n: 100}\nanalyses: [fit, propositions, groups: side]\n",
        encoding="utf-8",
    )
    assert load_study(study).splits == ("side",)
