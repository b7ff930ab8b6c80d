"""Analyses: small tables of numbers from results; pictures are drawn elsewhere."""

from jaxtune.analysis._best_of import BestOf, best_of
from jaxtune.analysis._best_so_far import BestSoFar, best_so_far
from jaxtune.analysis._coordinates import coordinates
from jaxtune.analysis._edges import Edge, edges
from jaxtune.analysis._luck import Luck, luck
from jaxtune.analysis._noise import Noise, Reevaluation, noise, reevaluate
from jaxtune.analysis._study import (
    ComparedValues,
    TunedValue,
    ValueContrast,
    comparisons,
)
from jaxtune.analysis._surface import Surface, surface
from jaxtune.analysis.between import Contrast, contrasts
from jaxtune.analysis.cost import operations
from jaxtune.analysis.importance import Importance, Importances, importances
from jaxtune.analysis.mean_curve import MeanCurve, mean_over_keys
from jaxtune.analysis.paired import PairedTest, paired_test
from jaxtune.analysis.rungs import RungCorrelation, rung_correlations

__all__ = [
    "BestOf",
    "BestSoFar",
    "ComparedValues",
    "Contrast",
    "Edge",
    "Importance",
    "Importances",
    "Luck",
    "MeanCurve",
    "Noise",
    "PairedTest",
    "Reevaluation",
    "RungCorrelation",
    "Surface",
    "TunedValue",
    "ValueContrast",
    "best_of",
    "best_so_far",
    "comparisons",
    "contrasts",
    "coordinates",
    "edges",
    "importances",
    "luck",
    "mean_over_keys",
    "noise",
    "operations",
    "paired_test",
    "reevaluate",
    "rung_correlations",
    "surface",
]
