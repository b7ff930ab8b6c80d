"""Optimisers that know the length of a training, or mean other weights than they train.

The ways of writing them are rows of `test_user_code.py`; here is what a search does
with them.
"""

import dataclasses
import tempfile

import jax
import jax.numpy as jnp
import killed
import numpy as np
import optax
import pytest
from optax import contrib
from user_code.row import under

import jaxtune as jt
from jaxtune.checks import RunError
from jaxtune.planning.preparation import prepare
from jaxtune.programs.stepping import optimizer_of

# the other way to compute has other kernels on a card
pytestmark = pytest.mark.usefixtures("exact_products")

SPACE = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.1))
KEY = jax.random.key(2)


def decayed(h, steps):
    return optax.sgd(jt.schedules.cosine(h["learning_rate"], steps))


def decayed_by_optax(h, steps):
    unit = optax.cosine_decay_schedule(1.0, steps)
    return optax.sgd(lambda count: h["learning_rate"] * unit(count))


def averaged(h):
    return jt.optimizers.averaged(optax.sgd(h["learning_rate"]), decay=0.9)


def task_of(optimizer):
    return dataclasses.replace(killed.line(), optimizer=optimizer)


@pytest.mark.parametrize("optimizer", [decayed, decayed_by_optax, averaged])
@pytest.mark.parametrize("how", ["halving", "pbt", "full"])
def test_any_trial_can_be_trained_again_to_the_bit(optimizer, how):
    scheduler = {
        "halving": jt.schedulers.successive_halving(),
        "pbt": jt.schedulers.pbt(interval=2),
        "full": None,
    }[how]
    folder, task = tempfile.mkdtemp(), task_of(optimizer)
    own = {
        "key": KEY,
        "trials": 8,
        "epochs": 6,
        "block": 4,
        "verbose": 0,
        "sampler": "sobol",
    }
    own["scheduler"] = scheduler
    result = jt.search(task, SPACE, **own, directory=folder)
    stopped = np.flatnonzero(result.trials["status"] == "stopped")
    for trial in {result.best.trial, *stopped[:1].tolist()}:
        assert jt.rerun(folder, trial, task).same
    same = jt.search(task, SPACE, **own)
    assert killed.digest(same) == killed.digest(result)


def test_a_trial_that_stops_early_follows_the_schedule_of_a_whole_training():
    task = task_of(decayed)
    halved = jt.search(
        task,
        SPACE,
        key=KEY,
        trials=9,
        epochs=9,
        block=4,
        scheduler=jt.schedulers.successive_halving(),
        verbose=0,
        sampler="sobol",
    )
    full = jt.search(
        task, SPACE, key=KEY, trials=9, epochs=9, block=4, verbose=0, sampler="sobol"
    )
    whole = np.flatnonzero(halved.trials["epochs"] == 9)
    assert 0 < len(whole) < 9
    np.testing.assert_array_equal(
        halved.trials.scores[whole], full.trials.scores[whole]
    )


def test_only_an_optimizer_that_asks_compiles_for_its_epochs():
    counts = {}
    for optimizer in (decayed, averaged):
        task = task_of(optimizer)
        for epochs in (1, 2):
            before = jt.testing.compilations()
            jt.search(task, SPACE, key=KEY, trials=4, epochs=epochs, block=4, verbose=0)
            counts[optimizer, epochs] = jt.testing.compilations() - before
    assert counts[averaged, 2] == 0
    assert counts[decayed, 2] > 0


