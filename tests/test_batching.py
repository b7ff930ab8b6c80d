"""Batch size as data: lanes of one block equal ordinary training at their own size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.hardware import ACCELERATOR, CPU, KINDS, SWITCH
from jaxtune.planning.batches import grouped as grouped_layout
from jaxtune.planning.batches import with_grouped_batches
from jaxtune.planning.layout import groups, lay_out, with_examples
from jaxtune.planning.loads import Load
from jaxtune.planning.preparation import prepare
from jaxtune.programs import lane
from jaxtune.random import INIT, ORDER, lane_key, permutation
from jaxtune.training.retraining import train_in_full

# the other way to compute has other kernels on a card
pytestmark = pytest.mark.usefixtures("exact_products")

N, SIZES = 92, (8, 16, 32, 64)  # 88 examples in an epoch: 64 and 32 leave some over
RNG = np.random.default_rng(3)
X = RNG.normal(size=(N, 5)).astype(np.float32)
Y = RNG.integers(0, 3, N)


def apply(params, x):
    return jnp.tanh(x @ params["a"]) @ params["b"]


def init(key, x):
    a, b = jax.random.split(key)
    return {
        "a": jax.random.normal(a, (x.shape[1], 7)),
        "b": jax.random.normal(b, (7, 3)),
    }


TASK = jt.tasks.check_data(
    jt.classification((init, apply), train=(X, Y), valid=(X, Y), batch_size=8)
)
NUMBERS = {
    "learning_rate": 0.03,
    "learning_rate_decay": 0.5,
    "weight_decay": 0.02,
}
OPTIMIZERS = {
    "momentum": {"optimizer": 0, "momentum": 0.8},
    "adam": {"optimizer": 1, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-5},
}
REFERENCES = {
    "momentum": lambda h: optax.trace(h["momentum"]),
    "adam": lambda h: optax.scale_by_adam(h["beta1"], h["beta2"], h["epsilon"]),
}


def space(**changes):
    dimensions = {
        "learning_rate": jt.uniform(0, 1),
        "learning_rate_decay": jt.uniform(0, 1),
        "weight_decay": jt.uniform(0, 1),
        "momentum": jt.uniform(0, 1),
        "beta1": jt.uniform(0, 0.9),
        "beta2": jt.uniform(0, 0.99),
        "epsilon": jt.uniform(0, 1),
        "optimizer": jt.choice(["momentum", "adam"]),
        "batch_size": jt.power_of_two(8, 64),
    }
    return jt.Space(**dimensions | changes)


def columns(name):
    usual = {"momentum": 0.9, "beta1": 0.9, "beta2": 0.9, "epsilon": 1e-8}
    one = {**usual, **NUMBERS, **OPTIMIZERS[name]}
    rows = {k: np.full(4, v, np.float32) for k, v in one.items()}
    rows["optimizer"] = rows["optimizer"].astype(np.int32)
    return rows | {"batch_size": np.asarray(SIZES, np.int32)}


@functools.cache
def ordinary(name, trial, size, epochs):
    """A Python loop over batches of one size; an epoch's last one has what is left."""
    h = {**NUMBERS, **OPTIMIZERS[name]}
    one = {k: jnp.float32(v) for k, v in h.items()}
    key = lane_key(jax.random.key(1), jnp.uint32(trial), jnp.uint32(0))
    params, state = TASK.init(jax.random.fold_in(key, INIT), one)
    direction = REFERENCES[name](h)
    moments, updates = direction.init(params), 0

    @jax.jit  # one compilation for each size of a batch, not one for each operation
    def step(params, moments, batch, rate):
        gradient = jax.grad(lambda p: TASK.loss(p, state, batch, key, one)[0])(params)
        step, moments = direction.update(gradient, moments, params)
        decayed = lambda p, s: p - rate * (s + h["weight_decay"] * p)  # noqa: E731
        return jax.tree.map(decayed, params, step), moments

    for epoch in range(epochs):
        order_key = jax.random.fold_in(jax.random.fold_in(key, ORDER), epoch)
        order = np.asarray(permutation(order_key, N))[:88]
        rate = h["learning_rate"] / (1 + h["learning_rate_decay"] * epoch)
        for first in range(0, 88, size):
            rows = order[first : first + size]
            batch = {k: np.asarray(v)[rows] for k, v in TASK.train.items()}
            params, moments = step(params, moments, batch, rate)
            updates += 1
    return TASK.evaluate(params, state, TASK.valid, one), updates


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_lane_trains_as_with_ordinary_batches_of_its_size(name):
    workload = prepare(TASK, space(), jax.random.key(1), 3, 4)
    assert workload.layout.batching == lane.Batching(8, 88, False)
    got = train_in_full(workload, space(), np.arange(4), columns(name), np.arange(1))
    counts = []
    for trial, size in enumerate(SIZES):
        expected, updates = ordinary(name, trial, size, 3)
        counts.append(updates)
        loss = got.metrics["loss"][trial, 0]
        np.testing.assert_allclose(loss, expected["loss"], rtol=2e-5)
    assert counts == [33, 18, 9, 6]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_static_batch_sizes_give_the_same_training(name):
    static = space(batch_size=jt.power_of_two(8, 64, static=True))
    results = [
        train_in_full(
            prepare(TASK, s, jax.random.key(1), 2, 4),
            s,
            np.arange(4),
            columns(name),
            np.arange(1),
        ).metrics["loss"]
        for s in (space(), static)
    ]
    np.testing.assert_allclose(*results, rtol=2e-5)


