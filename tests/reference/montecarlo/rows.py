"""Write the samples of study.yaml as users would draw them: answers as given, before reverse coding; and the model."""

from __future__ import annotations

import sys
from pathlib import Path

import b2b_sem as bs
from b2b_sem.simulate.trial import replication_seed

STUDY = Path(__file__).with_name("study.yaml")


def main(folder: Path) -> None:
    """Write 0.csv, 1.csv, ... and model.lav into `folder`."""
    spec = bs.load_montecarlo(STUDY)
    population, model = spec.population_spec, spec.model_spec
    assert population is not None
    assert model is not None
    for cell in spec.cells():
        for number in range(spec.replications):
            seed = replication_seed(spec.seed, cell.key, number)
            drawn = bs.simulate(population, cell.n, seed)
            drawn.frame.to_csv(folder / f"{number}.csv", index=False)
    (folder / "model.lav").write_text(model.syntax(population.survey_spec), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
