"""``b2b-sem plan``: how many respondents each proposition needs."""

from __future__ import annotations

import shutil
import sys

import click

from b2b_sem.cli.sampling import check_workers, fresh_blocks, worker_options

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command("plan", short_help="Find how many respondents each proposition needs.")
@click.argument("plan")
@click.option("--out", metavar="DIR", help="Where the results go (default: results/<id of the plan>).")
@click.option("--power", type=_SHARE, help="Power that is asked for (default: that of PLAN).")
@click.option("--only", multiple=True, metavar="ID", help="Plan for this proposition only; repeatable.")
@click.option("--samples", type=click.IntRange(min=5), help="Samples in a batch (default: PLAN's).")
@click.option("--batches", type=click.IntRange(min=3), help="Most batches of a search (default: PLAN's).")
@click.option("--precision", type=_SHARE, help="Half width of intervals, relative (default: PLAN's, else 0.05).")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the seed of PLAN.")
@worker_options
def command(
    plan: str,
    out: str | None,
    power: float | None,
    only: tuple[str, ...],
    samples: int | None,
    batches: int | None,
    precision: float | None,
    seed: int | None,
    jobs: int | None,
    cluster: str | None,
    resume: bool,
) -> int:
    """Find how many respondents the propositions of PLAN need, for each size of their effects.

    PLAN is a plan file (its id or path), such as the bundled lima2026_plan; 'b2b-sem copy lima2026_plan .' gives one to
    start from. Samples are drawn and judged as a study judges them, until the number of respondents with the asked
    power is known well enough. Writes report.html, results.json, manifest.json and tables/ to DIR.

    Finished samples are kept in DIR/.samples until the results are written: --resume goes on from there. The numbers do
    not depend on --jobs, --cluster or an interruption.
    """
    from b2b_sem.cli.output import result_folder, say, staged_directory
    from b2b_sem.cli.progress import ProgressLine
    from b2b_sem.spec.loader import load_plan

    check_workers(jobs, cluster)
    spec = load_plan(plan)
    target = result_folder(out, spec.id)

    from b2b_sem.simulate.plan import MARK, plan_sample

    kept = fresh_blocks(target, MARK, resume=resume)
    line = ProgressLine("searches")
    try:
        result = plan_sample(
            spec,
            seed=seed,
            power=power,
            only=only,
            samples=samples,
            batches=batches,
            precision=precision,
            jobs=jobs or 1,
            cluster=cluster,
            folder=kept,
            progress=line,
        )
    finally:
        line.close()

    from b2b_sem.report.plan import write_plan_report, write_plan_tables
    from b2b_sem.results.provenance import MANIFEST_NAME, write_manifest

    say("writing the report")
    with staged_directory(target, listing=MANIFEST_NAME) as stage:
        result.save(stage / "results.json")
        write_plan_tables(result, stage / "tables")
        write_plan_report(result, stage / "report.html")
        write_manifest(
            stage,
            command=["b2b-sem", *sys.argv[1:]],
            seed=result.seed,
            digests=result.provenance["digests"],
            extra={"plan": result.id, "power": result.power},
        )
    shutil.rmtree(kept, ignore_errors=True)
    click.echo(result.summary())
    click.echo(f"report: {target / 'report.html'}")
    return 0 if result.table["rows"].notna().any() else 1
