"""Analyses: small tables of numbers from results; pictures are drawn elsewhere."""

from jaxtune.analysis._best_of import BestOf, best_of
from jaxtune.analysis._coordinates import coordinates
from jaxtune.analysis._edges import Edge, edges
from jaxtune.analysis._noise import Noise, Reevaluation, noise, reevaluate
from jaxtune.analysis._surface import Surface, surface
from jaxtune.analysis.cost import operations
from jaxtune.analysis.importance import Importance, Importances, importances
from jaxtune.analysis.rungs import RungCorrelation, rung_correlations

__all__ = [
    "BestOf",
    "Edge",
    "Importance",
    "Importances",
    "Noise",
    "Reevaluation",
    "RungCorrelation",
    "Surface",
    "best_of",
    "coordinates",
    "edges",
    "importances",
    "noise",
    "operations",
    "reevaluate",
    "rung_correlations",
    "surface",
]
