"""What samplers are told of trials that were stopped, and that runs keep their way."""

import functools
from types import SimpleNamespace

import jax
import killed
import numpy as np
import pytest
from editing import edit_settings
from test_storage import assert_same

import jaxtune as jt
from jaxtune import _search
from jaxtune.programs.lane import WAITING
from jaxtune.results.rows import rows_of
from jaxtune.results.trials import Trials
from jaxtune.rounds.arguments import Search
from jaxtune.rounds.budgets import at_one_budget, enough
from jaxtune.space.points import Points
from jaxtune.training.ledger import Rungs, no_rungs
from jaxtune.training.round import Training
from jaxtune.training.round_state import RoundMetrics

KEY, NAN = jax.random.key(4), np.nan
RATE = jt.log_uniform(1e-3, 10.0)


def table(first, scores, epochs, status):
    """Rows from the id ``first`` on, with scores ``[n, s]``."""
    scores = np.asarray(scores, np.float32)
    ids = np.arange(first, first + len(scores))
    columns = {
        "trial": ids,
        "round": np.zeros(len(ids), int),
        "status": np.array(status, object),
        "score": scores.mean(axis=1),
        "epochs": np.array(epochs),
    }
    return Trials(columns, scores, np.zeros((len(ids), 2)), {"x": ids})


def rounds(rows, own_pace=False):
    """One round with rungs ``(trial, epochs, scores [s])``."""
    trial, epochs, scores = zip(*rows, strict=True)
    scores = np.asarray(scores, np.float32)
    return [
        SimpleNamespace(
            rungs=Rungs(*map(np.array, (trial, epochs)), scores), own_pace=own_pace
        )
    ]


# two batches of a bracket: all reach 1, the first of each batch 3, one of them 9
TOLD = [
    table(5, [[0.9, 0.7], [0.2, 0.4]], [9, 1], ["ok", "running"]),
    table(
        7,
        [[0.6, 0.6], [NAN, NAN], [0.1, 0.1]],
        [3, 3, 1],
        ["running", "diverged", "stopped"],
    ),
]
REACHED = [
    *[(5, 1, [0.5, 0.3]), (6, 1, [0.2, 0.4]), (7, 1, [0.4, 0.2]), (8, 1, [0.9, 0.9])],
    *[(9, 1, [0.1, 0.1]), (5, 3, [0.7, 0.5]), (7, 3, [0.6, 0.6]), (8, 2, [NAN, NAN])],
    (5, 9, [0.9, 0.7]),
]


@pytest.mark.parametrize(
    ("least", "known"),
    [  # with so many scores at a budget: those of the trials that are told
        # one trial has both scores, .2 apart; nothing leads from 1 to 9
        (1, {5: [0.9, 0.7], 7: [0.8, 0.8]}),
        # two pairs of slope 0, and three of slope 1: .39 + .6 s
        (2, {5: [0.7, 0.5], 6: [0.51, 0.63], 7: [0.6, 0.6], 9: [0.45, 0.45]}),
        (3, {5: [0.5, 0.3], 6: [0.2, 0.4], 7: [0.4, 0.2], 9: [0.1, 0.1]}),
        (99, {5: [0.5, 0.3], 6: [0.2, 0.4], 7: [0.4, 0.2], 9: [0.1, 0.1]}),
    ],
)
def test_scores_are_those_at_the_largest_budget_with_enough(least, known):
    found = at_one_budget(TOLD, rounds(REACHED), least)
    trials = {
        int(t): list(s)
        for rows in found
        for t, s in zip(rows["trial"], rows.scores, strict=True)
    }
    assert np.isnan(trials.pop(8)).all()  # it failed on the way, and is always told
    assert set(trials) == set(known)
    for trial, scores in known.items():
        np.testing.assert_allclose(trials[trial], scores, rtol=1e-6)
    for rows in found:
        np.testing.assert_allclose(rows["score"], rows.scores.mean(axis=1), rtol=1e-6)
        # all that did not fail rank by their scores alone
        assert len(set(rows.stage[~rows.failed])) <= 1


