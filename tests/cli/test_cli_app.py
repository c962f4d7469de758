"""The group: help, unknown words, and how every kind of failure reaches the user."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import click
import pytest

from b2b_sem.cli import app
from b2b_sem.errors import B2BSemWarning, DataError, ModelError

COMMANDS = ["copy", "fit", "invariance", "list", "run", "simulate", "survey"]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch):
    """Let `b2b-sem list` do something else."""

    def install(action) -> None:
        @click.command("list")
        def command() -> int | None:
            return action()

        usual = app.cli.get_command
        monkeypatch.setattr(app.cli, "get_command", lambda ctx, name: command if name == "list" else usual(ctx, name))

    return install


def raiser(error: BaseException):
    def action() -> None:
        raise error

    return action


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in shown
    assert "Exit codes: 0 done; 1 the analysis ran and says no" in " ".join(shown.split())


@pytest.mark.parametrize("name", [*COMMANDS, "survey list", "survey show"])
def test_every_command_has_a_help_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([*name.split(), "-h"]) == 0
    assert f"Usage: b2b-sem {name}" in capsys.readouterr().out


def test_without_a_command_the_help_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Usage: b2b-sem")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import b2b_sem

    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out == f"b2b-sem {b2b_sem.__version__}\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["survey", "shwo"], "No such command 'shwo'. Did you mean 'show'?"),
        (["fit", "--likelihod", "x", "x.lav"], "No such option '--likelihod'. Did you mean '--likelihood'?"),
        (["fit"], "Missing argument 'MODEL'"),
        (["run", "demo", "--jobs", "0"], "Invalid value for '--jobs': 0 is not in the range x>=1."),
        (["run", "demo", "--engine", "lavaan"], "'lavaan' is not one of 'auto', 'semopy', 'native'"),
        (["run", "demo", "--seed", "-1"], "Invalid value for '--seed'"),
        (["simulate", "lima2026", "--n", "ten", "--seed", "1", "--out", "x.csv"], "'ten' is not a valid integer"),
        (["simulate", "lima2026", "--n", "0", "--seed", "1", "--out", "x.csv"], "Invalid value for '--n'"),
        (["simulate", "lima2026", "--n", "5", "--out", "x.csv"], "Missing option '--seed'"),
        (["list", "more"], "unexpected extra argument"),
    ],
)
def test_wrong_words_are_one_message_and_exit_code_2(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(args) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert said in shown.err
    assert "--help' shows what can be given" in shown.err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("row 3 is wrong", file="x.csv", hint="mend it"), 2, "error: x.csv: row 3 is wrong\n  -> mend it\n"),
        (ModelError("not identified"), 1, "error: not identified\n"),
        (PermissionError(13, "Permission denied", "out.json"), 2, "error: out.json: Permission denied\n"),
        (OSError("disk is gone"), 2, "error: disk is gone\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (MemoryError(), 2, "error: not enough memory for this job\n  -> ask for fewer respondents or use fewer rows\n"),
    ],
)
def test_failures_are_one_message_with_their_exit_code(
    say, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    say(raiser(error))
    assert app.run(["list"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == said


def test_a_defect_asks_for_a_report_and_shows_no_traceback(say, capsys: pytest.CaptureFixture[str]) -> None:
    say(raiser(KeyError("lost")))
    assert app.run(["list"]) == 70
    shown = capsys.readouterr().err
    assert shown.startswith("error: unexpected KeyError: 'lost'\n")
    assert "please report it" in shown
    assert "B2B_SEM_TRACEBACK=1" in shown
    assert "Traceback" not in shown


def test_the_traceback_is_there_for_who_asks(
    say, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("B2B_SEM_TRACEBACK", "1")
    say(raiser(DataError("bad cell")))
    assert app.run(["list"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert shown.endswith("error: bad cell\n")


def test_the_exit_code_of_a_command_is_passed_on(say) -> None:
    say(lambda: 1)
    assert app.run(["list"]) == 1


def test_own_warnings_are_lines_on_stderr_and_those_of_libraries_are_not(
    say, capsys: pytest.CaptureFixture[str]
) -> None:
    def action() -> None:
        warnings.warn("two items are nearly equal", B2BSemWarning, stacklevel=1)
        warnings.warn("old spelling", DeprecationWarning, stacklevel=1)
        click.echo("done")

    say(action)
    assert app.run(["list"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "done\n"
    assert shown.err == "warning: two items are nearly equal\n"


def start(*args: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "b2b_sem", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "b2b_sem", "survey", "show", "lima2026"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


def test_a_terminal_without_unicode_does_not_stop_the_command(tmp_path: Path) -> None:
    survey = tmp_path / "s.yaml"
    survey.write_text(
        "kind: survey\nschema_version: 1\nid: s\ntitle: Fragen → Antworten\nformat: {high: 7}\n"
        "scales:\n  AA:\n    name: grade\n    items: {aa1: 'none?'}\n",
        encoding="utf-8",
    )
    process = start("survey", "show", str(survey), env={**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"})
    out, err = process.communicate()
    assert err == ""
    assert process.returncode == 0
    assert "Fragen \\u2192 Antworten" in out


def test_the_installed_command_runs() -> None:
    command = Path(sys.executable).with_name("b2b-sem")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("b2b-sem ")
