"""A plan: the programs, memory and padding of a search, before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune import _named
from jaxtune._arguments import BLOCK, BUDGET, checked_subsets, schedule_for
from jaxtune.checks import as_whole, check_whole
from jaxtune.door import FLAG, guarded, whole
from jaxtune.hardware import hardware_of
from jaxtune.planning import flops
from jaxtune.planning.batches import with_grouped_batches
from jaxtune.planning.chosen import Forms, chosen_forms
from jaxtune.planning.fitting import fit_width, occupancy_of
from jaxtune.planning.layout import groups, values_of
from jaxtune.planning.loads import Load, loads_of
from jaxtune.planning.memory import footprint
from jaxtune.planning.preparation import prepare
from jaxtune.planning.scoring import Scoring
from jaxtune.planning.subsets import EPOCHS, check_subsets
from jaxtune.planning.tracing import trace
from jaxtune.planning.workload import Workload
from jaxtune.printing import counted
from jaxtune.programs import block as block_program
from jaxtune.programs.block import Group
from jaxtune.rounds.confirm import scheduler_of_stage, usual_confirm
from jaxtune.rounds.pace import pace_in_words, paced, usual_sampler
from jaxtune.rounds.race import with_race
from jaxtune.samplers import Sampler
from jaxtune.samplers._sobol import sobol
from jaxtune.schedulers import Scheduler
from jaxtune.space import Space, as_space
from jaxtune.tasks import GroupedFolds, Task
from jaxtune.tasks._folds import with_folds
from jaxtune.tasks.function import as_task
from jaxtune.tasks.task import repeats_of
from jaxtune.types import Objective


class PlannedGroup(NamedTuple):
    """Trials that share their static values, hence their programs.

    Args:
      static: name to value, sizes of padding included.
      trials: number of them in a typical sample.
      blocks: number of blocks that they fill.
      padding: share of their arithmetic that is spent on padding inside the model.
    """

    static: dict[str, Any]
    trials: int
    blocks: int
    padding: float


class Plan(NamedTuple):
    """The programs, memory and padding of a search; prints as a table.

    Args:
      groups: one for each set of programs.
      programs: compiled programs: start, advance and score of each group.
      width: lanes in a block.
      micro_batch: examples whose gradient is computed at once; 0 for plain functions.
        The smallest, where groups of batch sizes have their own.
      padding: share of the arithmetic of all trials that is spent on padding.
      empty: share of lanes that are padding, which fills up the last block of a group,
        over all epochs: where trials are stopped, fewer fill the blocks. An estimate
        for lanes that take no turns, from the trials that the scheduler means to keep:
        ``1 - result.cost.occupancy`` is what came true.
      memory: bytes on the device while the largest group trains, as the compiler
        states them; 0 if not requested.
      forms: the operations that are computed in other forms.
      why: the reason for the width, in a few words.
      micro_batches: those of groups of batch sizes, ascending; empty for a single one.
      pace: how many trials the sampler asks for at a time, in words.
    """

    groups: tuple[PlannedGroup, ...]
    programs: int
    width: int
    micro_batch: int
    padding: float
    empty: float
    memory: int
    forms: Forms = Forms({})
    why: str = ""
    micro_batches: tuple[int, ...] = ()
    pace: str = ""

    def __repr__(self) -> str:
        lanes = "1 lane" if self.width == 1 else f"{self.width} lanes"
        lanes += f" ({self.why})" if self.why else ""
        lines = [
            f"Plan({counted(len(self.groups), 'group')}, "
            f"{counted(self.programs, 'program')}, blocks of "
            f"{lanes}, {self.padding:.0%} of the work is padding, "
            f"{self.empty:.0%} of the lanes are empty"
        ]
        if self.micro_batch:
            sizes = self.micro_batches or (self.micro_batch,)
            lines[0] += f", micro-batches of {', '.join(map(str, sizes))}"
        if self.memory:
            lines[0] += f", {self.memory / 2**20:.0f} MiB"
        for group in self.groups:
            shown = ", ".join(f"{k}={v!r}" for k, v in group.static.items())
            lines.append(
                f"  {shown or 'all'}: {counted(group.trials, 'trial')} in "
                f"{counted(group.blocks, 'block')}, "
                f"{group.padding:.0%} padding"
            )
        if str(self.forms):
            lines.append(f"  {self.forms}")
        if self.pace:
            lines.append(f"  {self.pace}")
        return "\n".join(lines) + ")"


@guarded(seeds=whole(1), budget=BUDGET, block=BLOCK, rewrite=FLAG, memory=FLAG)
def plan(
    task: Task | Objective,
    space: Space,
    *,
    trials: int,
    rounds: int | None = None,
    seeds: int = 1,
    sampler: Sampler | str | None = None,
    scheduler: Scheduler | str | None = None,
    budget: str = EPOCHS,
    folds: int | GroupedFolds | Iterable[Any] | None = None,
    confirm: int | float | None = None,
    block: int | None = None,
    programs: int | None = None,
    rewrite: bool = True,
    memory: bool = True,
    epochs: int = 1,
) -> Plan:
    """Plan how a search is cut into programs and blocks; nothing is trained.

    The trials are a typical sample of the whole space; a search that zooms has others.

    >>> import jaxtune as jt
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), how=jt.choice(["a", "b"], static=True))
    >>> arguments = dict(trials=100, sampler=jt.samplers.sobol())
    >>> found = jt.plan(lambda key, hparams: hparams["x"], space, **arguments, block=32)
    >>> found.programs, [group.blocks for group in found.groups], round(found.empty, 2)
    (2, [2, 2], 0.22)
    >>> jt.plan(lambda key, hparams: hparams["x"], space, **arguments).width
    50

    Args:
      task: the task or function, as for `search`.
      space: the space to search.
      trials: number of configurations.
      rounds: number of search rounds; lanes of two rounds share no block.
      seeds: trainings of every configuration.
      sampler: that of the search: one that learns is asked for its trials in batches.
      scheduler: that of the search, whose rungs the width suits.
      budget: what the scheduler gives to trials, as for `search`.
      folds: of the training data, as for `search`.
      confirm: measures the best again, as for `search`, also if not given.
      block: lanes in a block; chosen for the work and the device if not given.
      programs: at most so many for padded shapes; chosen if not given.
      rewrite: whether slow operations are put into other forms.
      memory: whether to compile a program to know its memory, which takes seconds.
      epochs: of a whole training, for an optimiser that asks for them.

    Returns:
      Groups, programs, block width, padding in models and in blocks, memory.

    Raises:
      ValueError: a space that the task cannot take.
    """
    root, space = jax.random.key(0), as_space(space)
    made = with_folds(as_task(task), folds, root)
    trials, seeds, block = as_whole(trials), as_whole(seeds), as_whole(block)
    if confirm is None:
        confirm = usual_confirm(trials, seeds, made, (sampler, rounds, scheduler))
    rounds = 1 if rounds is None else rounds
    programs, epochs, rounds = as_whole(programs), as_whole(epochs), as_whole(rounds)
    sizes = {"trials": trials, "seeds": seeds, "block": block, "programs": programs}
    sizes |= {"epochs": epochs, "rounds": rounds}
    for name, size in sizes.items():
        check_whole("plan", name, size)
    asks = _named.sampler(usual_sampler(trials) if sampler is None else sampler)
    led = _named.scheduler(scheduler)
    schedule = schedule_for(space, trials, rounds, confirm)
    repeats = repeats_of(made, seeds)
    schedule = with_race(schedule, led.race, repeats, block)
    stages = paced(schedule, asks, led, made, seeds, block).stages
    # every epoch costs the same, so the shares of padding are those of any number
    epochs = epochs if made.trains else 0
    seeds = repeats  # every fold of a seed is a lane
    workload = prepare(made, space, root, epochs, block, programs, rewrite=rewrite)
    rows = checked_subsets(made, budget, led, schedule, Scoring())
    workload, turns = workload._replace(budget_rows=rows), workload.budget
    plans = [
        scheduler_of_stage(stage, led, turns, restarts=rows > 0).plan(
            stage.trials, turns
        )
        for stage in stages
    ]
    check_subsets(workload, space, plans)
    batches, explores, why = [s.batches for s in stages], led.explore is not None, ""
    loads = loads_of(plans, seeds, batches)
    workload = with_grouped_batches(workload, space, loads, hardware_of(), explores)
    if block is None:
        width, why = fit_width(workload, space, trace(workload, space), loads)
        workload = workload._replace(width=width)
    # Sobol points fill the space evenly, so a small sample has all groups in proportion
    sampler = sobol()
    points = sampler.ask(sampler.init(jax.random.key(0), space), trials)[1]
    hparams = {name: np.asarray(v) for name, v in space.decode(points).items()}
    found = groups(workload.layout, space, hparams, seeds)
    waits = sum(max(1, len(stage.batches)) for stage in stages)
    # of a choice of sizes, what is decoded is the place in its list
    exact = {
        bucket.field: values_of(space[bucket.name], hparams[bucket.name])
        for bucket in workload.layout.buckets
    }
    parts = [_counted(workload, hparams, exact, group, seeds, waits) for group in found]
    done = sum(part[1] for part in parts)
    batching = workload.layout.batching
    # the blocks of a group all need the same memory: that of one with most arithmetic
    largest = found[int(np.argmax([part[1] / part[0].blocks for part in parts]))]
    used = sum(part[2] for part in parts)
    compiles = memory and workload.trains
    return Plan(
        groups=tuple(part[0] for part in parts),
        programs=len(found) * (3 if workload.trains else 1),
        width=workload.width,
        micro_batch=batching.micro if batching else 0,
        padding=1 - used / done if workload.trains else 0.0,
        empty=_empty(loads, [len(group.lanes) for group in found], workload.width),
        memory=_memory(workload, hparams, largest, seeds) if compiles else 0,
        forms=chosen_forms(trace(workload, space), workload.layout.forms),
        why=why,
        micro_batches=tuple(one.micro for one in workload.layout.by_size),
        pace=pace_in_words(asks, stages),
    )


def _empty(loads: Sequence[Load], sizes: list[int], width: int) -> float:
    """Return the share of empty lanes, if all groups lose the same share at a rung.

    >>> round(_empty([Load(8, 1), Load(2, 3)], [4, 4], 4), 2)
    0.56

    Args:
      loads: of the search.
      sizes: lanes of each group.
      width: lanes of a block.
    """
    shares = [size / sum(sizes) for size in sizes]
    parts = [
        Load(max(1, round(load.lanes * share)), load.turns)
        for load in loads
        for share in shares
    ]
    return 1 - occupancy_of(parts, width)


def _counted(
    workload: Workload,
    hparams: dict[str, np.ndarray],
    exact: dict[str, list[int]],
    group: Group,
    seeds: int,
    waits: int,
) -> tuple[PlannedGroup, float, float]:
    """Return a group, its arithmetic, and the part of that which is not padding."""
    rows, task = np.unique(group.lanes // seeds), workload.task
    lanes = -(-len(group.lanes) // waits)
    count = waits * -(-lanes // workload.width)
    if not task.trains:
        return PlannedGroup(dict(group.static.values), len(rows), count, 0.0), 0.0, 0.0
    fixed = dict(group.static.values)
    # many trials share their sizes, and every count traces the model
    known: dict[tuple, float] = {}

    def cost(sizes: dict[str, int]) -> float:
        at = tuple(sizes.values())
        if at not in known:
            first = {name: v[rows[0]] for name, v in hparams.items()}
            values = tuple((fixed | sizes).items())
            lane = group.static._replace(values=values).hparams(first)
            known[at] = flops.per_example(task, lane)
        return known[at]

    # a trial uses the arithmetic of its exact sizes, and computes that of its bucket
    used = sum(
        cost({field: values[row] for field, values in exact.items()}) for row in rows
    )
    done = cost({field: fixed[field] for field in exact}) * len(rows)
    planned = PlannedGroup(fixed, len(rows), count, 1 - used / done)
    return planned, done, used


def _memory(
    workload: Workload, hparams: dict[str, np.ndarray], group: Group, seeds: int
) -> int:
    block = block_program.fill(
        group.lanes[: workload.width],
        trials=np.arange(len(next(iter(hparams.values())))),
        hparams=hparams,
        seeds=np.arange(seeds),
        static=group.static,
        width=workload.width,
    )
    return footprint(workload, block, group.static)
