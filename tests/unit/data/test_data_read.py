"""Reading survey files: what is detected, what is reported, and the message for every way a file can be wrong."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.util
import re
import subprocess
import sys

import numpy as np
import openpyxl
import pandas as pd
import pyreadstat
import pytest

from b2b_sem.data.read import Responses, numeric, read_responses, set_missing
from b2b_sem.errors import DataError, Unsupported

TABLE = pd.DataFrame(
    {"nr1": [1, 4, 7, 2], "nr2": [2.5, np.nan, 3.25, -1.0], "sector": ["saas", "health", None, "saas"]}
)


@pytest.fixture
def write(tmp_path):
    def _write(text, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return _write


def check_table(responses):
    pd.testing.assert_frame_equal(
        responses.frame.astype({"sector": object}), TABLE.astype({"sector": object}), check_dtype=False
    )


# ---- delimited text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("delimiter", "word"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "vertical")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiter_and_encoding_are_detected_and_reported(write, delimiter, word, encoding):
    text = TABLE.assign(sector=["süd", "nord", None, "süd"]).to_csv(sep=delimiter, index=False)
    responses = read_responses(write(text, encoding=encoding))
    assert responses.details["delimiter"] == delimiter
    assert responses.details["encoding"] == encoding
    assert responses.format == ("tsv" if delimiter == "\t" else "csv")
    assert responses.notes[0].startswith(f"4 rows, 3 columns; {word}")
    assert encoding in responses.notes[0]
    assert list(responses.frame["sector"].dropna()) == ["süd", "nord", "süd"]
    np.testing.assert_array_equal(responses.frame["nr2"], TABLE["nr2"])


def test_utf16_without_a_byte_order_mark(write):
    responses = read_responses(write("a,b\n1,2\n3,4\n".encode("utf-16-le")))
    assert responses.details["encoding"] == "utf-16-le"
    np.testing.assert_array_equal(responses.frame.to_numpy(), [[1, 2], [3, 4]])


def test_a_guessed_encoding_is_pointed_out(write):
    assert any("accented letters" in note for note in read_responses(write("a,b\né,1\nx,2\n", encoding="cp1252")).notes)


def test_decimal_comma(write):
    responses = read_responses(write("a;b;c\n1,5;2;x\n-0,25;3;y\n;4;z\n"))
    assert responses.details["decimal"] == ","
    assert "decimal comma" in responses.notes[0]
    np.testing.assert_array_equal(responses.frame["a"], [1.5, -0.25, np.nan])


def test_decimal_comma_in_quotes_between_commas(write):
    responses = read_responses(write('a,b\n"1,5",2\n"2,25",3\n'))
    np.testing.assert_array_equal(responses.frame["a"], [1.5, 2.25])


def test_thousands_are_not_taken_for_decimals(write):
    responses = read_responses(write('a,b\n"1,500",2\n"2,250",3\n'))
    assert responses.details["decimal"] == "."
    with pytest.raises(DataError, match=r"column 'a' holds text \('1,500', '2,250'\)"):
        numeric(responses, ["a"])


def test_points_and_commas_in_one_file_are_not_mixed_up(write):
    responses = read_responses(write("a;b\n1,5;2.5\n2,5;3.5\n"))
    assert responses.details["decimal"] == "."
    with pytest.raises(DataError, match="'1,5'"):
        numeric(responses)


def test_decimal_comma_in_a_column_with_a_wrong_cell(write):
    responses = read_responses(write("a;b\n1,5;2,5\n2,5;oops\n"))
    with pytest.raises(DataError, match=r"one cell is not a number: 'oops' \(row 3, column b\)"):
        numeric(responses)
    np.testing.assert_array_equal(numeric(responses, ["a"])["a"], [1.5, 2.5])


def test_missing_tokens(write):
    responses = read_responses(write("a,b\n1,NA\n., 2\nNaN,3\n,4\n#N/A,5\n"))
    np.testing.assert_array_equal(responses.frame["a"], [1, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(responses.frame["b"], [np.nan, 2, 3, 4, 5])


def test_source_rows_count_blank_lines_and_line_breaks_inside_cells(write):
    responses = read_responses(write('a,b\n1,"x\ny"\n\n2,z\n   \n3,w\n'))
    assert responses.source_rows.tolist() == [2, 4, 6]
    assert responses.frame["b"].tolist() == ["x\ny", "z", "w"]


def test_rows_without_any_answer_are_left_out_and_counted(write):
    responses = read_responses(write("a,b\n1,2\n,\n3,4\nNA,.\n"))
    assert responses.source_rows.tolist() == [2, 4]
    assert "2 rows without any answer left out: 3, 5" in responses.notes


def test_qualtrics_header_rows_are_left_out(write):
    labels = '"Many of the people, who\nfollow",Second\n'
    imports = '"{""ImportId"":""QID1""}","{""ImportId"":""QID2""}"\n'
    text = f"nr1,nr2\n{labels}{imports}4,5\n6,7\n"
    responses = read_responses(write(text))
    np.testing.assert_array_equal(responses.frame.to_numpy(), [[4, 5], [6, 7]])
    assert responses.source_rows.tolist() == [4, 5]
    assert responses.details["question_text"]["nr1"].startswith("Many of the people, who")
    assert any("Qualtrics" in note for note in responses.notes)


def test_excel_separator_line(write):
    responses = read_responses(write("sep=;\r\na;b\r\n1;2\r\n3;4\r\n"))
    assert responses.columns == ("a", "b")
    assert responses.source_rows.tolist() == [3, 4]


def test_unnamed_first_column_of_row_numbers_is_left_out(write):
    responses = read_responses(write('"","a","b"\n"1",4,5\n"2",6,7\n'))
    assert responses.columns == ("a", "b")
    assert any("no name" in note for note in responses.notes)


def test_trailing_delimiter_column_is_left_out(write):
    assert read_responses(write("a,b,\n1,2,\n3,4,\n")).columns == ("a", "b")


def test_text_cells_are_kept_and_named_when_numbers_are_needed(write):
    responses = read_responses(write("a,b\n1,2\nabc,3\n2,x\n" + "no,9\n" * 6))
    assert responses.frame["a"].iloc[1] == "abc"
    with pytest.raises(DataError) as error:
        numeric(responses)
    text = str(error.value)
    assert "8 cells are not numbers: 'abc' (row 3, column a), 'no' (row 5, column a)" in text
    assert text.count("(row") == 5
    assert "and 3 more" in text
    assert text.startswith(str(responses.path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1,2,3\n4\n", r"the header has 2 names but line 3 has 3, line 4 has 1"),
        ("a,b\n" + "1,2,3\n" * 7, r"line 6 has 3 and 2 more rows differ\n  -> Every row has one cell more"),
        ("a,b,a\n1,2,3\n", r"occur more than once: 'a' \(columns 1, 3\)"),
        ("a,,c\n1,2,3\n", r":1: column 2 has no name"),
        ("Survey 2026\na,b\n1,2\n", "remove title lines above it"),
        ("a,b\n", "a header but no rows"),
        ("a,b\n\n  \n", "a header but no rows"),
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("a,b\n,\n", "every cell is empty"),
        ("1,2\n3,4\n", "no header row"),
        ('a,b\n1,"2\n3,4\n', r":2: the record that starts here cannot be split"),
        ("a b c\n1 2 3\n4 5 6\n", "separated by spaces"),
        (b"a,b\n\x00\x01\x02\n\x00\x01,\x05", "binary file"),
        (b"\xff\xfea", "announces utf-16"),
        (b"%PDF-1.7\n", "holds a PDF document"),
        (b"PK\x03\x04rest", "holds an Excel workbook"),
        (b"\x1f\x8b\x08", "holds a compressed file"),
    ],
)
def test_bad_text_files(write, text, message):
    path = write(text)
    with pytest.raises(DataError, match=message) as error:
        read_responses(path)
    assert error.value.exit_code == 2
    assert error.value.hint
    assert str(error.value).startswith(str(path))


def test_single_column(write):
    responses = read_responses(write("a\n1\n\n2\n"))
    assert responses.frame["a"].tolist() == [1, 2]
    assert responses.source_rows.tolist() == [2, 4]
    quoted = read_responses(write('a\n1\n""\n"x ""y"""\n'))
    assert quoted.frame["a"].tolist() == ["1", 'x "y"']
    assert quoted.source_rows.tolist() == [2, 4]


