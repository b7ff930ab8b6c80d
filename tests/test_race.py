"""A race of the best: who leaves and when, what it says, and what it goes with."""

import functools
import pickle

import jax
import jax.numpy as jnp
import killed
import numpy as np
import pytest
from scipy.stats import t as student

import jaxtune as jt
from jaxtune.report import terminal
from jaxtune.report.call import printed_call
from jaxtune.results.confirmed import chances, confirmed_of
from jaxtune.results.racing import LEVEL, behind, measured_of, still_in
from jaxtune.rounds.race import with_race
from jaxtune.rounds.schedule import flat
from jaxtune.schedulers import race

KEY = jax.random.key(0)
SPACE = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
LOOKS = (2, 4, 8, 16)
GOALS = [("value", "min"), ("other", "max")]


def noisy(key, hparams):
    true = (hparams["x"] - 0.3) ** 2 + 0.1 * hparams["y"]
    return true + 0.03 * jax.random.normal(key)


ARGUMENTS = dict(key=KEY, mode="min", block=8, sampler="sobol", verbose=0)
search = functools.partial(jt.search, noisy, SPACE, **ARGUMENTS)
SIX = race(top=6, seeds=16)


@functools.cache
def found():
    return search(trials=40, scheduler=SIX)


def same_tables(one, other):
    assert one.names == other.names
    for name in one.names:
        np.testing.assert_array_equal(one[name], other[name])


# who leaves


def test_a_race_on_paper():
    """Three configurations, by the formula of a textbook."""
    measured = [np.array([1.0, 1.2]), np.array([0.9, 0.7]), np.array([0.1, 0.3])]
    noise, degrees, tests = 0.02, 3, 8
    for row, wanted in ((1, False), (2, True)):
        gap = measured[0].mean() - measured[row].mean()
        p = student.sf(gap / np.sqrt(noise * (1 / 2 + 1 / 2)), degrees)
        assert (p * tests < LEVEL) == wanted
        assert behind(measured, 0, tests)[row] == wanted
    assert not behind(measured, 0, tests)[0]
    # without noise any gap is clear, once so many are no longer the same by chance
    for count, clear in ((2, False), (4, True)):
        exact = [np.full(count, 1.0), np.full(count, 1.0), np.full(count, 0.9)]
        assert behind(exact, 0, tests).tolist() == [False, False, clear]


def simulated(truth, random, score=lambda x: x):
    """A race of configurations whose truth is known: winner, who left, chance."""
    drawn = score(truth + random.standard_normal((LOOKS[-1], len(truth))))
    inside, repeat_of, scores = np.ones(len(truth), bool), [], []
    for begin, end in zip((0, *LOOKS[:-1]), LOOKS, strict=True):
        rows = np.flatnonzero(inside)
        repeat_of += [*rows] * (end - begin)
        scores += [*drawn[begin:end, rows].ravel()]
        measured = measured_of(np.array(repeat_of), {"score": np.array(scores)}, "max")
        inside = still_in(measured, np.array(scores), "max", LOOKS)
        if inside.sum() == 1:
            break
    winner = np.where(inside, measured.means["score"], -np.inf).argmax()
    parts = [np.array(scores)[rows] for rows in measured.rows]
    return int(winner), ~inside, chances(parts)[winner], len(scores)


def test_the_best_leaves_in_few_races_and_the_probability_is_true():
    random = np.random.default_rng(0)
    races = [(t, simulated(t, random)) for t in random.standard_normal((200, 6))]
    left = [out[truth.argmax()] for truth, (_, out, _, _) in races]
    assert np.mean(left) <= LEVEL
    said = np.array([chance for _, (_, _, chance, _) in races])
    true = np.array([winner == truth.argmax() for truth, (winner, *_) in races])
    for low, high in ((0, 0.7), (0.7, 0.9), (0.9, 1.01)):
        here = (said >= low) & (said < high)
        promised = said[here].mean()
        error = np.sqrt(promised * (1 - promised) / here.sum())
        assert abs(true[here].mean() - promised) < 3 * error + 0.01
    # of equals nobody is called the best
    equal = [simulated(np.zeros(6), random) for _ in range(40)]
    assert np.mean([chance for *_, chance, _ in equal]) < 0.4


