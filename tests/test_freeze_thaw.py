"""Freeze-thaw: its model against a plain one, and what it does on known curves."""

import jax
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.schedulers import _freeze_thaw, curve_model
from jaxtune.schedulers.base import Progress
from jaxtune.schedulers.curve_model import as_quantiles, endings, level_of
from jaxtune.testing import simulate


def curves_of(trials, epochs, seed=0):
    """Curves that rise at their own pace to a level that depends on the point."""
    rng = np.random.default_rng(seed)
    points = rng.random((trials, 3))
    level = -((points[:, 0] - 0.6) ** 2) + 0.1 * points[:, 1]
    pace = np.exp(2 * points[:, 2] + 0.3 * rng.normal(size=trials))
    time = np.arange(epochs + 1) / epochs
    curves = level[:, None] - np.exp(-pace[:, None] * time)
    return points, curves + 0.01 * rng.normal(size=curves.shape)


def run(curves, scheduler=None, points=None, **options):
    """Simulate a scheduler on curves ``[n, epochs + 1]``."""
    trials, epochs = curves.shape[0], curves.shape[1] - 1
    scheduler = scheduler or jt.schedulers.freeze_thaw()
    score = lambda row, epoch: curves[row, epoch]  # noqa: E731
    return simulate(scheduler, score, trials, epochs, points=points, **options)


def test_the_model_is_the_plain_process():
    """Every value of every trial in one covariance, and one solve."""
    rng = np.random.default_rng(0)
    points, rungs = rng.random((9, 2)), np.asarray([2, 4, 7, 10])
    points[4] = np.nan
    seen = np.asarray([4, 1, 2, 0, 3, 1, 1, 2, 0])
    values = rng.normal(size=(9, 4))
    values[np.arange(4) >= seen[:, None]] = np.nan
    found = endings(points, values, seen, rungs)
    scales, features = curve_model._settings(), curve_model._features(points)
    own, shapes = curve_model._in_time(scales, rungs / rungs[-1])
    trial, rung = np.nonzero(np.isfinite(values))
    y, evidence, plain = values[trial, rung], [], []
    for one, scale in enumerate(scales):
        widths = curve_model._prior_spreads(scale[None], features.shape[1])[0]
        noise = scale[curve_model.NOISE] ** 2 + curve_model.JITTER

        def loads(trial, rung, one=one, widths=widths):
            row = shapes[one][rung][:, :, None] * features[trial][:, None, :]
            return row.reshape(len(trial), -1) * widths

        def between(a, b, c, d, one=one, loads=loads):
            same = (a[:, None] == c[None]) * own[one][b[:, None], d[None]]
            return loads(a, b) @ loads(c, d).T + same

        every, end = np.arange(9), np.full(9, 3)
        whole = between(trial, rung, trial, rung) + noise * np.eye(len(y))
        cross = between(every, end, trial, rung)
        gain = np.linalg.solve(whole, cross.T).T
        variance = np.diag(between(every, end, every, end)) + noise
        variance = variance - (gain * cross).sum(1)
        plain.append((gain @ y, np.sqrt(variance)))
        misfit = y @ np.linalg.solve(whole, y) + np.linalg.slogdet(whole)[1]
        evidence.append(-misfit / 2)
    best = np.argsort(evidence)[::-1][: curve_model.KEPT]
    weights = np.exp(np.asarray(evidence)[best] - max(evidence))
    np.testing.assert_allclose(found.weights, weights / weights.sum(), rtol=1e-6)
    np.testing.assert_allclose(found.means, [plain[b][0] for b in best], rtol=1e-6)
    np.testing.assert_allclose(found.spreads, [plain[b][1] for b in best], rtol=1e-6)


def test_the_level_is_passed_by_as_many_as_are_asked_for():
    points, curves = curves_of(20, 4)
    values = as_quantiles(curves[:, 1:])
    found = endings(points, values, np.full(20, 2), np.arange(1, 5))
    rows = np.arange(5, 20)
    level = level_of(found, rows, 3.5)
    assert found.above(level)[rows].sum() == pytest.approx(3.5, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [{}, {"share": 0.15, "interval": 1}, {"share": 1.0}, {"concurrent": 5}],
)
def test_the_budget_is_spent_and_never_passed(options, seed):
    points, curves = curves_of(30, 18, seed)
    curves[::4, 7:] = np.nan
    scheduler = jt.schedulers.freeze_thaw(**options)
    found = run(curves, scheduler, points)
    sent = np.stack([d.target for d, _ in found.steps]).max(axis=0)
    assert sent.sum() <= found.plan.epochs
    assert (found.epochs > 0).all()
    ended = found.epochs == 18
    assert ended.any()
    # nothing that is left would bring another trial to its end
    waits = ~found.failed & ~ended
    short = (18 - found.epochs[waits]) > found.plan.epochs - sent.sum()
    assert short.all()


