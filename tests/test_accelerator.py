"""What differs on an accelerator, on a CPU that counts as one: the same tables."""

import subprocess
import sys
import warnings
from pathlib import Path

import children
import jax
import killed
import numpy as np
import pytest

import jaxtune as jt
from jaxtune.hardware import SWITCH
from jaxtune.programs import block as block_program
from jaxtune.programs import kept
from jaxtune.schedulers.base import decision
from jaxtune.training import state_store
from jaxtune.training.round_state import RoundState

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def accelerator(monkeypatch):
    monkeypatch.setenv(SWITCH, "accelerator")


def search(name="halving", **more):
    """Return a search of 48 lanes in blocks of 4, of which the largest rates fail."""
    arguments = {
        "key": jax.random.key(3),
        "trials": 24,
        "epochs": 9,
        "block": 4,
        "sampler": "sobol",
    }
    arguments |= {"seeds": 2, "scheduler": killed.SCHEDULERS[name]} | more
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
    return jt.search(killed.line(), space, **arguments)


@pytest.fixture(scope="module")
def table():
    """The digest of each scheduler's table on a CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, "cpu")
        return {name: killed.digest(search(name)) for name in killed.SCHEDULERS}


@pytest.mark.parametrize("name", ["halving", "asha", "pbt"])
def test_no_state_leaves_an_accelerator(name, table, monkeypatch):
    monkeypatch.setattr(kept, "to_host", lambda *_: pytest.fail("a copy to the host"))
    assert killed.digest(search(name)) == table[name]


@pytest.mark.parametrize("name", ["halving", "asha"])
def test_states_that_take_too_much_memory_go_to_the_host(name, table, monkeypatch):
    copies, to_host = [], kept.to_host
    monkeypatch.setattr(kept, "to_host", lambda *a: copies.append(a) or to_host(*a))
    monkeypatch.setattr(state_store, "SHARE", 1e-9)
    assert killed.digest(search(name)) == table[name]
    assert copies


def test_states_make_room_before_a_block_is_halved(table, monkeypatch):
    advance, calls = block_program.advance, []

    def full(*args):
        calls.append(args)
        if len(calls) == 14:  # the first of those that go on
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return advance(*args)

    monkeypatch.setattr(block_program, "advance", full)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no block is halved
        assert killed.digest(search()) == table["halving"]


def test_a_trial_that_is_left_behind_has_no_state(monkeypatch):
    left, release = [], RoundState.release

    def counted(self, rows):
        release(self, rows)
        left.append(len(self._states._states))

    monkeypatch.setattr(RoundState, "release", counted)
    search(seeds=1, block=3)
    (bracket,) = killed.SCHEDULERS["halving"].plan(24, 9).brackets
    assert bracket.counts == (24, 8)
    assert left[:2] == [0, 8]  # when all begin, and when the best ones go on


def test_a_final_plan_is_kept():
    inner = killed.SCHEDULERS["halving"]

    def decide(key, plan, progress):
        decided = inner.decide(key, plan, progress)
        left = np.flatnonzero(progress.target < progress.target.max())
        if left.size and not len(decided.trial):
            return decision(left[:1], 9)
        return decided

    with pytest.raises(ValueError, match="its plan is final"):
        search(scheduler=inner._replace(decide=decide))


@pytest.mark.slow
def test_the_whole_search_tier_passes_as_on_an_accelerator():
    # a worker of pytest would take its child for a worker too
    own = {n: v for n, v in children.environment().items() if "PYTEST" not in n}
    command = [sys.executable, "-m", "pytest", "-m", "search", "-q", "-n", "2"]
    command += ["--dist", "loadfile", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(
        command, cwd=ROOT, env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-10_000:]
