"""The agents and the networks whose training times are compared with published ones."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.published import agents, mlps, ppo, purejaxrl, vectorised
from benchmarks.published.common import RESULTS

ROOT = Path(__file__).parents[1]
CLIP = {"CLIP_EPS": 0.2, "VF_COEF": 0.0, "ENT_COEF": 0.0}


def steps(count=6, envs=2):
    """Steps of two environments; the first one's episode ends in the middle."""
    draw = np.random.default_rng(0)
    done = np.zeros((count, envs), bool)
    done[2, 0] = True
    floats = {
        name: draw.normal(size=(count, envs)) for name in ("chance", "value", "reward")
    }
    seen, action = draw.normal(size=(count, envs, 4)), np.zeros((count, envs), int)
    return jax.tree.map(
        jnp.asarray, ppo.Steps(seen=seen, action=action, done=done, **floats)
    )


def test_an_advantage_is_the_sum_of_later_surprises_of_its_episode():
    taken, last, gamma, lam = steps(), np.asarray([0.3, -0.7]), 0.9, 0.8
    found = ppo.advantages(taken, jnp.asarray(last), gamma, lam)
    values = np.vstack([taken.value, last])
    for env in range(2):
        for begin in range(6):
            total = 0.0
            for step in range(begin, 6):
                goes_on = not taken.done[step, env]
                later = gamma * values[step + 1, env] * goes_on
                surprise = taken.reward[step, env] + later - values[step, env]
                total += (gamma * lam) ** (step - begin) * surprise
                if not goes_on:
                    break
            assert np.isclose(found[begin, env], total, atol=1e-5)


@pytest.mark.parametrize(
    ("ratio", "gain", "learns"),
    [
        (1.0, 1, True),
        (1.3, 1, False),
        (0.7, 1, True),
        (1.3, -1, True),
        (0.7, -1, False),
    ],
)
def test_a_step_beyond_the_clip_that_would_go_on_teaches_nothing(ratio, gain, learns):
    # the other step, which is in the middle, gives the gains a mean of zero
    logits = jnp.zeros((2, 2))
    old = jnp.log(0.5) - jnp.log(jnp.asarray([ratio, 1.0]))
    nothing = jnp.zeros(2)
    taken = ppo.Steps(nothing, jnp.asarray([0, 0]), old, nothing, nothing, nothing)
    gains = jnp.asarray([gain, -gain], jnp.float32)

    def loss(logits):
        return ppo.loss_of((logits, nothing), taken, gains, CLIP)

    slope = jax.grad(loss)(logits)
    assert bool(jnp.any(slope[0] != 0)) == learns
    assert jnp.any(slope[1] != 0)


def test_the_learning_rate_falls_to_zero_update_by_update():
    config = {**ppo.CARTPOLE, "LR": 1.0, "NUM_MINIBATCHES": 2, "UPDATE_EPOCHS": 1}
    optimizer = ppo.optimizer_of(config, updates=4)
    state, sizes = optimizer.init(jnp.zeros(())), []
    for _ in range(8):
        moved, state = optimizer.update(jnp.float32(1.0), state)
        sizes.append(float(-moved))
    # Adam's step is the learning rate where all gradients are alike
    assert np.allclose(sizes, np.repeat([1.0, 0.75, 0.5, 0.25], 2), atol=1e-3)


@pytest.mark.slow
def test_the_same_agents_train_in_every_way():
    pytest.importorskip("gymnax")
    with jax.numpy_rank_promotion("allow"):
        assert max(agents.differences().values()) < 1e-3


@jax.numpy_rank_promotion("allow")
def test_a_padded_network_takes_the_steps_of_its_own_size():
    active = (jnp.arange(8) < 3).astype(jnp.float32)
    padded = mlps.start(jax.random.key(0), 5, 8, active)
    draw = np.random.default_rng(0)
    batch = jnp.asarray(draw.normal(size=(7, 5)), jnp.float32), jnp.arange(7) % 2
    first, bias, second, last = padded
    own = first[:, :3], bias[:3], second[:3], last
    for _ in range(3):
        padded = mlps.step(padded, batch, jnp.tanh, active)
        own = mlps.step(own, batch, jnp.tanh)
    x = batch[0]
    assert np.allclose(
        mlps.outputs(padded, x, jnp.tanh, active),
        mlps.outputs(own, x, jnp.tanh),
        atol=1e-6,
    )
    assert not jnp.any(padded[0][:, 3:]), "the padding has weights"


def test_every_shape_has_its_share_of_a_sample():
    work = mlps.Work(samples=10, features=2, units=3, repeats=2)
    units, kinds = mlps.shapes(work, work.networks)
    each = {(u, k): 0 for u in (1, 2, 3) for k in range(4)}
    for pair in zip(units.tolist(), kinds.tolist(), strict=True):
        each[pair] += 1
    assert set(each.values()) == {2}


@pytest.mark.parametrize("module", [purejaxrl, vectorised])
def test_the_tables_show_every_way_that_was_measured(module):
    name = module.__name__.rpartition(".")[2]
    written = json.loads((RESULTS / f"{name}.json").read_text())
    assert set(written["rows"]) == set(module.PARTS)
    shown = module.tables(written)
    assert "nan" not in shown
    labels = {
        purejaxrl: (purejaxrl.NAMES, purejaxrl.CHOICES),
        vectorised: (vectorised.JOBS, vectorised.WAYS),
    }
    for known in labels[module]:
        assert all(f"| {label} |" in shown for label in known.values())


@pytest.mark.slow
@pytest.mark.parametrize("command", ["purejaxrl", "vectorised"])
def test_a_command_runs(command, tmp_path):
    if command == "purejaxrl":
        pytest.importorskip("gymnax")
    call = [sys.executable, "-m", f"benchmarks.published.{command}", "--small"]
    call += ["--json", str(tmp_path / "figures.json")]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "`jt.search" in done.stdout
