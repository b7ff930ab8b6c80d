"""Budgets in examples: each rung is the plain training on the first rows of a shuffle.

The reference is a task that has these rows and no others, searched in full.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.analysis._best_so_far import epochs_spent
from jaxtune.planning.loads import Load, loads_of
from jaxtune.programs import lane as lane_program
from jaxtune.programs.lane import Batching, Subset
from jaxtune.report.call import printed_call
from jaxtune.schedulers.restarts import from_scratch
from jaxtune.tasks import check_data
from jaxtune.tasks._folds import with_folds
from jaxtune.tasks.subsets import evenly, with_subsets
from jaxtune.tasks.task import as_lane
from jaxtune.training.trajectory import TrajectorySegment
from jaxtune.training.widths import WidthOverrides, split_by_width

KEY, ROWS, EPOCHS, TRIALS = jax.random.key(3), 74, 9, 9
SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 0.2),
    batch_size=jt.ordinal([4, 8]),
)
HALVING = jt.schedulers.successive_halving(eta=3, min_epochs=3)


def line(rows=ROWS, **changes):
    """A linear regression whose parameters tell which rows it has seen, and when."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    data = {"x": x, "y": x @ np.float32([1.0, -2.0, 0.5]) + x[:, 0] ** 2}

    def error(params, batch):
        return jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)

    def loss(params, batch, key, hparams):
        # with noise, whose key is that of the step
        return error(params, batch) + 0.1 * params["w"][0] * jax.random.normal(key)

    made = jt.Task(
        init=lambda key, hparams: {"w": jax.random.normal(key, (3,))},
        loss=loss,
        evaluate=lambda params, split, hparams: {"mse": error(params, split)},
        optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
        train=data,
        valid={name: values[:20] for name, values in data.items()},
        batch_size=4,
        metrics=(("mse", "min"),),
    )
    return dataclasses.replace(made, **changes)


def search(task, space=SPACE, **changes):
    arguments = {"key": KEY, "trials": TRIALS, "epochs": EPOCHS, "verbose": 0}
    arguments |= {"sampler": "sobol", "block": 4} | changes
    return jt.search(task, space, **arguments)


def on_subsets(task, space=SPACE, **changes):
    return search(task, space, **{"scheduler": HALVING, "budget": "examples"} | changes)


