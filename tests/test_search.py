"""The loop: repeatable, compiled once, honest about failures and bad arguments."""

import re
from types import SimpleNamespace

import compiled
import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

import jaxtune as jt
from jaxtune import _search, versions
from jaxtune.precision import product_precision
from jaxtune.rounds.progress import progress_bar

PLANE = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))


def bowl(key, hparams):
    return (hparams["x"] - 0.3) ** 2 + hparams["y"] * 0.1


def noisy(key, hparams):
    return bowl(key, hparams) + 0.1 * jax.random.normal(key)


def search(subject=bowl, space=PLANE, **changes):
    arguments = {
        "key": jax.random.key(0),
        "trials": 64,
        "rounds": 2,
        "mode": "min",
        "sampler": "sobol",
    }
    return jt.search(subject, space, **{**arguments, **changes})


def table(result):
    return result.trials.to_pandas()


def test_zooming_rounds_compile_nothing_new(small_task, small_space):
    def rounds(number):
        before = jt.testing.compilations()
        jt.search(
            small_task,
            small_space,
            key=jax.random.key(0),
            trials=12 * number,
            rounds=number,
            epochs=1,
            block=7,
            sampler="sobol",  # a width for which no other test compiles
        )
        return jt.testing.compilations() - before

    assert rounds(1) == 3  # start, advance, score
    assert rounds(4) == 0


def test_no_program_of_any_kind_is_compiled_after_the_second_round():
    """Counts XLA's own compilations, those of samplers, spaces and zoom included."""
    with compiled.compilations() as first:
        search(lambda key, h: bowl(key, h), trials=32, rounds=2)
    assert first
    search(trials=32, rounds=2)
    with compiled.compilations() as later:
        search(trials=64, rounds=4, key=jax.random.key(1))
    assert not later


def test_compilations_are_heard_as_long_as_they_are_listened_for(monkeypatch):
    def compile_one():
        jax.jit(lambda x: x * 3)(np.zeros(5))

    with compiled.compilations() as heard:
        compile_one()
    assert len(heard) == 1
    compile_one()
    assert len(heard) == 1
    monkeypatch.setattr(compiled, "EVENT", "/jax/core/compile/another_name")
    with pytest.raises(AssertionError, match="does not tell"), compiled.compilations():
        pass


@pytest.mark.parametrize("sampler", ["uniform", "sobol", "halton"])
def test_the_same_key_gives_the_same_table(sampler):
    maker = getattr(jt.samplers, sampler)
    first, again, other = (
        search(noisy, sampler=maker(), seeds=2, key=jax.random.key(k))
        for k in (3, 3, 4)
    )
    assert table(first).equals(table(again))
    assert not np.intersect1d(first.trials["score"], other.trials["score"]).size
    assert first.best == again.best
    points = [first.trials.points, other.trials.points]
    assert not np.intersect1d(*points).size


def test_training_is_repeatable(small_task, small_space):
    def run(**changes):
        arguments = {
            "trials": 10,
            "rounds": 2,
            "epochs": 2,
            "seeds": 2,
            "sampler": "sobol",
        } | changes
        return jt.search(small_task, small_space, key=jax.random.key(2), **arguments)

    first = run()
    assert table(first).equals(table(run()))
    # the first round does not know how many rounds or trials follow
    longer = run(trials=20)
    head = table(longer).head(5).drop(columns="round")
    assert head.equals(table(first).head(5).drop(columns="round"))


def test_rounds_share_the_trials_and_shrink_the_box():
    result = search(trials=70, rounds=4)
    counts = np.bincount(result.trials["round"])
    assert counts.tolist() == [18, 18, 17, 17]
    assert result.trials["trial"].tolist() == list(range(70))
    widths = [np.subtract(*s.bounds["x"][::-1]) for s in result.spaces]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.3
    for number, space in enumerate(result.spaces):
        low, high = space.bounds["x"]
        x = result.trials["x"][result.trials["round"] == number]
        assert low <= x.min()
        assert x.max() <= high
    assert result.spaces[0].bounds == PLANE.bounds