@pytest.mark.parametrize("count", [2, 3])
def test_scores_of_two_values_that_agree_by_chance_separate_nobody(count):
    """As with few examples to score on: right or wrong, and nothing in between."""
    random = np.random.default_rng(1)
    races = [simulated(np.zeros(count), random, np.sign) for _ in range(400)]
    assert np.mean([out[0] for _, out, _, _ in races]) <= LEVEL


def test_what_fails_leaves_and_one_alone_has_won():
    repeats = np.array([3, 5, 7, 3, 5, 7])
    scores = np.array([1.0, 1.1, 0.9, 1.2, np.nan, 1.0])
    stays = still_in(
        measured_of(repeats, {"score": scores}, "max"), scores, "max", (2,)
    )
    assert stays.tolist() == [True, False, True]
    lost = np.full(6, np.nan)
    stays = still_in(measured_of(repeats, {"score": lost}, "max"), lost, "max", (2,))
    assert not stays.any()


def test_who_has_left_comes_back_neither_to_the_race_nor_before_the_winner():
    repeats = np.array([3, 5, 7, 3, 5, 7, 3, 5, 3, 5])
    # after two measurements trial 7 had left; by now its mean is the best
    scores = np.array([2.0, 1.0, 1.5, 2.2, 1.1, 1.7, 1.0, 1.2, 0.9, 0.8])
    columns = {"score": scores}
    measured = measured_of(repeats, columns, "max")
    assert still_in(measured, scores, "max", (2, 4)).tolist() == [True, True, False]
    table = confirmed_of(repeats, columns, scores[:, None], "max", (), (2, 4))
    assert table.trial.tolist() == [3, 5, 7]
    assert table.out.tolist() == [0, 0, 2]
    assert table.mean[2] > table.mean[0]


def test_nobody_leaves_at_the_last_look():
    repeats = np.tile([3, 5, 7], 4)
    scores = np.array([2.0, 1.0, np.nan] * 2 + [2.1, 1.1, 0.0] * 2)
    columns = {"score": scores}
    measured = measured_of(repeats, columns, "max")
    assert still_in(measured, scores, "max", (2, 4)).tolist() == [True, False, False]
    table = confirmed_of(repeats, columns, scores[:, None], "max", (), (2, 4))
    assert table.trial.tolist() == [3, 5, 7]
    assert table.out.tolist() == [0, 0, 4]  # what failed has left
    assert "mean ± standard error\n" in repr(table)
    assert repr(table).count("in to the end") == 2


@pytest.mark.parametrize(
    ("top", "seeds", "block", "repeats", "expected"),
    [
        (8, 16, None, 1, (16, 16, 32, 64)),
        (3, 5, None, 1, (6, 6, 3)),
        (4, 2, None, 1, (8,)),
        (8, 16, 128, 1, (128,)),
        (8, 16, 128, 4, (32, 32, 64)),
    ],
)
def test_looks_double_and_the_first_waits_for_a_full_block(
    top, seeds, block, repeats, expected
):
    one = race(top=top, seeds=seeds).race
    stage = with_race(flat(SPACE, 20, 1), one, repeats, block).stages[-1]
    assert stage.batches == expected
    assert stage.trials == top * seeds
    assert stage.races


# searches


