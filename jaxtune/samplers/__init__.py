"""Samplers: pure functions that choose points of the unit cube."""

from jaxtune.samplers._cma_es import cma_es
from jaxtune.samplers._gaussian_process import gaussian_process, sensitivity
from jaxtune.samplers._grid import grid
from jaxtune.samplers._halton import halton
from jaxtune.samplers._latin_hypercube import latin_hypercube
from jaxtune.samplers._optuna import optuna
from jaxtune.samplers._sobol import sobol
from jaxtune.samplers._tpe import tpe
from jaxtune.samplers._trust_region import trust_region
from jaxtune.samplers._uniform import uniform
from jaxtune.samplers.base import Ask, Init, Sampler, Tell

__all__ = [
    "Ask",
    "Init",
    "Sampler",
    "Tell",
    "cma_es",
    "gaussian_process",
    "grid",
    "halton",
    "latin_hypercube",
    "optuna",
    "sensitivity",
    "sobol",
    "tpe",
    "trust_region",
    "uniform",
]
