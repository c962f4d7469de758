"""The documents: links lead somewhere, the README's Python runs, its commands exist."""

from __future__ import annotations

import re
import runpy
import shlex
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import pytest

from b2b_sem.cli.app import cli
from b2b_sem.spec import loader

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(p for folder in ("models", "surveys", "simulations", "examples") for p in (ROOT / folder).glob("*.md")),
    ]
)
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
REQUIRED = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *(f"docs/{n}.md" for n in ("index", "quickstart", "cli", "model-syntax", "survey-files", "study-files", "data")),
    *(f"docs/{n}.md" for n in ("numbers", "verdicts")),
    *(f"docs/developer/{n}.md" for n in ("architecture", "testing", "dependencies", "lavaan-differences")),
]


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings of a document, as the site and code hosts make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.strip().replace(" ", "-"))
    return found


def broken_links(path: Path, text: str) -> list[str]:
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if target.startswith(("https://doi.org/", "mailto:")):
            continue
        if "://" in target:
            found.append(f"{target} (only DOI links: other addresses move)")
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists():
            found.append(target)
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            found.append(target)
    return found


def code_blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", REQUIRED)
def test_document_exists_and_says_something(name: str) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8")) > 300


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path, path.read_text(encoding="utf-8")) == []


def test_the_link_check_finds_broken_links() -> None:
    text = "[a](nowhere.md) [b](README.md#no-such-heading) [c](README.md) `[d](code.md)`"
    assert broken_links(ROOT / "x.md", text) == ["nowhere.md", "README.md#no-such-heading"]


def test_every_document_of_the_site_is_in_its_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if f" {page}\n" not in menu} == set()


@pytest.mark.parametrize(
    ("name", "block"),
    [(name, block) for path, name in zip(DOCUMENTS, NAMES, strict=True) for block in code_blocks(path, "python")],
    ids=lambda value: value if value.endswith(".md") else "",
)
def test_python_in_the_documents_runs(
    name: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, name, "exec"), {"__name__": "__main__"})


def test_the_readme_has_a_python_example_of_ten_lines() -> None:
    (block,) = code_blocks(ROOT / "README.md", "python")
    assert len(block.strip().splitlines()) <= 12


@pytest.mark.parametrize("name", ["docs/survey-files.md", "docs/study-files.md", "docs/monte-carlo.md"])
def test_yaml_in_the_documents_is_valid(name: str, tmp_path: Path) -> None:
    kinds = []
    for block in code_blocks(ROOT / name, "yaml"):
        if match := re.match(r"kind: (\w+)\n.*?^id: (\w+)$", block, flags=re.DOTALL | re.MULTILINE):
            kinds.append(match[1])
            (tmp_path / f"{match[2]}.yaml").write_text(block, encoding="utf-8")
    assert kinds
    loaders = {
        "survey": loader.load_survey,
        "model": loader.load_model,
        "simulation": loader.load_population,
        "montecarlo": loader.load_montecarlo,
        "study": partial(loader.load_study, check_data=False),
    }
    files = sorted(tmp_path.iterdir())
    assert len(files) == len(kinds)
    for path in files:
        kind = path.read_text(encoding="utf-8").split("\n")[0].removeprefix("kind: ")
        assert loaders[kind](path).id == path.stem


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")


def command_lines() -> list[tuple[str, str]]:
    return [
        (name, line)
        for path, name in zip(DOCUMENTS, NAMES, strict=True)
        for block in [*code_blocks(path, "sh"), *code_blocks(path, "console")]
        for line in re.sub(r"\\\n\s*", " ", block).splitlines()
        if re.match(r"\$? *b2b-sem ", line)
    ]


@pytest.mark.parametrize(("name", "line"), command_lines())
def test_commands_in_the_documents_exist_with_their_options(name: str, line: str) -> None:
    words = shlex.split(line.lstrip("$ "), comments=True)[1:]
    if words[0].startswith("-"):
        cli.make_context("b2b-sem", words, resilient_parsing=True)
        return
    context = cli.make_context("b2b-sem", words)
    _, command, rest = cli.resolve_command(context, words)
    assert command is not None, line
    command.make_context(command.name, rest, parent=context, resilient_parsing=False)