@pytest.mark.parametrize(("mode", "sign"), [("min", 1), ("max", -1)])
def test_both_modes_find_the_same_trial(mode, sign):
    result = search(lambda key, h: sign * bowl(key, h), mode=mode)
    assert result.best.hparams == search().best.hparams
    scores = sign * result.trials["score"]
    assert result.best.trial == int(np.argmin(scores))
    assert result.best.score == pytest.approx(sign * scores.min())


def test_seeds_are_an_axis_and_scores_their_means():
    result = search(noisy, seeds=5)
    assert result.trials.scores.shape == (64, 5)
    assert len(np.unique(result.trials.scores)) == 320
    means = result.trials.scores.mean(1)
    np.testing.assert_allclose(result.trials["score"], means, rtol=1e-4, atol=1e-8)
    assert result.best.score == pytest.approx(np.mean(result.best.scores))
    assert "score_4" in table(result)


def test_a_trial_with_a_failed_seed_has_failed_and_is_never_best():
    def sometimes(key, hparams):
        bad = jax.random.bernoulli(key, 0.2)
        return jnp.where(bad, jnp.where(hparams["y"] > 0.5, jnp.inf, jnp.nan), 1.0)

    result = search(
        lambda key, h: bowl(key, h) * sometimes(key, h), seeds=2, mode="max"
    )
    failed = ~np.isfinite(result.trials.scores).all(1)
    assert 0 < failed.sum() < 64
    assert (result.trials["status"] == np.where(failed, "diverged", "ok")).all()
    np.testing.assert_array_equal(np.isnan(result.trials["score"]), failed)
    assert np.isfinite(result.best.score)


def test_a_search_in_which_everything_fails_keeps_its_table():
    with pytest.warns(UserWarning, match="32 of 32 trials of this round failed"):
        result = search(lambda key, h: h["x"] * h["y"] * jnp.nan)
    assert len(result.trials) == 64
    assert result.spaces[1].bounds == PLANE.bounds
    with pytest.raises(ValueError, match="all 64 trials failed"):
        _ = result.best
    assert "64 failed" in repr(result)


def test_choices_and_static_choices_reach_the_table():
    def objective(key, hparams):
        assert hparams["kind"] in ("plus", "minus")
        sign = 1.0 if hparams["kind"] == "plus" else -1.0
        return sign * hparams["x"] + (hparams["colour"] == "blue")

    space = jt.Space(
        x=jt.uniform(0, 1),
        kind=jt.choice(["plus", "minus"], static=True),
        colour=jt.choice(["red", "blue"]),
        size=jt.fixed(3),
    )
    result = search(objective, space, trials=96, rounds=3, refine=jt.zoom(top=8))
    best = result.best.hparams
    assert (best["kind"], best["colour"], best["size"]) == ("minus", "red", 3)
    assert set(result.trials["kind"]) == {"plus", "minus"}
    assert result.spaces[-1].choices["kind"] == ("minus",)
    assert result.spaces[-1].choices["colour"] == ("red",)


def test_test_is_the_recorded_training_judged_once(
    small_task, small_space, monkeypatch
):
    result = jt.search(
        small_task, small_space, key=jax.random.key(0), trials=6, epochs=2, seeds=2
    )
    valid = result._evaluate_best("valid")
    assert valid["accuracy"] == pytest.approx(result.best.score, rel=1e-6)
    first = result.test()
    assert set(first) == {"accuracy", "loss"}
    with monkeypatch.context() as patched:
        patched.setattr("jaxtune.results.result.judge", None)  # looked at once only
        assert result.test() == first
    with pytest.raises(ValueError, match="plain function"):
        search().test()


def test_the_metric_decides_the_direction(small_task, small_space):
    def best(**changes):
        return jt.search(
            small_task,
            small_space,
            key=jax.random.key(0),
            trials=8,
            epochs=1,
            **changes,
        )

    accuracy, loss = best(), best(metric="loss")
    assert accuracy.best.score == accuracy.trials["accuracy"].max()
    assert loss.best.score == loss.trials["loss"].min()


