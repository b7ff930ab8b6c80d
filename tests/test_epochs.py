"""The epoch that a trial is judged by, its history, and patience.

The reference is a history, whose every epoch is compared with a search that ends there;
best epochs, means and stops are then worked out from it in plain Python.
"""

import csv
import dataclasses
import sqlite3
import subprocess
import sys

import children
import jax
import jax.numpy as jnp
import killed
import numpy as np
import optax
import pytest
from click.testing import CliRunner

import jaxtune as jt
from jaxtune.cli import main
from jaxtune.planning.scoring import BEST_EPOCH, Scoring
from jaxtune.testing import simulate
from jaxtune.training.curves import Curves
from jaxtune.training.retraining import retrain
from jaxtune.training.trajectory import trajectory_until

EPOCHS, TRIALS, SEEDS = 8, 14, 2
SPACE = jt.Space(learning_rate=jt.log_uniform(1e-2, 1e4))  # some of them diverge
RULES = ["last", "best", 3]
SCHEDULERS = {
    "none": None,
    "halving": jt.schedulers.successive_halving(min_epochs=1),
    "hyperband": jt.schedulers.hyperband(),
    "asha": jt.schedulers.asha(min_epochs=1, concurrent=5),
    "median": jt.schedulers.median_stopping(interval=2),
    "pbt": jt.schedulers.pbt(interval=3),
    "patience": jt.schedulers.patience(2),
}


