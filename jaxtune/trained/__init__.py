"""Trained models: made again from a result, handed over, saved and loaded."""

from jaxtune.trained.files import load_model
from jaxtune.trained.model import TrainedModel

__all__ = ["TrainedModel", "load_model"]
