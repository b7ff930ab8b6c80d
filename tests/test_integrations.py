"""Exports, read back with the real packages."""

import json
import shutil
import socket
import subprocess
import sys
import urllib.request
import warnings

import jax
import jax.numpy as jnp
import moments
import numpy as np
import optuna
import pandas as pd
import pytest
from click.testing import CliRunner

import jaxtune as jt
from jaxtune.cli import main
from jaxtune.integrations.optuna import distribution, frozen, parameter
from jaxtune.testing import mixed_space

SPACE = jt.Space(
    rate=jt.log_uniform(1e-4, 1.0, tier=1),
    momentum=jt.reverse_log_uniform(0.5, 0.999),
    units=jt.integer(4, 64, scale="log"),
    batch=jt.power_of_two(16, 64),
    kind=jt.choice(["a", "b", ("c", 1)]),
    decay=jt.ordinal([0.0, 0.5]),
    only=jt.when(jt.uniform(0.0, 1.0), kind="b"),
    same=jt.fixed(3),
)


def objective(key, h):
    score = (jnp.log10(h["rate"]) + 2) ** 2 + h["momentum"] + h["units"] + h["batch"]
    score = score + (h["kind"] == "b") + h["decay"] + h["only"] + jax.random.normal(key)
    return jnp.where(h["rate"] > 0.5, jnp.nan, score)


@pytest.fixture(scope="module")
def plain():
    own = {
        "key": jax.random.key(0),
        "trials": 40,
        "rounds": 2,
        "seeds": 2,
        "sampler": "sobol",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jt.search(objective, SPACE, mode="min", verbose=0, **own)


@pytest.fixture(scope="module")
def halved(small_task, small_space):
    return jt.search(
        small_task,
        small_space,
        key=jax.random.key(0),
        trials=12,
        epochs=4,
        metric="accuracy",
        scheduler=jt.schedulers.successive_halving(eta=2, min_epochs=1),
        verbose=0,
        sampler="sobol",
    )


def opened(where):
    backend = optuna.storages.journal.JournalFileBackend(str(where))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="jaxtune", storage=storage)


