"""Several goals: the front, its volume, the order of trials, and what is asked next."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtune as jt
from jaxtune.goals.front import by_front, crowding_distance, dominance_ranks, volume
from jaxtune.goals.order import Goal, aimed_standing, at_a_rung
from jaxtune.goals.scalarisation import asked_in_parts, draw_weights, scalarised

KEY = jax.random.key(0)
SPACE = jt.Space(u=jt.uniform(-1.0, 2.0), v=jt.uniform(0.0, 1.0))
GOALS = [("near", "min"), ("far", "min")]


def two(key, h):
    """Schaffer's first problem, and a dimension that only costs."""
    del key
    return {"near": h["u"] ** 2 + h["v"], "far": (h["u"] - 1) ** 2 + h["v"]}


def search(**changes):
    arguments = {
        "key": KEY,
        "trials": 48,
        "rounds": 3,
        "goals": GOALS,
        "verbose": 0,
        "sampler": "sobol",
    }
    return jt.search(two, SPACE, **{**arguments, **changes})


@pytest.fixture(scope="module")
def found():
    return search()


def dominates(one, other):
    return all(one >= other) and any(one > other)


def peeled(values):
    """Fronts by the definition: what nothing left dominates, taken away, and again."""
    ranks, left, number = np.full(len(values), -1), set(range(len(values))), 0
    while left:
        here = {
            i for i in left if not any(dominates(values[j], values[i]) for j in left)
        }
        ranks[list(here)] = number
        left, number = left - here, number + 1
    return ranks


def counted(values, reference, cells=40):
    """The volume by counting cells of a grid on which the values lie."""
    sides = [np.arange(r, r + cells) + 0.5 for r in reference]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, len(sides))
    return (values[None] >= grid[:, None]).all(-1).any(1).sum()


@pytest.mark.parametrize("goals", [2, 3, 4])
@pytest.mark.parametrize("levels", [3, 1000])
def test_fronts_are_those_of_the_definition(goals, levels):
    values = np.random.default_rng(goals).integers(0, levels, (60, goals)) / levels
    np.testing.assert_array_equal(dominance_ranks(values), peeled(values))


def test_crowding_is_the_distance_of_the_neighbours():
    # a front from (0, 10) to (10, 0); the third is alone, the last but one is not
    values = np.array([[0, 10], [1, 9], [5, 5], [9, 2], [9.5, 1], [10, 0]], float)
    expected = [np.inf, 0.5 + 0.5, 0.8 + 0.7, 0.45 + 0.4, 0.1 + 0.2, np.inf]
    np.testing.assert_allclose(crowding_distance(values), expected)


def test_trials_are_ordered_by_front_and_then_by_crowding():
    values = np.array([[0, 0], [0, 10], [1, 9], [5, 5], [9, 2], [10, 0], [0, 9]], float)
    order = np.argsort(-by_front(values)).tolist()
    # ends first, then the loneliest; the last two are dominated: (0, 0) by (0, 9)
    assert order == [1, 5, 3, 2, 4, 6, 0]


@pytest.mark.parametrize("goals", [1, 2, 3])
def test_the_volume_is_that_of_counted_cells(goals):
    rng = np.random.default_rng(goals)
    for _ in range(5):
        values = rng.integers(-2, 12, (7, goals))
        reference = rng.integers(-1, 3, goals)
        assert volume(values, reference) == counted(values, reference, 16)


@pytest.mark.parametrize("goals", [2, 3])
def test_the_volume_is_that_of_optuna(goals):
    hypervolume = pytest.importorskip("optuna._hypervolume")
    values = np.random.default_rng(goals).normal(size=(40, goals))
    reference = np.full(goals, 1.5)
    # theirs refuses what is not better than the reference
    better = values[(values < reference).all(axis=1)]
    theirs = hypervolume.compute_hypervolume(better, reference)
    np.testing.assert_allclose(volume(-values, -reference), theirs)


def test_the_volume_of_nothing_better_than_the_reference_is_nothing():
    assert volume(np.array([[1.0, 1.0]]), [1.0, 0.0]) == 0.0
    assert volume(np.empty((0, 2)), [0.0, 0.0]) == 0.0


def test_the_front_has_the_trials_that_none_dominates(found):
    values = -np.stack([found.trials["near"], found.trials["far"]], axis=1)
    front = np.flatnonzero(peeled(values.astype(float)) == 0)
    assert found.front == tuple(front.tolist())
    assert 2 < len(front) < len(values)


