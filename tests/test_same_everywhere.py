"""What is told of a search is the same everywhere: counts, rounds and the best."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from html import unescape

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

import jaxtune as jt
from jaxtune.cli import main
from jaxtune.programs.lane import STATUS
from jaxtune.watching.document import result_document

RATE = jt.log_uniform(1e-3, 1e4)  # of the larger ones some diverge


def noisy(key, hparams):
    lost = hparams["x"] > 0.9
    return jnp.where(lost, jnp.nan, hparams["x"] + 0.1 * jax.random.normal(key))


def searched(small_task=None, **changes):
    space = jt.Space(x=jt.uniform(0.0, 1.0))
    arguments = dict(key=jax.random.key(0), trials=24, mode="min", verbose=0)
    if small_task is not None:
        space, arguments = jt.Space(learning_rate=RATE), arguments | {"epochs": 6}
        arguments |= {"metric": "loss"}
    return jt.search(small_task or noisy, space, **arguments | changes)


class Cut(Exception):
    pass


class CutAfter(jt.Callback):
    """Ends a search after some blocks, as a process that is killed does."""

    def __init__(self, blocks):
        self.left = blocks

    def on_block(self, round, block):
        self.left -= 1
        if not self.left:
            raise Cut


SEARCHES = {
    "seeds": dict(seeds=3, rounds=2),
    "repeats": dict(confirm=3, rounds=2),
    "training": dict(training=True),
    "halving": dict(training=True, scheduler="successive_halving", seeds=2),
    "asha": dict(training=True, scheduler="asha"),
    "patience": dict(training=True, scheduler=jt.schedulers.patience(1)),
    "constraint": dict(training=True, constraints={"loss": (">=", 0.5)}, rounds=2),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_the_progress_tells_what_the_result_would(name, small_task, monkeypatch):
    from jaxtune.rounds import loop

    told, original = [], loop.run_rounds

    def spied(search, plans, journal, report, *rest):
        def listening(number, turns, so_far):
            found = so_far()
            told.append((turns, found, found.counts, found.best_in_words))

        return original(search, plans, journal, listening, *rest)

    monkeypatch.setattr("jaxtune._search.run_rounds", spied)
    changes = dict(SEARCHES[name])
    task = small_task if changes.pop("training", False) else None
    found = searched(task, block=8, **changes)
    _, _, counts, best = told[-1]
    assert (counts, best) == (found.counts, found.best_in_words)
    assert f"{found.best.score:.6g}" in best
    assert counts.done == counts.asked == 24
    assert len(told) > 3
    for turns, so_far, counts, _ in told:
        if task is not None:
            assert turns == so_far.cost.epochs
        assert sum(counts.named.values()) == counts.asked
        assert (so_far.trials["status"] == "ok").sum() == counts.ok
    done = [counts.done for _, _, counts, _ in told]
    assert done == sorted(done)


def test_every_status_is_counted():
    found = searched()
    assert set(STATUS) == {"ok", "diverged", "crashed", "stopped", "waiting"}
    words = (*STATUS, "running")
    for row, word in enumerate(words):
        found.trials.columns["status"][row] = word
    counts, column = found.counts, found.trials["status"]
    assert counts.ok == (column == "ok").sum()
    assert counts.failed == np.isin(column, ("diverged", "crashed")).sum() > 1
    assert (counts.stopped, counts.waiting, counts.running) == (1, 1, 1)
    assert found.trials.done.sum() == counts.done == len(column) - 2


def test_the_table_calls_running_what_the_phrase_does(small_task, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Cut):
        searched(
            small_task,
            directory=folder,
            block=4,
            scheduler="successive_halving",
            callbacks=[CutAfter(2)],
        )
    found = jt.load(folder)
    status, epochs = found.trials["status"].astype(str), found.trials["epochs"]
    assert (status == "running").sum() == found.counts.running == 8
    assert (status == "waiting").sum() == (len(found.trials) - 8)
    assert ((epochs > 0) == (status != "waiting")).all()
    shown = CliRunner().invoke(main, ["show", str(folder)]).output
    assert "8 running" in shown
    assert "The best 8 of 8 trials that have a score" in shown
    assert shown.count("│ running │") == 8
    assert {row[2] for row in result_document(found)["table"]["rows"]} == {"running"}


def visible(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_show_json_page_and_repr_tell_one_count(blocks, small_task, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Cut):
        searched(
            small_task,
            directory=folder,
            block=8,
            scheduler="successive_halving",
            callbacks=[CutAfter(blocks)],
            rounds=2,
        )
    found = jt.load(folder)
    counts = found.counts
    assert counts.done + counts.running + counts.waiting == counts.asked == 24
    assert counts.running > 0 or blocks == 1  # whose block is not recorded yet
    shown = CliRunner().invoke(main, ["show", str(folder)]).output
    assert " ".join(shown.split()).startswith(f"{counts}. Not finished")
    document = json.loads(
        CliRunner().invoke(main, ["show", str(folder), "--json"]).output
    )
    assert document["status"] == counts.named
    assert (document["trials"], document["of"]) == (counts.done, counts.asked)
    assert str(counts) in repr(found)
    assert str(counts) in found._repr_html_()
    assert str(counts) in visible(found.report(tmp_path / "page.html").read_text())
    assert found.cost.saved == 0  # what waits is no saving


def test_rounds_are_read_from_1_and_counted_from_0(tmp_path):
    found = searched(rounds=3, directory=tmp_path / "run")
    assert set(found.trials["round"].tolist()) == {0, 1, 2}
    shown = CliRunner().invoke(main, ["show", str(tmp_path / "run"), "--top", "24"])
    boxes, best = shown.output.split("The best ")
    for text in (boxes.split("box of each round")[1], best):
        cells = [re.split(r"[│|]", line) for line in text.splitlines() if "│" in line]
        place = 1 if text is not best else 2
        assert {row[place].strip() for row in cells} == {"1", "2", "3"}
    page = found.report(tmp_path / "page.html").read_text()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    (column,) = [c for c in data["columns"] if c["name"] == "round"]
    assert set(column["values"]) == {1, 2, 3}


def rows(**ends):
    """Importances ``name=(low, high)`` with their estimates in the middle."""
    return [
        jt.analysis.Importance(name, 1, (low + high) / 2, low, high)
        for name, (low, high) in ends.items()
    ]


def words(**ends):
    return jt.analysis.Importances(tuple(rows(**ends)), 1.0, 1.0, 1.0, 64).words


def test_words_of_importance_follow_the_intervals():
    clear = words(a=(0.6, 0.8), b=(0.1, 0.3), c=(0.01, 0.05))
    assert clear == (
        "a matters most (60 to 80 % of the importance), then b (10 to 30 %), "
        "then c (1 to 5 %)."
    )
    half = words(a=(0.6, 0.8), b=(0.1, 0.3), c=(0.05, 0.2), d=(0.02, 0.06), e=(0, 0.01))
    assert half.startswith("a matters most (60 to 80 % of the importance). ")
    assert half.endswith("order of the other 4 is not clear: their intervals overlap.")
    wide = words(a=(0.16, 0.88), b=(0.05, 0.5))
    assert wide.startswith("Which hyperparameter matters most is not clear")
    assert wide.endswith("a has the largest estimate, 16 to 88 % of the importance.")
    two = words(a=(0.4, 0.8), b=(0.3, 0.5), c=(0.0, 0.1))
    assert two == (
        "a (40 to 80 %) and b (30 to 50 %) matter most, and their order is not clear, "
        "then c (0 to 10 %)."
    )
    assert "Only a was searched" in words(a=(1.0, 1.0))
    assert "not known" in words(a=(0.7, 0.7), b=(0.3, 0.3))  # no resamples


@pytest.mark.parametrize("number", range(20))
def test_no_order_is_claimed_that_an_interval_contradicts(number):
    random = np.random.default_rng(number)
    ends = np.sort(random.random((6, 2)) ** 2, axis=1)
    found = rows(**{f"h{i}": tuple(map(float, pair)) for i, pair in enumerate(ends)})
    said = jt.analysis.Importances(tuple(found), 1.0, 1.0, 1.0, 64).words
    claimed = [name for name in re.findall(r"h\d", said.split(". The order")[0])]
    by_name = {row.name: row for row in found}
    if "not clear" in said.split(". The order")[0]:
        return
    for place, name in enumerate(claimed):
        after = [row for row in found if row.name not in claimed[: place + 1]]
        assert all(by_name[name].low > row.high for row in after)


def test_the_page_says_so_where_trials_are_too_few(tmp_path):
    text = searched(trials=8).report(tmp_path / "page.html").read_text()
    assert "this needs 20. Search longer." in text
    assert "matters most" not in text


def test_a_negative_number_of_trials_to_list_is_refused(tmp_path):
    searched(trials=4, directory=tmp_path / "run")
    for number, code in ((-2, 2), (0, 0), (2, 0)):
        words = ["show", str(tmp_path / "run"), "--top", str(number)]
        shown = CliRunner().invoke(main, words)
        assert shown.exit_code == code
        assert ("-2 is not in the range" in shown.output) == (number < 0)


def test_the_head_says_what_was_searched_and_with_what(small_task, tmp_path):
    found = searched(small_task, directory=tmp_path / "run")
    page = visible(found.report(tmp_path / "page.html").read_text().split("<main")[0])
    task = found.setup.workload.task
    rows = len(jax.tree.leaves(task.valid)[0])
    for words in (
        f"train {task.examples:,} rows of float32[",
        f"valid {rows:,} rows of float32[",
        f"began {found.began[:10]}",
        f"took {found.cost.seconds:.1f} s",
        f"jax {jax.__version__}",
        f"Python {platform.python_version()}",
    ):
        assert words in page
    loaded = jt.load(tmp_path / "run")
    assert (
        loaded.report(tmp_path / "again.html").read_text()
        == (tmp_path / "page.html").read_text()
    )


def test_equal_searches_have_equal_pages(tmp_path):
    one, other = (searched(trials=8) for _ in range(2))
    texts = [
        dataclasses.replace(r, seconds=1.0).report(tmp_path / "page").read_text()
        for r in (one, other)
    ]
    assert texts[0] == texts[1]
    assert "began" not in texts[0].split("<main")[0]


def test_a_run_of_an_earlier_version_says_what_it_knows(tmp_path):
    found = searched(trials=8, directory=tmp_path / "run")
    given = found.setup.given._replace(about={}, versions={})
    setup = found.setup._replace(given=given)
    older = dataclasses.replace(found, setup=setup)
    head = visible(older.report(tmp_path / "page.html").read_text().split("<main")[0])
    assert f"took {found.cost.seconds:.1f} s" in head
    assert "jaxtune 0" not in head


def test_the_text_to_copy_is_the_best_setting(tmp_path):
    space = jt.Space(x=jt.uniform(0.0, 1.0), kind=jt.choice(["<b>", ("a", 1)]))
    found = jt.search(
        lambda key, h: h["x"] + h["kind"].index,
        space,
        key=jax.random.key(0),
        trials=8,
        mode="min",
        verbose=0,
    )
    page = found.report(tmp_path / "page.html").read_text()
    texts = [unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page, re.S)]
    (python,) = [text for text in texts if text.startswith("best = ")]
    scope = {"jt": jt}
    exec(python, scope)
    assert scope["best"] == found.best.hparams
    (document,) = [json.loads(text) for text in texts if text.startswith("{")]
    assert document == found.best.hparams
    (text,) = [text for text in texts if text.startswith("space = ")]
    exec(text, scope)
    assert repr(scope["space"]) == repr(space)


def scored(f, spread, dims, trials, number):
    """Random points with scores that are known to be ``f`` and noise."""
    random = np.random.default_rng(number)
    x = random.random((trials, dims))
    return x, f(x), f(x) + spread * random.standard_normal(trials)


def bowl(x):
    return -4 * ((x - 0.4) ** 2).sum(axis=1)


def level(x):
    return np.zeros(len(x))


def cliff(x):
    return bowl(x) - 20 * (x[:, 0] > 0.8)


@pytest.fixture(scope="module")
def two_dimensions():
    space = jt.Space(a=jt.uniform(0.0, 1.0), b=jt.uniform(0.0, 1.0))
    objective = lambda key, h: h["a"] + h["b"]  # noqa: E731
    arguments = dict(key=jax.random.key(0), trials=64, mode="max", verbose=0)
    return jt.search(objective, space, sampler="uniform", **arguments)


def with_scores(found, points, scores):
    """Return a result with other points of its space and other scores."""
    columns = dict(found.trials.columns) | {"score": scores.astype(np.float32)}
    points = points.astype(np.float32)
    decoded = dict(zip(found.setup.space.names, points.T, strict=True))
    trials = dataclasses.replace(
        found.trials,
        columns=columns | decoded,
        scores=columns["score"][:, None],
        points=points,
        decoded=decoded,
    )
    return dataclasses.replace(found, trials=trials)


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("f", [bowl, level, cliff])
def test_luck_is_what_a_simulation_has(f, mode, two_dimensions):
    sign = 1 if mode == "max" else -1
    found = dataclasses.replace(
        two_dimensions, setup=two_dimensions.setup._replace(mode=mode)
    )
    naive, left, spreads = [], [], []
    for number in range(16):
        x, true, scores = scored(f, 0.2, 2, 64, number)
        told = jt.analysis.luck(with_scores(found, x, sign * scores))
        best = scores.argmax()
        naive.append(scores[best] - true[best])
        left.append(sign * told.expected - true[best])
        spreads.append(told.spread)
        assert told.score == np.float32(sign * scores[best])
        assert told.optimism == pytest.approx(sign * (told.score - told.expected))
    assert np.mean(naive) > 0.2
    assert abs(np.mean(left)) < 0.4 * np.mean(naive)
    assert 0.14 < np.mean(spreads) < 0.26


def test_scores_without_noise_have_no_luck(two_dimensions):
    x, true, _ = scored(bowl, 0.0, 2, 64, 0)
    told = jt.analysis.luck(with_scores(two_dimensions, x, true))
    assert abs(told.optimism) < 0.02
    assert told.spread < 0.02


def test_too_few_trials_for_luck_is_said(two_dimensions, tmp_path):
    few = searched(trials=24)
    with pytest.raises(ValueError, match="needs 32"):
        jt.analysis.luck(few)
    text = visible(few.report(tmp_path / "page.html").read_text())
    assert "How much of it is luck is not known here" in text
    with pytest.raises(ValueError, match=r"several seeds or folds"):
        jt.analysis.luck(searched(seeds=2))
