"""A search beside others: damaged caches, full disks, other folders, lost packages."""

import errno
import os
import shutil
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import killed
import moments
import pytest

import jaxtune as jt
from jaxtune import cache, mending
from jaxtune.planning import width
from jaxtune.storage import recording

SPACE = jt.Space(x=jt.uniform(0.0, 1.0))
FULL = OSError(errno.ENOSPC, "No space left on device")


def bowl(key, hparams):
    return (hparams["x"] - 0.3) ** 2


def seek(objective=bowl, **more):
    plain = {"key": jax.random.key(0), "trials": 16, "rounds": 2, "mode": "min"}
    plain |= {"sampler": "sobol", "verbose": 0}
    return jt.search(objective, SPACE, **(plain | more))


@pytest.fixture
def at(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv(cache.SWITCH, str(tmp_path / "cache"))
    return tmp_path / "cache"


DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    '{"width": 0, "rates": [[0, 1.0]]}',
    '{"width": -4, "rates": [[-4, 1.0]]}',
    '{"width": 16, "rates": []}',
    '{"width": "16", "rates": [["16", 1.0]]}',
    '{"width": 16, "rates": [[16, -1.0]]}',
    '{"width": 16, "rates": [[16, NaN]]}',
    '{"width": 1000000000, "rates": [[1000000000, 1.0]]}',
    '{"width": 16.5, "rates": [[16.5, 1.0]]}',
    '{"width": [16], "rates": [[[16], 1.0]]}',
    "[" * 100_000,
    "\udcff",
]


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:40] or "empty")
def test_a_damaged_width_is_measured_anew_and_rewritten(text, tmp_path):
    path, right = tmp_path / "widths" / "a.json", width.Calibration(16, ((16, 2.5),))
    assert width._read(path) is None  # there is none
    width._write(path, right)
    assert width._read(path) == right
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.warns(UserWarning, match=r"a\.json cannot be read.*measured anew"):
        assert width._read(path) is None
    width._write(path, right)
    assert width._read(path) == right


