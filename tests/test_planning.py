"""Layouts: every lane once, padding that changes no numbers, plans that come true."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtune as jt
from jaxtune.planning import flops as work
from jaxtune.planning import layout as planner
from jaxtune.planning.layout import groups
from jaxtune.planning.preparation import prepare
from jaxtune.planning.sizes import sizes_of
from jaxtune.training.retraining import train_in_full

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 12)).astype(np.float32), RNG.integers(0, 3, 64)
SPLITS = {"train": (X, Y), "valid": (X, Y)}


def mlp_task(units=16, layers=2, **splits):
    model = jt.models.MLP(3, max_units=units, max_layers=layers)
    splits = {**SPLITS, **splits}
    return jt.tasks.check_data(jt.classification(model, **splits, batch_size=16))


def shapes(units=16, layers=2, low=2, static=False):
    return jt.Space(
        learning_rate=jt.log_uniform(0.01, 0.1),
        hidden_units=jt.integer(low, units, scale="log", static=static),
        layers=jt.integer(1, layers, static=static),
    )


def sample(space, n, seed=0):
    points = np.random.default_rng(seed).random((n, space.dim), dtype=np.float32)
    return {name: np.asarray(v) for name, v in space.decode(points).items()}


@pytest.mark.parametrize("programs", [None, 1, 2, 3, 6, 16])
@pytest.mark.parametrize("static", [False, True])
def test_every_lane_has_one_program_that_holds_it(programs, static):
    space = shapes(static=static)
    layout = planner.lay_out(mlp_task(), space, programs)
    hparams = sample(space, 50)
    found = groups(layout, space, hparams, seeds=3)
    lanes = np.concatenate([group.lanes for group in found])
    assert sorted(lanes) == list(range(150))
    if not static:
        assert len(found) <= (programs or planner.MOST_PROGRAMS)
    for group in found:
        fixed, rows = dict(group.static.values), group.lanes // 3
        for name, field in (("hidden_units", "max_units"), ("layers", "max_layers")):
            assert (hparams[name][rows] <= fixed[field]).all()
            if static:
                assert (hparams[name][rows] == fixed[field]).all()


@pytest.mark.usefixtures("exact_products")
def test_scores_do_not_depend_on_what_a_network_is_padded_to():
    """One program, several, and the exact shape of each value: the same training."""
    scores = []
    for static, programs in ((False, 1), (False, 2), (True, None)):
        space = shapes(static=static)
        workload = prepare(mlp_task(), space, jax.random.key(0), 3, 4, programs)
        hparams = sample(space, 3)
        got = train_in_full(workload, space, np.arange(3), hparams, np.arange(1))
        scores.append(got.metrics["loss"])
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4)
    np.testing.assert_allclose(scores[2], scores[0], rtol=1e-4)


def test_large_networks_are_split_and_small_ones_are_not():
    examples = 1200
    x = np.zeros((examples, 64), np.float32)
    rows = (x, np.zeros(examples, int))
    many = {"train": rows, "valid": rows}
    tops = {}
    for units in (32, 1024):
        layout = planner.lay_out(mlp_task(units, 3, **many), shapes(units, 3, 16))
        tops[units] = {bucket.name: bucket.tops for bucket in layout.buckets}
    assert tops[32] == {"hidden_units": (32,), "layers": (3,)}
    assert len(tops[1024]["hidden_units"]) > 1
    for sizes in tops[1024].values():
        assert list(sizes) == sorted(set(sizes))


def test_a_layout_does_not_depend_on_the_box():
    """Zooming narrows the box; the programs are those of the whole space."""
    space = shapes(64, 3, 4)
    task = mlp_task(64, 3)
    layout = planner.lay_out(task, space, 4)
    box = space.restrict(hidden_units=(20, 30))
    narrow = groups(layout, space, sample(box, 20), 1)
    assert {dict(g.static.values)["max_units"] for g in narrow} == {32}


MODELS = {
    "mlp": (jt.models.MLP(3, max_units=24, max_layers=2), (12,)),
    "cnn": (jt.models.CNN(3, max_channels=8, max_layers=2), (12, 12)),
}


@pytest.mark.cpu("XLA counts before it compiles")
@pytest.mark.parametrize("name", MODELS)
def test_operations_are_those_that_xla_counts(name):
    model, shape = MODELS[name]
    x = jnp.zeros((16, *shape))
    splits = {"train": (x, Y[:16]), "valid": (x, Y[:16])}
    task = jt.tasks.check_data(jt.classification(model, **splits, batch_size=16))
    params, state = task.init(jax.random.key(0), jt.Hparams({}))

    def loss(params, batch):
        return task.loss(params, state, batch, jax.random.key(0), jt.Hparams({}))[0]

    said = jax.jit(loss).lower(params, task.train).cost_analysis()["flops"] / 16
    counted = work.per_example(task, jt.Hparams({}))
    # elementwise operations are counted more coarsely than products
    assert 0.9 < counted / said < 1.6


def test_operations_of_a_loop_count_every_turn():
    def loss(params, batch, key, hparams):
        turn = lambda _, w: w @ w / 8  # noqa: E731
        return jax.lax.fori_loop(0, 5, turn, params).sum() + batch["x"].mean()

    task = jt.Task(
        init=lambda key, hparams: jnp.eye(8),
        loss=loss,
        evaluate=lambda params, split, hparams: {"loss": params.sum()},
        train={"x": X},
        valid={"x": X},
    )
    products = 5 * 2 * 8**3
    counted = work.EXAMPLES * work.per_example(task, jt.Hparams({}))
    assert products < counted < 1.3 * products + 2 * 12 * 16


def test_a_plan_comes_true():
    space, task = shapes(static=True), mlp_task()
    space = space.replace(hidden_units=jt.ordinal([4, 16], static=True))
    said = jt.plan(task, space, trials=16, block=4)
    assert said.programs == 3 * 4
    assert said.width == 4
    assert said.micro_batch == 16
    assert sum(group.trials for group in said.groups) == 16
    assert said.padding == 0.0
    lanes = 4 * sum(group.blocks for group in said.groups)
    assert said.empty == pytest.approx(1 - 16 / lanes)
    assert said.memory > 4 * 3 * (12 * 16 + 16 * 16)  # at least weights and moments
    before = jt.testing.compilations()
    jt.search(
        task,
        space,
        key=jax.random.key(0),
        trials=16,
        epochs=1,
        block=4,
        verbose=0,
        sampler="sobol",
    )
    assert jt.testing.compilations() - before == said.programs


def test_a_plan_states_the_padding():
    space = jt.Space(
        learning_rate=jt.uniform(0, 1), hidden_units=jt.ordinal([8, 64], default=8)
    )
    task = mlp_task(64, 1)
    said = jt.plan(task, space, trials=32, programs=1, memory=False)
    small, large = (
        # searched, so a number of the program
        work.per_example(
            task, jt.Hparams({"hidden_units": jnp.int32(u), "max_units": u})
        )
        for u in (8, 64)
    )
    assert said.padding == pytest.approx((1 - small / large) / 2)
    assert said.groups[0].padding == pytest.approx(said.padding)
    exact = jt.plan(task, space, trials=32, programs=2, memory=False)
    assert exact.padding == 0
    assert "max_units=8" in repr(exact)
    assert "32 trials" not in repr(exact)


def test_a_choice_of_sizes_is_planned_and_counted_as_an_ordinal_of_them():
    many = np.repeat(X, 64, axis=0), np.repeat(Y, 64)
    task, found = mlp_task(512, train=many), []
    for units in (jt.choice([512, 8, 64]), jt.ordinal([8, 64, 512])):
        space = jt.Space(learning_rate=jt.uniform(0, 1), hidden_units=units)
        workload = prepare(task, space, jax.random.key(0), epochs=1, width=4)
        decoded = np.asarray([units.decoded(size) for size in (8, 64, 512)])
        hparams = {"learning_rate": np.ones(3, np.float32), "hidden_units": decoded}
        sizes = sizes_of(workload, space, hparams, ["parameters"])["parameters"]
        said = jt.plan(task, space, trials=48, memory=False)
        found.append((workload.layout.buckets, sizes.tolist(), said.padding))
    (buckets, sizes, padding), ordinal = found
    # a choice looks its size up, which is arithmetic too
    assert (buckets, sizes, pytest.approx(padding, rel=0.05)) == ordinal
    assert len(buckets[0].tops) == 2
    assert sizes[0] == 12 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3


def test_a_plan_of_a_plain_function():
    space = jt.Space(x=jt.uniform(0, 1))
    said = jt.plan(lambda key, h: h["x"], space, trials=300, sampler="sobol")
    assert (said.programs, said.padding, said.memory) == (1, 0, 0)
    assert (said.width, said.empty) == (300, 0)


def test_a_users_own_field_is_not_overridden():
    space = jt.Space(
        learning_rate=jt.uniform(0, 1),
        hidden_units=jt.integer(2, 8),
        max_units=jt.choice([8, 16], static=True),
    )
    layout = planner.lay_out(mlp_task(), space)
    assert layout.buckets == ()


def test_what_only_one_static_choice_reads_is_read():
    def objective(key, hparams):
        return hparams["x"] if hparams["kind"] == "a" else hparams["y"]

    space = jt.Space(
        kind=jt.choice(["a", "b", "c"], static=True),
        x=jt.uniform(0, 1),
        y=jt.uniform(0, 1),
    )
    own = {"key": jax.random.key(0), "trials": 8, "mode": "max", "sampler": "sobol"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jt.search(objective, space, **own)
    unread = jt.Space(**{name: space[name] for name in space.names}, z=space["x"])
    with pytest.warns(UserWarning, match="nothing reads z"):
        jt.search(objective, unread, **own)