def test_the_race_follows_the_search_and_only_its_measurements_count():
    result, trials = found(), found().trials
    plain = search(trials=40)
    for name in plain.trials.names:  # as if there were no race
        np.testing.assert_array_equal(trials[name][:40], plain.trials[name])
    best = np.argsort(plain.trials["score"])[:6]
    repeats, scores = trials["repeat_of"][40:], trials["score"][40:].astype(float)
    assert repeats[:12].tolist() == [*best] * 2
    table = result.confirmed
    assert sorted(table.trial) == sorted(best)
    each = {trial: scores[repeats == trial] for trial in best}
    for row, trial in enumerate(table.trial):
        assert table.measurements[row] == len(each[trial])
        assert table.mean[row] == pytest.approx(each[trial].mean())
        assert table.low[row] < table.mean[row] < table.high[row]
        assert table.out[row] in (0, len(each[trial]))
    # those that stay have all measurements, or the one that does has won
    assert (table.out == 0).sum() >= 1
    assert table.measurements[0] == table.measurements.max()
    assert sorted(set(table.measurements)) > [2]
    assert set(table.measurements) <= set(LOOKS)
    assert table.probability.sum() == pytest.approx(1)
    assert result.best.trial == table.trial[0]
    assert result.best.score == pytest.approx(each[result.best.trial].mean())
    assert result.finished
    assert result.counts.asked == len(trials) < 40 + 6 * 16
    assert result.confirming_rounds == (1,)


def test_each_look_keeps_those_that_a_test_does_not_separate():
    """The table again, look by look, by a second way of computing."""
    repeats = found().trials["repeat_of"][40:]
    scores = -found().trials["score"][40:].astype(float)
    inside, tests = [*dict.fromkeys(repeats)], 5 * len(LOOKS)
    asked = []
    for begin, end in zip((0, *LOOKS[:-1]), LOOKS, strict=True):
        asked += inside * (end - begin)
        values = np.array([scores[repeats == t][:end] for t in inside])
        means, degrees = values.mean(1), values.size - len(values)
        error = np.sqrt(2 / end * values.var(1, ddof=1).mean())
        p = student.sf((means.max() - means) / error, degrees)
        if end == LOOKS[-1]:  # nobody leaves at the last look
            break
        inside = [t for t, one in zip(inside, p, strict=True) if one * tests >= LEVEL]
        if len(inside) == 1:
            break
    assert repeats.tolist() == asked
    table = found().confirmed
    assert table.trial[table.out == 0].tolist() == sorted(
        inside, key=lambda t: -scores[repeats == t].mean()
    )


def test_a_clear_winner_ends_the_race_at_the_first_look():
    def apart(key, hparams):
        return jnp.round(4 * hparams["x"]) + 0.01 * jax.random.normal(key)

    space = jt.Space(x=jt.ordinal([0.0, 0.25, 0.5, 0.75, 1.0]))
    result = jt.search(apart, space, trials=5, scheduler=race(top=5), **ARGUMENTS)
    assert len(result.trials) == 5 + 5 * 2
    assert result.confirmed.out.tolist() == [0, 2, 2, 2, 2]
    assert result.best.hparams["x"] == 0.0
    assert result.confirmed.probability[0] > 0.99
    assert str(result.counts) == "15 of 15 trials done: 15 ok, 0 failed"


@pytest.mark.parametrize("block", [0, 3])
def test_a_race_that_is_killed_goes_on_as_it_would_have(block, tmp_path):
    class Interrupt(jt.Callback):
        seen = 0

        def on_block(self, round, event):
            self.seen += round == 2
            if self.seen == block + 1:
                raise KeyboardInterrupt

    arguments = dict(trials=32, rounds=2, scheduler=SIX)
    with pytest.raises(KeyboardInterrupt):
        search(**arguments, directory=tmp_path, callbacks=[Interrupt()])
    part = jt.load(tmp_path, noisy)
    assert not part.finished
    assert part.counts.asked == 32 + 6 * 16
    with pytest.raises(ValueError, match="not over"):
        part.confirmed  # noqa: B018
    whole, resumed = search(**arguments), jt.resume(tmp_path, noisy, verbose=0)
    same_tables(resumed.trials, whole.trials)
    read = jt.load(tmp_path, noisy)
    same_tables(read.trials, whole.trials)
    assert read.finished
    assert read.best == resumed.best == whole.best
    assert repr(read.confirmed) == repr(whole.confirmed)
    assert read.setup.given.scheduler == whole.setup.given.scheduler
    assert all(jt.rerun(tmp_path, t, noisy).same for t in (2, 33, len(read.trials) - 1))
    with pytest.raises(jt.RunError, match="at most 96 in a race of 6, now"):
        search(trials=32, rounds=2, directory=tmp_path)
    assert search(**arguments, directory=tmp_path).finished