@pytest.mark.parametrize("seed", range(3))
def test_trials_go_on_together_to_the_end(seed):
    """A step for one trial costs as much time as one for many."""
    points, curves = curves_of(120, 27, seed)
    steps = [d.trial for _, d in run(curves, points=points).steps if len(d.trial)]
    assert len(steps) <= 14
    assert sum(len(trials) == 1 for trials in steps) <= 3


def test_what_new_trials_begin_with_is_not_spent_before():
    points, curves = curves_of(30, 18)
    least = (30 * 2 + 18 - 2) / (30 * 18)
    scheduler = jt.schedulers.freeze_thaw(share=least + 1e-9, concurrent=2)
    found = run(curves, scheduler, points)
    assert (found.epochs > 0).all()
    assert found.epochs.sum() == found.plan.epochs == 76


def test_the_last_bits_of_a_prediction_do_not_count(monkeypatch):
    """They differ between machines, and would rank equal trials."""
    rng, exact = np.random.default_rng(0), _freeze_thaw.endings

    def elsewhere(*given):
        found = exact(*given)
        bits = 1e-12 * rng.normal(size=found.means.shape)
        return found._replace(means=found.means + bits)

    curves = np.repeat(np.linspace(0, 1, 6), 5)[:, None] + np.linspace(0, 1, 10)
    one = run(curves)
    monkeypatch.setattr(_freeze_thaw, "endings", elsewhere)
    assert run(curves).epochs.tolist() == one.epochs.tolist()


@pytest.mark.parametrize(
    "change",
    [np.exp, lambda c: 1e6 * c, lambda c: np.sign(c) * np.abs(c) ** 3],
    ids=["exponential", "unit", "cube"],
)
def test_only_the_order_of_scores_counts(change):
    points, curves = curves_of(24, 12)
    one, other = run(curves, points=points), run(change(curves), points=points)
    assert one.epochs.tolist() == other.epochs.tolist()


def test_the_numbers_of_the_trials_do_not_count():
    points, curves = curves_of(24, 12)
    order = np.random.default_rng(1).permutation(24)
    one, other = run(curves, points=points), run(curves[order], points=points[order])
    assert one.epochs[order].tolist() == other.epochs.tolist()


def progress_of(scores, points=None, slots=99):
    """The state of trials that stand at their last finite score, rungs 1, 2, ..."""
    scores = np.asarray(scores, float)
    at = np.isfinite(scores).sum(axis=1)
    none = np.zeros(len(scores), bool)
    return Progress(at, at, scores, np.zeros_like(scores), none, slots, points)


def decide(progress, budget):
    trials, rungs = progress.scores.shape
    scheduler = jt.schedulers.freeze_thaw(interval=1)
    plan = scheduler.plan(trials, rungs)._replace(budget=budget)
    return scheduler.decide(jax.random.key(0), plan, progress)


def test_a_rising_curve_is_preferred_to_a_falling_one():
    nan, scores = np.nan, np.full((12, 6), np.nan)
    scores[:, 0] = np.linspace(0, 1, 12)
    scores[3, :3] = [0.25, 0.6, 0.9]
    scores[8, :3] = [1.5, 1.2, 0.9 + 1e-9]
    scores[5, :3] = [0.4, 0.45, nan]
    decided = decide(progress_of(scores), 12 + 2 + 2 + 1 + 3)
    assert decided.trial.tolist() == [3]
    assert decided.epochs.tolist() == [4]


def test_a_trial_that_was_left_behind_is_taken_up_again():
    curves = np.linspace(0, 1, 12)[:, None] + 0.1 * np.arange(11)
    curves[10:, 3:] -= 5.0  # the best two collapse
    found = run(curves, jt.schedulers.freeze_thaw(share=0.4))
    # sent on from the first rungs, while others stand two rungs further
    thawed = [
        row
        for progress, decided in found.steps
        for row in decided.trial[progress.epochs[decided.trial] <= 2]
        if progress.epochs.max() >= 4
    ]
    assert thawed
    assert (found.epochs[10:] < 10).all()
    assert found.epochs[:10].max() == 10