# ---- the path ------------------------------------------------------------------------------------------------------


def test_missing_file_suggests_a_neighbour(write, tmp_path):
    write("a\n1\n", name="answers.csv")
    with pytest.raises(DataError, match=r"file not found. Did you mean 'answers.csv'\?"):
        read_responses(tmp_path / "answer.csv")


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist either"):
        read_responses(tmp_path / "nowhere" / "answers.csv")


def test_folder_instead_of_file(write, tmp_path):
    write("a\n1\n", name="answers.csv")
    with pytest.raises(DataError, match=r"folder, not a file\n  -> Name a data file, such as answers.csv"):
        read_responses(tmp_path)


@pytest.mark.parametrize("suffix", [".xls", ".ods", ".RData", ".sas7bdat"])
def test_formats_that_are_not_read_say_what_to_do(write, suffix):
    with pytest.raises(Unsupported, match=r"-> .*(CSV|csv)"):
        read_responses(write("x", name="data" + suffix))


def test_unknown_format_name(write):
    with pytest.raises(DataError, match=r"unknown format 'cvs'\. Did you mean 'csv'"):
        read_responses(write("a\n1\n"), format="cvs")


def test_format_overrides_an_unknown_suffix(write):
    assert read_responses(write("a,b\n1,2\n", name="data.export"), format="csv").columns == ("a", "b")


