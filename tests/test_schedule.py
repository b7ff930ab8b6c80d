"""The standard nine, and tiers that open one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtune as jt
from jaxtune.space import with_default_inside

NINE = {
    "learning_rate": 1,
    "momentum": 2,
    "batch_size": 2,
    "hidden_units": 2,
    "layers": 3,
    "learning_rate_decay": 3,
    "beta1": 4,
    "beta2": 4,
    "epsilon": 4,
}
SPACE = jt.Space(
    a=jt.uniform(0, 1, tier=1),
    b=jt.uniform(0, 1, default=0.5, tier=3),
    c=jt.when(jt.uniform(0, 1, default=0.5, tier=1), kind="on"),
    kind=jt.choice(["off", "on"], tier=3),
    d=jt.integer(0, 9, default=2, tier=4),
)


def bowl(key, hparams):
    wanted = {"a": 0.2, "b": 0.7, "c": 0.4, "d": 8, "kind": 1}
    hparams = hparams | {"kind": hparams["kind"] == "on"}
    far = [jnp.abs(hparams[n] - w) / (9 if n == "d" else 1) for n, w in wanted.items()]
    return sum(far)


def test_the_standard_nine_have_the_tiers_and_defaults_of_the_field():
    space = jt.presets.standard()
    assert {n: space[n].tier for n in space.names if n != "optimizer"} == NINE
    defaults = {n: space[n].default for n in ("momentum", "beta1", "beta2", "epsilon")}
    assert defaults == {"momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    assert space["optimizer"].choices == ("momentum", "adam")
    for name in space.names:
        dim = space[name]
        if dim.allowed is None:
            assert dim.bounds[0] <= dim.default <= dim.bounds[1]


@pytest.mark.parametrize(
    ("optimizers", "missing"),
    [
        (("adam",), {"momentum"}),
        (("sgd", "momentum"), {"beta1", "beta2", "epsilon"}),
        (("rmsprop",), {"momentum", "beta1"}),
        (("sgd",), {"momentum", "beta1", "beta2", "epsilon"}),
    ],
)
def test_the_standard_space_has_what_its_optimizers_read(optimizers, missing):
    space = jt.presets.standard(optimizers)
    assert set(NINE) - set(space.names) == missing
    if optimizers == ("rmsprop",):
        holds = space.active(space.decode(np.zeros((1, space.dim), np.float32)))
        assert holds["beta2"].all()


@pytest.mark.parametrize("optimizers", [(), ("lion",)])
def test_other_optimizers_are_refused(optimizers):
    with pytest.raises(ValueError, match="Use some of sgd, momentum, rmsprop, adam"):
        jt.presets.standard(optimizers)


def test_all_nine_are_searched_in_one_program():
    """Nothing is static, nothing is unread, and one set of programs trains them all."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 8)), rng.integers(0, 3, 64)
    model = jt.models.MLP(3, max_units=256, max_layers=3)
    task = jt.classification(model, train=(x, y), valid=(x, y))
    space = jt.presets.standard().restrict(batch_size=(16, 64), hidden_units=(16, 32))
    before = jt.testing.compilations()
    result = jt.search(
        task,
        space,
        key=jax.random.key(0),
        trials=24,
        rounds=2,
        epochs=1,
        sampler="sobol",
    )
    assert jt.testing.compilations() - before == 3
    assert len(set(result.trials["batch_size"])) == 3
    assert len(set(result.trials["hidden_units"])) > 3
    assert set(result.trials["layers"]) == {1, 2, 3}
    adam = result.trials["optimizer"] == "adam"
    np.testing.assert_array_equal(np.isnan(result.trials["beta1"]), ~adam)
    np.testing.assert_array_equal(np.isnan(result.trials["momentum"]), adam)


def test_tiers_open_in_order_and_conditions_wait_for_their_parents():
    schedule = jt.tiered(SPACE, 100)
    opened = [set(stage.searched) for stage in schedule.stages]
    assert opened == [{"a"}, {"a", "b", "c", "kind"}, {"a", "b", "c", "kind", "d"}]
    assert [stage.trials for stage in schedule.stages] == [11, 40, 49]
    twice = jt.tiered(SPACE, 100, rounds=2)
    assert len(twice.stages) == 6
    assert twice.trials == 100
    assert twice.stages[0].searched == twice.stages[1].searched == ("a",)


@pytest.mark.parametrize("budget", [6, 7, 31, 1000])
def test_a_budget_is_spent_to_the_last_trial(budget):
    counts = [stage.trials for stage in jt.tiered(SPACE, budget).stages]
    assert sum(counts) == budget
    assert min(counts) >= 2
    assert counts == sorted(counts)


