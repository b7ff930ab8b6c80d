"""A run keeps what its numbers depend on in an accelerator: software and kernels.

Files stand for the kernels that XLA chooses on a GPU by timing them.
"""

import json
import zipfile

import jax
import killed
import pytest

import jaxtune as jt
from jaxtune import cache, environment
from jaxtune.storage.directory import KERNELS, SETTINGS

SPACE = jt.Space(learning_rate=jt.log_uniform(1e-3, 1e-1))


@pytest.fixture
def tuned(tmp_path, monkeypatch):
    """Choose the cache folder of a machine; say where XLA keeps its choices in it."""

    def machine(name, **files):
        monkeypatch.setenv(cache.SWITCH, str(tmp_path / name))
        folder = cache.tuned_kernels()
        if files:
            folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (folder / file).write_text(content)
        return folder

    return machine


def seek(directory, **more):
    plain = {"key": jax.random.key(0), "trials": 4, "epochs": 1, "verbose": 0}
    return jt.search(killed.line(), SPACE, directory=directory, **(plain | more))


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def packed(run):
    with zipfile.ZipFile(run / KERNELS) as files:
        return {name: files.read(name).decode() for name in files.namelist()}


def test_jax_keeps_them_where_they_are_looked_for(tuned, monkeypatch):
    """JAX's own function, under the settings that a search makes."""
    from jax._src import compiler

    folder = tuned("one")
    with cache.compiled_once():
        options = compiler.get_compile_options(1, 1).executable_build_options
        assert options.debug_options.xla_gpu_per_fusion_autotune_cache_dir == str(
            cache.tuned_kernels()
        )
    assert cache.tuned_kernels() == folder
    monkeypatch.setenv(cache.SWITCH, "off")
    assert cache.tuned_kernels() is None


def test_a_run_brings_its_kernels_to_another_machine(tuned, tmp_path):
    tuned("one", a="1", b="2")
    found = seek(tmp_path / "run")
    assert packed(tmp_path / "run") == {"a": "1", "b": "2"}
    for again in (
        lambda: jt.resume(tmp_path / "run", killed.line(), verbose=0),
        lambda: jt.rerun(tmp_path / "run", 1, killed.line()),
        lambda: seek(tmp_path / "run"),
    ):
        other = tuned(f"other {id(again)}")
        assert not other.exists()
        again()
        assert contents(other) == {"a": "1", "b": "2"}
    assert found.best.trial in range(4)


def test_what_a_run_began_with_stays_and_others_are_told(tuned, tmp_path):
    tuned("one", a="1")
    seek(tmp_path / "run")
    folder = tuned("two", a="9", c="3")
    with pytest.warns(UserWarning, match=r"kernels, 1 are others.*JAXTUNE_CACHE"):
        seek(tmp_path / "run")
    assert contents(folder) == {"a": "9", "c": "3"}
    assert packed(tmp_path / "run") == {"a": "1"}  # it is finished, and only read
    with pytest.warns(UserWarning, match="kernels, 1 are others"):
        jt.extend(tmp_path / "run", killed.line(), trials=2, verbose=0)
    assert packed(tmp_path / "run") == {"a": "1", "c": "3"}


def test_an_interrupted_search_has_kept_them(tuned, tmp_path):
    class Interrupt(jt.Callback):
        def on_round(self, result):
            raise KeyboardInterrupt

    tuned("one", a="1")
    with pytest.raises(KeyboardInterrupt):
        seek(tmp_path / "run", rounds=2, callbacks=[Interrupt()])
    assert packed(tmp_path / "run") == {"a": "1"}


def test_without_any_nothing_is_written(tuned, tmp_path):
    tuned("one")
    seek(tmp_path / "run")
    assert not (tmp_path / "run" / KERNELS).exists()
    tuned("two", a="1")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("of the user")
    with pytest.raises(jt.RunError, match="no run"):
        seek(mine)
    assert not (mine / KERNELS).exists()


def test_a_damaged_copy_costs_time_and_nothing_else(tuned, tmp_path):
    tuned("one", a="1")
    seek(tmp_path / "run")
    (tmp_path / "run" / KERNELS).write_bytes(b"half of a file")
    tuned("two")
    with pytest.warns(UserWarning, match="cannot be read"):
        seek(tmp_path / "run")


def test_no_name_leads_out_of_the_folder(tuned, tmp_path):
    tuned("one", a="1")
    seek(tmp_path / "run")
    with zipfile.ZipFile(tmp_path / "run" / KERNELS, "a") as files:
        files.writestr("../../outside", "x")
    folder = tuned("two")
    seek(tmp_path / "run")
    assert contents(folder) == {"a": "1"}
    assert not (folder.parents[1] / "outside").exists()


def test_another_driver_is_another_device(tmp_path, monkeypatch):
    here, run = environment.device(), tmp_path / "run"

    def driver(number):
        monkeypatch.setattr(environment, "device", lambda: here | {"driver": number})

    driver("580.1")
    first = seek(run)
    assert json.loads((run / SETTINGS).read_text())["device"]["driver"] == "580.1"
    driver("590.2")
    with pytest.raises(
        jt.RunError, match=r"'580\.1', now '590\.2'.*allow=\['device'\]"
    ):
        seek(run)
    again = jt.resume(run, killed.line(), allow=["device"], verbose=0)
    assert again.best == first.best


def test_a_run_of_an_earlier_version_does_not_name_the_driver(tmp_path, monkeypatch):
    first = seek(tmp_path / "run")
    more = environment.device() | {"driver": "580.1", "precision": "TF32"}
    monkeypatch.setattr(environment, "device", lambda: more)
    assert seek(tmp_path / "run").best == first.best
