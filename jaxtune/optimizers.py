"""Optimisers built from traced hyperparameters."""

from jaxtune.tasks.optimizers import inverse_epoch_decay, selected, standard

__all__ = ["inverse_epoch_decay", "selected", "standard"]
