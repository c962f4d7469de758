"""Bad input of every kind: one message with the place, the fault and the remedy; nothing written, nothing lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.io import write_text

NAMES = ["x1", "x2", "x3", "y1", "y2", "y3"]
MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ b*F\n"
SURVEY = """\
kind: survey
schema_version: 1
id: s
title: T
format: {low: 1, high: 7}
scales:
  FF:
    name: f
    items: {x1: one, x2: two, x3: three}
  GG:
    name: g
    items: {y1: one, y2: two, y3: {text: three, reverse: true}}
"""
YAML_MODEL = """\
kind: model
schema_version: 1
id: m
title: T
survey: ./s.yaml
measurement:
  F: {scale: FF}
  G: {scale: GG}
structural: |
  G ~ F
propositions:
  - {id: P1, statement: s, path: F -> G, sign: "+"}
"""
POPULATION = """\
kind: simulation
schema_version: 1
id: p
title: T
model: ./m.yaml
values:
  loadings: {default: 0.7}
  paths: {G ~ F: 0.4}
response: {mean: 4.5, sd: 1.2}
"""
STUDY = """\
kind: study
schema_version: 1
id: st
title: T
model: ./m.yaml
data: {file: ./d.csv}
analyses: [fit, measurement, propositions]
alpha: 0.05
options: {engine: native}
"""
FIT = ["fit", "m.lav", "--data", "d.csv", "--engine", "native", "--json", "o.json"]
RUN = ["run", "st.yaml", "--out", "o"]
SIMULATE = ["simulate", "p.yaml", "--n", "20", "--seed", "1", "--out", "o.csv"]

Change = Callable[[pd.DataFrame], pd.DataFrame]


def answers(n: int = 120, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=n)
    g = 0.5 * f + rng.normal(size=n)
    raw = np.column_stack([f, f, f, g, g, g]) + rng.normal(scale=0.7, size=(n, 6))
    return pd.DataFrame(np.clip(np.rint(4 + 1.2 * raw), 1, 7).astype(int), columns=NAMES)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    answers().to_csv("d.csv", index=False)
    for name, text in (
        ("m.lav", MODEL),
        ("s.yaml", SURVEY),
        ("m.yaml", YAML_MODEL),
        ("p.yaml", POPULATION),
        ("st.yaml", STUDY),
    ):
        Path(name).write_text(text, encoding="utf-8")
    return tmp_path


def state(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(here: Path, args: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """Run a command that must fail; return its message after the checks that hold for all of them."""
    before = state(here)
    capsys.readouterr()
    assert run(args) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(re.findall(r"^error: ", shown.err, flags=re.MULTILINE)) == 1
    assert "Traceback" not in shown.err
    assert "defect of the program" not in shown.err
    assert state(here) == before
    return shown.err[shown.err.index("error: ") :]


def check(message: str, where: str, *words: str) -> None:
    assert message.startswith(f"error: {where}")
    for word in words:
        assert word in message
    assert "\n  -> " in message, "says what to do"


# ---- data files ----------------------------------------------------------------------------------------------------

CSV = answers().to_csv(index=False)
FILES: dict[str, tuple[str, bytes, str, tuple[str, ...]]] = {
    "empty": ("z.csv", b"", "z.csv: ", ("file is empty",)),
    "only a header": ("z.csv", b"x1,x2,x3,y1,y2,y3\n", "z.csv: ", ("header but no rows",)),
    "no header": ("z.csv", CSV.split("\n", 1)[1].encode(), "z.csv:1: ", ("only numbers", "no header row")),
    "binary": ("z.csv", bytes(range(256)) * 8, "z.csv: ", ("binary file",)),
    "web page": ("z.csv", b"<!DOCTYPE html><html><body>no access</body></html>", "z.csv: ", ("web page",)),
    "workbook called csv": ("z.csv", b"PK\x03\x04" + b"j" * 99, "z.csv: ", ("Excel workbook",)),
    "empty workbook": ("z.xlsx", b"", "z.xlsx: ", ("file is empty",)),
    "text called workbook": ("z.xlsx", CSV.encode(), "z.xlsx: ", ("not a .xlsx file",)),
    "damaged SPSS": ("z.sav", b"$FL2" + b"j" * 99, "z.sav: ", ("not a readable SPSS file",)),
    "ragged": ("z.csv", f"{CSV}1,2,3\n1,2,3,4,5,6,7\n".encode(), "z.csv:122: ", ("line 122 has 3, line 123 has 7",)),
    "title row": ("z.csv", f"My survey\n{CSV}".encode(), "z.csv:2: ", ("remove title lines",)),
    "same header twice": ("z.csv", CSV.replace("x2", "x1", 1).encode(), "z.csv:1: ", ("'x1' (columns 1, 2)",)),
    "open quote": ("z.csv", CSV.replace("x2", '"x2', 1).encode(), "z.csv:1: ", ("double quote",)),
    "blanks between columns": ("z.csv", CSV.replace(",", " ").encode(), "z.csv:1: ", ("separated by spaces",)),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_table(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    file, content, where, words = FILES[name]
    Path(file).write_bytes(content)
    message = refused(here, [*FIT[:3], file, *FIT[4:]], capsys)
    check(message, where, *words)


def with_cell(value: object) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype(object)
        frame.loc[3, "x1"] = value
        return frame

    return change


CELLS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "a word": (with_cell("agree"), ("one cell is not a number: 'agree' (row 5, column x1)",)),
    "a typographic minus": (with_cell("\u22125"), ("'\u22125' (row 5, column x1)",)),
    "a date": (with_cell("2026-01-05"), ("'2026-01-05' (row 5, column x1)",)),
    "an error of Excel": (with_cell("#DIV/0!"), ("'#DIV/0!' (row 5, column x1)",)),
    "infinity": (with_cell("inf"), ("infinite: inf (row 5, column x1)",)),
    "400 digits": (with_cell("9" * 400), ("is not a number", "(row 5, column x1)")),
    "1e308": (lambda d: d.assign(x1=np.resize([1e308, -1e308], len(d))), ("column x1 are too large",)),
    "labels": (lambda d: d.assign(x1=d["x1"].astype(str) + " agree"), ("column 'x1' holds text",)),
    "no answer at all": (lambda d: d.assign(x1=None), ("every value is missing in x1",)),
    "the same answer": (lambda d: d.assign(x1=4), ("does not vary: x1 (always 4)",)),
    "a copied item": (lambda d: d.assign(x1=d["x2"]), ("x1 and x2 (the same values)",)),
    "a sum of items": (lambda d: d.assign(x1=d["x2"] + d["x3"]), ("linearly dependent: x1, x2, x3",)),
    "too few rows": (lambda d: d.head(6), ("6 complete rows for 6 variables",)),
    "no complete row": (
        lambda d: d.astype(float).mask(np.arange(len(d))[:, None] % 6 == np.arange(6)),
        ("no complete rows", "120 of 120 rows dropped"),
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_answers_that_cannot_be_computed_with(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    change, words = CELLS[name]
    change(answers()).to_csv("d.csv", index=False)
    check(refused(here, FIT, capsys), "d.csv: ", *words)


def test_merged_cells_are_not_read_as_missing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import openpyxl

    answers().to_excel("z.xlsx", index=False)
    book = openpyxl.load_workbook("z.xlsx")
    book.active.merge_cells("A5:B6")
    book.save("z.xlsx")
    message = refused(here, ["fit", "m.lav", "--data", "z.xlsx"], capsys)
    check(message, "z.xlsx: ", "merged cells in sheet 'Sheet1': A5:B6", "Unmerge")


def test_the_wrong_sheet_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pd.ExcelWriter("z.xlsx") as book:
        pd.DataFrame({"remark": ["a", "b"]}).to_excel(book, sheet_name="Notes", index=False)
        answers().to_excel(book, sheet_name="Data", index=False)
    message = refused(here, ["fit", "m.lav", "--data", "z.xlsx"], capsys)
    check(message, "m.lav:1:6: 'x1' is neither", "sheet 'Notes'; the workbook also has Data")
    message = refused(here, ["fit", "m.lav", "--data", "z.xlsx", "--sheet", "data"], capsys)
    check(message, "z.xlsx: there is no sheet 'data'. Did you mean 'Data'?")


# ---- model syntax --------------------------------------------------------------------------------------------------

SYNTAX: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "other case": ("F =~ X1 + x2 + x3", "1:6: 'X1' is neither", ("Did you mean 'x1'?",)),
    "latent named like a column": ("x1 =~ x2 + x3 + y1", "1: ", ("'x1' has the name of a column",)),
    "typographic quotes": ("F =~ \u201cx1\u201d + x2", "1:6: ", ("U+201C", 'type " instead')),
    "dash of a word processor": (f"{MODEL}G ~\u2013 F", "4:4: ", ("U+2013 en dash", "type - instead")),
    "wide tilde": ("F =\uff5e x1 + x2 + x3", "1:4: ", ("U+FF5E", "type ~ instead")),
    "no-break space": ("F =~ x1 +\u00a0x2 + x3", "1:10: ", ("invisible", "U+00A0 no-break space")),
    "zero width space": ("F =~ x1 + \u200bx2 + x3", "1:11: ", ("invisible", "U+200B")),
    "arrow": ("x1 -> y1", "1:4: '->' is not an operator", ("write 'y ~ x'",)),
    "R code around it": ("model <- '\nF =~ x1 + x2 + x3\n'", "1:7: '<-' is not", ("without 'model <-'",)),
    "~=": ("F ~= x1 + x2 + x3", "1:4: a second operator '='", ()),
    "comma": ("F =~ x1, x2, x3", "1:8: unexpected ','", ("put '+' between two terms",)),
    "two plus": ("F =~ x1 + + x2 + x3", "1:13: unexpected 'x2'", ("a '+' too many",)),
    "brackets": ("F =~ (x1 + x2 + x3)", "1:6: unexpected '('", ("brackets belong to",)),
    "name with a digit first": ("F =~ 1x + x2 + x3", "1:7: ", ("names start with a letter",)),
    "name with a blank": ("F =~ my item + x2", "1:9: ", ("names contain no blanks",)),
    "NaN as a number": ("F =~ x1 + NaN*x2 + x3", "1:11: 'NaN' is neither", ("write NA",)),
    "1e400": ("F =~ x1 + 1e400*x2 + x3", "1:11: this number is too large", ()),
    "composite": (f"{MODEL}C <~ x1 + x2", "4:3: '<~' (formative", ()),
    "threshold": (f"{MODEL}x1 | cut", "4:6: 'cut' is not a threshold", ("t1, t2",)),
    "product of an unknown variable": (f"{MODEL}y1 ~ F:Q", "4:6: 'Q' is neither", ()),
    "undefined label": (f"{MODEL}i := b*c", "4:8: 'c' is not the label", ()),
    "contradiction": (f"{MODEL}b == 1\nb == 2", "5:1: ", ("'b == 2' contradicts",)),
    "3000 signs": (f"{MODEL}i := {'-' * 3000}b", "", ("nested too deeply",)),
    "too many parameters": ("F =~ x1 + x2", ": the model is not identified", ("4 free parameters", "3 moments")),
}


@pytest.mark.parametrize("name", SYNTAX)
def test_model_text_that_means_nothing(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    text, where, words = SYNTAX[name]
    Path("m.lav").write_text(text + "\n", encoding="utf-8")
    message = refused(here, FIT, capsys)
    place = f"m.lav{':' if where[:1].isdigit() else ''}{where}" if where else ""
    check(message, place, *words)


def test_a_long_unknown_name_is_cut(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.lav").write_text(f"F =~ x1 + x2 + x{'y' * 10_000}\n", encoding="utf-8")
    message = refused(here, FIT, capsys)
    assert message.startswith("error: m.lav:1:16: 'xyyy")
    assert len(message) < 300


# ---- YAML ----------------------------------------------------------------------------------------------------------

YAML: dict[str, tuple[str, str, str, str, tuple[str, ...]]] = {
    "unknown key": ("st.yaml", "alpha", "alfa", "st.yaml:8:1: unknown key 'alfa'", ("Did you mean 'alpha'?",)),
    "alpha 5": ("st.yaml", "0.05", "5", "st.yaml:8:8: 'alpha' must be below 1", ()),
    "decimal comma": ("st.yaml", "0.05", "0,05", "st.yaml:8:8: 'alpha' must be a number", ("decimal point",)),
    "newer schema": ("st.yaml", "version: 1", "version: 2", "st.yaml:2:17: schema_version 2 is newer", ()),
    "tab": ("st.yaml", "data: {", "\tdata: {", "st.yaml:6:1: not valid YAML", ("not with tabs",)),
    "key twice": ("st.yaml", "alpha: 0.05", "alpha: 0.05\nalpha: 0.1", "st.yaml:9:1: key 'alpha' is used twice", ()),
    "analysis": ("st.yaml", "measurement", "mesurement", "st.yaml:7:17: 'mesurement'", ("Did you mean 'measurement'",)),
    "estimator": ("st.yaml", "engine: native", "estimator: WLSMV", "st.yaml:9:22: estimator=", ("WLSMV",)),
    "fiml": ("st.yaml", "engine: native", "missing: pairwise", "st.yaml:9:20: missing='pairwise'", ("listwise",)),
    "ordered": ("st.yaml", "engine: native", "ordered: [q1]", "the ordinal variable 'q1'", ("not an observed",)),
    "lost data": ("st.yaml", "./d.csv", "./e.csv", "st.yaml:6:14: there is no data file", ("Did you mean 'd.csv'",)),
    "lost model": ("st.yaml", "./m.yaml", "./n.yaml", "st.yaml:5:8: model './n.yaml'", ("no such file",)),
    "scale": ("m.yaml", "scale: FF", "scale: FFF", "m.yaml:7:14: the survey 's' has no scale 'FFF'", ("'FF'?",)),
    "latent": ("m.yaml", "F -> G", "f -> G", "m.yaml:12:34: P1 names 'f'", ("Did you mean 'F'?",)),
    "direction": ("m.yaml", "F -> G", "G -> F", "m.yaml:12:34: P1 claims G -> F", ("no path 'F ~ G'",)),
    "sign": ("m.yaml", '"+"', "positive", "m.yaml:12:48: 'positive' is not a value of 'sign'", ("+, -",)),
    "yes": ("s.yaml", "reverse: true", 'reverse: "yes"', "s.yaml:12:58: 'reverse' must be true or false", ()),
    "valid code": ("s.yaml", "high: 7", "high: 7, missing: {7: no}", "s.yaml:5:37: missing code 7", ("also a valid",)),
    "range": (
        "s.yaml",
        "high: 7",
        "high: 5",
        "d.csv: ",
        ("outside the response format (1 to 5)", "(row ", "column x1"),
    ),
}


@pytest.mark.parametrize("name", YAML)
def test_a_mistake_in_a_file_of_a_study(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    file, old, new, where, words = YAML[name]
    text = Path(file).read_text(encoding="utf-8")
    assert old in text
    Path(file).write_text(text.replace(old, new, 1), encoding="utf-8")
    message = refused(here, RUN, capsys)
    assert message.startswith(f"error: {where}")
    assert all(word in message for word in words)


def test_a_population_with_a_mean_outside_the_answers(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.yaml").write_text(POPULATION.replace("4.5", "45"), encoding="utf-8")
    message = refused(here, SIMULATE, capsys)
    assert message.startswith("error: p.yaml:9:18: the mean 45 lies outside the response format (1 to 7)")


# ---- the command line: nothing is lost -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([*FIT[:-1], "d.csv"], "d.csv: this file is read by the same command"),
        ([*FIT[:-1], "./m.lav"], "m.lav: this file is read by the same command"),
        ([*FIT[:-1], "/dev/null"], "/dev/null: the output must be an ordinary file"),
        ([*FIT[:-1], ""], "'--json' needs a file name"),
        ([*SIMULATE[:-1], "d.csv"], "d.csv: this file exists and holds other data"),
        (["run", "st.yaml", "--out", ""], "'--out' needs the name of a directory"),
        (["run", "st.yaml", "--out", "d.csv"], "d.csv: the output must be a directory"),
        (["run", "m.lav"], "m.lav:1:1: the file holds a single value"),
        (["run", "st.yaml", "--seed", "1"], "a seed is given, but the data of this run are not simulated"),
        (["fit", "F =~ x1 + x2 + x3", "--data", "d.csv"], "MODEL is the name of a file"),
        (["fit", "m.lav", "--data", "-"], "data are not read from standard input"),
        (["fit", "m.lav", "--data", "d.csv", "--nobs", "9"], "'--nobs' goes with '--sample-cov' only"),
        (["simulate", "p.yaml", "--n", str(10**13), "--seed", "1", "--out", "o.csv"], "Invalid value for '--n'"),
    ],
)
def test_a_command_that_cannot_be_meant(
    here: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert refused(here, args, capsys).startswith(f"error: {said}")


@pytest.mark.parametrize("name", ["report.html", "tables/fit.csv"])
def test_files_of_others_are_not_replaced(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    write_text(Path("o") / name, "mine")
    before = state(here)
    assert run(RUN) == 2
    assert f"error: o/{name}: this file is not from an earlier run" in capsys.readouterr().err
    assert state(here) == before


def test_a_directory_in_the_way_leaves_the_earlier_results_complete(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(RUN) == 0
    Path("o/report.html").unlink()
    Path("o/report.html").mkdir()
    before = state(here)
    assert run(RUN) == 2
    assert "error: o/report.html: a directory of this name is in the way" in capsys.readouterr().err
    assert state(here) == before


def test_simulate_repeats_itself_and_replaces_other_data_only_by_force(here: Path) -> None:
    assert run(SIMULATE) == 0
    first = Path("o.csv").read_bytes()
    assert run(SIMULATE) == 0
    other = [*SIMULATE[:4], "--seed", "2", *SIMULATE[6:]]
    assert run(other) == 2
    assert Path("o.csv").read_bytes() == first
    assert run([*other, "--force"]) == 0
    assert Path("o.csv").read_bytes() != first


# ---- data that make the model fail: exit code 1, numbers with a stamp ----------------------------------------------


def test_a_model_that_the_data_do_not_identify(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.lav").write_text(f"{MODEL}F ~ G\n", encoding="utf-8")
    assert run(FIT) == 1
    shown = capsys.readouterr()
    assert "error: the model is not identified with these data: the numbers must not be interpreted\n  -> " in shown.err
    assert "do not determine F~G" in shown.err.replace("G~F, F~G", "F~G")
    assert shown.out.startswith("b2b_sem ended after")
    assert "must not be used" in shown.out.splitlines()[0]
    found = json.loads(Path("o.json").read_text(encoding="utf-8"))
    assert all(row["se"] is None for row in found["parameters"] if row["free"])


def test_a_definition_without_a_value(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.lav").write_text(f"{MODEL}i := log(-b)\n", encoding="utf-8")
    message = refused(here, FIT, capsys, code=1)
    check(message, "m.lav:4:1: 'log(-b)' has no value at the estimates", "check the definition")


def test_a_definition_without_a_standardized_value_is_a_gap(here: Path) -> None:
    Path("m.lav").write_text("F =~ x1 + x2 + x3\nF ~~ v*F\nk := 1/(v - 1)\n", encoding="utf-8")
    assert run(FIT) == 0
    rows = json.loads(Path("o.json").read_text(encoding="utf-8"))["parameters"]
    defined = next(row for row in rows if row["op"] == ":=")
    variance = next(row for row in rows if row["label"] == "v")
    assert defined["est"] == pytest.approx(1 / (variance["est"] - 1), rel=1e-9)
    assert defined["std_all"] is None


# ---- what must not pass in silence ---------------------------------------------------------------------------------


def test_an_undeclared_missing_code_is_noticed(here: Path) -> None:
    with_cell(99)(answers()).to_csv("d.csv", index=False)
    run(FIT)
    warnings = json.loads(Path("o.json").read_text(encoding="utf-8"))["warnings"]
    assert warnings[0].startswith("x1 is 99 in 1 cell, far from all other values (1 to 7)")
    assert run([*FIT, "--missing-code", "99"]) == 0
    found = json.loads(Path("o.json").read_text(encoding="utf-8"))
    assert found["warnings"] == []
    assert found["nobs"] == len(answers()) - 1


def test_a_missing_code_that_does_not_occur_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*FIT, "--missing-code", "abc", "--missing-code", "7"]) == 0
    said = capsys.readouterr().err
    count = int((answers() == 7).to_numpy().sum())
    assert f"missing codes set to missing: 7 ({count} cells)" in said
    assert "missing codes that do not occur: abc" in said


def test_a_product_that_is_a_label_is_noticed(here: Path) -> None:
    Path("m.lav").write_text("y1 ~ x1 + x1*x2\n", encoding="utf-8")
    assert run(FIT) == 0
    (warning,) = json.loads(Path("o.json").read_text(encoding="utf-8"))["warnings"]
    assert "It is not a product" in warning


def test_fewer_rows_than_parameters_is_noticed(here: Path) -> None:
    answers().head(10).to_csv("d.csv", index=False)
    run(FIT)
    warnings = json.loads(Path("o.json").read_text(encoding="utf-8"))["warnings"]
    assert any("13 free parameters but only 10 rows" in text for text in warnings)


def test_reverse_coding_happens_once_and_only_by_the_survey(here: Path) -> None:
    loadings = {}
    for name, args in {
        "scored": ["fit", "m.yaml"],
        "as given": ["fit", "m.yaml", "--no-score"],
        "plain text": ["fit", "m.lav"],
    }.items():
        assert run([*args, "--data", "d.csv", "--engine", "native", "--json", "o.json"]) == 0
        rows = json.loads(Path("o.json").read_text(encoding="utf-8"))["standardized"]
        loadings[name] = next(row["est_std"] for row in rows if (row["op"], row["rhs"]) == ("=~", "y3"))
    assert loadings["as given"] == pytest.approx(loadings["plain text"], abs=1e-7)
    assert loadings["scored"] == pytest.approx(-loadings["as given"], abs=1e-7)
