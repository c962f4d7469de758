import math

import pytest

from b2b_sem.measures.notation import TYPESET, count, interval, number, p_phrase, probability, stars

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "bounded", "text"),
    [
        (0.345, True, ".34"),
        (-0.347, True, "-.35"),
        (0.347, False, "0.35"),
        (1.0, True, "1.00"),
        (1.024, True, "1.02"),
        (-1.5, True, "-1.50"),
        (0.0, True, ".00"),
        (-0.001, True, ".00"),
        (10.5, True, "10.50"),
        (-1234.5, False, "-1234.50"),
        (NAN, True, "-"),
        (math.inf, False, "-"),
        (None, False, "-"),
    ],
)
def test_number(value, bounded, text):
    assert number(value, bounded=bounded) == text


def test_number_typeset_has_true_minus_and_en_dash():
    assert number(-0.25, bounded=True, glyphs=TYPESET) == "−.25"
    assert number(None, glyphs=TYPESET) == "–"


@pytest.mark.parametrize(
    ("p", "text", "phrase"),
    [
        (0.0234, ".023", "p = .023"),
        (0.00099, "< .001", "p < .001"),
        (0.001, ".001", "p = .001"),
        (0.9995, "> .999", "p > .999"),
        (0.0, "< .001", "p < .001"),
        (NAN, "-", "p = -"),
    ],
)
def test_probability(p, text, phrase):
    assert probability(p) == text
    assert p_phrase(p) == phrase


def test_interval():
    assert interval(-0.12, 0.345, bounded=True) == "[-.12, .34]"
    assert interval(0.5, 1.2, 3) == "[0.500, 1.200]"
    assert interval(NAN, 0.3) == "-"
    assert interval(0.1, None, glyphs=TYPESET) == "–"


def test_count():
    assert count(1234567) == "1,234,567"
    assert count(848.0) == "848"
    assert count(24.5) == "24.50"
    assert count(-3) == "-3"
    assert count(NAN) == "-"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0001, "***"), (0.001, "**"), (0.01, "*"), (0.0499, "*"), (0.05, ""), (NAN, ""), (None, "")]
)
def test_stars(p, text):
    assert stars(p) == text
