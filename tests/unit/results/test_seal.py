"""The seal: what goes in comes out, and nothing else opens it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2b_sem.errors import DataError
from b2b_sem.results.seal import make_key, normalize_key, open_seal, seal

KEY = "ABCD-EFGH-IJKL-MNOP"
TRUTH = {"paths": {"PC ~ NR": 0.25}, "seed": 20260517, "text": "größer — ✓", "list": [1, None, True]}

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(content=st.dictionaries(st.text(), plain, max_size=4), key=st.text("abcXYZ019", min_size=1))
@settings(max_examples=25)
def test_what_goes_in_comes_out(content: dict[str, object], key: str) -> None:
    assert open_seal(seal(content, key, "note"), key) == content


def test_nothing_of_the_content_can_be_read() -> None:
    text = seal(TRUTH, KEY, "A note for all.")
    assert text.startswith("A note for all.\n")
    for word in ("PC ~ NR", "0.25", "20260517", KEY, normalize_key(KEY)):
        assert word not in text
    # packed text without the mask would show what it is: a zlib stream in base64
    assert "\neN" not in text.split("Lock:")[1]


def test_blanks_dashes_and_case_of_a_key_do_not_matter() -> None:
    assert open_seal(seal(TRUTH, KEY), " abcdefgh ijkl-mnop ") == TRUTH


@pytest.mark.parametrize("key", ["ABCD-EFGH-IJKL-MNOQ", "x"])
def test_another_key_is_refused(key: str) -> None:
    with pytest.raises(DataError, match="does not open the seal"):
        open_seal(seal(TRUTH, KEY), key)


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(DataError, match="the key is empty"):
        seal(TRUTH, " - ")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.replace("\n", "\r\n"), None),
        (lambda t: t[:-40], "no sealed truth"),
        (lambda t: t.replace("BEGIN", "START"), "no sealed truth"),
        (lambda t: t.replace("Version: 1", "Version: 2"), "version 2"),
        (lambda t: t[:180] + ("A" if t[180] != "A" else "B") + t[181:], "checksum is wrong"),
        (lambda t: t[:180] + "!" + t[181:], "checksum is wrong"),
    ],
)
def test_damage_is_noticed_and_line_ends_are_none(damage, message: str | None) -> None:  # type: ignore[no-untyped-def]
    text = damage(seal(TRUTH, KEY, "note"))
    if message is None:
        assert open_seal(text, KEY) == TRUTH
        return
    with pytest.raises(DataError, match=message):
        open_seal(text, KEY, "truth.seal")


def test_keys_follow_from_what_they_are_made_of() -> None:
    assert make_key("lima2026", 7) == make_key("lima2026", 7) != make_key("lima2026", 8)
    assert len(normalize_key(make_key("x"))) == 16
    assert make_key("ab", "c") != make_key("a", "bc")
