"""Who trains how long: functions of scores and budgets, never of parameters."""

from jaxtune.schedulers.asha import asha
from jaxtune.schedulers.base import Bracket, Decision, Plan, Progress, Scheduler
from jaxtune.schedulers.halving import successive_halving
from jaxtune.schedulers.hyperband import hyperband
from jaxtune.schedulers.median import median_stopping
from jaxtune.schedulers.pbt import pbt

__all__ = [
    "Bracket",
    "Decision",
    "Plan",
    "Progress",
    "Scheduler",
    "asha",
    "hyperband",
    "median_stopping",
    "pbt",
    "successive_halving",
]