def noisy():
    """A small regression in few samples: its validation error falls, then rises."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=12).astype(np.float32)

    def split(rows):
        x = rng.normal(size=(rows, 12)).astype(np.float32)
        return {"x": x, "y": x @ w + rng.normal(size=rows).astype(np.float32) * 2}

    def error(params, batch):
        return jnp.mean((batch["x"] @ params - batch["y"]) ** 2)

    def evaluate(params, split, hparams):
        return {"error": error(params, split), "size": jnp.sum(params**2)}

    return jt.Task(
        init=lambda key, hparams: jax.random.normal(key, (12,)),
        loss=lambda params, batch, key, hparams: error(params, batch),
        evaluate=evaluate,
        optimizer=lambda hparams: optax.sgd(0.03 * hparams["learning_rate"]),
        train=split(16),
        valid=split(40),
        test=split(40),
        batch_size=4,
        metrics=(("error", "min"), ("size", "min")),
    )


@pytest.fixture(scope="module")
def task():
    return noisy()


def run(task, space=SPACE, **changes):
    arguments = {
        "key": jax.random.key(2),
        "trials": TRIALS,
        "epochs": EPOCHS,
        "sampler": "sobol",
    }
    arguments |= {"block": 4, "seeds": SEEDS, "verbose": 0}
    return jt.search(task, space, **(arguments | changes))


@pytest.fixture(scope="module")
def kept(task):
    return run(task, history=True)


@pytest.fixture(scope="module")
def ends(task):
    """A search for each number of epochs, scored at its end only."""
    return {epoch: run(task, epochs=epoch) for epoch in range(1, EPOCHS + 1)}


def raw(result):
    """The metrics of a search of one round, name to ``[n, s]``."""
    return result.rounds[0].outcome.metrics


def judged(curves, score, failed=False):
    """By hand: the metrics of one training, from name to its scores so far."""
    errors = curves["error"]
    if failed or not len(errors):
        return {name: np.float32(np.nan) for name in curves} | {"best": 0}
    if score == "best":
        finite = [e if np.isfinite(e) else np.inf for e in errors.tolist()]
        at = finite.index(min(finite))
        return {name: values[at] for name, values in curves.items()} | {"best": at + 1}
    count = 1 if score == "last" else score
    means = {
        name: np.float32(sum(map(float, values[::-1][:count])) / len(values[-count:]))
        for name, values in curves.items()
    }
    return means | {"best": len(errors)}


def expected(history, score, epochs, failed):
    """By hand: name to ``[n, s]`` after so many epochs of each trial."""
    n, s, _ = history["error"].shape
    found = {name: np.zeros((n, s), np.float32) for name in [*history, "best"]}
    for trial in range(n):
        for seed in range(s):
            part = {m: v[trial, seed, : epochs[trial]] for m, v in history.items()}
            for name, value in judged(part, score, failed[trial, seed]).items():
                found[name][trial, seed] = value
    return found


def test_each_epoch_of_a_history_is_the_end_of_a_shorter_search(kept, ends):
    """To the bit, in every metric; the last one, too, and what diverged is NaN."""
    assert set(kept.history) == {"error", "size"}
    for name, values in kept.history.items():
        assert values.shape == (TRIALS, SEEDS, EPOCHS)
        for epoch, end in ends.items():
            np.testing.assert_array_equal(values[:, :, epoch - 1], raw(end)[name])
    failed = kept.trials.failed
    assert 0 < failed.sum() < TRIALS
    # the test below needs best epochs on the way
    best = kept.history["error"][~failed].argmin(axis=2)
    assert len(np.unique(best)) > 3


@pytest.mark.parametrize("score", RULES)
@pytest.mark.parametrize("name", [n for n in SCHEDULERS if n != "pbt"])
def test_scores_follow_from_the_history(task, kept, ends, name, score):
    """Under each scheduler, at the end and at every rung."""
    found = run(task, score=score, scheduler=SCHEDULERS[name], history=True)
    epochs, status = found.trials["epochs"], found.rounds[0].outcome.status
    own = found.trials["status"] != "diverged"
    # the history of a trial that stopped early is the beginning of the whole one
    for metric, values in found.history.items():
        for trial in np.flatnonzero(own):
            until = epochs[trial]
            whole = kept.history[metric][trial, :, :until]
            np.testing.assert_array_equal(values[trial, :, :until], whole)
            assert np.isnan(values[trial, :, until:]).all()
    wanted = expected(found.history, score, epochs, status == 1)
    for metric in ("error", "size"):
        np.testing.assert_array_equal(raw(found)[metric][own], wanted[metric][own])
    np.testing.assert_array_equal(found.best_epochs[own], wanted["best"][own])
    assert (BEST_EPOCH in found.trials.names) == (score == "best")
    if score == "best":
        means = wanted["best"][own].mean(axis=1)
        np.testing.assert_array_equal(found.trials[BEST_EPOCH][own], means)
        assert np.isnan(found.trials[BEST_EPOCH][~own]).all()
    for trial, epoch, scores in zip(*found.rungs, strict=True):
        if np.isfinite(scores).all():
            at = expected(kept.history, score, np.full(TRIALS, epoch), status == 9)
            np.testing.assert_array_equal(scores, at["error"][trial])


def test_the_default_is_as_before(task, ends, tmp_path):
    found = run(task, score="last", directory=tmp_path / "run")
    assert found.trials.names == ends[EPOCHS].trials.names
    np.testing.assert_array_equal(found.trials.scores, ends[EPOCHS].trials.scores)
    db = sqlite3.connect(tmp_path / "run" / "run.sqlite")
    assert db.execute("SELECT count(*) FROM curves").fetchone() == (0,)
    db.close()
    with pytest.raises(ValueError, match="history=True"):
        found.history  # noqa: B018
    # the mean of one epoch is that epoch
    one = run(task, score=1)
    assert one.setup.workload.scoring == found.setup.workload.scoring
    scored = found.trials["status"] == "ok"
    assert (found.best_epochs[scored] == EPOCHS).all()
    assert not found.best_epochs[~scored].any()


def test_the_parameters_of_the_best_epoch_are_those_of_a_shorter_training(task):
    """For every trial and seed, whether others go on after it or not."""
    found = run(task, score="best", scheduler=jt.schedulers.pbt(interval=3))
    assert len(found.lineage.trial)
    plain = found.setup.workload._replace(scoring=Scoring())
    inherited = 0
    for trial in np.flatnonzero(found.trials["status"] == "ok"):
        whole = found.trajectory(trial)
        for seed, epoch in enumerate(found.best_epochs[trial]):
            until = trajectory_until(whole, epoch)
            inherited += until[-1].trial != trial
            again = retrain(plain, SPACE, until, np.asarray([seed]))
            for name in ("error", "size"):
                assert again[name][0] == raw(found)[name][trial, seed]
    assert inherited  # the best state was another trial's


@pytest.mark.parametrize("score", RULES)
def test_the_test_split_judges_the_model_of_that_epoch(task, score):
    found = run(task, score=score, history=True)
    trial, values = found.best.trial, []
    for seed, epoch in enumerate(found.best_epochs[trial]):
        # the best by validation, or the last: by a search that ends there
        one = run(task, epochs=int(epoch))
        where = one.setup.workload._replace(split="test")
        path = one.trajectory(trial)
        values.append(retrain(where, SPACE, path, np.asarray([seed]))["error"][0])
    assert score != "best" or len(set(found.best_epochs[trial])) > 1
    assert found.test()["error"] == float(np.mean(values))
    again = jt.replay(found, split="test").metrics["error"]
    np.testing.assert_array_equal(again, values)
    np.testing.assert_array_equal(
        jt.replay(found).metrics["error"], np.float32(found.best.scores)
    )


def test_a_new_model_is_judged_by_the_epoch_that_validation_finds_best(task):
    found = run(task, score="best")
    own = {"key": jax.random.key(9), "seeds": 3}
    valid = jt.replay(found, **own).metrics
    test = jt.replay(found, split="test", **own).metrics["error"]
    trial = found.best.trial
    for seed, epoch in enumerate(valid[BEST_EPOCH].astype(int)):
        where = found.setup.workload._replace(
            key=jax.random.key(9), split="test", scoring=Scoring()
        )
        path = trajectory_until(found.trajectory(trial), epoch)
        alone = retrain(where, SPACE, path, np.asarray([seed]))["error"]
        assert alone[0] == test[seed]


@pytest.mark.parametrize("score", RULES)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_run_that_is_cut_anywhere_goes_on_to_the_same_table(
    task, tmp_path, name, score
):
    own = {"scheduler": SCHEDULERS[name], "score": score, "history": score != 3}
    straight = run(task, rounds=2, **own)
    at = tmp_path / "run"
    for blocks in (1, 3, 4):  # kept in one session after the other
        with killed.cut_after(blocks):
            run(task, rounds=2, directory=at, **own)
        part = jt.load(at, task)
        assert not part.finished
        own_trials = part.trials.done
        assert own_trials.sum() < TRIALS
    found = jt.resume(at, task, verbose=0)
    for result in (found, jt.load(at, task)):
        assert killed.digest(result) == killed.digest(straight)
        np.testing.assert_array_equal(result.best_epochs, straight.best_epochs)
        np.testing.assert_array_equal(result.standing, straight.standing)
        if own["history"]:
            for metric, values in straight.history.items():
                np.testing.assert_array_equal(result.history[metric], values)
    for trial in (0, int(found.best.trial), TRIALS - 1):
        assert jt.rerun(at, trial, task).same


def test_an_open_round_that_is_loaded_has_the_best_so_far(task, kept, tmp_path):
    at = tmp_path / "run"
    own = {"score": "best", "scheduler": jt.schedulers.median_stopping(interval=2)}
    with killed.cut_after(9):
        run(task, directory=at, **own)
    part = jt.load(at, task)
    epochs, scores = part.trials["epochs"], part.trials.scores
    begun = np.flatnonzero(np.isfinite(scores).all(axis=1))
    wanted = expected(kept.history, "best", epochs, np.isnan(scores))
    np.testing.assert_array_equal(scores[begun], wanted["error"][begun])
    np.testing.assert_array_equal(part.best_epochs[begun], wanted["best"][begun])
    assert len(begun) > 4


def test_a_run_is_of_one_rule(task, tmp_path):
    at = tmp_path / "run"
    run(task, directory=at, score="best", trials=4)
    for changes, words in (
        ({}, "another score: \"?'?best"),
        ({"score": 2}, "another score"),
        ({"score": "best", "history": True}, "another history"),
    ):
        with pytest.raises(jt.RunError, match=words):
            run(task, directory=at, trials=4, **changes)


def rules_of(curve, patience, interval=1, mode="min"):
    """Early stopping in plain Python: the epoch at which a training stops."""
    best, best_epoch = None, 0
    for epoch in range(interval, len(curve), interval):
        score = curve[epoch - 1]
        if best is None or (score < best if mode == "min" else score > best):
            best, best_epoch = score, epoch
        elif epoch - best_epoch >= patience:
            return epoch
    return len(curve)


@pytest.mark.parametrize(
    ("seeds", "interval", "score"),
    [(1, 1, "best"), (1, 1, "last"), (2, 1, "last"), (1, 2, "last"), (1, 3, "best")],
)
def test_patience_stops_as_plain_early_stopping_does(task, seeds, interval, score):
    whole = run(task, seeds=seeds, history=True, epochs=12, trials=24)
    scheduler = jt.schedulers.patience(2, interval=interval)
    found = run(
        task, seeds=seeds, epochs=12, trials=24, scheduler=scheduler, score=score
    )
    fine = np.isfinite(whole.history["error"]).all(axis=(1, 2))
    stops = set()
    for trial in np.flatnonzero(fine):
        curves = whole.history["error"][trial].astype(np.float64)
        if score == "best":  # what is between two looks counts too
            curves = np.minimum.accumulate(curves, axis=1)
        stop = rules_of(curves.mean(axis=0), 2, interval)
        stops.add(stop)
        assert found.trials["epochs"][trial] == stop
        wanted = np.float32(curves[:, stop - 1])
        np.testing.assert_array_equal(found.trials.scores[trial], wanted)
        assert found.trials["status"][trial] == "ok"
    assert len(stops) > 2
    assert 12 in stops
    assert found.cost.saved > 0
    assert "ended early" in repr(found)


def test_a_trial_that_patience_stops_competes_with_those_that_trained_longer(task):
    found = run(
        task, trials=24, epochs=12, score="best", scheduler=jt.schedulers.patience(2)
    )
    scores = found.trials["score"]
    np.testing.assert_array_equal(-found.standing, scores)
    assert found.best.trial == np.nanargmin(scores)
    longest = found.trials["epochs"] == 12
    assert longest.any()
    assert scores[~longest & np.isfinite(scores)].min() < np.nanmedian(scores[longest])
    # under a scheduler that compares trials, those that were stopped rank behind
    halved = run(task, trials=24, epochs=12, scheduler=SCHEDULERS["halving"])
    best, stopped = halved.best.trial, halved.trials["status"] == "stopped"
    assert halved.trials["epochs"][best] == 12
    assert halved.standing[stopped].max() < halved.standing[best]


def test_zoom_and_samplers_see_the_scores_of_trials_that_patience_stopped(task):
    told = []

    def tell(state, points, scores):
        told.append(np.asarray(scores))
        return inner.tell(state, points, scores)

    inner = jt.samplers.sobol()
    shown = []

    def refine(space, points, scores):
        shown.append(np.asarray(scores))
        return space

    found = run(
        task,
        seeds=1,
        rounds=2,
        scheduler=jt.schedulers.patience(2),
        sampler=inner._replace(tell=tell),
        refine=refine,
    )
    assert len(set(found.trials["epochs"])) > 2
    for seen in (told[0], shown[0]):
        np.testing.assert_array_equal(seen, -found.trials["score"][: TRIALS // 2])


def test_states_of_trials_that_patience_stopped_are_given_up(task, monkeypatch):
    given_up = []
    release = jt.training.round_state.RoundState.release

    def noted(self, rows):
        given_up.append(set(rows.tolist()))
        return release(self, rows)

    monkeypatch.setattr(jt.training.round_state.RoundState, "release", noted)
    found = run(task, seeds=1, scheduler=jt.schedulers.patience(2))
    short = np.flatnonzero((found.trials["epochs"] < EPOCHS) & ~found.trials.failed)
    # before the round ends, when others still train
    assert short.size
    early = set.union(*given_up[:-1])
    assert set(short.tolist()) <= early
    assert all(rows <= set(range(TRIALS)) for rows in given_up)


def test_a_trial_that_was_left_cannot_be_sent_on(task):
    inner = jt.schedulers.patience(2)

    def decide(key, plan, progress):
        decided = inner.decide(key, plan, progress)
        done = np.flatnonzero(
            (progress.epochs > 0) & (progress.epochs < EPOCHS) & ~progress.running
        )
        if not len(decided.trial) and not progress.running.any() and done.size:
            left = done[~progress.failed[done]][:1]
            return jt.schedulers.base.decision(left, EPOCHS)
        return decided

    with pytest.raises(ValueError, match="its plan is final"):
        run(task, seeds=1, scheduler=inner._replace(decide=decide))


def test_patience_counts_from_the_best_and_by_min_delta():
    curves = {
        0: [5, 6, 7, 8, 9, 10, 11, 12],  # always better
        1: [5, 4, 4, 6, 4, 4, 4, 9],  # again better in time, then not
        2: [5, 5, 5, 5, 5, 5, 5, 5],  # equal is not better
        3: [5, 5.4, 5.8, 6.2, 6.6, 7, 7.4, 7.8],  # in small steps
    }

    def score(row, epoch):
        return curves[row][epoch - 1]

    plain = simulate(jt.schedulers.patience(3), score, 4, 8)
    assert plain.epochs.tolist() == [8, 7, 4, 8]
    careful = simulate(jt.schedulers.patience(3, min_delta=1.0), score, 4, 8)
    # each is compared with the last one that counted as better
    assert careful.epochs.tolist() == [8, 4, 4, 8]
    late = simulate(jt.schedulers.patience(3, min_epochs=6), score, 4, 8)
    assert late.epochs.tolist() == [8, 7, 6, 8]
    jt.testing.check_scheduler(jt.schedulers.patience(3))
    jt.testing.check_scheduler(jt.schedulers.patience(4, interval=5, min_epochs=8))


def test_a_curve_that_is_not_finite_on_the_way_has_a_best_epoch():
    curves = Curves(Scoring("best", metric="e", mode="max"), lanes=3, epochs=4)
    nan, inf = np.nan, np.inf
    rows = np.float32([[nan, 2, inf, 2], [nan, nan, nan, nan], [1, 0, 3, 3]])
    curves.note(np.arange(3), np.zeros(3, int), {"e": rows, "other": 10 * rows})
    found = curves.scores(np.arange(3), np.full(3, 4))
    np.testing.assert_array_equal(found["e"], np.float32([2, nan, 3]))
    np.testing.assert_array_equal(found["other"], np.float32([20, nan, 30]))
    np.testing.assert_array_equal(found[BEST_EPOCH], [2, 4, 3])
    # swapped, as two members of a population may take over from each other
    curves.copy(np.asarray([0, 2]), np.asarray([2, 0]))
    np.testing.assert_array_equal(
        curves.scores(np.asarray([0, 2]), np.asarray([2, 2]))["e"], [1, 2]
    )


def test_a_stream_is_scored_after_every_epoch():
    x = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)

    def made(train):
        model = jt.models.MLP(classes=2, max_units=8)
        return jt.classification(
            model, train=train, valid=(x[80:], y[80:]), shuffle=False
        )

    def source(epoch):
        yield x[:50], y[:50]
        yield x[50:80], y[50:80]

    space = jt.Space(learning_rate=jt.log_uniform(1e-2, 3.0))
    own = {"score": "best", "history": True, "metric": "loss", "trials": 6}
    own |= {"scheduler": jt.schedulers.patience(2), "batch_size": 20}
    own.pop("batch_size")
    stream = jt.data.stream(source, examples=80, rows=64)
    there = run(made(stream), space, **own)
    here = run(made((x[:80], y[:80])), space, **own)
    assert killed.digest(there) == killed.digest(here)
    for name, values in here.history.items():
        np.testing.assert_array_equal(there.history[name], values)


def test_each_fold_has_a_best_epoch_of_its_own(task):
    folded = dataclasses.replace(task, valid=None)
    own = {"folds": 4, "trials": 6, "seeds": 1, "block": 4}
    found = run(folded, score="best", history=True, **own)
    last = run(folded, **own)
    np.testing.assert_array_equal(found.history["error"][:, :, -1], last.trials.scores)
    failed = np.isnan(last.trials.scores)
    wanted = expected(found.history, "best", np.full(6, EPOCHS), failed)
    np.testing.assert_array_equal(found.trials.scores, wanted["error"])
    np.testing.assert_array_equal(found.best_epochs, wanted["best"])
    assert any(len(set(epochs)) > 1 for epochs in found.best_epochs.tolist())


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_export_has_the_curves(task, tmp_path):
    optuna = pytest.importorskip("optuna")
    own = {"score": "best", "scheduler": jt.schedulers.patience(2)}
    found = run(task, history=True, directory=tmp_path / "run", **own)
    means = np.where(
        np.isnan(found.history["error"]).any(axis=1),
        np.nan,
        found.history["error"].mean(axis=1, dtype=np.float64),
    )
    where = tmp_path / "curves.csv"
    command = ["export", str(tmp_path / "run"), "--to", "history", str(where)]
    assert CliRunner().invoke(main, command, catch_exceptions=False).exit_code == 0
    with where.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["trial", "seed", "epoch", "error", "size"]
    assert len(rows) >= int(found.trials["epochs"].sum()) * SEEDS
    for row in rows:
        at = int(row["trial"]), int(row["seed"]), int(row["epoch"]) - 1
        value = np.float32(row["error"] or "nan")
        np.testing.assert_array_equal(value, found.history["error"][at])
    study = jt.integrations.optuna.frozen(found)
    for trial, frozen in enumerate(study):
        finite = np.flatnonzero(np.isfinite(means[trial]))
        wanted = {int(e) + 1: float(means[trial, e]) for e in finite}
        assert frozen.intermediate_values == pytest.approx(wanted)
        failed = found.trials.failed[trial]
        assert frozen.state == optuna.trial.TrialState["FAIL" if failed else "COMPLETE"]
    other = run(task, trials=2)
    with pytest.raises(ValueError, match="kept no history"):
        jt.integrations.export(other, "history", tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_trackers_log_every_metric_by_epoch(kept):
    logged = {}

    class Kept(jt.integrations.tool.Tracker):
        def begin(self):
            pass

        def best(self, block, score):
            pass

        def score(self, trial, epochs, score):
            pass

        def curve(self, trial, name, values):
            logged[trial, name] = values

        def end(self, trial, hparams, row):
            pass

    tool = Kept("nowhere")
    tool.on_start(kept.setup)
    tool.on_round(kept)
    fine = np.flatnonzero(~kept.trials.failed)
    for trial in fine:
        for name in ("error", "size"):
            values = logged[trial, f"history/{name}"]
            assert list(values) == list(range(1, EPOCHS + 1))
            mean = kept.history[name][trial].mean(axis=0, dtype=np.float64)
            np.testing.assert_allclose(list(values.values()), mean, rtol=1e-12)


def test_the_report_draws_every_metric(task, kept, ends, tmp_path):
    found = run(task, score="best", history=True)
    figure = jt.report.epochs(found, top=3)
    assert [axes.get_ylabel() for axes in figure.axes] == ["error", "size"]
    order = np.argsort(found.trials["score"])[:3]
    panel = figure.axes[0]
    named = {line.get_label(): line for line in panel.lines}
    for trial in order:
        drawn = named[f"trial {trial}"].get_ydata()
        np.testing.assert_allclose(
            drawn, found.history["error"][trial].mean(axis=0), rtol=1e-6
        )
    points = [line for line in panel.lines if line.get_marker() == "o"]
    at = sorted(float(point.get_xdata()[0]) for point in points)
    assert at == sorted(found.trials[BEST_EPOCH][order].tolist())
    assert ">Every epoch</h2>" in found.report(tmp_path / "a.html").read_text()
    patient = run(task, epochs=12, scheduler=jt.schedulers.patience(2))
    page = patient.report(tmp_path / "c.html").read_text()
    early = int((patient.trials["epochs"] < 12).sum() - patient.trials.failed.sum())
    assert f"<p>{early} of {TRIALS} trials ended early" in page
    assert "rank correlation" not in page
    plain = ends[EPOCHS].report(tmp_path / "b.html").read_text()
    assert ">Every epoch</h2>" not in plain
    assert len(jt.report.epochs(ends[EPOCHS]).axes) == 1  # says how to get them
    assert len(jt.report.epochs(kept).axes) == 2


CHILD = """
import os, signal, sys
import killed, test_epochs

kept, left = killed.Durable.keep, [int(sys.argv[3])]

def keep(self, *args):
    kept(self, *args)
    self.flush()
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

killed.Durable.keep = keep
found = test_epochs.best_of_all(sys.argv[2], directory=sys.argv[1])
print(killed.digest(found))
"""


def best_of_all(name, **own):
    """A search in two rounds that uses all of this."""
    own |= {"rounds": 2, "score": "best", "history": True}
    return run(noisy(), scheduler=SCHEDULERS[name], **own)


@pytest.mark.parametrize("name", ["patience", "pbt"])
def test_a_search_that_is_killed_goes_on(tmp_path, name):
    straight, at = best_of_all(name), tmp_path / "run"
    for blocks in (3, 4, 1000):
        command = [sys.executable, "-c", CHILD, str(at), name, str(blocks)]
        done = subprocess.run(
            command,
            env=children.environment(**children.QUIET),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (0 if blocks == 1000 else -9), done.stderr
    assert done.stdout.split()[-1] == killed.digest(straight)
    found = jt.load(at, noisy())
    for metric, values in straight.history.items():
        np.testing.assert_array_equal(found.history[metric], values)
