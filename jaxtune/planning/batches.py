"""Batch sizes in groups, each with a micro-batch of its own.

A lane whose batch size is data adds up micro-batches, and every lane of its program
computes an update of the optimiser after each, though it keeps few of them. So lanes of
large batches have programs with larger micro-batches, where that saves more time than
it takes to compile these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jaxtune.hardware import Hardware
from jaxtune.planning.cost import cost_of, seconds_of_a_block
from jaxtune.planning.fitting import fastest, seconds_of_loads
from jaxtune.planning.layout import Layout, shares_of
from jaxtune.planning.loads import Load, of_each_program
from jaxtune.planning.tracing import trace
from jaxtune.planning.workload import Workload
from jaxtune.space import Space

MOST = 3  # groups
FEW = 5  # batch sizes that are all tried as micro-batches
# the part of the seconds of compiling that a program has to save in one search: it is
# kept, so later searches and other processes load it
OF_COMPILING = 0.5


def with_grouped_batches(
    workload: Workload,
    space: Space,
    loads: Sequence[Load],
    device: Hardware,
    explores: bool,
) -> Workload:
    """Return the workload with its batch sizes in groups, where that pays.

    Args:
      workload: with the widest block.
      space: the whole space.
      loads: the lanes of the search, from `loads_of`.
      device: its kind. On a CPU a step takes as long as its arithmetic, and the update
        is a small part of that.
      explores: whether trials take over the states of others with other batch sizes;
        a state stays in its group.
    """
    batching, task = workload.layout.batching, workload.task
    if batching is None or batching.whole or explores or device.ahead is None:
        return workload
    if task.stream is not None or space["batch_size"].static:
        return workload
    micros: tuple[int, ...] = (batching.micro,)
    took = _seconds(workload, space, loads, device)
    while len(micros) < MOST:
        options = [
            workload._replace(layout=grouped(workload.layout, space, [*micros, size]))
            for size in _candidates(space, batching.micro)
            if size not in micros
        ]
        times = [_seconds(option, space, loads, device) for option in options]
        if not times or took - min(times) <= OF_COMPILING * device.compile:
            break
        took, workload = min(times), options[times.index(min(times))]
        micros = tuple(one.micro for one in workload.layout.by_size)
    return workload


def _candidates(space: Space, smallest: int) -> list[int]:
    """Return the batch sizes that may be micro-batches: all, or those that double."""
    sizes = sorted(_shares(space))
    if len(sizes) <= FEW:
        return sizes
    doubled = [smallest << power for power in range(1, 16)]
    return [size for size in sizes if size in doubled]


def _shares(space: Space) -> Counter[int]:
    """Return each batch size with its part of the range."""
    dimension, shares = space["batch_size"], Counter[int]()
    for decoded, share in shares_of(dimension).items():
        shares[int(dimension.value(decoded))] += share  # type: ignore[assignment]
    return shares


def grouped(layout: Layout, space: Space, micros: Sequence[int]) -> Layout:
    """Return a layout with a group for each micro-batch that some batch size has."""
    batching, found = layout.batching, []
    assert batching is not None, "only tasks have batches"
    sizes = list(_shares(space))
    for micro in sorted(micros):
        larger = [other for other in micros if other > micro]
        own = [s for s in sizes if s % micro == 0 and all(s % m for m in larger)]
        if own:
            found.append(batching._replace(micro=micro, whole=own == [micro]))
    return layout._replace(by_size=tuple(found))


def _seconds(
    workload: Workload,
    space: Space,
    loads: Sequence[Load],
    device: Hardware,
) -> float:
    """Return the seconds of the search by the model, compiling left out."""
    layout = workload.layout
    batchings = layout.by_size or (layout.batching,)
    shares, total = _shares(space), 0.0
    each = of_each_program(loads, layout._replace(by_size=()), space)
    for batching in batchings:
        assert batching is not None, "only tasks have batches"
        part = sum(s for n, s in shares.items() if layout.batching_of(n) == batching)
        program = workload._replace(layout=Layout(batching, layout.buckets))
        costs = [cost_of(one.jaxpr.jaxpr) for one in trace(program, space)]
        cost = max(costs, key=lambda one: seconds_of_a_block(one, 1, device))
        own: Counter[Load] = Counter()
        for load, count in each.items():
            own[load._replace(lanes=max(1, round(load.lanes * part)))] += count
        width = fastest(cost, own, workload.width, device)
        total += seconds_of_loads(cost, own, width, device)
    return total
