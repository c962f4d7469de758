"""``b2b-sem montecarlo``: many samples from a known population, and what the fits say about the method."""

from __future__ import annotations

import shutil
import sys

import click

from b2b_sem.cli.sampling import check_workers, fresh_blocks, worker_options


@click.command("montecarlo", short_help="Draw and fit many samples of a known population.")
@click.argument("study")
@click.option("--out", type=click.Path(), metavar="DIR", help="Where results go (default: results/<id of the study>).")
@click.option("--replications", type=click.IntRange(min=2), metavar="N", help="Samples of each condition.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed, instead of the study's own.")
@worker_options
def command(
    study: str,
    out: str | None,
    replications: int | None,
    seed: int | None,
    jobs: int | None,
    cluster: str | None,
    resume: bool,
) -> int:
    """Run the Monte Carlo STUDY and write results.json, report.html, tables/*.csv and manifest.json.

    Finished blocks of samples are kept in DIR/.samples until the results are written: --resume goes on from there. The
    numbers do not depend on --jobs, --cluster or an interruption.
    """
    import time

    from b2b_sem.cli.inputs import copy_configs
    from b2b_sem.cli.output import result_folder, say, staged_directory
    from b2b_sem.cli.progress import ProgressLine
    from b2b_sem.spec.loader import load_montecarlo

    check_workers(jobs, cluster)
    started = time.monotonic()
    spec = load_montecarlo(study)
    target = result_folder(out, spec.id)

    from b2b_sem.results.provenance import MANIFEST_NAME, write_manifest
    from b2b_sem.simulate.experiment import monte_carlo
    from b2b_sem.simulate.folder import MARK

    kept = fresh_blocks(target, MARK, resume=resume)
    line = ProgressLine("samples")
    try:
        result = monte_carlo(
            spec, replications=replications, seed=seed, jobs=jobs or 1, cluster=cluster, folder=kept, progress=line
        )
    finally:
        line.close()

    from b2b_sem.report.montecarlo import verdict_lines, write_monte_carlo_report, write_monte_carlo_tables

    say("writing the report")
    with staged_directory(target, listing=MANIFEST_NAME) as stage:
        result.save(stage / "results.json")
        write_monte_carlo_tables(result, stage / "tables")
        write_monte_carlo_report(result, stage / "report.html")
        write_manifest(
            stage,
            command=["b2b-sem", *sys.argv[1:]],
            seed=result.seed,
            digests=result.provenance["digests"],
            extra={
                "montecarlo": result.id,
                "replications": result.replications_each,
                "arguments": {"seed": seed},
                "configs": copy_configs(spec, stage),
            },
            seconds=time.monotonic() - started,
        )
    shutil.rmtree(kept, ignore_errors=True)
    for text in verdict_lines(result):
        click.echo(text)
    click.echo(f"report: {target / 'report.html'}")
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    solved = result.replications["converged"].max() > 0
    if not solved:
        click.echo("error: no sample of any condition gave a usable solution", err=True)
    return 0 if solved else 1
