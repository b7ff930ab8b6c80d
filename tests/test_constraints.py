"""Constraints: true sizes, the order of trials, and points that are allowed."""

import dataclasses
from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare, kstest

import jaxtune as jt
from jaxtune.goals.limits import Limit, violation
from jaxtune.goals.order import aimed_standing, at_a_rung
from jaxtune.goals.rejection import AGAIN, allowed_only
from jaxtune.planning.flops import per_example
from jaxtune.planning.preparation import prepare
from jaxtune.planning.sizes import sizes_of
from jaxtune.tasks import Hparams
from jaxtune.tasks.function import as_task

KEY = jax.random.key(0)
SQUARE = jt.Space(a=jt.uniform(0.0, 1.0), b=jt.uniform(0.0, 1.0))
BELOW = jt.require(lambda h: h["a"] < h["b"])
NARROW = jt.require(lambda h: 4 * h["a"] < h["b"])


def corner(key, h):
    """Best at (1, 0), which is not allowed below the diagonal."""
    del key
    return h["a"] - h["b"]


def search(**changes):
    arguments = {
        "key": KEY,
        "trials": 32,
        "mode": "max",
        "verbose": 0,
        "sampler": "sobol",
    }
    return jt.search(corner, SQUARE, **{**arguments, **changes})


def mlp_sizes(n, layers):
    """Parameters of 64-n-...-n-10, by hand."""
    return (64 * n + n) + (layers - 1) * (n * n + n) + (10 * n + 10)


@pytest.fixture(scope="module")
def sized():
    return jt.Space(
        learning_rate=jt.log_uniform(1e-2, 1.0),
        hidden_units=jt.integer(2, 16, scale="log"),
        layers=jt.integer(1, 2),
    )


def train(task, space, **changes):
    arguments = {
        "key": KEY,
        "trials": 16,
        "epochs": 2,
        "verbose": 0,
        "sampler": "sobol",
    }
    return jt.search(task, space, **{**arguments, **changes})


def decoded(space, count, seed=0):
    points = np.random.default_rng(seed).random((count, space.dim), np.float32)
    return jax.device_get(space.decode(points))


def test_parameters_are_those_of_the_plain_network(small_task, sized):
    hparams = decoded(sized, 60)
    workload = prepare(as_task(small_task), sized, KEY, 1)
    found = sizes_of(workload, sized, hparams, ["parameters", "flops"])
    by_hand = mlp_sizes(hparams["hidden_units"], hparams["layers"])
    np.testing.assert_array_equal(found["parameters"], by_hand)
    assert found["parameters"].dtype == np.int64
    # operations are those of a network that has no padding at all
    x, y = np.zeros((32, 64), np.float32), np.arange(32) % 10
    for row in range(3):
        n, layers = int(hparams["hidden_units"][row]), int(hparams["layers"][row])
        plain = jt.classification(
            jt.models.MLP(classes=10, max_units=n, max_layers=layers),
            train=(x, y),
            valid=(x, y),
        )
        given = {"hidden_units": np.int32(n), "layers": np.int32(layers)}
        given["learning_rate"] = np.float32(0.1)
        assert found["flops"][row] == per_example(as_task(plain), Hparams(given))


class Net(nn.Module):
    """A network of one's own whose width is a number inside the program."""

    size: int = 16
    limits: ClassVar = {"width": (1, 16)}
    padding: ClassVar = {"width": "size"}

    @nn.compact
    def __call__(self, x, width):
        x = nn.relu(jt.models.MaskedDense(self.size)(x, outputs=width))
        return jt.models.MaskedDense(3)(x, width)


def test_the_size_of_a_model_of_ones_own_is_that_of_its_width():
    x = np.random.default_rng(0).normal(size=(32, 5)).astype(np.float32)
    data = {"train": (x, np.arange(32) % 3), "valid": (x, np.arange(32) % 3)}
    space = jt.Space(learning_rate=jt.log_uniform(0.01, 1), width=jt.integer(2, 16))
    found = train(
        jt.classification(Net(), **data, batch_size=8),
        space,
        constraints={"parameters": ("<=", 60)},
    )
    width = found.trials["width"].astype(int)
    np.testing.assert_array_equal(found.trials["parameters"], 9 * width + 3)
    np.testing.assert_array_equal(found.feasible, 9 * width + 3 <= 60)


