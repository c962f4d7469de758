"""The checkout: dependencies, locks, addresses, and the files that go into the wheel."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from importlib.metadata import requires
from pathlib import Path

import pytest

from b2b_sem.resources import KINDS, list_bundled

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: Distributions whose import name differs.
IMPORT_NAMES = {"scikit-learn": "sklearn", "factor-analyzer": "factor_analyzer", "ruamel.yaml": "ruamel"}


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return match.group()


@cache
def imports_of_the_package() -> frozenset[str]:
    found = set()
    for path in (ROOT / "b2b_sem").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return frozenset(found)


def project_files() -> list[Path]:
    """Return the files under version control, or, without git, all files outside the folders of tools."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode == 0 and done.stdout:
        return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]
    skipped = {".venv", ".venv-docs", ".git", "results", "site", "build", "dist", "__pycache__"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(part in skipped or part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])
    ]


#: Dependencies that only another dependency imports, and which: their release decides whether that one works.
THROUGH = {"scikit-learn": "factor-analyzer"}


@pytest.mark.parametrize("requirement", PROJECT["project"]["dependencies"])
def test_every_dependency_is_used(requirement: str) -> None:
    name = requirement_name(requirement)
    if name in THROUGH:
        needed = {requirement_name(r) for r in requires(THROUGH[name]) or ()}
        assert name in needed, f"{THROUGH[name]} does not need {name}"
        name = THROUGH[name]
    assert IMPORT_NAMES.get(name, name) in imports_of_the_package(), f"{name} is installed for nothing"


def test_every_imported_library_is_a_dependency() -> None:
    declared = {IMPORT_NAMES.get(n, n) for n in map(requirement_name, PROJECT["project"]["dependencies"])}
    optional = {"pyarrow", "distributed"}
    allowed = declared | optional | set(sys.stdlib_module_names) | {"b2b_sem"}
    assert imports_of_the_package() - allowed == set()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-docs.lock"])
def test_lock_has_a_hash_for_every_pin_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry.split()[0]


def test_lock_covers_every_dependency() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", text, flags=re.MULTILINE))
    groups = PROJECT["dependency-groups"]
    wanted = {requirement_name(r).lower().replace("_", "-") for r in PROJECT["project"]["dependencies"] + groups["dev"]}
    assert {name.replace(".", "-") for name in wanted} <= {name.replace(".", "-").replace("_", "-") for name in pinned}


# Built from pieces, so that this file does not find itself.
FORBIDDEN = {
    "a package registry": re.compile(
        r"\b(?:files\.pythonhosted\.org|[a-z.-]*" + r"pypi" + r"\.[a-z]+|registry\.npmjs" + r"\.org)"
    ),
    "a path of one machine": re.compile(r"(?<![\w.~])/(?:" + "work" + "|" + "home" + "|" + "Users" + r")/\w"),
    "a temporary path": re.compile(r"(?<![\w.~])/" + "tmp" + r"/\w"),
}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_no_address_or_machine_path_in_the_project(what: str) -> None:
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures
        for number, line in enumerate(text.splitlines(), 1):
            if FORBIDDEN[what].search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == [], f"{what} stands in the project"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a package registry", "see " + "pypi" + ".org/simple"),
        ("a path of one machine", "/" + "home" + "/someone/data.csv"),
        ("a temporary path", "open('/" + "tmp" + "/x')"),
    ],
)
def test_the_search_finds_what_it_looks_for(what: str, text: str) -> None:
    assert FORBIDDEN[what].search(text)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_package_and_the_bundled_files_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"b2b_sem", f"b2b_sem-{PROJECT['project']['version']}.dist-info"}
    for kind in KINDS:
        carried = {name.split("/")[-1] for name in names if name.startswith(f"b2b_sem/_bundled/{kind}/")}
        assert {p.name for p in (ROOT / kind).iterdir() if p.is_file()} == carried
    assert not [name for name in names if "/tests/" in name or name.endswith(".pyc")]


def test_wheel_finds_its_bundled_files_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(site)
    empty.mkdir()
    program = (
        "import b2b_sem, json\n"
        "from b2b_sem.resources import KINDS, list_bundled\n"
        "print(json.dumps([b2b_sem.__file__, [list_bundled(k) for k in KINDS]]))"
    )
    # -P: not the working directory; PYTHONPATH comes before the editable install
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    import json

    origin, listed = json.loads(done.stdout)
    assert Path(origin).is_relative_to(site)
    assert listed == [list(list_bundled(kind)) for kind in KINDS]
    assert all(listed)