def test_the_best_is_the_trial_of_the_front_with_the_best_score(found):
    best = min(found.front, key=lambda trial: found.trials["near"][trial])
    assert found.best.trial == best
    assert found.setup.metric == "near"
    np.testing.assert_array_equal(found.trials["score"], found.trials["near"])


def test_the_volume_of_a_result_is_in_the_units_of_its_goals(found):
    points = np.stack([found.trials["near"], found.trials["far"]], 1)[list(found.front)]
    points = points[np.argsort(points[:, 0])].astype(float)
    points = points[(points < 1.5).all(axis=1)]
    # a sweep from left to right: each trial adds what is below the one before it
    tops = np.append(1.5, points[:-1, 1])
    by_hand = ((1.5 - points[:, 0]) * (tops - points[:, 1])).sum()
    np.testing.assert_allclose(found.hypervolume([1.5, 1.5]), by_hand)
    assert found.hypervolume({"far": 1.5, "near": 1.5}) == found.hypervolume([1.5, 1.5])
    assert found.hypervolume() > 0


def test_standing_is_non_dominated_sorting(found):
    values = -np.stack([found.trials["near"], found.trials["far"]], axis=1)
    expected = np.argsort(-by_front(values.astype(np.float64)))
    np.testing.assert_array_equal(np.argsort(-found.standing), expected)


def test_a_failed_goal_is_a_failed_trial_and_later_epochs_are_better():
    columns = {"a": np.array([1.0, 2.0, np.nan, 9.0]), "b": np.array([2.0, 1.0, 9, 9])}
    goals = [Goal("a", "max"), Goal("b", "max")]
    epochs = np.array([5, 5, 5, 1])
    standing = aimed_standing(columns["b"], epochs, columns, [], goals)
    assert np.isnan(standing[2])
    # the best of all in both goals was stopped after one epoch
    assert np.argsort(-standing).tolist()[:3] == [0, 1, 3]


def test_ranks_at_a_rung_are_shares_of_those_that_arrived():
    columns = {"a": np.array([3.0, np.nan, 2, 1]), "b": np.array([3.0, np.nan, 2, 1])}
    goals = [Goal("a", "max"), Goal("b", "max")]
    compared = at_a_rung(columns["a"], columns, [], goals)
    np.testing.assert_allclose(compared, [1, np.nan, 2 / 3, 1 / 3])


def test_zoom_boxes_the_front():
    """Both goals end in [0, 1] of u, and v only costs."""
    box = search(trials=96, rounds=6).spaces[-1]
    low, high = box.bounds["u"]
    assert low < 0.2
    assert high > 0.8
    assert box.bounds["v"][1] < 0.3


def test_a_sequence_is_the_same_with_goals():
    one = search(rounds=1)
    other = search(rounds=1, goals=None, metric="near", mode="min")
    np.testing.assert_array_equal(one.trials["u"], other.trials["u"])


@pytest.mark.parametrize("sampler", ["tpe", "gaussian_process"])
def test_a_sampler_that_learns_comes_closer_to_the_front(sampler):
    options = {"sampler": sampler, "refine": jt.zoom(floor=1.0)}
    learned = search(trials=64, rounds=4, **options)
    blind = search(trials=64, rounds=4, sampler="uniform", refine=jt.zoom(floor=1.0))
    assert learned.hypervolume([2, 2]) > blind.hypervolume([2, 2])
    again = search(trials=64, rounds=4, **options)
    np.testing.assert_array_equal(learned.trials["u"], again.trials["u"])


def test_scalars_are_the_augmented_chebyshev_function():
    values = np.array([[0.0, 4.0], [1.0, 2.0], [2.0, 0.0], [np.nan, 9.0]])
    weights = np.array([0.25, 0.75])
    # what is missing to the best, in shares of the range: (1, 0), (1/2, 1/2), (0, 1)
    missing = np.array([[1, 0], [0.5, 0.5], [0, 1]]) * weights
    by_hand = -(missing.max(axis=1) + 0.05 * missing.sum(axis=1))
    np.testing.assert_allclose(scalarised(values, weights)[:3], by_hand, rtol=1e-6)
    assert np.isnan(scalarised(values, weights)[3])


def test_weights_are_uniform_on_the_simplex():
    drawn = np.stack([draw_weights(jax.random.key(i), 3) for i in range(400)])
    np.testing.assert_allclose(drawn.sum(axis=1), 1, rtol=1e-6)
    # of uniform weights each has mean 1/3 and the variance of Beta(1, 2), 1/18
    np.testing.assert_allclose(drawn.mean(axis=0), 1 / 3, atol=4 / np.sqrt(18 * 400))
    np.testing.assert_allclose(drawn.var(axis=0), 1 / 18, rtol=0.3)


