"""Dimensions that matter only sometimes: no value in the table, no say in the zoom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtune as jt

SPACE = jt.Space(
    optimizer=jt.choice(["sgd", "momentum", "adam"]),
    momentum=jt.when(jt.uniform(0.5, 1.0, default=0.9), optimizer="momentum"),
    beta1=jt.when(jt.uniform(0.8, 0.99, default=0.9), optimizer=["adam"]),
    steps=jt.when(jt.integer(1, 9, default=5), optimizer=["momentum", "adam"]),
    kind=jt.when(jt.choice(["x", "y"], default="y"), optimizer="adam"),
    depth=jt.when(jt.uniform(0, 1, default=0.25), kind="x", optimizer="adam"),
    rate=jt.log_uniform(0.01, 1.0),
)


def sample(n, space=SPACE):
    return np.random.default_rng(0).random((n, space.dim), dtype=np.float32)


def expected(row):
    """Which dimensions matter, spelt out."""
    names = {"optimizer", "rate"}
    if row["optimizer"] == "momentum":
        names |= {"momentum", "steps"}
    if row["optimizer"] == "adam":
        names |= {"beta1", "steps", "kind"}
        names |= {"depth"} if row["kind"] == "x" else set()
    return names


def test_only_what_matters_has_a_value_and_the_rest_its_default():
    hparams = SPACE.decode(sample(200))
    active = SPACE.active(hparams)
    defaults = {"momentum": 0.9, "beta1": 0.9, "steps": 5, "kind": 1, "depth": 0.25}
    seen = set()
    for trial in range(200):
        row = SPACE.values(hparams, trial)
        full = {"kind": None} | row
        assert set(row) == expected(full)
        assert set(row) == {n for n in SPACE.names if active[n][trial]}
        for name in set(SPACE.names) - set(row):
            assert hparams[name][trial] == np.float32(defaults[name])
        seen.add(len(row))
    assert seen == {2, 4, 5, 6}


def test_encoding_is_inverted_and_stays_in_the_cube():
    hparams = SPACE.decode(sample(200))
    points = SPACE.encode(hparams)
    assert ((points >= 0) & (points < 1)).all()
    again = SPACE.decode(points)
    for name in SPACE.names:
        np.testing.assert_array_equal(again[name], hparams[name])


def objective(key, hparams):
    """Adam with a beta1 near 0.85 is best; the others do not read beta1."""
    adam = hparams["optimizer"] == "adam"
    return jnp.where(adam, 1 - jnp.abs(hparams["beta1"] - 0.85), 0.5 * hparams["rate"])


def search(**changes):
    space = SPACE.keep("optimizer", "beta1", "rate", "kind", "depth")
    arguments = {
        "key": jax.random.key(0),
        "trials": 240,
        "rounds": 3,
        "mode": "max",
        "sampler": "sobol",
    }
    with pytest.warns(UserWarning, match="nothing reads kind, depth"):
        return jt.search(objective, space, **{**arguments, **changes})


@pytest.mark.search
def test_the_table_marks_what_does_not_matter():
    result = search()
    frame = result.trials.to_pandas()
    adam = frame["optimizer"] == "adam"
    assert 0 < adam.sum() < len(frame)
    assert frame["beta1"].isna().equals(~adam)
    assert frame["kind"].isna().equals(~adam)
    assert frame["depth"].isna().equals(~(adam & (frame["kind"] == "x")))
    best = result.best.hparams
    assert best["optimizer"] == "adam"
    assert "momentum" not in best
    assert result.report is not None
    assert jt.report.zoom(result, "beta1", "rate") is not None


def test_zoom_judges_a_dimension_by_the_trials_it_matters_for():
    points = sample(400)
    hparams = SPACE.decode(points)
    adam = np.asarray(hparams["optimizer"]) == 2
    # trials without beta1 crowd its upper end, and would drag the box there
    points[~adam, 2] = 0.9 + 0.09 * points[~adam, 2]
    scores = np.where(adam, -np.abs(points[:, 2] - 0.2), -0.08 - 0.01 * points[:, 0])
    smaller = jt.zoom(top=30, floor=0.1)(SPACE, points, scores)
    best = np.argsort(-scores)[:30]
    share = adam[best].mean()
    assert 0.5 < share < 1
    low, high = smaller.bounds["beta1"]
    assert 0.8 < low < 0.84
    assert high < 0.86


def test_zoom_leaves_a_dimension_that_few_of_the_best_have():
    points = sample(400)
    hparams = SPACE.decode(points)
    momentum = np.asarray(hparams["optimizer"]) == 1
    scores = np.where(momentum, 1 - np.abs(points[:, 1] - 0.5), 0.0)
    scores[np.flatnonzero(~momentum)[:3]] = 2.0
    smaller = jt.zoom(top=10)(SPACE, points, scores)
    for name in ("beta1", "depth"):
        assert smaller.bounds[name] == SPACE.bounds[name]
    assert smaller.bounds["momentum"] != SPACE.bounds["momentum"]
    assert smaller.choices["kind"] == ("x", "y")


def test_a_refiner_and_a_sampler_keep_their_contracts():
    jt.testing.check_refiner(jt.zoom(top=8), SPACE, 64)
    jt.testing.check_sampler(jt.samplers.sobol(), SPACE)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: jt.when(jt.uniform(0, 1), other=1), "'x'.*no dimension 'other'"),
        (lambda: jt.when(jt.uniform(0, 1), real=1), "'real' has no list of values"),
        (lambda: jt.when(jt.uniform(0, 1), kind="c"), "'c' is not one of the values"),
        (lambda: jt.when(jt.uniform(0, 1)), "needs a condition"),
        (lambda: jt.when(jt.fixed(1), kind="a"), "needs a searched dimension"),
        (lambda: jt.when(3, kind="a"), "needs a searched dimension, got 3"),
        (lambda: jt.when(jt.uniform(2, 1), kind="a"), "low <= high"),
        (lambda: jt.when(jt.choice([1, 2]), x=1), "lead back to itself"),
    ],
)
def test_bad_conditions_are_named(make, said):
    dimensions = {"kind": jt.choice(["a", "b"]), "real": jt.uniform(0, 1)}
    with pytest.raises(ValueError, match=f"dimension 'x'.*{said}|{said}"):
        jt.Space(**dimensions, x=make())


def test_keeping_a_dimension_that_could_never_matter_is_refused():
    with pytest.raises(ValueError, match="'beta1' matters only when optimizer"):
        SPACE.keep("beta1", "rate")
    assert SPACE.keep("optimizer", "beta1").dim == 2


@pytest.mark.parametrize(
    ("listed", "given", "values"),
    [
        ([(1, 2), (3, 4)], (1, 2), ((1, 2),)),
        ([(1, 2), (3, 4)], [(1, 2)], ((1, 2),)),
        ([1, 2, (1, 2)], (1, 2), ((1, 2),)),
        ([1, 2, 3], (1, 2), (1, 2)),
        ([1, 2, 3], [1, 2], (1, 2)),
        ([1, 2, 3], range(1, 3), (1, 2)),
        ([1, 2, 3], np.asarray([1, 2]), (1, 2)),
        ([1, 2, 3], np.int64(2), (2,)),
    ],
)
def test_a_tuple_that_is_a_value_is_that_value(listed, given, values):
    space = jt.Space(n=jt.choice(listed), x=jt.when(jt.uniform(0, 1), n=given))
    assert space["x"].condition == (("n", values),)
    points = [[(i + 0.5) / len(listed), 0.5] for i in range(len(listed))]
    active = np.asarray(space.active(space.decode(points))["x"])
    assert active.tolist() == [value in values for value in listed]
