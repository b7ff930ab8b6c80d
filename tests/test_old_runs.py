"""Runs that earlier versions wrote: they open, resume and rerun.

Version 0.1.0 (a6f0931) wrote those of one archive, and 0.2.0 (7f3f639, without sums
of what is on record) those of the other, by `old_runs.py`, both with jax 0.9.2 and Flax
0.12.6, which Python 3.11 still gets. There the bits are compared; under another jax,
which rounds otherwise, only the scores that are on record.
"""

import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import killed
import numpy as np
import old_runs
import pytest
from editing import edit_settings

import jaxtune as jt
from jaxtune import environment
from jaxtune.storage.directory import settings_of

ARCHIVES = ["runs_of_0_1_0", "runs_of_0_2_0"]
SPACE = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))


def bowl(key, hparams):
    return jnp.log10(hparams["learning_rate"]) ** 2 + 0.1 * jax.random.normal(key)


PLACE = {"a": 0.0, "b": 1.0, "c": 0.5}


def hill(key, hparams):
    return hparams["x"] ** 2 + PLACE[hparams["how"]] + 0.1 * jax.random.normal(key)


TASKS = {
    "function": lambda: bowl,
    "static": lambda: hill,  # three programs, whose last blocks are not full
    "halving": killed.line,
    "pbt": killed.line,
}
TASKS |= {name: task for name, (task, *_) in old_runs.SEARCHES.items()}
# all else of these is in their directories
TASKS |= {"folds": lambda: None, "network": lambda: None}


@pytest.fixture
def runs(tmp_path):
    """Of each task a finished run, and one that was interrupted after some blocks."""
    for name in ARCHIVES:
        with tarfile.open(Path(__file__).with_name(f"{name}.tar.xz")) as archive:
            archive.extractall(tmp_path, filter="data")
    return tmp_path


def allowed(path):
    """What a run of another machine needs; nothing where it was written."""
    settings = settings_of(path)
    device = settings["device"] != environment.device()
    was, now = settings["version"], environment.versions()
    version = any(was[name] != now[name] for name in now if name != "jaxtune")
    return [w for w, differs in (("device", device), ("version", version)) if differs]


@pytest.mark.parametrize("name", TASKS)
def test_a_run_of_an_earlier_version_opens_resumes_and_reruns(name, runs):
    task, allow = TASKS[name](), allowed(runs / name)
    whole = jt.load(runs / name, task)
    assert whole.finished
    part = jt.load(runs / f"{name}_cut", task)
    assert not part.finished
    assert not part.trials.done.all()
    for word in allow:
        others = [other for other in allow if other != word]
        with pytest.raises(jt.RunError, match=word):
            jt.resume(runs / f"{name}_cut", task, allow=others, verbose=0)
    found = jt.resume(runs / f"{name}_cut", task, allow=allow, verbose=0)
    assert found.finished
    last = len(whole.trials) - 1
    again = [jt.rerun(runs / name, trial, task) for trial in (1, last)]
    done = np.flatnonzero(np.isin(part.trials["status"], ("ok", "stopped")))
    np.testing.assert_array_equal(found.trials.scores[done], part.trials.scores[done])
    if allow:  # written elsewhere: the last bits of the rest may differ
        return
    assert killed.digest(found) == killed.digest(whole)
    assert all(one.same for one in again)


def test_a_finished_run_of_an_earlier_version_is_extended(runs):
    task, space, arguments, _ = old_runs.SEARCHES["goals"]
    allow = allowed(runs / "goals")
    found = jt.extend(
        runs / "goals", task(), trials=8, rounds=1, allow=allow, verbose=0
    )
    if not allow:
        more = arguments | {"trials": 32, "rounds": 4}
        at_once = jt.search(task(), space, key=jax.random.key(7), verbose=0, **more)
        assert killed.digest(found) == killed.digest(at_once)


@pytest.mark.parametrize("version", ["0.0.9", "99.0"])
def test_other_versions_are_refused_with_their_name(version, runs):
    path = runs / "halving_cut"
    edit_settings(path, lambda s: s["version"].update(jaxtune=version))
    with pytest.raises(jt.RunError, match=version.replace(".", r"\.")):
        jt.resume(path, killed.line(), verbose=0)


def test_another_task_than_that_of_an_old_run_is_refused(runs):
    other = jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0))
    with pytest.raises(jt.RunError, match="another space"):
        jt.search(
            killed.line(),
            other,
            key=jax.random.key(3),
            trials=16,
            rounds=2,
            seeds=2,
            block=4,
            epochs=6,
            scheduler=jt.schedulers.successive_halving(),
            directory=runs / "halving_cut",
        )


def interrupted(path, stop_after, **own):
    """A run of the function, whose zoom is that of version 0.2.0 on record."""

    class Interrupt(jt.Callback):
        def on_round(self, result):
            if len(result.spaces) == stop_after:
                raise KeyboardInterrupt

    arguments = {"key": jax.random.key(1), "trials": 36, "rounds": 3, "mode": "min"}
    arguments |= {"sampler": "sobol", "verbose": 0, "callbacks": [Interrupt()]}
    try:
        return jt.search(bowl, SPACE, directory=path, **arguments | own)
    except KeyboardInterrupt:
        edit_settings(path, lambda s: s["refine"]["arguments"].pop("rounds"))


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_rounds_to_come_of_an_old_run_use_the_zoom_of_its_version(rounds, tmp_path):
    former = jt.zoom(top=0.1, margin=1.0, evidence=0.05, rounds="last")
    rate = "learning_rate"
    whole = interrupted(tmp_path / "whole", None, refine=former)
    assert whole.finished
    now = interrupted(tmp_path / "now", None)
    assert not np.array_equal(now.trials[rate], whole.trials[rate])
    # by its directory, or by the same call, which says no refiner
    for name, go_on in (
        ("resumed", lambda path: jt.resume(path, bowl, verbose=0)),
        ("called", lambda path: interrupted(path, None)),
    ):
        interrupted(tmp_path / name, rounds, refine=former)
        found = go_on(tmp_path / name)
        np.testing.assert_array_equal(found.trials[rate], whole.trials[rate])
        np.testing.assert_array_equal(found.trials.scores, whole.trials.scores)
    interrupted(tmp_path / "other", rounds, refine=former)
    with pytest.raises(jt.RunError, match=r"another refine.*rounds='last'.*'all'"):
        interrupted(tmp_path / "other", None, refine=jt.zoom())