def test_parts_of_a_round_have_weights_of_their_own():
    asked = []

    def ask(key, weights, n):
        asked.append((jax.random.key_data(key).tolist(), weights.tolist(), n))
        return np.full((n, 1), len(asked))

    points = asked_in_parts(KEY, 19, ask, 2)
    assert points[:, 0].tolist() == [*sorted([1, 2, 3, 4, 5, 6] * 3), 7]
    assert {n for *_, n in asked} == {3}
    assert all(one[:2] != two[:2] for one, two in itertools.combinations(asked, 2))


@pytest.fixture(scope="module")
def sized_space():
    return jt.Space(
        learning_rate=jt.log_uniform(1e-2, 1.0),
        hidden_units=jt.integer(2, 16, scale="log"),
    )


def train(task, space, **changes):
    arguments = {
        "key": KEY,
        "trials": 12,
        "epochs": 6,
        "verbose": 0,
        "sampler": "sobol",
    }
    return jt.search(task, space, **{**arguments, **changes})


@pytest.mark.parametrize(
    "scheduler", ["successive_halving", "hyperband", "asha", "median_stopping", "pbt"]
)
def test_every_scheduler_takes_goals(small_task, sized_space, scheduler):
    goals = ["accuracy", "parameters"]
    found = train(small_task, sized_space, goals=goals, scheduler=scheduler)
    assert found.front
    assert (found.trials.epochs[list(found.front)] == 6).all()
    # 64-n-n-10, whatever a trial took over from others
    n = found.trials["hidden_units"].astype(int)
    by_hand = (64 * n + n) + (n * n + n) + (10 * n + 10)
    np.testing.assert_array_equal(found.trials["parameters"], by_hand)


def test_halving_promotes_by_non_dominated_sorting(small_task, sized_space):
    halving = jt.schedulers.successive_halving(eta=3)
    goals = ["accuracy", "parameters"]
    found = train(small_task, sized_space, goals=goals, scheduler=halving, trials=18)
    rungs = found.rungs
    first = rungs.epochs == rungs.epochs.min()
    trials, accuracy = rungs.trial[first], rungs.scores[first].mean(axis=1)
    sizes = found.trials["parameters"][trials]
    order = np.argsort(-by_front(np.stack([accuracy, -sizes], axis=1)))
    went_on = np.flatnonzero(found.trials.epochs > rungs.epochs.min())
    assert sorted(trials[order[:6]].tolist()) == went_on.tolist()


def test_goals_survive_a_run_directory(small_task, sized_space, tmp_path):
    class Interrupt(jt.Callback):
        def on_round(self, result):
            raise KeyboardInterrupt

    options = {"goals": ["accuracy", ("flops", "min")], "rounds": 2, "sampler": "tpe"}
    whole = train(small_task, sized_space, **options)
    with pytest.raises(KeyboardInterrupt):
        train(
            small_task,
            sized_space,
            directory=tmp_path / "run",
            callbacks=[Interrupt()],
            **options,
        )
    resumed = jt.resume(tmp_path / "run", small_task, verbose=0)
    loaded = jt.load(tmp_path / "run")
    for other in (resumed, loaded):
        assert other.front == whole.front
        assert other.setup.goals == whole.setup.goals
        for name in whole.trials.names:
            np.testing.assert_array_equal(other.trials[name], whole.trials[name])
            assert other.trials[name].dtype == whole.trials[name].dtype
    assert jt.rerun(tmp_path / "run", 3, small_task).same
    options["goals"] = ["accuracy", "parameters"]
    with pytest.raises(
        jt.RunError, match=r"goals: accuracy \(max\), flops \(min\), now"
    ):
        train(small_task, sized_space, directory=tmp_path / "run", **options)


def test_a_search_of_one_trial_has_a_front_of_one():
    found = search(trials=1, rounds=1)
    assert found.front == (0,) == (found.best.trial,)
    assert found.hypervolume() == 0.0


def test_where_all_trials_fail_there_is_no_front():
    def failing(key, h):
        return {"near": h["u"] * jnp.nan, "far": h["v"]}

    found = jt.search(failing, SPACE, key=KEY, trials=4, goals=GOALS, verbose=0)
    assert found.front == ()
    assert found.hypervolume() == 0.0
    with pytest.raises(ValueError, match="all 4 trials failed"):
        print(found.best)
    assert "4 failed" in repr(found)


