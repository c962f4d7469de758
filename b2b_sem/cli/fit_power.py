"""``b2b-sem fit-power``: power of tests of fit from degrees of freedom alone."""

from __future__ import annotations

from pathlib import Path

import click

from b2b_sem.cli.power_theory import CURVE, numbers, show_power


@click.command("fit-power", short_help="Compute power of tests of fit (RMSEA) from degrees of freedom.")
@click.argument("df", type=click.IntRange(min=1))
@click.option("--n", "nobs", type=click.IntRange(min=2), required=True, help="Respondents of all groups together.")
@click.option("--null", metavar="A", help="RMSEA by the hypothesis.")
@click.option("--alternative", metavar="A", help="RMSEA in the population.")
@click.option("--larger", type=int, metavar="DF", help="Test DF against a model with these degrees of freedom.")
@click.option("--groups", type=click.IntRange(min=1), default=1, help="Number of groups (default: 1).")
@click.option(
    "--power", "asked", type=float, default=0.80, help="Power that respondents are counted for (default: 0.80)."
)
@click.option("--alpha", type=float, default=0.05, help="Error rate of each test (default: 0.05).")
@click.option("--curve", metavar="N,N", default=CURVE, help="Numbers of respondents of curve.csv.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write power.csv, curve.csv, power.html (figures) and power.json here.",
)
def command(
    df: int,
    nobs: int,
    null: str | None,
    alternative: str | None,
    larger: int | None,
    groups: int,
    asked: float,
    alpha: float,
    curve: str,
    out: Path | None,
) -> None:
    """Compute the power of tests about RMSEA for a model with DF degrees of freedom.

    Without --null and --alternative: close fit (0.05, where it is 0.08), not close fit (0.05, where it is 0.01) and
    exact fit (0, where it is 0.05).

    With --larger the test of two nested models: DF are those of the restricted one, and RMSEA are pairs, that of the
    restricted model first, such as --alternative 0.06,0.04.
    """
    from b2b_sem.analysis.fit_power import fit_power
    from b2b_sem.cli.output import check_directory

    if out is not None:
        check_directory(out)
    sizes = [int(n) for n in numbers("--curve", curve)]
    result = fit_power(
        df,
        nobs,
        null=_rmsea("--null", null),
        alternative=_rmsea("--alternative", alternative),
        larger=larger,
        power=asked,
        alpha=alpha,
        groups=groups,
    )
    show_power(result, sizes, out)


def _rmsea(option: str, text: str | None) -> float | tuple[float, float] | None:
    if text is None:
        return None
    found = numbers(option, text, least=0.0)
    if len(found) > 2:
        raise click.BadParameter(f"'{text}' are more than two RMSEA", param_hint=f"'{option}'")
    return found[0] if len(found) == 1 else (found[0], found[1])