def test_a_full_disk_of_the_cache_is_told_once(at, monkeypatch):
    expected = seek().trials.scores
    shutil.rmtree(at)
    at.mkdir()

    def full(kept, key, value):
        part = Path(kept.path, f"{key}{mending.PROGRAM}")
        part.write_bytes(value[: len(value) // 2])  # what found room stays
        raise FULL

    cache._made.cache_clear()
    jax.clear_caches()
    with monkeypatch.context() as patch:
        patch.setattr("jax._src.lru_cache.LRUCache.put", full)
        with pytest.warns(UserWarning, match="No space left.*JAXTUNE_CACHE") as told:
            found = seek().trials.scores
    assert len(told) == 1
    assert (found == expected).all()
    assert not list(at.rglob(f"*{mending.PROGRAM}"))
    seek()  # now there is room, and nothing is damaged


def test_a_full_disk_for_widths_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise FULL

    monkeypatch.setattr(os, "replace", full)
    path = tmp_path / "widths" / "a.json"
    with pytest.warns(UserWarning, match="No space left"):
        width._write(path, width.Calibration(16, ((16, 2.5),)))
    width._write(path, width.Calibration(16, ((16, 2.5),)))  # once
    assert not list(path.parent.iterdir())


def compiled(number):
    jax.clear_caches()  # as another process begins
    with cache.compiled_once():
        jax.jit(lambda x: x * number)(jnp.ones(3)).block_until_ready()


def test_damaged_programs_are_told_once_and_compiled_again(at):
    compiled(3.5)
    programs = at / cache.machine() / cache.PROGRAMS
    entries = list(programs.glob(f"*{mending.PROGRAM}"))
    for path in entries:
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="were damaged.*compiled again") as told:
        compiled(3.5)
    assert len(told) == 1
    assert len(entries) > 1
    compiled(3.5)  # no warning, which would be an error
    assert {path.name for path in programs.glob(f"*{mending.PROGRAM}")} == {
        path.name for path in entries
    }


def test_a_program_without_its_time_keeps_no_other_from_being_kept(at):
    """Of a process that was killed between the two files."""
    compiled(4.5)
    programs = at / cache.machine() / cache.PROGRAMS
    lost = next(iter(programs.glob(f"*{mending.PROGRAM}")))
    lost.rename(programs / f"lost{mending.PROGRAM}")
    before = set(programs.iterdir())
    compiled(5.5)
    assert len(set(programs.iterdir()) - before) > 1


def test_a_cache_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(cache.SWITCH, "~/kept")
    cache._absolute.cache_clear()
    assert cache.folder() == tmp_path / "home" / "kept" / cache.machine()
    monkeypatch.setenv(cache.SWITCH, "~no-such-user/kept")
    with pytest.warns(UserWarning, match="no such home"):
        assert cache.folder() is None
    assert not list(tmp_path.glob("~*"))
    cache._absolute.cache_clear()


def test_an_objective_may_change_the_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def moving(key, hparams):
        os.chdir(tmp_path / "elsewhere")
        return bowl(key, hparams)

    table = jt.integrations.live("csv", "table.csv")
    found = seek(moving, directory="run", callbacks=[table])
    assert {p.name for p in tmp_path.iterdir()} == {"elsewhere", "run", "table.csv"}
    assert not list((tmp_path / "elsewhere").iterdir())
    assert killed.digest(jt.load(tmp_path / "run")) == killed.digest(found)


def test_a_finished_run_is_opened_without_writing(tmp_path, monkeypatch):
    """As on a read-only disk, where no lock can be taken."""
    run = tmp_path / "run"
    found = seek(directory=run)
    (run / "run.lock").unlink()
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    def refused(*_):
        raise AssertionError("it was locked")

    with monkeypatch.context() as patch:
        patch.setattr(recording, "locked", refused)
        again = [seek(directory=run), jt.resume(run, bowl), jt.load(run)]
        assert jt.rerun(run, 3, bowl).same
    assert {killed.digest(one) for one in again} == {killed.digest(found)}
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    more = jt.extend(run, bowl, trials=4, verbose=0)
    assert len(more.trials) == 20
    assert (run / "run.lock").exists()


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_an_export_that_is_killed_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    found = seek()

    def kill(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("optuna.Study.add_trials", kill)
        with pytest.raises(SystemExit):
            jt.integrations.export(found, "optuna", "study.log")
    # the empty study is whole; of the trials there is nothing, and no lock
    assert [path.name for path in tmp_path.iterdir()] == ["study.log"]
    with pytest.raises(ValueError, match="holds a study"):
        jt.integrations.export(found, "optuna", "study.log")
    where = jt.integrations.export(found, "optuna", "other.log")
    assert where == str(tmp_path / "other.log")


def test_without_a_standard_error(monkeypatch):
    """As under pythonw."""
    monkeypatch.setattr(sys, "stderr", None)
    assert len(seek(verbose=2).trials) == 16


MISSING = {
    "matplotlib": ("report", lambda found, at: jt.report.history(found)),
    "pandas": ("report", lambda found, at: found.trials.to_pandas()),
    "optuna": ("export", lambda f, at: jt.integrations.export(f, "optuna", at / "a")),
    "tensorboardX": (
        "export",
        lambda f, at: jt.integrations.export(f, "tensorboard", at / "a"),
    ),
    "mlflow": (
        "mlflow",
        lambda f, at: jt.integrations.export(f, "mlflow", f"sqlite:///{at}/a"),
    ),
    "wandb": ("wandb", lambda f, at: jt.integrations.export(f, "wandb", at / "a")),
    "ray": ("ray", lambda found, at: seek(executor="ray")),
}


@pytest.mark.parametrize("package", MISSING)
def test_a_missing_package_is_named_with_its_extra(package, tmp_path, monkeypatch):
    extra, use = MISSING[package]
    found = seek()
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Blocked(package), *sys.meta_path])
    with pytest.raises(ImportError, match=rf"pip install 'jaxtune\[{extra}\]'"):
        use(found, tmp_path)


class Blocked:
    """Finds no module of one package, as if it were not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_search_inside_an_objective_is_refused_with_a_sentence():
    def nested(key, hparams):
        space = jt.Space(y=jt.log_uniform(0.1, 1.0))
        inner = jt.search(bowl, space, key=key, trials=4, mode="min")
        return inner.best.score + hparams["x"]

    with pytest.raises(RuntimeError, match="inside a function that JAX traces"):
        seek(nested)


def test_a_space_that_is_made_while_tracing_is_the_same():
    def made(x):
        space = jt.Space(a=jt.log_uniform(1e-4, 1.0), b=jt.integer(1, 9))
        assert space.bounds == outside.bounds
        assert space["a"].default == outside["a"].default
        return x

    outside = jt.Space(a=jt.log_uniform(1e-4, 1.0), b=jt.integer(1, 9))
    jax.jit(made)(1.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_is_told_so(tmp_path):
    seek()
    child = os.fork()
    if child == 0:
        told = "nothing"
        try:
            seek()
        except BaseException as error:
            told = repr(error)
        (tmp_path / "told").write_text(told)
        os._exit(0)
    ended = []

    def told():
        ended.append(os.waitpid(child, os.WNOHANG)[0])
        return ended[-1]

    try:
        moments.wait_until(told, "the forked process")
    finally:
        if not ended[-1]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    said = (tmp_path / "told").read_text()
    assert "was forked from one in which JAX had started" in said