class Plain(nn.Module):
    """A network without padding: its width sets a shape."""

    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.relu(nn.Dense(self.width)(x)))


def test_static_sizes_count_and_what_has_no_size_is_counted_once():
    x = np.random.default_rng(0).normal(size=(32, 5)).astype(np.float32)
    data = {"train": (x, np.arange(32) % 3), "valid": (x, np.arange(32) % 3)}
    task = jt.classification(Plain(), **data, batch_size=8)
    space = jt.Space(
        learning_rate=jt.log_uniform(0.01, 1),
        width=jt.ordinal([2, 3, 5], static=True),
    )
    goals = ["accuracy", "parameters"]
    found = train(task, space, goals=goals, trials=6, epochs=1)
    width = found.trials["width"].astype(int)
    assert len(set(width)) > 1
    np.testing.assert_array_equal(found.trials["parameters"], 9 * width + 3)
    alone = train(task, space.keep("learning_rate"), goals=goals, trials=3, epochs=1)
    assert len(set(alone.trials["parameters"].tolist())) == 1


def test_equal_sizes_are_traced_once(small_task, sized):
    task, calls = as_task(small_task), []

    @dataclasses.dataclass(frozen=True)
    class Counted:
        init: object

        def __call__(self, key, hparams):
            calls.append(1)
            return self.init(key, hparams)

    counted = dataclasses.replace(task, init=Counted(task.init))
    workload = prepare(counted, sized, KEY, 1)
    hparams, before = decoded(sized, 10_000), len(calls)
    sizes_of(workload, sized, hparams, ["parameters"])
    pairs = np.stack([hparams["hidden_units"], hparams["layers"]], axis=1)
    assert len(np.unique(pairs, axis=0)) == 30
    assert len(calls) - before == 30
    sizes_of(workload, sized, decoded(sized, 100, 1), ["parameters"])
    assert len(calls) - before == 30


def test_violations_are_shares_of_their_bounds():
    limits = [Limit("a", "<=", 100.0), Limit("b", ">=", -2.0), Limit("c", "<=", 0.0)]
    columns = {
        "a": np.array([100.0, 150, 90, np.nan, 300]),
        "b": np.array([-2.0, -3, -1, 0, -6]),
        "c": np.array([0.0, -1, 0.25, 0, 1]),
    }
    found = violation(limits, columns, 5)
    assert found.tolist() == [0, 0.5 + 0.5, 0.25, np.inf, 2 + 2 + 1]


def test_feasible_trials_rank_first_then_the_least_violation_then_failures():
    scores = np.array([9, 1, 2, 8, np.nan, 7, 8], np.float32)
    columns = {"size": np.array([200, 50, 100, 150, 10, np.inf, 150.0])}
    limits = [Limit("size", "<=", 100.0)]
    standing = aimed_standing(scores, np.full(7, 3), columns, limits, [])
    order = np.argsort(-standing, kind="stable").tolist()
    # 2 and 1 are feasible; 3 and 6 violate alike and tie, by id; then 0; then unknown
    assert order[:6] == [2, 1, 3, 6, 0, 5]
    assert np.isnan(standing[4])
    # within all limits the scores are left as they are
    np.testing.assert_array_equal(
        aimed_standing(scores[1:3], np.full(2, 3), {"size": np.ones(2)}, limits, []),
        scores[1:3],
    )


def test_scores_at_a_rung_do_not_change_while_others_arrive():
    limits = [Limit("size", "<=", 100.0)]
    scores, sizes = np.array([3.0, 9, -5, np.nan]), np.array([50, 150, 50, 400])
    compared = at_a_rung(scores, {"size": sizes}, limits, [])
    assert compared[[0, 2]].tolist() == [3, -5]
    assert compared[1] < -1e20
    assert np.isnan(compared[3])
    for row in range(3):
        one = slice(row, row + 1)
        assert at_a_rung(scores[one], {"size": sizes[one]}, limits, []) == compared[row]


