"""Trials in, scores out: whole trainings, one training again, or plain functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.journal import Finished, Journal, Work
from jaxtune.population import block as blocks
from jaxtune.population.block import Static
from jaxtune.population.cohort import Cohort, Measured, OnBlock, Outcome
from jaxtune.population.lane import DIVERGED, RUNNING
from jaxtune.population.planner import groups
from jaxtune.population.workload import Workload
from jaxtune.space import Space
from jaxtune.tasks import Task
from jaxtune.types import HparamArrays


def evaluate(
    workload: Workload,
    space: Space,
    trials: np.ndarray,
    hparams: HparamArrays,
    seeds: np.ndarray,
    on_block: OnBlock = lambda _: None,
    journal: Journal | None = None,
) -> Outcome:
    """Train every trial with every seed in full, or evaluate it.

    Args:
      workload: the task or function, root key, width and budget.
      space: the space that the trials come from, for its static dimensions.
      trials: ``[n]`` trial ids.
      hparams: name to ``[n]`` decoded values.
      seeds: ``[s]`` seed ids.
      on_block: told what every finished block measured.
      journal: told of every block; it may know what some of them measured.

    Returns:
      Metrics, statuses and epochs of all trials.
    """
    if not isinstance(workload.subject, Task):
        known = journal or Journal()
        return _measure(workload, space, trials, hparams, seeds, on_block, known)
    cohort = Cohort(workload, space, trials, hparams, seeds, journal)
    rows = np.arange(len(trials))
    cohort.send(rows, np.full(len(rows), workload.epochs))
    while cohort.waiting.size:
        cohort.wave(on_block)
    return cohort.outcome()


class Leg(NamedTuple):
    """A part of a training: as which trial, until when, with which hyperparameters.

    Args:
      trial: whose order of the data and noise are used.
      epochs: the epoch at which it ends.
      hparams: name to a decoded value.
    """

    trial: int
    epochs: int
    hparams: dict[str, Any]


def retrace(
    workload: Workload, space: Space, legs: Sequence[Leg], seeds: np.ndarray
) -> dict[str, np.ndarray]:
    """Train one trial again, leg by leg, and score it.

    Args:
      workload: the task, root key, width and split.
      space: the space that the trial comes from.
      legs: in order.
      seeds: ``[s]`` seed ids.

    Returns:
      Name to ``[s]``: bit for bit what the search measured, given its workload.
    """
    whole = workload._replace(epochs=legs[-1].epochs)
    first = legs[0]
    cohort = Cohort(whole, space, *_alone(first), seeds)
    for leg in legs:
        if leg is not first:
            cohort.become(*_alone(leg))
        cohort.send(np.zeros(1, np.int32), np.asarray([leg.epochs]))
        while cohort.waiting.size:
            cohort.wave()
    return {name: v[0] for name, v in cohort.outcome().metrics.items()}


def _alone(leg: Leg) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A leg as a population of one."""
    hparams = {name: np.asarray([value]) for name, value in leg.hparams.items()}
    return np.asarray([leg.trial]), hparams


def _measure(
    workload: Workload,
    space: Space,
    trials: np.ndarray,
    hparams: HparamArrays,
    seeds: np.ndarray,
    on_block: OnBlock,
    journal: Journal,
) -> Outcome:
    """A plain function's values, block by block."""
    width = journal.width(workload.width)
    values = np.full(len(trials) * len(seeds), np.nan, np.float32)
    status = np.full(len(values), RUNNING, np.int32)
    hparams = {name: np.asarray(column) for name, column in hparams.items()}

    parts = [
        (group.static, group.lanes[first : first + width])
        for group in groups(workload.layout, space, hparams, len(seeds))
        for first in range(0, len(group.lanes), width)
    ]

    def dispatch(part: tuple[Static, np.ndarray]) -> Any:
        static, members = part
        own = (members, trials, hparams, seeds, static, width)
        lanes = trials[members // len(seeds)], seeds[members % len(seeds)]
        none = np.zeros(len(members), np.int32)
        work = Work(*lanes, none, np.ones(len(members), bool), 0)
        number, known = journal.enter(work)
        block, call = blocks.fill(*own), (workload.subject, workload.key)
        result = known or blocks.measure(*call, block, static)
        return number, work, result

    for (_, members), (number, work, result) in blocks.in_turn(parts, dispatch):
        finished = result
        if not isinstance(result, Finished):
            finished = _finite_or_not(jax.device_get(result)[: len(members)])
            journal.keep(number, work, finished, width, [], [])
        new = values[members] = finished.metrics["value"]
        status[members] = finished.status
        failed = int((~np.isfinite(new)).sum())
        on_block(Measured({"value": new}, failed, len(new)))
    shape = (len(trials), len(seeds))
    epochs = np.zeros(len(trials), np.int32)
    return Outcome({"value": values.reshape(shape)}, status.reshape(shape), epochs)


def _finite_or_not(values: np.ndarray) -> Finished:
    """A function has no step at which to diverge: its status is its value's."""
    status = np.where(np.isfinite(values), RUNNING, DIVERGED).astype(np.int32)
    plain = np.where(np.isnan(values), np.float32(np.nan), values)
    return Finished({"value": plain}, status)