def test_new_trials_begin_where_the_old_ones_are_good():
    points = np.linspace(0, 1, 40)[:, None]
    scores = np.full((40, 5), np.nan)
    scores[::2, 0] = -((points[::2, 0] - 0.8) ** 2)
    decided = decide(progress_of(scores, points, slots=6), 40 + 30)
    fresh = decided.trial[decided.source < 0]
    assert len(decided.trial) == 6
    old = decided.trial[decided.source >= 0]
    assert np.abs(points[decided.trial, 0] - 0.8).max() < 0.25
    assert len(fresh)
    assert len(old)


def test_equal_scores_go_by_id_and_failures_never_on():
    found = run(np.zeros((9, 10)))
    ended = np.flatnonzero(found.epochs == 9)
    assert ended.tolist() == list(range(len(ended)))
    curves = np.full((9, 10), np.nan)
    assert (run(curves).epochs == 1).all()
    curves[4] = 0.0
    assert run(curves).epochs.tolist() == [1, 1, 1, 1, 9, 1, 1, 1, 1]


@pytest.mark.parametrize(("trials", "epochs"), [(1, 20), (1, 2), (2, 2), (3, 3)])
def test_the_smallest_searches_end_a_trial(trials, epochs):
    _, curves = curves_of(trials, epochs)
    assert run(curves).epochs.max() == epochs


def test_a_plan_has_the_epochs_of_halving():
    halving = jt.schedulers.successive_halving()
    for trials, epochs in ((64, 20), (1000, 81), (27, 9)):
        plan = jt.schedulers.freeze_thaw().plan(trials, epochs)
        assert plan.epochs == halving.plan(trials, epochs).epochs
        assert plan.trials == trials
    assert jt.schedulers.freeze_thaw(share=0.5).plan(64, 20).epochs == 640
    # the share that a refusal recommends; 0.172 * 250 is 42.99999999999999
    assert jt.schedulers.freeze_thaw(share=0.172).plan(10, 25).epochs == 43


OBJECTIVE = {"trials": 12, "epochs": 6, "seeds": 2, "metric": "loss"}


@pytest.fixture(scope="module")
def task():
    """A parameter that walks to 1, at its own rate."""
    rows = {"x": np.linspace(0.5, 1.5, 8, dtype=np.float32)}
    return jt.Task(
        init=lambda key, h: jax.random.normal(key),
        loss=lambda w, batch, key, h: ((w - batch["x"]) ** 2).mean(),
        evaluate=lambda w, split, h: {"loss": ((w - split["x"]) ** 2).mean()},
        optimizer=lambda h: optax.sgd(h["rate"]),
        train=rows,
        valid=rows,
        batch_size=4,
        metrics=(("loss", "min"),),
    )


class Killed(Exception):
    """Ends a search in the middle."""


def kills(after):
    """A callback that fails after so many blocks."""
    left = [after]

    class Killing(jt.Callback):
        def on_block(self, number, event):
            left[0] -= 1
            if not left[0]:
                raise Killed

    return Killing()


def test_a_run_that_is_killed_ends_in_the_same_table(task, tmp_path):
    space = jt.Space(rate=jt.log_uniform(1e-3, 0.9))
    options = {
        **OBJECTIVE,
        "rounds": 2,
        "sampler": "gaussian_process",
        "scheduler": "freeze_thaw",
        "block": 4,
        "verbose": 0,
    }
    search = lambda **more: jt.search(  # noqa: E731
        task, space, key=jax.random.key(0), **options, **more
    )
    whole = search()
    with pytest.raises(Killed):
        search(directory=tmp_path / "run", callbacks=[kills(9)])
    again = search(directory=tmp_path / "run")
    for name in ("score", "epochs", "rate"):
        np.testing.assert_array_equal(again.trials[name], whole.trials[name])
    assert jt.rerun(tmp_path / "run", whole.best.trial, task).same
    planned = jt.schedulers.freeze_thaw().plan(6, 6).epochs
    assert whole.trials["epochs"].sum() <= 2 * planned


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda s: s.freeze_thaw(share=2), r"share must lie in \(0, 1\], got 2"),
        (lambda s: s.freeze_thaw(share=0), r"share must lie in \(0, 1\], got 0"),
        (lambda s: s.freeze_thaw(interval=0), "interval must be a whole number from 1"),
        (lambda s: s.freeze_thaw(concurrent=1.5), "concurrent must be a whole number"),
        (lambda s: s.freeze_thaw().plan(9, 1), "epochs=1 ends before the first"),
        (
            lambda s: s.freeze_thaw(share=0.1).plan(64, 20),
            "is 128, but to begin all and end one takes 146. Use share=0.115",
        ),
    ],
)
def test_what_it_cannot_do_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make(jt.schedulers)