def test_an_extended_run_races_again(tmp_path):
    first = search(trials=20, scheduler=race(top=3, seeds=4), directory=tmp_path)
    more = jt.extend(tmp_path, noisy, trials=10, verbose=0)
    same_tables(more.trials.take(np.arange(len(first.trials))), first.trials)
    assert more.confirming_rounds == (1, 3)
    last = more.trials["round"] == 3
    assert more.confirmed.measurements.sum() == last.sum()
    # what was measured in the first race had a part in the choice
    repeats, own = more.trials["repeat_of"], more.trials["score"].astype(float)
    again = last & (repeats == more.best.trial)
    assert more.best.score == pytest.approx(own[again].mean())
    assert jt.load(tmp_path, noisy).best == more.best
    with pytest.raises(ValueError, match="race: it measures the best again itself"):
        jt.extend(tmp_path, noisy, trials=20, confirm=3, verbose=0)
    names = {"jt": jt, "jax": jax, "jnp": jnp, "task": noisy}
    call = printed_call(more)
    exec(call.space, names)
    same_tables(eval(call.text, names).trials, more.trials)


def test_seeds_and_static_values_and_a_schedule():
    space = jt.Space(
        x=jt.uniform(0.0, 1.0),
        y=jt.uniform(0.0, 1.0, default=0.5, tier=3),
        kind=jt.choice(["a", "b"], static=True, tier=3),
    )

    def kinds(key, hparams):
        return noisy(key, hparams) + (hparams["kind"] == "b") * 0.01

    schedule = jt.tiered(space, 24)
    result = jt.search(
        kinds, schedule, seeds=2, scheduler=race(top=4, seeds=4), **ARGUMENTS
    )
    assert result.trials["repeat_of"].tolist().count(-1) == 24
    table = result.confirmed
    each = [len(values) for values in table.scores]
    assert each == (2 * table.measurements).tolist()
    assert result.best.trial == table.trial[0]


def test_limits_hold_for_the_means_and_decide_who_leads():
    def sized(key, hparams):
        value = noisy(key, hparams)
        return {"value": value, "size": 1.0 - hparams["x"]}

    limits = {"size": ("<=", 0.6)}
    result = jt.search(
        sized, SPACE, trials=40, scheduler=SIX, constraints=limits, **ARGUMENTS
    )
    assert result.trials["size"][result.best.trial] <= 0.6
    assert result.best.trial == result.confirmed.trial[0]


