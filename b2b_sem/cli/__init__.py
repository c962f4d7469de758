"""The command line: one module per command, loaded when the command is used."""

from __future__ import annotations


def main() -> None:
    """Run ``b2b-sem`` with the arguments of the process and leave with its exit code."""
    import sys

    from b2b_sem.cli.app import run

    sys.exit(run())
