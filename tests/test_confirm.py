"""The best measured again: which trials repeat, what is made of it, and what is not."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import killed
import numpy as np
import pytest
from scipy.stats import chi2, norm

import jaxtune as jt
from jaxtune.goals.limits import Limit
from jaxtune.report import terminal
from jaxtune.results.confirmed import chances, confirmed_of
from jaxtune.rounds.confirm import Confirmation, check_confirm, usual_confirm

KEY = jax.random.key(0)
SPACE = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))


def noisy(key, hparams):
    true = (hparams["x"] - 0.3) ** 2 + 0.1 * hparams["y"]
    return true + 0.05 * jax.random.normal(key)


# a sampler that compiles little: which points are asked for does not matter here
ARGUMENTS = dict(key=KEY, mode="min", block=8, sampler="sobol", verbose=0)
search = functools.partial(jt.search, noisy, SPACE, **ARGUMENTS)


@functools.cache
def found():
    return search(trials=40, confirm=5)


def same_tables(one, other):
    assert one.names == other.names
    for name in one.names:
        np.testing.assert_array_equal(one[name], other[name])


# how many, and of which


@pytest.mark.parametrize(
    ("confirm", "trials", "best", "count"),
    [
        (None, 10, 0, 0),
        (2, 8, 2, 6),
        (5, 100, 5, 15),
        (np.int32(3), 50, 3, 9),
        (0.15, 100, 5, 15),
        (0.1, 1000, 13, 100),
        (0.5, 8, 2, 4),
    ],
)
def test_a_number_or_a_share_says_how_many_are_measured_again(
    confirm, trials, best, count
):
    assert check_confirm(confirm, trials) == Confirmation(best, count)


@pytest.mark.parametrize("confirm", [1, -2, True, 1.0, 0.0, 2.5, "5", np.nan, [5]])
def test_other_values_are_refused(confirm):
    with pytest.raises(ValueError, match="whole number from 2"):
        search(trials=100, confirm=confirm)


@pytest.mark.parametrize(("confirm", "trials"), [(5, 19), (2, 7), (0.1, 20), (0.9, 20)])
def test_too_few_trials_are_refused(confirm, trials):
    with pytest.raises(ValueError, match=f"confirm={confirm}: .*{trials} trials"):
        search(trials=trials, confirm=confirm)


def test_rounds_need_trials_that_search():
    with pytest.raises(ValueError, match="of which 6 confirm"):
        search(trials=8, rounds=3, confirm=2)


def test_the_last_trials_repeat_the_best_before_them():
    result, trials = found(), found().trials
    assert len(trials) == 40
    short = search(trials=25)
    for name in short.trials.names:  # as if there were no confirmation
        np.testing.assert_array_equal(trials[name][:25], short.trials[name])
    best = np.argsort(trials["score"][:25])[:5]
    np.testing.assert_array_equal(trials["repeat_of"], [-1] * 25 + [*best] * 3)
    for name in SPACE.names:
        np.testing.assert_array_equal(trials[name][25:], np.tile(trials[name][best], 3))
    assert len(np.unique(trials["score"])) == 40  # each with a noise of its own
    assert result.confirming_rounds == (1,)
    assert result.finished


def test_what_is_measured_again_decides_and_nothing_else():
    result, scores = found(), found().trials["score"].astype(np.float64)
    again = {t: scores[25:][found().trials["repeat_of"][25:] == t] for t in range(25)}
    means = {t: values.mean() for t, values in again.items() if len(values)}
    table = result.confirmed
    assert table.trial.tolist() == sorted(means, key=means.get)
    np.testing.assert_allclose(table.mean, sorted(means.values()))
    assert table.measurements.tolist() == [3] * 5
    spread = np.sqrt(np.mean([again[t].var(ddof=1) for t in means]))
    np.testing.assert_allclose(table.error, spread / np.sqrt(3))
    best = result.best
    assert best.trial == table.trial[0]
    assert best.score == table.mean[0]
    np.testing.assert_array_equal(best.scores, again[best.trial].astype(np.float32))
    assert best.hparams["x"] == pytest.approx(result.trials["x"][best.trial])


def test_repeats_are_no_further_configurations_and_the_measured_rank_first():
    standing, table = found().standing, found().confirmed
    assert np.isnan(standing[25:]).all()
    order = np.argsort(-standing[:25])
    assert order[:5].tolist() == table.trial.tolist()
    rest = [t for t in np.argsort(found().trials["score"][:25]) if t not in order[:5]]
    assert order[5:].tolist() == rest
    assert jt.analysis.importances(found()).trials == 25
    shown = terminal.summary_of(found(), top=40)
    assert sorted(row["trial"] for row in shown["best"]) == list(range(25))
    assert [row["trial"] for row in shown["confirmed"]] == table.trial.tolist()
    assert len(shown["boxes"]) == 1


def test_a_search_that_learns_in_batches_is_confirmed_too():
    learns = search(trials=30, confirm=2, sampler=None)
    assert learns.trials["repeat_of"].tolist().count(-1) == 24
    assert learns.best.trial == learns.confirmed.trial[0]


def test_a_share_gives_the_better_ones_one_more():
    result = search(trials=20, confirm=0.35)
    assert result.confirmed.measurements.sum() == 7
    counts = np.bincount(result.trials["repeat_of"][13:])
    assert sorted(counts[counts > 0]) == [2, 2, 3]
    assert counts[np.argmin(result.trials["score"][:13])] == 3


# the probability


def test_the_probability_is_that_of_the_model():
    """Two configurations, integrated over noise and spread on a fine grid."""
    one, other = np.array([1.0, 1.3, 0.9]), np.array([0.8, 1.1, 0.7])
    gap, degrees, count = one.mean() - other.mean(), 4, 3
    variance = (one.var(ddof=1) + other.var(ddof=1)) / 2
    noise = degrees * variance / chi2.ppf((np.arange(500) + 0.5) / 500, degrees)
    within = noise[:, None] / count
    scale = np.sqrt(variance / count)
    tau = np.linspace(1e-4, 10 * max(scale, gap), 4000)
    total = within + tau**2
    weight = np.exp(-(gap**2) / (4 * total)) / np.sqrt(total) / (1 + (tau / scale) ** 2)
    weight /= weight.sum(axis=1, keepdims=True)
    kept = tau**2 / total
    ahead = norm.cdf(kept * gap / np.sqrt(2 * kept * within))
    wanted = (weight * ahead).sum(axis=1).mean()
    assert chances([one, other])[0] == pytest.approx(wanted, abs=0.01)
    assert 0.6 < wanted < 0.9


def test_the_probability_of_equals_is_shared_and_of_far_ones_is_not():
    same = [np.array([0.1, 0.3, 0.2])] * 4
    np.testing.assert_allclose(chances(same), 0.25, atol=0.03)
    far = [np.array([0.1, 0.3, 0.2]) - 10 * i for i in range(4)]
    assert chances(far)[0] > 0.99
    exact = [np.array([2.0, 2.0]), np.array([2.0, 2.0]), np.array([1.0, 1.0])]
    np.testing.assert_array_equal(chances(exact), [0.5, 0.5, 0.0])
    assert chances(same[:1]).tolist() == [1.0]


def test_a_scale_changes_no_probability():
    random = np.random.default_rng(0)
    values = [random.normal(size=3) + i / 3 for i in range(4)]
    wanted = chances(values)
    np.testing.assert_allclose(chances([1e20 * v for v in values]), wanted, atol=1e-9)


def by_hand(scores, mode="min", limits=(), **more):
    repeats = np.array([-1, -1, 0, 0, 1, 1])
    columns = {"score": np.asarray(scores, np.float32), **more}
    each = columns["score"][:, None]
    return confirmed_of(repeats, columns, each, mode, limits)


def test_a_table_by_hand():
    table = by_hand([0.0, 0.1, 3.0, 5.0, 1.0, 2.0])
    assert table.trial.tolist() == [1, 0]
    np.testing.assert_allclose(table.mean, [1.5, 4.0])
    # the variances are 2 and 1/2
    np.testing.assert_allclose(table.error, np.sqrt(1.25 / 2))
    assert [values.tolist() for values in table.scores] == [[1.0, 2.0], [3.0, 5.0]]
    assert table.probability.sum() == pytest.approx(1)
    assert by_hand([0.0, 0.1, 3.0, 5.0, 1.0, 2.0], "max").trial.tolist() == [0, 1]


def test_a_configuration_that_failed_once_is_not_the_best():
    table = by_hand([0.0, 0.1, 3.0, 5.0, 1.0, np.nan])
    assert table.trial.tolist() == [0, 1]
    assert np.isnan(table.mean[1])
    assert table.probability.tolist() == [1.0, 0.0]
    table = by_hand([0.0, 0.1, np.nan, 5.0, 1.0, np.inf])
    assert np.isnan(table.mean).all()
    assert "all 2" in table.words
    assert "trial 0: failed, of 2" in repr(table)


def test_limits_hold_for_the_means():
    size = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 9.0])
    limits = [Limit("size", "<=", 5.0)]
    table = by_hand([0.0, 0.1, 3.0, 5.0, 1.0, 2.0], limits=limits, size=size)
    assert table.trial.tolist() == [0, 1]
    assert table.probability.tolist() == [1.0, 0.0]


# searches


def test_a_failing_repeat_ranks_its_configuration_behind():
    def fails(key, hparams):  # close to 0 it fails half of the time
        lost = (hparams["x"] < 0.3) & jax.random.bernoulli(key)
        return jnp.where(lost, jnp.nan, hparams["x"] + 0.01 * jax.random.normal(key))

    result = jt.search(fails, SPACE.keep("x"), trials=40, confirm=4, **ARGUMENTS)
    lost = [t for t, m in zip(*result.confirmed[:3:2], strict=True) if np.isnan(m)]
    assert lost
    assert np.isnan(result.standing[lost]).all()
    assert result.best.trial not in lost


def test_a_space_smaller_than_the_search_is_confirmed():
    space = jt.Space(x=jt.ordinal([0.1, 0.3, 0.5, 0.9]), y=jt.fixed(0.0))
    result = jt.search(noisy, space, trials=13, confirm=3, **ARGUMENTS)
    assert len(set(result.trials["x"][:4].tolist())) == 4
    assert len(result.confirmed.trial) == 3
    with pytest.warns(UserWarning, match="13 trials repeat some"):
        result = jt.search(noisy, space, trials=22, confirm=3, **ARGUMENTS)
    # configurations that came twice are one
    assert len(set(result.trials["x"][result.confirmed.trial].tolist())) == 3


@pytest.mark.parametrize("block", [0, 1])
def test_a_run_that_stops_is_as_without_and_ends_as_if_it_had_not(block, tmp_path):
    class Interrupt(jt.Callback):
        seen = 0

        def on_block(self, round, event):
            if round == 2:
                if self.seen == block:
                    raise KeyboardInterrupt
                self.seen += 1

    arguments = dict(trials=48, rounds=2, confirm=6)
    whole = search(**arguments, directory=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(**arguments, directory=tmp_path / "part", callbacks=[Interrupt()])
    part = jt.load(tmp_path / "part", noisy)
    assert not part.finished
    assert part.best.score == np.nanmin(part.trials["score"][:30])
    with pytest.raises(ValueError, match="not over"):
        part.confirmed  # noqa: B018
    assert "(measured again)" not in repr(part)
    resumed = jt.resume(tmp_path / "part", noisy, verbose=0)
    same_tables(resumed.trials, whole.trials)
    assert resumed.best == whole.best
    read = jt.load(tmp_path / "part", noisy)
    same_tables(read.trials, whole.trials)
    assert repr(read.confirmed) == repr(whole.confirmed)
    assert all(jt.rerun(tmp_path / "part", t, noisy).same for t in (2, 30, 47))


def test_a_search_that_is_stopped_before_confirms_nothing():
    result = search(trials=40, rounds=2, confirm=5, stop=jt.stop.at(10.0))
    assert not result.finished
    assert result.best.score == np.nanmin(result.trials["score"])
    with pytest.raises(ValueError, match="not over"):
        result.confirmed  # noqa: B018


def test_a_directory_is_compared_with_what_it_confirms(tmp_path):
    search(trials=40, confirm=5, directory=tmp_path / "run")
    with pytest.raises(jt.RunError, match="25 in 1 round, and 15 that confirm 5, now"):
        search(trials=40, directory=tmp_path / "run")
    assert search(trials=40, confirm=5, directory=tmp_path / "run").finished


def test_a_search_without_it_says_how():
    with pytest.raises(ValueError, match=r"search\(\.\.\., confirm=5\)"):
        search(trials=8).confirmed  # noqa: B018


def test_an_extended_run_confirms_the_best_of_all(tmp_path):
    first = search(trials=25, confirm=3, directory=tmp_path)
    # without it, single scores decide again, but not those of repeats
    more = jt.extend(tmp_path, noisy, trials=10, verbose=0)
    own = np.where(more.trials["repeat_of"] < 0, more.trials["score"], np.inf)
    assert more.best.trial == np.argmin(own)
    same_tables(more.trials.take(np.arange(25)), first.trials)
    more = jt.extend(tmp_path, noisy, trials=19, confirm=3, verbose=0)
    repeats = more.trials["repeat_of"]
    # those that were measured before compete with the mean of all they have
    groups = [(repeats[:45] == t) | (np.arange(45) == t) for t in range(45)]
    scores = more.trials["score"][:45].astype(np.float64)
    means = np.array([scores[group].mean() for group in groups])
    means[repeats[:45] >= 0] = np.inf
    np.testing.assert_array_equal(repeats[45:48], np.argsort(means)[:3])
    both = set(repeats[repeats >= 0].tolist())
    assert set(more.confirmed.trial.tolist()) == both
    assert more.best.trial == more.confirmed.trial[0]
    assert jt.load(tmp_path, noisy).best == more.best


def test_a_schedule_gives_trials_of_its_last_round():
    space = SPACE.replace(y=jt.uniform(0.0, 1.0, default=0.5, tier=3))
    schedule = jt.tiered(space, 40)
    counts = [stage.trials for stage in schedule.stages]
    result = jt.search(noisy, schedule, confirm=3, **ARGUMENTS)
    assert len(result.trials) == 40
    last = np.bincount(result.trials["round"])
    assert last.tolist() == [counts[0], counts[1] - 9, 9]
    with pytest.raises(ValueError, match="out of the last round"):
        jt.search(noisy, schedule, confirm=9, **ARGUMENTS)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (dict(goals=["mse", "parameters"]), "one score"),
        (dict(scheduler="pbt"), "population based"),
    ],
)
def test_what_cannot_be_repeated_is_refused(more, match):
    with pytest.raises(ValueError, match=match):
        jt.search(
            killed.line(),
            jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0)),
            key=KEY,
            trials=16,
            epochs=4,
            confirm=2,
            **more,
        )


def test_a_function_without_noise_is_refused():
    with pytest.raises(ValueError, match="does not read its key"):
        jt.search(
            lambda key, h: h["x"],
            SPACE.keep("x"),
            **ARGUMENTS | dict(trials=20),
            confirm=2,
        )


def test_a_name_that_the_column_takes_is_refused():
    space = jt.Space(repeat_of=jt.uniform(0.0, 1.0))

    def objective(key, hparams):
        return hparams["repeat_of"] + jax.random.normal(key)

    with pytest.raises(ValueError, match="'repeat_of' is the column"):
        jt.search(objective, space, trials=20, confirm=2, **ARGUMENTS)
    assert jt.search(objective, space, trials=4, **ARGUMENTS).finished


@pytest.mark.parametrize("scheduler", ["successive_halving", "asha"])
def test_repeats_train_in_full_with_every_seed_and_fold(scheduler, tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    task = jt.classification(
        jt.models.MLP(classes=2, max_units=4), train=(x, y), batch_size=16
    )
    result = jt.search(
        task,
        jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0)),
        key=KEY,
        trials=20,
        epochs=9,
        seeds=2,
        folds=2,
        metric="loss",
        scheduler=scheduler,
        sampler="sobol",
        confirm=2,
        directory=tmp_path,
        verbose=0,
    )
    assert (result.trials.epochs[:14] < 9).any()
    assert (result.trials.epochs[14:] == 9).all()
    again = result.trials["repeat_of"] == result.best.trial
    np.testing.assert_array_equal(
        result.best.scores, result.trials.scores[again].ravel()
    )
    assert len(set(result.trials["score"][14:].tolist())) == 6
    assert jt.rerun(tmp_path, 19).same
    page = result.report(tmp_path / "page.html").read_text()
    assert "confirm=2,\n" in page
    assert result.confirmed.words.capitalize() in page
    assert result.confirmed.words in repr(result)
    assert result.confirmed.words in result._repr_html_()


def test_a_search_of_trainings_that_decides_all_confirms_by_itself(
    small_task, small_space, tmp_path
):
    own = {"key": KEY, "trials": 100, "epochs": 1, "verbose": 0}
    chosen = jt.search(small_task, small_space, directory=tmp_path / "run", **own)
    assert len(chosen.trials) == 100
    assert chosen.best.trial == chosen.confirmed.trial[0]
    assert chosen.best.score == chosen.confirmed.mean[0]
    assert (chosen.trials["repeat_of"] >= 0).sum() == 15
    said = jt.plan(small_task, small_space, trials=100, memory=False).pace
    assert said.endswith("learns after each; then 15 that measure the best 5 again")
    silent = jt.plan(small_task, small_space, trials=100, confirm=0, memory=False)
    assert "again" not in silent.pace
    again = jt.search(small_task, small_space, directory=tmp_path / "run", **own)
    same_tables(again.trials, chosen.trials)


@pytest.mark.parametrize(
    ("trials", "seeds", "trains", "folds", "expected"),
    [
        (100, 1, True, None, 5),
        (99, 1, True, None, 0),
        (100, 2, True, None, 0),
        (100, 1, False, None, 0),
        (100, 1, True, "folds", 0),
        (None, 1, True, None, 0),
    ],
)
def test_others_do_not_confirm_by_themselves(trials, seeds, trains, folds, expected):
    task = SimpleNamespace(trains=trains, folds=folds)
    assert usual_confirm(trials, seeds, task) == expected


@pytest.mark.parametrize(
    "more",
    [{"sampler": "sobol"}, {"rounds": 1}, {"scheduler": "in_full"}, {"confirm": 0}],
)
def test_a_search_that_says_how_is_not_confirmed(more, small_task, small_space):
    own = {"key": KEY, "trials": 100, "epochs": 1, "verbose": 0}
    found = jt.search(small_task, small_space, stop=lambda _: "enough", **own, **more)
    assert "repeat_of" not in found.trials.names
