"""From results to small tables of numbers; pictures are drawn elsewhere."""

from jaxtune.analysis.best_of import BestOf, best_of
from jaxtune.analysis.coordinates import coordinates
from jaxtune.analysis.cost import operations
from jaxtune.analysis.edges import Edge, edges
from jaxtune.analysis.importance import Importance, Importances, importances
from jaxtune.analysis.noise import Again, Noise, noise, reevaluate
from jaxtune.analysis.rungs import RungCorrelation, rung_correlations
from jaxtune.analysis.surface import Surface, surface

__all__ = [
    "Again",
    "BestOf",
    "Edge",
    "Importance",
    "Importances",
    "Noise",
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
