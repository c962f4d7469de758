"""Write the samples of a study as users would draw them: answers as given, before reverse coding; and the model."""

from __future__ import annotations

import sys
from pathlib import Path

import b2b_sem as bs
from b2b_sem.simulate.trial import replication_seed

STUDY = Path(__file__).with_name("study.yaml")


def main(folder: Path, study: Path = STUDY) -> None:
    """Write 0.csv, 1.csv, ... and model.lav into `folder`; of several sizes and changes into folders of their own."""
    spec = bs.load_montecarlo(study)
    population, model = spec.population_spec, spec.model_spec
    assert population is not None
    assert model is not None
    (folder / "model.lav").write_text(model.syntax(population.survey_spec), encoding="utf-8")
    cells = {(cell.n, cell.change): cell for cell in spec.cells()}
    for cell in cells.values():
        place = folder if len(spec.cells()) == 1 else folder / " ".join(filter(None, (str(cell.n), cell.change)))
        place.mkdir(exist_ok=True)
        for number in range(spec.replications):
            seed = replication_seed(spec.seed, cell.key, number)
            drawn = bs.simulate(spec.changed(population, cell.change), cell.n, seed)
            drawn.frame.to_csv(place / f"{number}.csv", index=False)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
