"""Searches compared: curves, tests, groups, and what is told or refused."""

import dataclasses
import itertools
import json
import random
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

import jaxtune as jt
from jaxtune.analysis.paired import adjusted, fewest_pairs, smallest_p
from jaxtune.cli import main
from jaxtune.goals.front import volume
from jaxtune.report.verdict import answer_of
from jaxtune.storage.description import description_of

SPACE = jt.Space(x=jt.uniform(0.0, 1.0))
FAR = jt.Space(x=jt.uniform(0.5, 1.0))
GOALS = [("value", "min"), ("size", "min")]
NEAR = jt.Space(x=jt.uniform(0.25, 0.35))


def bowl(key, hparams):
    return (hparams["x"] - 0.3) ** 2 + 0.001 * jax.random.normal(key)


def holed(key, hparams):
    return jnp.where(hparams["x"] > 0.6, jnp.nan, hparams["x"])


def two_goals(key, hparams):
    x = hparams["x"]
    return {"value": x, "size": 1 - x**2 + 0.3 * jnp.sin(20 * x)}


def search(seed=0, space=SPACE, objective=bowl, **changes):
    arguments = {"trials": 16, "mode": "min", "sampler": "sobol", "verbose": 0}
    if "goals" in changes:
        del arguments["mode"]
    key = jax.random.key(seed)
    return jt.search(objective, space, key=key, **(arguments | changes))


@pytest.fixture(scope="module")
def far():
    return [search(seed, FAR) for seed in range(6)]


@pytest.fixture(scope="module")
def near():
    return [search(seed, NEAR) for seed in range(6)]


def loop(scores, mode="min"):
    """The best score so far, as anyone would write it."""
    best, found = np.nan, []
    for score in scores:
        better = score < best if mode == "min" else score > best
        if np.isfinite(score) and (np.isnan(best) or better):
            best = score
        found.append(best)
    return found


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_so_far_is_that_of_a_loop(mode):
    result = search(objective=holed, mode=mode)
    assert result.trials.failed.any()
    curve = jt.analysis.best_so_far(result)
    assert curve.amount.tolist() == list(range(1, 17))
    np.testing.assert_array_equal(curve.score, loop(result.trials["score"], mode))
    assert curve.at(np.asarray([0, 16, 99]))[1:].tolist() == [result.best.score] * 2


def test_epochs_are_counted_rung_by_rung(small_task):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.5))
    result = jt.search(
        small_task,
        space,
        key=jax.random.key(0),
        trials=9,
        epochs=4,
        seeds=2,
        sampler="sobol",
        scheduler=jt.schedulers.successive_halving(eta=2),
        verbose=0,
    )
    epochs, rungs = result.trials.epochs, sorted({*result.rungs.epochs.tolist()})
    ended, spent = {}, 0
    for before, rung in itertools.pairwise([0, *rungs]):
        for trial in range(len(epochs)):
            if epochs[trial] > before:
                spent += 2 * (min(epochs[trial], rung) - before)
                ended[trial] = spent
    curve = jt.analysis.best_so_far(result, "epochs")
    assert curve.amount.tolist() == sorted(ended.values())
    assert curve.amount[-1] == result.cost.epochs
    order = sorted(ended, key=ended.get)
    whole = result.trials.epochs[order] == 4
    scores = np.where(whole, result.trials["score"][order], np.nan)
    np.testing.assert_array_equal(curve.score, loop(scores, "max"))


def test_epochs_of_later_rounds_come_after_those_of_earlier_ones(small_task):
    result = jt.search(
        small_task,
        jt.Space(learning_rate=jt.log_uniform(1e-3, 0.5)),
        key=jax.random.key(0),
        trials=8,
        rounds=2,
        epochs=2,
        sampler="sobol",
        verbose=0,
    )
    curve = jt.analysis.best_so_far(result, "epochs")
    assert curve.amount.tolist() == list(range(2, 17, 2))
    np.testing.assert_array_equal(curve.score, loop(result.trials["score"], "max"))


def test_repeats_count_as_trials_and_change_no_curve():
    result = search(trials=12, confirm=2)
    first = result.trials["repeat_of"] < 0
    assert not first.all()
    curve = jt.analysis.best_so_far(result)
    assert len(curve.amount) == 12
    known = loop(np.where(first, result.trials["score"], np.nan))
    np.testing.assert_array_equal(curve.score, known)


