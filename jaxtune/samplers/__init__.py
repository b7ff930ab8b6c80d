"""Where to look next: pure functions on the unit cube."""

from jaxtune.samplers.base import Ask, Init, Sampler, Tell
from jaxtune.samplers.cma_es import cma_es
from jaxtune.samplers.gaussian_process import gaussian_process, sensitivity
from jaxtune.samplers.grid import grid
from jaxtune.samplers.halton import halton
from jaxtune.samplers.latin_hypercube import latin_hypercube
from jaxtune.samplers.optuna import optuna
from jaxtune.samplers.sobol import sobol
from jaxtune.samplers.tpe import tpe
from jaxtune.samplers.trust_region import trust_region
from jaxtune.samplers.uniform import uniform

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
