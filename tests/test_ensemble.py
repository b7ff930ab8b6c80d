"""Ensembles: chosen as by hand, of the models that the search trained."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from click.testing import CliRunner
from conftest import digits

import jaxtune as jt
from jaxtune.cli import main
from jaxtune.planning import keeping
from jaxtune.report import sections
from jaxtune.trained import selection

X, Y = digits(420)
TRAIN, VALID, TEST = slice(0, 200), slice(200, 320), slice(320, 420)
KEY = jax.random.key(5)
SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-2, 0.5),
    hidden_units=jt.integer(4, 16),
    activation=jt.choice(["relu", "tanh"], static=True),
)


def splits(y=Y, test=True):
    parts = {"train": (X[TRAIN], y[TRAIN]), "valid": (X[VALID], y[VALID])}
    return {**parts, "test": (X[TEST], y[TEST])} if test else parts


def classifier(outputs=10, y=Y, **more):
    model = jt.models.MLP(classes=outputs, max_units=16)
    return jt.classification(model, **splits(y), **more)


def search(task, trials=6, **more):
    arguments = {"key": KEY, "epochs": 2, "verbose": 0} | more
    return jt.search(task, SPACE, trials=trials, **arguments)


def greedy(votes, measure, size):
    """Caruana's selection in plain Python; ``measure(mean) -> lower is better``."""
    chosen, path = [], []
    for _ in range(size):
        means = [
            (sum(votes[i] for i in chosen) + vote) / (len(chosen) + 1) for vote in votes
        ]
        losses = [measure(mean) for mean in means]
        chosen.append(int(np.argmin(losses)))
        path.append(min(losses))
    best = int(np.argmin(path))
    return np.bincount(chosen[: best + 1], minlength=len(votes)), path[best]


def cross_entropy(shares, y):
    return -np.log(shares[np.arange(len(y)), y] + 1e-38).mean()


def counts_of(ensemble, trials, seeds=1):
    """Shares of all candidates ``[trials * seeds]``, from those that are members."""
    shares = np.zeros((trials, seeds))
    for member in ensemble.members:
        shares[member.trial, member.seed] = member.weight
    return shares.ravel()


def test_members_and_score_are_those_of_a_selection_by_hand():
    found = search(classifier(), metric="loss", seeds=2)
    ensemble = found.ensemble(top=6, size=20)
    models = [found.train(trial, seed=s) for trial in range(6) for s in range(2)]
    votes = [model.probabilities(X[VALID]).astype(np.float64) for model in models]
    counts, loss = greedy(votes, lambda mean: cross_entropy(mean, Y[VALID]), 20)
    np.testing.assert_allclose(counts_of(ensemble, 6, 2), counts / counts.sum())
    assert ensemble.score == pytest.approx(loss, rel=1e-4)
    assert ensemble.candidates == 12
    assert ensemble.single == pytest.approx(found.trials.scores.min())
    assert ensemble.score < ensemble.single
    assert len(ensemble.members) > 1  # or nothing was averaged


@pytest.mark.parametrize("seed", range(3))
def test_a_selection_ends_where_it_was_best(seed):
    draw = np.random.default_rng(seed)
    votes, y = draw.dirichlet(np.ones(3), size=(5, 12)), draw.integers(0, 3, 12)
    measures = classifier(3, Y % 3).predict.measures
    ends = set()
    for size in range(1, 9):
        found = selection.select(
            measures, jnp.asarray(votes, jnp.float32), {"y": y}, "loss", "min", size
        )
        counts, loss = greedy(votes, lambda mean: cross_entropy(mean, y), size)
        assert np.array_equal(found.counts, counts)
        assert found.score == pytest.approx(loss, rel=1e-5)
        assert len(found.path) == counts.sum()
        ends.add(int(counts.sum()))
    assert len(ends) < 8  # or the last addition was always the best


def test_it_predicts_the_weighted_mean_of_its_models():
    found = search(classifier(), trials=12, metric="loss", epochs=4)
    ensemble = found.ensemble(top=12, size=10)
    assert len(ensemble.stacks) == 2  # two programs, one for each activation
    mean = sum(
        one.weight * found.train(one.trial, seed=one.seed).probabilities(X[TEST])
        for one in ensemble.members
    )
    np.testing.assert_allclose(ensemble.probabilities(X[TEST]), mean, atol=1e-5)
    assert np.array_equal(ensemble.predict(X[TEST]), mean.argmax(1))
    assert ensemble.weights.sum() == pytest.approx(1)
    assert list(ensemble.weights) == sorted(ensemble.weights, reverse=True)
    judged = ensemble.test()
    assert judged["best"] == found.test()
    loss = cross_entropy(mean.astype(np.float64), Y[TEST])
    assert judged["ensemble"]["loss"] == pytest.approx(loss, rel=1e-4)
    right = (ensemble.predict(X[TEST]) == Y[TEST]).mean()
    assert judged["ensemble"]["accuracy"] == pytest.approx(right)
    assert f"{judged['ensemble']['loss']:.6g}" in repr(ensemble)


