"""Schedulers: they decide how long trials train, by scores and budgets alone.

A race beside them says which trials are measured again once the search has ended.
"""

from jaxtune.schedulers._asha import asha
from jaxtune.schedulers._freeze_thaw import freeze_thaw
from jaxtune.schedulers._hyperband import hyperband
from jaxtune.schedulers._in_full import in_full
from jaxtune.schedulers._patience import patience
from jaxtune.schedulers._pbt import pbt
from jaxtune.schedulers._race import race
from jaxtune.schedulers.base import Bracket, Decision, Plan, Progress, Race, Scheduler
from jaxtune.schedulers.halving import successive_halving
from jaxtune.schedulers.median import median_stopping

__all__ = [
    "Bracket",
    "Decision",
    "Plan",
    "Progress",
    "Race",
    "Scheduler",
    "asha",
    "freeze_thaw",
    "hyperband",
    "in_full",
    "median_stopping",
    "patience",
    "pbt",
    "race",
    "successive_halving",
]
