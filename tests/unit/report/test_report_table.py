import csv
import io
import math
import re
from html.parser import HTMLParser

import pytest

from b2b_sem.report.table import Column, Table, link_dois, table

COLUMNS = [
    Column("name", "Name", "code"),
    Column("words", "Words"),
    Column("r", "r", "bounded"),
    Column("ci", "CI", "interval_bounded"),
    Column("p", "p", "p"),
    Column("df", "df", "count"),
    Column("hidden", "Hidden", shown=False),
]
ROWS = [
    ("a<b>", 'x & "y"', 1 / 3, (0.1, 0.55), 0.00001, 848.0, "only in CSV"),
    ("b", "line\nbreak, comma", float("nan"), None, float("nan"), None, ""),
]
TABLE = table("demo", "A title <1>", COLUMNS, ROWS, ["See doi:10.1000/ab-c(1)2.", "No full stop"])


class Cells(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.open = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.open = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.open = False

    def handle_data(self, data):
        if self.open:
            self.rows[-1][-1] += data


def test_row_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="table demo: a row has 1 cells for 7 columns"):
        Table("demo", "t", tuple(COLUMNS), (("a",),))


def test_csv_is_exact_and_complete():
    rows = list(csv.DictReader(io.StringIO(TABLE.to_csv())))
    assert list(rows[0]) == ["name", "words", "r", "ci_lower", "ci_upper", "p", "df", "hidden"]
    assert float(rows[0]["r"]) == 1 / 3
    assert float(rows[0]["ci_lower"]) == 0.1
    assert rows[0]["df"] == "848"
    assert rows[0]["hidden"] == "only in CSV"
    assert rows[1]["words"] == "line\nbreak, comma"
    assert [rows[1][k] for k in ("r", "ci_lower", "ci_upper", "p", "df")] == [""] * 5
    assert "nan" not in TABLE.to_csv().lower()


def test_html_escapes_formats_and_names_headers():
    cells = Cells(TABLE.to_html())
    assert cells.rows[0] == ["Name", "Words", "r", "CI", "p", "df"]
    assert cells.rows[1] == ["a<b>", 'x & "y"', ".33", "[.10, .55]", "< .001", "848"]
    assert cells.rows[2] == ["b", "line\nbreak, comma", "–", "–", "–", "–"]
    scopes = [attrs.get("scope") for tag, attrs in cells.tags if tag == "th"]
    assert scopes == ["col"] * 6 + ["row"] * 2
    assert "A title &lt;1&gt;" in TABLE.to_html()
    assert "No full stop.</figcaption>" in TABLE.to_html()


def test_merged_cells_span_equal_neighbours():
    t = table(
        "m", "t", [Column("g", "G", merged=True), Column("v", "V", "count")], [("x", 1), ("x", 2), ("y", 3), ("x", 4)]
    )
    cells = Cells(t.to_html())
    assert cells.rows[1:] == [["x", "1"], ["2"], ["y", "3"], ["x", "4"]]
    assert [a.get("rowspan") for tag, a in cells.tags if tag == "th"][2:] == ["2", "1", "1"]
    assert t.to_csv().splitlines()[2] == "x,2"


def test_text_wraps_within_the_width_and_is_ascii():
    long = table("l", "T", [Column("a", "A", "code"), Column("b", "B")], [("x", "word " * 60)])
    lines = long.to_text(60).splitlines()
    assert max(map(len, lines)) <= 60
    assert sum("word" in line for line in lines) > 4
    assert TABLE.to_text().isascii()


def test_text_that_cannot_fit_says_so():
    wide = table("w", "T", [Column("a", "A", "code"), Column("b", "B", "code")], [("x" * 50, "y" * 50)])
    with pytest.raises(ValueError, match="table w needs 102 columns, 80 are there"):
        wide.to_text(80)


def test_dois_become_links_and_nothing_else():
    html = link_dois("<b> Hair 2019 (doi:10.1108/EBR-11-2018-0203); https://doi.org/10.1016/S1071(03)0-3.")
    assert html == (
        '&lt;b&gt; Hair 2019 (<a href="https://doi.org/10.1108/EBR-11-2018-0203">doi:10.1108/EBR-11-2018-0203</a>); '
        '<a href="https://doi.org/10.1016/S1071(03)0-3">doi:10.1016/S1071(03)0-3</a>.'
    )
    assert "<a" not in link_dois("see http://example.org and 10.1000/1")
    assert '"' not in link_dois('doi:10.1000/a"onclick=').split("href=")[0]
    assert "&quot;" in link_dois('doi:10.1000/a"b')


def test_numbers_with_errors() -> None:
    columns = (Column("a", "A", "error_percent"), Column("b", "B", "error_bounded3"), Column("c", "C", "error3"))
    rows = (((0.9564, 0.0091), (-0.0072, 0.0031), (1.5, 0.25)), ((0.5, math.nan), (math.nan, 0.1), None))
    made = Table("t", "T", columns, rows)
    assert made.to_csv() == "a,a_mcse,b,b_mcse,c,c_mcse\n0.9564,0.0091,-0.0072,0.0031,1.5,0.25\n0.5,,,0.1,,\n"
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", made.to_html())[3:]
    assert cells == ["95.6 (0.9)", "−.007 (.003)", "1.500 (0.250)", "50.0 (–)", "–", "–"]