def first_rows(task, budget):
    """The rows of a subset, or of each fold's, worked out without a program."""
    if task.folds is None:
        lines = [np.arange(task.examples)]
    else:
        lines = task.folds.train.listed()
    order = with_subsets(task, KEY).order
    places = [np.arange(len(rows)) for rows in lines]
    if order is not None:
        places = [
            line[: len(rows)]
            for line, rows in zip(np.asarray(order.table), lines, strict=True)
        ]
    return [
        rows[place[: len(rows) * budget // EPOCHS]]
        for rows, place in zip(lines, places, strict=True)
    ]


def only(task, budget):
    """The task with the rows of a subset and no others."""
    (rows,) = first_rows(task, budget)
    train = {name: np.asarray(values)[rows] for name, values in task.train.items()}
    return dataclasses.replace(task, train=train)


def warm(hparams, steps):
    """An optimiser that asks for the steps of its training, also traced ones."""
    return optax.sgd(lambda count: hparams["learning_rate"] * (1 - count / steps))


def cosine(hparams, steps):
    """One of optax's own schedules, for which steps must be a constant."""
    return optax.sgd(optax.cosine_decay_schedule(hparams["learning_rate"], steps))


KINDS = {
    "searched batches": (line(optimizer=warm), SPACE),
    "one batch size": (
        line(optimizer=cosine),
        jt.Space(learning_rate=SPACE["learning_rate"]),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_rung_is_the_plain_training_on_the_first_rows(kind):
    task, space = KINDS[kind]
    found, plain = on_subsets(task, space), search(only(task, 3), space)
    at = found.rungs.epochs == 3
    assert at.sum() == TRIALS
    assert np.allclose(found.rungs.scores[at], plain.trials.scores, rtol=1e-5)
    assert set(found.trials["examples"]) == {ROWS * 3 // 9, ROWS}


def test_every_fold_has_a_subset_of_its_own():
    # folds of other sizes train equally many steps
    pairs = [(np.arange(20, 74), np.arange(20)), (np.arange(50), np.arange(50, 74))]
    task = line(valid=None)
    found, folded = on_subsets(task, folds=pairs), with_folds(task, pairs, KEY)
    held = folded.folds.valid.listed()
    plain = search(task, folds=list(zip(first_rows(folded, 3), held, strict=True)))
    at = found.rungs.epochs == 3
    assert np.allclose(found.rungs.scores[at], plain.trials.scores, rtol=1e-5)


def epoch(task, batching, subset=None):
    """Parameters of a lane after an epoch."""
    hparams, task = {"learning_rate": 0.1}, check_data(task)
    lane = lane_program.start(task, KEY, hparams, batching)
    own = as_lane(task, np.uint32(0))[0]
    train = jax.jit(
        lambda lane: lane_program.advance(own, KEY, hparams, lane, batching, subset)
    )
    return np.asarray(train(lane).params["w"])


def test_all_rows_as_a_subset_are_the_plain_training():
    # to the bit, with a last batch that has another size
    task, batching = line(), Batching(4, ROWS, whole=True)
    whole = Subset(jnp.int32(ROWS), jnp.int32(ROWS))
    found = epoch(with_subsets(task, KEY), batching, whole)
    assert np.array_equal(found, epoch(task, batching))


def test_without_shuffling_a_subset_has_the_first_rows_as_they_are():
    task, few = line(shuffle=False), Subset(jnp.int32(12), jnp.int32(12))
    found = epoch(with_subsets(task, KEY), Batching(4, 72, whole=True), few)
    first = dataclasses.replace(task, train={n: v[:12] for n, v in task.train.items()})
    plain = epoch(first, Batching(4, 12, whole=True))
    assert np.allclose(found, plain, rtol=1e-6)
    assert not np.allclose(found, epoch(task, Batching(4, 72, whole=True)), rtol=1e-3)


def test_subsets_are_nested_and_have_every_label_in_proportion():
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 500, p=[0.5, 0.3, 0.15, 0.05])
    task = jt.classification(
        jt.models.MLP(classes=4, max_units=8),
        train=(rng.normal(size=(500, 2)).astype(np.float32), labels),
    )
    order = np.asarray(with_subsets(task, KEY).order.table)[0]
    assert sorted(order) == list(range(500))
    share = np.bincount(labels) / 500
    for count in (5, 50, 123, 400):
        have = np.bincount(labels[order[:count]], minlength=4)
        assert (abs(have - share * count) <= 1).all(), count
    other = np.asarray(with_subsets(task, jax.random.key(4)).order.table)[0]
    assert not np.array_equal(order, other)
    alike = evenly(np.zeros(9, int))
    assert alike.tolist() == list(range(9)), "one label leaves a shuffle as it is"


SCHEDULERS = [
    HALVING,
    jt.schedulers.hyperband(),
    jt.schedulers.asha(min_epochs=1, concurrent=4),
    jt.schedulers.median_stopping(interval=3),
]


@pytest.fixture(scope="module")
def task():
    return line()


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=repr)
def test_every_scheduler_decides_by_subsets_and_compiles_nothing(task, scheduler):
    arguments = {"scheduler": scheduler, "trials": 12, "confirm": 2}
    on_subsets(task, **arguments)
    before = jt.testing.compilations()
    found = on_subsets(task, **arguments)
    assert jt.testing.compilations() == before
    whole = found.trials["epochs"] == EPOCHS
    assert whole.any()
    assert (found.trials["status"] == "ok")[whole].all()
    assert (found.trials["examples"] == ROWS * found.trials["epochs"] // EPOCHS).all()
    # every training that was scored began anew; what is confirmed trains in full
    repeats = 12 - (found.trials["repeat_of"] < 0).sum()
    assert found.cost.epochs == found.rungs.epochs.sum() + repeats * EPOCHS
    assert epochs_spent(found).max() == found.cost.epochs


def test_a_plan_counts_trainings_that_begin_anew():
    plan = from_scratch(jt.schedulers.successive_halving()).plan(27, 18)
    assert plan.epochs == 27 * 2 + 9 * 6 + 3 * 18
    assert "27 on 2/18 of the data, 9 on 6/18, 3 on 18/18" in repr(plan)
    assert loads_of([plan], 2)[1] == Load(18, 6)


def test_only_the_width_of_the_last_training_counts():
    rows = np.asarray([[0, 0], [0, 0], [3, 9], [3, 9], [8, 4]])
    last = TrajectorySegment(0, 9, {})
    overrides = WidthOverrides(*rows).at(9)
    assert split_by_width([last], 0, overrides, usual=16) == [(last, 4)]


def test_a_search_is_planned_with_its_subsets(task):
    arguments = {"trials": 9, "epochs": EPOCHS, "scheduler": HALVING, "memory": False}
    assert jt.plan(task, SPACE, **arguments, budget="examples").micro_batch == 4
    with pytest.raises(ValueError, match="has 8 examples, and a batch has 32"):
        jt.plan(
            task,
            jt.Space(learning_rate=SPACE["learning_rate"], batch_size=jt.fixed(32)),
            **arguments | {"scheduler": "hyperband"},
            budget="examples",
        )


def test_a_run_of_rounds_folds_and_seeds_goes_on_and_repeats(tmp_path):
    task = line(valid=None)
    arguments = {"trials": 18, "rounds": 2, "seeds": 2, "folds": 2, "refine": jt.zoom()}
    straight = on_subsets(task, **arguments)
    folder = tmp_path / "run"
    blocks = []

    def after_a_few(result):
        blocks.append(result)
        return "enough" if len(blocks) == 4 else ""

    stopped = on_subsets(task, **arguments, directory=folder, stop=after_a_few)
    assert not stopped.finished
    assert "examples" in jt.load(folder, task).trials.names
    found = jt.resume(folder, task, verbose=0)
    for name in found.trials.names:
        assert np.array_equal(found.trials[name], straight.trials[name]), name
    for epochs in set(found.trials.epochs.tolist()):
        trial = int(np.flatnonzero(found.trials.epochs == epochs)[-1])
        assert jt.rerun(folder, trial, task).same
    call = printed_call(jt.load(folder, task))
    assert "budget='examples'" in call.text
    names = {"task": task, "jt": jt, "jax": jax, "jnp": jnp}
    names |= {name: arguments["folds"] for name in call.names}
    exec(call.space, names)
    again = eval(call.text, names)
    assert np.array_equal(again.trials.scores, straight.trials.scores)
    with pytest.raises(jt.RunError, match="another budget: examples, now epochs"):
        on_subsets(task, **arguments, directory=folder, budget="epochs")
    with pytest.raises(ValueError, match="budget='examples' a budget is a part"):
        jt.extend(folder, task, trials=9, epochs=2 * EPOCHS, verbose=0)


def test_a_model_of_a_trial_that_was_stopped_is_that_of_its_subset(task):
    found = on_subsets(task)
    for epochs in (3, EPOCHS):
        trial = int(np.flatnonzero(found.trials.epochs == epochs)[0])
        model = found.train(trial)
        assert np.float32(model.metrics["mse"]) == found.trials["mse"][trial]
        part = "train" if epochs == EPOCHS else f"{epochs} of {EPOCHS} parts of train"
        assert (model.epochs, model.data) == (EPOCHS, part)
    # for epochs of one's own it trains on all rows
    plain = search(task, epochs=3)
    stopped = int(np.flatnonzero(found.trials.epochs == 3)[0])
    longer = found.train(stopped, epochs=3).metrics["mse"]
    assert np.isclose(longer, plain.trials["mse"][stopped], rtol=1e-5)


REFUSED = {
    "none": ({"scheduler": None}, "without a scheduler that compares trials"),
    "race": ({"scheduler": jt.schedulers.race(2, 2)}, "without a scheduler that comp"),
    "pbt": ({"scheduler": "pbt"}, "no trial goes on from the state of another"),
    "patience": ({"scheduler": "patience"}, "whose score does not improve"),
    "best": ({"score": "best"}, "score='best': epochs of subsets"),
    "history": ({"history": True}, "history=True: epochs of subsets"),
    "word": ({"budget": "rows"}, "budget must be 'epochs' or 'examples', got 'rows'"),
    "batch": ({"space": SPACE.replace(batch_size=jt.fixed(32))}, "24 examples, and a"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_meaning_is_refused(task, case):
    changes, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        on_subsets(task, **changes)


def test_functions_and_streams_have_no_subsets(task):
    with pytest.raises(ValueError, match="a plain function has no training data"):
        jt.search(
            lambda key, hparams: hparams["learning_rate"],
            SPACE,
            key=KEY,
            trials=4,
            mode="min",
            budget="examples",
        )
    batches = [{n: np.asarray(v[:64]) for n, v in task.train.items()}]
    stream = jt.data.stream(lambda epoch: batches, examples=64)
    with pytest.raises(ValueError, match="a stream is read as a whole"):
        on_subsets(dataclasses.replace(task, train=stream, shuffle=False))
