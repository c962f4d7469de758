"""The levels of the house: a module imports only lower ones, wherever in the file the import stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "b2b_sem"

LEVELS = {
    "errors": 0,
    "resources": 0,
    "spec": 1,
    "data": 2,
    "measures": 2,
    "results": 3,
    "engine": 4,
    "analysis": 5,
    "propositions": 6,
    "simulate": 7,
    "study": 7,
    "verify": 7,
    "report": 8,
    "cli": 9,
    "__main__": 10,
}
#: The steps sideways: a study may run on simulated respondents, and whoever repeats runs needs both.
SIDEWAYS = {("study", "simulate"), ("verify", "study"), ("verify", "simulate"), ("resources", "errors")}
#: Who may import what: `import x` outside these places fails.
ONLY_IN = {
    "semopy": ("engine/semopy_adapter.py",),
    "factor_analyzer": ("measures/", "analysis/"),
    "plotly": ("report/",),
    "jinja2": ("report/",),
    "click": ("cli/",),
    "lark": ("spec/",),
    "ruamel": ("spec/",),
    "pydantic": ("spec/",),
    "pyreadstat": ("data/",),
    "openpyxl": ("data/",),
    "distributed": ("engine/cluster.py",),
}


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute module) of every import in a module of `package`, function-local ones included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                parts = package.split(".")
                base = ".".join(parts[: len(parts) - node.level + 1] + ([node.module] if node.module else []))
            else:
                base = node.module or ""
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute | ast.Name)
            and (node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id)
            in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def violations(source: str, name: str) -> list[str]:
    """Return what `source`, the module b2b_sem.<name> (``a/b.py``), imports against the rules."""
    room = name.split("/")[0].removesuffix(".py")
    package = ".".join(["b2b_sem", *name.split("/")[:-1]])
    found = []
    for line, module in imported(source, package):
        parts = module.split(".")
        for library, places in ONLY_IN.items():
            if parts[0] == library and not name.startswith(places):
                found.append(f"{name}:{line}: {library} may be imported only in {', '.join(places)}")
        if parts[0] != "b2b_sem":
            continue
        if len(parts) == 1:
            found.append(f"{name}:{line}: imports the public facade instead of the module that holds the name")
            continue
        target = parts[1]
        if target not in LEVELS:
            found.append(f"{name}:{line}: {module} is not a room of the house (or is a name of the public facade)")
        elif target != room and LEVELS[target] >= LEVELS[room] and (room, target) not in SIDEWAYS:
            found.append(f"{name}:{line}: level {LEVELS[room]} ({room}) imports level {LEVELS[target]} ({module})")
    return sorted(set(found))


MODULES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("name", [m for m in MODULES if m != "__init__.py"])
def test_imports_go_down(name: str) -> None:
    assert violations((PACKAGE / name).read_text(encoding="utf-8"), name) == []


def test_every_module_is_in_a_room_with_a_level() -> None:
    rooms = {m.split("/")[0].removesuffix(".py") for m in MODULES} - {"__init__"}
    assert rooms <= set(LEVELS)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("spec/model.py", "from b2b_sem.data.read import read_responses"),
        ("spec/model.py", "def f():\n    from b2b_sem.engine.native import loss"),
        ("data/read.py", "import b2b_sem.measures.fit"),
        ("measures/fit.py", "from b2b_sem import data"),
        ("report/html.py", "from ..cli import app"),
        ("simulate/respond.py", "from b2b_sem.study import run_study"),
        ("errors.py", "import b2b_sem.resources"),
        ("analysis/structural.py", "from b2b_sem import fit"),
        ("analysis/structural.py", "import b2b_sem"),
        ("analysis/structural.py", "import semopy"),
        ("engine/base.py", "import importlib\nimportlib.import_module('b2b_sem.report.html')"),
        ("results/fit.py", "if TYPE_CHECKING:\n    from b2b_sem.analysis.structural import fit"),
    ],
)
def test_the_check_finds_a_wrong_import(name: str, source: str) -> None:
    assert violations(source, name)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("study.py", "from b2b_sem.simulate.respond import simulate"),
        ("report/html.py", "from b2b_sem.results.study import StudyResult\nfrom . import tables\nimport plotly"),
        ("engine/semopy_adapter.py", "def f():\n    import semopy"),
        ("cli/run.py", "from b2b_sem.report.html import write_report"),
    ],
)
def test_the_check_lets_right_imports_pass(name: str, source: str) -> None:
    assert violations(source, name) == []


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_too_long(name: str) -> None:
    assert len((PACKAGE / name).read_text(encoding="utf-8").splitlines()) <= 700


@pytest.mark.parametrize("name", [m for m in MODULES if m.endswith("/__init__.py") and m != "cli/__init__.py"])
def test_package_files_hold_a_docstring_only(name: str) -> None:
    body = ast.parse((PACKAGE / name).read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def test_nothing_evaluates_text_as_code() -> None:
    calls = [
        f"{name}:{node.lineno}"
        for name in MODULES
        for node in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
    ]
    assert calls == []