def squares(**more):
    """A task whose loss is the square of its only weight."""

    def evaluate(params, split, hparams):
        loss = params["w"] ** 2
        return {"loss": loss} | {name: sign * loss for name, sign in more.items()}

    rows = {"x": np.ones((4, 1), np.float32)}
    return jt.Task(
        init=lambda key, hparams: {"w": jax.random.normal(key)},
        loss=lambda params, batch, key, hparams: params["w"] ** 2,
        evaluate=evaluate,
        train=rows,
        valid=rows,
        batch_size=4,
        metrics=(("loss", "min"),),
    )


RATE = jt.Space(learning_rate=jt.uniform(0.0, 0.1))


def test_every_metric_has_a_column_of_its_own():
    found = search(squares(value=-1, seed=2, key=3), RATE, trials=6, epochs=1)
    columns = [found.trials[name] for name in ("loss", "value", "seed", "key")]
    assert found.best.score == min(columns[0])
    for sign, column in zip((1, -1, 2, 3), columns, strict=True):
        np.testing.assert_allclose(column, sign * found.trials["score"], rtol=1e-6)


def test_a_run_whose_metric_has_the_name_of_a_column_loads(tmp_path, monkeypatch):
    """Earlier versions began such runs, and the metric took the column's place."""
    own = {"trials": 6, "epochs": 1, "directory": tmp_path / "run"}
    task = squares(score=-1, learning_rate=5)
    with monkeypatch.context() as patch:
        patch.setattr(_search, "check_metrics", lambda *names: None)
        begun = search(task, RATE, **own)
    for found in (begun, jt.load(tmp_path / "run"), search(task, RATE, **own)):
        np.testing.assert_array_equal(found.trials["score"], found.trials["loss"])
        assert found.best.score == found.trials["loss"].min()
        assert (found.trials["learning_rate"] <= 0.1).all()


def test_a_misspelt_dimension_is_noticed(small_task):
    space = jt.Space(learning_rate=jt.uniform(0.1, 1), momentun=jt.uniform(0, 0.9))
    with pytest.warns(UserWarning, match="nothing reads momentun"):
        jt.search(small_task, space, key=jax.random.key(0), trials=2, epochs=1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("lr", "learning_rate"), ("wd", "weight_decay"), ("beta_1", "beta1")],
)
def test_a_dimension_of_another_name_is_told_the_standard_one(
    small_task, written, meant
):
    space = jt.Space(**{written: jt.uniform(0.1, 0.5)})
    told = re.escape(f"Check the spelling ({written}: {meant}?)")
    with pytest.warns(UserWarning, match=told):
        jt.search(small_task, space, key=jax.random.key(0), trials=2, epochs=1)


def test_a_size_of_another_name_is_told_those_of_the_model(small_task):
    space = jt.Space(
        learning_rate=jt.uniform(0.1, 0.5),
        hidden_units=jt.integer(1, 8),
        hidden_layers=jt.ordinal([1, 2]),
    )
    told = re.escape("Check the spelling (the model also reads layers)")
    with pytest.warns(UserWarning, match=told):
        jt.search(small_task, space, key=jax.random.key(0), trials=2, epochs=1)


