"""Wrong files: every message names the place and says what to do. Positions are counted by hand in the texts below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from b2b_sem.errors import ModelSyntaxError, SpecError
from b2b_sem.spec.loader import load_model, load_simulation, load_study, load_survey

SURVEY = """\
kind: survey
schema_version: 1
id: s
title: T
format: {high: 7, missing: {8: dk}}
placeholders: {creator: x}
scales:
  NR:
    name: n
    facets: {a: A, b: B}
    items:
      nr1: {text: "one {creator}", facet: a}
      nr2: {text: two, facet: b}
  PC:
    name: p
    items: {pc1: x, pc2: y}
facts:
  size: {label: S, type: categorical, categories: {1: small, 2: large}}
groups:
  g: {fact: size, label: G, levels: {one: [1], two: [2]}}
"""

MODEL = """\
kind: model
schema_version: 1
id: m
title: T
survey: ./s.yaml
measurement:
  NR: {scale: NR}
  PC: {items: [pc1, pc2]}
structural: |
  # what leads to what
  PC ~ NR
propositions:
  - {id: P1, statement: s, path: NR -> PC, sign: "+"}
rivals:
  none_at_all: {title: t, why: w, remove: [PC ~ NR]}
"""

POPULATION = """\
kind: simulation
schema_version: 1
id: p
title: T
model: ./m.yaml
values:
  loadings: {default: 0.7}
  paths: {PC ~ NR: 0.4}
