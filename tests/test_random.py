"""The tree of random keys: constants at every fold, and none twice at one place."""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jaxtune as jt
from jaxtune import random

PACKAGE = Path(jt.__file__).parent

# streams that are folded into one key
LEVELS = [
    (random.SAMPLE, random.TRAIN, random.SCHEDULE),
    (random.INIT, random.ORDER, random.NOISE),
    (random.MOVE, random.REDRAW, random.DRAWN),
    (random.POOL, random.PICK),
]


@pytest.mark.parametrize("streams", LEVELS, ids=str)
def test_streams_of_one_key_differ(streams):
    keys = [jax.random.fold_in(jax.random.key(0), stream) for stream in streams]
    words = {tuple(jax.random.key_data(key).tolist()) for key in keys}
    assert len(words) == len(streams)


def test_no_epoch_is_the_stream_of_exploiting():
    """Both are folded into the key of a round, and epochs begin at 1."""
    assert random.EXPLOIT < 1


def folds(tree):
    """The second argument of each call of ``fold_in``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "fold_in":
            yield node.args[1]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_streams_have_names(path):
    for folded in folds(ast.parse(path.read_text())):
        numbers = [n for n in ast.walk(folded) if isinstance(n, ast.Constant)]
        assert not numbers, f"line {folded.lineno}: name the stream in random.py"


def test_a_lane_key_depends_on_root_trial_and_seed():
    root, other = jax.random.key(0), jax.random.key(1)
    keys = [
        random.lane_key(root, jnp.uint32(trial), jnp.uint32(seed))
        for trial in range(3)
        for seed in range(2)
    ]
    keys.append(random.lane_key(other, jnp.uint32(0), jnp.uint32(0)))
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 7