@pytest.mark.parametrize("sampler", ["uniform", "sobol", "halton"])
@pytest.mark.parametrize("floor", [0.3, pytest.param(1.0, marks=pytest.mark.slow)])
def test_a_tiered_search_opens_at_full_range_around_the_best(sampler, floor):
    result = jt.search(
        bowl,
        jt.tiered(SPACE, 200),
        key=jax.random.key(0),
        mode="min",
        sampler=getattr(jt.samplers, sampler)(),
        refine=jt.zoom(top=6, floor=floor),
    )
    trials, rounds = result.trials, result.trials["round"]
    assert len(trials) == 200
    assert result.spaces[0].searched == ("a",)
    first = rounds == 0
    assert (trials["b"][first] == 0.5).all()
    assert (trials["d"][first] == 2).all()
    assert set(trials["kind"][first]) == {"off"}
    assert result.spaces[1].bounds["b"] == (0.0, 1.0)
    assert result.spaces[2].bounds["d"] == (0, 9)
    widths = [np.subtract(*s.bounds["a"][::-1]) for s in result.spaces]
    assert (np.diff(widths) <= 0).all()
    assert (widths[-1] == 1.0) == (floor == 1.0)
    for number, space in enumerate(result.spaces):
        inside = trials["a"][rounds == number]
        low, high = space.bounds["a"]
        assert ((inside >= low) & (inside <= high)).all()
    closed = np.isnan(trials.points)
    assert closed[first].sum(axis=0).tolist() == [0, *[first.sum()] * 4]
    assert not closed[rounds == 2].any()
    assert jt.report.zoom(result, "a", "b") is not None


def test_a_tiered_search_repeats_and_compiles_one_objective():
    def fresh(key, hparams):
        return bowl(key, hparams)

    before = jt.testing.compilations()
    tables = [
        jt.search(fresh, jt.tiered(SPACE, 60), key=jax.random.key(3), mode="min")
        for _ in range(2)
    ]
    assert jt.testing.compilations() - before == 1
    first, second = (table.trials.to_pandas() for table in tables)
    assert first.equals(second)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: jt.tiered(SPACE, 5), "budget=5 cannot fill 3 rounds"),
        (lambda: jt.tiered(SPACE, 0), "budget: got 0"),
        (lambda: jt.tiered(SPACE, 50, rounds=1.5), "rounds: got 1.5"),
        (lambda: jt.tiered(jt.Space(x=jt.fixed(1)), 50), "nothing is searched"),
    ],
)
def test_bad_tiers_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_schedule_has_its_own_trials_and_rounds():
    def run(**changes):
        schedule = jt.tiered(SPACE, 20)
        return jt.search(bowl, schedule, key=jax.random.key(0), mode="min", **changes)

    assert len(run(trials=20).trials) == 20
    for changes in ({"trials": 30}, {"rounds": 2}):
        with pytest.raises(ValueError, match="20 trials in 3 rounds of its own"):
            run(**changes)
    with pytest.raises(ValueError, match="say how many"):
        jt.search(bowl, SPACE, key=jax.random.key(0), mode="min")


def test_closed_tiers_stay_inside_a_smaller_space():
    """The default of 64 units is not among those that are left."""
    x = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    splits = {"train": (x, np.arange(32) % 3), "valid": (x, np.arange(32) % 3)}
    model = jt.models.MLP(classes=3, max_units=8, max_layers=1)
    task = jt.classification(model, **splits, batch_size=8)
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 1.0, tier=1),
        hidden_units=jt.integer(2, 64, default=32),
    ).restrict(hidden_units=(2, 8))
    found = jt.search(
        task, jt.tiered(space, 8), key=jax.random.key(0), epochs=1, verbose=0
    )
    assert set(found.trials["hidden_units"][:2]) == {8}
    assert found.trials["hidden_units"].max() <= 8


def test_what_does_not_matter_stays_inside_a_smaller_space():
    space = jt.Space(
        kind=jt.choice(["a", "b"]),
        x=jt.when(jt.uniform(0.0, 1.0), kind="a"),
        how=jt.when(jt.choice(["p", "q", "r"]), kind="a"),
        units=jt.when(jt.power_of_two(1, 64), kind="b"),
        steps=jt.when(jt.ordinal([1.0, 2.0, 4.0]), kind="b"),
    ).restrict(x=(0.6, 0.9), how=["q", "r"], units=(16, 32), steps=(4.0, 4.0))
    moved = {name: with_default_inside(space[name]).default for name in space.names}
    assert moved == {"kind": "a", "x": 0.6, "how": "q", "units": 16, "steps": 4.0}
    with pytest.warns(UserWarning, match="nothing reads kind, how"):
        found = jt.search(
            lambda key, h: h["x"] * h["units"] * h["steps"],
            space,
            key=jax.random.key(0),
            trials=16,
            mode="min",
            verbose=0,
            sampler="sobol",
        )
    decoded = found.trials.decoded
    assert {float(v) for v in decoded["units"]} == {16.0, 32.0}
    assert decoded["x"].min() >= np.float32(0.6)
    assert set(decoded["how"].tolist()) <= {1, 2}
    # half of the trials have the default
    assert (decoded["x"] == np.float32(0.6)).sum() == 8
