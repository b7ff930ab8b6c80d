"""From numbers to pictures; needs the extra ``report``."""

from jaxtune.report.zoom import zoom

__all__ = ["zoom"]
