"""Programs are kept from one process to the next, and nothing else is touched."""

import collections
import subprocess
import sys
import threading

import children
import jax
import jax.numpy as jnp
import moments
import numpy as np
import pytest
from click.testing import CliRunner

import jaxtune as jt
from jaxtune import cache, cli

CHILD = """
import collections, jax, killed
seen = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: seen.update([event]))
found = killed.search(None, "halving")
print(killed.digest(found))
kinds = ("cache_misses", "cache_hits")
print(*[seen[f"/jax/compilation_cache/{kind}"] for kind in kinds])
"""


def child(**environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD],
        env=children.environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # progress, and neither warnings nor XLA's own lines
    assert all(line.startswith("round ") for line in done.stderr.splitlines())
    digest, counts = done.stdout.splitlines()
    return digest, tuple(map(int, counts.split()))


def test_a_second_process_compiles_nothing_and_finds_the_same(tmp_path):
    first, (missed, hit) = child(JAXTUNE_CACHE=str(tmp_path))
    assert missed > 5
    assert hit == 0
    second, (missed_again, found) = child(JAXTUNE_CACHE=str(tmp_path))
    assert missed_again == 0
    assert found == missed
    assert second == first


def test_it_can_be_switched_off_and_changes_no_bit(tmp_path):
    off, counts = child(JAXTUNE_CACHE="off", HOME=str(tmp_path), XDG_CACHE_HOME="")
    assert counts == (0, 0)
    assert not list(tmp_path.rglob("programs"))
    assert off == child(JAXTUNE_CACHE=str(tmp_path))[0]


def test_a_folder_of_the_users_own_is_used_as_it_is(tmp_path):
    own, ours = tmp_path / "own", tmp_path / "ours"
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(own),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    _, (missed, _) = child(JAXTUNE_CACHE=str(ours), **settings)
    assert missed > 5
    assert own.exists()
    assert not ours.exists()


NAMES = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
)


def settings():
    return [getattr(jax.config, name) for name in NAMES]


@pytest.fixture
def at(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.SWITCH, str(tmp_path))
    return tmp_path


def test_jax_is_left_as_it_was(at):
    before = settings()
    with cache.compiled_once():
        inside = settings()
        with cache.compiled_once():
            assert settings() == inside
        assert settings() == inside
    assert settings() == before != inside
    with pytest.raises(ZeroDivisionError), cache.compiled_once():
        _ = 1 / 0
    assert settings() == before


def test_programs_of_others_are_not_kept(at):
    def compiled(number):
        jax.jit(lambda x: x * number)(jnp.ones(3)).block_until_ready()
        return len(list((at / cache.machine() / "programs").glob("*")))

    compiled(3.25)
    with cache.compiled_once():
        before = compiled(5.25)
    assert before > 0
    assert compiled(7.25) == before
    with cache.compiled_once():
        assert compiled(9.25) > before


def test_searches_at_the_same_time_share_it(at):
    """The first to leave does not take it from the other."""
    before, inside = settings(), threading.Barrier(2)
    left = threading.Event()

    def first():
        with cache.compiled_once():
            inside.wait(moments.HANG)
        left.set()

    other = threading.Thread(target=first)
    other.start()
    with cache.compiled_once():
        inside.wait(moments.HANG)
        assert left.wait(moments.HANG)
        assert settings() != before
    other.join()
    assert settings() == before


def test_a_folder_that_cannot_be_made_is_told_once_and_the_search_goes_on(
    tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(cache.SWITCH, str(tmp_path / "file"))
    space = jt.Space(x=jt.uniform(0.0, 1.0))

    def seek():
        return jt.search(
            lambda key, hparams: hparams["x"],
            space,
            key=jax.random.key(0),
            trials=4,
            mode="max",
        )

    with pytest.warns(UserWarning, match="not kept in .*JAXTUNE_CACHE") as told:
        first = seek()
    assert told[0].filename == __file__
    assert (seek().trials.scores == first.trials.scores).all()


def test_a_machine_of_other_instructions_has_a_folder_of_its_own(at, monkeypatch):
    here = cache.folder()
    monkeypatch.setattr(cache, "machine", lambda: "another")
    assert cache.folder() != here


def test_all_that_the_demo_does_is_kept(at, monkeypatch):
    """Definitions of the script as well, so its second run compiles nothing."""
    inside = []

    def run_path(path):
        inside.append(cache._users)
        return {"main": lambda out: inside.append(cache._users)}

    monkeypatch.setattr(cli.runpy, "run_path", run_path)
    done = CliRunner().invoke(cli.main, ["demo"])
    assert done.exit_code == 0, done.output
    assert inside == [1, 1]
    assert cache._users == 0


def test_the_model_of_a_sampler_that_is_asked_by_hand_is_kept(at):
    space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 3.0))
    sampler, seen = jt.samplers.tpe(initial=4), collections.Counter()

    def listen(event, **_):
        seen.update([event.removeprefix("/jax/compilation_cache/")])

    state, points = sampler.ask(sampler.init(jax.random.key(0), space), 9)
    state = sampler.tell(state, points, np.arange(9.0))
    jax.monitoring.register_event_listener(listen)
    try:
        jax.clear_caches()
        first = sampler.ask(state, 13)[1]
        missed = seen["cache_misses"]
        assert missed >= 1
        jax.clear_caches()  # as another process begins
        again = sampler.ask(state, 13)[1]
    finally:
        jax.monitoring.unregister_event_listener(listen)
    assert seen["cache_misses"] == missed
    assert seen["cache_hits"] >= missed
    np.testing.assert_array_equal(first, again)
