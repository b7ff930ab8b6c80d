"""The width of a block, by measurement.

The best width depends on the model and the device: on a CPU a few lanes that stay in
cache, one for convolutions, dozens for tiny networks; on a GPU hundreds or thousands.
Measuring costs a compilation per width, so it is done where a search is long enough to
pay for it, and remembered for the task and the device.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune import cache
from jaxtune.environment import cores
from jaxtune.executors.devices import Devices
from jaxtune.executors.workers import OutOfMemory
from jaxtune.planning import flops as work
from jaxtune.planning.layout import groups
from jaxtune.planning.memory import available, footprint
from jaxtune.planning.tracing import Traced, digest, typical
from jaxtune.planning.workload import Workload
from jaxtune.programs import block as blocks
from jaxtune.programs import job as jobs
from jaxtune.programs.block import Block, Group, Static
from jaxtune.programs.job import values
from jaxtune.space import Space
from jaxtune.tasks import Task

# by whether on a CPU: operations of a search that is worth measuring for (a minute of
# an MLP's training), and widths to measure
WORTH = {True: 1e13, False: 3e14}
WIDTHS = {True: (1, 4, 16, 64), False: (64, 256, 1024, 4096)}
FUNCTION_WIDTHS = (16, 64, 256, 1024)
SECONDS = 0.2  # a measurement takes at least so long, unless the training is shorter
BETTER = 1.1  # a wider block has to be so much faster: it fills up less well


class Calibration(NamedTuple):
    """A width, and how it was found.

    Args:
      width: lanes in a block.
      rates: pairs of a width and the lane-epochs a second that were measured with it,
        or values of a plain function; none if nothing was measured.
    """

    width: int
    rates: tuple[tuple[int, float], ...] = ()


def calibrated(
    workload: Workload, space: Space, traced: tuple[Traced, ...], trainings: int
) -> Calibration:
    """The width for a search: remembered, measured, or the device's constant.

    Args:
      workload: with the constant.
      space: the whole space.
      traced: its programs.
      trainings: how many whole trainings, or values, the search is worth.

    Returns:
      The width, with what was measured.
    """
    known = _place(workload, traced)
    if known is not None and known.exists():
        return _read(known)
    on_cpu = jax.default_backend() == "cpu"
    size = work.operations(traced[0].jaxpr.jaxpr) * max(1, workload.epochs) * trainings
    if size < WORTH[on_cpu]:
        return Calibration(workload.width)
    widths = WIDTHS[on_cpu] if workload.trains else FUNCTION_WIDTHS
    found = measure(workload, space, [w for w in widths if w <= trainings])
    if known is not None and found.rates:
        _write(known, found)
    return found


def measure(workload: Workload, space: Space, widths: list[int]) -> Calibration:
    """Measure widths, from the smallest on, until one is no better or does not fit.

    Args:
      workload: the task or function; its width is the answer if none fits.
      space: the whole space; all lanes are of its middle.
      widths: ascending.

    Returns:
      The smallest width that is about as fast as the fastest.
    """
    workload = workload.sample
    run: Callable[[Any, Any], Any]
    if isinstance(workload.subject, Task):
        devices, run = Devices((workload.subject, workload.key)), jobs.run
    else:
        devices, run = Devices(workload.key), partial(values, workload.subject)
    row = typical(space)
    static = groups(workload.layout, space, row, 1)[0].static
    rates: list[tuple[int, float]] = []
    for width in widths:
        block = _middle(space, static, width)
        room = available(devices.places[0]) / devices.crowd
        if footprint(workload, block, static) > room:
            break
        try:
            rate = _rate(devices, run, partial(_items, workload, block, static))
        except OutOfMemory:
            break
        rates.append((width, rate * width))
        if len(rates) > 1 and rates[-1][1] < max(r for _, r in rates[:-1]):
            break
    if not rates:
        return Calibration(workload.width)
    best = max(rate for _, rate in rates)
    chosen = next(width for width, rate in rates if rate * BETTER >= best)
    return Calibration(chosen, tuple(rates))


def _rate(
    devices: Devices,
    run: Callable[[Any, Any], Any],
    items: Callable[[int], list[Any]],
) -> float:
    """Items' worth a second, with a block in every place."""
    amount, count = 1, len(devices.places)
    list(devices.each(run, items(1) * count))  # compiles
    while True:
        begin = time.perf_counter()
        list(devices.each(run, items(amount) * count))
        seconds = time.perf_counter() - begin
        if seconds >= SECONDS:
            return count * amount / seconds
        amount *= 2


def _items(workload: Workload, block: Block, static: Static, amount: int) -> list[Any]:
    """A block for some epochs; a plain function, which has none, some times."""
    lanes = np.arange(len(block.trial))
    if not workload.trains:
        return [(block, Group(static, lanes))] * amount
    fresh, none = np.ones(len(lanes), bool), np.zeros(len(lanes), bool)
    return [jobs.Job(block, static, fresh, None, amount, None, none)]


def _middle(space: Space, static: Static, width: int) -> Block:
    """As many lanes of the middle of the space."""
    row = {name: values[:1] for name, values in typical(space).items()}
    ids, seeds = np.zeros(1, int), np.zeros(1, int)
    return blocks.fill(ids, ids, row, seeds, static, width)


def _place(workload: Workload, traced: tuple[Traced, ...]) -> Path | None:
    """Where a width is remembered; ``None`` if nothing is."""
    folder = cache.folder()
    if folder is None:
        return None
    devices = jax.local_devices()
    parts = (digest(traced), workload.layout, devices[0].device_kind, len(devices))
    text = repr((*parts, cores() if devices[0].platform == "cpu" else 0))
    return folder / "widths" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def _read(path: Path) -> Calibration:
    known = json.loads(path.read_text())
    rates = tuple((int(width), float(rate)) for width, rate in known["rates"])
    return Calibration(int(known["width"]), rates)


def _write(path: Path, found: Calibration) -> None:
    path.parent.mkdir(exist_ok=True)
    whole = path.with_suffix(f".{os.getpid()}")
    whole.write_text(json.dumps(found._asdict()))
    os.replace(whole, path)
