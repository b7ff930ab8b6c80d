"""Lanes and blocks: equal to plain training, and to themselves in any company."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.planning.preparation import prepare
from jaxtune.programs import block, lane
from jaxtune.programs.block import gather
from jaxtune.random import INIT, ORDER, lane_key, permutation
from jaxtune.tasks.function import as_task
from jaxtune.training.retraining import train_in_full


def sample(space, n, seed=0):
    points = np.random.default_rng(seed).random((n, space.dim), dtype=np.float32)
    return {name: np.asarray(v) for name, v in space.decode(points).items()}


def rows(hparams, index):
    return {name: values[index] for name, values in hparams.items()}


@pytest.fixture(scope="module")
def workload(small_task, small_space):
    return prepare(small_task, small_space, jax.random.key(1), 2, 4)


@pytest.fixture(scope="module")
def hparams(small_space):
    return sample(small_space, 10)


@pytest.fixture(scope="module")
def outcome(workload, small_space, hparams):
    return train_in_full(workload, small_space, np.arange(10), hparams, np.arange(2))


@pytest.mark.usefixtures("exact_products")
def test_a_lane_equals_plain_training(small_task, small_space, hparams, workload):
    """A Python loop of unbatched steps with optax.sgd, on the same batches."""
    task, trial, epochs = small_task, 3, 2
    one = jt.Hparams({k: jnp.asarray(v[trial]) for k, v in hparams.items()})
    key = lane_key(workload.key, jnp.uint32(trial), jnp.uint32(0))
    params, state = task.init(jax.random.fold_in(key, INIT), one)
    optimizer = optax.sgd(float(one["learning_rate"]), float(one["momentum"]))
    moments = optimizer.init(params)

    @jax.jit
    def gradient(params, batch):
        return jax.grad(lambda p: task.loss(p, state, batch, key, one)[0])(params)

    for epoch in range(epochs):
        order_key = jax.random.fold_in(jax.random.fold_in(key, ORDER), epoch)
        index = np.asarray(permutation(order_key, task.examples))
        for step in range(200 // 64):
            batch = jax.tree.map(
                lambda a, i=index[step * 64 : step * 64 + 64]: a[i], task.train
            )
            updates, moments = optimizer.update(gradient(params, batch), moments)
            params = optax.apply_updates(params, updates)
    expected = task.evaluate(params, state, task.valid, one)
    ids, zero = np.asarray([trial]), np.arange(1)
    got = train_in_full(workload, small_space, ids, rows(hparams, ids), zero)
    np.testing.assert_allclose(got.metrics["loss"][0, 0], expected["loss"], rtol=1e-4)


@pytest.mark.parametrize("chosen", [[3], [9, 0], [7, 3, 1, 2, 5]])
def test_a_trial_does_not_depend_on_its_company(
    chosen, workload, small_space, hparams, outcome
):
    ids = np.asarray(chosen)
    alone = train_in_full(workload, small_space, ids, rows(hparams, ids), np.arange(2))
    for name, values in outcome.metrics.items():
        np.testing.assert_array_equal(alone.metrics[name], values[ids])


def test_seeds_are_different_and_their_number_changes_none(
    workload, small_space, hparams, outcome
):
    assert (outcome.metrics["loss"][:, 0] != outcome.metrics["loss"][:, 1]).all()
    second = train_in_full(
        workload, small_space, np.arange(10), hparams, np.asarray([1])
    )
    np.testing.assert_array_equal(
        second.metrics["loss"][:, 0], outcome.metrics["loss"][:, 1]
    )


def test_a_population_of_any_size_compiles_once(workload, small_space, outcome):
    before = jt.testing.compilations()
    for n in (1, 5, 23):
        train_in_full(
            workload, small_space, np.arange(n), sample(small_space, n), np.arange(1)
        )
    longer = workload._replace(epochs=3)
    train_in_full(
        longer, small_space, np.arange(2), sample(small_space, 2), np.arange(1)
    )
    assert jt.testing.compilations() == before


def test_segments_give_the_bits_of_one_run(small_task, hparams):
    static = block.Static(batching=lane.Batching(64, 192, True))
    lanes = block.pad(
        block.Block(np.arange(4), np.zeros(4, int), rows(hparams, np.arange(4))), 4
    )
    root = jax.random.key(1)
    start = lambda: block.start(small_task, root, lanes, static)  # noqa: E731
    whole = block.advance(small_task, root, lanes, start(), 3, static)
    parts = start()
    for epochs in (1, 2):
        parts = block.advance(small_task, root, lanes, parts, epochs, static)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_lane_that_explodes_is_marked_and_changes_no_neighbour(linear_task):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 1e30))
    workload = prepare(linear_task, space, jax.random.key(0), 8, 4)
    rates = np.float32([1e-2, 1e25, 3e-2, 1e-1, 1e12, 2e-2])
    ids, seeds = np.arange(6), np.arange(1)
    mixed = train_in_full(workload, space, ids, {"learning_rate": rates}, seeds)
    assert mixed.status[:, 0].tolist() == [0, 1, 0, 0, 1, 0]
    np.testing.assert_array_equal(np.isnan(mixed.metrics["mse"]), mixed.status > 0)
    healthy = ids[mixed.status[:, 0] == 0]
    alone = train_in_full(
        workload, space, healthy, {"learning_rate": rates[healthy]}, seeds
    )
    np.testing.assert_array_equal(alone.metrics["mse"], mixed.metrics["mse"][healthy])


def test_a_diverged_lane_keeps_its_last_parameters(linear_task):
    root = jax.random.key(0)
    static = block.Static(batching=lane.Batching(16, 96, True))
    lanes = block.Block(
        np.arange(2), np.zeros(2, int), {"learning_rate": np.float32([1e-2, 1e18])}
    )
    state = block.start(linear_task, root, lanes, static)
    state = block.advance(linear_task, root, lanes, state, 4, static)
    stopped, kept = np.asarray(state.stopped), np.asarray(state.params["w"])
    assert stopped[0] == -1
    assert 0 < stopped[1] < 4 * 6
    assert np.isfinite(kept).all()
    state = block.advance(linear_task, root, lanes, state, 1, static)
    np.testing.assert_array_equal(state.params["w"][1], kept[1])
    assert state.stopped[1] == stopped[1]


def test_gather_moves_lanes_and_starts_the_others_afresh():
    state = {"a": jnp.arange(8.0).reshape(4, 2), "b": jnp.arange(4)}
    fresh = jax.tree.map(lambda leaf: -leaf - 1, state)
    source = jnp.asarray([2, -1, 2, 0])
    moved = gather(None, state, fresh, source)
    for name in state:
        for slot, origin in enumerate([2, -1, 2, 0]):
            expected = fresh[name][slot] if origin < 0 else state[name][origin]
            np.testing.assert_array_equal(moved[name][slot], expected)


def test_static_values_become_python_objects_one_program_each():
    seen = []

    def objective(key, hparams):
        seen.append((hparams["kind"], type(hparams["size"])))
        return hparams["x"] * {"plus": 1.0, "minus": -1.0}[hparams["kind"]]

    space = jt.Space(
        x=jt.uniform(0, 1),
        kind=jt.choice(["plus", "minus"], static=True),
        size=jt.integer(3, 4, static=True),
    )
    hparams = sample(space, 40)
    workload = prepare(as_task(objective), space, jax.random.key(0), width=8)
    got = train_in_full(workload, space, np.arange(40), hparams, np.arange(1))
    sign = np.where(hparams["kind"] == 0, 1, -1)
    np.testing.assert_array_equal(got.metrics["value"][:, 0], hparams["x"] * sign)
    assert sorted(seen) == sorted([(k, int) for k in ("plus", "minus")] * 2)