@pytest.mark.parametrize("name", ["asha", "hyperband", "pbt"])
def test_members_are_those_of_any_scheduler(name):
    found = search(classifier(), trials=8, epochs=8, scheduler=name)
    ensemble = found.ensemble(top=3, size=4)
    trials = set(np.argsort(-found.standing)[:3].tolist())
    assert {member.trial for member in ensemble.members} <= trials
    for member in ensemble.members:
        assert np.float32(member.score) == found.trials.scores[member.trial, 0]
    alone = found.ensemble(top=1)
    (only,) = alone.members
    model = found.train(only.trial)
    np.testing.assert_allclose(
        alone.probabilities(X[TEST]), model.probabilities(X[TEST]), atol=1e-6
    )
    assert alone.score == pytest.approx(only.score)


def test_a_regression_averages_predictions():
    y = X.sum(1) / 10
    task = jt.regression(jt.models.MLP(classes=1, max_units=16), **splits(y))
    found = search(task)
    ensemble = found.ensemble(top=6, size=10)
    votes = [
        found.train(trial).predict(X[VALID]).astype(np.float64) for trial in range(6)
    ]
    counts, error = greedy(votes, lambda mean: ((mean - y[VALID]) ** 2).mean(), 10)
    np.testing.assert_allclose(counts_of(ensemble, 6), counts / counts.sum())
    assert ensemble.score == pytest.approx(error, rel=1e-4)
    guess = ensemble.predict(X[TEST])
    assert guess.shape == (100,)
    assert ensemble.test()["ensemble"]["mse"] == pytest.approx(
        ((guess - y[TEST]) ** 2).mean(), rel=1e-4
    )


def test_one_logit_and_labels_of_any_kind():
    names = np.where(Y % 2 == 0, "even", "odd")
    task = classifier(1, names)
    ensemble = search(task, epochs=4).ensemble(top=6, size=10)
    guess = ensemble.predict(X[VALID])
    assert (guess == names[VALID]).mean() == pytest.approx(ensemble.score)
    assert ensemble.probabilities(X[VALID]).shape == (120, 2)
    assert ensemble.classes == ("even", "odd")


def test_weights_and_metrics_of_the_user_decide():
    def f1(outputs, y):
        guess = outputs.argmax(1)
        right = jnp.sum((guess == 3) & (y == 3))
        return 2 * right / (jnp.sum(guess == 3) + jnp.sum(y == 3))

    found = search(classifier(metrics={"f1": f1}), metric="f1", epochs=4)
    ensemble = found.ensemble(top=6, size=10)
    guess = ensemble.predict(X[VALID])
    right = ((guess == 3) & (Y[VALID] == 3)).sum()
    wanted = 2 * right / ((guess == 3).sum() + (Y[VALID] == 3).sum())
    assert ensemble.score == pytest.approx(wanted)
    weights = np.linspace(0.1, 2, 120)
    data = splits() | {"valid": (X[VALID], Y[VALID], weights)}
    model = jt.models.MLP(classes=10, max_units=16)
    ensemble = search(jt.classification(model, **data), epochs=4).ensemble(size=5)
    guess = ensemble.predict(X[VALID])
    assert ensemble.score == pytest.approx(
        np.average(guess == Y[VALID], weights=weights), rel=1e-5
    )


def test_failed_trials_are_no_candidates():
    space = jt.Space(learning_rate=jt.choice([0.1, 0.2, 1e30]))
    task = jt.classification(jt.models.MLP(classes=10, max_units=8), **splits())
    found = jt.search(task, space, key=KEY, trials=3, epochs=2, verbose=0)
    assert found.trials.failed.sum() == 1
    assert found.ensemble().candidates == 2
    worst = space.restrict(learning_rate=[1e30])
    failed = jt.search(task, worst, key=KEY, trials=1, epochs=2, verbose=0)
    with pytest.raises(ValueError, match="no trial has a score"):
        failed.ensemble()


