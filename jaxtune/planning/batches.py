"""Batch sizes in groups, each with a micro-batch of its own.

A lane whose batch size is data adds up micro-batches, and every lane of its program
computes an update of the optimiser after each, though it keeps few of them. So lanes of
large batches have programs with larger micro-batches, where that saves more time than
it takes to compile these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from jaxtune.hardware import Hardware
from jaxtune.planning.cost import cost_of, seconds_of_a_block
from jaxtune.planning.fitting import fastest, seconds_of
from jaxtune.planning.layout import Layout, shares_of
from jaxtune.planning.loads import Load, of_each_program
from jaxtune.planning.tracing import trace
from jaxtune.planning.workload import Workload
from jaxtune.space import Space

MOST = 3  # groups
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
    times: dict[tuple[int, ...], float] = {}
    while True:
        layout = workload.layout
        now = tuple(one.micro for one in layout.by_size) or (batching.micro,)
        if now not in times:
            times[now] = _seconds(workload, space, loads, device, layout)
        options = [
            _grouped(layout, space, [*now, size]) for size in _larger(space, now)
        ]
        if not options or len(now) == MOST:
            return workload
        took = [_seconds(workload, space, loads, device, option) for option in options]
        best = min(range(len(options)), key=took.__getitem__)
        if times[now] - took[best] <= OF_COMPILING * device.compile:
            return workload
        workload = workload._replace(layout=options[best])
        times[tuple(one.micro for one in options[best].by_size)] = took[best]


def _larger(space: Space, micros: tuple[int, ...]) -> Iterator[int]:
    """Yield the sizes of batches that may be micro-batches beside some others."""
    for size in sorted(set(_shares(space))):
        if size not in micros:
            yield size


def _shares(space: Space) -> Counter[int]:
    """Return each batch size with its part of the range."""
    dimension, shares = space["batch_size"], Counter[int]()
    for decoded, share in shares_of(dimension).items():
        shares[int(dimension.value(decoded))] += share  # type: ignore[assignment]
    return shares


def _grouped(layout: Layout, space: Space, micros: Sequence[int]) -> Layout:
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
    layout: Layout,
) -> float:
    """Return the seconds of the search by the model, compiling left out."""
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
        total += seconds_of(cost, own, width, device)
    return total
