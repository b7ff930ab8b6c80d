"""Numbers from results, computed a second way."""

import jax
import numpy as np
import pytest
from scipy.stats import rankdata

import jaxtune as jt


@pytest.fixture(scope="module")
def halved(small_task, small_space):
    return jt.search(
        small_task,
        small_space,
        key=jax.random.key(0),
        trials=40,
        rounds=2,
        epochs=4,
        seeds=2,
        metric="loss",
        scheduler=jt.schedulers.successive_halving(eta=2, min_epochs=1),
    )


def test_rung_correlations_compare_the_same_trials(halved):
    found = jt.analysis.rung_correlations(halved)
    assert [(row.early, row.late, row.trials) for row in found] == [
        (1, 2, 20),
        (1, 4, 10),
        (2, 4, 10),
    ]
    rungs = halved.rungs
    mean = rungs.scores.mean(axis=1)
    for row in found:
        late = rungs.trial[rungs.epochs == row.late]
        pairs = [
            [mean[(rungs.trial == t) & (rungs.epochs == e)][0] for t in late]
            for e in (row.early, row.late)
        ]
        expected = np.corrcoef(*map(rankdata, pairs))[0, 1]
        assert row.correlation == pytest.approx(expected)


def test_without_a_scheduler_there_is_nothing_to_correlate(small_task, small_space):
    plain = jt.search(
        small_task, small_space, key=jax.random.key(0), trials=6, epochs=1
    )
    assert jt.analysis.rung_correlations(plain) == ()
    assert plain.cost == (6, 0, 6 / 8)


def test_the_page_says_what_stopping_saved(halved, tmp_path):
    page = halved.report(tmp_path / "a.html").read_text()
    cost = halved.cost
    assert "30 of 40 trials" in page
    assert f"{cost.epochs} epochs were trained and {cost.saved} saved" in page
    for row in jt.analysis.rung_correlations(halved):
        assert f"<td>{row.trials}</td><td>{row.correlation:.2f}</td>" in page
    rows = page[page.index("The best 40 of 40 trials") :]
    assert rows.index(">ok<") < rows.index(">stopped<")


def test_the_page_of_a_tiered_search_shows_what_was_not_open(tmp_path):
    space = jt.Space(
        a=jt.uniform(0, 1, tier=1), b=jt.uniform(0, 1, default=0.25, tier=2)
    )
    found = jt.search(
        lambda key, h: h["a"] + h["b"],
        jt.tiered(space, 20),
        key=jax.random.key(0),
        mode="min",
    )
    page = found.report(tmp_path / "a.html").read_text()
    assert "<td>0.25, not open yet</td>" in page
    assert "Stopped early" not in page
