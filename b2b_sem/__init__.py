"""Structural equation models for B2B influencer research: from questionnaire to verdict.

The public names below are loaded on first use, so that ``import b2b_sem`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from b2b_sem.analysis.advice import advise
    from b2b_sem.analysis.compare import compare
    from b2b_sem.analysis.conditional import conditional_effects
    from b2b_sem.analysis.fit_power import fit_power
    from b2b_sem.analysis.imputation import fit_imputed
    from b2b_sem.analysis.invariance import invariance
    from b2b_sem.analysis.measurement import reliability, validity
    from b2b_sem.analysis.missingness import missingness
    from b2b_sem.analysis.moderation import moderation
    from b2b_sem.analysis.moderation_size import moderation_size
    from b2b_sem.analysis.path_group import compare_groups
    from b2b_sem.analysis.polychoric import polychoric
    from b2b_sem.analysis.probe import johnson_neyman, simple_slopes
    from b2b_sem.analysis.structural import fit
    from b2b_sem.data.impute import impute
    from b2b_sem.data.product import product_indicators
    from b2b_sem.data.read import read_covariance, read_responses
    from b2b_sem.errors import (
        B2BSemError,
        B2BSemWarning,
        DataError,
        ModelError,
        ModelSyntaxError,
        SpecError,
        Unsupported,
    )
    from b2b_sem.report.diagram import path_diagram
    from b2b_sem.report.page import write_figures
    from b2b_sem.results.fit import FitResult
    from b2b_sem.results.montecarlo import MonteCarloResult, read_monte_carlo
    from b2b_sem.results.plan import PlanResult, read_plan
    from b2b_sem.results.study import StudyResult, read_study_result
    from b2b_sem.simulate.experiment import monte_carlo
    from b2b_sem.simulate.lesson import make_lesson
    from b2b_sem.simulate.lesson_check import check_lesson
    from b2b_sem.simulate.plan import plan_sample
    from b2b_sem.simulate.power import power
    from b2b_sem.simulate.respond import simulate
    from b2b_sem.simulate.sampled import find_effect, find_rows
    from b2b_sem.spec.loader import load_model, load_montecarlo, load_plan, load_simulation, load_study, load_survey
    from b2b_sem.study import run_study
    from b2b_sem.verify import verify

    __version__: str

__all__ = [
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

# Where each public name lives. A name appears here and in __all__, or nowhere (a test compares the two).
_HOME = {
    "B2BSemError": "b2b_sem.errors",
    "B2BSemWarning": "b2b_sem.errors",
    "DataError": "b2b_sem.errors",
    "FitCutoffs": "b2b_sem.results.cutoff",
    "FitResult": "b2b_sem.results.fit",
    "ModelError": "b2b_sem.errors",
    "ModelSyntaxError": "b2b_sem.errors",
    "MonteCarloResult": "b2b_sem.results.montecarlo",
    "PlanResult": "b2b_sem.results.plan",
    "SpecError": "b2b_sem.errors",
    "StudyResult": "b2b_sem.results.study",
    "Unsupported": "b2b_sem.errors",
    "advise": "b2b_sem.analysis.advice",
    "check_lesson": "b2b_sem.simulate.lesson_check",
    "compare": "b2b_sem.analysis.compare",
    "compare_groups": "b2b_sem.analysis.path_group",
    "conditional_effects": "b2b_sem.analysis.conditional",
    "find_effect": "b2b_sem.simulate.sampled",
    "find_rows": "b2b_sem.simulate.sampled",
    "fit": "b2b_sem.analysis.structural",
    "fit_cutoffs": "b2b_sem.simulate.cutoff",
    "fit_imputed": "b2b_sem.analysis.imputation",
    "fit_power": "b2b_sem.analysis.fit_power",
    "impute": "b2b_sem.data.impute",
    "invariance": "b2b_sem.analysis.invariance",
    "johnson_neyman": "b2b_sem.analysis.probe",
    "load_model": "b2b_sem.spec.loader",
    "load_montecarlo": "b2b_sem.spec.loader",
    "load_plan": "b2b_sem.spec.loader",
    "load_simulation": "b2b_sem.spec.loader",
    "load_study": "b2b_sem.spec.loader",
    "load_survey": "b2b_sem.spec.loader",
    "make_lesson": "b2b_sem.simulate.lesson",
    "missingness": "b2b_sem.analysis.missingness",
    "moderation": "b2b_sem.analysis.moderation",
    "moderation_size": "b2b_sem.analysis.moderation_size",
    "monte_carlo": "b2b_sem.simulate.experiment",
    "path_diagram": "b2b_sem.report.diagram",
    "plan_sample": "b2b_sem.simulate.plan",
    "polychoric": "b2b_sem.analysis.polychoric",
    "power": "b2b_sem.simulate.power",
    "product_indicators": "b2b_sem.data.product",
    "read_covariance": "b2b_sem.data.read",
    "read_monte_carlo": "b2b_sem.results.montecarlo",
    "read_plan": "b2b_sem.results.plan",
    "read_responses": "b2b_sem.data.read",
    "read_study_result": "b2b_sem.results.study",
    "reliability": "b2b_sem.analysis.measurement",
    "run_study": "b2b_sem.study",
    "simple_slopes": "b2b_sem.analysis.probe",
    "simulate": "b2b_sem.simulate.respond",
    "validity": "b2b_sem.analysis.measurement",
    "verify": "b2b_sem.verify",
    "write_figures": "b2b_sem.report.page",
}


class _Facade(ModuleType):
    """This module, with one rule more: ``b2b_sem.simulate`` stays the function.

    A sub-package has the same name, and the import system binds it here as soon as anything inside it is imported;
    ``from b2b_sem.simulate.respond import ...`` is not affected by leaving that binding out.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name, as plain modules are: scripts that use this one must reach worker processes."""
        return importlib.import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Facade


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("b2b-sem")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'b2b_sem' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return list(__all__)
