"""Trained models: made again from a result, handed over, saved and loaded."""

from jaxtune.trained.ensemble import Ensemble
from jaxtune.trained.files import load_model
from jaxtune.trained.model import TrainedModel

__all__ = ["Ensemble", "TrainedModel", "load_model"]