def test_the_volume_so_far_is_that_of_each_beginning():
    result = search(objective=two_goals, goals=GOALS)
    curve = jt.analysis.best_so_far(result, reference={"value": 1.0, "size": 1.0})
    values = -np.stack([result.trials["value"], result.trials["size"]], axis=1)
    values, corner = values.astype(np.float64), [-1.0, -1.0]
    known = [volume(values[: n + 1], corner) for n in range(16)]
    np.testing.assert_allclose(curve.score, known)
    assert curve.score[-1] == pytest.approx(result.hypervolume([1.0, 1.0]))


@pytest.mark.parametrize("count", [2, 5, 8])
def test_the_test_is_that_of_scipy(count):
    numbers = np.random.default_rng(count)
    one, other = numbers.normal(0.4, 1, count), numbers.normal(size=count)
    found = jt.analysis.paired_test(one.tolist(), other.tolist())
    scipys = stats.permutation_test(
        (one, other),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
    )
    assert found.p == pytest.approx(scipys.pvalue)
    interval = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.wins + found.losses == count


def test_many_pairs_are_sampled_and_agree_with_the_signed_ranks():
    numbers = np.random.default_rng(0)
    for shift in (0.0, 0.4, 3.0):
        gaps = numbers.normal(shift, 1, 30)
        found = jt.analysis.paired_test(gaps.tolist(), [0.0] * 30)
        assert found.p == pytest.approx(stats.wilcoxon(gaps).pvalue, abs=0.15)
        assert found.p > 0


def test_so_few_pairs_show_nothing():
    for count in range(1, 9):
        found = jt.analysis.paired_test([1.0] * count, [0.0] * count)
        assert found.p == smallest_p(count) == 2.0 ** (1 - count)
        assert (found.p <= 0.05) == (count >= fewest_pairs())
    assert fewest_pairs(3) == 7
    assert smallest_p(7) * 3 <= 0.05 < smallest_p(6) * 3


def test_adjusted_values_are_those_of_holm():
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted([0.9, 0.8]) == [1.0, 1.0]
    assert adjusted([]) == []


def test_the_interval_is_a_bootstrap_over_keys():
    numbers = np.random.default_rng(1).normal(size=(5, 3))
    steps = np.arange(1, 4)
    curves = [jt.analysis.BestSoFar(steps, row) for row in numbers]
    found = jt.analysis.mean_over_keys(curves, resamples=300, seed=4)
    drawn = np.random.default_rng(4).integers(0, 5, (300, 5))
    means = [numbers[rows].mean(axis=0) for rows in drawn]
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    np.testing.assert_allclose(found.mean, numbers.mean(axis=0))
    np.testing.assert_allclose(found.low, low)
    np.testing.assert_allclose(found.high, high)


def test_curves_of_other_lengths_end_with_the_shortest():
    long = jt.analysis.BestSoFar(np.arange(1, 1001), np.arange(1000.0))
    short = jt.analysis.BestSoFar(np.arange(1, 901), np.arange(900.0))
    found = jt.analysis.mean_over_keys([long, short])
    assert found.amount[[0, -1]].tolist() == [1, 900]
    assert len(found.amount) <= 400
    np.testing.assert_array_equal(found.mean, found.amount - 1)


def test_a_planted_difference_is_found(far, near):
    found = jt.report.compare({"near": near, "far": far})
    assert found.answer == "near is better than far"
    (contrast,) = found.contrasts["trials"]
    assert (contrast.p, contrast.test.wins) == (2 / 64, 6)
    ends = [[one.best.score for one in some] for some in (far, near)]
    assert contrast.test.difference == pytest.approx(np.subtract(*ends).mean())
    assert "value lower by" in found.conclusion[0]


def test_five_keys_cannot_show_it(far, near):
    found = jt.report.compare({"near": near[:5], "far": far[:5]})
    assert "no difference is shown" in found.answer
    assert "takes 6 keys or more" in found.conclusion[0]


def test_the_answer_is_about_the_best_or_else_about_any_pair():
    def pair(better, other, gap):
        test = jt.analysis.paired_test([gap + 0.01 * k for k in range(8)], [0.0] * 8)
        return jt.analysis.Contrast(better, other, 8, test, test.p, 3, 0)

    shown, not_shown = 1.0, -0.03
    pairs = [("a", "b", shown), ("a", "c", shown), ("b", "c", not_shown)]
    answers = [
        answer_of("abc", [pair(*one) for one in pairs]),
        answer_of("bac", [pair(*one) for one in pairs]),
        answer_of("abc", [pair(*one[:2], not_shown) for one in pairs]),
    ]
    assert answers == [
        "a is better than b and c",
        "a is better than b and c",
        "a, b and c: no difference is shown",
    ]


