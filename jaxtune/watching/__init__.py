"""The live page of a run."""

from jaxtune.watching._watch import Watch, watch

__all__ = ["Watch", "watch"]