def test_format_is_told_from_the_content_when_the_suffix_says_nothing(tmp_path):
    path = tmp_path / "data.export"
    pyreadstat.write_sav(pd.DataFrame({"a": [1.0, 2.0]}), str(path))
    assert read_responses(path).format == "sav"


@pytest.mark.parametrize("name", ["data.xlsx", "data.sav"])
def test_text_under_a_binary_name(write, name):
    with pytest.raises(DataError, match=r"this is not a \.(xlsx|sav) file"):
        read_responses(write("a,b\n1,2\n", name=name))


def test_damaged_files(write):
    with pytest.raises(DataError, match="not a readable Excel workbook"):
        read_responses(write(b"PK\x03\x04" + b"junk" * 50, name="a.xlsx"))
    with pytest.raises(DataError, match="not a readable SPSS file"):
        read_responses(write(b"$FL2" + b"junk" * 50, name="a.sav"))
    with pytest.raises(DataError, match="not a readable Stata file"):
        read_responses(write(b"junk" * 50, name="a.dta"))


# ---- other formats -------------------------------------------------------------------------------------------------


def test_xlsx_round_trip(tmp_path):
    path = tmp_path / "data.xlsx"
    TABLE.to_excel(path, index=False)
    responses = read_responses(path)
    check_table(responses)
    assert responses.format == "xlsx"
    assert responses.source_rows.tolist() == [2, 3, 4, 5]


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_xlsx_sheets(tmp_path):
    path = workbook(tmp_path / "d.xlsx", first=[["a"], [1]], second=[["b"], [2], [None], [3]], empty=[])
    responses = read_responses(path)
    assert responses.details["sheet"] == "first"
    assert "the workbook also has second, empty" in responses.notes[0]
    assert read_responses(path, sheet="second").source_rows.tolist() == [2, 4]
    assert read_responses(path, sheet=2).columns == ("b",)
    with pytest.raises(DataError, match=r"there is no sheet 'secnd'\. Did you mean 'second'"):
        read_responses(path, sheet="secnd")
    with pytest.raises(DataError, match="there is no sheet 4; the workbook has 3"):
        read_responses(path, sheet=4)
    with pytest.raises(DataError, match="sheet 'empty' is empty"):
        read_responses(path, sheet="empty")


def test_xlsx_numbers_stored_as_text_and_dates(tmp_path):
    day = datetime.datetime(2026, 1, 2)
    responses = read_responses(workbook(tmp_path / "d.xlsx", s=[["a", "when"], ["5", day], [6, day], ["#NULL!", day]]))
    np.testing.assert_array_equal(responses.frame["a"], [5, 6, np.nan])
    with pytest.raises(DataError, match=r"column 'when' holds text \('2026-01-02 00:00:00'\)"):
        numeric(responses, ["when"])


def test_xlsx_formula_without_result(tmp_path):
    path = workbook(tmp_path / "d.xlsx", s=[["a", "b"], [1, "=A2*2"], [2, 4]])
    with pytest.raises(DataError, match="cell B2 of sheet 's' is a formula without a stored result"):
        read_responses(path)


def test_sheet_for_a_file_without_sheets(write):
    with pytest.raises(DataError, match="only XLSX files have sheets"):
        read_responses(write("a\n1\n"), sheet="one")