@pytest.mark.parametrize("static", [False, True])
def test_steps_are_those_of_each_lane(static):
    task = task_of(decayed)
    sizes = jt.Space(batch_size=jt.ordinal([4, 12], static=static))
    batching = prepare(task, sizes, KEY, 5, 2).layout.batching
    asked = []

    def optimizer(h, steps, examples):
        asked.append((steps, examples))
        return optax.sgd(0.1)

    for size in (4, 12):
        one = batching._replace(micro=size, whole=True) if static else batching
        optimizer_of(
            dataclasses.replace(task, optimizer=optimizer), {"batch_size": size}, one
        )
    examples = batching.examples
    expected = [(5 * -(-examples // size), examples) for size in (4, 12)]
    assert [(int(steps), rows) for steps, rows in asked] == expected
    # known when a program is compiled, so that optax's own schedules take it
    assert all(isinstance(steps, int) == static for steps, _ in asked)


def test_a_stream_evaluates_the_average_and_knows_the_steps():
    def optimizer(h, steps):
        slowing = optax.sgd(jt.schedules.linear(h["learning_rate"], steps))
        plateau = contrib.reduce_on_plateau(factor=0.5, patience=1)
        return jt.optimizers.averaged(optax.chain(slowing, plateau))

    task = dataclasses.replace(task_of(optimizer), shuffle=False, batch_size=8)
    rows = {name: np.asarray(leaf) for name, leaf in task.train.items()}
    parts = [
        {name: v[i : i + 16] for name, v in rows.items()} for i in range(0, 96, 16)
    ]
    stream = jt.data.stream(lambda epoch: iter(parts), examples=len(rows["y"]), rows=16)
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.1), batch_size=jt.power_of_two(4, 16)
    )
    for one in (SPACE, space):
        held, streamed = (
            jt.search(
                dataclasses.replace(task, train=train),
                one,
                key=KEY,
                trials=4,
                epochs=3,
                block=4,
                verbose=0,
            )
            for train in (rows, stream)
        )
        np.testing.assert_allclose(
            streamed.trials.scores, held.trials.scores, rtol=1e-5
        )


def test_a_run_keeps_the_epochs_of_a_whole_training():
    folder, task = tempfile.mkdtemp(), task_of(decayed)
    found = jt.search(
        task, SPACE, key=KEY, trials=4, epochs=4, verbose=0, directory=folder
    )
    assert jt.load(folder, task).setup.workload.layout.batching.epochs == 4
    assert found.setup.workload.layout == jt.load(folder, task).setup.workload.layout
    with pytest.raises(RunError, match="another epochs: 4, now 5"):
        jt.search(task, SPACE, key=KEY, trials=4, epochs=5, verbose=0, directory=folder)


WRONG = {
    "a name": ("adm", "optimizer: got 'adm'. Use one of sgd,"),
    "a number": (0.1, "optimizer: got 0.1. Use a function"),
    "another argument": (lambda h, total: optax.sgd(0.1), "argument 'total' is not"),
    "no hyperparameters": (lambda steps: optax.sgd(0.1), "argument 'steps' is not"),
    "a class": (lambda h: optax.sgd, "the function returned function. Return an optax"),
    "no transformation": (lambda h: 0.1, "the function returned float. Return an"),
    "pairs of parameters": (
        lambda h: optax.lookahead(optax.sgd(0.1), 2, 0.5),
        "lookahead trains pairs",
    ),
    "what one refuses and one needs": (
        lambda h: optax.chain(
            contrib.sam(optax.sgd(0.1), optax.sgd(0.1)),
            jt.optimizers.inverse_epoch_decay(0.1),
        ),
        "one takes no epoch= and another needs it",
    ),
    "a hidden view": (
        lambda h: optax.chain(
            jt.optimizers.evaluated_with(optax.sgd(0.1), lambda s, p: p)
        ),
        "evaluated_with inside another transformation",
    ),
    "two averages": (
        lambda h: jt.optimizers.averaged(contrib.schedule_free_sgd(0.1)),
        "averaged and schedule_free inside another",
    ),
    "an average of a part": (
        lambda h: optax.masked(jt.optimizers.averaged(optax.sgd(0.1)), {"w": False}),
        "averaged has an average of some of the parameters",
    ),
}


@pytest.mark.filterwarnings("ignore:nothing reads")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_optimizer_is_refused_with_a_sentence(name):
    optimizer, message = WRONG[name]
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        jt.search(task_of(optimizer), SPACE, key=KEY, trials=2, epochs=1, verbose=0)


def test_a_line_search_needs_a_static_batch_size():
    space = jt.Space(batch_size=jt.power_of_two(4, 16))
    with pytest.raises(ValueError, match="static=True for the dimension batch_size"):
        jt.search(task_of(optax.lbfgs()), space, key=KEY, trials=2, epochs=1, verbose=0)


def test_parameters_in_64_bits_train_under_x64():
    """As a person's own ``init`` draws them there; batches are added up."""

    def optimizer(h, steps):
        rate = jt.schedules.one_cycle(h["learning_rate"], steps)
        plateau = contrib.reduce_on_plateau(patience=1)
        return jt.optimizers.averaged(optax.chain(optax.adam(rate), plateau), 0.9)

    def init(key, h):
        drawn = jax.random.normal(key, (3,))
        assert drawn.dtype == jnp.float64
        return {"w": drawn}

    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.1), batch_size=jt.power_of_two(4, 16)
    )
    with under({"enable_x64": True}):
        task = dataclasses.replace(task_of(optimizer), init=init)
        found = jt.search(task, space, key=KEY, trials=4, epochs=2, verbose=0)
    assert np.isfinite(found.trials.scores).all()
    again = jt.search(task_of(averaged), space, key=KEY, trials=4, epochs=2, verbose=0)
    for name in space.names:  # the points do not depend on the setting
        np.testing.assert_array_equal(found.trials[name], again.trials[name])


def test_a_transfer_guard_is_refused_and_an_allowance_reaches_the_threads():
    task = task_of(averaged)
    with under({"transfer_guard": "disallow"}):
        with pytest.raises(ValueError, match=r"jax.transfer_guard\('allow'\)"):
            jt.search(task, SPACE, key=KEY, trials=4, epochs=1, verbose=0)
        with jax.transfer_guard("allow"):
            found = jt.search(task, SPACE, key=KEY, trials=4, epochs=1, verbose=0)
    assert np.isfinite(found.trials.scores).all()


def test_a_task_keeps_one_function_for_a_name_or_a_transformation():
    adam = optax.adam(0.1)
    for given in ("adam", adam):
        first, second = (
            jt.classification(
                jt.models.MLP(classes=2, max_units=4),
                train=(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])),
                valid=(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])),
                batch_size=4,
                optimizer=given,
            )
            for _ in range(2)
        )
        assert first.optimizer is second.optimizer


def test_averages_without_their_first_steps():
    """The debiased average of one step is that step's parameters."""
    optimizer = jt.optimizers.averaged(optax.sgd(1.0), decay=jnp.float32(0.99))
    state = optimizer.init(jnp.ones(2, jnp.bfloat16))
    updates, state = optimizer.update(
        jnp.ones(2, jnp.bfloat16), state, jnp.ones(2, jnp.bfloat16)
    )
    assert state.average.dtype == jnp.float32
    np.testing.assert_allclose(state.average, 0.0, atol=1e-6)
    with pytest.raises(ValueError, match="averaged: update needs the parameters"):
        optimizer.update(updates, state)
