"""Samplers that learn are told the trials of their own round, batch by batch."""

import itertools
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from editing import edit_settings
from test_storage import SCHEDULERS, assert_same, cut  # noqa: F401

import jaxtune as jt
from jaxtune.random import BATCH, SAMPLE
from jaxtune.rounds import asking
from jaxtune.rounds.pace import LANES, LARGE, LEAST, PARTS, READINGS, paced
from jaxtune.rounds.schedule import Stage, flat
from jaxtune.samplers._model_based import design_length
from jaxtune.tasks.function import as_task
from jaxtune.threads import blas

KEY = jax.random.key(3)
SPACE = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
MODEL, IN_FULL = jt.samplers.gaussian_process(), jt.schedulers.in_full()


def bowl(key, hparams):
    """The squared distance from a point, failing in a corner."""
    far = (hparams["x"] - 0.3) ** 2 + (hparams["y"] - 0.6) ** 2
    return jnp.where(hparams["x"] > 0.9, jnp.nan, far)


def seek(**changes):
    arguments = {"key": KEY, "trials": 24, "mode": "min", "block": 2, "verbose": 0}
    return jt.search(bowl, SPACE, **(arguments | changes))


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize("repeats", [1, 3, 40])
@pytest.mark.parametrize("dim", [1, 2, 9])
@pytest.mark.parametrize("trials", [1, 4, 5, 23, 100, 1000, 100_000])
def test_batches_share_out_the_trials_of_a_round(trials, dim, repeats, trains):
    space = jt.Space(**{f"x{j}": jt.uniform(0.0, 1.0) for j in range(dim)})
    task = SimpleNamespace(trains=trains, stream=None, folds=None)
    (stage,) = paced(flat(space, trials, 1), MODEL, IN_FULL, task, repeats).stages
    if not stage.batches:
        assert trials <= max(design_length(dim), LEAST, -(-LANES // repeats))
        return
    first, *later = stage.batches
    assert sum(stage.batches) == trials
    assert later
    assert first == max(later[0], design_length(dim)) or not later[1:]
    assert first >= design_length(dim)
    assert 1 + len(later) <= PARTS
    assert len(set(later[:-1])) <= 1
    assert later[-1] <= later[0]
    enough = max(LEAST, -(-LANES // repeats) if trains else 0)
    assert max(later) >= min(trials - first, enough)
    assert stage.ahead == (max(later) >= LARGE)


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [
        (jt.samplers.sobol(), IN_FULL),
        (jt.samplers.Sampler(*jt.samplers.tpe()[:2], lambda s, *_: s), IN_FULL),
        (MODEL, jt.schedulers.pbt(interval=2)),
    ],
    ids=["sequence", "own", "pbt"],
)
def test_others_are_asked_once_a_round(sampler, scheduler):
    whole = flat(SPACE, 100, 2)
    assert paced(whole, sampler, scheduler, as_task(bowl), 1) == whole


def test_trials_of_a_stream_come_in_few_batches():
    task = SimpleNamespace(trains=True, stream=object(), folds=None)
    (stage,) = paced(flat(SPACE, 1000, 1), MODEL, IN_FULL, task, 1).stages
    assert len(stage.batches) == READINGS


@pytest.mark.parametrize("trials", [40, 100, 10_000])
def test_a_batch_fills_the_block_that_the_user_wants(trials):
    task = SimpleNamespace(trains=True, stream=None, folds=None)
    (stage,) = paced(flat(SPACE, trials, 1), MODEL, IN_FULL, task, 2, 64).stages
    assert all(2 * size % 64 == 0 for size in stage.batches[:-1])


def test_every_fold_of_a_seed_is_a_lane():
    folded = SimpleNamespace(trains=True, stream=None, folds=SimpleNamespace(number=5))
    plain = SimpleNamespace(trains=True, stream=None, folds=None)
    whole = flat(SPACE, 100, 1)
    assert paced(whole, MODEL, IN_FULL, folded, 2) == paced(
        whole, MODEL, IN_FULL, plain, 10
    )


def by_hand(scores, batches, lag=0):
    """Return the points of a search, asked for with one call after another."""
    draw = jax.random.fold_in(jax.random.fold_in(KEY, SAMPLE), 0)
    points = np.zeros((0, 2), np.float32)
    for number, size in enumerate(batches):
        key = draw
        if number:
            key = jax.random.fold_in(jax.random.fold_in(draw, BATCH), number)
        state = MODEL.init(key, SPACE)
        known = sum(batches[: max(0, number - lag)])
        if known:
            told = SPACE.encode(SPACE.decode(points[:known]))
            state = MODEL.tell(state, told, -scores[:known])
        if lag and len(points) > known:
            state = state._replace(pending=jnp.asarray(points[known:]))
        points = np.concatenate([points, MODEL.ask(state, size)[1]])
    return points


def test_a_batch_is_what_the_sampler_asks_for_after_those_before():
    found = seek()
    (stage,) = paced(flat(SPACE, 24, 1), MODEL, IN_FULL, as_task(bowl), 1, 2).stages
    assert len(stage.batches) > 2
    points = by_hand(found.trials["score"], stage.batches)
    np.testing.assert_array_equal(found.trials.points, points)


def test_ahead_the_batch_before_is_pending(monkeypatch):
    batches = (6, 6, 6, 6)
    monkeypatch.setattr("jaxtune.rounds.pace.LARGE", 5)
    found = seek()
    points = by_hand(found.trials["score"], batches, lag=1)
    np.testing.assert_array_equal(found.trials.points, points)
    # told without a lag, the third batch is another one
    prompt = by_hand(found.trials["score"], batches)
    assert (prompt[:12] != points[:12]).any() or (prompt[12:] != points[12:]).any()


def test_a_model_learns_within_a_round():
    told = seek(trials=60).best.score
    assert told < seek(trials=60, sampler="sobol").best.score / 4


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("at", [1, 3, 4, 8])
def test_a_run_resumes_within_a_batch_and_between_two(at, ahead, tmp_path, monkeypatch):
    if ahead:
        monkeypatch.setattr("jaxtune.rounds.pace.LARGE", 5)
    whole = seek()
    count = itertools.count(1)
    stop = lambda _: "cut" if next(count) == at else ""  # noqa: E731
    part = seek(directory=tmp_path, stop=stop)
    assert not part.finished
    assert len(part.trials) < 24
    assert_same(jt.load(tmp_path, bowl), part)
    assert_same(jt.resume(tmp_path, bowl, verbose=0), whole)
    assert jt.rerun(tmp_path, 23, bowl).same
    assert_same(seek(directory=tmp_path), whole)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_batches_under_every_scheduler(
    name,
    small_task,
    small_space,
    tmp_path,
    cut,  # noqa: F811
):
    arguments = {"key": KEY, "trials": 30, "epochs": 6, "seeds": 2, "block": 4}
    arguments |= {"sampler": "tpe", "scheduler": SCHEDULERS[name], "verbose": 0}
    straight = jt.search(small_task, small_space, **arguments)
    assert straight.finished
    assert len(straight.trials) == 30
    for blocks in (3, 5):
        cut(blocks)
        with pytest.raises(KeyboardInterrupt):
            jt.search(small_task, small_space, directory=tmp_path, **arguments)
    cut(10**9)
    assert_same(jt.resume(tmp_path, verbose=0), straight)
    for trial in (0, 29):
        assert jt.rerun(tmp_path, trial).same


def test_known_settings_go_on_into_the_next_batch():
    first = [{"x": i / 20, "y": 0.5} for i in range(9)]
    found = seek(first=first, trials=16)
    np.testing.assert_allclose(found.trials["x"][:9], [one["x"] for one in first])
    assert not np.isclose(found.trials["y"][9:], 0.5).any()


def test_no_configuration_comes_twice_in_later_batches():
    space = jt.Space(x=jt.integer(0, 4), y=jt.integer(0, 4))
    found = jt.search(
        lambda key, h: (h["x"] - 3.0) ** 2 + (h["y"] - 1.0) ** 2,
        space,
        key=KEY,
        trials=25,
        sampler="cma_es",  # which repeats cells by itself
        mode="min",
        verbose=0,
    )
    assert found.best.hparams == {"x": 3, "y": 1}
    pairs = zip(found.trials["x"].tolist(), found.trials["y"].tolist(), strict=True)
    assert len(set(pairs)) == 25


def test_goals_and_rules_hold_in_every_batch():
    def two(key, hparams):
        return {"a": hparams["x"], "b": (1 - hparams["x"]) ** 2 + hparams["y"]}

    rule = jt.require(lambda h: h["x"] + h["y"] < 1.2)
    found = jt.search(
        two,
        SPACE,
        key=KEY,
        trials=24,
        goals=[("a", "min"), ("b", "min")],
        constraints=rule,
        sampler="tpe",
        verbose=0,
    )
    assert (found.trials["x"] + found.trials["y"] < 1.2).all()
    assert len(found.trials) == 24


def test_a_run_that_began_without_batches_goes_on_without(tmp_path):
    """As earlier versions began them: Sobol points, all of a round at once."""
    straight = seek(sampler="sobol")
    count = itertools.count(1)
    stop = lambda _: "cut" if next(count) == 2 else ""  # noqa: E731
    seek(sampler="sobol", directory=tmp_path, stop=stop)
    edit_settings(tmp_path, lambda settings: settings.pop("default_sampler"))
    assert_same(seek(directory=tmp_path), straight)  # its default was another one
    with pytest.raises(jt.RunError, match="sampler"):
        seek(directory=tmp_path, sampler="tpe")


def test_what_a_plan_says_is_what_a_search_does():
    plan = jt.plan(bowl, SPACE, trials=100)
    first, count, size = map(int, re.findall(r"\d+", plan.pace)[:3])
    assert "gaussian_process learns after each" in plan.pace
    assert first + (count - 1) * size < 100 <= first + count * size  # the last is less
    assert jt.plan(bowl, SPACE, trials=100, sampler="sobol").pace == ""


def test_a_search_of_very_many_values_does_not_learn():
    plan = jt.plan(bowl, SPACE, trials=131_073)
    assert plan.pace == ""
    assert jt.plan(bowl, SPACE, trials=131_072).pace


def test_a_run_of_another_way_to_choose_is_refused_if_rounds_are_to_come(tmp_path):
    own = {"sampler": "tpe", "rounds": 2, "directory": tmp_path}
    count = itertools.count(1)
    part = seek(**own, stop=lambda _: "cut" if next(count) == 2 else "")
    assert len(part.spaces) == 1
    # as versions had it that wrote none
    edit_settings(tmp_path, lambda settings: settings.pop("sampler_way"))
    with pytest.raises(jt.RunError, match=r"chooses points in another way.*allow="):
        seek(**own)
    with pytest.raises(jt.RunError, match="rounds to come"):
        jt.resume(tmp_path, bowl, verbose=0)
    whole = jt.resume(tmp_path, bowl, allow=["version"], verbose=0)
    assert whole.finished
    assert_same(seek(**own), whole)  # there is nothing left to choose


def test_a_model_is_told_the_batches_of_a_round_one_by_one():
    rows = type("Rows", (), {"__len__": lambda _: 8, "take": lambda _, part: part})()
    kept = np.arange(8) != 4
    parts = asking._parts(Stage(("x",), 12, batches=(3, 3, 3, 3)), rows, kept)
    assert [part.tolist() for part in parts] == [[0, 1, 2], [3, 5], [6, 7]]


def test_no_bit_depends_on_the_threads_of_a_machine(tmp_path):
    """LAPACK's last bits do, in the model and in a function of the user."""
    i = jnp.arange(300.0)

    def solved(key, hparams):
        near = jnp.exp(-((hparams["x"] * (i[:, None] - i[None]) / 20) ** 2))
        lower = jnp.linalg.cholesky(near + (0.05 + hparams["y"]) * jnp.eye(300))
        return jax.scipy.linalg.cho_solve((lower, True), jnp.sin(i)).sum()

    found = jt.search(
        solved, SPACE, key=KEY, trials=12, mode="min", directory=tmp_path, verbose=0
    )
    with blas().limit(limits=1):
        assert all(jt.rerun(tmp_path, trial, solved).same for trial in (0, 5, 11))
        state = MODEL.init(KEY, SPACE)
        points = np.random.default_rng(0).random((250, 2), np.float32)
        state = MODEL.tell(state, points, -points.sum(1))
        one = MODEL.ask(state, 20)[1]
    np.testing.assert_array_equal(MODEL.ask(state, 20)[1], one)
    assert len(found.trials) == 12


def test_an_empty_name_is_no_default():
    with pytest.raises(ValueError, match="sampler: got ''"):
        seek(sampler="")
    with pytest.raises(ValueError, match="sampler: got ''"):
        jt.plan(bowl, SPACE, trials=8, sampler="")