def test_an_export_to_optuna_is_quiet(plain, tmp_path, capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jt.integrations.export(plain, "optuna", tmp_path / "study.log")
        jt.integrations.export(plain, "optuna", f"sqlite:///{tmp_path}/study.db")
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


def test_optuna_reads_every_trial(plain, tmp_path):
    where = tmp_path / "study.log"
    assert jt.integrations.export(plain, "optuna", where) == str(where)
    study = opened(where)
    assert study.direction.name == "MINIMIZE"
    assert study.metric_names == ["value"]
    assert len(study.trials) == 40
    for number, trial in enumerate(study.trials):
        row = plain.trials.row(number)
        failed = row["status"] == "diverged"
        assert trial.state.name == ("FAIL" if failed else "COMPLETE")
        assert failed or trial.value == row["score"]
        assert trial.user_attrs["trial"] == number
        assert trial.user_attrs["round"] == row["round"]
        assert ("only" in trial.params) == (row["kind"] == "b")
        assert trial.params["units"] == row["units"]
        assert trial.params["kind"] == (
            row["kind"] if isinstance(row["kind"], str) else str(row["kind"])
        )
        np.testing.assert_allclose(trial.params["rate"], row["rate"], rtol=1e-6)
        # the root space's, whatever the box of the round was
        assert trial.distributions["rate"].low == 1e-4
        for name, spread in trial.distributions.items():
            assert spread._contains(spread.to_internal_repr(trial.params[name]))
    best = plain.best
    assert study.best_trial.number == best.trial
    assert study.best_value == best.score
    with pytest.raises(ValueError, match="holds a study 'jaxtune' already"):
        jt.integrations.export(plain, "optuna", where)


def test_optuna_sees_what_was_stopped_and_its_scores_on_the_way(halved, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    jt.integrations.export(halved, "optuna", url)
    study = optuna.load_study(study_name="jaxtune", storage=url)
    rungs = halved.rungs
    for number, trial in enumerate(study.trials):
        own = rungs.trial == number
        expected = dict(zip(rungs.epochs[own], rungs.scores[own, 0], strict=True))
        assert trial.intermediate_values == pytest.approx(expected)
        stopped = halved.trials["status"][number] == "stopped"
        assert trial.state.name == ("PRUNED" if stopped else "COMPLETE")
        assert trial.user_attrs["epochs"] == halved.trials["epochs"][number]
        assert trial.user_attrs["loss"] == pytest.approx(halved.trials["loss"][number])


@pytest.mark.parametrize("which", ["plain", "halved"])
def test_optunas_own_pictures_and_importances_work_on_it(which, request, tmp_path):
    result, where = request.getfixturevalue(which), tmp_path / "study.log"
    jt.integrations.export(result, "optuna", where)
    study = opened(where)
    shares = optuna.importance.get_param_importances(study)
    assert sum(shares.values()) == pytest.approx(1)
    done = [t for t in study.trials if t.state.name == "COMPLETE"]
    history = optuna.visualization.plot_optimization_history(study)
    np.testing.assert_array_equal(history.data[0].y, [t.value for t in done])
    for draw in ("slice", "parallel_coordinate", "contour", "edf", "param_importances"):
        assert getattr(optuna.visualization, f"plot_{draw}")(study).data
    curves = optuna.visualization.plot_intermediate_values(study)
    rungs = [trial for trial in study.trials if trial.intermediate_values]
    assert len(curves.data) == len(rungs) == (12 if which == "halved" else 0)


@pytest.mark.parametrize("space", [SPACE, mixed_space(), jt.presets.standard()])
def test_every_value_lies_in_the_distribution_of_its_dimension(space):
    ends = np.stack([np.zeros(space.dim), np.full(space.dim, 1 - 1e-7)])
    points = np.concatenate([ends, np.random.default_rng(0).random((50, space.dim))])
    hparams = space.decode(points.astype(np.float32))
    for name in space.searched:
        spread = distribution(space[name])
        for trial in range(52):
            value = parameter(space[name], space[name].value(hparams[name][trial]))
            assert spread._contains(spread.to_internal_repr(value))


def test_a_study_is_told_to_a_sampler(plain):
    study = optuna.create_study(direction="minimize")
    study.add_trials(frozen(plain))
    points, scores = jt.integrations.from_optuna(study, SPACE)
    expected = SPACE.encode(plain.trials.decoded)
    np.testing.assert_allclose(points, expected, atol=2e-6)
    np.testing.assert_allclose(scores, -plain.trials["score"])
    sampler = jt.samplers.tpe()
    state = sampler.init(jax.random.key(0), SPACE)
    state = sampler.tell(state, points, scores)
    assert sampler.ask(state, 3)[1].shape == (3, SPACE.dim)
    empty = optuna.create_study()
    assert jt.integrations.from_optuna(empty, SPACE)[0].shape == (0, SPACE.dim)


def test_a_study_that_does_not_fit_is_refused(plain):
    study = optuna.create_study(direction="minimize")
    study.add_trials(frozen(plain))
    other = jt.Space(rat=jt.uniform(0, 1))
    with pytest.raises(ValueError, match=r"trial 0 of the study has no 'rat'"):
        jt.integrations.from_optuna(study, other)
    fewer = SPACE.replace(kind=jt.choice(["a", "b"]))
    with pytest.raises(ValueError, match=r"has kind=.*not one of \['a', 'b'\]"):
        jt.integrations.from_optuna(study, fewer)
    both = optuna.create_study(directions=["minimize", "maximize"])
    with pytest.raises(ValueError, match="2 objectives"):
        jt.integrations.from_optuna(both, SPACE)


@pytest.mark.parametrize("to", ["csv", "parquet"])
def test_tables_hold_every_column(plain, tmp_path, to):
    where = tmp_path / f"trials.{to}"
    jt.integrations.export(plain, to, where)
    frame = pd.read_csv(where) if to == "csv" else pd.read_parquet(where)
    assert list(frame.columns) == [*plain.trials.names, "score_0", "score_1"]
    for name in ("rate", "score", "units", "only"):
        np.testing.assert_allclose(frame[name], plain.trials[name], rtol=1e-6)
    assert frame["kind"].tolist() == list(map(str, plain.trials["kind"]))
    with pytest.raises(ValueError, match="exists"):
        jt.integrations.export(plain, to, where)


def test_tensorboard_reads_scores_and_hyperparameters(halved, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    where = tmp_path / "board"
    jt.integrations.export(halved, "tensorboard", where)
    folders = sorted(path for path in where.iterdir() if path.is_dir())
    assert [path.name for path in folders] == [f"trial_{n:02}" for n in range(12)]
    rungs = halved.rungs
    for number, folder in enumerate(folders):
        seen = EventAccumulator(str(folder)).Reload()
        own = rungs.trial == number
        points = [(e.step, e.value) for e in seen.Scalars("accuracy")]
        expected = np.stack([rungs.epochs[own], rungs.scores[own, 0]], axis=1)
        np.testing.assert_allclose(points, expected, rtol=1e-6)
        (inner,) = (path for path in folder.iterdir() if path.is_dir())
        seen = EventAccumulator(str(inner)).Reload()
        (score,) = seen.Scalars("score")
        assert score.value == pytest.approx(halved.trials["score"][number])
        known = seen.PluginTagToContent("hparams")
        assert "_hparams_/session_start_info" in known
    with pytest.raises(ValueError, match="is not empty"):
        jt.integrations.export(halved, "tensorboard", where)


HUGE = jt.Space(
    x=jt.uniform(0.0, 1.0),
    big=jt.choice([2**70, -(2**70), 10**30, 3], static=True),
    limit=jt.ordinal([1.0, float("inf")]),
)


def limited(key, h):
    return jnp.minimum(h["x"] * (h["big"] > 3), h["limit"])


@pytest.mark.parametrize("tool", ["csv", "tensorboard", "optuna"])
def test_numbers_that_no_tool_holds_are_written_as_text(tool, tmp_path):
    own = {
        "key": jax.random.key(0),
        "trials": 16,
        "mode": "min",
        "verbose": 0,
        "sampler": "sobol",
    }
    found = jt.search(limited, HUGE, directory=tmp_path / "run", **own)
    assert set(found.trials["big"]) == set(HUGE["big"].choices)
    jt.integrations.export(found, tool, tmp_path / "out")
    if tool == "optuna":
        told = {trial.params["big"] for trial in opened(tmp_path / "out").trials}
        assert told == {str(2**70), str(-(2**70)), str(10**30), 3}
    loaded = jt.load(tmp_path / "run")  # infinite numbers come back as they were
    np.testing.assert_array_equal(loaded.trials["limit"], found.trials["limit"])
    assert np.isinf(loaded.trials["limit"]).any()
    assert jt.rerun(tmp_path / "run", 3, limited).same
    found.report(tmp_path / "page.html")


def suggesting(trial):
    """Every kind of suggestion; one is made under one optimiser only."""
    rate = trial.suggest_float("rate", 1e-3, 1.0, log=True)
    mix = trial.suggest_float("mix", -1.0, 1.0)
    step = trial.suggest_float("step", 0.0, 0.3, step=0.1)
    units = trial.suggest_int("units", 4, 64, log=True)
    even = trial.suggest_int("even", 2, 8, step=2)
    layers = trial.suggest_int("layers", 1, 3)
    value = jnp.log10(rate) ** 2 + mix + step + units + even
    if trial.suggest_categorical("optimizer", ["sgd", "adam", "rmsprop"]) == "adam":
        value = value * trial.suggest_float("beta", 0.5, 0.9)
    for number in range(layers):
        value = value + number
        trial.report(value, number)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


def test_an_objective_of_optunas_is_searched_and_means_the_same():
    made = jt.integrations.from_optuna_objective(suggesting, static=["layers"])
    assert made.space.names == tuple(
        ["rate", "mix", "step", "units", "even", "layers", "optimizer", "beta"]
    )
    assert made.space["rate"].scale == made.space["units"].scale == "log"
    assert made.space["step"].members == pytest.approx((0.0, 0.1, 0.2, 0.3))
    assert made.space["even"].members == (2, 4, 6, 8)
    assert made.space["layers"].static
    assert made.space["optimizer"].choices == ("sgd", "adam", "rmsprop")
    own = {
        "key": jax.random.key(0),
        "trials": 40,
        "mode": "min",
        "block": 4,
        "sampler": "sobol",
    }
    found = jt.search(made.objective, made.space, verbose=0, **own)
    for trial in range(40):
        values = made.space.values(found.trials.decoded, trial)
        fixed = optuna.trial.FixedTrial(values)
        expected = float(suggesting(fixed))
        assert found.trials["score"][trial] == pytest.approx(expected, rel=1e-5)


def test_suggestions_under_a_choice_under_a_choice_are_found():
    def nested(trial):
        if trial.suggest_categorical("outer", ["a", "b"]) == "b":
            if trial.suggest_categorical("inner", [1, 2]) == 2:
                return trial.suggest_float("deep", 0.0, 1.0)
            return jnp.float32(2)
        return jnp.float32(3)

    made = jt.integrations.from_optuna_objective(nested)
    assert made.space.names == ("outer", "inner", "deep")
    assert made.space["inner"].condition == (("outer", ("b",)),)
    assert made.space["deep"].condition == (("inner", (2,)),)


def layered(trial):
    """A loop over suggestions, as in Optuna's own examples."""
    layers = trial.suggest_int("layers", 1, 3)
    wide = trial.suggest_int("wide", 1, 9)
    value = jnp.float32(wide)
    for i in range(layers):
        value = value + jnp.sum(jnp.ones(i + 1) * trial.suggest_float(f"w{i}", 0, 1))
        if trial.suggest_categorical(f"drop{i}", [False, True]):
            value = value - trial.suggest_float(f"rate{i}", 0.1, 0.5)
    return value


def test_suggestions_in_a_loop_matter_where_they_are_made():
    made = jt.integrations.from_optuna_objective(layered)
    space = made.space
    # found to be static by trying, and the other whole number is not
    assert (space["layers"].static, space["wide"].static) == (True, False)
    assert space["w0"].condition == ()
    assert space["w1"].condition == (("layers", (2, 3)),)
    assert space["w2"].condition == (("layers", (3,)),)
    assert space["rate0"].condition == (("drop0", (True,)),)
    assert space["rate2"].condition == (("drop2", (True,)),)
    own = {
        "key": jax.random.key(1),
        "trials": 40,
        "mode": "min",
        "block": 2,
        "sampler": "sobol",
    }
    found = jt.search(made.objective, space, verbose=0, **own)
    for trial in range(40):
        values = space.values(found.trials.decoded, trial)
        fixed = optuna.trial.FixedTrial(values)
        expected = float(layered(fixed))
        assert found.trials["score"][trial] == pytest.approx(expected, rel=1e-5)
        # nothing is suggested in the table that the objective did not suggest
        assert fixed.params == values


@pytest.mark.parametrize("use", [jnp.ones, lambda n: [0.0] * n, lambda n: range(n)])
def test_whole_numbers_that_set_a_shape_are_found(use):
    def objective(trial):
        count = trial.suggest_int("count", 1, 4)
        other = trial.suggest_int("other", 1, 4)
        return jnp.float32(len(use(count))) + other

    made = jt.integrations.from_optuna_objective(objective)
    assert [made.space[n].static for n in ("count", "other")] == [True, False]


def test_many_categories_are_searched_for_every_value():
    """All combinations are too many to trace, so that no condition is certain."""

    def objective(trial):
        kinds = [trial.suggest_categorical(f"k{i}", [*range(4)]) for i in range(6)]
        value = trial.suggest_float("x", 0.0, 1.0) + sum(kinds)
        if kinds[5] == 3:
            value = value + trial.suggest_categorical("last", [0, 1])
        return jnp.float32(value)

    made = jt.integrations.from_optuna_objective(objective)
    assert {"x", "last"} < set(made.space.names)
    assert all(made.space[name].condition == () for name in made.space.names)


def test_a_combination_that_was_not_traced_says_so():
    def objective(trial):
        kinds = [trial.suggest_categorical(f"k{i}", [*range(4)]) for i in range(6)]
        both = kinds[4] == kinds[5] == 3
        return jnp.float32(trial.suggest_float("x", 0, 1) if both else 0.0)

    made = jt.integrations.from_optuna_objective(objective)
    hparams = dict.fromkeys([f"k{i}" for i in range(6)], 3)
    with pytest.raises(ValueError, match="'x' is suggested only for a combination"):
        made.objective(jax.random.key(0), hparams)


def test_an_objective_that_cannot_be_searched_says_why():
    made = jt.integrations.from_optuna_objective
    with pytest.raises(ValueError, match="suggests nothing"):
        made(lambda trial: jnp.float32(1))

    def twice(trial):
        a = trial.suggest_float("x", 0, 1)
        if trial.suggest_categorical("kind", ["p", "q"]) == "q":
            return a + trial.suggest_float("x", 0, 2)
        return a

    def again(trial):
        return trial.suggest_int("x", 0, 1) + trial.suggest_int("x", 0, 2)

    with pytest.raises(ValueError, match=r"static must be a list.*\['layers'\]"):
        made(suggesting, static="layers")
    with pytest.raises(ValueError, match=r"static has 'layer', which.*rate, mix"):
        made(suggesting, static=["layer"])
    for wrong in (twice, again):
        with pytest.raises(ValueError, match=r"'x' is suggested as .* and as"):
            made(wrong)
    with pytest.raises(jax.errors.TracerArrayConversionError) as told:
        made(lambda trial: float(np.sin(trial.suggest_float("x", 0, 1))))
    assert any("Code that leaves JAX" in note for note in told.value.__notes__)


class Heard(jt.Callback):
    """Notes what it is told, in order."""

    def __init__(self):
        self.told = []

    def on_start(self, setup):
        self.told.append(("start", setup))

    def on_block(self, round, block):
        self.told.append(("block", (round, block)))

    def on_rung(self, round, rungs):
        self.told.append(("rung", (round, rungs)))

    def on_round(self, result):
        self.told.append(("round", result))

    def on_end(self):
        self.told.append(("end", None))

    def of(self, kind):
        return [what for name, what in self.told if name == kind]


HALVING = jt.schedulers.successive_halving(eta=2, min_epochs=1)


def searched(task, space, *callbacks, **changed):
    own = {
        "key": jax.random.key(0),
        "trials": 12,
        "rounds": 2,
        "epochs": 4,
        "seeds": 2,
        "sampler": "sobol",
    }
    own |= {"metric": "accuracy", "scheduler": HALVING, "verbose": 0} | changed
    return jt.search(task, space, callbacks=callbacks, **own)


def test_a_callback_hears_every_score_in_order(small_task, small_space):
    heard = Heard()
    result = searched(small_task, small_space, heard)
    kinds = [kind for kind, _ in heard.told]
    assert kinds[0] == "start"
    assert kinds[-2:] == ["round", "end"]
    assert kinds.count("round") == 2
    assert heard.of("start") == [result.setup]
    parts = [rungs for _, rungs in heard.of("rung")]
    for mine, all_of_them in zip(zip(*parts, strict=True), result.rungs, strict=True):
        np.testing.assert_array_equal(np.concatenate(mine), all_of_them)
    last = {}
    for _, block in heard.of("block"):
        # lanes that only paused are not told
        assert np.isfinite(block.metrics["accuracy"]).all()
        assert set(block.epochs.tolist()) <= {1, 2, 4}
        for lane in zip(
            block.trial, block.seed, block.metrics["accuracy"], strict=True
        ):
            last[lane[:2]] = lane[2]
    for (trial, seed), score in last.items():
        assert result.trials.scores[trial, seed] == score
    assert len(last) == 24
    first, second = heard.of("round")
    assert (len(first.trials), first.finished) == (6, False)
    assert (len(second.trials), second.finished) == (12, True)


def test_a_callback_hears_of_every_failure_once(linear_task):
    heard = Heard()
    found = jt.search(
        linear_task,
        jt.Space(learning_rate=jt.log_uniform(1e-2, 1e20)),
        key=jax.random.key(0),
        trials=20,  # more than two blocks, so that lanes pause on the way
        epochs=18,
        block=8,
        callbacks=[heard],
        verbose=0,
        sampler="sobol",
    )
    failed = np.flatnonzero(found.trials["status"] == "diverged")
    assert 4 < len(failed) < 20
    told = [
        trial
        for _, block in heard.of("block")
        for trial, value in zip(
            block.trial, block.metrics[found.setup.metric], strict=True
        )
        if not np.isfinite(value)
    ]
    assert sorted(told) == failed.tolist()


def test_a_callback_hears_finished_rounds_of_a_run_that_goes_on(tmp_path):
    class Cut(jt.Callback):
        def on_block(self, round, block):
            if round == 1:
                raise KeyboardInterrupt

    own = {
        "key": jax.random.key(0),
        "trials": 40,
        "rounds": 2,
        "mode": "min",
        "sampler": "sobol",
    }
    own |= {"verbose": 0, "directory": tmp_path / "run", "block": 8}
    space = SPACE.keep("rate", "units")
    with pytest.raises(KeyboardInterrupt):
        jt.search(objective, space, **own, callbacks=[Cut()])
    heard = Heard()
    result = jt.resume(own["directory"], objective, callbacks=[heard], verbose=0)
    assert [len(r.trials) for r in heard.of("round")] == [20, 40]
    told = np.concatenate([block.trial for _, block in heard.of("block")])
    assert sorted(told.tolist()) == list(range(20, 40))
    assert {round for round, _ in heard.of("block")} == {1}
    assert result.finished


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_a_search_that_is_cut_off_leaves_no_run_open(small_task, small_space, tmp_path):
    from mlflow.tracking import MlflowClient

    class Cut(jt.Callback):
        def on_rung(self, round, rungs):
            raise KeyboardInterrupt

    address = f"sqlite:///{tmp_path}/cut.db"
    tools = [jt.integrations.live("mlflow", address)]
    tools += [jt.integrations.live("wandb", tmp_path / "cut")]
    heard = Heard()
    found = searched(small_task, small_space, *tools, Cut(), heard)
    assert not found.finished
    assert [kind for kind, _ in heard.told][-1] == "end"
    client = MlflowClient(tracking_uri=address)
    known = client.get_experiment_by_name("jaxtune")
    runs = client.search_runs([known.experiment_id])
    assert {run.info.status for run in runs} == {"KILLED"}
    assert len(runs) > 1
    found = offline(tmp_path / "cut")
    assert len(found) == len(runs)
    assert {code for *_, code in found.values()} == {1}


@pytest.mark.parametrize("wrong", [Heard(), [Heard], [print], {"a": Heard()}])
def test_what_is_no_callback_is_refused(wrong):
    own = {"key": jax.random.key(0), "trials": 4, "mode": "min"}
    with pytest.raises(ValueError, match="callbacks"):
        jt.search(objective, SPACE, callbacks=wrong, **own)


def series(where):
    """Name of a trial's run to what MLflow knows of it."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=where)
    known = client.get_experiment_by_name("jaxtune")
    runs = client.search_runs([known.experiment_id], max_results=1000)
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert parent.info.status == "FINISHED"
    found = {}
    for run in runs:
        if run is parent:
            continue
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        points = client.get_metric_history(run.info.run_id, "accuracy")
        steps = sorted((point.step, point.value) for point in points)
        found[run.data.tags["mlflow.runName"]] = (run, steps)
    assert len(runs) == len(found) + 1
    return parent, client, found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_mlflow_has_a_nested_run_for_each_trial(small_task, small_space, tmp_path):
    during, after = (f"sqlite:///{tmp_path}/{name}.db" for name in ("live", "after"))
    tool = jt.integrations.live("mlflow", during)
    result = searched(small_task, small_space, tool)
    jt.integrations.export(result, "mlflow", after)
    parent, client, live = series(during)
    _, _, exported = series(after)
    assert sorted(live) == [f"trial_{n:02}" for n in range(12)]
    on_the_way = result.rungs.by_trial()
    for number, name in enumerate(sorted(live)):
        run, steps = live[name]
        row = result.trials.row(number)
        assert steps == exported[name][1]
        expected = sorted(on_the_way[number].items())
        np.testing.assert_allclose(steps, expected, rtol=1e-6)
        assert run.data.metrics["score"] == row["score"]
        assert run.data.metrics["loss"] == pytest.approx(row["loss"])
        rate = float(run.data.params["learning_rate"])
        assert np.float32(rate) == np.float32(row["learning_rate"])
        assert run.data.params == exported[name][0].data.params
        assert run.data.tags["jaxtune.status"] == row["status"]
        assert run.info.status == "FINISHED"
    best = client.get_metric_history(parent.info.run_id, "best_accuracy")
    values = [point.value for point in sorted(best, key=lambda point: point.step)]
    assert values == sorted(values)
    assert values[-1] == np.nanmax(result.rungs.scores.mean(1))
    with pytest.raises(ValueError, match="no address"):
        jt.integrations.export(result, "mlflow", tmp_path / "x.db")


def offline(folder):
    """Name of a run to its configuration, history, summary and exit code, on disk."""
    runs = [kept(path) for path in folder.glob("wandb/offline-run-*/*.wandb")]
    return {name: rest for name, *rest in runs}


def kept(path):
    """What a file holds; a process beside this one writes it, after a run has ended."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = []

    def whole():
        name, config, history, summary = None, {}, [], {}
        for data in logged(path.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            if record.HasField("run"):
                name = name or record.run.display_name
                config |= read(record.run.config.update)
            if record.HasField("config"):
                config |= read(record.config.update)
            if record.HasField("history"):
                history.append(read(record.history.item))
            if record.HasField("summary"):
                summary |= read(record.summary.update)
            if record.HasField("exit"):
                found.append((name, config, history, summary, record.exit.exit_code))
        return found

    moments.wait_until(whole, f"the end of {path}")
    return found[0]


def logged(data):
    """The records of a log in LevelDB's format, after Weights & Biases' own header."""
    at, parts, block = 7, [], 2**15
    while at + 7 <= len(data):
        if block - at % block < 7:  # no room for a header: filled up
            at += block - at % block
            continue
        size = int.from_bytes(data[at + 4 : at + 6], "little")
        kind = data[at + 6]  # 1 whole, 2 first, 3 middle, 4 last
        parts.append(data[at + 7 : at + 7 + size])
        at += 7 + size
        if kind in (1, 4):
            yield b"".join(parts)
            parts = []


def read(items):
    return {
        item.key or ".".join(item.nested_key): json.loads(item.value_json)
        for item in items
    }


def test_weights_and_biases_has_a_group_of_runs(small_task, small_space, tmp_path):
    tool = jt.integrations.live("wandb", tmp_path / "live")
    result = searched(small_task, small_space, tool, trials=6, rounds=1)
    jt.integrations.export(result, "wandb", tmp_path / "after")
    live, after = offline(tmp_path / "live"), offline(tmp_path / "after")
    names = [f"trial_{n}" for n in range(6)]
    assert sorted(live) == sorted(after) == ["search", *names]
    on_the_way = result.rungs.by_trial()
    for number, name in enumerate(names):
        row = result.trials.row(number)
        for config, history, summary, code in (live[name], after[name]):
            points = {point["epochs"]: point["accuracy"] for point in history}
            assert points == pytest.approx(on_the_way[number])
            assert config["learning_rate"] == pytest.approx(row["learning_rate"])
            assert config["trial"] == number
            assert summary["status"] == row["status"]
            assert summary["loss"] == pytest.approx(row["loss"])
            assert code == 0
    best = [point["best_accuracy"] for point in live["search"][1]]
    assert best == sorted(best)


def test_failed_trials_fail_in_weights_and_biases(plain, tmp_path):
    jt.integrations.export(plain, "wandb", tmp_path)
    found = offline(tmp_path)
    for number, status in enumerate(plain.trials["status"]):
        *_, summary, code = found[f"trial_{number:02}"]
        assert code == (status == "diverged")
        assert ("score" in summary) == (status == "ok")


@pytest.mark.parametrize("to", ["csv", "parquet", "optuna"])
def test_tables_and_studies_grow_round_by_round(tmp_path, to):
    class Counts(jt.Callback):
        def __init__(self):
            self.counts = []

        def on_round(self, result):
            self.counts.append(len(rows(where)))

    rows = {
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
        "optuna": lambda where: opened(where).trials,
    }[to]
    where, counts = tmp_path / "trials", Counts()
    own = {
        "key": jax.random.key(0),
        "trials": 40,
        "rounds": 2,
        "mode": "min",
        "sampler": "sobol",
    }
    tool = jt.integrations.live(to, where)
    space = SPACE.keep("rate", "units")
    jt.search(objective, space, callbacks=[tool, counts], verbose=0, **own)
    assert counts.counts == [20, 40]


def test_another_tool_is_refused(plain):
    with pytest.raises(ValueError, match=r"got 'excel'.*csv, parquet, optuna"):
        jt.integrations.export(plain, "excel", "x")


def test_the_command_exports_a_run(tmp_path):
    own = {
        "key": jax.random.key(0),
        "trials": 8,
        "mode": "min",
        "verbose": 0,
        "sampler": "sobol",
    }
    directory, where = tmp_path / "run", tmp_path / "trials.csv"
    jt.search(objective, SPACE, directory=directory, **own)
    words = ["export", str(directory), "--to", "csv", str(where)]
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, done.output) == (0, f"wrote {where}\n")
    assert len(pd.read_csv(where)) == 8
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 2
    assert "exists" in again.output
    wrong = CliRunner().invoke(main, [*words[:3], "excel", "x"])
    assert wrong.exit_code == 2
    assert "Use one of csv" in wrong.output


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_the_dashboard_shows_the_study(plain, tmp_path):
    from playwright.sync_api import sync_playwright

    where = tmp_path / "study.log"
    jt.integrations.export(plain, "optuna", where)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from optuna_dashboard._cli import main; main()"]
    command += [str(where), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        told = json.loads(answer(f"{address}/api/studies"))
        assert [study["study_name"] for study in told["study_summaries"]] == ["jaxtune"]
        with sync_playwright() as driver:
            path = shutil.which("chromium")
            browser = driver.chromium.launch(
                executable_path=path, args=["--no-sandbox"]
            )
            page = browser.new_page()
            page.goto(f"{address}/dashboard")
            page.get_by_text("jaxtune").first.wait_for(timeout=1000 * moments.HANG)
            browser.close()
    finally:
        server.terminate()
        server.wait()


def answer(address):
    """What a server says, once it is there."""
    said = []

    def there():
        try:
            with urllib.request.urlopen(address, timeout=moments.HANG) as told:
                said.append(told.read())
        except OSError:
            return False
        return True

    moments.wait_until(there, address)
    return said[0]
