"""What a trial trains and how it is scored."""

from jaxtune.tasks.hparams import Hparams
from jaxtune.tasks.supervised import classification, regression
from jaxtune.tasks.task import Task, check_data

__all__ = ["Hparams", "Task", "check_data", "classification", "regression"]
