"""Proximal policy optimisation, from its paper, as one function that JAX can trace.

The loss is that of Schulman et al. (2017), with the value clipped as the policy is; the
advantages are the generalised estimates of Schulman et al. (2016). The setting, as of
PureJaxRL's notebook, is `CARTPOLE`. Any number in it that sets no shape may be traced:
``LR``, ``GAMMA``, ``GAE_LAMBDA``, ``CLIP_EPS``, ``ENT_COEF``, ``VF_COEF`` and
``MAX_GRAD_NORM``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

CARTPOLE = {
    "ENV_NAME": "CartPole-v1",
    "TOTAL_TIMESTEPS": 500_000,
    "NUM_ENVS": 4,
    "NUM_STEPS": 128,
    "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 4,
    "LR": 2.5e-4,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
}


class ActorCritic(nn.Module):
    """Two networks of two hidden layers: logits of the actions, and a value."""

    actions: int

    @nn.compact
    def __call__(self, x):
        """Return logits ``[..., actions]`` and values ``[...]``."""
        logits = self.tower(x, self.actions, 0.01)
        return logits, self.tower(x, 1, 1.0)[..., 0]

    def tower(self, x, outputs, scale):
        """Return the outputs of one network, whose last weights have a scale."""
        for _ in range(2):
            x = nn.tanh(nn.Dense(64, kernel_init=nn.initializers.orthogonal(2**0.5))(x))
        return nn.Dense(outputs, kernel_init=nn.initializers.orthogonal(scale))(x)


class Steps(NamedTuple):
    """What the agent has seen, ``[steps, envs, ...]``, and later minibatches of it."""

    seen: Any
    action: Any
    chance: Any  # logarithm of the probability of the action
    value: Any
    reward: Any
    done: Any


def chance_of(logits: jax.Array, action: jax.Array) -> jax.Array:
    """Return the logarithm of the probability of an action."""
    chances = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(chances, action[..., None], -1)[..., 0]


def entropy_of(logits: jax.Array) -> jax.Array:
    """Return the entropy of the actions."""
    chances = jax.nn.log_softmax(logits)
    return -(jnp.exp(chances) * chances).sum(-1)


def advantages(steps: Steps, value: jax.Array, gamma: Any, lam: Any) -> jax.Array:
    """Return the generalised advantage of each step, ``[steps, envs]``.

    Args:
      steps: of all environments.
      value: of what was seen after the last step, ``[envs]``.
      gamma: how much the reward of the next step counts.
      lam: how much the advantage of the next step counts, times ``gamma``.
    """

    def back(later, step):
        advantage, value = later
        goes_on = 1.0 - step.done
        surprise = step.reward + gamma * goes_on * value - step.value
        advantage = surprise + gamma * lam * goes_on * advantage
        return (advantage, step.value), advantage

    return jax.lax.scan(back, (jnp.zeros_like(value), value), steps, reverse=True)[1]


def loss_of(outputs: tuple, steps: Steps, gain: jax.Array, config: dict) -> jax.Array:
    """Return the loss of a minibatch.

    Args:
      outputs: of the network now, logits and values.
      steps: as the agent has taken them.
      gain: their advantages.
      config: the setting.
    """
    logits, value = outputs
    clip = config["CLIP_EPS"]
    target = gain + steps.value
    near = steps.value + jnp.clip(value - steps.value, -clip, clip)
    misses = jnp.maximum((value - target) ** 2, (near - target) ** 2)
    gain = (gain - gain.mean()) / (gain.std() + 1e-8)
    ratio = jnp.exp(chance_of(logits, steps.action) - steps.chance)
    gains = jnp.minimum(ratio * gain, jnp.clip(ratio, 1 - clip, 1 + clip) * gain)
    bonus = config["ENT_COEF"] * entropy_of(logits).mean()
    return config["VF_COEF"] * misses.mean() / 2 - gains.mean() - bonus


def optimizer_of(config: dict, updates: int) -> optax.GradientTransformation:
    """Return Adam with clipped gradients, whose rate falls to zero update by update."""
    a_turn = config["NUM_MINIBATCHES"] * config["UPDATE_EPOCHS"]
    rate = lambda step: config["LR"] * (1 - (step // a_turn) / updates)  # noqa: E731
    clip = optax.clip_by_global_norm(config["MAX_GRAD_NORM"])
    return optax.chain(clip, optax.adam(rate, eps=1e-5))


def updates_of(config: dict) -> int:
    """Return how often the agent looks at new steps."""
    return config["TOTAL_TIMESTEPS"] // (config["NUM_STEPS"] * config["NUM_ENVS"])


def make_collect(config: dict, network: ActorCritic, env: Any, world: Any) -> Callable:
    """Return the function that acts for ``NUM_STEPS`` steps.

    ``collect(params, place, key)`` returns the new place, `Steps`, and the return of
    the last whole episode of each environment after each step. A place is states, what
    is seen, rewards of the present episode, and the return of the last whole one.
    """
    envs = config["NUM_ENVS"]

    def collect(params, place, key):
        def step(place, key):
            states, seen, so_far, last = place
            choose, move = jax.random.split(key)
            logits, value = network.apply(params, seen)
            action = jax.random.categorical(choose, logits)
            next_seen, states, reward, ended, cut, _ = jax.vmap(
                env.step, (0, 0, 0, None)
            )(jax.random.split(move, envs), states, action, world)
            done = ended | cut
            so_far = so_far + reward
            last = jnp.where(done, so_far, last)
            chance = chance_of(logits, action)
            taken = Steps(seen, action, chance, value, reward, done)
            return (states, next_seen, so_far * (1 - done), last), (taken, last)

        keys = jax.random.split(key, config["NUM_STEPS"])
        place, (steps, returns) = jax.lax.scan(step, place, keys)
        return place, steps, returns

    return collect


def make_learn(config: dict, network: ActorCritic) -> Callable:
    """Return the function that goes over the steps ``UPDATE_EPOCHS`` times."""
    optimizer = optimizer_of(config, updates_of(config))
    parts = config["NUM_MINIBATCHES"]

    def learn(params, state, steps, gain, key):
        def minibatch(carry, batch):
            params, state = carry
            loss = lambda p: loss_of(network.apply(p, batch[0].seen), *batch, config)  # noqa: E731
            updates, state = optimizer.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), (steps, gain))

        def epoch(carry, key):
            order = jax.random.permutation(key, gain.size).reshape(parts, -1)
            return jax.lax.scan(
                lambda c, rows: minibatch(c, jax.tree.map(lambda a: a[rows], flat)),
                carry,
                order,
            )[0], None

        keys = jax.random.split(key, config["UPDATE_EPOCHS"])
        return jax.lax.scan(epoch, (params, state), keys)[0]

    return learn


def make_train(config: dict) -> Callable[[jax.Array], dict]:
    """Return the function that trains one agent from a key.

    Args:
      config: as `CARTPOLE`.

    Returns:
      ``train(key) -> {"returns": [updates], "params": ...}``; the returns are means
      over the steps and environments of an update, of the last whole episode of each.
    """
    import gymnax  # only here: tables of the figures are made without it

    env, world = gymnax.make(config["ENV_NAME"])
    network = ActorCritic(env.num_actions)
    collect = make_collect(config, network, env, world)
    learn = make_learn(config, network)

    def update(carry, key):
        params, state, place = carry
        act, order = jax.random.split(key)
        place, steps, returns = collect(params, place, act)
        _, value = network.apply(params, place[1])
        gain = advantages(steps, value, config["GAMMA"], config["GAE_LAMBDA"])
        params, state = learn(params, state, steps, gain, order)
        return (params, state, place), returns.mean()

    def train(key):
        begin, start, run = jax.random.split(key, 3)
        nothing = jnp.zeros(config["NUM_ENVS"])
        starts = jax.random.split(start, config["NUM_ENVS"])
        seen, states = jax.vmap(env.reset, (0, None))(starts, world)
        params = network.init(begin, seen)
        state = optimizer_of(config, updates_of(config)).init(params)
        place = (states, seen, nothing, nothing)
        keys = jax.random.split(run, updates_of(config))
        (params, *_), returns = jax.lax.scan(update, (params, state, place), keys)
        return {"returns": returns, "params": params}

    return train