def test_constraints_lead_zoom_and_the_best(small_task, sized):
    """The score rises with the width, and the limit cuts it off."""
    limit = {"parameters": ("<=", 400)}
    found = train(small_task, sized, constraints=limit, trials=24, rounds=3)
    assert found.feasible[found.best.trial]
    fine = np.flatnonzero(found.feasible)
    best = fine[np.argmax(found.trials["score"][fine])]
    assert found.trials["score"][best] == found.best.score
    free = train(small_task, sized, trials=24, rounds=3)
    assert found.feasible[-8:].sum() > (free.trials["hidden_units"][-8:] <= 5).sum()
    assert "of 24 trials have parameters <= 400" in repr(found)


def test_nothing_changes_where_every_trial_is_within_its_limits(small_task, sized):
    options = {"trials": 12, "rounds": 3, "sampler": "tpe", "seeds": 2}
    loose = {"parameters": ("<=", 1e6), "loss": ("<=", 1e6)}
    one = train(small_task, sized, **options)
    other = train(small_task, sized, constraints=loose, **options)
    for name in one.trials.names:
        np.testing.assert_array_equal(one.trials[name], other.trials[name])


@pytest.mark.parametrize(
    "scheduler", ["successive_halving", "hyperband", "asha", "median_stopping", "pbt"]
)
def test_every_scheduler_takes_constraints(small_task, sized, scheduler):
    limit = {"parameters": ("<=", 700), "loss": ("<=", 5)}
    options = {"epochs": 6, "seeds": 2, "constraints": limit, "scheduler": scheduler}
    found = train(small_task, sized, **options)
    sizes = mlp_sizes(found.trials["hidden_units"], found.trials["layers"])
    # also of members that took over a state, and its shape with it
    np.testing.assert_array_equal(found.trials["parameters"], sizes)
    assert found.feasible[found.best.trial]


def test_halving_promotes_feasible_trials_first(small_task, sized):
    limit = {"parameters": ("<=", 500)}
    halving = jt.schedulers.successive_halving(eta=3)
    options = {"epochs": 6, "trials": 18, "scheduler": halving, "sampler": "sobol"}
    found = train(small_task, sized, constraints=limit, **options)
    first = found.rungs.epochs == found.rungs.epochs.min()
    trials = found.rungs.trial[first]
    over = np.maximum(found.trials["parameters"][trials] - 500, 0) / 500
    order = np.lexsort((trials, -found.rungs.scores[first].mean(axis=1), over))
    went_on = np.flatnonzero(found.trials.epochs > found.rungs.epochs.min())
    assert sorted(trials[order[:6]].tolist()) == went_on.tolist()
    # the limit decided: by the score alone others go on
    alone = np.argsort(-found.rungs.scores[first].mean(axis=1))[:6]
    assert sorted(trials[alone].tolist()) != went_on.tolist()


def test_a_limit_of_a_metric_counts_as_measured_at_a_rung():
    """The better the score, the worse the other metric."""

    def evaluate(params, split, h):
        return {"gain": h["u"], "cost": h["u"]}

    data = {"x": jnp.ones(8)}
    task = jt.Task(
        init=lambda key, h: jnp.zeros(()),
        loss=lambda p, batch, key, h: (p - h["u"]) ** 2 * jnp.mean(batch["x"]),
        evaluate=evaluate,
        optimizer="sgd",
        train=data,
        valid=data,
        batch_size=8,
    )
    space = jt.Space(u=jt.uniform(0.0, 1.0), learning_rate=jt.fixed(0.1))
    found = train(
        task,
        space,
        metric="gain",
        mode="max",
        epochs=9,
        scheduler=jt.schedulers.successive_halving(eta=3),
        constraints={"cost": ("<=", 0.5)},
    )
    u = found.trials["u"]
    longest = found.trials.epochs == 9
    assert (u[longest] <= 0.5).all()
    assert found.best.trial == np.flatnonzero(u == u[u <= 0.5].max())[0]


def test_where_no_trial_is_feasible_the_nearest_is_the_best(small_task, sized):
    with pytest.warns(UserWarning, match="no trial has accuracy >= 0.999"):
        found = train(small_task, sized, constraints={"accuracy": (">=", 0.999)})
    assert not found.feasible.any()
    assert found.best.score == found.trials["accuracy"].max()


