"""Folds: each is the training by hand on its rows, and no row is judged twice."""

import dataclasses
import warnings

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import digits
from editing import without_sums
from sklearn.model_selection import GroupKFold, KFold, RepeatedKFold, TimeSeriesSplit

import jaxtune as jt
from jaxtune.programs import block as block_program
from jaxtune.tasks._folds import with_folds
from jaxtune.tasks.folding import rows_table

KEY = jax.random.key(11)
RATE = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.2))


def line(rows=60, **changes):
    """Linear regression whose metrics tell parameters and rows apart, exactly."""
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    y = x @ np.float32([1.0, -2.0, 0.5]) + x[:, 0] ** 2
    data = {"x": x, "y": y, "row": np.arange(rows, dtype=np.float32)}

    def error(params, batch):
        return jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)

    def evaluate(params, split, hparams):
        found = {f"w{i}": params["w"][i] for i in range(3)}
        return {"mse": error(params, split), "rows": split["row"].sum(), **found}

    made = jt.Task(
        init=lambda key, hparams: {"w": jax.random.normal(key, (3,))},
        loss=lambda params, batch, key, hparams: error(params, batch),
        evaluate=evaluate,
        optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
        predict=lambda params, split, hparams: split["x"] @ params["w"],
        train=data,
        batch_size=8,
        metrics=(("mse", "min"),),
    )
    return dataclasses.replace(made, **changes)


def classifier(rows=120, **changes):
    x, y = digits(rows)
    arguments = {"train": (x, y), "batch_size": 16} | changes
    return jt.classification(jt.models.MLP(classes=10, max_units=8), **arguments)


def search(task, folds, space=RATE, **changes):
    arguments = {"key": KEY, "trials": 6, "epochs": 2, "verbose": 0}
    arguments |= {"sampler": "sobol"} | changes
    return jt.search(task, space, folds=folds, **arguments)


def metrics_of(result, name):
    """A metric of all trials in a search of one round, ``[n, r]``."""
    (training,) = result.rounds
    return training.outcome.metrics[name]


def taken(task, rows):
    return jax.tree.map(lambda a: np.asarray(a)[rows], task.train)


def by_hand(task, train, valid, **changes):
    """The search of a task whose splits are the rows of one fold."""
    alone = dataclasses.replace(
        task, train=taken(task, train), valid=taken(task, valid)
    )
    return search(alone, None, **changes)


EXACT = ("rows", "w0", "w1", "w2")


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "in order"])
@pytest.mark.parametrize("rows", [60, 62], ids=["even", "uneven"])
def test_a_fold_is_the_training_by_hand(rows, shuffle, seeds):
    task, folds = line(rows, shuffle=shuffle), 5
    found = search(task, folds, seeds=seeds, block=4)
    assert found.trials.scores.shape == (6, seeds * folds)
    for number, (train, valid) in enumerate(found.folds.rows):
        alone = by_hand(task, train, valid, seeds=seeds, block=4)
        for name in EXACT:
            mine = metrics_of(found, name).reshape(6, seeds, folds)[:, :, number]
            wanted = metrics_of(alone, name)
            # in order, lanes by hand share their batches, and sums round otherwise
            near = 0 if shuffle or name == "rows" else 1e-5
            np.testing.assert_allclose(mine, wanted, near, near / 10, err_msg=name)
        np.testing.assert_allclose(
            found.folds.scores[:, number], alone.trials.scores, rtol=1e-5
        )