def test_sav_round_trip_with_user_missing_values(tmp_path):
    path = tmp_path / "data.sav"
    frame = pd.DataFrame({"nr1": [1.0, 8.0, 99.0, np.nan], "nr2": [1.0, 2.0, 3.0, -5.0], "who": ["a", "x", "", "b"]})
    pyreadstat.write_sav(
        frame,
        str(path),
        column_labels={"nr1": "First item"},
        variable_value_labels={"nr1": {1: "low", 7: "high", 99: "refused"}},
        missing_ranges={"nr1": [{"lo": 8, "hi": 9}, 99], "nr2": [{"lo": -9, "hi": -1}]},
    )
    responses = read_responses(path)
    np.testing.assert_array_equal(responses.frame["nr1"], [1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(responses.frame["nr2"], [1, 2, 3, np.nan])
    assert "user-missing values of nr1 set to missing: 2 cells" in responses.notes
    assert responses.details["value_labels"]["nr1"][99.0] == "refused"
    assert responses.details["question_text"] == {"nr1": "First item"}
    assert responses.frame["who"].isna().tolist() == [False, False, True, False]
    plain, _ = pyreadstat.read_sav(str(path))
    np.testing.assert_array_equal(plain["nr1"], responses.frame["nr1"])


def test_dta_round_trip(tmp_path):
    path = tmp_path / "data.dta"
    pyreadstat.write_dta(TABLE.fillna({"sector": ""}), str(path))
    check_table(read_responses(path))


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is an optional dependency")
def test_parquet_round_trip(tmp_path):
    path = tmp_path / "data.parquet"
    TABLE.to_parquet(path)
    check_table(read_responses(path))


def test_parquet_without_pyarrow_says_how_to_get_it(write, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"pip install 'b2b-sem\[parquet\]'"):
        read_responses(write(b"PAR1....PAR1", name="data.parquet"))


# ---- options -------------------------------------------------------------------------------------------------------


def test_columns_and_rename(write):
    path = write("Q1,Q2,Q3\n1,2,3\n4,5,6\n")
    responses = read_responses(path, rename={"Q1": "nr1"}, columns=["Q3", "nr1"])
    assert responses.columns == ("Q3", "nr1")
    assert "columns renamed: Q1 to nr1" in responses.notes
    with pytest.raises(DataError, match=r"column not found: 'q3'\. Did you mean 'Q3'\?"):
        read_responses(path, columns=["q3"])
    with pytest.raises(DataError, match="column not found: 'Q9'"):
        read_responses(path, rename={"Q9": "nr1"})
    with pytest.raises(DataError, match="two columns the same name: Q2"):
        read_responses(path, rename={"Q1": "Q2"})


def test_missing_codes_of_both_kinds_are_counted(write):
    path = write("a,b,c\n-99,1,don't know\n3,-99.0,4\n8,2,5\n")
    responses = read_responses(path, missing_codes=[-99, "don't know"])
    np.testing.assert_array_equal(responses.frame["a"], [np.nan, 3, 8])
    np.testing.assert_array_equal(responses.frame["b"], [1, np.nan, 2])
    np.testing.assert_array_equal(responses.frame["c"], [np.nan, 4, 5])
    assert responses.notes[-1] == "missing codes set to missing: -99 (2 cells), don't know (1 cell) in a, b, c"


def test_missing_codes_leave_other_columns_alone(write):
    responses = set_missing(read_responses(write("a,b\n8,8\n1,2\n")), [8], ["a"])
    np.testing.assert_array_equal(responses.frame.to_numpy(), [[np.nan, 8], [1, 2]])


def test_responses_are_frozen_and_own_their_data():
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    responses = Responses.from_frame(frame)
    frame.loc[0, "a"] = 9
    assert responses.frame["a"].tolist() == [1, 2]
    with pytest.raises(dataclasses.FrozenInstanceError):
        responses.notes = ()
    with pytest.raises(ValueError, match="read-only"):
        responses.source_rows[0] = 7


def test_numbers_survive_to_the_last_digit(write):
    values = np.random.default_rng(3).normal(size=200)
    text = "a,b\n" + "".join(f"{v!r},1\n" for v in values.tolist())
    np.testing.assert_array_equal(read_responses(write(text)).frame["a"], values)


def test_importing_the_modules_does_not_load_pandas():
    code = "import sys, b2b_sem.data.observed, b2b_sem.data.read, b2b_sem.data.score; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("mark", "delimiter"), [(",", ";"), (".", ";"), (".", ",")])
def test_marks_between_thousands_are_not_decimal_marks(tmp_path, mark, delimiter):
    cells = [f"2{mark}570", "822", f"-1{mark}685", "999"]
    path = tmp_path / "d.csv"
    path.write_text("\n".join([f"a{delimiter}b", *(f"{cell}{delimiter}1" for cell in cells)]) + "\n")
    with pytest.raises(DataError, match=re.escape(f"'{mark}' between thousands: 2{mark}570 beside 822")):
        read_responses(path)
    # the same marks as decimals: other lengths beside them, or no whole numbers of three digits
    for others in ([f"2{mark}57", "822"], [f"2{mark}571", "822"], [f"2{mark}570", "82"]):
        path.write_text("\n".join([f"a{delimiter}b", *(f"{cell}{delimiter}1" for cell in others)]) + "\n")
        assert read_responses(path).frame["a"].iloc[0] < 3


def test_a_file_that_holds_itself_twice_is_noted(tmp_path):
    path = tmp_path / "d.csv"
    body = "".join(f"{i % 7 + 1},{i % 5 + 1},{i}\n" for i in range(30))
    path.write_text(f"a,b,c\n{body}{body}")
    assert "30 of 60 rows repeat an earlier row" in read_responses(path).notes[-1]
    path.write_text(f"a,b,c\n{body}1,1,0\n")
    assert not any("repeat" in note for note in read_responses(path).notes)
