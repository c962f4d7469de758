"""The measurement model of all waves: names, equal parameters, identification, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.wave import WaveModel, wave_model

MODEL = "F =~ x1 + x2 + x3"
WAVES: dict[str, Any] = {"T1": "_t1", "T2": "_t2"}
WHOLE = "dem60 =~ y1 + y2 + y3\ndem65 =~ y5 + y6 + y7"


def made(text: str = MODEL, waves: Any = None, **options: Any) -> WaveModel:
    return wave_model(parse_model(text), WAVES if waves is None else waves, **options)


def test_first_model_has_the_pattern_of_each_wave() -> None:
    assert made().text().splitlines() == [
        "F_t1 =~ x1_t1",
        "F_t1 =~ x2_t1",
        "F_t1 =~ x3_t1",
        "F_t2 =~ x1_t2",
        "F_t2 =~ x2_t2",
        "F_t2 =~ x3_t2",
        "x1_t1 ~~ x1_t2",
        "x2_t1 ~~ x2_t2",
        "x3_t1 ~~ x3_t2",
    ]
    assert "~~" not in made(correlated=False).text()


def test_each_kind_of_equality_and_what_it_identifies() -> None:
    table = build_table(
        parse_model(made().text(("loadings", "intercepts", "residuals"), ("F=~x2", "x2~1", "x3~~x3"))),
        meanstructure=True,
        std_lv=True,
    )
    number = {r.name: r.free for r in table.rows}
    equal = {(a, b) for a in number for b in number if a < b and number[a] == number[b] and number[a] and a != b}
    assert equal == {
        ("F_t1=~x1_t1", "F_t2=~x1_t2"),
        ("F_t1=~x3_t1", "F_t2=~x3_t2"),
        ("x1_t1~1", "x1_t2~1"),
        ("x3_t1~1", "x3_t2~1"),
        ("x1_t1~~x1_t1", "x1_t2~~x1_t2"),
        ("x2_t1~~x2_t1", "x2_t2~~x2_t2"),
    }
    assert (number["F_t1~~F_t1"], number["F_t1~1"]) == (0, 0)
    assert number["F_t2~~F_t2"]
    assert number["F_t2~1"]


def test_variances_are_free_with_loadings_and_means_with_intercepts() -> None:
    assert made().text(("loadings",)).splitlines()[-1] == "F_t2 ~~ NA*F_t2"
    assert made().text(("loadings", "intercepts")).splitlines()[-1] == "F_t2 ~ NA*1"


@pytest.mark.parametrize(
    ("rules", "columns"),
    [
        ({"a": "t1_{}", "b": "t2_{}"}, {"x1": ("t1_x1", "t2_x1")}),
        ({"a": "", "b": ".2"}, {"x1": ("x1", "x1.2")}),
        ({"a": ["p", "q", "r"], "b": ("s", "t", "u")}, {"x1": ("p", "s"), "x3": ("r", "u")}),
        ({"a": {"x3": "p", "x1": "q", "x2": "r"}, "b": "_b"}, {"x1": ("q", "x1_b"), "x3": ("p", "x3_b")}),
        ({2019: "_19", 2020: "_20", 2021: "_21"}, {"x2": ("x2_19", "x2_20", "x2_21")}),
    ],
)
def test_rules(rules: Any, columns: dict[str, tuple[str, ...]]) -> None:
    found = made(waves=rules)
    assert found.labels == tuple(map(str, rules))
    assert {item: found.items[item] for item in columns} == columns


def test_a_latent_variable_does_not_take_the_name_of_a_column() -> None:
    columns = ["F_t1", "F_t2", *(f"x{k}_t{t}" for k in (1, 2, 3) for t in (1, 2))]
    assert made(columns=columns).latents == {"F": ("F_t1_", "F_t2_")}


def test_labels_that_are_no_names_make_names() -> None:
    rules = {"at first": ["p", "q", "r"], "half a year on": ["s", "t", "u"]}
    assert made(waves=rules).latents == {"F": ("F_at_first", "F_half_a_year_on")}


def test_a_model_of_all_waves() -> None:
    found = made(f"{WHOLE}\nind =~ z1 + z2\ny1 ~~ y5\ny2 ~~ y3\ndem65 ~ dem60", {"dem": ["dem60", "dem65"]})
    assert found.labels == ("dem60", "dem65")
    assert found.items == {"y1": ("y1", "y5"), "y2": ("y2", "y6"), "y3": ("y3", "y7")}
    lines = found.text(("loadings",)).splitlines()
    assert lines.count("y1 ~~ y5") == 1
    assert "y2 ~~ y6" in lines
    assert "dem65 =~ loading.y2*y6" in lines
    assert "ind =~ z1" in lines
    assert any("left out: dem65 ~ dem60" in n for n in found.notes)
    assert any("Asked once, with parameters of their own: ind" in n for n in found.notes)


def test_two_scales_have_numbered_waves() -> None:
    text = "a1 =~ p + q\nb1 =~ r + s\na2 =~ t + u\nb2 =~ v + w"
    found = made(text, {"A": ["a1", "a2"], "B": ["b1", "b2"]})
    assert found.labels == ("1", "2")
    assert found.items["r"] == ("r", "v")


def test_crossed_items_have_two_loadings_and_one_intercept() -> None:
    found = made("F =~ x1 + x2 + x3\nG =~ y1 + y2 + x3")
    assert [s.parameter for s in found.shared("loadings") if s.item == "x3"] == ["F=~x3", "G=~x3"]
    crossed = next(s for s in found.shared("intercepts") if s.item == "x3")
    assert crossed.latents == ("F", "G")
    labels = [s.label for s in found.shared("loadings")]
    assert len(set(labels)) == len(labels)


def test_fixed_values_stay_and_are_not_tested() -> None:
    found = made("F =~ x1 + 0.8*x2 + x3\nx3 ~~ 0.5*x3\nx1 ~~ x2")
    lines = found.text(("loadings", "intercepts", "residuals")).splitlines()
    assert "F_t2 =~ 0.8*x2_t2" in lines
    assert "x3_t1 ~~ 0.5*x3_t1" in lines
    assert "x1_t2 ~~ x2_t2" in lines
    assert [s.parameter for s in found.shared("loadings")] == ["F=~x1", "F=~x3"]
    assert [s.parameter for s in found.shared("residuals")] == ["x1~~x1", "x2~~x2"]


def test_an_item_alone_has_no_residual() -> None:
    found = made("F =~ x1 + x2 + x3\nG =~ z")
    assert "z_t1 ~~ z_t2" not in found.text()
    assert "z~~z" not in [s.parameter for s in found.shared("residuals")]


@pytest.mark.parametrize(
    ("waves", "message"),
    [
        (["_t1", "_t2"], "waves is"),
        ("_t1", "waves is"),
        ({}, "there are no waves"),
        ({"T1": "_t1"}, "there is one wave"),
        ({"T1": "_t1", "T2": "_t1"}, "column 'x1_t1' is item 'x1' of wave T1 and item 'x1' of wave T2"),
        ({"T1": "_t1", "T2": ["a", "b"]}, "wave T2 has 2 columns, but the model has 3 items"),
        ({"T1": "_t1", "T2": {"x1": "a", "x2": "b"}}, "wave T2 has no column for x3"),
        ({"T1": "_t1", "T2": {"x1": "a", "x2": "b", "x4": "c"}}, "names 'x4', which is no item of the model"),
        ({"T1": "_t1", "T2": 2}, "wave T2 is 2"),
        ({"T1": "_t1", "T2": "-t2"}, "'x1-t2' cannot stand in a model"),
    ],
)
def test_rules_that_name_no_columns(waves: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(waves=waves)


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(DataError, match=r"wave T2: item 'x3' would be in column 'x3_t2'.*Did you mean 'x3_t1'"):
        made(columns=["x1_t1", "x2_t1", "x3_t1", "x1_t2", "x2_t2"])


@pytest.mark.parametrize(
    ("text", "waves", "message"),
    [
        (WHOLE, {"dem": ["dem60"]}, "dem has 1 wave: dem60"),
        (WHOLE, {"dem": ["dem60", "dem60"]}, "named twice"),
        (f"{WHOLE} + y8", {"dem": ["dem60", "dem65"]}, "different numbers of items: dem60 3, dem65 4"),
        ("a =~ p + q + r\nb =~ p + s + t", {"f": ["a", "b"]}, "'p' has another place"),
        (WHOLE, {"y1": ["dem60", "dem65"]}, "has the name of an item"),
        ("a =~ p + q\nb =~ r + s\nc =~ t + u", {"A": ["a", "b"], "C": ["c"]}, "C has 1 wave"),
    ],
)
def test_models_of_all_waves_that_do_not_match(text: str, waves: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(text, waves)


@pytest.mark.parametrize(
    ("text", "waves", "message"),
    [
        ("dem60 =~ y1 + 0.5*y2 + y3\ndem65 =~ y5 + y6 + y7", {"dem": ["dem60", "dem65"]}, "values that differ"),
        ("F =~ x1 + a*x2 + a*x3", WAVES, "label a"),
        ("F =~ x1 + x2 + x3\nx1 | t1", WAVES, "ordinal"),
    ],
)
def test_refused(text: str, waves: Any, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        made(text, waves)


def test_no_latent_variable() -> None:
    with pytest.raises(ModelSyntaxError, match="no latent variable"):
        made("y ~ x")
