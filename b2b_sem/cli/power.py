"""``b2b-sem power``: how probable a test finds what is there, and how many respondents that takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from b2b_sem.cli.power_theory import CURVE, THEORY, numbers, show_power, theory_options, theory_settings
from b2b_sem.cli.sampling import check_workers, worker_options


@click.command("power", short_help="Compute power and sample size for a model in a population.")
@click.argument("sim")
@click.option("--model", metavar="MODEL", help="The model to be fitted (default: that of SIM).")
@click.option(
    "--n",
    "nobs",
    type=click.IntRange(min=2),
    help="Respondents of all groups together (default: SIM's); where a search starts.",
)
@click.option(
    "--power", "asked", type=float, default=0.80, help="Power that respondents are counted for (default: 0.80)."
)
@click.option("--alpha", type=float, help="Error rate of each test (default: 0.05).")
@click.option(
    "--restriction", "restrictions", multiple=True, metavar="TEXT", help="Also test labels: 'a == b'; repeatable."
)
@click.option("--shares", metavar="A,B", help="By theory: respondents in each group, in any unit (default: equal).")
@click.option("--detectable", is_flag=True, help="By theory: also find the smallest effects that N detect.")
@theory_options
@click.option(
    "--curve", metavar="N,N", help="Numbers of respondents of curve.csv; by samples: also draw these numbers."
)
@click.option("--replications", type=click.IntRange(min=10), metavar="R", help="Count power in R samples of each size.")
@click.option("--search", is_flag=True, help="By samples: search the respondents that --power needs.")
@click.option("--effect", metavar="PATH", help="By samples: search the smallest 'Y ~ X' that N respondents detect.")
@click.option(
    "--test", "tests", multiple=True, metavar="NAME", help="By samples: 'Y~X', 'X -> M -> Y', P1; repeatable."
)
@click.option("--precision", type=float, help="Of a search: half width of the interval, relative (default: 0.05).")
@click.option(
    "--largest", type=click.IntRange(min=2), metavar="N", help="Of --search: most respondents that are tried."
)
@click.option("--change", metavar="NAME", help="Of a Monte Carlo file: which change of the population.")
@click.option("--variant", metavar="NAME", help="Of a Monte Carlo file: which options of the fit.")
@click.option(
    "--failures", type=click.Choice(["count", "exclude"]), help="Samples without a solution (default: count)."
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the samples (default: that of SIM).")
@worker_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write power.csv, curve.csv, power.html (figures) and power.json here; by samples also shares.csv.",
)
def command(
    sim: str,
    model: str | None,
    nobs: int | None,
    asked: float,
    alpha: float | None,
    restrictions: tuple[str, ...],
    shares: str | None,
    detectable: bool,
    curve: str | None,
    out: Path | None,
    replications: int | None,
    search: bool,
    effect: str | None,
    tests: tuple[str, ...],
    **sampling: Any,
) -> int:
    """Compute the power of the tests of a model in the population SIM.

    SIM is a simulation file (its id or path), or a file in lavaan syntax (.lav, .txt) with a number for every
    parameter, such as 'Y ~ .3*X'; groups differ by 'c(.3, .5)*X'. Such a file needs --model and --n.

    By theory without further options. With --replications power is counted in samples that are drawn and fitted, for
    SIM also a Monte Carlo file; --search finds the respondents that a power needs, --effect the smallest effect that
    respondents detect. The numbers do not depend on --jobs, --cluster or an interruption.
    """
    from b2b_sem.analysis.intake import model_text
    from b2b_sem.cli.output import check_directory
    from b2b_sem.simulate.power import power
    from b2b_sem.spec.loader import load_model

    if out is not None:
        check_directory(out)
    plain = Path(sim).suffix.lower() in (".lav", ".txt")
    population = model_text(Path(sim))[0] if plain else sim
    fitted = None if model is None else load_model(model)
    theory = theory_settings({name: sampling.pop(name) for name in THEORY})
    given = {k: v for k, v in sampling.items() if v is not None and v is not False}
    if replications is not None or search or effect is not None or _is_study(population):
        return _sampled(
            population, fitted, nobs, asked, alpha, restrictions, shares, detectable, curve, out, replications, search,
            effect, tests, given, theory,
        )  # fmt: skip
    late = "tests" if tests else next(iter(given), None)
    if late is not None:
        option = "--test" if late == "tests" else f"--{late}"
        raise click.UsageError(
            f"'{option}' is for power by samples: give '--replications', '--search' or '--effect', too.",
            click.get_current_context(),
        )
    sizes = numbers("--curve", CURVE if curve is None else curve)
    if shares is not None:
        theory["shares"] = numbers("--shares", shares)
    result = power(
        population,
        fitted,
        nobs=nobs,
        power=asked,
        alpha=alpha,
        restrictions=restrictions,
        replications=None,
        detectable=detectable,
        **theory,
    )
    show_power(result, [int(n) for n in sizes], out)
    return 0


def _is_study(population: str) -> bool:
    """Whether this is a Monte Carlo file, which power is counted for without further options."""
    from b2b_sem.simulate.sampled import load_source
    from b2b_sem.spec.montecarlo import MonteCarloSpec

    return isinstance(load_source(population), MonteCarloSpec)


def _sampled(
    population: str,
    model: Any,
    nobs: int | None,
    asked: float,
    alpha: float | None,
    restrictions: tuple[str, ...],
    shares: str | None,
    detectable: bool,
    curve: str | None,
    out: Path | None,
    replications: int | None,
    search: bool,
    effect: str | None,
    tests: tuple[str, ...],
    given: dict[str, Any],
    theory: dict[str, Any],
) -> int:
    """Check what goes together, and count power by samples."""
    from b2b_sem.cli.power_sample import run_sampled

    context = click.get_current_context()
    mode = "effect" if effect is not None else "rows" if search else "power"
    if search and effect is not None:
        raise click.UsageError("Give either '--search' or '--effect'.", context)
    alone = [(f"--{name.replace('_', '-')}", name in theory) for name in ("steps", "missing_rate", "rmsea", "hold")]
    for name, wrong in (("--shares", shares is not None), ("--detectable", detectable), *alone):
        if wrong:
            raise click.UsageError(f"'{name}' is for power by theory: leave it out.", context)
    for name, allowed in (("precision", mode != "power"), ("largest", mode == "rows")):
        if name in given and not allowed:
            raise click.UsageError(f"'--{name}' is for a search: give '--search', too.", context)
    if curve is not None and mode != "power":
        raise click.UsageError("'--curve' is for power at given numbers: a search chooses its own.", context)
    if effect is not None and len(tests) > 1:
        raise click.UsageError("'--effect' is found by one test: give '--test' once.", context)
    check_workers(given.get("jobs"), given.get("cluster"))
    if given.get("resume") and (out is None or mode == "effect"):
        raise click.UsageError("'--resume' needs the '--out' of the run that was broken off.", context)
    settings: dict[str, Any] = {
        k: given[k] for k in ("change", "variant", "failures", "seed", "jobs", "cluster") if k in given
    }
    settings |= theory  # what is left are options of the fit
    if alpha is not None:
        settings["alpha"] = alpha
    if restrictions:
        settings["restrictions"] = restrictions
    return run_sampled(
        population,
        model,
        out=out,
        resume=bool(given.get("resume")),
        mode=mode,
        nobs=nobs,
        effect=effect,
        sizes=[] if curve is None else [int(n) for n in numbers("--curve", curve)],
        tests=tests,
        replications=replications,
        settings={**settings, "power": asked},
        search={k: given[k] for k in ("precision", "largest") if k in given},
    )