def test_a_second_goal_that_fails_keeps_a_trial_out_of_the_front():
    def half(key, h):
        return {"near": h["u"], "far": jnp.where(h["v"] > 0.5, jnp.nan, h["v"])}

    found = jt.search(
        half, SPACE, key=KEY, trials=16, goals=GOALS, verbose=0, sampler="sobol"
    )
    assert found.front
    assert (found.trials["v"][list(found.front)] <= 0.5).all()
    assert found.best.trial in found.front


def test_a_plain_function_may_return_metrics():
    found = jt.search(
        two,
        SPACE,
        key=KEY,
        trials=8,
        metric="far",
        mode="min",
        seeds=2,
        sampler="sobol",
    )
    assert {"near", "far"} <= set(found.trials.names)
    np.testing.assert_array_equal(found.trials["score"], found.trials["far"])
    u, v = found.trials["u"], found.trials["v"]
    np.testing.assert_allclose(found.trials["near"], u**2 + v, rtol=1e-5)


def test_seeds_are_averaged_before_trials_are_compared():
    def noisy(key, h):
        return {n: x + jax.random.normal(key) for n, x in two(key, h).items()}

    found = jt.search(
        noisy,
        SPACE,
        key=KEY,
        trials=16,
        goals=GOALS,
        seeds=3,
        verbose=0,
        sampler="sobol",
    )
    values = -np.stack([found.trials["near"], found.trials["far"]], axis=1)
    expected = np.flatnonzero(peeled(values.astype(float)) == 0)
    assert found.front == tuple(expected.tolist())


def test_the_front_is_shown(found, tmp_path, capsys):
    from jaxtune.report.terminal import print_result, summary_of

    pytest.importorskip("matplotlib")
    page = found.report(tmp_path / "page.html").read_text()
    assert '<h2 id="front">' in page
    assert f"{len(found.front)} of 48 trials are in the front" in page
    figure = jt.report.front(found)
    (drawn,) = [c for c in figure.axes[0].collections if c.get_label() == "front"]
    near, far = (found.trials[name][list(found.front)] for name in ("near", "far"))
    np.testing.assert_allclose(drawn.get_offsets(), np.stack([near, far], axis=1))
    print_result(found)
    text = capsys.readouterr().out
    assert f"The front of near (min), far (min): {len(found.front)} trials" in text
    assert [row["trial"] for row in summary_of(found)["front"]] == list(found.front)


def test_the_border_of_a_picture_is_what_the_front_reaches():
    from jaxtune.report._front import _border

    x, y = np.array([3.0, 1.0, 2.0]), np.array([5.0, 1.0, 4.0])
    across, up = _border(x, y, "min", "max")
    assert across.tolist() == [1, 2, 3]
    assert up.tolist() == [1, 4, 5]
    # both are to be large: to the left of a trial its height is reached
    across, up = _border(x, np.array([1.0, 5.0, 4.0]), "max", "max")
    steps = dict(zip(across.tolist(), up.tolist(), strict=True))
    assert across.tolist() == [1, 2, 3]
    assert (steps[1], steps[2]) == (4, 1)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optuna_gets_all_goals(found, tmp_path):
    optuna = pytest.importorskip("optuna")
    export = jt.integrations.export

    export(found, "optuna", tmp_path / "study.log")
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log"))
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name="jaxtune", storage=storage)
    assert {t.number for t in study.best_trials} == set(found.front)
    assert study.metric_names == ["near", "far"]


def test_a_goal_may_be_the_value_of_a_function():
    """The only metric of a function is its score; beside others it has a column."""
    result = jt.search(
        lambda key, hparams: {"value": hparams["x"], "size": 1 - hparams["x"]},
        jt.Space(x=jt.uniform(0.0, 1.0)),
        key=jax.random.key(0),
        trials=4,
        sampler="sobol",
        goals=[("value", "min"), ("size", "min")],
    )
    assert result.front == (0, 1, 2, 3)
    np.testing.assert_array_equal(result.trials["value"], result.trials["score"])


def test_a_limit_of_the_one_value_of_a_function_is_one_of_its_score():
    def noisy(key, h):
        return h["x"] + 1e-3 * jax.random.normal(key)

    space = jt.Space(x=jt.uniform(0.0, 1.0))
    own = {"mode": "max", "constraints": {"value": ("<=", 0.5)}, "verbose": 0}
    for more in ({}, {"confirm": 3}, {"rounds": 2, "sampler": "sobol"}):
        found = jt.search(noisy, space, key=KEY, trials=32, **own, **more)
        assert 0.4 < found.best.score <= 0.5
        assert (found.feasible == (found.trials["score"] <= 0.5)).all()
