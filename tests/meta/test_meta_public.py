"""The public names, and what importing the package costs."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import b2b_sem

PUBLIC = [
    "B2BSemError",
    "B2BSemWarning",
    "DataError",
    "FitCutoffs",
    "FitResult",
    "ModelError",
    "ModelSyntaxError",
    "MonteCarloResult",
    "PlanResult",
    "SpecError",
    "StudyResult",
    "Unsupported",
    "__version__",
    "advise",
    "check_lesson",
    "compare",
    "compare_groups",
    "conditional_effects",
    "find_effect",
    "find_rows",
    "fit",
    "fit_cutoffs",
    "fit_imputed",
    "fit_power",
    "impute",
    "invariance",
    "johnson_neyman",
    "load_model",
    "load_montecarlo",
    "load_plan",
    "load_simulation",
    "load_study",
    "load_survey",
    "make_lesson",
    "missingness",
    "moderation",
    "moderation_size",
    "monte_carlo",
    "path_diagram",
    "plan_sample",
    "polychoric",
    "power",
    "product_indicators",
    "read_covariance",
    "read_monte_carlo",
    "read_plan",
    "read_responses",
    "read_study_result",
    "reliability",
    "run_study",
    "simple_slopes",
    "simulate",
    "validity",
    "verify",
    "write_figures",
]
HEAVY = ("numpy", "pandas", "scipy", "semopy", "statsmodels", "sklearn", "plotly", "factor_analyzer", "sympy")


def modules_after(code: str) -> set[str]:
    """Return the top-level modules a fresh interpreter has loaded after `code`."""
    program = f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_public_names_are_these() -> None:
    assert b2b_sem.__all__ == PUBLIC
    assert sorted(PUBLIC) == PUBLIC
    assert dir(b2b_sem) == PUBLIC
    assert sorted([*b2b_sem._HOME, "__version__"]) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(b2b_sem, name)
    if name == "__version__":
        assert value
        return
    assert inspect.isclass(value) or inspect.isfunction(value)
    assert value.__name__ == name
    assert value.__doc__
    assert len(value.__doc__.strip()) > 20


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        b2b_sem.fitt  # noqa: B018


def test_the_function_simulate_is_not_hidden_by_the_sub_package() -> None:
    code = (
        "import b2b_sem.simulate.population\n"  # binds the sub-package to the name, if nothing prevents it
        "from b2b_sem.simulate import respond\n"
        "import b2b_sem as bs\n"
        "assert bs.simulate is respond.simulate, bs.simulate"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "code",
    [
        "import b2b_sem; dir(b2b_sem); b2b_sem.B2BSemError; b2b_sem.__version__",
        "from b2b_sem.cli.app import run; assert run(['--help']) == 0",
        "from b2b_sem.cli.app import run; assert run(['fit', '--help']) == 0",
        "from b2b_sem.cli.app import run; assert run(['list']) == 0",
    ],
)
def test_light_uses_load_no_heavy_library(code: str) -> None:
    assert modules_after(code).isdisjoint(HEAVY)


def test_the_spec_needs_no_numbers() -> None:
    package = Path(b2b_sem.__file__).parent / "spec"
    names = [f"b2b_sem.spec.{p.stem}" for p in sorted(package.glob("*.py")) if p.stem != "__init__"]
    assert names
    assert modules_after("import " + ", ".join(names)).isdisjoint(HEAVY)


def test_this_test_would_notice_a_heavy_library() -> None:
    assert "numpy" in modules_after("import b2b_sem.results.fit")


def test_version_matches_the_project_file_and_the_changelog(root: Path) -> None:
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert b2b_sem.__version__ == project["version"]
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {project['version']} " in changelog
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    assert f'\nversion: "{project["version"]}"\n' in citation


def test_functions_that_use_the_package_reach_worker_processes() -> None:
    assert pickle.loads(pickle.dumps(b2b_sem)) is b2b_sem
