"""Lanes that fail in every way: no neighbour notices, and the result says where."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.programs import block, lane

STEPS_PER_EPOCH = 4
HOW = ("none", "nan", "inf", "overflow", "explode", "gradient", "score")


def place(how):
    """The place of a choice in its list; some tests give the place itself."""
    return getattr(how, "index", how)


def failing_task():
    """Linear regression; ``how`` says in which way a lane fails, ``step`` when."""
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    data = {"x": x, "y": x @ np.float32([1.0, -2.0, 0.5])}

    def error(params, batch):
        return jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)

    def loss(params, batch, key, hparams):
        now = params["step"] >= hparams["step"]

        def only(way, then, otherwise):
            active = now & (place(hparams["how"]) == HOW.index(way))
            return jnp.where(active, then, otherwise)

        value = error(params, batch)
        value = value + only("nan", jnp.nan, 0.0) + only("inf", jnp.inf, 0.0)
        value = value * jnp.exp(only("overflow", value + 100.0, 0.0))
        value = value * only("explode", 1e12, 1.0)
        # finite itself, but its gradient is not
        root = jnp.sqrt(only("gradient", 0.0 * params["w"][0], 1.0))
        return value + root + 0.0 * params["step"]

    def evaluate(params, split, hparams):
        broken = place(hparams["how"]) == HOW.index("score")
        return {"mse": jnp.where(broken, jnp.nan, error(params, split))}

    def optimizer(hparams):
        def update(updates, state, params=None):
            counted = {"w": updates["w"] * -0.05, "step": jnp.ones(())}
            return counted, state

        return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

    def init(key, hparams):
        return {"w": jax.random.normal(key, (3,)), "step": jnp.zeros(())}

    return jt.Task(
        init=init,
        loss=loss,
        evaluate=evaluate,
        optimizer=optimizer,
        train=data,
        valid=data,
        batch_size=64 // STEPS_PER_EPOCH,
        metrics=(("mse", "min"),),
    )


TASK = failing_task()


def run(space, **changes):
    arguments = {
        "key": jax.random.key(0),
        "trials": 28,
        "epochs": 3,
        "block": 8,
        "sampler": "sobol",
    }
    return jt.search(TASK, space, **(arguments | changes))


@pytest.mark.filterwarnings("ignore:nothing reads learning_rate")
@pytest.mark.parametrize("way", HOW[1:])
@pytest.mark.parametrize("step", [0, 5])
def test_healthy_lanes_are_the_same_to_the_bit_beside_failing_ones(way, step):
    both = jt.Space(
        learning_rate=jt.uniform(0.0, 1.0),
        how=jt.choice(list(HOW)),
        step=jt.integer(step, step + 3),
    )
    healthy = run(both.restrict(how=["none"]))
    mixed = run(both.restrict(how=["none", way]))
    same = mixed.trials["how"] == "none"
    assert 5 < same.sum() < 23
    # a restricted choice moves no other coordinate, so that trials can be compared
    np.testing.assert_array_equal(
        mixed.trials["mse"][same], healthy.trials["mse"][same], strict=True
    )
    assert (mixed.trials["status"] == np.where(same, "ok", "diverged")).all()
    assert np.isnan(mixed.trials["mse"][~same]).all()
    assert mixed.divergence.trials == (~same).sum()


@pytest.mark.filterwarnings("ignore:nothing reads learning_rate")
def test_counts_and_regions_say_where_trials_failed():
    found = run(
        jt.Space(
            learning_rate=jt.uniform(0.0, 1.0),
            how=jt.choice(list(HOW)),
            step=jt.integer(0, 20),
        ),
        trials=64,
        rounds=2,
        seeds=2,
    )
    told, table = found.divergence, found.trials
    failed = table["status"] == "diverged"
    assert 0 < told.trials == failed.sum() < 64
    assert told.lanes == (~np.isfinite(table.scores)).sum()
    assert told.rounds == tuple(int(failed[table["round"] == n].sum()) for n in (0, 1))
    regions = {(r.name, r.low): r for r in told.regions}
    for way in HOW[1:]:
        tried = table["how"] == way
        if (tried & failed).any():
            region = regions["how", way]
            assert (region.failed, region.tried) == (
                (tried & failed).sum(),
                tried.sum(),
            )
    assert ("how", "none") not in regions
    (steps,) = [r for r in told.regions if r.name == "step"]
    values = table["step"][failed]
    assert (steps.low, steps.high) == (values.min(), values.max())
    inside = (table["step"] >= steps.low) & (table["step"] <= steps.high)
    assert (steps.failed, steps.tried) == (failed.sum(), inside.sum())
    assert [r.share for r in told.regions] == sorted(
        [r.share for r in told.regions], reverse=True
    )


@pytest.mark.filterwarnings("ignore:nothing reads learning_rate")
def test_the_report_says_where_trials_failed(tmp_path):
    ways = jt.choice(list(HOW))
    rate = jt.uniform(0.0, 1.0)
    page = run(jt.Space(learning_rate=rate, how=ways, step=jt.integer(0, 5)))
    text = page.report(tmp_path / "page.html").read_text()
    trials, lanes = page.divergence.trials, page.divergence.lanes
    assert f"{trials} trials failed, with {lanes} failed trainings" in text


@pytest.mark.parametrize("way", ["nan", "inf", "overflow", "gradient"])
def test_parameters_stay_as_they_were_before_the_first_bad_loss(way):
    batching = lane.Batching(64 // STEPS_PER_EPOCH, 64, True)
    static = block.Static(batching=batching)
    how = np.asarray([HOW.index("none"), HOW.index(way)], np.int32)
    hparams = {"how": how, "step": np.full(2, 6, np.int32)}
    lanes = block.Block(np.zeros(2, np.uint32), np.zeros(2, np.uint32), hparams)
    state = block.start(TASK, jax.random.key(0), lanes, static)
    state = block.advance(TASK, jax.random.key(0), lanes, state, 3, static)
    first_bad = 6 if way != "gradient" else 7  # it is seen in the loss after it
    assert state.stopped.tolist() == [-1, first_bad]
    healthy, failed = np.asarray(state.params["step"]).tolist()
    assert (healthy, failed) == (12, first_bad)
    if way != "gradient":
        assert np.isfinite(state.params["w"]).all()
