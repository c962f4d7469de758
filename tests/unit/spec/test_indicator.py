"""Product indicators: which products, loadings and residual covariances a model gets."""

from __future__ import annotations

import pytest

from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.spec.indicator import expand, observed_products, pairs_of
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model

MODEL = "X =~ x1 + x2 + x3\nM =~ m1 + m2\nY =~ y1 + y2\n"


def rows(text: str, method: str, op: str) -> set[tuple[str, str]]:
    expansion = expand(parse_model(text), method)
    return {(e.lhs, e.rhs) for e in expansion.parsed.entries if e.op == op and (":" in e.lhs or "." in e.lhs + e.rhs)}


def test_matched_pairs_go_as_far_as_the_shorter_list():
    expansion = expand(parse_model(MODEL + "Y ~ X + M + X:M"), "dmc")
    (term,) = expansion.terms
    assert term.columns == ("x1.m1", "x2.m2")
    assert "Items without a partner are in no product: x3." in expansion.notes[0]
    assert rows(MODEL + "Y ~ X + M + X:M", "dmc", "~~") == set()


def test_all_pairs_share_items():
    found = rows(MODEL + "Y ~ X + M + X:M", "dmc-all", "~~")
    assert ("x1.m1", "x1.m2") in found
    assert ("x1.m1", "x2.m1") in found
    assert ("x1.m1", "x2.m2") not in found
    assert len(found) == 3 + 2 * 3


def test_a_square_takes_each_pair_once():
    assert pairs_of(["a", "b"], ["a", "b"], True) == (("a", "a"), ("a", "b"), ("b", "b"))
    assert rows(MODEL + "Y ~ X + X:X", "dmc", "=~") == {("X:X", "x1.x1"), ("X:X", "x2.x2"), ("X:X", "x3.x3")}


def test_products_of_two_interactions_share_items_too():
    found = rows(MODEL + "Y ~ X + M + X:M + X:X", "dmc", "~~")
    assert found == {("x1.m1", "x1.x1"), ("x2.m2", "x2.x2")}


@pytest.mark.parametrize("text", ["Y ~ X + w + X:w", "W =~ w\nY ~ X + W + X:W"])
def test_an_item_without_error_gives_no_residual_covariance(text):
    expansion = expand(parse_model(MODEL + text), "dmc")
    assert expansion.terms[0].columns == ("x1.w", "x2.w", "x3.w")
    assert not rows(MODEL + text, "dmc", "~~")


def test_mean_centred_products_have_means():
    table = build_table(expand(parse_model(MODEL + "Y ~ X + M + X:M"), "mc").parsed)
    known = {(r.lhs, r.op): r for r in table.rows if r.op == "~1"}
    assert known["X:M", "~1"].free
    assert known["x1.m1", "~1"].value == 0.0
    assert known["x2.m2", "~1"].free


def loadings(text: str, method: str = "dmc", groups: tuple[str, ...] = ()) -> dict[str, float | None]:
    table = build_table(expand(parse_model(text), method).parsed, groups=groups)
    return {r.rhs + f"/{r.group}": r.value for r in table.rows if r.lhs == "X:M" and r.op == "=~"}


def test_the_unit_is_that_of_the_fixed_loadings():
    assert loadings(MODEL + "Y ~ X + M + X:M") == {"x1.m1/1": 1.0, "x2.m2/1": None}
    other = "X =~ NA*x1 + 2*x2 + x3\nM =~ NA*m1 + .5*m2\nY =~ y1 + y2\nY ~ X + M + X:M"
    assert loadings(other) == {"x1.m1/1": None, "x2.m2/1": 1.0}
    crossed = "X =~ NA*x1 + 2*x2 + x3\nM =~ 3*m1 + m2\nY =~ y1 + y2\nY ~ X + M + X:M"
    assert loadings(crossed, "dmc-all")["x2.m1/1"] == 6.0
    with pytest.raises(Unsupported, match="has no unit"):
        loadings(crossed)
    groups = "X =~ c(1, 2)*x1 + x2 + x3\nM =~ m1 + m2\nY =~ y1 + y2\nY ~ X + M + X:M"
    assert loadings(groups, groups=("a", "b")) == {"x1.m1/1": 1, "x2.m2/1": None, "x1.m1/2": 2, "x2.m2/2": None}


