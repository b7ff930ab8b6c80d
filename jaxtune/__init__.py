"""Hyperparameter search where many models train in one JAX program."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jaxtune import data, executors, presets, samplers, schedulers, schedules, stop
from jaxtune._extend import extend
from jaxtune._plan import Plan, plan
from jaxtune._repair import Checkup, check, repair
from jaxtune._resume import Rerun, rerun, resume
from jaxtune._search import search
from jaxtune._study import study
from jaxtune.checks import RunError
from jaxtune.goals.requirement import require
from jaxtune.results._replay import Replay, replay
from jaxtune.results.result import Best, Result
from jaxtune.results.trials import Trials
from jaxtune.rounds.callbacks import Callback
from jaxtune.rounds.refine import Refiner, zoom
from jaxtune.rounds.schedule import Schedule, Stage, tiered
from jaxtune.space import (
    Choice,
    Dimension,
    Space,
    choice,
    fixed,
    integer,
    log_uniform,
    near,
    ordinal,
    power_of_two,
    reverse_log_uniform,
    uniform,
    when,
)
from jaxtune.storage.read import load
from jaxtune.tasks import (
    Hparams,
    Task,
    classification,
    folds,
    optimizers,
    regression,
)
from jaxtune.trained import Ensemble, TrainedModel, load_model
from jaxtune.versions import __version__ as __version__

if TYPE_CHECKING:
    from jaxtune import analysis, integrations, models, report, testing
    from jaxtune.report import Study
    from jaxtune.watching import watch

__all__ = [
    "Best",
    "Callback",
    "Checkup",
    "Choice",
    "Dimension",
    "Ensemble",
    "Hparams",
    "Plan",
    "Refiner",
    "Replay",
    "Rerun",
    "Result",
    "RunError",
    "Schedule",
    "Space",
    "Stage",
    "Study",
    "Task",
    "TrainedModel",
    "Trials",
    "analysis",
    "check",
    "choice",
    "classification",
    "data",
    "executors",
    "extend",
    "fixed",
    "folds",
    "integer",
    "integrations",
    "load",
    "load_model",
    "log_uniform",
    "models",
    "near",
    "optimizers",
    "ordinal",
    "plan",
    "power_of_two",
    "presets",
    "regression",
    "repair",
    "replay",
    "report",
    "require",
    "rerun",
    "resume",
    "reverse_log_uniform",
    "samplers",
    "schedulers",
    "schedules",
    "search",
    "stop",
    "study",
    "testing",
    "tiered",
    "uniform",
    "watch",
    "when",
    "zoom",
]

_LAZY = ("analysis", "integrations", "models", "report", "testing")  # they import more


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"jaxtune.{name}")
    if name == "watch":  # it imports the report
        return import_module("jaxtune.watching").watch
    if name == "Study":
        return import_module("jaxtune.report").Study
    raise AttributeError(f"module 'jaxtune' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
