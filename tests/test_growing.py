"""Searches that stop before their time, are interrupted, and grow."""

import contextlib
import datetime
import hashlib
import json
import runpy
import signal
import sqlite3
import subprocess

import jax
import jax.numpy as jnp
import moments
import numpy as np
import optax
import pytest
from children import QUIET, environment, interruptible
from click.testing import CliRunner
from test_storage import SCHEDULERS, assert_same, cut  # noqa: F401

import jaxtune as jt
from jaxtune import _extend
from jaxtune.cli import main
from jaxtune.stop import check_stop, reason_of
from jaxtune.storage import durable, recording
from jaxtune.storage.read import times_of

KEY = jax.random.key(1)
SPACE = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))


def bowl(key, hparams):
    """The squared distance from a point, failing in a corner."""
    far = (hparams["x"] - 0.3) ** 2 + (hparams["y"] - 0.6) ** 2
    return jnp.where(hparams["x"] > 0.9, jnp.nan, far)


def seek(**changes):
    arguments = {
        "key": KEY,
        "trials": 64,
        "rounds": 4,
        "mode": "min",
        "sampler": "sobol",
    }
    arguments |= {"block": 4, "verbose": 0}
    return jt.search(bowl, SPACE, **(arguments | changes))


def learn(task, space, **changes):
    arguments = {
        "key": KEY,
        "trials": 18,
        "rounds": 2,
        "epochs": 6,
        "block": 4,
        "sampler": "sobol",
    }
    return jt.search(task, space, **(arguments | {"verbose": 0} | changes))


def assert_part(part, whole):
    """Trials with a score have the numbers that they have in the unlimited search."""
    known = np.flatnonzero(np.isin(part.trials["status"], ("ok", "diverged")))
    for name in part.trials.names:
        now, straight = part.trials[name][known], whole.trials[name][known]
        np.testing.assert_array_equal(now, straight, name)
    return len(known)