def test_a_small_space_says_that_trials_repeat():
    space = jt.Space(x=jt.choice([0, 1]), y=jt.integer(1, 3))
    with pytest.warns(UserWarning, match="6 configurations, so that 64 trials"):
        search(space=space)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": 0}, "trials: got 0"),
        ({"trials": 2.0}, "trials: got 2.0"),
        ({"trials": 3, "rounds": 4}, "trials=3 cannot fill rounds=4"),
        ({"seeds": 0}, "seeds: got 0"),
        ({"block": 0}, "block: got 0"),
        ({"mode": None}, "'max' or 'min'"),
        ({"mode": "best"}, "'best'"),
        ({"epochs": 3}, "not trained"),
        ({"metric": "loss"}, "only its value"),
        ({"key": 0}, r"key: got 0. Use jax.random.key\(0\)"),
        ({"subject": 3}, "task: got 3"),
        ({"subject": lambda key, h: h["x"] * h["y"] * jnp.ones(2)}, r"shape \(2,\)"),
        ({"sampler": "tpee"}, "'tpee'. Did you mean 'tpe'.*Use one of: sobol, uni"),
        ({"sampler": "xyz"}, "sampler: got 'xyz'. Use one of: sobol"),
        ({"sampler": "grid"}, r"grid needs points_per_dim.*grid\(points_per_dim\)"),
        ({"sampler": jt.samplers.latin_hypercube}, "latin_hypercube needs size"),
        ({"sampler": 3}, "sampler: got 3.*samplers.tpe"),
        ({"refine": "zom"}, "'zom'. Did you mean 'zoom'"),
        ({"refine": 3}, r"refine: got 3. Use zoom\(\)"),
        ({"scheduler": "hyperbnd"}, "Did you mean 'hyperband'"),
        ({"executor": "dask"}, "executor: got 'dask'. Use one of: local, pod, ray"),
        ({"space": [PLANE]}, "space: got"),
        ({"sampler": jt.samplers.grid(3)}, "9 points, 0 were handed out and 32 more"),
    ],
)
def test_bad_arguments_are_named(changes, said):
    with pytest.raises(ValueError, match=said):
        search(**changes)


def test_numbers_of_numpy_are_numbers(tmp_path):
    own = {"trials": 8, "rounds": 2, "seeds": 2, "block": 2, "programs": 1}
    given = {name: np.int64(value) for name, value in own.items()}
    sampler, refine = jt.samplers.tpe(most=np.int32(5)), jt.zoom(top=np.int64(4))
    more = {"sampler": sampler, "refine": refine, "directory": tmp_path / "run"}
    found = search(noisy, **given, **more)
    assert jt.resume(tmp_path / "run", noisy, block=np.int64(2)).best == found.best
    plain = search(noisy, **own, sampler=jt.samplers.tpe(most=5), refine=jt.zoom(top=4))
    assert found.best == plain.best
    assert jt.tiered(PLANE, np.int64(9)).stages == jt.tiered(PLANE, 9).stages
    planned = jt.plan(bowl, PLANE, trials=np.int64(8), block=np.int64(2))
    assert planned == jt.plan(bowl, PLANE, trials=8, block=2)


def test_a_dict_is_a_space():
    dimensions = {name: PLANE[name] for name in PLANE.names}
    assert search(space=dimensions).best == search().best
    assert jt.plan(bowl, dimensions, trials=8) == jt.plan(bowl, PLANE, trials=8)
    assert jt.tiered(dimensions, 9).stages == jt.tiered(PLANE, 9).stages


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"sampler": "tpe"}, {"sampler": jt.samplers.tpe()}),
        ({"sampler": "TPE"}, {"sampler": jt.samplers.tpe()}),
        ({"sampler": "random"}, {"sampler": jt.samplers.uniform()}),
        ({"sampler": jt.samplers.halton}, {"sampler": jt.samplers.halton()}),
        ({"refine": "zoom"}, {"refine": jt.zoom()}),
        ({"refine": jt.zoom}, {"refine": jt.zoom()}),
        ({"executor": "local"}, {"executor": jt.executors.local()}),
    ],
)
def test_parts_may_be_named(given, meant):
    found, expected = search(**given), search(**meant)
    np.testing.assert_array_equal(found.trials.points, expected.trials.points)


def test_a_scheduler_may_be_named(small_task, small_space):
    own = {"trials": 9, "rounds": 1, "epochs": 9, "mode": None}
    meant = {"scheduler": jt.schedulers.successive_halving()}
    found = search(small_task, small_space, **own, scheduler="successive-halving")
    expected = search(small_task, small_space, **own, **meant)
    np.testing.assert_array_equal(found.trials["epochs"], expected.trials["epochs"])
    assert len(set(found.trials["epochs"])) > 1


