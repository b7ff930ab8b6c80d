"""Known settings first, and earlier searches as history."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_storage import SCHEDULERS, assert_same, cut  # noqa: F401

import jaxtune as jt

KEY = jax.random.key(3)
SPACE = jt.Space(
    rate=jt.log_uniform(1e-4, 1.0, default=1e-2),
    units=jt.integer(1, 64, scale="log", default=8),
    batch=jt.power_of_two(16, 256),
    kind=jt.choice(["a", "b"]),
    decay=jt.ordinal([0.0, 0.1, 1.0], default=0.1),
    only_b=jt.when(jt.uniform(0.0, 1.0), kind="b"),
    size=jt.fixed(7),
)


def objective(key, hparams):
    """A number in which every dimension is seen."""
    kind = jnp.where(hparams["kind"] == "a", 0.0, 10.0)
    small = hparams["only_b"] + hparams["decay"] + hparams["size"]
    return hparams["rate"] + hparams["units"] + hparams["batch"] + kind + small


def search(task=objective, space=SPACE, **changes):
    arguments = {"key": KEY, "trials": 16, "rounds": 2, "mode": "min", "verbose": 0}
    return jt.search(task, space, **(arguments | changes))


def test_known_settings_are_the_first_trials_to_the_bit():
    known = [{"rate": 0.003, "units": 9.0, "kind": "b", "only_b": 0.7}, {"batch": 16}]
    found, plain = search(first=known), search()
    assert found.trials["rate"].dtype == np.float32
    # the numbers themselves, and not the nearest point of the cube
    np.testing.assert_array_equal(found.trials["rate"][:2], np.float32([0.003, 0.01]))
    assert found.trials["units"][:2].tolist() == [9, 8]
    assert found.trials["batch"][:2].tolist() == [64, 16]
    assert found.trials["kind"][:2].tolist() == ["b", "a"]
    assert found.trials["decay"][0] == np.float32(0.1)
    np.testing.assert_array_equal(found.trials["only_b"][:2], np.float32([0.7, np.nan]))
    by_hand = [0.003 + 9 + 64 + 10 + 0.7 + 0.1 + 7, 0.01 + 8 + 16 + 0 + 0.5 + 0.1 + 7]
    np.testing.assert_allclose(found.trials["score"][:2], by_hand, rtol=1e-6)
    # the others of the first round are as without
    for name in found.trials.names:
        now, before = (r.trials[name][2:8] for r in (found, plain))
        np.testing.assert_array_equal(now, before, name)
    # and the points are close enough to be one cell in a model
    again = found.spaces[0].decode(found.trials.points[:2])
    for name, values in again.items():
        np.testing.assert_allclose(values, found.trials.decoded[name][:2], rtol=1e-5)


def test_defaults_and_what_a_result_has_are_known_settings():
    found = search(first="defaults")
    assert found.trials.row(0)["rate"] == np.float32(1e-2)
    assert SPACE.values(found.trials.decoded, 0)["units"] == 8
    best = found.best.hparams
    again = search(first=[best, {}])
    assert again.spaces[0].values(again.trials.decoded, 0) == best
    assert again.trials["score"][0] == np.float32(found.best.score)


def test_a_default_outside_of_the_search_is_told():
    space = SPACE.restrict(rate=(0.1, 1.0))
    with pytest.warns(UserWarning, match=r"first\[0\].*'rate', 0.01.*gets 0.1"):
        found = search(space=space, first="defaults")
    assert found.trials["rate"][0] == np.float32(0.1)
    box = SPACE.restrict(rate=(1e-3, 1e-2))
    with pytest.raises(ValueError, match=r"rate.*0.5 does not lie in"):
        search(start=box, first=[{"rate": 0.5}])


def test_in_a_finite_space_nothing_comes_twice():
    space = jt.Space(a=jt.integer(0, 5), b=jt.choice([1, 2, 3]))
    found = search(
        lambda h: h["a"] * h["b"], space, trials=18, rounds=3, first=[{"a": 5}, {}]
    )
    pairs = list(zip(found.trials["a"], found.trials["b"], strict=True))
    assert len(set(pairs)) == 18
    assert pairs[0] == (5, 1)


def test_a_tier_that_is_closed_has_its_defaults():
    space = jt.Space(x=jt.uniform(0.0, 1.0, tier=1), y=jt.uniform(0.0, 1.0, tier=2))
    schedule = jt.tiered(space, 12)

    def run(first):
        return jt.search(
            lambda h: h["x"] + h["y"],
            schedule,
            key=KEY,
            mode="min",
            verbose=0,
            first=first,
        )

    assert run([{"x": 0.25, "y": 0.5}]).trials["x"][0] == np.float32(0.25)
    with pytest.raises(ValueError, match=r"'y'.*0.25 differs from 0.5.*later round"):
        run([{"y": 0.25}])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_known_settings_survive_cuts_under_every_scheduler(
    name,
    small_task,
    small_space,
    tmp_path,
    cut,  # noqa: F811
):
    own = {
        "trials": 12,
        "epochs": 6,
        "mode": "max",
        "block": 4,
        "seeds": 2,
        "scheduler": SCHEDULERS[name],
        "first": [{"learning_rate": 0.1, "momentum": 0.8}, {}],
    }
    straight = search(small_task, small_space, **own)
    at = tmp_path / "run"
    for blocks in (1, 3):
        cut(blocks)
        with pytest.raises(KeyboardInterrupt):
            search(small_task, small_space, **own, directory=at)
    cut(10**9)
    assert_same(jt.resume(at), straight)
    assert jt.rerun(at, 0).same
    # population based training changes values on the way
    if name != "pbt":
        assert straight.trials["momentum"][0] == np.float32(0.8)
        assert straight.trials["learning_rate"][0] == np.float32(0.1)


def test_a_run_is_only_gone_on_with_its_known_settings(tmp_path):
    search(first=[{"rate": 0.5}], directory=tmp_path / "run")
    for other in ({}, {"first": [{"rate": 0.25}]}):
        with pytest.raises(jt.RunError, match=r"another first: .*'rate': 0.5"):
            search(**other, directory=tmp_path / "run")
    assert search(first=[{"rate": 0.5}], directory=tmp_path / "run").finished
