"""From results to small tables of numbers; pictures are drawn elsewhere."""

from jaxtune.analysis.rungs import RungCorrelation, rung_correlations

__all__ = ["RungCorrelation", "rung_correlations"]