@pytest.mark.parametrize("name", ["ensemble", "ensemble.safetensors"])
def test_a_saved_ensemble_is_the_same(name, tmp_path):
    task = classifier()
    ensemble = search(task, metric="loss").ensemble(top=6, size=10)
    ensemble.test()
    path = ensemble.save(tmp_path / name)
    for loaded in (jt.load_model(path), jt.load_model(path, task)):
        assert repr(loaded) == repr(ensemble)
        assert np.array_equal(loaded.apply(X), ensemble.apply(X))
        assert loaded.test() == ensemble.test()
    fresh = search(task).ensemble(top=2)
    loaded = jt.load_model(fresh.save(tmp_path / name))
    with pytest.raises(ValueError, match="from a file"):
        loaded.test()


def test_the_command_line_saves_the_same_ensemble(tmp_path):
    task, where = classifier(), tmp_path / "run"
    found = search(task, directory=where)
    out = tmp_path / "few.safetensors"
    command = ["ensemble", str(where), "--top", "4", "--out", str(out)]
    ran = CliRunner().invoke(main, command)
    assert ran.exit_code == 0, ran.output
    wanted = found.ensemble(top=4)
    assert np.array_equal(jt.load_model(out).apply(X), wanted.apply(X))
    assert repr(wanted).splitlines()[0] in ran.output


