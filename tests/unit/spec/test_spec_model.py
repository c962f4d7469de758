from __future__ import annotations

from pathlib import Path

import pytest

from b2b_sem.errors import SpecError
from b2b_sem.spec.base import FitSettings
from b2b_sem.spec.loader import load_model, load_survey
from b2b_sem.spec.model import ClaimPath, ModelSpec

MODEL = """\
kind: model
schema_version: 1
id: m
title: T
survey: ./s.yaml
measurement:
  X: {scale: X}
  M: {items: [m1, m2]}
  Y: {scale: Y, second_order: facets}
structural: |
  # effects
  M ~ a*X
  Y ~ b*M + c*X
covariances: |
  m1 ~~ m2
  ind := a*b
covariates: {age: [Y]}
options: {std_lv: true, estimator: ML}
propositions:
  - {id: H1, statement: s, path: X -> M, sign: "+"}
  - {id: H2, statement: s, path: X -> M -> Y, sign: "-", test: indirect}
  - {id: H3, statement: s, path: M x Z -> Y, sign: "+", test: moderation, needs: scale Z}
rivals:
  direct: {title: t, why: w, remove: [Y ~ M], add: [m1 ~~ x1]}
  extra: {title: t, why: w, measurement: {Z: {scale: Z}}, add: [Y ~ Z]}
  other: {title: t, why: w, structural: X ~ Y + M}
  one: {title: t, why: w, form: one_factor}
  method: {title: t, why: w, form: common_method}
"""

SURVEY = """\
kind: survey
schema_version: 1
id: s
title: T
format: {high: 7}
scales:
  X: {name: x, items: {x1: a, x2: b, x3: {text: c, dropped_because: d}}}
  M: {name: m, items: {m1: a, m2: b}}
  Y: {name: y, facets: {p: P, q: Q}, items: {y1: {text: a, facet: p}, y2: {text: b, facet: q}, y3: {text: c, facet: p}}}
  Z: {name: z, items: {z1: a, z2: b}}
facts:
  age: {label: age, type: number}
"""

MEASUREMENT = "X =~ x1 + x2\nM =~ m1 + m2\nY_p =~ y1 + y3\nY_q =~ y2\nY =~ Y_p + Y_q\n"


@pytest.fixture
def model(tmp_path: Path) -> ModelSpec:
    (tmp_path / "s.yaml").write_text(SURVEY)
    (tmp_path / "m.yaml").write_text(MODEL)
    return load_model(tmp_path / "m.yaml")


def test_syntax_of_the_main_model(model: ModelSpec) -> None:
    assert model.syntax() == (MEASUREMENT + "M ~ a*X\nY ~ b*M + c*X\nY ~ age\nm1 ~~ m2\nind := a*b")


def test_names(model: ModelSpec) -> None:
    assert model.latents == ("X", "M", "Y")
    assert model.items() == ("x1", "x2", "m1", "m2", "y1", "y3", "y2")
    assert model.items_of("Y") == ("y1", "y3", "y2")
    assert model.regressions() == (("M", "X"), ("Y", "M"), ("Y", "X"), ("Y", "age"))
    assert model.options.stated() == {"estimator": "ML", "std_lv": True}
    with pytest.raises(SpecError, match=r"no latent 'x'\. Did you mean 'X'"):
        model.items_of("x")


def test_rival_removes_and_adds(model: ModelSpec) -> None:
    assert model.syntax(rival="direct") == (MEASUREMENT + "M ~ a*X\nY ~ c*X\nY ~ age\nm1 ~~ m2\nind := a*b\nm1 ~~ x1")


def test_rival_with_one_more_latent(model: ModelSpec) -> None:
    text = model.syntax(rival="extra")
    assert text.startswith(MEASUREMENT + "Z =~ z1 + z2\nM ~ a*X")
    assert text.endswith("Y ~ Z")
    assert "z1" in model.items(rival="extra")


def test_rival_with_another_structure(model: ModelSpec) -> None:
    assert model.syntax(rival="other") == MEASUREMENT + "X ~ Y + M\nY ~ age\nm1 ~~ m2\nind := a*b"


def test_one_factor_takes_every_item(model: ModelSpec) -> None:
    assert model.syntax(rival="one") == "G =~ x1 + x2 + m1 + m2 + y1 + y3 + y2"


def test_method_factor_is_uncorrelated_with_every_exogenous_latent(model: ModelSpec) -> None:
    lines = model.syntax(rival="method").split("\n")
    assert lines[-3:] == [
        "CMF =~ 1*x1 + 1*x2 + 1*m1 + 1*m2 + 1*y1 + 1*y3 + 1*y2",
        "CMF ~~ NA*CMF",
        "CMF ~~ 0*X",
    ]


