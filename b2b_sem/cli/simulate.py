"""``b2b-sem simulate``: answers of respondents who do not exist."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import click


@click.command("simulate", short_help="Draw simulated respondents from a population.")
@click.argument("sim")
@click.option(
    "--n", "nobs", type=click.IntRange(min=1, max=1_000_000_000), required=True, help="Number of respondents."
)
@click.option("--seed", type=click.IntRange(min=0), required=True, help="The same seed gives the same file.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="F.csv", help="The data file to write (CSV)."
)
@click.option("--truth", type=click.Path(path_type=Path), metavar="F.csv", help="Also write the population values.")
@click.option("--codebook", type=click.Path(path_type=Path), metavar="F.csv", help="Also write what the columns mean.")
@click.option("--force", is_flag=True, help="Replace files that hold other data.")
def command(sim: str, nobs: int, seed: int, out: Path, truth: Path | None, codebook: Path | None, force: bool) -> None:
    """Draw N respondents from the population SIM and write their answers as CSV.

    Answers are stored as given, before reverse coding, as a survey tool would export them.
    """
    from b2b_sem.cli.output import check_file, say
    from b2b_sem.errors import B2BSemError

    paths = {"--out": out, "--truth": truth, "--codebook": codebook}
    given = {option: path for option, path in paths.items() if path is not None}
    for path in given.values():
        check_file(path)
        if path.suffix.lower() != ".csv":
            raise B2BSemError("only CSV can be written", file=path, hint="use a name that ends in .csv")
    for first, second in combinations(given, 2):
        if given[first].resolve() == given[second].resolve():
            raise B2BSemError(f"{first} and {second} name the same file", file=given[first], hint="use two names")
    from b2b_sem.results.io import write_text
    from b2b_sem.simulate.respond import simulate

    data = simulate(sim, n=nobs, seed=seed)
    texts = {out: data.frame.to_csv(index=False, lineterminator="\n")}
    if truth is not None:
        texts[truth] = data.truth.to_csv(index=False, lineterminator="\n")
    if codebook is not None and data.codebook is not None:
        texts[codebook] = data.codebook.to_csv(index=False, lineterminator="\n")
    for path, text in texts.items():
        # the same command gives the same file; other answers, perhaps of real people, are not replaced unasked
        if not force and path.exists() and path.read_bytes() != text.encode():
            raise B2BSemError(
                "this file exists and holds other data", file=path, hint="name another file, or give --force to replace"
            )
    for path, text in texts.items():
        write_text(path, text)
    if truth is not None:
        say(f"population values -> {truth}")
    if codebook is not None:
        say(f"codebook -> {codebook}")
    say(f"{len(data.frame)} simulated respondents, {data.frame.shape[1]} columns -> {out}")
