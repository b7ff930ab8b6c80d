"""Searches for other tools, and their studies for ours; each tool is an extra.

A tool is one file, imported when it is asked for.
"""

from jaxtune.integrations._export import export, live
from jaxtune.integrations.optuna import from_optuna
from jaxtune.integrations.suggest import from_optuna_objective

__all__ = ["export", "from_optuna", "from_optuna_objective", "live"]