SEQUENCES = {
    "uniform": jt.samplers.uniform(),
    "sobol": jt.samplers.sobol(),
    "halton": jt.samplers.halton(),
    "latin_hypercube": jt.samplers.latin_hypercube(4096),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_accepted_points_have_the_conditional_distribution(name):
    """Given a < b, a is Beta(1, 2), b is Beta(2, 1), and the cells are equal."""
    found = search(trials=1500, sampler=SEQUENCES[name], constraints=BELOW)
    a, b = found.trials["a"], found.trials["b"]
    assert (a < b).all()
    assert kstest(a, "beta", (1, 2)).pvalue > 1e-3
    assert kstest(b, "beta", (2, 1)).pvalue > 1e-3
    # against rejection in NumPy, on cells of the square
    drawn = np.random.default_rng(0).random((400_000, 2))
    drawn = drawn[drawn[:, 0] < drawn[:, 1]]
    edges = [np.linspace(0, 1, 6)] * 2
    expected = np.histogram2d(*drawn.T, edges)[0].ravel()
    seen = np.histogram2d(a, b, edges)[0].ravel()
    here = expected > 0
    wanted = expected[here] / expected.sum() * len(a)
    assert seen[~here].sum() == 0
    assert chisquare(seen[here], wanted).pvalue > 1e-3


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_trial_depends_on_the_key_and_its_id_alone(name):
    few = search(trials=20, sampler=SEQUENCES[name], constraints=BELOW)
    more = search(trials=300, sampler=SEQUENCES[name], constraints=BELOW)
    np.testing.assert_array_equal(few.trials["a"], more.trials["a"][:20])
    # and they are the points of the sampler itself, in order, as far as allowed
    free = search(trials=20, sampler=SEQUENCES[name])
    fine = free.trials["a"] < free.trials["b"]
    start = few.trials["a"][: fine.sum()]
    np.testing.assert_array_equal(start, free.trials["a"][fine])


def test_a_rare_region_is_found_without_bias():
    rare = jt.require(lambda h: h["a"] + h["b"] < 0.1)
    found = search(trials=200, constraints=rare)
    assert ((found.trials["a"] + found.trials["b"]) < 0.1).all()
    # uniform in a triangle: a is 0.1 * Beta(1, 2)
    assert kstest(found.trials["a"] / 0.1, "beta", (1, 2)).pvalue > 1e-3


# both Gaussian processes are asked alike, and compile for most of a minute
LOCAL = pytest.param("trust_region", marks=pytest.mark.slow)
LEARNERS = ["tpe", "gaussian_process", LOCAL, "cma_es", "optuna"]


@pytest.mark.parametrize("name", LEARNERS)
def test_samplers_that_learn_stay_within_requirements(name):
    if name in ("cma_es", "optuna"):
        pytest.importorskip({"cma_es": "cmaes"}.get(name, name))
    make = getattr(jt.samplers, name)
    if name == "optuna":
        from optuna.samplers import TPESampler

        make = partial(make, TPESampler)
    sampler = make()
    options = {"sampler": sampler, "constraints": NARROW, "rounds": 4, "trials": 40}
    found = search(refine=jt.zoom(floor=1.0), **options)
    assert (4 * found.trials["a"] < found.trials["b"]).all()
    # the best allowed point is (1/4, 1), at a corner of what is allowed
    assert found.best.score > -0.8
    again = search(refine=jt.zoom(floor=1.0), **options)
    np.testing.assert_array_equal(found.trials["a"], again.trials["a"])


def test_suggestions_that_are_never_allowed_are_moved_into_what_is():
    """A sampler that always wants one and the same forbidden corner."""

    def init(key, space):
        return 0

    def ask(state, n):
        return state, np.full((n, 2), [0.9, 0.1], np.float32)

    def tell(state, points, scores):
        return state + 1

    sampler = allowed_only(jt.samplers.base.Sampler(init, ask, tell), [BELOW])
    state = sampler.init(KEY, SQUARE)
    state = sampler.tell(state, np.zeros((1, 2)), np.zeros(1))
    points = np.asarray(sampler.ask(state, 6)[1])
    assert points.shape == (6, 2)
    assert (points[:, 0] < points[:, 1]).all()
    # at the border, near to what was wanted
    np.testing.assert_allclose(points, 0.5, atol=0.1)
    np.testing.assert_allclose(points[:, 0], points[:, 1], atol=1e-3)
    assert AGAIN > 1


def test_every_round_has_allowed_points(small_task):
    found = search(trials=64, rounds=8, constraints=NARROW)
    assert (4 * found.trials["a"] < found.trials["b"]).all()
    assert len(found.spaces) == 8


def test_a_finite_space_gives_each_allowed_configuration_once():
    space = jt.Space(a=jt.integer(0, 9), b=jt.integer(0, 9))
    options = {"key": KEY, "mode": "max", "rounds": 3, "verbose": 0}
    found = jt.search(corner, space, trials=45, constraints=BELOW, **options)
    pairs = set(
        zip(found.trials["a"].tolist(), found.trials["b"].tolist(), strict=False)
    )
    assert pairs == {(a, b) for a in range(10) for b in range(a + 1, 10)}


def test_a_grid_skips_what_is_not_allowed():
    found = search(trials=6, sampler=jt.samplers.grid(4), constraints=BELOW)
    expected = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    middles = [((a + 0.5) / 4, (b + 0.5) / 4) for a, b in expected]
    shown = zip(found.trials["a"].tolist(), found.trials["b"].tolist(), strict=False)
    np.testing.assert_allclose(list(shown), middles, rtol=1e-6)
    with pytest.raises(ValueError, match="6 of the sampler's first 16 points"):
        search(trials=7, sampler=jt.samplers.grid(4), constraints=BELOW)


def test_members_of_a_population_stay_within_requirements(small_task):
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 1.0), momentum=jt.uniform(0.0, 0.9)
    )
    rule = jt.require(lambda h: h["learning_rate"] < 1 - h["momentum"])
    pbt = jt.schedulers.pbt(interval=1, step=0.5, resample=0.5)
    options = {"epochs": 8, "trials": 24, "scheduler": pbt, "sampler": "sobol"}
    found = train(small_task, space, constraints=rule, **options)
    assert len(found.lineage.trial)
    for trial in range(24):
        for segment in found.trajectory(trial):
            rate, momentum = (segment.hparams[n] for n in space.names)
            assert rate < 1 - momentum