response: {mean: 4.5, sd: 1.2}
"""

STUDY = """\
kind: study
schema_version: 1
id: st
title: T
model: ./m.yaml
data: {simulate: ./p.yaml, n: 100, seed: 1}
analyses: [fit, propositions, rivals: [none_at_all]]
alpha: 0.05
"""

LOADERS: dict[str, tuple[str, Callable[..., object]]] = {
    "s": (SURVEY, load_survey),
    "m": (MODEL, load_model),
    "p": (POPULATION, load_simulation),
    "st": (STUDY, load_study),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (text, _) in LOADERS.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def problems_of(folder: Path, name: str, text: str | bytes) -> list[SpecError]:
    path = folder / f"{name}.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SpecError) as caught:
        LOADERS[name][1](path)
    error = caught.value
    found = list(error.problems) or [error]
    assert all(p.file == str(path) for p in found)
    return found


def test_the_unchanged_files_are_valid(folder: Path) -> None:
    for name, (_, loader) in LOADERS.items():
        loader(folder / f"{name}.yaml")


# file, text to replace, replacement, line, column, message
CASES: list[tuple[str, str, str, int | None, int | None, str]] = [
    ("s", "facet: b", "facett: b", 13, 24, "unknown key 'facett' in scales.NR.items.nr2. Did you mean 'facet'?"),
    ("s", "name: p", "name: p\n    zzz: 1", 16, 5, "unknown key 'zzz' in scales.PC."),
    ("s", "facet: b}", "facet: b, reverse: yes}", 13, 43, "'reverse' must be true or false, not 'yes'"),
    ("s", "facet: b}", "facet: b, reverse: 1}", 13, 43, "'reverse' must be true or false, not 1"),
    ("s", "facet: b", "facet: c", 13, 31, "scale NR has no facet 'c'."),
    ("s", "title: T", "title: 2026", 4, 8, "'title' must be text, not 2026"),
    ("s", "high: 7", "high: '7'", 5, 16, "'high' must be a whole number, not '7'"),
    ("s", "high: 7", "high: 1", 5, 16, "the highest answer 1 is not above the lowest 1"),
    ("s", "8: dk", "4: dk", 5, 29, "missing code 4 (dk) is also a valid answer (1 to 7)"),
    ("s", "id: s\n", "", 1, 1, "'id' is missing"),
    ("s", "    name: p\n", "", 14, 3, "'name' is missing in scales.PC"),
    ("s", "title: T", "title:", 4, 1, "'title' is empty"),
    ("s", "  PC:\n", "  NR:\n", 14, 3, "key 'NR' is used twice here (first in line 8)"),
    ("s", "pc2: y", "nr2: y", 16, 21, "item code 'nr2' is already used in scale NR"),
    ("s", "pc2: y", "PC: y", 14, 3, "scale code 'PC' is also the code of a column"),
    ("s", "pc2: y", "3: y", 16, 21, "key '3' must be text, not 3"),
    ("s", "pc2: y", "pc-2: y", 16, 21, "'pc-2' is not a valid code: a letter, then letters, digits, '_' or '.'"),
    ("s", "{pc1: x, pc2: y}", "[x, y]", 16, 12, "'items' must be a mapping, not a list"),
    ("s", "{pc1: x, pc2: y}", "{pc1: {text: x, dropped_because: z}}", 16, 12, "scale PC has no active items"),
    ("s", "one {creator}", "one {creater}", 12, 19, "item nr1 pipes in {creater}, which is not declared. Did you mean"),
    ("s", "name: p", "name: p\n    validated: true", 16, 16, "'validated: true' is not enough"),
    ("s", "name: p", "name: p\n    validated: {doi: x}", 16, 22, "'x' is not a DOI"),
    ("s", "facts:", "marker: pc\nfacts:", 17, 9, "there is no scale 'pc'. Did you mean 'PC'?"),
    ("s", "fact: size", "fact: sise", 20, 13, "there is no fact 'sise'. Did you mean 'size'?"),
    ("s", "two: [2]", "two: [3]", 20, 54, "fact 'size' has no category 3"),
    ("s", "two: [2]", "two: [1]", 20, 54, "category 1 is already in level 'one'"),
    (
        "s",
        "facts:",
        "attention_checks: {a: {text: t, answer: 9}}\nfacts:",
        17,
        41,
        "the correct answer 9 is outside the",
    ),
    ("s", "kind: survey", "kind: survy", 1, 7, "'survy' is not a kind of file. Did you mean 'survey' or 'study'?"),
    ("s", "kind: survey", "kind: model", 1, 7, "this is a model file, and a survey file is needed"),
    ("s", "kind: survey\n", "", 1, 1, "'kind' is missing"),
    ("s", "kind: survey", "kind: {}", 1, 7, "is not a kind of file."),
    ("s", "schema_version: 1", "schema_version: 2", 2, 17, "is newer than this version of b2b_sem knows (1)"),
    ("s", "schema_version: 1", "schema_version: '1'", 2, 17, "'schema_version' must be 1, not '1'"),
    ("s", "title: T", "title: a: b", 4, 9, "not valid YAML: mapping values are not allowed here"),
    ("s", "title: T", "\ttitle: T", 4, 1, "not valid YAML: found character '\\t'"),
    ("s", "title: T", "title: [T", 4, 8, "not valid YAML"),
    ("s", "text: two,", "text: 'two,", 13, 19, "not valid YAML: found unexpected end of stream"),
    (
        "s",
        "title: T",
        "title: !!python/name:os.system x",
        4,
        8,
        "the YAML tag '!!python/name:os.system' is not supported",
    ),
    ("s", "title: T", "title: T\n<<: {a: b}", 5, 1, "merge keys (<<) are not supported"),
    ("s", "title: T", "title: *nobody", 4, 8, "not valid YAML: found undefined alias 'nobody'"),
    ("m", "scale: NR", "scale: NN", 7, 15, "the survey 's' has no scale 'NN'."),
    ("m", "pc1, pc2", "pc1, pcc2", 8, 21, "the survey 's' has no item 'pcc2'. Did you mean 'pc2'?"),
    ("m", "pc1, pc2", "pc1, pc1", 8, 21, "item 'pc1' is listed twice for PC"),
    ("m", "{scale: NR}", "{scale: NR, items: [nr1]}", 7, 3, "NR needs either 'scale' or 'items'"),
    ("m", "{scale: NR}", "{}", 7, 3, "NR needs either 'scale' or 'items'"),
    ("m", "PC ~ NR\np", "PC ~ NRR\np", 11, 8, "'NRR' is neither a latent nor an item. Did you mean 'NR'"),
    ("m", "PC ~ NR\np", "PC ~ NR +\np", 11, 12, "expected"),
    ("m", "path: NR -> PC", "path: NR => PC", 13, 34, "cannot read the path 'NR => PC': write 'A -> B'"),
    ("m", "path: NR -> PC", "path: NR -> PD", 13, 34, "P1 names 'PD', which the model does not measure."),
    ("m", "path: NR -> PC", "path: PC -> NR", 13, 34, "P1 claims PC -> NR, but the model has no path 'NR ~ PC'"),
    ("m", "path: NR -> PC", "path: NR -> PC, test: indirect", 13, 34, "has a path of the form 'A -> B -> C'"),
    ("m", 'sign: "+"', 'sign: "+", test: pth', 13, 61, "'pth' is not a value of 'test'. Did you mean 'path'?"),
    ("m", ', sign: "+"', "", 13, 5, "P1 has a path but no sign"),
    ("m", "remove: [PC ~ NR]", "remove: [PC ~ NX]", 15, 44, "the main model has no 'PC ~ NX'. Did you mean 'PC ~ NR'?"),
    ("m", "remove: [PC ~ NR]", "add: [PC ~ TV]", 15, 46, "'TV' is neither a latent nor an item."),
    ("m", ", remove: [PC ~ NR]", "", 15, 3, "rival 'none_at_all' changes nothing"),
    ("m", "./s.yaml", "./t.yaml", 5, 9, "there is no such file"),
    ("m", "./s.yaml", "lima226", 5, 9, "there is no bundled survey 'lima226'. Did you mean 'lima2026'?"),
    (
        "m",
        "title: T",
        "title: T\noptions: {estimator: MLX}",
        5,
        22,
        "'MLX' is not a value of 'estimator'. Did you mean",
    ),
    (
        "m",
        "title: T",
        "title: T\ncovariates: {sizes: [PC]}",
        5,
        14,
        "the survey has no item or fact 'sizes'. Did you mean",
    ),
    ("p", "default: 0.7", "default: 1.2", 7, 23, "'default' must be below 1, not 1.2"),
    ("p", "default: 0.7", "default: 0.7, items: {nr9: 0.5}", 7, 36, "there is no item 'nr9'. Did you mean"),
    ("p", "PC ~ NR: 0.4", "PC ~ NX: 0.4", 8, 11, "the model 'm' has no path 'PC ~ NX'. Did you mean 'PC ~ NR'?"),
    ("p", "{PC ~ NR: 0.4}", "{}", 8, 10, "no value for PC ~ NR"),
    ("p", "PC ~ NR: 0.4", "PC -> NR: 0.4", 8, 11, "cannot read 'PC -> NR': write two names like 'PC ~ NR'"),
    ("p", "0.4}", "0.4}\n  correlations: {NR ~~ PC: 0.2}", 9, 18, "'PC' is an outcome in the model"),
    ("p", "0.4}", "0.4}\n  residual_correlations: {nr1 ~~ NR: 0.2}", 9, 27, "'NR' has no residual"),
    ("p", "mean: 4.5, sd: 1.2", "thresholds: [0, 1]", 9, 24, "2 thresholds, but nr1 needs 6"),
    ("p", "mean: 4.5, sd: 1.2", "thresholds: [0, 1, 1, 2, 3, 4]", 9, 31, "thresholds must increase: 1 does not"),
    ("p", "sd: 1.2}", "sd: 1.2}\nfacts: {size: {shares: {1: 0.5, 2: 0.6}}}", 10, 24, "the shares sum to 1.1, not to 1"),
    ("st", "alpha: 0.05", "alpha: 1.5", 8, 8, "'alpha' must be below 1, not 1.5"),
    ("st", "alpha: 0.05", "multiplicity: hlm", 8, 15, "'hlm' is not a value of 'multiplicity'. Did you mean 'holm'?"),
    ("st", "[none_at_all]", "[none_at_al]", 7, 40, "the model 'm' has no rival 'none_at_al'. Did you mean"),
    ("st", "fit, prop", "fitt, prop", 7, 12, "'fitt' is not a value of"),
    ("st", "simulate: ./p.yaml", "file: no.csv", 6, 22, "'n' does not go with 'file'"),
    ("st", "{simulate: ./p.yaml, n: 100, seed: 1}", "{file: m.yml}", 6, 14, "there is no data file"),
    ("st", "{simulate: ./p.yaml, n: 100, seed: 1}", "{}", 6, 1, "exactly one of 'file', 'simulate', 'covariance'"),
    ("st", "./p.yaml", "./q.yaml", 6, 18, "simulate './q.yaml'"),
    ("st", "simulate: ./p.yaml", "covariance: ./p.yaml", 6, 38, "'seed' does not go with 'covariance'"),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "line", "column", "message"), CASES, ids=[f"{c[0]}-{c[5][:48]}" for c in CASES]
)
def test_message_and_position(
    folder: Path, name: str, old: str, new: str, line: int | None, column: int | None, message: str
) -> None:
    text = LOADERS[name][0]
    assert text.count(old) >= 1, "the case does not change the file"
    found = problems_of(folder, name, text.replace(old, new, 1))
    hits = [p for p in found if message in p.message]
    assert hits, "\n".join(map(str, found))
    assert (hits[0].line, hits[0].column) == (line, column)


def test_all_findings_of_a_file_come_at_once_in_order(folder: Path) -> None:
    text = SURVEY.replace("title: T", "titel: T").replace("high: 7", "high: seven").replace("facet: b", "facet: c")
    found = problems_of(folder, "s", text)
    assert [p.line for p in found] == [4, 4, 5] or [p.line for p in found] == [1, 4, 5]
    assert any("Did you mean 'title'?" in p.message for p in found)


def test_rules_are_checked_beside_shape_errors(folder: Path) -> None:
    found = problems_of(folder, "s", SURVEY.replace("facet: a}", "facet: a, reverse: no}").replace("pc2: y", "nr2: y"))
    assert [(p.line, p.column) for p in found] == [(12, 55), (16, 21)]


def test_consequences_of_a_finding_are_left_out(folder: Path) -> None:
    (only,) = problems_of(folder, "s", SURVEY.replace("facet: b", "facett: b"))
    assert "facett" in only.message


def test_text_of_several_findings_lists_them(folder: Path) -> None:
    path = folder / "s.yaml"
    path.write_text(SURVEY.replace("high: 7", "high: 7.5").replace("name: p", "nam: p"))
    with pytest.raises(SpecError) as caught:
        load_survey(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: 3 problems\n")
    assert f"{path}:15:5: unknown key 'nam' in scales.PC. Did you mean 'name'?" in text
    assert "must be a whole number, not 7.5" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("- a\n- b\n", "the file holds a list"),
        ("hello\n", "the file holds a single value"),
        (b"\x00\x01\x02", "a character that YAML does not allow"),
        ("a: &x [*x]\n", "an alias refers to its own parent"),
        ("a: " + "[" * 1200, "nested too deeply"),
        (SURVEY + "---\nkind: survey\n", "another document"),
        ("kind: [survey\n", "not valid YAML"),
        ("? [a, b]\n: c\n", "a key must be a single word or number"),
    ],
)
def test_files_that_are_no_mapping(folder: Path, content: str | bytes, message: str) -> None:
    assert message in problems_of(folder, "s", content)[0].message


def test_wrong_encoding_names_the_byte(folder: Path) -> None:
    (error,) = problems_of(folder, "s", SURVEY.replace("title: T", "title: café").encode("latin-1"))
    assert (error.line, error.column) == (4, 11)
    assert "not UTF-8 text (byte 0xe9)" in error.message
    assert error.hint == "Save the file as UTF-8."


def test_expanding_aliases_do_not_eat_the_memory(folder: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (error,) = problems_of(folder, "s", "\n".join(lines))
    assert "more than 200000 entries" in error.message


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such file"):
        load_survey(tmp_path / "no.yaml")
    with pytest.raises(SpecError, match="this is a directory"):
        load_survey(tmp_path)


def test_findings_in_a_named_file_are_placed_there(folder: Path) -> None:
    (folder / "s.yaml").write_text(SURVEY.replace("high: 7", "high: 1"))
    with pytest.raises(SpecError) as caught:
        load_study(folder / "st.yaml")
    assert caught.value.file == str(folder / "s.yaml")
    assert caught.value.line == 5


def test_lavaan_file_reports_its_own_position(tmp_path: Path) -> None:
    path = tmp_path / "m.lav"
    path.write_text("PC =~ pc1 + pc2\nNR =~ nr1 +\n")
    with pytest.raises(ModelSyntaxError) as caught:
        load_model(path)
    assert (caught.value.file, caught.value.line) == (str(path), 2)


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n"])
def test_empty_lavaan_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.lav"
    path.write_text(content)
    with pytest.raises(ModelSyntaxError, match="empty"):
        load_model(path)