def test_one_product_has_one_name():
    text = MODEL + "Z =~ z1 + z2\nY ~ X + M + X:M\nZ ~ X + M + c*M:X"
    expansion = expand(parse_model(text), "dmc")
    assert [t.name for t in expansion.terms] == ["X:M"]
    paths = {(e.lhs, e.rhs) for e in expansion.parsed.entries if e.op == "~" and ":" in e.rhs}
    assert paths == {("Y", "X:M"), ("Z", "X:M")}
    assert any("M:X is X:M" in note for note in expansion.notes)


def test_factors_without_a_path_get_one_of_0():
    expansion = expand(parse_model(MODEL + "Y ~ X + X:M"), "dmc")
    assert any(e.lhs == "Y" and e.rhs == "M" and e.modifiers.fixed == (0.0,) for e in expansion.parsed.entries)
    assert any("fixed at 0: Y ~ M" in note for note in expansion.notes)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (MODEL + "Y ~ X + M + X:M + M:X", ModelSyntaxError, "stands twice"),
        ("A =~ x1 + x2\nB =~ x3 + x4\nX =~ A + B\nM =~ m1 + m2\nY =~ y1 + y2\nY ~ X + M + X:M", Unsupported, "lms"),
        (MODEL + "Y ~ X + M + X:M + x1.m1", ModelSyntaxError, "name of a product"),
        ("group: 1\n" + MODEL + "Y ~ X + M + X:M\ngroup: 2\n" + MODEL + "Y ~ X + M + X:M", Unsupported, "blocks"),
    ],
)
def test_refused(text, error, message):
    with pytest.raises(error) as caught:
        expand(parse_model(text), "dmc")
    assert message in str(caught.value)


def test_observed_products_have_no_latent_factor():
    parsed = parse_model(MODEL + "Y ~ X + w + v + X:w + w:v + x1:m1")
    assert [e.rhs for e in observed_products(parsed)] == ["w:v", "x1:m1"]


def test_lavaan_names_have_no_colon():
    table = build_table(expand(parse_model(MODEL + "Y ~ X + M + X:M"), "dmc").parsed)
    text = table.to_lavaan()
    assert "X.M =~ 1*x1.m1" in text
    assert "Y ~ NA*X.M" in text
    assert ":" not in text


def test_constrained_loadings_follow_from_those_of_the_items():
    parsed = expand(parse_model(MODEL + "Y ~ X + M + X:M"), "ca").parsed
    table = build_table(parsed)
    known = {(r.lhs, r.op, r.rhs): r for r in table.rows}
    assert known["X:M", "=~", "x1.m1"].value == 1.0
    assert known["X:M", "~1", ""].free == known["X", "~~", "M"].free > 0
    assert known["X", "~~", "X:M"].value == 0.0
    equations = {c.statement.split(" == ")[0]: c.text for c in parsed.constraints}
    assert equations[known["X:M", "=~", "x2.m2"].label] == ".X.x2.*.M.m2."
    # variance of the product, two residual variances and a loading
    assert len(equations) == 4


def test_constrained_parameters_keep_labels_and_values_of_the_user():
    text = "X =~ 2*x1 + a*x2\nM =~ m1 + .5*m2\nY =~ y1 + y2\nY ~ X + M + X:M\nX ~~ v*X\nM ~~ 0*X\nx1 ~~ 0*x1"
    parsed = expand(parse_model(text), "ca").parsed
    table = build_table(parsed)
    known = {(r.lhs, r.op, r.rhs): r for r in table.rows}
    assert known["X:M", "=~", "x1.m1"].value == 2.0
    assert known["X:M", "~1", ""].value == 0.0
    equations = {c.statement.split(" == ")[0]: c.text for c in parsed.constraints}
    assert equations[known["X:M", "=~", "x2.m2"].label] == "a*0.5"
    assert equations[known["x1.m1", "~~", "x1.m1"].label] == "4*v*.m1.m1."
    assert equations[known["X:M", "~~", "X:M"].label] == "v*.M.M."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Y ~ X + X:X", "of squares"),
        ("Y ~ X + w + X:w", "observed"),
        ("M ~ X\nY ~ X + M + X:M", "explained by others"),
        ("Y ~ X + M + X:M\nx1 ~~ m1", "residuals covary"),
        ("Y ~ X + M + X:M\nW =~ x1 + w1 + w2", "several factors"),
        ("Y ~ X + M + X:M\nx1 ~ w", "regressions"),
        ("Z =~ z1 + z2\nY ~ X + M + Z + X:M + X:Z", "one product"),
    ],
)
def test_constrained_refused(text, message):
    with pytest.raises(Unsupported, match=message):
        expand(parse_model(MODEL + text), "ca")
