"""Export searches to other tools, and import studies of Optuna; each is an extra.

Each tool is one file, imported when it is used.
"""

from jaxtune.integrations._export import export, live
from jaxtune.integrations.optuna import from_optuna
from jaxtune.integrations.suggest import from_optuna_objective

__all__ = ["export", "from_optuna", "from_optuna_objective", "live"]
