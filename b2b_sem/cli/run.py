"""``b2b-sem run``: a whole study, from the data to the report."""

from __future__ import annotations

import sys

import click


@click.command("run", short_help="Run a whole study, from the data to the report.")
@click.argument("study")
@click.option("--data", metavar="F", help="Run the study on this data file instead of the data it names.")
@click.option(
    "--out",
    type=click.Path(),
    metavar="DIR",
    help="Where results go (default: results/<id of the study>).",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of simulated data, instead of the study's own.")
@click.option(
    "--engine", type=click.Choice(["auto", "semopy", "native"]), help="Default: as the study says, else auto."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes.")
@click.option("--with-data", is_flag=True, help="Also copy the data file to DIR, for 'b2b-sem verify'.")
@click.option("--ro-crate", "crate", is_flag=True, help="Also write ro-crate-metadata.json (RO-Crate 1.1).")
def command(
    study: str,
    data: str | None,
    out: str | None,
    seed: int | None,
    engine: str | None,
    jobs: int,
    with_data: bool,
    crate: bool,
) -> int:
    """Run STUDY and write results.json, report.html, tables/*.csv and manifest.json.

    The verdict on each proposition is printed. The exit code is 1 when the main model's numbers must not be
    interpreted; the report is written all the same and says why.
    """
    import time

    from b2b_sem.cli.output import reason, result_folder, say, staged_directory
    from b2b_sem.spec.loader import load_study

    started = time.monotonic()
    spec = load_study(study, check_data=data is None)
    target = result_folder(out, spec.id)

    from b2b_sem.results.provenance import MANIFEST_NAME, write_manifest
    from b2b_sem.study import run_study

    result = run_study(spec, data=data, seed=seed, engine=engine, jobs=jobs, progress=say)

    from b2b_sem.cli.inputs import describe_inputs
    from b2b_sem.report.crate import write_crate
    from b2b_sem.report.html import write_report
    from b2b_sem.report.tables import write_tables
    from b2b_sem.report.terminal import fit_lines, verdict_table

    say("writing the report")
    source = data if data is not None else spec.data_path
    with staged_directory(target, listing=MANIFEST_NAME) as stage:
        copies = describe_inputs(spec, stage, target, data, with_data)
        result.save(stage / "results.json")
        write_tables(result, stage / "tables")
        write_report(result, stage / "report.html")
        if crate:
            write_crate(result, stage, copies)
        write_manifest(
            stage,
            command=["b2b-sem", *sys.argv[1:]],
            seed=result.provenance.get("seed"),
            inputs=[] if source is None else [source],
            digests=result.provenance.get("digests", {}),
            extra={
                "study": result.id,
                "engine": result.fit.engine,
                "arguments": {"data": data is not None, "seed": seed, "engine": engine},
                **copies,
            },
            seconds=time.monotonic() - started,
        )
    click.echo(verdict_table(result))
    click.echo(fit_lines(result))
    click.echo(f"report: {target / 'report.html'}")
    if not result.ok:
        click.echo(f"error: {result.fit.failure}: no verdict rests on this fit{reason(result.fit)}", err=True)
        return 1
    return 0