def test_equal_searches_have_no_difference(far):
    found = jt.report.compare({"a": far, "b": far})
    assert found.answer == "a and b: no difference"
    assert found.conclusion == (
        "a and b are equal after 16 trials, with each of 6 keys.",
    )
    assert found.contrasts["trials"][0].p == 1
    assert found.differences == ()


def test_searches_that_differ_in_their_key_are_one_group(far, near):
    found = jt.report.compare([*far, *near])
    assert sorted(len(group.searches) for group in found.groups) == [6, 6]
    assert [name for name, _ in found.differences] == ["x"]
    assert any("one group" in note and "(6)" in note for note in found.notes)
    alone = jt.report.compare(far)
    assert alone.conclusion == ()
    assert "no other method" in alone.answer


def told(comparison):
    rows = [{**row, "seconds": 0.0} for row in comparison.table]
    return (comparison.answer, comparison.conclusion, comparison.notes, rows)


def test_what_is_said_does_not_depend_on_the_order(far, near):
    other = [search(seed, trials=12) for seed in range(5)]
    every = [*far, *near, *other]
    known = jt.report.compare(every)
    shuffled = random.Random(0)
    for _ in range(3):
        shuffled.shuffle(every)
        again = jt.report.compare(every)
        assert told(again) == told(known)
        assert again.differences == known.differences
        for name, curve in known.curves["trials"].items():
            for one, two in zip(curve, again.curves["trials"][name], strict=True):
                np.testing.assert_array_equal(one, two)


def test_a_run_is_described_as_the_search_without_one(tmp_path, small_task):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.5))
    arguments = dict(trials=4, epochs=1, sampler="sobol", verbose=0)
    key = jax.random.key(0)
    alone = jt.search(small_task, space, key=key, **arguments)
    jt.search(small_task, space, key=key, **arguments, directory=tmp_path / "run")
    loaded = jt.load(tmp_path / "run")
    assert description_of(alone) == description_of(loaded)
    more = jt.search(small_task, space, key=jax.random.key(1), **arguments)
    assert len(jt.report.compare([loaded, more]).groups) == 1


def test_names_come_from_what_differs_or_from_the_folders(tmp_path):
    for space, name in ((FAR, "far"), (NEAR, "near")):
        for seed in range(2):
            search(seed, space, directory=tmp_path / f"{name}-{seed}")
    found = jt.report.compare(sorted(tmp_path.iterdir()))
    assert set(found.names) == {"far", "near"}
    by_maker = jt.report.compare([search(), search(sampler="random")])
    assert set(by_maker.names) == {"sobol", "uniform"}
    named = jt.report.compare(
        [search(), search(1), search(space=NEAR)], ["a", "a", "b"]
    )
    assert sorted(len(group.searches) for group in named.groups) == [1, 2]
    lists = jt.report.compare([[search(), search(1)], [search(space=NEAR)]])
    assert set(lists.names) == {"search A", "search B"}


REFUSED = {
    "mode": (lambda: [search(), search(mode="max")], "other metrics"),
    "function": (lambda: [search(), search(objective=holed)], "other objectives"),
    "goals": (
        lambda: [
            search(objective=two_goals, goals=GOALS),
            search(objective=two_goals, goals=[GOALS[0], ("size", "max")]),
        ],
        "other goals",
    ),
    "twice": (lambda: [search(), search()], "have the key 0"),
    "no search": (list, "results or run directories"),
    "no result": (lambda: [3], "results or run directories"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_compare_is_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        jt.report.compare(make())


def upside_down(split):
    return {name: values[::-1] for name, values in split.items()}


def test_other_data_to_score_on_are_refused_and_other_tasks_told(small_task):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.5))
    arguments = dict(key=jax.random.key(0), trials=4, epochs=1, sampler="sobol")
    first = jt.search(small_task, space, **arguments, verbose=0)
    judged = dataclasses.replace(small_task, valid=upside_down(small_task.valid))
    with pytest.raises(ValueError, match="other data to score on"):
        jt.report.compare([first, jt.search(judged, space, **arguments, verbose=0)])
    trained = dataclasses.replace(small_task, train=upside_down(small_task.train))
    found = jt.report.compare(
        [first, jt.search(trained, space, **arguments, verbose=0)]
    )
    assert any("differ in training data" in note for note in found.notes)