def test_a_space_of_fixed_dimensions_is_one_configuration(tmp_path):
    space = jt.Space(x=jt.fixed(0.5), y=jt.fixed(1.0))
    found = search(space=space, trials=1, rounds=1, directory=tmp_path / "run")
    assert found.best.hparams == {"x": 0.5, "y": 1.0}
    np.testing.assert_allclose(found.best.score, 0.14, rtol=1e-6)
    assert jt.load(tmp_path / "run").best == found.best
    assert jt.rerun(tmp_path / "run", 0, bowl).same
    assert jt.plan(bowl, space, trials=1).programs == 1
    with pytest.warns(UserWarning, match=r"one configuration, so that 4 trials.*seeds"):
        again = search(noisy, space, trials=4, sampler=jt.samplers.gaussian_process())
    assert len(set(again.trials["score"])) == 4
    assert again.trials.points.shape == (4, 0)
    again.report(tmp_path / "page.html")


def test_keys_that_change_under_vmap_are_refused():
    with pytest.raises(ValueError, match="threefry2x32"):
        search(key=jax.random.key(0, impl="rbg"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": None}, "epochs: got None"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"metric": "f1"}, "'f1'. Use one of: accuracy, loss"),
    ],
)
def test_bad_budgets_and_metrics_are_named(small_task, small_space, changes, said):
    arguments = {"trials": 2, "epochs": 1, "key": jax.random.key(0)} | changes
    with pytest.raises(ValueError, match=said):
        jt.search(small_task, small_space, **arguments)


@pytest.mark.parametrize(
    ("version", "faults"),
    [
        ("0.10.0", ["stops for ever"]),
        ("0.10.1", ["stops for ever"]),
        ("0.10.2", ["stops for ever", "computes wrong numbers"]),
        ("0.11.0", ["stops for ever", "computes wrong numbers"]),
    ],
)
@pytest.mark.parametrize(
    ("python", "way_out"), [((3, 11), r"jax==0\.9\.2"), ((3, 12), "--upgrade jax")]
)
def test_a_bad_jaxlib_is_refused_on_a_cpu(
    version, faults, python, way_out, monkeypatch
):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(jaxlib.version, "__version__", version)
    monkeypatch.setattr(versions, "sys", SimpleNamespace(version_info=python))
    # the flag that mends the numbers leaves the deadlock
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_experimental_ynn_fusion_type=")
    said = ".*".join([f"jaxlib {re.escape(version)}", *faults, way_out])
    with pytest.raises(RuntimeError, match=said):
        search()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    versions.check_versions()


@pytest.mark.parametrize("version", ["0.9.2", "0.11.1", "0.11.2", "0.12.0.1"])
def test_a_good_jaxlib_is_not_refused(version, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(jaxlib.version, "__version__", version)
    versions.check_versions()


@pytest.mark.parametrize("setting", ["default", "highest"])
def test_this_jax_multiplies_correctly_under_vmap(setting):
    """The pattern of jax issue 39103, in which jit differed from eager arithmetic."""
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(32769, 3)), jnp.float32)
    with jax.default_matmul_precision(setting):
        squares = jax.jit(jax.vmap(lambda r: jnp.sum((jnp.eye(3) @ r) ** 2)))(rows)
    # a square has twice the error of its root
    tolerance = max(1e-5, 2.5 * product_precision(setting=setting).rounding)
    expected = (np.asarray(rows) ** 2).sum(1)
    np.testing.assert_allclose(squares, expected, rtol=tolerance)


def test_progress_is_a_line_when_not_a_terminal_and_nothing_if_not_wanted(capfd):
    search(verbose=0)
    assert capfd.readouterr() == ("", "")
    found = search(verbose=1)
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    said = f"round 2/2; {found.counts}; {found.best_in_words}; "
    assert line.startswith(said)
    assert line[len(said) :].split()[1] == "values/s;"