def grouped(micros, task=TASK):
    workload = prepare(task, space(), jax.random.key(1), 3, 4)
    layout = grouped_layout(workload.layout, space(), micros)
    return workload._replace(layout=layout)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_lanes_of_groups_train_as_with_ordinary_batches(name):
    micros = (8, 16, 64)
    workload = grouped(micros)
    assert [one.micro for one in workload.layout.by_size] == list(micros)
    got = train_in_full(workload, space(), np.arange(4), columns(name), np.arange(1))
    for trial, size in enumerate(SIZES):
        expected, _ = ordinary(name, trial, size, 3)
        loss = got.metrics["loss"][trial, 0]
        np.testing.assert_allclose(loss, expected["loss"], rtol=2e-5)


def test_a_lane_is_in_the_group_of_the_largest_micro_batch_that_divides_its_batch():
    layout = grouped((8, 16, 64)).layout
    found = groups(layout, space(), columns("adam"), 1)
    assert [group.lanes.tolist() for group in found] == [[0], [1, 2], [3]]
    told = [(g.static.batching.micro, g.static.batching.whole) for g in found]
    # a batch that is a micro-batch is one gradient, and none is added up
    assert told == [(8, True), (16, False), (64, True)]


def test_batches_are_grouped_where_that_saves_more_than_compiling():
    plain = prepare(TASK, space(), jax.random.key(1), 3, platform="gpu")
    loads = [Load(10**6, 3)]  # enough for launches not to count
    with_groups = functools.partial(with_grouped_batches, plain, space(), loads)
    quick, slow = (ACCELERATOR._replace(compile=s) for s in (1e-9, 1e3))
    found = with_groups(quick, False).layout.by_size
    assert 1 < len(found) <= 3
    assert found[0].micro == 8
    # nor on a CPU, nor where a trial may take over the state of another group
    for device, explores in ((slow, False), (CPU, False), (quick, True)):
        assert with_groups(device, explores) == plain


def test_a_run_keeps_its_groups_of_batches(tmp_path, monkeypatch):
    monkeypatch.setenv(SWITCH, "accelerator")
    own = {
        "key": jax.random.key(2),
        "trials": 200,
        "epochs": 2,
        "verbose": 0,
        "sampler": "sobol",
    }
    kind = ACCELERATOR._replace(launch=1e-12, block=1e-12, compile=1e-12)
    monkeypatch.setitem(KINDS, kind.name, kind)
    found = jt.search(TASK, space(), directory=tmp_path / "run", **own)
    layout = found.setup.workload.layout
    assert len(layout.by_size) > 1
    assert jt.load(tmp_path / "run", TASK).setup.workload.layout == layout
    assert jt.rerun(tmp_path / "run", 3, TASK).same
    # other constants, as of a later version: the run is still that search
    monkeypatch.setitem(KINDS, kind.name, ACCELERATOR)
    again = jt.search(TASK, space(), directory=tmp_path / "run", **own)
    assert again.setup.workload.layout == layout
    one = jt.search(TASK, space(), **own)
    assert one.setup.workload.layout.by_size == ()
    np.testing.assert_allclose(one.trials["loss"], found.trials["loss"], rtol=1e-3)


