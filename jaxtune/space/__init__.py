"""Named dimensions and the map between the unit cube and hyperparameters."""

from jaxtune.space.arrival import Choice
from jaxtune.space.belief import near
from jaxtune.space.dimension import Dimension
from jaxtune.space.makers import (
    choice,
    fixed,
    integer,
    log_uniform,
    ordinal,
    power_of_two,
    reverse_log_uniform,
    uniform,
    when,
)
from jaxtune.space.parts import check_part
from jaxtune.space.restriction import at_default, fixed_at, with_default_inside
from jaxtune.space.space import A_SPACE, Space, as_space, as_text

__all__ = [
    "A_SPACE",
    "Choice",
    "Dimension",
    "Space",
    "as_space",
    "as_text",
    "at_default",
    "check_part",
    "choice",
    "fixed",
    "fixed_at",
    "integer",
    "log_uniform",
    "near",
    "ordinal",
    "power_of_two",
    "reverse_log_uniform",
    "uniform",
    "when",
    "with_default_inside",
]
