"""Pictures of a result, as matplotlib figures; needs the extra ``report``."""

from jaxtune.report._best_of import best_of
from jaxtune.report._compare import Comparison, compare
from jaxtune.report._contour import contour
from jaxtune.report._curves import curves
from jaxtune.report._ensemble import ensemble
from jaxtune.report._epochs import epochs
from jaxtune.report._folds import fold_scores
from jaxtune.report._front import front
from jaxtune.report._history import history
from jaxtune.report._importance import importance
from jaxtune.report._lineage import lineage
from jaxtune.report._parallel import parallel
from jaxtune.report._ranks import ranks
from jaxtune.report._rungs import rungs
from jaxtune.report._slices import slices
from jaxtune.report._study import Study, StudyTable
from jaxtune.report._zoom import zoom
from jaxtune.report.describe import description
from jaxtune.report.palette import theme

__all__ = [
    "Comparison",
    "Study",
    "StudyTable",
    "best_of",
    "compare",
    "contour",
    "curves",
    "description",
    "ensemble",
    "epochs",
    "fold_scores",
    "front",
    "history",
    "importance",
    "lineage",
    "parallel",
    "ranks",
    "rungs",
    "slices",
    "theme",
    "zoom",
]