def test_a_fold_is_what_numpy_trains():
    task, rate = line(43, shuffle=False), 0.05
    space = jt.Space(learning_rate=jt.fixed(rate), other=jt.uniform(0.0, 1.0))
    with pytest.warns(UserWarning, match="nothing reads"):
        found = search(task, 3, space=space, trials=1, epochs=3)
    data = jax.tree.map(np.asarray, task.train)
    fresh = jt.Task(**{**vars(task), "valid": task.train, "optimizer": optax.sgd(0.0)})
    with pytest.warns(UserWarning, match="nothing reads"):
        start = search(fresh, None, space=space, trials=1)
    first = [metrics_of(start, f"w{i}")[0, 0] for i in range(3)]
    smallest = min(len(train) for train, _ in found.folds.rows)
    for number, (train, valid) in enumerate(found.folds.rows):
        w = np.asarray(first, np.float64)
        for _ in range(3):
            for begin in range(0, smallest // 8 * 8, 8):
                rows = train[begin : begin + 8]
                x, y = data["x"][rows].astype(float), data["y"][rows]
                w = w - rate * 2 * x.T @ (x @ w - y) / 8
        error = np.mean((data["x"][valid] @ w - data["y"][valid]) ** 2)
        assert found.folds.scores[0, number, 0] == pytest.approx(error, rel=1e-4)


def test_a_classifier_scores_each_fold_as_by_hand():
    task = classifier(122, metrics={"right": lambda out, y: (out.argmax(1) == y).sum()})
    found = search(task, 4, seeds=2)
    sizes = [len(valid) for _, valid in found.folds.rows]
    assert sorted(sizes) == [30, 30, 31, 31]
    for number, (train, valid) in enumerate(found.folds.rows):
        alone = by_hand(task, train, valid, seeds=2, block=found.setup.workload.width)
        for name in ("accuracy", "right"):
            mine = metrics_of(found, name).reshape(6, 2, 4)[:, :, number]
            np.testing.assert_allclose(mine, metrics_of(alone, name), rtol=1e-6)


def test_no_data_is_copied():
    task = with_folds(line(64), 4, KEY)
    result = search(line(64), 4, block=8)
    workload = result.setup.workload
    ids, width = np.arange(8), 8
    static = block_program.Static(batching=workload.layout.batching)
    block = block_program.Block(
        ids.astype(np.uint32), ids.astype(np.uint32), {"learning_rate": ids * 0.01}
    )
    state = block_program.start(task, KEY, block, static)
    program = jax.make_jaxpr(
        lambda *a: block_program.advance(*a, epochs=1, static=static)
    )(task, KEY, block, state)
    batches = width * 8 * 3  # numbers of the inputs of one batch of all lanes
    assert 0 < largest_of_reals(program.jaxpr) <= batches


def largest_of_reals(program):
    """The most real numbers in one value that a program computes, the data apart."""
    from jaxtune.planning.flops import inner_programs

    sizes = [
        np.prod(v.aval.shape)
        for equation in program.eqns
        for v in equation.outvars
        if jnp.issubdtype(v.aval.dtype, jnp.floating)
    ]
    inner = [
        largest_of_reals(p)
        for equation in program.eqns
        for p in inner_programs(equation)
    ]
    return max([0, *sizes, *inner])


# which rows


@hypothesis.given(
    labels=st.lists(st.integers(0, 3), min_size=8, max_size=60),
    folds=st.integers(2, 6),
    seed=st.integers(0, 5),
)
def test_folds_and_their_classes_are_even(labels, folds, seed):
    y = np.asarray([*labels, 0, 1, 2, 3])
    task = classifier(train=(np.zeros((len(y), 64)), y), batch_size=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels with fewer rows than folds
        cut = with_folds(task, folds, jax.random.key(seed)).folds
    valid = cut.valid.listed()
    assert np.array_equal(np.sort(np.concatenate(valid)), np.arange(len(y)))
    for train, out in zip(cut.train.listed(), valid, strict=True):
        assert np.array_equal(np.union1d(train, out), np.arange(len(y)))
        assert len(train) + len(out) == len(y)
    counted = np.asarray([np.bincount(y[rows], minlength=4) for rows in valid])
    assert np.ptp(counted.sum(1)) <= 1
    assert (np.ptp(counted, axis=0) <= 1).all()


def test_folds_follow_the_key_alone():
    def rows(seed):
        return with_folds(line(), 5, jax.random.key(seed)).folds.valid.listed()

    assert all(map(np.array_equal, rows(0), rows(0)))
    assert not all(map(np.array_equal, rows(0), rows(1)))
    # not the first rows in the first fold
    assert not np.array_equal(np.sort(rows(0)[0]), np.arange(12))


def test_no_group_is_parted_and_folds_are_filled_evenly():
    groups = np.random.default_rng(3).integers(0, 17, 120).astype(str)
    found = with_folds(line(120), jt.folds(5, groups=groups), KEY).folds
    valid = found.valid.listed()
    for train, out in zip(found.train.listed(), valid, strict=True):
        assert not set(groups[train]) & set(groups[out])
    assert np.array_equal(np.sort(np.concatenate(valid)), np.arange(120))
    # as evenly as scikit-learn, which deals from the largest to the smallest as well
    theirs = GroupKFold(5).split(np.zeros(120), groups=groups)
    assert sorted(map(len, valid)) == sorted(len(out) for _, out in theirs)


ROWS = np.arange(60)
REPEATED = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
SPLITS = {
    "generator": lambda: KFold(5).split(ROWS),
    "repeated": lambda: list(REPEATED.split(ROWS)),
    "series": lambda: list(TimeSeriesSplit(3).split(ROWS)),
    "one": lambda: [(ROWS[:40], ROWS[40:])],
    "booleans": lambda: [(ROWS < 40, ROWS >= 50), (ROWS >= 20, ROWS < 10)],
    "lists": lambda: [([5, 3, *range(20, 40)], [0, 1])] * 2,
}


@pytest.mark.parametrize("name", SPLITS)
def test_rows_of_the_user_are_taken_as_they_are(name, tmp_path):
    given = list(SPLITS[name]())
    task = line()
    found = search(task, SPLITS[name](), directory=tmp_path / "run")
    for mine, theirs in zip(found.folds.rows, given, strict=True):
        for rows, wanted in zip(mine, theirs, strict=True):
            wanted = np.asarray(wanted)
            wanted = np.flatnonzero(wanted) if wanted.dtype == bool else wanted
            assert np.array_equal(rows, wanted)
    sums = [valid.sum() for _, valid in found.folds.rows]
    assert np.array_equal(metrics_of(found, "rows"), np.tile(sums, (6, 1)))
    again = jt.load(tmp_path / "run", task)
    for mine, theirs in zip(again.folds.rows, found.folds.rows, strict=True):
        assert all(map(np.array_equal, mine, theirs))
    assert jt.rerun(tmp_path / "run", 2, task).same


def test_a_table_of_rows_is_filled_up_and_not_read_there():
    rows = rows_table([np.asarray([4, 2]), np.asarray([1]), np.asarray([7, 8, 9])])
    assert rows.sizes == (1, 2, 3)
    assert [line.tolist() for line in rows.listed()] == [[4, 2], [1], [7, 8, 9]]


# with everything else

SCHEDULERS = {
    "none": {},
    "rounds": {"rounds": 3, "seeds": 2},
    "tpe": {"rounds": 2, "sampler": "tpe"},
    "halving": {"scheduler": "successive_halving"},
    "asha": {"scheduler": jt.schedulers.asha(concurrent=4)},
    "pbt": {"scheduler": jt.schedulers.pbt(interval=2)},
    "hyperband": {"scheduler": "hyperband", "rounds": 2, "seeds": 2},
    "median": {"scheduler": "median_stopping"},
}


class Stops(jt.Callback):
    """Interrupt a search after some blocks."""

    def __init__(self, blocks):
        self.left = blocks

    def on_block(self, round, block):
        del round, block
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def tables_equal(one, other):
    assert one.trials.names == other.trials.names
    for name in one.trials.names:
        assert np.array_equal(
            one.trials[name], other.trials[name], equal_nan=False
        ) or (np.array_equal(one.trials[name], other.trials[name], equal_nan=True)), (
            name
        )
    assert np.array_equal(one.trials.scores, other.trials.scores, equal_nan=True)
    return True


# the largest rates diverge
WIDE = jt.Space(learning_rate=jt.log_uniform(1e-3, 30.0))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_run_with_folds_is_resumed_and_its_trials_rerun(name, tmp_path):
    task, folder = line(50), tmp_path / "run"
    arguments = {
        "space": WIDE,
        "trials": 12,
        "epochs": 9,
        "block": 4,
        "sampler": "sobol",
    }
    arguments |= SCHEDULERS[name]
    plain = search(task, 3, **arguments)
    for blocks in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            search(task, 3, **arguments, directory=folder, callbacks=[Stops(blocks)])
        assert not jt.load(folder, task).finished
    found = jt.resume(folder, task, verbose=0)
    assert tables_equal(found, plain)
    assert tables_equal(jt.load(folder), plain)
    stopped = np.flatnonzero(plain.trials["status"] == "stopped")[:1]
    # lanes of a trial that failed end at different epochs where trials are compared
    failed = np.flatnonzero(plain.trials.failed)[:1]
    failed = failed if "scheduler" not in arguments else failed[:0]
    assert failed.size or "scheduler" in arguments
    for trial in (plain.best.trial, *failed.tolist(), *stopped.tolist()):
        assert jt.rerun(folder, trial, task).same
    again = jt.replay(found).metrics["mse"]
    assert np.array_equal(again, np.float32(found.best.scores))


def test_a_run_of_our_own_task_needs_nothing_but_its_directory(tmp_path):
    arguments = {"seeds": 2, "rounds": 2}
    with pytest.raises(KeyboardInterrupt):
        search(classifier(), 3, **arguments, directory=tmp_path, callbacks=[Stops(2)])
    found = jt.resume(tmp_path, verbose=0)
    assert tables_equal(found, search(classifier(), 3, **arguments))
    assert jt.rerun(tmp_path, 4).same
    with pytest.raises(jt.RunError, match="number of folds: 3, now 4"):
        search(classifier(), 4, **arguments, directory=tmp_path)
    task = classifier(valid=digits(20))
    with pytest.raises(jt.RunError, match="number of folds: 3, now none"):
        search(task, None, **arguments, directory=tmp_path)
    rows = np.arange(120)
    others = [(rows[rows % 3 != i], rows[rows % 3 == i]) for i in range(3)]
    with pytest.raises(jt.RunError, match=r"task\.data\.folds"):
        search(classifier(), others, **arguments, directory=tmp_path)
    (tmp_path / "folds.npz").unlink()
    with pytest.raises(jt.RunError, match=r"file folds\.npz is not as written"):
        jt.load(tmp_path)
    without_sums(tmp_path)
    with pytest.raises(jt.RunError, match=r"folds\.npz is damaged or missing"):
        jt.load(tmp_path)


def test_a_sampler_is_told_means_over_folds():
    told = []

    def remembering(sampler):
        def tell(state, points, scores):
            told.append(np.asarray(scores))
            return sampler.tell(state, points, scores)

        return sampler._replace(tell=tell)

    for seeds in (1, 2):
        told.clear()
        sampler = remembering(jt.samplers.tpe())
        found = search(line(), 3, rounds=2, seeds=seeds, sampler=sampler)
        first = -found.folds.scores[:3].mean(axis=1)  # of a loss the lowest is best
        wanted = first[:, 0] if seeds == 1 else first
        np.testing.assert_allclose(told[0], wanted, rtol=1e-6)


def test_the_spread_over_folds_is_told(tmp_path):
    found = search(line(), 4, seeds=2)
    means = found.trials.scores.reshape(6, 2, 4).mean(axis=1)
    np.testing.assert_allclose(found.folds.means, means, rtol=1e-6)
    np.testing.assert_allclose(
        found.trials["fold_spread"], means.std(axis=1, ddof=1), rtol=1e-4
    )
    np.testing.assert_allclose(found.trials["score"], means.mean(axis=1), rtol=1e-6)
    best = found.best
    spread = found.trials["fold_spread"][best.trial]
    assert f"{best.score:.6g} ± {spread:.2g} over 4 folds" in repr(found)
    assert best.scores == tuple(map(float, found.trials.scores[best.trial]))
    path = tmp_path / "trials.csv"
    jt.integrations.export(found, "csv", path)
    head = path.read_text().splitlines()[0].split(",")
    assert head[3:5] == ["score", "fold_spread"]
    assert head[-8:] == [f"score_{i}" for i in range(8)]
    page = found.report(tmp_path / "page.html").read_text()
    assert "over 4 folds" in page
    assert "folds=4" in page
    assert "score of the best trial" in page
    (axes,) = jt.report.fold_scores(found).axes
    assert axes.get_title("left") == "Scores on each fold"


def test_a_trial_fails_where_one_fold_does(tmp_path):
    task = line(60)
    bad = jax.tree.map(np.array, task.train)
    bad["x"][:12] *= 1e19
    task = dataclasses.replace(task, train=bad)
    rows = np.arange(60)
    pairs = [(rows[12:40], rows[40:]), (rows[:40], rows[40:])]
    found = search(task, pairs, directory=tmp_path)
    assert found.trials.failed.all()
    assert np.isfinite(found.folds.scores[:, 0]).all()
    assert np.isnan(found.folds.scores[:, 1]).all()
    assert np.isnan(found.trials["fold_spread"]).all()
    assert "all" not in repr(found.folds)
    found.report(tmp_path.with_suffix(".html"))
    with pytest.raises(ValueError, match="diverges in a fold"):
        found.out_of_fold(0)


# after the search


def test_the_test_split_is_judged_by_a_model_of_all_rows():
    task = classifier(100, test=digits(160)[0:2])
    found = search(task, 4, seeds=2)
    plain = dataclasses.replace(task, valid=task.test)
    alone = search(plain, None, seeds=2, block=found.setup.workload.width)
    wanted = metrics_of(alone, "accuracy")[found.best.trial]
    assert found.test()["accuracy"] == pytest.approx(wanted.mean(), abs=1e-6)
    model = found.train()
    assert model.metrics == {}
    mine = model.apply(task.test["x"])
    theirs = alone.train(found.best.trial).apply(task.test["x"])
    assert np.array_equal(mine, theirs)
    with pytest.raises(ValueError, match="the search had folds"):
        found.train(data="train+valid")


@pytest.mark.parametrize("seed", [0, 1])
def test_out_of_fold_predictions_are_those_of_the_folds(seed):
    task = classifier(122)
    found = search(task, 4, seeds=2)
    outputs = found.out_of_fold(seed=seed)
    y = np.asarray(task.train["y"])
    assert outputs.shape == (122, 10)
    for trial in (found.best.trial, 0):
        outputs = found.out_of_fold(trial, seed=seed)
        for number, (_, valid) in enumerate(found.folds.rows):
            right = np.mean(outputs[valid].argmax(1) == y[valid])
            score = found.folds.scores[trial, number, seed]
            assert right == pytest.approx(score, abs=1e-6)


def test_a_row_in_several_folds_has_the_mean_of_their_outputs():
    task, rows = line(), np.arange(60)
    pairs = [(rows[20:], rows[:10]), (rows[20:], rows[5:20]), (rows[:20], rows[20:50])]
    found = search(task, pairs)
    with pytest.warns(UserWarning, match="10 of 60 rows are held out by no fold"):
        outputs = found.out_of_fold(3)
    x = np.asarray(task.train["x"])
    w = np.stack([metrics_of(found, f"w{i}")[3] for i in range(3)], axis=1)
    each = x @ w.T  # [60, folds]
    np.testing.assert_allclose(outputs[:5], each[:5, 0], rtol=1e-5)
    np.testing.assert_allclose(outputs[5:10], each[5:10, :2].mean(1), rtol=1e-5)
    np.testing.assert_allclose(outputs[10:20], each[10:20, 1], rtol=1e-5)
    np.testing.assert_allclose(outputs[20:50], each[20:50, 2], rtol=1e-5)
    assert np.isnan(outputs[50:]).all()


def test_noise_and_new_seeds_are_means_over_folds():
    found = search(line(), 3, seeds=2)
    seeds = found.folds.scores.mean(axis=1)
    noise = jt.analysis.noise(found, best=1.0)
    spread = np.sqrt(seeds.var(axis=1, ddof=1).mean())
    assert noise.spread == pytest.approx(spread, rel=1e-4)
    (row,) = jt.analysis.reevaluate(found, top=1, seeds=2)
    fresh = search(line(), 3, seeds=4, block=found.setup.workload.width)
    wanted = fresh.folds.scores[row.trial, :, 2:].mean()
    assert row.again == pytest.approx(wanted, rel=1e-5)


def test_a_plan_counts_the_lanes_of_all_folds():
    def planned(**more):
        return jt.plan(line(), RATE, trials=8, memory=False, block=4, **more)

    assert planned(folds=5, seeds=2).groups[0].blocks == 20
    with pytest.raises(ValueError, match="no rows to score"):
        planned()


# what is refused or told


def test_a_validation_split_beside_folds_is_told():
    with pytest.warns(UserWarning, match="valid is not used"):
        search(classifier(valid=digits(20)), 3)


def test_a_label_that_some_fold_lacks_is_told():
    x, y = np.zeros((40, 64)), np.arange(40) % 10
    names = np.where(y == 3, "rare", "common")
    names[y < 3] = "usual"
    task = jt.classification(
        jt.models.MLP(classes=3, max_units=8), train=(x, names), batch_size=8
    )
    with pytest.warns(UserWarning, match=r"'rare' has 4 row"):
        search(task, 5)


def test_a_run_is_not_opened_with_other_rows(tmp_path):
    search(line(), 3, directory=tmp_path)
    for use in (jt.load, jt.resume):
        with pytest.raises(jt.RunError, match="folds of 60 rows, and train has 40"):
            use(tmp_path, line(40))


def test_a_task_for_folds_is_checked_on_some():
    jt.testing.check_task(line(), RATE)


def test_a_single_split_has_no_spread_to_tell():
    found = search(line(), [(ROWS[:40], ROWS[40:])])
    assert "±" not in repr(found)
    assert repr(found.folds) == "FoldScores(6 trials, 1 fold, 1 seed)"


def test_a_name_of_the_column_is_refused():
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.2), fold_spread=jt.uniform(0.0, 1.0)
    )
    with pytest.raises(ValueError, match="'fold_spread' is the column of the spread"):
        search(line(), 3, space=space)