def test_it_goes_with_a_scheduler_and_folds(tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    model = jt.models.MLP(classes=2, max_units=4)
    result = jt.search(
        jt.classification(model, train=(x, y), batch_size=16),
        jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0)),
        key=KEY,
        trials=12,
        epochs=9,
        seeds=2,
        folds=2,
        metric="loss",
        scheduler=race(top=3, seeds=4, scheduler=jt.schedulers.successive_halving()),
        sampler="sobol",
        directory=tmp_path,
        verbose=0,
    )
    assert (result.trials.epochs[:12] < 9).any()
    assert (result.trials.epochs[12:] == 9).all()
    assert all(
        len(v) == 4 * n
        for v, n in zip(
            result.confirmed.scores, result.confirmed.measurements, strict=True
        )
    )
    last = len(result.trials) - 1
    assert jt.rerun(tmp_path, last).same
    again = jt.load(tmp_path)
    assert again.setup.given.scheduler == result.setup.given.scheduler
    same_tables(jt.resume(tmp_path, verbose=0).trials, result.trials)
    page = result.report(tmp_path / "page.html").read_text()
    shown = "jt.schedulers.race(top=3, seeds=4, scheduler=jt.schedulers."
    assert f"scheduler={shown}successive_halving()),\n" in page
    assert result.confirmed.words.capitalize() in page
    assert "out after" in page
    assert result.confirmed.words in repr(result)
    rows = terminal.summary_of(again)["confirmed"]
    assert [row["out"] for row in rows] == result.confirmed.out.tolist()
    terminal.print_result(result)
    listed = capsys.readouterr().out.split("The best")[1].split("Measured again")[0]
    for trial, mean in zip(result.confirmed.trial, result.confirmed.mean, strict=True):
        line = next(line for line in listed.split("\n") if f"│ {trial:5d} │" in line)
        assert f"{mean:.5g}" in line


def test_a_plan_says_the_most():
    said = jt.plan(noisy, SPACE, trials=40, scheduler=SIX, sampler="sobol").pace
    most = "40 trials; then at most 96 that let the best 6 race"
    assert said == f"{most}, with looks after 2, 4, 8, 16 of each"


def test_a_scheduler_of_the_users_own_is_given_again(tmp_path):
    halving = jt.schedulers.successive_halving()
    own = jt.schedulers.Scheduler(lambda n, e: halving.plan(n, e), halving.decide)
    both = race(top=2, seeds=2, scheduler=own)
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.1))
    arguments = dict(key=KEY, trials=8, epochs=6, sampler="sobol", verbose=0)
    result = jt.search(
        killed.line(), space, scheduler=both, directory=tmp_path, **arguments
    )
    jt.testing.check_scheduler(both)
    assert result.confirmed.measurements.tolist() == [2, 2]
    with pytest.raises(jt.RunError, match=r"cannot hold\. Give it: .*scheduler="):
        jt.resume(tmp_path, killed.line(), verbose=0)
    again = jt.resume(tmp_path, killed.line(), scheduler=both, verbose=0)
    same_tables(again.trials, result.trials)


def test_it_pickles_and_prints_as_its_call():
    both = race(top=3, scheduler=jt.schedulers.hyperband())
    assert repr(pickle.loads(pickle.dumps(both))) == repr(both)
    assert "scheduler=hyperband(eta=3" in repr(both)
    assert both.plan(20, 27) == jt.schedulers.hyperband().plan(20, 27)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (dict(top=1), "top must be a whole number from 2"),
        (dict(seeds=1), "seeds must be a whole number from 2"),
        (dict(top=2.5), "top must"),
        (dict(scheduler="hyperband"), "scheduler must be a scheduler"),
        (dict(scheduler=race()), "is a race itself"),
        (dict(scheduler=jt.schedulers.pbt()), "population based"),
    ],
)
def test_arguments_that_make_no_race(arguments, match):
    with pytest.raises(ValueError, match=f"race: .*{match}"):
        race(**arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (dict(trials=7, scheduler="race"), "top=8 of 7 trials"),
        (dict(scheduler=SIX, confirm=3), r"race: .*Leave out confirm="),
        (
            dict(scheduler=race(scheduler=jt.schedulers.hyperband())),
            "a plain function has no epochs",
        ),
        (dict(scheduler=SIX, goals=GOALS, mode=None), "race: .* 2 goals"),
    ],
)
def test_searches_that_cannot_race(arguments, match):
    with pytest.raises(ValueError, match=match):
        search(**{"trials": 40} | arguments)


def test_a_function_without_noise_is_refused():
    with pytest.raises(ValueError, match="race: the function does not read its key"):
        jt.search(lambda key, h: h["x"], SPACE, trials=20, scheduler=SIX, **ARGUMENTS)
