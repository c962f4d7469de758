"""Claims on moderation in model files, their models, and products in simulation files."""

from __future__ import annotations

from pathlib import Path

import pytest

from b2b_sem.errors import SpecError
from b2b_sem.spec.loader import load_model, load_simulation, load_study
from b2b_sem.spec.moderation import product_of, read_product
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.product import add_products, linear_part
from b2b_sem.spec.syntax import parse_model

SURVEY = """\
kind: survey
schema_version: 1
id: short
title: Short
format: {low: 1, high: 7}
scales:
  PC: {name: credibility, items: {pc1: one, pc2: two, pc3: three}}
  RR: {name: risk, items: {rr1: one, rr2: two, rr3: three}}
  BT: {name: trust, items: {bt1: one, bt2: two}}
  PX: {name: complexity, items: {px1: one, px2: two, px3: three}}
  RG: {name: regulation, items: {rg1: one, rg2: two, rg3: three, rg4: four}}
  DA: {name: disclosure, items: {da1: one}}
facts:
  experience: {label: experience, type: number, minimum: 0}
  purchase_size: {label: size, type: categorical, categories: {1: small, 2: medium, 3: large}}
  country: {label: country, type: text}
"""
MODEL = """\
kind: model
schema_version: 1
id: short
title: Short
survey: ./survey.yaml
measurement:
  PC: {items: [pc1, pc2, pc3]}
  RR: {items: [rr1, rr2, rr3]}
structural: %s
propositions:
  - {id: P9, statement: Complexity matters., sign: "+", %s}
"""
SIMULATION = """\
kind: simulation
schema_version: 1
id: short
title: Short
model: ./model.yaml
values:
  loadings: {default: 0.8%s}
  paths: {%s}
  interactions: {%s}
facts: {experience: {mean: 11, sd: 4}}
"""
OWN = "test: moderation, path: PC x PX -> RR, measurement: {PX: {items: [px1, px2, px3]}}"


def model(folder: Path, claim: str = OWN, structural: str = "RR ~ PC") -> Path:
    path = folder / "model.yaml"
    (folder / "survey.yaml").write_text(SURVEY, encoding="utf-8")
    path.write_text(MODEL % (structural, claim), encoding="utf-8")
    return path


def simulation(folder: Path, interactions: str, paths: str = "RR ~ PC: 0.5, RR ~ PX: 0.1", loadings: str = "") -> Path:
    path = folder / "sim.yaml"
    path.write_text(SIMULATION % (loadings, paths, interactions), encoding="utf-8")
    return path


def test_the_main_model_stays_as_it_is() -> None:
    main = load_model("lima2026")
    found = main.moderated("P9")
    assert "PX" not in main.syntax()
    assert len(main.items()) == 44
    assert found.text.startswith(main.syntax())
    assert found.text.removeprefix(main.syntax()).strip() == found.added
    assert found.added == "PX =~ px1 + px2 + px3 + px4 + px5\nRR ~ PX\nRR ~ PC:PX"
    assert (found.outcome, found.predictor, found.moderator, found.product) == ("RR", "PC", "PX", "PC:PX")
    assert found.linear == found.text.removesuffix("\nRR ~ PC:PX")
    assert found.items == ("px1", "px2", "px3", "px4", "px5")
    assert not found.observed
    assert not found.in_main
    assert found.sign == "+"
    assert product_of(main.proposition("P9")) == ("RR", "PC", "PX")
    assert product_of(main.proposition("P1")) is None
    parsed = parse_model(found.text)
    table = add_products(build_table(linear_part(parsed), meanstructure=True), parsed)
    covariances = {frozenset((r.lhs, r.rhs)) for r in table.rows if r.op == "~~" and r.free}
    assert frozenset(("NR", "PX")) in covariances
    rows = [(r.lhs, r.rhs) for r in table.rows if r.op == "~" and r.lhs == "RR"]
    assert rows == [("RR", "PC"), ("RR", "PX"), ("RR", "PC:PX")]