def test_what_has_no_ensemble_is_refused():
    values = jt.search(
        lambda key, h: h["x"], jt.Space(x=jt.uniform(0.0, 1.0)), key=KEY, trials=2,
        mode="min", verbose=0,
    )  # fmt: skip
    with pytest.raises(ValueError, match="a plain function has no model"):
        values.ensemble()
    own = jt.Task(
        init=lambda key, h: jnp.zeros(()),
        loss=lambda params, batch, key, h: jnp.mean((params - batch) ** 2),
        evaluate=lambda params, split, h: {"error": jnp.mean((params - split) ** 2)},
        optimizer=lambda h: optax.sgd(h["rate"]),
        train=jnp.ones(64),
        valid=jnp.ones(8),
        metrics=(("error", "min"),),
    )
    space = jt.Space(rate=jt.uniform(0.1, 0.2))
    found = jt.search(own, space, key=KEY, trials=2, epochs=1, verbose=0)
    with pytest.raises(ValueError, match="functions of your own"):
        found.ensemble()
    found = search(classifier(), trials=2)
    for wrong in ({"top": 0}, {"top": 2.5}, {"size": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            found.ensemble(**wrong)


@pytest.mark.parametrize("name", [None, "asha"])
def test_kept_predictions_are_those_of_the_models(name, tmp_path):
    more = {"epochs": 8, "seeds": 2, "scheduler": name, "metric": "loss"}
    plain = search(classifier(), trials=8, **more)
    found = search(
        classifier(), trials=8, keep="predictions", directory=tmp_path / "run", **more
    )
    assert np.array_equal(found.trials["score"], plain.trials["score"])
    kept = found.predictions
    assert kept.shape == (8, 2, 120, 10)
    whole = found.trials.epochs == 8
    assert np.array_equal(np.isfinite(kept).all((1, 2, 3)), whole)
    assert np.isnan(kept[~whole]).all()
    for trial in np.flatnonzero(whole).tolist():
        for seed in range(2):
            outputs = found.train(trial, seed=seed).apply(X[VALID])
            np.testing.assert_allclose(kept[trial, seed], outputs, rtol=1e-4, atol=1e-5)
    loaded = jt.load(tmp_path / "run")
    assert np.array_equal(loaded.predictions, kept, equal_nan=True)
    mine = found.ensemble(top=8)
    assert mine.candidates == 2 * whole.sum()
    assert repr(loaded.ensemble(top=8)) == repr(mine)
    if name is None:  # the same candidates, trained for the choice
        other = plain.ensemble(top=8)
        # a block's predictions differ from those of fewer lanes in their last bits
        assert other.score == pytest.approx(mine.score, rel=1e-3)
        assert other.members[0].trial == mine.members[0].trial


def test_kept_predictions_survive_an_interruption(tmp_path):
    class Interrupt(jt.Callback):
        def on_block(self, round, block):
            if block.trial.size:  # some were scored
                raise KeyboardInterrupt

    more = {"keep": "predictions", "block": 2, "directory": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        search(classifier(), callbacks=[Interrupt()], **more)
    begun = jt.load(tmp_path / "run").trials["status"].astype(str)
    assert set(begun) == {"ok", "waiting"}
    resumed = jt.resume(tmp_path / "run", verbose=0)
    whole = search(classifier(), **more | {"directory": None})
    assert np.isfinite(whole.predictions).all()
    assert np.array_equal(resumed.predictions, whole.predictions)
    with pytest.raises(jt.RunError, match="keep"):
        search(classifier(), **more | {"keep": None})


def test_folds_choose_by_the_rows_that_each_held_out():
    task = jt.classification(
        jt.models.MLP(classes=10, max_units=16),
        train=(X[:320], Y[:320]),
        test=(X[TEST], Y[TEST]),
    )
    found = search(task, folds=4, metric="loss")
    ensemble = found.ensemble(top=6, size=10)
    shares = [jax.nn.softmax(found.out_of_fold(trial), axis=1) for trial in range(6)]
    votes = [np.asarray(share, np.float64) for share in shares]
    counts, loss = greedy(votes, lambda mean: cross_entropy(mean, Y[:320]), 10)
    np.testing.assert_allclose(counts_of(ensemble, 6), counts / counts.sum())
    assert ensemble.score == pytest.approx(loss, rel=1e-4)
    assert "on folds" in repr(ensemble)
    # of folds that differ in size, the mean is not the score of all rows
    groups = np.repeat(np.arange(3), [200, 90, 30])
    uneven = search(task, folds=jt.folds(3, groups=groups), metric="loss")
    one = uneven.ensemble(top=1, size=1)
    assert one.score == pytest.approx(one.single)
    assert one.single != pytest.approx(uneven.best.score, rel=1e-3)
    # the members are trained on all rows
    mean = sum(
        one.weight * found.train(one.trial).probabilities(X[TEST])
        for one in ensemble.members
    )
    np.testing.assert_allclose(ensemble.probabilities(X[TEST]), mean, atol=1e-5)


def test_members_are_of_their_best_epochs():
    task = jt.classification(
        jt.models.MLP(classes=10, max_units=16), **splits(), batch_size=16
    )
    space = SPACE.restrict(learning_rate=(0.1, 0.5))
    found = jt.search(
        task,
        space,
        key=KEY,
        trials=6,
        epochs=12,
        seeds=2,
        score="best",
        metric="loss",
        verbose=0,
    )
    assert len(np.unique(found.best_epochs)) > 1
    ensemble = found.ensemble(top=6, size=10)
    mean = 0
    for one in ensemble.members:
        model = found.train(one.trial, seed=one.seed)
        assert model.epochs == found.best_epochs[one.trial, one.seed]
        assert model.metrics["loss"] == pytest.approx(one.score)
        mean += one.weight * model.probabilities(X[TEST])
    np.testing.assert_allclose(ensemble.probabilities(X[TEST]), mean, atol=1e-5)


def test_what_cannot_be_kept_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="Use 'predictions' or None"):
        search(classifier(), keep="models")
    with pytest.raises(ValueError, match="Leave one of them out"):
        search(classifier(), keep="predictions", score="best")
    patient = jt.schedulers.patience(2)
    with pytest.raises(ValueError, match="this scheduler ends others"):
        search(classifier(), keep="predictions", scheduler=patient, epochs=6)
    folded = dataclasses.replace(classifier(), valid=None)
    with pytest.raises(ValueError, match=r"result\.out_of_fold\(\) returns them"):
        search(folded, keep="predictions", folds=3)
    with pytest.raises(ValueError, match="the task cannot predict"):
        jt.search(
            lambda key, h: h["x"],
            jt.Space(x=jt.uniform(0.0, 1.0)),
            key=KEY,
            trials=2,
            mode="min",
            keep="predictions",
        )
    with pytest.raises(ValueError, match="this search kept none"):
        _ = search(classifier(), trials=2).predictions
    # 6 trainings, 120 rows, 10 classes, 4 bytes
    monkeypatch.setattr(keeping, "_memory", lambda: 2 * 6 * 120 * 10 * 4 - 1)
    with pytest.raises(ValueError, match="GiB, and this machine has"):
        search(classifier(), keep="predictions")


def test_the_report_shows_the_ensemble_of_kept_predictions():
    found = search(classifier(), keep="predictions", metric="loss")
    chosen = found.ensemble()
    (axes,) = jt.report.ensemble(found).axes
    single, path = (line.get_ydata() for line in axes.lines)
    assert path[-1] == pytest.approx(chosen.score, rel=1e-5)
    assert single[0] == pytest.approx(chosen.single)
    section = "".join(map(str, sections.ALL["Ensemble"](found)))
    assert f"loss {chosen.score:.6g} on the validation split" in section
    assert section.count("<tr>") == 1 + len(chosen.members)
    assert not sections.ALL["Ensemble"](search(classifier(), trials=2))