def test_unknown_rival(model: ModelSpec) -> None:
    with pytest.raises(SpecError, match=r"no rival 'drect'\. Did you mean 'direct'"):
        model.syntax(rival="drect")


def test_claims(model: ModelSpec) -> None:
    indirect = model.proposition("H2")
    ((claim, sign),) = indirect.claims()
    assert (claim.steps, claim.regressions, sign) == (("X", "M", "Y"), (("M", "X"), ("Y", "M")), "-")
    moderation = model.proposition("H3")
    assert moderation.claims()[0][0] == ClaimPath(("M", "Y"), "Z")
    assert model.absent(moderation) == ("Z",)
    assert model.absent(indirect) == ()
    with pytest.raises(SpecError, match="no proposition 'H9'"):
        model.proposition("H9")


@pytest.mark.parametrize("text", ["", "X", "X -> ", "X y -> Z", "X -> Y x M", "1 -> 2", "X->Y->"])
def test_unreadable_claims(text: str) -> None:
    with pytest.raises(ValueError, match="write 'A -> B'"):
        ClaimPath.parse(text)


def test_claim_without_blanks() -> None:
    assert ClaimPath.parse("X->Y").steps == ("X", "Y")


def test_scale_needs_a_survey(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("kind: model\nschema_version: 1\nid: m\ntitle: T\nmeasurement: {X: {scale: X}}\n")
    with pytest.raises(SpecError, match="a survey is needed: X is measured by scale 'X'"):
        load_model(path).syntax()


def test_dropped_item_cannot_be_used(model: ModelSpec, tmp_path: Path) -> None:
    path = tmp_path / "n.yaml"
    path.write_text(
        "kind: model\nschema_version: 1\nid: n\ntitle: T\nsurvey: s.yaml\nmeasurement: {X: {items: [x1, x3]}}\n"
    )
    with pytest.raises(SpecError, match="item 'x3' is dropped in the survey 's': d"):
        load_model(path)


def test_plain_lavaan_file(tmp_path: Path) -> None:
    path = tmp_path / "my model.lav"
    text = "# a comment\nX =~ x1 + x2\nY =~ y1 + y2\nY ~ X\n"
    path.write_text(text)
    model = load_model(path)
    assert model.id == "my-model"
    assert model.text == text
    assert model.syntax() == text
    assert model.latents == ("X", "Y")
    assert model.items() == ("x1", "x2", "y1", "y2")
    assert model.regressions() == (("Y", "X"),)
    assert model.propositions == ()
    assert model.source == path


def test_lavaan_text_is_checked_against_a_survey(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SURVEY)
    path = tmp_path / "m.lav"
    path.write_text("X =~ x1 +\n  xx2\n")
    with pytest.raises(SpecError) as caught:
        load_model(path, survey=load_survey(tmp_path / "s.yaml"))
    assert (caught.value.line, caught.value.column) == (2, 3)
    assert "has no item 'xx2'. Did you mean 'x2'" in caught.value.message


def test_lavaan_text_with_propositions_and_rivals(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "kind: model\nschema_version: 1\nid: m\ntitle: T\n"
        "text: |\n  X =~ x1 + x2\n  Y =~ y1 + y2\n  Y ~ X\n"
        'propositions:\n  - {id: H1, statement: s, path: X -> Y, sign: "+"}\n'
        "rivals:\n  none: {title: t, why: w, remove: [Y ~ X]}\n"
    )
    assert load_model(path).syntax(rival="none") == "X =~ x1 + x2\nY =~ y1 + y2"


def test_settings_fill_gaps_only() -> None:
    merged = FitSettings(estimator="MLR").over(FitSettings(estimator="ML", std_lv=True))
    assert merged.stated() == {"estimator": "MLR", "std_lv": True}


def test_model_can_be_tied_to_another_survey(model: ModelSpec) -> None:
    free = model.with_survey(None)
    assert free.survey_spec is None
    assert model.survey_spec is not None


def test_positions_of_the_diagram_name_variables_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SURVEY)
    places = "diagram: {positions: {X: [1, 2.5], age: [3, 4], Z: [0, -1], Y_p: [1, 1]}}\n"
    (tmp_path / "m.yaml").write_text(MODEL + places)
    assert load_model(tmp_path / "m.yaml").diagram.positions["X"] == (1.0, 2.5)
    for wrong, message in (
        ("XX: [1, 2]", "no variable 'XX' to place"),
        ("X: [1]", "positions"),
        ("X: [a, b]", "positions"),
    ):
        (tmp_path / "m.yaml").write_text(MODEL + f"diagram: {{positions: {{{wrong}}}}}\n")
        with pytest.raises(SpecError, match=message):
            load_model(tmp_path / "m.yaml")