def test_a_search_stops_after_the_block_that_reached_a_score():
    whole = seek()
    limit = float(np.sort(whole.trials["score"])[20])
    found = seek(stop=jt.stop.at(limit))
    known = assert_part(found, whole)
    assert not found.finished
    assert f"has reached {limit:g}" in found.stopped
    # by hand: the first block that has such a score is the last one
    block = np.flatnonzero(whole.trials["score"] <= limit)[0] // 4
    assert known == 4 * (block + 1)
    waiting = found.trials["status"][known:]
    assert len(found.trials) == 16 * (1 + block // 4)
    assert set(waiting) <= {"waiting"}
    assert np.isnan(found.trials["score"][known:]).all()
    assert found.best.score <= limit
    assert f"not finished: trial {found.best.trial}" in repr(found)
    assert found.stopped in found._repr_html_()


def test_the_score_of_a_mode_that_grows():
    whole = seek(mode="max")
    found = seek(mode="max", stop=jt.stop.at(np.float32(0.3)))
    assert found.best.score >= np.float32(0.3)
    assert assert_part(found, whole) < 64
    assert seek(mode="max", stop=jt.stop.at(2)).finished  # never reached


def test_rounds_without_a_better_trial_end_a_search():
    def flat(key, hparams):
        return jnp.where(hparams["x"] > 0.5, 1.0, 0.0) + 0.0 * hparams["y"]

    own = {"trials": 40, "rounds": 10, "block": 4, "verbose": 0, "sampler": "sobol"}
    own |= {"key": KEY, "mode": "max"}
    found = jt.search(flat, SPACE, **own, stop=jt.stop.stalled(rounds=2))
    # the first round has a best trial, to which later ones are at most equal
    assert len(found.rounds) == 3
    assert (
        found.stopped
        == f"2 rounds brought nothing better than trial {found.best.trial}"
    )
    assert not found.finished
    whole = seek()
    best = [whole.trials["score"][: 16 * (i + 1)] for i in range(4)]
    assert (np.diff([np.nanmin(b) for b in best]) < 0).all(), "each round is better"
    assert seek(stop=jt.stop.stalled(rounds=1)).finished


def test_a_function_of_the_result_stops_a_search(tmp_path):
    seen = []

    def enough(result):
        seen.append(
            (len(result.trials), int(np.isfinite(result.trials["score"]).sum()))
        )
        assert result.best.score >= 0  # never asked before there is a score
        return np.bool_(len(seen) == 3)

    found = seek(stop=enough)
    assert found.stopped == "enough said so"
    assert [total for total, _ in seen] == [16] * 3
    assert len(found.trials) == 16
    assert (found.trials["status"] != "waiting").sum() == 12
    why = seek(stop=[lambda result: None, lambda result: "<b>fun", jt.stop.at(0)])
    assert why.stopped == "<b>fun"
    page = why.report(tmp_path / "page.html").read_text()
    assert "The search is not finished: &lt;b&gt;fun." in page
    with pytest.raises(ValueError, match=r"returned 3. Return the reason as a text"):
        seek(stop=lambda result: 3)


def test_what_says_stop_after_the_last_block_changes_nothing():
    def done(result):
        return len(result.rounds) == 4 and "waiting" not in result.trials["status"]

    found = seek(stop=done)
    assert found.finished
    assert found.stopped is None


def test_a_search_whose_every_trial_fails_is_not_asked():
    own = {
        "key": KEY,
        "trials": 8,
        "rounds": 2,
        "mode": "min",
        "block": 4,
        "verbose": 0,
        "sampler": "sobol",
    }
    asked = []
    with pytest.warns(UserWarning, match="failed"):
        found = jt.search(
            lambda h: jnp.nan * h["x"] * h["y"],
            SPACE,
            **own,
            stop=[asked.append, jt.stop.stalled(1), jt.stop.at(0)],
        )
    assert found.finished
    assert not asked
    with pytest.raises(ValueError, match="all 8 trials failed"):
        found.best  # noqa: B018


@pytest.mark.parametrize("seconds", [0.4, "0.4s", datetime.timedelta(seconds=0.4)])
def test_the_time_of_a_search_counts_all_its_sessions(seconds):
    stop = jt.stop.after(seconds)
    found = seek()

    def after(spent):
        return reason_of(
            check_stop(stop),
            type(found)(
                *[
                    spent if name == "seconds" else getattr(found, name)
                    for name in ("trials", "spaces", "setup", "rounds", "seconds")
                ]
            ),
        )

    assert after(0.39) == ""
    assert after(0.41).endswith("are over")


def test_times_are_read():
    texts = {
        "2h": 7200,
        "90s": 90,
        "1h30m": 5400,
        "1.5 h": 5400,
        "5min": 300,
        "1d": 86400,
    }
    found = seek()
    for text, seconds in texts.items():
        judge = jt.stop.after(text)
        for spent, over in ((0.99 * seconds, False), (seconds, True)):
            timed = type(found)(
                found.trials, found.spaces, found.setup, found.rounds, spent
            )
            assert bool(judge(timed)) is over


def test_a_time_limit_keeps_the_blocks_in_flight(tmp_path):
    found = seek(stop=jt.stop.after(1e-9), directory=tmp_path)
    whole = seek()
    known = assert_part(found, whole)
    assert 4 <= known < 64
    assert known == (jt.load(tmp_path).trials["status"] != "waiting").sum()
    assert jt.load(tmp_path).stopped == found.stopped == "1e-09 s are over"
    shown = CliRunner().invoke(main, ["show", str(tmp_path)]).output
    assert f"{known} of 64 trials done" in shown
    assert "Not finished (1e-09 s are over)" in " ".join(shown.split())
    told = CliRunner().invoke(main, ["show", str(tmp_path), "--json"]).output
    assert json.loads(told)["stopped"] == "1e-09 s are over"
    # the time of the first session counts in the second
    again = jt.resume(tmp_path, bowl, stop=jt.stop.after(1e-9), verbose=0)
    # it is asked where the record ends, when another block may be in flight
    assert 64 > assert_part(again, whole) >= known
    assert_same(jt.resume(tmp_path, bowl, verbose=0), whole)


@pytest.mark.parametrize("seeds", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_run_that_was_stopped_is_what_is_loaded_and_goes_on(
    name, seeds, small_task, small_space, tmp_path
):
    own = {"scheduler": SCHEDULERS[name], "seeds": seeds}
    counted = []
    whole = learn(small_task, small_space, **own, stop=counted.append)
    for number, share in enumerate((0.2, 0.5, 0.8)):
        asked, blocks = [], int(share * len(counted)) + 1

        def enough(result, asked=asked, blocks=blocks):
            asked.append(result)
            return len(asked) == blocks and "enough"

        at = tmp_path / str(number)
        found = learn(small_task, small_space, **own, stop=enough, directory=at)
        asked.clear()
        bare = learn(small_task, small_space, **own, stop=enough)
        loaded = jt.load(at)
        assert_same(found, bare)
        assert_same(loaded, bare)
        assert found.stopped == bare.stopped == loaded.stopped == "enough"
        if name != "pbt":  # whose members have been copied by the end
            assert_part(found, whole)
        scored = np.flatnonzero(np.isfinite(found.trials["score"]))
        assert jt.rerun(at, int(scored[0])).same
        assert_same(jt.resume(at, verbose=0), whole)
        assert jt.load(at).stopped is None


def test_a_stop_is_asked_again_where_the_record_ends(tmp_path):
    stop = jt.stop.at(0.005)
    found = seek(stop=stop, directory=tmp_path)
    blocks = [len(found.trials), (found.trials["status"] == "waiting").sum()]
    again = jt.resume(tmp_path, bowl, stop=stop, verbose=0)
    # nothing is trained that the first session did not train, or one block at most
    assert again.stopped == found.stopped
    known = (again.trials["status"] != "waiting").sum()
    assert known == blocks[0] - blocks[1]
    assert seek(directory=tmp_path).finished


def test_a_finished_run_is_not_stopped(tmp_path):
    whole = seek(directory=tmp_path)
    again = seek(directory=tmp_path, stop=lambda result: "now")
    assert_same(again, whole)
    assert again.finished
    assert again.stopped is None


class Interrupt(jt.Callback):
    """Ctrl-C in a block, a rung, or after a round."""

    def __init__(self, where, after):
        self.where, self.left, self.ended = where, after, False

    def on_block(self, round, block):
        if len(block.trial):  # some lanes were scored
            self.count("block")

    def on_rung(self, round, rungs):
        self.count("rung")

    def on_round(self, result):
        self.count("round")

    def on_end(self):
        self.ended = True

    def count(self, where):
        if where == self.where:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("where", ["block", "rung", "round"])
def test_ctrl_c_without_a_directory_returns_what_there_is(
    name, where, small_task, small_space, capsys
):
    if where == "rung" and name == "none":
        pytest.skip("no rungs")
    own = {"scheduler": SCHEDULERS[name]}
    cut_off = Interrupt(where, 1 if where == "round" else 2)
    found = learn(small_task, small_space, **own, callbacks=[cut_off])
    assert not found.finished
    assert found.stopped == "interrupted by Ctrl-C"
    assert cut_off.ended
    assert " trials done: " in capsys.readouterr().err
    scored = np.flatnonzero(np.isfinite(found.trials["score"]))
    assert scored.size
    if name != "pbt":
        assert_part(found, learn(small_task, small_space, **own))
    found.best  # noqa: B018


def test_ctrl_c_before_there_is_a_score_is_raised():
    class AtOnce(jt.Callback):
        def on_start(self, setup):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seek(callbacks=[AtOnce()])


def test_ctrl_c_pressed_twice_ends_at_once():
    class Twice(jt.Callback):
        def on_block(self, round, block):
            if round == 1:
                try:
                    raise KeyboardInterrupt
                finally:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seek(callbacks=[Twice()])


SCRIPT = """
import sys, time
import jax, jaxtune as jt
import numpy as np

def slow(x):
    time.sleep(0.2)
    return np.float32(x)

def objective(key, h):
    shape = jax.ShapeDtypeStruct((), "float32")
    return jax.pure_callback(slow, shape, h["x"], vmap_method="sequential")

class Say(jt.Callback):
    def on_block(self, round, block):
        print("block", flush=True)

found = jt.search(objective, jt.Space(x=jt.uniform(0.0, 1.0)), key=jax.random.key(0),
    trials=400, mode="min", block=1, callbacks=[Say()], verbose=0)
print(found.finished, int(np.isfinite(found.trials["score"]).sum()), flush=True)
"""


def test_a_script_that_is_interrupted_goes_on_with_what_it_has():
    with subprocess.Popen(
        interruptible("-c", SCRIPT),
        env=environment(**QUIET),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        lines = [child.stdout.readline() for _ in range(3)]
        child.send_signal(signal.SIGINT)
        rest, said = child.communicate(timeout=moments.HANG)
    assert lines == ["block\n"] * 3
    finished, scored = rest.split("\n")[-2].split()
    assert finished == "False", said
    assert 3 <= int(scored) < 400
    assert f"interrupted: {scored} of 400 trials done" in said
    assert child.returncode == 0


def digest(found):
    """A hash of all bits of a table that do not name the search."""
    known = hashlib.sha256()
    for name in sorted(found.trials.names):
        column = found.trials[name]
        data = repr(column.tolist()) if column.dtype == object else column.tobytes()
        known.update(f"{name} {data}".encode())
    known.update(found.trials.points.tobytes() + found.trials.scores.tobytes())
    return known.hexdigest()


@pytest.mark.parametrize("seeds", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_an_extended_run_is_the_straight_one(
    name,
    seeds,
    small_task,
    small_space,
    tmp_path,
    cut,  # noqa: F811
):
    own = {
        "scheduler": SCHEDULERS[name],
        "seeds": seeds,
        "trials": 27,
        "rounds": 3,
        "sampler": "sobol",
    }
    straight = learn(small_task, small_space, **own)
    part = learn(
        small_task,
        small_space,
        **(own | {"trials": 18, "rounds": 2, "sampler": "sobol"}),
        directory=tmp_path,
    )
    cut(2)
    with pytest.raises(KeyboardInterrupt):
        jt.extend(tmp_path, trials=9, verbose=0)
    unfinished = jt.load(tmp_path)
    assert not unfinished.finished
    assert unfinished.setup.trials == 27
    cut(10**9)
    with pytest.raises(jt.RunError, match=r"not finished .* of 27 trials"):
        jt.extend(tmp_path, trials=9)
    whole = jt.resume(tmp_path, verbose=0)
    assert_same(whole, straight)
    assert digest(whole) == digest(straight) != digest(part)
    # the first part is as it was
    for column in part.trials.names:
        now = whole.trials[column][:18]
        np.testing.assert_array_equal(now, part.trials[column])
    assert jt.rerun(tmp_path, 20).same
    assert jt.load(tmp_path).finished
    # the straight search is the run by now, the first part alone is not
    again = learn(small_task, small_space, **own, directory=tmp_path)
    assert_same(again, straight)
    with pytest.raises(jt.RunError, match="extended from 18 to 27 trials"):
        learn(
            small_task,
            small_space,
            **(own | {"trials": 18, "rounds": 2, "sampler": "sobol"}),
            directory=tmp_path,
        )


def test_a_run_grows_again_and_again(tmp_path):
    seek(trials=16, rounds=1, directory=tmp_path)
    jt.extend(tmp_path, bowl, trials=np.int64(16), verbose=0)
    more = jt.extend(tmp_path, bowl, trials=32, rounds=2, verbose=0)
    assert_same(more, seek())
    assert more.cost.seconds > 0
    with pytest.raises(jt.RunError, match="extended from 16 to 64"):
        seek(trials=16, rounds=1, directory=tmp_path)
    with pytest.raises(jt.RunError, match="extended from 32 to 64"):
        seek(trials=32, rounds=2, directory=tmp_path)


def test_an_extension_of_a_tiered_search_has_all_that_is_open(tmp_path):
    space = jt.Space(x=jt.uniform(0.0, 1.0, tier=1), y=jt.uniform(0.0, 1.0, tier=2))
    own = {"key": KEY, "mode": "min", "block": 4, "verbose": 0}
    schedule = jt.tiered(space, 24)
    jt.search(bowl, schedule, **own, directory=tmp_path)
    more = jt.extend(tmp_path, bowl, trials=8, verbose=0)
    stages = (*schedule.stages, jt.Stage(("x", "y"), 8))
    assert_same(more, jt.search(bowl, schedule._replace(stages=stages), **own))


@pytest.mark.parametrize("at", ["before", "noted", "written"])
def test_a_crash_leaves_the_old_run_or_the_longer_one(at, tmp_path, monkeypatch):
    part = seek(trials=32, rounds=2, directory=tmp_path)
    old = (tmp_path / "run.json").read_bytes()
    kill = RuntimeError("killed")

    def crash(*args):
        raise kill

    target = {
        "before": (recording, "_extend"),
        "noted": (recording, "write_whole"),
        "written": (recording, "note_writer"),
    }[at]
    with monkeypatch.context() as patch:
        patch.setattr(*target, crash)
        with pytest.raises(RuntimeError, match="killed"):
            jt.extend(tmp_path, bowl, trials=32, rounds=2, verbose=0)
    if at == "written":
        assert not jt.load(tmp_path).finished
        more = jt.resume(tmp_path, bowl, verbose=0)
    else:
        assert (tmp_path / "run.json").read_bytes() == old
        assert jt.load(tmp_path).finished
        assert_same(jt.resume(tmp_path, bowl, verbose=0), part)
        more = jt.extend(tmp_path, bowl, trials=32, rounds=2, verbose=0)
    assert_same(more, seek())
    assert jt.load(tmp_path).finished


def test_two_extensions_at_once_are_one(tmp_path, monkeypatch):
    seek(trials=32, rounds=2, directory=tmp_path)
    load, calls = _extend.load, []

    def late(path):
        found = load(path)
        if not calls:
            calls.append(path)
            jt.extend(tmp_path, bowl, trials=16, verbose=0)
        return found

    monkeypatch.setattr(_extend, "load", late)
    with pytest.raises(jt.RunError, match="another process has extended the run"):
        jt.extend(tmp_path, bowl, trials=16, verbose=0)
    assert len(jt.load(tmp_path).trials) == 48


def test_a_wrong_task_changes_nothing(tmp_path):
    seek(trials=16, rounds=1, directory=tmp_path)
    old = (tmp_path / "run.json").read_bytes()
    with pytest.raises(jt.RunError, match="another task"):
        jt.extend(tmp_path, lambda key, h: h["x"] + h["y"], trials=8, verbose=0)
    with pytest.raises(jt.RunError, match="jaxtune extend DIR --task"):
        jt.extend(tmp_path, trials=8)
    assert (tmp_path / "run.json").read_bytes() == old
    assert jt.load(tmp_path).finished


def test_an_extension_can_be_stopped(tmp_path):
    seek(trials=16, rounds=1, directory=tmp_path)
    stop = [lambda r: len(r.trials) > 16 and "enough"]
    more = jt.extend(tmp_path, bowl, trials=48, rounds=3, stop=stop, verbose=0)
    assert more.stopped == "enough"
    assert 16 < (more.trials["status"] != "waiting").sum() < 64
    assert_same(jt.resume(tmp_path, bowl, verbose=0), seek())


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_best_are_trained_for_more_epochs(
    name,
    small_task,
    small_space,
    tmp_path,
    cut,  # noqa: F811
):
    own = {"scheduler": SCHEDULERS[name]}
    part = learn(small_task, small_space, **own, directory=tmp_path)
    cut(2)
    with pytest.raises(KeyboardInterrupt):
        jt.extend(tmp_path, trials=9, epochs=12, first="best", verbose=0)
    cut(10**9)
    assert jt.load(tmp_path).rounds[-1].budget == 12
    more = jt.resume(tmp_path, verbose=0)
    assert more.finished
    assert_same(jt.load(tmp_path), more)
    assert more.trials["epochs"].max() == 12
    assert (more.trials["status"][:18] == part.trials["status"]).all()
    # those that trained in full are compared by their scores, whatever their epochs
    done = np.flatnonzero(more.trials["status"] == "ok")
    assert more.best.score == more.trials["score"][done].max()
    best = np.argsort(-part.standing, kind="stable")[:9]
    if name != "pbt":  # which changes values on the way
        for column in small_space.names:
            now = more.trials[column][18:]
            np.testing.assert_array_equal(now, part.trials[column][best])
    assert jt.rerun(tmp_path, more.best.trial).same
    assert jt.rerun(tmp_path, 3).same
    longer = jt.extend(tmp_path, trials=4, verbose=0)
    assert longer.trials["epochs"][-4:].max() == 12
    with pytest.raises(ValueError, match="got 6, and the run has trials of 12 epochs"):
        jt.extend(tmp_path, trials=4, epochs=6)


def test_more_epochs_are_those_of_a_longer_search(small_task, small_space, tmp_path):
    learn(small_task, small_space, rounds=1, trials=4, epochs=2, directory=tmp_path)
    settings = [{"learning_rate": 0.1}, {"momentum": 0.6}]
    more = jt.extend(tmp_path, trials=2, epochs=5, first=settings, verbose=0)
    known = [
        {},
        {"learning_rate": 0.5},
        {"momentum": 0.9},
        {"momentum": 0.8},
        *settings,
    ]
    straight = learn(small_task, small_space, rounds=1, trials=6, epochs=5, first=known)
    for name in more.trials.names:
        if name != "round":
            now, then = more.trials[name][4:], straight.trials[name][4:]
            np.testing.assert_array_equal(now, then, name)


def test_known_settings_outside_of_the_box_open_the_space(tmp_path):
    part = seek(directory=tmp_path)
    x = part.spaces[-1].bounds["x"]
    assert x[1] < 0.8
    more = jt.extend(tmp_path, bowl, trials=8, first=[{"x": 0.8, "y": 0.1}], verbose=0)
    assert more.spaces[-1].bounds == SPACE.bounds
    assert more.trials["x"][64] == np.float32(0.8)
    seek(directory=tmp_path / "other")
    inside = {"x": float(np.mean(x)), "y": float(np.mean(part.spaces[-1].bounds["y"]))}
    again = jt.extend(tmp_path / "other", bowl, trials=8, first=[inside], verbose=0)
    assert again.spaces[-1].bounds != SPACE.bounds


def test_an_optimiser_that_asks_for_the_steps_keeps_its_epochs(small_space, tmp_path):
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)

    def optimizer(hparams, steps):
        schedule = jt.schedules.cosine(hparams["learning_rate"], steps)
        return optax.sgd(schedule, momentum=hparams["momentum"])

    task = jt.classification(
        jt.models.MLP(classes=3, max_units=4),
        train=(x, np.arange(64) % 3),
        valid=(x, np.arange(64) % 3),
        optimizer=optimizer,
    )
    learn(task, small_space, trials=4, rounds=1, directory=tmp_path)
    with pytest.raises(ValueError, match="steps of a whole training"):
        jt.extend(tmp_path, task, trials=4, epochs=12)
    assert jt.load(tmp_path).finished
    assert len(jt.extend(tmp_path, task, trials=4, verbose=0).trials) == 8


def test_the_command_extends_a_run(tmp_path):
    (tmp_path / "code.py").write_text("def bowl(key, h):\n    return h['x'] * h['y']\n")
    bowl = runpy.run_path(str(tmp_path / "code.py"))["bowl"]
    run = str(tmp_path / "run")
    own = {"key": KEY, "mode": "min", "block": 4, "verbose": 0, "directory": run}
    jt.search(bowl, SPACE, **own, trials=8)
    task = ["--task", f"{tmp_path / 'code.py'}:bowl"]
    call = CliRunner().invoke
    said = call(main, ["extend", run, "--trials", "8", "--rounds", "2", *task])
    assert said.exit_code == 0, said.output
    assert "Result(16 trials, 3 rounds" in said.output
    said = call(main, ["extend", run, "--trials", "2", "--best", *task])
    assert said.exit_code == 0, said.output
    found = jt.load(run)
    assert found.trials["score"][-2:].min() == found.trials["score"][:-2].min()
    said = call(main, ["extend", run, "--trials", "0", *task])
    assert said.exit_code == 2
    assert "trials: got 0. Use a whole number from 1." in said.output
    said = call(main, ["extend", run, "--trials", "2", "--epochs", "2", *task])
    assert "a plain function is not trained" in said.output


@pytest.mark.filterwarnings("ignore:folds. trials are scored")
@pytest.mark.parametrize(
    "own",
    [
        {"score": "best", "history": True},
        {"score": 2, "seeds": 2},
        {"scheduler": jt.schedulers.patience(2), "history": True},
        {"folds": 3},
        {"folds": 3, "scheduler": "asha", "score": "best"},
    ],
    ids=["best", "mean", "patience", "folds", "folds and asha"],
)
def test_what_others_measure_is_stopped_and_grows_too(
    own, small_task, small_space, tmp_path
):
    counted = []
    whole = learn(small_task, small_space, **own, stop=counted.append)
    asked, blocks = [], len(counted) // 2

    def enough(result):
        asked.append(result)
        return len(asked) == blocks and "enough"

    at = tmp_path / "run"
    found = learn(small_task, small_space, **own, stop=enough, directory=at)
    assert not found.finished
    assert_part(found, whole)
    assert_same(jt.load(at), found)
    assert_same(jt.resume(at, verbose=0), whole)
    straight = learn(
        small_task,
        small_space,
        **(own | {"trials": 27, "rounds": 3, "sampler": "sobol"}),
    )
    assert_same(jt.extend(at, trials=9, verbose=0), straight)
    more = jt.extend(at, trials=3, epochs=9, first="best", verbose=0)
    assert_same(jt.load(at), more)
    assert more.trials["epochs"].max() <= 9
    assert jt.rerun(at, 28).same
    if own.get("history"):
        (accuracy,) = {h.shape[-1] for h in more.history.values()}
        assert accuracy == 9
        np.testing.assert_array_equal(
            more.history["accuracy"][:18, :, :6], whole.history["accuracy"]
        )
        assert np.isnan(more.history["accuracy"][:18, :, 6:]).all()


def test_known_settings_of_a_finite_space_may_have_been_tried(tmp_path):
    space = jt.Space(a=jt.integer(0, 5), b=jt.integer(0, 3))
    own = {"key": KEY, "mode": "max", "block": 4, "verbose": 0}
    part = jt.search(
        lambda h: h["a"] * h["b"], space, **own, trials=8, directory=tmp_path
    )
    more = jt.extend(
        tmp_path,
        lambda h: h["a"] * h["b"],
        trials=4,
        first=[part.best.hparams],
        verbose=0,
    )
    pairs = list(zip(more.trials["a"], more.trials["b"], strict=True))
    assert pairs[8] == pairs[part.best.trial]
    assert len(set(pairs)) == 11  # all others are new


def test_what_is_on_record_is_not_asked_about(tmp_path, cut):  # noqa: F811
    cut(3)
    with pytest.raises(KeyboardInterrupt):
        seek(directory=tmp_path)
    cut(10**9)
    asked = []

    def enough(result):
        asked.append(int((result.trials["status"] != "waiting").sum()))

    jt.resume(tmp_path, bowl, stop=enough, verbose=0)
    # the first time where the record ends, then after every block and round
    assert asked[0] == 12
    assert asked == sorted(asked)


class Killed(BaseException):
    """Like a kill: nothing is noted when it is raised."""


@pytest.mark.parametrize("version", ["this", "an earlier one"])
def test_the_time_of_a_killed_session_counts(tmp_path, monkeypatch, version):
    monkeypatch.setattr(durable, "SOONEST", 0.0)  # every block notes its time

    def kill(result):
        raise Killed

    with pytest.raises(Killed):
        seek(directory=tmp_path, stop=kill)
    last = {"this": "kept", "an earlier one": "round"}[version]
    with contextlib.closing(sqlite3.connect(tmp_path / "run.sqlite")) as db, db:
        kinds = {kind for (kind,) in db.execute("SELECT kind FROM events")}
        assert kinds == {"opened", "round", "kept"}
        if version != "this":  # it noted no blocks
            db.execute("DELETE FROM events WHERE kind = 'kept'")
        db.execute("UPDATE events SET time = '2026-01-01T00:00:00+00:00'")
        later = "UPDATE events SET time = '2026-01-01T00:02:05+00:00' WHERE kind = ?"
        db.execute(later, (last,))
    assert times_of(tmp_path).seconds == 125
    # another session is killed as soon as it is opened, and one ends
    with contextlib.closing(sqlite3.connect(tmp_path / "run.sqlite")) as db, db:
        add = "INSERT INTO events VALUES (?, ?, ?)"
        db.execute(add, ("2026-02-01T00:00:00+00:00", "opened", "process 1 on host"))
        db.execute(add, ("2026-02-02T00:00:00+00:00", "opened", "process 1 on host"))
        db.execute(add, ("2026-02-02T00:00:09+00:00", "kept", "9 blocks"))
        db.execute(add, ("2026-02-02T00:00:10+00:00", "finished", "9.5"))
    assert times_of(tmp_path).seconds == 125 + 9.5


def test_the_time_of_an_extension_counts(tmp_path):
    seek(trials=32, rounds=2, directory=tmp_path)
    before = jt.load(tmp_path).seconds
    jt.extend(tmp_path, bowl, trials=16, verbose=0)
    after = jt.load(tmp_path).seconds
    assert after > before
    jt.resume(tmp_path, bowl, verbose=0)  # trains nothing, and takes no time
    assert jt.load(tmp_path).seconds == after
