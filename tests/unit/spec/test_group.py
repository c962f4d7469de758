"""Parameters of several groups: equality, freeing, blocks, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.syntax import parse_model

MODEL = "f =~ x1 + x2 + x3\n"


def table(text: str = MODEL, groups: tuple[str, ...] = ("men", "women"), **options: Any) -> ParameterTable:
    return build_table(parse_model(text), groups=groups, **options)


def numbers(found: ParameterTable, name: str) -> list[int]:
    return [r.free for r in found.rows if r.name == name]


def test_groups_stand_one_after_the_other() -> None:
    found = table()
    assert found.groups == ("men", "women")
    assert found.meanstructure
    assert [r.group for r in found.rows] == sorted(r.group for r in found.rows)
    names = [r.full_name for r in found.rows]
    assert len(set(names)) == len(names)
    assert found.rows[-1].full_name == "f~1.g2"
    assert found.nfree == 18


def test_one_group_is_a_plain_table() -> None:
    assert table(groups=("all",)) == build_table(parse_model(MODEL))
    assert build_table(parse_model(MODEL)).part(1) == build_table(parse_model(MODEL))


def test_a_part_shares_the_numbers_of_the_whole() -> None:
    found = table(group_equal=("loadings",))
    part = found.part(2)
    assert part.groups == ()
    assert part.nfree == found.nfree
    assert part.observed == found.observed
    assert [r.name for r in part.rows] == [r.name for r in found.part(1).rows]
    assert numbers(part, "f=~x2") == numbers(found.part(1), "f=~x2")
    assert numbers(part, "x2~~x2") != numbers(found.part(1), "x2~~x2")


def test_notes_say_what_is_equal_and_what_that_frees() -> None:
    notes = " ".join(table(group_equal=("intercepts", "loadings"), group_partial=("x2 ~ 1",), std_lv=True).defaults)
    assert "Equal in all groups: loadings, intercepts, except x2~1." in notes
    assert "Means of latent variables are free in all groups but the first: f." in notes
    assert "Variances are free in all groups but the first: f." in notes
    assert "Labels given once hold in all groups" in " ".join(table("f =~ x1 + a*x2 + x3").defaults)


def test_a_parameter_that_is_exempt_may_be_written_either_way_round() -> None:
    text = MODEL + "x1 ~~ x2"
    for name in ("x1~~x2", "x2 ~~ x1"):
        a, b = numbers(table(text, group_equal=("residual.covariances",), group_partial=(name,)), "x1~~x2")
        assert a != b
    a, b = numbers(table(text, group_equal=("residual.covariances",)), "x1~~x2")
    assert a == b


def test_definitions_use_labels_of_all_groups() -> None:
    found = table("f =~ x1 + c(a, b)*x2 + x3\nd := a - b")
    assert [c.name for c in found.definitions] == ["d"]
    assert found.part(1).definitions == ()
    with pytest.raises(ModelSyntaxError, match="'bb' is not the label"):
        table("f =~ x1 + c(a, b)*x2 + x3\nd := a - bb")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"group_equal": ("loading",)}, Unsupported, "Did you mean 'loadings'"),
        ({"group_equal": ("composite.loadings",)}, Unsupported, "is not available"),
        ({"group_equal": ("thresholds",)}, Unsupported, "needs ordinal items"),
        ({"group_equal": ("loadings",), "group_partial": ("f=~x9",)}, ModelSyntaxError, "names no parameter"),
        ({"group_equal": ("loadings",), "groups": ()}, DataError, "there is one"),
        ({"group_partial": ("f=~x2",), "groups": ()}, DataError, "there is one"),
    ],
)
def test_what_cannot_be_equal_is_refused(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        table(**options)


@pytest.mark.parametrize("term", ["c(a, b, c)*x2", "c(1, 2, 3)*x2", "start(1, 2, 3)*x2", "lower(0, 1, 2)*x2"])
def test_a_wrong_number_of_values_names_the_place(term: str) -> None:
    with pytest.raises(ModelSyntaxError, match="modifiers for 3 groups, but there are 2") as info:
        table(f"f =~ x1 + {term} + x3")
    assert (info.value.line, info.value.column) == (1, 11 + term.index("x2"))
    with pytest.raises(ModelSyntaxError, match="but there is one"):
        build_table(parse_model(f"f =~ x1 + {term} + x3"))


def test_equal_is_refused_with_groups() -> None:
    with pytest.raises(Unsupported, match="equal"):
        table('f =~ x1 + x2 + equal("f=~x2")*x3')


BLOCKS = "group: women\nf =~ x1 + a*x2 + x3\n\nGROUP : men\nf =~ x1 + a*x2 + x3\nx1 ~~ x2\nd := 2*a"


def test_blocks_go_to_the_group_they_name() -> None:
    found = table(BLOCKS)
    assert numbers(found.part(1), "x1~~x2")
    assert not numbers(found.part(2), "x1~~x2")
    assert len(set(numbers(found, "f=~x2"))) == 1
    assert [c.name for c in found.definitions] == ["d"]
    again = table(BLOCKS.replace("women", "2").replace("GROUP : men", 'group: "1"'))
    key = [(r.full_name, r.free, r.value) for r in found.rows]
    assert [(r.full_name, r.free, r.value) for r in again.rows] == key


def test_numbers_and_labels_of_blocks_are_told_apart() -> None:
    text = "group: 1\nf =~ x1 + x2 + x3\ngroup: {}\nf =~ x1 + x2 + x3\nx1 ~~ x2"
    # numbers in order, though one of them is the label of another group
    assert numbers(table(text.format(2), groups=("0", "1")).part(2), "x1~~x2")
    assert numbers(table(text.format(0), groups=("0", "1")).part(1), "x1~~x2")
    assert numbers(table(text.format(2), groups=("1", "2")).part(2), "x1~~x2")
    with pytest.raises(ModelSyntaxError, match="may be numbers or labels"):
        table(text.format(2), groups=("2", "1"))


def test_latents_of_a_part_are_those_it_measures() -> None:
    found = table("group: 1\nf =~ x1 + x2 + x3 + x4\ngroup: 2\nf =~ x1 + x2\ng =~ x3 + x4")
    assert found.latents == ("f", "g")
    assert found.part(1).latents == ("f",)
    assert found.part(2).latents == ("f", "g")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("group: 1\ny ~ x\ngroup: 3\ny ~ x", "'group: 3' names no group"),
        ("group: 1\ny ~ x\ngroup: men\ny ~ x", "'group: 1' names no group"),
        ("group: 1\ny ~ x", "no block for women"),
        ("group:\ny ~ x", "names no group"),
        ("y ~ x\ngroup: 1\ny ~ x\ngroup: 2\ny ~ x", "before the first block"),
        ("group: 1\ny ~ x\ngroup: 2\n+ z", "has no operator"),
        ("group: 1\ny ~ x\ngroup: 1\ny ~ x\ngroup: 2\ny ~ x", "given twice"),
    ],
)
def test_blocks_that_do_not_fit_are_named(text: str, said: str) -> None:
    with pytest.raises(ModelSyntaxError, match=said):
        table(text)


def test_blocks_need_groups() -> None:
    with pytest.raises(ModelSyntaxError, match="there is one group"):
        build_table(parse_model("group: 1\ny ~ x"))


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("group: 1\ny ~ x\ngroup: 2\ny ~ z", {}, "differ in their observed variables: x, z"),
        ("group: 1\ny ~ x\ngroup: 2\nx ~ y", {}, "differ in their variables that only predict"),
        (f"group: 1\n{MODEL}group: 2\n{MODEL}", {"group_equal": ("intercepts",)}, "does not free"),
        (f"group: 1\n{MODEL}group: 2\n{MODEL}", {"group_equal": ("loadings",), "std_lv": True}, "does not free"),
    ],
)
def test_blocks_that_are_not_available(text: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        table(text, **options)


@pytest.mark.parametrize("options", [{}, {"group_equal": ("loadings", "intercepts")}, {"std_lv": True}])
def test_the_text_of_a_table_gives_the_table(options: dict[str, Any]) -> None:
    found = table("f =~ x1 + c(a, b)*x2 + x3\nd := a - b", **options)
    again = table(found.to_lavaan())
    key = {(r.full_name, r.free > 0, r.value) for r in found.rows}
    assert {(r.full_name, r.free > 0, r.value) for r in again.rows} == key
    assert again.nfree == found.nfree
