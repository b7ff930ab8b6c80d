"""Tasks: the training of one trial, and its metrics."""

from jaxtune.tasks._folds import GroupedFolds, folds
from jaxtune.tasks._stream import Stream, stream
from jaxtune.tasks.hparams import Hparams
from jaxtune.tasks.supervised import classification, regression
from jaxtune.tasks.task import Task, check_data, without_stream

__all__ = [
    "GroupedFolds",
    "Hparams",
    "Stream",
    "Task",
    "check_data",
    "classification",
    "folds",
    "regression",
    "stream",
    "without_stream",
]
