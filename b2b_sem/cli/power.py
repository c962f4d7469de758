"""``b2b-sem power``: how probable a test finds what is there, and how many respondents that takes."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("power", short_help="Compute power and sample size for a model in a population.")
@click.argument("sim")
@click.option("--model", metavar="MODEL", help="The model to be fitted (default: that of SIM).")
@click.option("--n", "nobs", type=click.IntRange(min=2), help="Respondents of all groups together (default: SIM's).")
@click.option(
    "--power", "asked", type=float, default=0.80, help="Power that respondents are counted for (default: 0.80)."
)
@click.option("--alpha", type=float, default=0.05, help="Error rate of each test (default: 0.05).")
@click.option(
    "--restriction", "restrictions", multiple=True, metavar="TEXT", help="Also test labels: 'a == b'; repeatable."
)
@click.option("--shares", metavar="A,B", help="Respondents in each group, in any unit (default: equal).")
@click.option("--detectable", is_flag=True, help="Also find the smallest path that N respondents detect.")
@click.option(
    "--curve", metavar="N,N", default="50,100,150,200,300,400,600,800,1000", help="Numbers of respondents of curve.csv."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write power.csv, curve.csv, power.html (figures) and power.json here.",
)
def command(
    sim: str,
    model: str | None,
    nobs: int | None,
    asked: float,
    alpha: float,
    restrictions: tuple[str, ...],
    shares: str | None,
    detectable: bool,
    curve: str,
    out: Path | None,
) -> None:
    """Compute the power of the tests of a model in the population SIM, without drawing samples.

    SIM is a simulation file (its id or path), or a file in lavaan syntax (.lav, .txt) with a number for every
    parameter, such as 'Y ~ .3*X'; groups differ by 'c(.3, .5)*X'. Such a file needs --model and --n.
    """
    from b2b_sem.analysis.intake import model_text
    from b2b_sem.cli.output import check_directory, say, staged_directory
    from b2b_sem.results.io import write_json, write_text
    from b2b_sem.simulate.power import power
    from b2b_sem.spec.loader import load_model

    if out is not None:
        check_directory(out)
    sizes = _numbers("--curve", curve)
    plain = Path(sim).suffix.lower() in (".lav", ".txt")
    result = power(
        model_text(Path(sim))[0] if plain else sim,
        None if model is None else load_model(model),
        nobs=nobs,
        power=asked,
        alpha=alpha,
        restrictions=restrictions,
        shares=None if shares is None else _numbers("--shares", shares),
        detectable=detectable,
    )
    click.echo(result.summary())
    if out is None:
        return
    tables = {"power.csv": result.table, "curve.csv": result.curve(int(n) for n in sizes)}
    from b2b_sem.report.page import write_figures

    with staged_directory(out, listing="power.json") as stage:
        for name, table in tables.items():
            write_text(stage / name, table.to_csv(index=False, lineterminator="\n"))
        write_figures(result, stage / "power.html")
        files = [{"path": name} for name in (*tables, "power.html", "power.json")]
        write_json(stage / "power.json", {**result.to_json(), "files": files})
    say(f"power.csv, curve.csv, power.html, power.json -> {out}")


def _numbers(option: str, text: str) -> list[float]:
    """Return numbers written with commas between them."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) <= 0 or (option == "--curve" and min(numbers) < 2):
        raise click.BadParameter(f"'{text}' is no list of positive numbers, such as 100,200", param_hint=f"'{option}'")
    return numbers
