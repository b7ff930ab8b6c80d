"""From numbers to pictures; needs the extra ``report``."""

from jaxtune.report.best_of import best_of
from jaxtune.report.contour import contour
from jaxtune.report.curves import curves
from jaxtune.report.history import history
from jaxtune.report.importance import importance
from jaxtune.report.lineage import lineage
from jaxtune.report.parallel import parallel
from jaxtune.report.ranks import ranks
from jaxtune.report.rungs import rungs
from jaxtune.report.slices import slices
from jaxtune.report.zoom import zoom

__all__ = [
    "best_of",
    "contour",
    "curves",
    "history",
    "importance",
    "lineage",
    "parallel",
    "ranks",
    "rungs",
    "slices",
    "zoom",
]