def counting_task():
    """A task whose state counts examples, and its optimiser updates."""

    def loss(params, state, batch, key, hparams):
        error = jnp.mean((batch["x"] @ params - 1) ** 2)
        return error, state + batch["x"].shape[0]

    return jt.Task(
        init=lambda key, hparams: (jnp.zeros(5), jnp.int32(0)),
        loss=loss,
        evaluate=lambda params, state, split, hparams: {"examples": state},
        optimizer=lambda hparams: optax.sgd(1e-3),
        train={"x": X},
        valid={"x": X},
        metrics=(("examples", "max"),),
        stateful=True,
    )


@pytest.mark.parametrize("static", [True, False])
def test_every_lane_sees_the_same_number_of_examples(static):
    dimension = jt.power_of_two(8, 64, static=static)
    sizes = jt.Space(batch_size=dimension)
    result = jt.search(
        counting_task(),
        sizes,
        key=jax.random.key(0),
        trials=4,
        epochs=3,
        sampler=jt.samplers.grid(4),
    )
    assert set(result.trials["batch_size"]) == set(SIZES)
    assert (result.trials["examples"] == 3 * 88).all()


def test_a_batch_size_fixed_in_the_space_replaces_the_tasks():
    one = jt.Space(learning_rate=jt.uniform(0, 1), batch_size=jt.fixed(32))
    batching = prepare(TASK, one, jax.random.key(0)).layout.batching
    assert batching == lane.Batching(32, 64, True)
    kept = space().keep("learning_rate")
    assert prepare(TASK, kept, jax.random.key(0)).layout.batching.whole


@pytest.mark.parametrize(
    ("dimension", "micro"),
    [
        (jt.power_of_two(16, 64), 16),
        (jt.ordinal([24, 36, 60]), 12),
        (jt.integer(5, 5), 5),
        (jt.choice([16, 24], static=True), 8),
        (jt.choice([16, 24]), 8),
    ],
)
def test_a_micro_batch_divides_every_batch(dimension, micro):
    sizes = jt.Space(batch_size=dimension, learning_rate=jt.uniform(0, 1))
    assert prepare(TASK, sizes, jax.random.key(0)).layout.batching.micro == micro


@pytest.mark.parametrize(
    ("dimension", "said"),
    [
        (jt.power_of_two(16, 128), "goes up to 128, but train has 92 examples"),
        (jt.uniform(16, 64), "got 'a real number', needs whole numbers"),
        (jt.choice(["16", "32"]), "its values are not numbers"),
        (jt.ordinal([0, 16]), "got 0, needs whole numbers"),
        (jt.ordinal([16.5, 32]), "got 16.5, needs"),
        (jt.choice(["16"], static=True), "its values are not numbers"),
        (jt.choice([16, None]), "its values are not numbers"),
    ],
)
def test_batch_sizes_that_cannot_be_are_named(dimension, said):
    sizes = jt.Space(batch_size=dimension, learning_rate=jt.uniform(0, 1))
    with pytest.raises(ValueError, match=f"dimension 'batch_size'.*{said}"):
        jt.search(TASK, sizes, key=jax.random.key(0), trials=2, epochs=1)


def test_sizes_without_a_common_divisor_are_slow_and_say_so():
    sizes = jt.Space(batch_size=jt.integer(16, 20), learning_rate=jt.uniform(0, 1))
    with pytest.warns(UserWarning, match="no divisor above 1"):
        prepare(TASK, sizes, jax.random.key(0))


def test_batch_statistics_over_micro_batches_say_so():
    model = jt.models.MLP(3, max_units=4, norm="batch")
    task = jt.classification(model, train=(X, Y), valid=(X, Y))
    sizes = jt.Space(
        batch_size=jt.power_of_two(8, 16), learning_rate=jt.uniform(0, 0.1)
    )
    with pytest.warns(UserWarning, match="micro-batches of 8"):
        jt.search(task, sizes, key=jax.random.key(0), trials=2, epochs=1)


def test_a_group_of_batch_sizes_trains_on_as_many_rows_as_all_in_every_layout():
    rows = {"x": np.zeros((100, 1), np.float32)}
    task = jt.Task(
        init=lambda key, hparams: jnp.zeros(1),
        loss=lambda params, batch, key, hparams: params.sum(),
        evaluate=lambda params, split, hparams: {"loss": params.sum()},
        train=rows,
        valid=rows,
        metrics=(("loss", "min"),),
    )
    sizes = jt.Space(x=jt.uniform(0.0, 1.0), batch_size=jt.power_of_two(8, 64))
    layout = grouped_layout(lay_out(task, sizes), sizes, [8, 64])
    for made in (layout, with_examples(layout, task, 3)):
        assert [one.examples for one in made.by_size] == [96, 96]
