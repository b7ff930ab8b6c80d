"""The width of a block, by measurement.

The best width depends on the model and the device: on a CPU a few lanes that stay in
cache, one for convolutions, dozens for tiny networks; on a GPU hundreds or thousands.
Measuring costs a compilation per width, so it is done where a search is long enough to
pay for it, and remembered for the task and the device.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxtune import cache
from jaxtune.environment import cores
from jaxtune.executors.devices import Devices
from jaxtune.executors.workers import OutOfMemory
from jaxtune.hardware import hardware_of
from jaxtune.planning import flops
from jaxtune.planning.layout import Layout, groups
from jaxtune.planning.memory import available, footprint
from jaxtune.planning.tracing import Traced, digest, typical
from jaxtune.planning.workload import Workload
from jaxtune.programs import block as block_program
from jaxtune.programs.block import Block, Static
from jaxtune.programs.job import Job, run
from jaxtune.space import Space
from jaxtune.writing import replace_file

FUNCTION_WIDTHS = (16, 64, 256, 1024, 4096, 16384)
SECONDS = 0.2  # a measurement takes at least so long, unless the training is shorter
BETTER = 1.1  # a wider block has to be so much faster: it fills up less well


class Calibration(NamedTuple):
    """The width of a block, and the measurements that led to it.

    Args:
      width: lanes in a block.
      rates: pairs of a width and the lane-epochs a second that were measured with it,
        or values of a plain function; none if nothing was measured.
    """

    width: int
    rates: tuple[tuple[int, float], ...] = ()


def choose_width(
    workload: Workload,
    space: Space,
    traced: tuple[Traced, ...],
    trainings: int,
    lanes: int | None = None,
) -> Calibration:
    """Return the width for a search: remembered, measured, or the device's constant.

    Args:
      workload: with the widest that suits the device.
      space: the whole space.
      traced: its programs.
      trainings: number of whole trainings, or values, that the search is worth.
      lanes: most that train together; wider blocks are not measured.

    Returns:
      The width, with the measurements.
    """
    device = hardware_of()
    size = flops.count_operations(traced[0].jaxpr.jaxpr) * workload.budget * trainings
    # first, so that the width of a short search does not depend on what ran before it
    if size < device.worth_measuring:
        return Calibration(workload.width)
    known = _place(workload, traced)
    if known is not None and known.exists():
        return _read(known)
    widths, most = device.widths, lanes or trainings
    if not workload.task.trains:
        widths, most = FUNCTION_WIDTHS, min(most, workload.width)
    elif device.ahead is not None:  # wider ones do not fit into its memory
        most = min(most, workload.width)
    found = measure_widths(workload, space, [w for w in widths if w <= most])
    if known is not None and found.rates:
        _write(known, found)
    return found


def measure_widths(workload: Workload, space: Space, widths: list[int]) -> Calibration:
    """Measure widths, from the smallest on, until one is no better or does not fit.

    Args:
      workload: the task; its width is the answer if none fits.
      space: the whole space; all lanes are of its middle.
      widths: ascending.

    Returns:
      The smallest width that is about as fast as the fastest.
    """
    workload = workload.sample
    devices = Devices((workload.task, workload.key))
    row = typical(workload.layout, space)
    static = groups(workload.layout, space, row, 1)[0].static
    rates: list[tuple[int, float]] = []
    for width in widths:
        block = _middle(workload.layout, space, static, width)
        limit = available(devices.places[0]) / devices.crowd
        if footprint(workload, block, static) > limit:
            break
        try:
            rate = _rate(devices, partial(_jobs, workload, block, static))
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


def _rate(devices: Devices, jobs_of: Callable[[int], list[Job]]) -> float:
    """Return epochs a second, or values, with a block in every place."""
    amount, count = 1, len(devices.places)
    list(devices.map_ordered(run, jobs_of(1) * count))  # compiles
    while True:
        begin = time.perf_counter()
        list(devices.map_ordered(run, jobs_of(amount) * count))
        seconds = time.perf_counter() - begin
        if seconds >= SECONDS:
            return count * amount / seconds
        amount *= 2


def _jobs(workload: Workload, block: Block, static: Static, amount: int) -> list[Job]:
    """Return a block to train for some epochs, or to evaluate so many times."""
    width, trains = len(block.trial), workload.task.trains
    each = workload.scoring.each_epoch
    job = Job(
        block=block,
        static=static,
        trained=np.zeros(width, int),
        sources=(),
        like=None,
        epochs=amount if trains else 0,
        split=workload.split if each or not trains else None,
        going=np.zeros(width, bool),
        each_epoch=each,
    )
    return [job] * (1 if trains else amount)


def _middle(layout: Layout, space: Space, static: Static, width: int) -> Block:
    """Return a block whose lanes are all the middle of the space."""
    rows = typical(layout, space)
    row = {name: values[:1] for name, values in rows.items()}
    ids, seeds = np.zeros(1, int), np.zeros(1, int)
    return block_program.fill(ids, ids, row, seeds, static, width)


def _place(workload: Workload, traced: tuple[Traced, ...]) -> Path | None:
    """Return the file of a remembered width; ``None`` without a cache folder."""
    folder = cache.folder()
    if folder is None:
        return None
    devices = jax.local_devices()
    parts = (digest(traced), workload.layout, devices[0].device_kind, len(devices))
    here = hardware_of()
    text = repr((*parts, here.name, cores() if here.ahead is None else 0))
    if workload.scoring.each_epoch:  # an epoch takes longer
        text += "scored after each epoch"
    return folder / "widths" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def _read(path: Path) -> Calibration:
    known = json.loads(path.read_text())
    rates = tuple((int(width), float(rate)) for width, rate in known["rates"])
    return Calibration(int(known["width"]), rates)


def _write(path: Path, found: Calibration) -> None:
    path.parent.mkdir(exist_ok=True)
    replace_file(path, json.dumps(found._asdict()).encode())