def test_tiers_meet_requirements_with_closed_dimensions_at_their_defaults():
    space = jt.Space(
        a=jt.uniform(0.0, 1.0, default=0.5, tier=1),
        b=jt.uniform(0.0, 1.0, default=0.5, tier=2),
    )
    options = {"key": KEY, "mode": "max", "verbose": 0}
    tiers = jt.tiered(space, 24)
    found = jt.search(corner, tiers, constraints=BELOW, **options)
    assert (found.trials["a"] < found.trials["b"]).all()
    never = jt.require(lambda h: h["b"] > 0.9)
    with pytest.raises(ValueError, match="with b at their defaults"):
        jt.search(corner, tiers, constraints=never, **options)


def test_a_function_gets_the_values_that_a_user_wrote():
    seen = []

    def look(h):
        seen.append(h)
        return True

    space = jt.Space(
        kind=jt.choice(["sgd", "adam"]),
        size=jt.ordinal([8, 16]),
        rate=jt.uniform(0.0, 1.0),
        beta=jt.when(jt.uniform(0.0, 0.9, default=0.25), kind="adam"),
        fixed=jt.fixed((1, 2)),
    )
    jt.search(
        lambda key, h: h["rate"] * h["size"] + h["beta"] + (h["kind"] == "sgd"),
        space,
        key=KEY,
        trials=8,
        mode="max",
        constraints=jt.require(look),
        verbose=0,
        sampler="sobol",
    )
    assert {h["kind"] for h in seen} == {"sgd", "adam"}
    assert {h["size"] for h in seen} == {8, 16}
    assert {h["fixed"] for h in seen} == {(1, 2)}
    assert {h["beta"] for h in seen if h["kind"] == "sgd"} == {0.25}
    assert {type(h["rate"]) for h in seen} == {float}


def test_conditional_dimensions_are_allowed_with_what_they_depend_on():
    space = jt.Space(
        deep=jt.choice([False, True]),
        width=jt.integer(1, 8),
        second=jt.when(jt.integer(1, 8, default=1), deep=True),
    )
    narrows = jt.require(lambda h: not h["deep"] or h["second"] <= h["width"])
    found = jt.search(
        lambda key, h: h["width"] * 1.0 + h["second"] - h["deep"],
        space,
        key=KEY,
        trials=40,
        rounds=2,
        mode="max",
        constraints=narrows,
        verbose=0,
        sampler="sobol",
    )
    deep = found.trials["deep"] == True  # noqa: E712
    width, second = found.trials["width"], found.trials["second"]
    assert deep.any()
    assert (second[deep] <= width[deep]).all()