@pytest.mark.parametrize(
    ("claim", "structural", "added", "observed"),
    [
        ("test: moderation, path: PC x experience -> RR", "RR ~ PC", "RR ~ experience\nRR ~ PC:experience", True),
        (OWN, "PC ~~ RR", "PX =~ px1 + px2 + px3\nRR ~ PC + PX\nRR ~ PC:PX", False),
        (
            "test: moderation, path: PC x RG -> RR, measurement: {RG: {scale: RG}}",
            "RR ~ PC",
            "RG =~ rg1 + rg2 + rg3 + rg4\nRR ~ RG\nRR ~ PC:RG",
            False,
        ),
        ("test: moderation, path: PC x PC -> RR", "RR ~ PC", "RR ~ PC:PC", False),
        ("test: moderation, path: PC x PC -> RR", "RR ~ PC + PC:PC", "", False),
    ],
)
def test_what_a_claim_adds(tmp_path: Path, claim: str, structural: str, added: str, observed: bool) -> None:
    found = load_model(model(tmp_path, claim, structural)).moderated("P9")
    assert found.added == added
    assert found.observed is observed
    assert found.in_main is (added == "")


def test_a_product_of_the_model_keeps_its_name(tmp_path: Path) -> None:
    claim = "test: moderation, path: PC x RR -> BT"
    path = model(tmp_path, claim, "BT ~ PC + RR + RR:PC")
    text = path.read_text(encoding="utf-8").replace("measurement:\n", "measurement:\n  BT: {items: [bt1, bt2]}\n", 1)
    path.write_text(text, encoding="utf-8")
    found = load_model(path).moderated("P9")
    assert found.product == "RR:PC"
    assert found.in_main
    assert "BT ~ PC + RR" in found.linear.splitlines()


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("test: moderation, path: PC x PX -> RR", "P9 names 'PX', which the model does not measure"),
        ("test: moderation, path: PC x XP -> RR", "P9 names 'XP', which neither the model nor the survey has"),
        ("test: moderation, path: PC x purchase_size -> RR", "fact 'purchase_size' is not a number"),
        ("test: moderation, path: PC x country -> RR", "fact 'country' is not a number"),
        ("test: moderation, path: PC -> RR", "has a path of the form 'A x M -> B'"),
        (OWN.replace("PC x", "NR x"), "P9 names 'NR', which the model does not measure"),
        (f"{OWN}, mediators: [PX]", "P9 has 'mediators', but its test is 'moderation'"),
        (f"{OWN}, structural: RR ~ PX", "P9 has 'structural', but its test is 'moderation'"),
        (OWN.replace("PX: {items", "DA: {items: [da1]}, PX: {items"), "'DA' is no part of the path of P9"),
        (OWN.replace("px3", "pc3"), "pc3 measures a latent of the main model, too"),
        ("test: path, path: PC -> RR, measurement: {PX: {scale: PX}}", "P9 has 'measurement', but its test is 'path'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, claim: str, message: str) -> None:
    with pytest.raises(SpecError, match=r"P9|fact|is no part|latent|moderation") as caught:
        load_model(model(tmp_path, claim))
    assert message in str(caught.value)
    assert caught.value.line is not None


def test_the_hint_says_how_to_measure_the_moderator(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_model(model(tmp_path, "test: moderation, path: PC x PX -> RR"))
    assert "measurement: {PX: {scale: PX}}" in str(caught.value)
    # a claim that says what it needs may be declared without
    kept = load_model(model(tmp_path, 'test: moderation, path: PC x PX -> RR, needs: "the scale PX"'))
    assert kept.absent(kept.proposition("P9")) == ("PX",)


def test_products_are_read() -> None:
    assert read_product("RR ~ PX:PC") == ("RR", "PC", "PX")
    assert read_product("RR ~ PC") is None
    assert read_product("RR ~ a*PC:PX") is None
    assert read_product("RR ~ PC:PX:NR") is None


def test_a_population_with_a_product_has_the_moderator(tmp_path: Path) -> None:
    model(tmp_path)
    spec = load_simulation(simulation(tmp_path, "RR ~ PX:PC: 0.2"))
    assert spec.model_spec is not None
    assert spec.claimed(spec.model_spec) == ("P9",)
    assert spec.latents(spec.model_spec) == ("PC", "RR", "PX")
    assert spec.added_last(spec.model_spec) == {"PX"}
    assert spec.products() == {("RR", "PC", "PX"): 0.2}
    without = load_simulation(simulation(tmp_path, "", "RR ~ PC: 0.5"))
    assert without.model_spec is not None
    assert without.latents(without.model_spec) == ("PC", "RR")


@pytest.mark.parametrize(
    ("interactions", "paths", "loadings", "message"),
    [
        ("RR ~ PC:PX: 0.2", "RR ~ PC: 0.5", "", "no value for RR ~ PX"),
        ("RR ~ PC:NR: 0.2", "RR ~ PC: 0.5", "", "neither the model 'short' nor its propositions have the product"),
        ("RR ~ PX: 0.2", "RR ~ PC: 0.5", "", "cannot read 'RR ~ PX'"),
        ("RR ~ PC:PX: 0.2, RR ~ PX:PC: 0.2", "RR ~ PC: 0.5, RR ~ PX: 0", "", "states the same value as 'RR ~ PC:PX'"),
        ("", "RR ~ PC: 0.5", ", scales: {PX: 0.7}", "Give the effect of its product under 'interactions'"),
        ("", "RR ~ PC: 0.5, RR ~ PC:PX: 0.2", "", "Effects of products stand under 'interactions'"),
    ],
)
def test_wrong_products_of_populations(
    tmp_path: Path, interactions: str, paths: str, loadings: str, message: str
) -> None:
    model(tmp_path)
    with pytest.raises(SpecError) as caught:
        load_simulation(simulation(tmp_path, interactions, paths, loadings))
    assert message in str(caught.value)
    assert caught.value.line is not None


def test_every_product_of_the_model_needs_a_value(tmp_path: Path) -> None:
    model(tmp_path, "path: PC -> RR", "RR ~ PC + PC:PC")
    with pytest.raises(SpecError, match="no value for RR ~ PC:PC"):
        load_simulation(simulation(tmp_path, "", "RR ~ PC: 0.5"))
    assert load_simulation(simulation(tmp_path, "RR ~ PC:PC: 0.1", "RR ~ PC: 0.5")).products()


def test_studies_that_ask_for_moderation(tmp_path: Path) -> None:
    text = "kind: study\nschema_version: 1\nid: s\ntitle: S\nmodel: ./model.yaml\ndata: {%s}\nanalyses: [fit, %s]\n"
    model(tmp_path)
    (tmp_path / "d.csv").write_text("a\n1\n", encoding="utf-8")
    path = tmp_path / "study.yaml"

    def load(data: str, analysis: str):  # type: ignore[no-untyped-def]
        path.write_text(text % (data, analysis), encoding="utf-8")
        return load_study(path)

    assert load("file: d.csv", "moderation").routes is None
    assert load("file: d.csv", "moderation").steps == ("fit", "moderation")
    assert load("file: d.csv", "moderation: [scores, dmc-all]").routes == ("scores", "dmc-all")
    assert load("file: d.csv", "moderation: []").routes == ()
    with pytest.raises(SpecError, match="Did you mean 'scores'"):
        load("file: d.csv", "moderation: [score]")
    with pytest.raises(SpecError, match="a covariance matrix does not hold products of answers"):
        load("covariance: d.csv, n: 20", "moderation")
    model(tmp_path, "path: PC -> RR")
    with pytest.raises(SpecError, match="declares no proposition on a moderation"):
        load("file: d.csv", "moderation")