def test_lines_of_progress_come_every_ten_seconds(capsys):
    clock, found = [0.0], search(trials=8, rounds=1, verbose=0)
    with progress_bar(200, False, 4, 1, lambda: clock[0]) as say:
        for number in range(1, 9):
            clock[0] = 4.0 * number
            say(number // 4, 20 * number, lambda: found)
    lines = capsys.readouterr().err.splitlines()
    said = f"{found.counts}; {found.best_in_words}; 5 values/s"
    assert lines == [  # after 12, 24 and 32 seconds, of which the last is the end
        f"round 1/4; {said}; 28 s left",
        f"round 2/4; {said}; 16 s left",
        f"round 3/4; {said}; 32 s",
    ]


def test_progress_makes_no_result_that_it_does_not_show(capsys, monkeypatch):
    def never():
        raise AssertionError("made, and not shown")

    found = search(trials=8, rounds=1, verbose=0)
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)  # noqa: B023
        clock = [0.0]
        with progress_bar(8, False, 1, 1, lambda: clock[0]) as say:  # noqa: B023
            say(0, 1, lambda: found) if terminal else None  # the first words at once
            say(0, 2, never)
            say(0, 8, lambda: found)
        assert str(found.counts) in " ".join(capsys.readouterr().err.split())


def test_progress_on_a_terminal_shows_trials_best_and_failures(capfd, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    found = search(lambda key, h: jnp.where(h["x"] < 0.5, jnp.nan, h["y"]), verbose=1)
    err = capfd.readouterr().err
    assert "round 2/2" in err
    assert str(found.counts) in err
    assert found.best_in_words in err
    assert "values/s" in err
    assert found.counts.failed > 0


def test_columns_and_rows():
    trials = search().trials
    assert len(trials) == 64
    assert trials.row(3)["trial"] == 3
    with pytest.raises(KeyError, match=r"no column 'z'\. There are trial, round"):
        trials["z"]
    with pytest.raises(IndexError, match="64"):
        trials.row(64)


@pytest.mark.parametrize("durable", [False, True])
def test_warnings_point_to_where_the_user_called(durable, tmp_path):
    own = {"key": jax.random.key(0), "trials": 8, "rounds": 2, "mode": "min"}
    directory = tmp_path / "run" if durable else None
    with pytest.warns(UserWarning, match=r"nothing reads|failed") as raised:
        jt.search(lambda key, h: h["x"] * jnp.nan, PLANE, **own, directory=directory)
    told = [str(warning.message).split(":")[0] for warning in raised]
    assert told[0].startswith("nothing reads y")
    assert "trials of this round failed" in told[1]
    assert {warning.filename for warning in raised} == {__file__}


def test_ten_thousand_networks_are_trained_to_the_end():
    """Of 12 weights each, in blocks of 64; the host keeps a table, not the networks."""
    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int32)
    task = jt.classification(
        jt.models.MLP(classes=2, max_units=2), train=(x, y), valid=(x, y), batch_size=32
    )
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0))
    found = jt.search(
        task,
        space,
        key=jax.random.key(0),
        trials=10_000,
        rounds=2,
        epochs=2,
        block=64,
        sampler="sobol",
    )
    assert len(found.trials) == 10_000
    assert set(found.trials["status"]) == {"ok"}
    assert len(np.unique(found.trials["loss"])) > 9_900
    assert found.cost.occupancy > 0.99


@pytest.mark.parametrize(
    "spread",
    [
        lambda h: {**h},
        dict,
        lambda h: dict(h.items()),
        lambda h: dict(zip(h, h.values(), strict=True)),
        lambda h: {"b": 0.0} | h,
    ],
)
def test_hyperparameters_that_are_spread_into_a_dict_are_read(spread):
    def whole(key, hparams):
        settings = spread(hparams)
        return settings["a"] + settings["b"]

    space = jt.Space(a=jt.uniform(0.0, 1.0), b=jt.uniform(0.0, 1.0))
    own = {"key": jax.random.key(0), "trials": 4, "mode": "max", "verbose": 0}
    found = jt.search(whole, space, **own)
    np.testing.assert_allclose(
        found.trials["score"], found.trials["a"] + found.trials["b"], rtol=1e-6
    )
    with pytest.warns(UserWarning, match="nothing reads b"):
        jt.search(lambda key, h: h["a"], space, **own)
