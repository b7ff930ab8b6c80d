"""The arguments of a search, checked."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtune import environment
from jaxtune.goals.arguments import Constraints
from jaxtune.goals.order import Goal
from jaxtune.planning.workload import Workload
from jaxtune.registry import recipe_of
from jaxtune.results.about import about_task
from jaxtune.results.given import Given, UserChoices
from jaxtune.results.result import Setup
from jaxtune.rounds.confirm import scheduler_of_stage
from jaxtune.rounds.known import Setting
from jaxtune.rounds.past import Past
from jaxtune.rounds.refine import Refiner
from jaxtune.rounds.schedule import Schedule
from jaxtune.samplers import Sampler
from jaxtune.samplers.crossing import crossed
from jaxtune.schedulers import Scheduler


class Search(NamedTuple):
    """The arguments of a search, checked: equal ones give equal tables.

    Args:
      workload: task, key, block width and budget.
      schedule: the space and its rounds.
      seeds: trainings of every configuration, with folds on each of them.
      metric: the metric that is the score.
      mode: ``"max"`` or ``"min"``.
      sampler: proposes points inside a box.
      refine: shrinks the box.
      scheduler: decides how long each trial trains.
      distinct: whether no configuration is trained twice while untried ones are left.
      first: known settings, which are the first trials.
      prior: earlier searches, which the sampler learns from.
      constraints: limits of metrics and sizes, and requirements of hyperparameters.
      goals: several goals in place of the score alone.
      choices: what jaxtune chooses if it is not given.
      by_budget: whether a sampler is told scores after equal budgets, where trials are
        stopped early; up to 0.2.0 it was told ranks, by epochs first.
    """

    workload: Workload
    schedule: Schedule
    seeds: int
    metric: str
    mode: str
    sampler: Sampler
    refine: Refiner
    scheduler: Scheduler
    distinct: bool = True
    first: tuple[Setting, ...] = ()
    prior: tuple[Past, ...] = ()
    constraints: Constraints = Constraints()
    goals: tuple[Goal, ...] = ()
    choices: UserChoices = UserChoices()
    by_budget: bool = True

    def workload_of(self, number: int) -> Workload:
        """Return the workload of a round, which may train for epochs of its own."""
        epochs, usual = self.schedule.stages[number].epochs, self.workload
        return usual if epochs is None else usual._replace(epochs=epochs)

    def first_of(self, number: int) -> tuple[Setting, ...]:
        """Return the known settings that a round begins with."""
        return self.first if number == 0 else self.schedule.stages[number].first

    def scheduler_of(self, number: int) -> Scheduler:
        """Return the scheduler of a round, see `scheduler_of_stage`."""
        stage, budget = self.schedule.stages[number], self.workload_of(number).budget
        groups, restarts = self.schedule.combinations, self.workload.budget_rows > 0
        return scheduler_of_stage(stage, self.scheduler, budget, groups, restarts)

    def sampler_of(self, number: int) -> Sampler:
        """Return the sampler of a round, which crosses its points in a study."""
        names = self.schedule.stages[number].compares
        return crossed(self.sampler, names) if names else self.sampler

    @property
    def folds(self) -> int | None:
        """Number of folds; ``None`` without them."""
        folds = self.workload.task.folds
        return None if folds is None else folds.number

    @property
    def repeats(self) -> int:
        """Trainings of every trial: one for each seed and fold."""
        return self.seeds * (self.folds or 1)

    @property
    def setup(self) -> Setup:
        """The setup, as results report it."""
        return Setup(
            workload=self.workload,
            space=self.schedule.space,
            metric=self.metric,
            mode=self.mode,
            trials=self.schedule.trials,
            seeds=self.seeds,
            folds=self.folds,
            constraints=self.constraints,
            goals=self.goals,
            given=Given(
                sampler=_how_made(self.sampler),
                refine=_how_made(self.refine),
                scheduler=_how_made(self.scheduler),
                stages=self.schedule.stages,
                start=self.schedule.start,
                first=self.first,
                earlier=len(self.prior),
                choices=self.choices,
                about=about_task(self.workload.task),
                versions=environment.versions(),
            ),
        )


def _how_made(part: Any) -> Any:
    """Return the recipe of a part, or the first function of one of the user's own."""
    return recipe_of(part) or (part[0] if isinstance(part, tuple) else part)
