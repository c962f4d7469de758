from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from b2b_sem import resources
from b2b_sem.errors import SpecError


def test_every_kind_has_a_folder_with_files() -> None:
    for kind in resources.KINDS:
        assert resources.root(kind).is_dir()
        assert "lima2026" in resources.list_bundled(kind)


def test_readme_is_not_listed() -> None:
    assert all("README" not in name for kind in resources.KINDS for name in resources.list_bundled(kind))


def test_bundled_id_becomes_a_file() -> None:
    path = resources.resolve("surveys", "lima2026")
    assert path.is_file()
    assert path.name == "lima2026.yaml"


def test_wheel_folder_wins_over_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "b2b_sem"
    bundled = package / "_bundled" / "models"
    bundled.mkdir(parents=True)
    (bundled / "own.lav").write_text("F =~ a + b")
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(resources, "files", lambda name: package)
    assert resources.list_bundled("models") == ("own",)
    assert resources.resolve("models", "own") == bundled / "own.lav"


def test_missing_bundle_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "files", lambda name: tmp_path / "b2b_sem")
    with pytest.raises(SpecError, match="missing from this installation"):
        resources.root("models")


def test_unknown_id_lists_the_known_ones() -> None:
    with pytest.raises(SpecError) as caught:
        resources.resolve("surveys", "lima2062")
    assert "no bundled survey 'lima2062'. Did you mean 'lima2026'?" in str(caught.value)
    assert "Bundled surveys: lima2026" in str(caught.value)
    assert caught.value.exit_code == 2


def test_bare_name_of_a_local_file_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("x: 1")
    with pytest.raises(SpecError, match=r"\./mine\.yaml"):
        resources.resolve("models", "mine", tmp_path)


def test_path_is_relative_to_the_base(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("x: 1")
    assert resources.resolve("models", "mine.yaml", tmp_path) == tmp_path / "mine.yaml"
    assert resources.resolve("models", "./mine.yaml", tmp_path).samefile(tmp_path / "mine.yaml")
    assert resources.resolve("models", tmp_path / "mine.yaml", "/elsewhere") == tmp_path / "mine.yaml"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("./nothing.yaml", "there is no such file"),
        ("./lima2026.yaml", "named by its bare id: lima2026"),
        ("./", "this is a directory"),
        (" ", "the reference is empty"),
    ],
)
def test_bad_references(ref: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=message):
        resources.resolve("models", ref, tmp_path)


def test_unknown_kind() -> None:
    with pytest.raises(SpecError, match="Did you mean 'surveys'"):
        resources.root("survey")


def test_spec_and_resources_load_no_numeric_library() -> None:
    code = (
        "import sys, b2b_sem.spec.loader, b2b_sem.spec.schema;"
        "heavy = {'numpy', 'pandas', 'scipy', 'semopy', 'statsmodels', 'sklearn', 'plotly'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
