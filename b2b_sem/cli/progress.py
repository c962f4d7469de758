"""How far a long run is and how long it will still take, on stderr."""

from __future__ import annotations

import sys
import time

import click

__all__ = ["ProgressLine", "duration"]


def duration(seconds: float) -> str:
    """Return a length of time as people write it: ``40 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class ProgressLine:
    """Counts work done: one line that is written over on a terminal, a line for each tenth elsewhere.

    The time left is that of the work which this run has still to do at the speed it has had so far; what an earlier run
    did does not count as speed.
    """

    def __init__(self, what: str, *, every: float = 0.5) -> None:
        self._what, self._every = what, every
        self._terminal = sys.stderr.isatty()
        self._began: float | None = None
        self._first = self._tenth = 0
        self._shown = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        now = time.monotonic()
        if self._began is None:
            self._began, self._first = now, done
        text = f"{self._what}: {done} of {total} ({100 * done / total:.0f}%)"
        if done > self._first and done < total:
            text += f", {duration((now - self._began) / (done - self._first) * (total - done))} left"
        tenth = 10 * done // total
        if self._terminal:
            if now - self._shown >= self._every or done == total:
                self._shown = now
                click.echo(f"\r{text:<78}", err=True, nl=False)
        elif tenth > self._tenth:
            self._tenth = tenth
            click.echo(text, err=True)

    def close(self) -> None:
        """End the line."""
        if self._terminal and self._began is not None:
            click.echo(err=True)