def test_lengths_ends_and_missing_partners_are_told(far):
    short = [search(seed, NEAR, trials=8) for seed in (0, 1, 7)]
    found = jt.report.compare({"far": far, "near": short})
    assert any(
        "after 8 trials" in note and "far has 16" in note for note in found.notes
    )
    assert "2 keys" in found.conclusion[0]
    assert "5 searches are left out" in found.conclusion[0]
    apart = jt.report.compare({"far": far, "near": short[2:]})
    assert "no key in common" in apart.conclusion[0]
    assert "no difference is shown" in apart.answer


def test_what_a_reader_must_know_is_told():
    stopped = search(stop=jt.stop.at(1e9), trials=32, rounds=2)
    assert not stopped.finished
    repeated = search(space=NEAR, seeds=2, confirm=2)
    broken = search(space=jt.Space(x=jt.uniform(0.7, 0.9)), objective=holed)
    notes = jt.report.compare({"a": stopped, "b": repeated}).notes
    for words in ("a is not finished", "1 or 2 seeds", "b measured its best"):
        assert any(words in note for note in notes), (words, notes)
    fine = search(objective=holed)
    notes = jt.report.compare({"a": fine, "b": broken}).notes
    assert "b has no score, and is in no test." in notes
    slow = dataclasses.replace(fine, seconds=float("nan"))
    notes = jt.report.compare({"a": slow, "b": broken}).notes
    assert "Seconds are not compared: not every search has recorded them." in notes


def test_several_goals_are_compared_by_one_volume():
    goals = {"objective": two_goals, "goals": GOALS}
    found = jt.report.compare(
        {
            "far": [search(k, **goals) for k in range(2)],
            "near": [search(9, NEAR, **goals)],
        }
    )
    assert (found.metric, found.mode) == ("hypervolume", "max")
    assert any("hypervolume of the front of value" in note for note in found.notes)
    assert found.names[0] == "far"


def test_the_page_stands_alone_and_escapes_names(tmp_path, far, near):
    named = {"<b>near\x1b[2J": near, "far & [red]far[/red]": far}
    found = jt.report.compare(named)
    page = found.report(tmp_path / "page.html").read_text()
    assert "<b>near" not in page
    assert "&lt;b&gt;near" in page
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", page)
    assert page == found.report(tmp_path / "again.html").read_text()
    for heading in ("Best score so far", "Paired test", "What differs", "Searches"):
        assert f">{heading}</h2>" in page
    assert "<b>near" not in found._repr_html_()
    assert repr(found).startswith("Comparison of ")


@pytest.mark.parametrize("along", ["trials", "epochs", "seconds", "differences"])
def test_every_picture_is_drawn(along, far, near):
    figure = jt.report.compare([*far, *near]).figure(along)
    figure.canvas.draw()
    if along == "trials":
        labels = figure.axes[0].get_legend_handles_labels()[1]
        assert len(labels) == 2


def test_the_command_compares_runs(tmp_path):
    for space, name in ((FAR, "far"), (NEAR, "near")):
        for seed in range(2):
            search(seed, space, directory=tmp_path / f"{name}-{seed}")
    runs = sorted(map(str, tmp_path.iterdir()))
    page = tmp_path / "page.html"
    shown = CliRunner().invoke(main, ["compare", *runs, "--out", str(page)])
    assert shown.exit_code == 0
    assert "far and near: no difference is shown" in shown.output
    assert "takes 6 keys or more" in " ".join(shown.output.split())
    assert page.exists()
    found = json.loads(CliRunner().invoke(main, ["compare", *runs, "--json"]).output)
    assert found["names"] == ["near", "far"]
    assert found["tests"][0]["pairs"] == 2
    wrong = CliRunner().invoke(main, ["compare", runs[0], str(tmp_path / "none")])
    assert wrong.exit_code == 2
    assert "none" in wrong.output


@pytest.mark.filterwarnings("ignore:8 of 8 trials")
def test_searches_without_a_score_and_names_for_terminals():
    def lost(sampler):
        return jt.search(
            lambda key, h: h["x"] * jnp.nan,
            jt.Space(x=jt.uniform(0.0, 1.0)),
            key=jax.random.key(0),
            trials=8,
            sampler=sampler,
            mode="min",
            verbose=0,
        )

    found = jt.report.compare({"a\x1b[31m": lost("sobol"), "b": lost("random")})
    assert "have no score" in found.conclusion[0]
    assert "\x1b" not in repr(found)
    with pytest.raises(ValueError, match="a name is empty"):
        jt.report.compare({" ": lost("sobol")})


def test_differences_that_no_number_holds_are_refused():
    with pytest.raises(ValueError, match="numbers differ by inf"):
        jt.analysis.paired_test([1e308] * 6, [-1e308] * 6)
