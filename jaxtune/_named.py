"""Parts of a search by their names: ``sampler="tpe"`` is ``sampler=samplers.tpe()``."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxtune import executors, samplers, schedulers
from jaxtune.rounds.refine import A_REFINER, zoom
from jaxtune.samplers.base import is_sampler

Makers = Mapping[str, Callable[..., Any]]

SAMPLERS: Makers = {
    "sobol": samplers.sobol,
    "uniform": samplers.uniform,
    "random": samplers.uniform,
    "halton": samplers.halton,
    "latin_hypercube": samplers.latin_hypercube,
    "grid": samplers.grid,
    "tpe": samplers.tpe,
    "gaussian_process": samplers.gaussian_process,
    "gp": samplers.gaussian_process,
    "trust_region": samplers.trust_region,
    "cma_es": samplers.cma_es,
    "optuna": samplers.optuna,
}
SCHEDULERS: Makers = {
    "in_full": schedulers.in_full,
    "successive_halving": schedulers.successive_halving,
    "hyperband": schedulers.hyperband,
    "asha": schedulers.asha,
    "freeze_thaw": schedulers.freeze_thaw,
    "median_stopping": schedulers.median_stopping,
    "patience": schedulers.patience,
    "pbt": schedulers.pbt,
    "race": schedulers.race,
}
REFINERS: Makers = {"zoom": zoom}
EXECUTORS: Makers = {
    "local": executors.local,
    "pod": executors.pod,
    "ray": executors.ray,
}


def sampler(given: Any) -> samplers.Sampler:
    """Return the sampler that is meant; ``ValueError`` for what is none."""
    made = _made("sampler", SAMPLERS, given)
    if not is_sampler(made):
        raise _other("sampler", given, "samplers", "tpe()")
    return made


def scheduler(given: Any) -> schedulers.Scheduler:
    """Return the scheduler that is meant, ``in_full`` if none is given."""
    made = _made("scheduler", SCHEDULERS, "in_full" if given is None else given)
    if not isinstance(made, schedulers.Scheduler):
        raise _other("scheduler", given, "schedulers", "hyperband()")
    return made


def refiner(given: Any) -> Any:
    """Return the refiner that is meant, ``zoom`` if none is given."""
    made = _made("refine", REFINERS, "zoom" if given is None else given)
    if not A_REFINER.holds(made):
        raise ValueError(f"refine: got {given!r}. {A_REFINER.way_out}")
    return made


def executor(given: Any) -> Any:
    """Return the executor that is meant, ``local`` if none is given."""
    # a maker that was not called is refused: ray() starts processes
    if any(make is given for make in EXECUTORS.values()):
        raise _other("executor", given, "executors", "ray()")
    made = _made("executor", EXECUTORS, "local" if given is None else given)
    if not callable(made):
        raise _other("executor", given, "executors", "ray()")
    return made


def _made(argument: str, makers: Makers, given: Any) -> Any:
    """Follow a name, or a maker that was not called; anything else is as it is."""
    if isinstance(given, str):
        known = given.lower().replace("-", "_").replace(" ", "_")
        if known not in makers:
            raise ValueError(f"{argument}: got {given!r}.{_guess(known, makers)}")
        return _called(argument, makers[known])
    made_of = [make for make in makers.values() if make is given]
    return _called(argument, made_of[0]) if made_of else given


def _guess(name: str, makers: Makers) -> str:
    near = difflib.get_close_matches(name, makers, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return f"{guess} Use one of: {', '.join(makers)}."


def _called(argument: str, make: Callable[..., Any]) -> Any:
    needed = [
        name
        for name, parameter in inspect.signature(make).parameters.items()
        if parameter.default is parameter.empty
    ]
    if needed:
        raise ValueError(
            f"{argument}: {make.__name__} needs {needed[0]}. Use "
            f"{argument}=jaxtune.{argument}s.{make.__name__}({needed[0]})."
        )
    return make()


def _other(argument: str, given: Any, module: str, example: str) -> ValueError:
    return ValueError(
        f"{argument}: got {given!r}. Use what one of jaxtune.{module} returns, such as "
        f"{module}.{example}."
    )
