from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import pytest

from b2b_sem.errors import DataError
from b2b_sem.results.provenance import now, sha256, versions, write_manifest


def test_versions_name_python_this_package_and_the_numeric_libraries() -> None:
    import numpy
    import pandas

    found = versions()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == numpy.__version__
    assert found["pandas"] == pandas.__version__
    assert set(found) >= {"b2b-sem", "scipy", "semopy"}


def test_sha256_of_a_file_and_of_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(DataError, match="cannot read the file: No such file"):
        sha256(tmp_path / "y")
    with pytest.raises(DataError, match="cannot read the file"):
        sha256(tmp_path)


def test_now_is_utc_and_can_be_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1779000000")
    assert now() == "2026-05-17T06:40:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert now() > "2026-01-01T00:00:00Z"
    assert now().endswith("Z")


def test_manifest_lists_every_file_in_name_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "tables").mkdir(parents=True)
    (out / "results.json").write_text("{}", encoding="utf-8")
    (out / "tables" / "fit.csv").write_text("a,b\n", encoding="utf-8")
    (out / ".hidden").write_text("", encoding="utf-8")
    (out / "manifest.json").write_text("an older one", encoding="utf-8")
    data = tmp_path / "d.csv"
    data.write_text("x\n1\n", encoding="utf-8")
    path = write_manifest(
        out,
        command=["b2b-sem", "run", "demo"],
        seed=7,
        inputs=[data],
        digests={"models/m": "ab"},
        extra={"engine": "native"},
    )
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["path"] for entry in manifest["files"]] == ["results.json", "tables/fit.csv"]
    assert manifest["files"][1] == {"path": "tables/fit.csv", "sha256": sha256(out / "tables" / "fit.csv"), "bytes": 4}
    assert manifest["inputs"] == [{"path": str(data), "sha256": sha256(data), "bytes": 4}]
    assert manifest["command"] == ["b2b-sem", "run", "demo"]
    assert (manifest["seed"], manifest["engine"], manifest["digests"]) == (7, "native", {"models/m": "ab"})
    assert manifest["versions"] == versions()


def test_manifest_of_an_input_that_is_gone_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        write_manifest(tmp_path, command=[], seed=None, inputs=[tmp_path / "gone.csv"])
    assert list(tmp_path.iterdir()) == []