class Interrupt(jt.Callback):
    """Ctrl-C after the first round."""

    def on_round(self, result):
        raise KeyboardInterrupt


def test_constraints_survive_a_run_directory(small_task, sized, tmp_path):
    small = jt.require(lambda h: h["hidden_units"] * h["layers"] < 20)
    limits = [{"parameters": ("<=", 700)}, small]
    options = {"constraints": limits, "rounds": 2}
    whole = train(small_task, sized, **options)
    run = {"directory": tmp_path / "run", **options}
    with pytest.raises(KeyboardInterrupt):
        train(small_task, sized, callbacks=[Interrupt()], **run)
    loaded = jt.load(tmp_path / "run")
    assert loaded.feasible.tolist() == whole.feasible[:8].tolist()
    assert str(loaded.setup.constraints.limits[0]) == "parameters <= 700"
    with pytest.raises(jt.RunError, match=r"require\(<lambda>\), a function that it"):
        jt.resume(tmp_path / "run", small_task)
    with pytest.raises(jt.RunError, match="constraints: parameters <= 700 and require"):
        train(small_task, sized, **run | {"constraints": limits[:1]})
    with pytest.raises(jt.RunError, match="now none"):
        train(small_task, sized, **run | {"constraints": None})
    resumed = jt.resume(tmp_path / "run", small_task, constraints=limits, verbose=0)
    for other in (resumed, jt.load(tmp_path / "run"), train(small_task, sized, **run)):
        for name in whole.trials.names:
            np.testing.assert_array_equal(other.trials[name], whole.trials[name])
    assert jt.rerun(tmp_path / "run", 2, small_task).same


def test_limits_are_taken_from_a_run(small_task, sized, tmp_path):
    options = {"constraints": {"flops": ("<=", 2000)}, "rounds": 2}
    whole = train(small_task, sized, **options)
    with pytest.raises(KeyboardInterrupt):
        train(
            small_task,
            sized,
            directory=tmp_path / "run",
            callbacks=[Interrupt()],
            **options,
        )
    resumed = jt.resume(tmp_path / "run", small_task, verbose=0)
    np.testing.assert_array_equal(resumed.trials["flops"], whole.trials["flops"])
    np.testing.assert_array_equal(resumed.standing, whole.standing)


def test_takeovers_keep_true_sizes_in_a_run_directory(small_task, sized, tmp_path):
    options = {
        "constraints": {"parameters": ("<=", 700)},
        "epochs": 6,
        "scheduler": jt.schedulers.pbt(interval=1),
    }
    found = train(small_task, sized, directory=tmp_path / "run", **options)
    assert len(found.lineage.trial)
    loaded = jt.load(tmp_path / "run")
    sizes = mlp_sizes(found.trials["hidden_units"], found.trials["layers"])
    np.testing.assert_array_equal(loaded.trials["parameters"], sizes)


def test_the_report_tells_constraints(small_task, sized, tmp_path):
    pytest.importorskip("matplotlib")
    rule = jt.require(lambda h: h["hidden_units"] > 2)
    found = train(
        small_task, sized, constraints=[{"parameters": ("<=", 700)}, rule], trials=8
    )
    page = found.report(tmp_path / "page.html").read_text()
    assert '<h2 id="constraints">' in page
    assert f"{found.feasible.sum()} of 8 trials meet all of them" in page
    assert "constraints=[{&#x27;parameters&#x27;: (&#x27;&lt;=&#x27;, 700.0)}" in page


def test_the_progress_tells_the_best_feasible_score(small_task, sized):
    from jaxtune.rounds import loop

    shown = []

    def spied(search, plans, journal, report, *rest):
        def report_(number, turns, so_far):
            shown.append(so_far().best.score)
            report(number, turns, so_far)

        return original(search, plans, journal, report_, *rest)

    original = loop.run_rounds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxtune._search.run_rounds", spied)
        limit = {"parameters": ("<=", 250)}
        found = train(small_task, sized, constraints=limit, rounds=2)
    assert shown[-1] == found.best.score < found.trials["score"].max()
