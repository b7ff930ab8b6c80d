"""Reinforcement learning whose algorithms are pytrees, in the way of rejax.

``PPO.create(**config)`` makes an algorithm, and ``algo.train(key)`` is a pure function:
it can be jitted, and mapped over keys and over the numbers of the algorithm.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.training.train_state import TrainState


class CartPole:
    """The pole on a cart of Barto, Sutton and Anderson (1983), for 200 steps."""

    limit, actions = 200, 2

    def reset(self, key):
        state = jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)
        return state, (state, jnp.int32(0))

    def step(self, key, state, action):
        """Return the next observation and state, the reward, and whether it is over."""
        (x, speed, angle, turn), time = state
        force = jnp.where(action == 1, 10.0, -10.0)
        push = (force + 0.05 * turn**2 * jnp.sin(angle)) / 1.1
        gravity = 9.8 * jnp.sin(angle) - jnp.cos(angle) * push
        spin = gravity / (0.5 * (4 / 3 - 0.1 * jnp.cos(angle) ** 2 / 1.1))
        pull = push - 0.05 * spin * jnp.cos(angle) / 1.1
        rates = jnp.stack([speed, pull, turn, spin])
        after = jnp.stack([x, speed, angle, turn]) + 0.02 * rates
        fallen = (jnp.abs(after[0]) > 2.4) | (jnp.abs(after[2]) > 0.2095)
        over = fallen | (time + 1 >= self.limit)
        fresh = self.reset(key)
        going = after, (after, time + 1)
        obs, state = jax.tree.map(lambda a, b: jnp.where(over, a, b), fresh, going)
        return obs, state, jnp.float32(1.0), over


CART_POLE = CartPole()


class ActorCritic(nn.Module):
    """The logits of the actions, and the value of an observation."""

    actions: int

    @nn.compact
    def __call__(self, obs):
        hidden = lambda: nn.tanh(nn.Dense(32)(nn.tanh(nn.Dense(32)(obs))))  # noqa: E731
        return nn.Dense(self.actions)(hidden()), nn.Dense(1)(hidden())[..., 0]


class Step(NamedTuple):
    """What happened in one step of all environments."""

    obs: Any
    action: Any
    log_prob: Any
    value: Any
    reward: Any
    over: Any


@struct.dataclass
class PPO:
    """Proximal policy optimisation (Schulman et al., 2017)."""

    env: Any = struct.field(pytree_node=False)
    network: Any = struct.field(pytree_node=False)
    learning_rate: Any
    gamma: Any
    gae_lambda: Any
    clip_eps: Any
    ent_coef: Any
    total_timesteps: int = struct.field(pytree_node=False)
    eval_freq: int = struct.field(pytree_node=False)
    num_envs: int = struct.field(pytree_node=False)
    num_steps: int = struct.field(pytree_node=False)
    num_epochs: int = struct.field(pytree_node=False)

    @classmethod
    def create(cls, env=None, **config):
        """Make an algorithm; what the configuration leaves out has a default."""
        env = CART_POLE if env is None else env
        numbers = {"learning_rate": 1e-3, "gamma": 0.99, "gae_lambda": 0.95}
        numbers |= {"clip_eps": 0.2, "ent_coef": 0.01}
        sizes = {"total_timesteps": 16384, "eval_freq": 8192, "num_envs": 16}
        sizes |= {"num_steps": 64, "num_epochs": 4}
        network = ActorCritic(env.actions)
        return cls(env=env, network=network, **{**numbers, **sizes, **config})

    def train(self, key):
        """Return the train state, and lengths and returns of the evaluations' episodes.

        The evaluations are ``[evaluations, episodes]``.
        """
        key_net, key_envs, key_run = jax.random.split(key, 3)
        params = self.network.init(key_net, jnp.zeros(4))
        optimizer = optax.adam(self.learning_rate, eps=1e-5)
        tx = optax.chain(optax.clip_by_global_norm(0.5), optimizer)
        apply_fn = self.network.apply
        ts = TrainState.create(apply_fn=apply_fn, params=params, tx=tx)
        envs = jax.vmap(self.env.reset)(jax.random.split(key_envs, self.num_envs))
        updates = self.eval_freq // (self.num_envs * self.num_steps)

        def train_and_evaluate(carry, key):
            key_train, key_eval = jax.random.split(key)
            keys = jax.random.split(key_train, updates)
            carry, _ = jax.lax.scan(self.update, carry, keys)
            return carry, self.evaluate(carry[0], key_eval)

        keys = jax.random.split(key_run, self.total_timesteps // self.eval_freq)
        (ts, _), evaluation = jax.lax.scan(train_and_evaluate, (ts, envs), keys)
        return ts, evaluation

    def evaluate(self, ts, key, episodes=16):
        """Return the length and the return of some episodes."""

        def episode(key):
            def step(carry, key):
                obs, state, running = carry
                key_act, key_step = jax.random.split(key)
                action = jax.random.categorical(key_act, ts.apply_fn(ts.params, obs)[0])
                obs, state, reward, over = self.env.step(key_step, state, action)
                return (obs, state, running & ~over), (running, reward * running)

            key_reset, key_steps = jax.random.split(key)
            start = (*self.env.reset(key_reset), jnp.bool_(True))
            keys = jax.random.split(key_steps, self.env.limit)
            running, rewards = jax.lax.scan(step, start, keys)[1]
            return running.sum(), rewards.sum()

        return jax.vmap(episode)(jax.random.split(key, episodes))

    def update(self, carry, key):
        """Collect a rollout, and train some epochs on it."""
        ts, (obs, states) = carry
        key_roll, key_train = jax.random.split(key)

        def act(carry, key):
            obs, states = carry
            key_act, key_step = jax.random.split(key)
            logits, value = ts.apply_fn(ts.params, obs)
            action = jax.random.categorical(key_act, logits)
            log_prob = log_prob_of(logits, action)
            keys = jax.random.split(key_step, self.num_envs)
            after, states, reward, over = jax.vmap(self.env.step)(keys, states, action)
            return (after, states), Step(obs, action, log_prob, value, reward, over)

        keys = jax.random.split(key_roll, self.num_steps)
        envs, rollout = jax.lax.scan(act, (obs, states), keys)
        advantages = self.advantages(rollout, ts.apply_fn(ts.params, envs[0])[1])
        batch = rollout, advantages, advantages + rollout.value
        batch = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), batch)

        def epoch(ts, key):
            order = jax.random.permutation(key, self.num_envs * self.num_steps)
            parts = jax.tree.map(lambda a: a[order].reshape(4, -1, *a.shape[1:]), batch)
            return jax.lax.scan(self.gradient_step, ts, parts)

        ts, _ = jax.lax.scan(epoch, ts, jax.random.split(key_train, self.num_epochs))
        return (ts, envs), None

    def advantages(self, rollout, last_value):
        """Return generalised advantage estimates (Schulman et al., 2016)."""

        def back(carry, step):
            advantage, value = carry
            going = 1 - step.over
            delta = step.reward + self.gamma * value * going - step.value
            advantage = delta + self.gamma * self.gae_lambda * going * advantage
            return (advantage, step.value), advantage

        start = jnp.zeros_like(last_value), last_value
        return jax.lax.scan(back, start, rollout, reverse=True)[1]

    def gradient_step(self, ts, part):
        """Train on a minibatch."""
        rollout, advantages, targets = part

        def loss(params):
            logits, value = ts.apply_fn(params, rollout.obs)
            ratio = jnp.exp(log_prob_of(logits, rollout.action) - rollout.log_prob)
            gain = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
            clipped = jnp.clip(ratio, 1 - self.clip_eps, 1 + self.clip_eps)
            policy = jnp.minimum(ratio * gain, clipped * gain).mean()
            chances = jax.nn.log_softmax(logits)
            entropy = -(jnp.exp(chances) * chances).sum(-1).mean()
            critic = 0.5 * jnp.square(value - targets).mean()
            return -policy + 0.5 * critic - self.ent_coef * entropy

        return ts.apply_gradients(grads=jax.grad(loss)(ts.params)), None


def log_prob_of(logits, action):
    """Return the logarithm of the actions' chances."""
    chances = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(chances, action[..., None], -1)[..., 0]


train_agent = jax.jit(PPO.train)  # compiled once for all numbers


def train(config, key):
    """Train an agent, and return the mean return of its last evaluation."""
    _, (_, returns) = train_agent(PPO.create(**config), key)
    return float(returns[-1].mean())


if __name__ == "__main__":
    print(train({"learning_rate": 3e-3, "total_timesteps": 32768}, jax.random.key(0)))
