"""The command group, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence

import click

from b2b_sem.errors import B2BSemError, B2BSemWarning

__all__ = ["EXIT_BUG", "EXIT_INTERRUPTED", "EXIT_PIPE", "EXIT_USAGE", "TRACEBACK_VARIABLE", "cli", "run"]

EXIT_USAGE = 2
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_PIPE = 141  # 128 + SIGPIPE
TRACEBACK_VARIABLE = "B2B_SEM_TRACEBACK"

_COMMANDS = (
    "compare-groups",
    "copy",
    "cutoffs",
    "diagram",
    "fit",
    "fit-power",
    "invariance",
    "lesson",
    "list",
    "moderation",
    "montecarlo",
    "plan",
    "power",
    "probe",
    "run",
    "simulate",
    "survey",
    "verify",
)


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the help page."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return its ``command``; None for an unknown name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"b2b_sem.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; the message on an unknown one names the closest, also when none is imported yet."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=_COMMANDS, ctx=ctx) from None


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"b2b-sem {version('b2b-sem')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    epilog="Exit codes: 0 done; 1 the analysis ran and says no (for example, it did not converge); "
    "2 the input is wrong.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Structural equation models for B2B influencer research: from questionnaire to verdict.

    STUDY, MODEL, SIM and SURVEY name a bundled file by its bare id (`b2b-sem list` shows them) or your own file by
    its path.
    """


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Every failure becomes one message on stderr that starts with ``error:``. A traceback is printed only when the
    environment variable ``B2B_SEM_TRACEBACK`` is set.

    Parameters
    ----------
    args : sequence of str, optional
        Arguments without the program name. Default: those of the process.

    Returns
    -------
    int
        0 done; 1 the analysis ran and says no; 2 the input is wrong; 70 a defect of the program; 130 interrupted;
        141 the reader of stdout went away.
    """
    for stream in (sys.stdout, sys.stderr):
        # a terminal that cannot show a letter must not stop the analysis
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _warnings_as_messages():
            code = _invoke(list(sys.argv[1:] if args is None else args))
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)  # the help page; there is no other message to give
        return EXIT_USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "b2b-sem"
        return _fail(f"{error.format_message()}\n  -> '{where} --help' shows what can be given", EXIT_USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), EXIT_USAGE)
    except B2BSemError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # whoever read stdout (such as `head`) has enough; point it elsewhere so that the final flush is silent
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except RecursionError:
        return _fail("an expression or a file is nested too deeply\n  -> split it into several parts", EXIT_USAGE)
    except OSError as error:
        name = f"{os.fspath(error.filename)}: " if isinstance(error.filename, str | os.PathLike) else ""
        return _fail(f"{name}{error.strerror or error}", EXIT_USAGE)
    except MemoryError:
        return _fail("not enough memory for this job\n  -> ask for fewer respondents or use fewer rows", EXIT_USAGE)
    except Exception as error:
        return _fail(
            f"unexpected {type(error).__name__}: {error}\n"
            f"  -> This is a defect of the program: please report it, with the command and the output of the same "
            f"command under {TRACEBACK_VARIABLE}=1",
            EXIT_BUG,
        )
    return code


def _invoke(args: list[str]) -> int:
    # not cli.main(): it turns a closed pipe into exit code 1, which here means "the analysis says no"
    with cli.make_context("b2b-sem", args) as ctx:
        code = cli.invoke(ctx)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    if os.environ.get(TRACEBACK_VARIABLE) and sys.exc_info()[0] is not None:
        traceback.print_exc()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    click.echo(f"error: {message}", err=True)
    return code


@contextlib.contextmanager
def _warnings_as_messages() -> Iterator[None]:
    """Show our own warnings as one line on stderr; leave those of libraries to the traceback switch."""
    with warnings.catch_warnings():
        if not os.environ.get(TRACEBACK_VARIABLE):
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", B2BSemWarning)
        usual = warnings.showwarning

        def show(message, category, filename, lineno, file=None, line=None):
            if issubclass(category, B2BSemWarning):
                click.echo(f"warning: {message}", err=True)
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield
