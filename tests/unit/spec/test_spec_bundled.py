"""The bundled files: valid, complete, and true to the framework they stand for."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from b2b_sem import resources
from b2b_sem.errors import SpecError
from b2b_sem.spec.loader import (
    TYPES,
    list_specs,
    load_model,
    load_montecarlo,
    load_plan,
    load_simulation,
    load_study,
    load_survey,
)
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.schema import json_schema, write_schemas
from b2b_sem.spec.syntax import parse_model

LOADERS = {
    "survey": load_survey,
    "model": load_model,
    "simulation": load_simulation,
    "study": load_study,
    "montecarlo": load_montecarlo,
    "plan": load_plan,
}
FILES = sorted(p for kind in resources.KINDS for p in resources.root(kind).glob("*.yaml"))


def plain(path: Path) -> dict[str, object]:
    # Through JSON, as editors see it: keys become text.
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(path), default=str))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_bundled_file_loads_and_is_called_by_its_id(path: Path) -> None:
    kind = str(plain(path)["kind"])
    spec = LOADERS[kind](path)
    assert spec.id == path.stem
    assert (spec.id, spec.title) in list_specs(kind)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_bundled_file_follows_the_json_schema(path: Path) -> None:
    content = plain(path)
    jsonschema.Draft202012Validator(json_schema(str(content["kind"]))).validate(content)


@pytest.mark.parametrize("kind", list(TYPES))
def test_schema_is_valid_and_refuses_unknown_keys(kind: str) -> None:
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(f"{kind}:1")
    path = next(p for p in FILES if plain(p)["kind"] == kind)
    with pytest.raises(jsonschema.ValidationError, match="nonsense"):
        jsonschema.Draft202012Validator(schema).validate({**plain(path), "nonsense": 1})


def test_schemas_are_written_for_editors(tmp_path: Path) -> None:
    written = write_schemas(tmp_path / "schemas")
    assert [p.name for p in written] == [f"{kind}.schema.json" for kind in TYPES]
    assert json.loads(written[0].read_text())["$schema"].endswith("2020-12/schema")
    with pytest.raises(SpecError, match="Did you mean 'survey'"):
        json_schema("surveys")


def test_survey_has_the_fifteen_scales_and_a_marker() -> None:
    survey = load_survey("lima2026")
    expected = {
        "NR": 4, "PE": 5, "RE": 4, "PC": 5, "TV": 4, "RR": 6, "EQ": 5, "BT": 6, "DE": 5,
        "PX": 5, "RG": 4, "AU": 4, "LG": 4, "DA": 4, "OE": 4, "MK": 3,
    }  # fmt: skip
    assert {code: len(survey.items(code)) for code in survey.scales} == expected
    assert list(survey.scales) == list(expected)
    assert survey.marker == "MK"
    assert len(survey.attention_checks) == 2
    assert survey.notice == "draft, not validated"
    for code in survey.scales:
        assert all(item.startswith(code.lower()) for item in survey.items(code))
        assert survey.scales[code].sources
        assert survey.scales[code].definition


def test_reversed_items_are_at_most_one_in_a_scale_and_never_first() -> None:
    survey = load_survey("lima2026")
    reverse = survey.reverse_items()
    assert set(reverse) == {"nr4", "pe5", "pc5", "eq5", "bt4", "de5", "px5", "au4"}
    assert len({survey.scale_of(item) for item in reverse}) == len(reverse)
    assert not {survey.items(code)[0] for code in survey.scales} & set(reverse)


def test_facets_with_two_items_where_they_carry_a_second_order_factor() -> None:
    survey = load_survey("lima2026")
    for scale in ("RR", "BT"):
        assert [len(items) for items in survey.facet_items(scale).values()] == [2, 2, 2]


def test_do_not_know_is_missing_and_not_the_midpoint() -> None:
    survey = load_survey("lima2026")
    assert survey.range_of("nr1") == (1, 7)
    assert 8 in survey.missing_codes("nr1")


def test_model_declares_the_ten_propositions() -> None:
    model = load_model("lima2026")
    paths = {p.id: p.path for p in model.propositions}
    assert paths == {
        "P1": "NR -> PC", "P2": "PE -> TV", "P3": "RE -> PC", "P4": "PC -> RR", "P5": "TV -> EQ", "P6": "RR -> BT",
        "P7": "PC -> BT", "P8": "BT -> DE", "P9": "PC x PX -> RR", "P10": None,
    }  # fmt: skip
    assert [(c.steps, sign) for c, sign in model.proposition("P10").claims()] == [
        (("RG", "AU"), "-"),
        (("RG", "LG"), "+"),
    ]
    assert {p.id for p in model.propositions if model.absent(p)} == {"P10"}  # RG: the level of the group stands for it
    assert {p.id for p in model.propositions if p.needs} == {"P9", "P10"}
    assert len(model.items()) == 44


@pytest.mark.parametrize("rival", [None, *load_model("lima2026").rivals])
def test_model_and_rivals_are_valid_lavaan_text(rival: str | None) -> None:
    model = load_model("lima2026")
    text = model.syntax(rival=rival)
    assert build_table(parse_model(text)).nfree > 0
    assert text == load_model("lima2026").syntax(rival=rival)
    assert (rival is None) or text != model.syntax()


def test_rivals_that_add_a_path_cost_one_degree_of_freedom_each() -> None:
    # Without an explicit EQ ~~ DE, lavaan's default would drop it from eq_to_bt: the models would not be nested.
    model = load_model("lima2026")
    free = {
        rival: build_table(parse_model(model.syntax(rival=rival))).nfree
        for rival in (None, "tv_to_pc", "eq_to_bt", "full_mediation", "common_method")
    }
    base = free.pop(None)
    assert {rival: count - base for rival, count in free.items()} == {
        "tv_to_pc": 1,
        "eq_to_bt": 1,
        "full_mediation": -1,
        "common_method": 1,
    }


def test_rivals_differ_from_the_model_as_they_say() -> None:
    model = load_model("lima2026")
    main = set(model.syntax().split("\n"))
    assert set(model.syntax(rival="tv_to_pc").split("\n")) - main == {"PC ~ TV"}
    assert set(model.syntax(rival="eq_to_bt").split("\n")) - main == {"BT ~ EQ"}
    assert main - set(model.syntax(rival="full_mediation").split("\n")) == {"BT ~ RR + PC"}
    assert {"OE ~ PC", "DE ~ OE"} < set(model.syntax(rival="echo").split("\n")) - main
    assert model.syntax(rival="one_factor").count("=~") == 1
    assert model.syntax(rival="common_method").count("1*") == 44