def test_a_trial_with_no_score_at_a_rung_has_failed_while_its_round_is_open():
    """Its loss is fine. A model that is not told awaits the best of its region."""
    space = jt.Space(learning_rate=RATE)
    hparams = {"learning_rate": np.float32([0.1, 0.2, 0.3, 0.4])}
    points = Points(space, np.zeros((4, 1), np.float32), hparams)
    scores = np.float32([[NAN, 0.3], [0.1, 0.2], [NAN, NAN], [np.inf, 0.1]])
    outcome = RoundMetrics(
        metrics={"mse": scores},
        status=np.full((4, 2), WAITING),
        epochs=np.array([3, 1, 0, 1]),
    )
    open_round = Training(outcome, points, no_rungs(2), None, budget=9, over=False)
    rows = rows_of(space, 0, np.arange(4), open_round, "mse")
    states = ["diverged", "running", "waiting", "diverged"]
    assert rows["status"].tolist() == states


def test_where_all_trained_in_full_the_tables_are_as_they_were():
    whole = [table(0, [[0.1], [NAN]], [9, 4], ["ok", "diverged"])]
    assert at_one_budget(whole, rounds([(0, 9, [0.1])]), 2)[0] is whole[0]
    assert at_one_budget([], [], 2) == []


def test_trials_at_their_own_pace_are_complete_while_the_round_is_open():
    told = [table(0, [[0.3], [0.2]], [4, 8], ["running", "running"])]
    reached = [(0, 4, [0.3]), (1, 4, [0.1]), (1, 8, [0.2])]
    (rows,) = at_one_budget(told, rounds(reached, own_pace=True), 2)
    np.testing.assert_array_equal(rows.scores, told[0].scores)
    assert len(set(rows.stage)) == 1


def search(space=None, **changes):
    """A search of a regression that diverges at the largest learning rates."""
    arguments = {"key": KEY, "trials": 30, "epochs": 9, "seeds": 2, "verbose": 0}
    arguments |= {"scheduler": jt.schedulers.hyperband(), "block": 8}
    arguments |= {"sampler": jt.samplers.tpe(initial=5)}
    space = jt.Space(learning_rate=RATE) if space is None else space
    return jt.search(killed.line(), space, **(arguments | changes))


def test_a_later_round_is_told_scores_after_equal_epochs():
    heard, sobol = [], jt.samplers.sobol()

    def tell(state, points, scores):
        heard.append(np.asarray(scores))
        return state

    listening = jt.samplers.Sampler(sobol.init, sobol.ask, tell)
    found = search(
        sampler=listening, trials=60, rounds=2, constraints={"mse": ("<=", 1e37)}
    )
    (told,) = [scores for scores in heard if scores.shape[1:] == (2,)]
    first = found.rounds[0]
    by_epochs = {
        epochs: first.rungs.scores[first.rungs.epochs == epochs]
        for epochs in np.unique(first.rungs.epochs)
    }
    fine = {e: s[np.isfinite(s).all(axis=1)] for e, s in by_epochs.items()}
    largest = max(e for e, s in fine.items() if len(s) >= enough(1))
    scored = np.isfinite(told).all(axis=1)
    # beside them, only predictions for trials that were stopped shortly before
    assert set(map(tuple, -fine[largest])) <= set(map(tuple, told[scored]))
    assert len(fine[largest]) <= scored.sum() < len(told)
    failed = found.trials.failed[found.trials["round"] == 0]
    assert failed.any()
    assert (~scored).sum() == failed.sum()


@pytest.mark.parametrize("by_budget", [True, False])
def test_a_run_goes_on_as_it_was_told(by_budget, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        own = functools.partial(Search, by_budget=by_budget)
        patch.setattr(_search, "Search", own)
        whole = search()
        with killed.cut_after(7):
            search(directory=tmp_path)
    if by_budget:
        assert len(set(whole.trials["epochs"])) > 2
    else:
        # the settings of versions that knew no other way
        edit_settings(tmp_path, lambda settings: settings.pop("by_budget"))
        assert not np.array_equal(whole.trials.points, search().trials.points)
    assert not jt.load(tmp_path, killed.line()).trials.done.all()
    assert_same(jt.resume(tmp_path, killed.line(), verbose=0), whole)
    assert jt.rerun(tmp_path, 29, killed.line()).same


def test_beliefs_and_brackets_go_together():
    believing = jt.Space(learning_rate=RATE).expect(learning_rate=jt.near(1e-2, 0.05))
    found, without = search(believing), search()
    assert set(found.trials["epochs"][~found.trials.failed]) == {1, 3, 9}

    def away(result):
        return np.abs(np.log10(result.trials["learning_rate"] / 1e-2)).mean()

    assert away(found) < 0.7 * away(without)
