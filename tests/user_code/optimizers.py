"""Optimisers and schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

import jaxtune as jt
from user_code.row import (
    BATCH,
    EPOCHS,
    SPLITS,
    TRAIN,
    VALID,
    Row,
    classified,
    cross_entropy,
)

STEPS = EPOCHS * len(TRAIN[1]) // BATCH


def init(key, x):
    return {"w": 0.1 * jax.random.normal(key, (4, 3)), "b": jnp.zeros((1, 3))}


def apply(params, x):
    return x @ params["w"] + params["b"]


def rate():
    return jt.Space(learning_rate=jt.log_uniform(1e-2, 0.5))


def rate_and_batch():
    """Lanes of one program with batches of their own, added up from smaller ones."""
    return jt.Space(
        learning_rate=jt.log_uniform(1e-2, 0.5), batch_size=jt.power_of_two(4, 16)
    )


def rate_and_static_batch():
    return jt.Space(
        learning_rate=jt.log_uniform(1e-2, 0.5),
        batch_size=jt.power_of_two(4, 16, static=True),
    )


def by_hand(optimizer, h, keys, told=(), view=None):
    """Train the regression in a loop, as optax's documentation does.

    Args:
      optimizer: an optax transformation.
      h: the configuration.
      keys: of the trial.
      told: names of what ``update`` is told beside the gradients.
      view: ``(state, params) -> params``, what is evaluated.
    """
    params, optimizer = init(keys.init, None), optax.with_extra_args_support(optimizer)
    state, size = optimizer.init(params), h.get("batch_size", BATCH)
    for _ in range(EPOCHS):
        for begin in range(0, len(TRAIN[1]), size):
            x, y = (a[begin : begin + size] for a in TRAIN)

            def loss(params, x=x, y=y):
                return cross_entropy(apply(params, x), y)

            value, gradients = jax.value_and_grad(loss)(params)
            known = {
                "value": value,
                "grad": gradients,
                "value_fn": lambda params, loss=loss: loss(params),
                "obj_fn": loss,
                "grad_fn": lambda params, _, loss=loss: jax.grad(loss)(params),
            }
            updates, state = optimizer.update(
                gradients, state, params, **{name: known[name] for name in told}
            )
            params = optax.apply_updates(params, updates)
    seen = view(state, params) if view else params
    return classified(apply(seen, VALID[0]), VALID[1])


def row(
    name: str,
    make: Callable[..., Any],
    *,
    told: tuple[str, ...] = (),
    view: Any = None,
    space: Any = rate,
    hand: Any = None,
) -> Row:
    """Return the row of one optimiser; by hand it is the same one, or ``hand``."""
    return Row(
        name,
        lambda: jt.classification((init, apply), **SPLITS, optimizer=make),
        space,
        lambda h, keys: by_hand((hand or make)(h), h, keys, told, view),
    )


def sharp(h, **how):
    """SAM as in its own example."""
    ascent = optax.chain(contrib.normalize(), optax.sgd(0.05))
    return contrib.sam(optax.sgd(h["learning_rate"]), ascent, **how)


def plateau(h):
    slower = contrib.reduce_on_plateau(factor=0.5, patience=1)
    return optax.chain(optax.sgd(h["learning_rate"]), slower)


def partly(h):
    """An optimiser for each part, and a decay of the weights alone."""
    decay = optax.masked(optax.add_decayed_weights(0.01), {"w": True, "b": False})
    each = {"w": optax.adam(h["learning_rate"]), "b": optax.sgd(0.1)}
    return optax.chain(decay, optax.partition(each, {"w": "w", "b": "b"}))


def every_second(h):
    return optax.MultiSteps(optax.adam(h["learning_rate"]), every_k_schedule=2)


def finite_and_clipped(h):
    clipped = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1))
    return optax.apply_if_finite(clipped, 3)


def injected(h):
    adam = optax.inject_hyperparams(optax.adamw)
    return adam(learning_rate=h["learning_rate"], weight_decay=0.01)


def free(h):
    freed = contrib.schedule_free_sgd(h["learning_rate"])
    return optax.chain(optax.clip(1.0), freed)


def free_view(state, params):
    return contrib.schedule_free_eval_params(state[1], params)


def averaged(h):
    return jt.optimizers.averaged(optax.sgd(h["learning_rate"]), decay=0.8)


def averaged_since(h):
    return jt.optimizers.averaged(optax.sgd(h["learning_rate"]), begin=3)


class Kept:
    """Every step's parameters, kept by hand beside the optimiser."""

    def __init__(self, optimizer):
        self.inner, self.seen = optax.with_extra_args_support(optimizer), []

    def init(self, params):
        return self.inner.init(params)

    def update(self, gradients, state, params, **extra):
        updates, state = self.inner.update(gradients, state, params)
        self.seen.append(optax.apply_updates(params, updates))
        return updates, state


def kept_by_hand(h, keys, weights):
    """Train with plain SGD, and evaluate a weighted mean of all steps' parameters."""
    kept = Kept(optax.sgd(h["learning_rate"]))

    def view(state, params):
        share = [weights(i, len(kept.seen)) for i in range(len(kept.seen))]
        weighted = [
            jax.tree.map(lambda p, s=s: p * s / sum(share), seen)
            for s, seen in zip(share, kept.seen, strict=True)
        ]
        return jax.tree.map(lambda *parts: sum(parts), *weighted)

    pair = optax.GradientTransformationExtraArgs(kept.init, kept.update)
    return by_hand(pair, h, keys, view=view)


def viewed(h):
    """A view of one's own: the parameters of the momentum's next step."""
    inner = optax.sgd(h["learning_rate"], momentum=0.9)
    return jt.optimizers.evaluated_with(inner, ahead)


def ahead(state, params):
    return jax.tree.map(lambda p, m: p - 0.1 * m, params, state[0].trace)


def scheduled(h, steps):
    rise = jt.schedules.warmup_cosine(h["learning_rate"], steps, warmup=0.25)
    return optax.adam(rise)


def scheduled_by_hand(h):
    steps = EPOCHS * -(-len(TRAIN[1]) // h.get("batch_size", BATCH))
    warmup, peak = steps // 4, h["learning_rate"]
    rise = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps)
    return optax.adam(rise)


def scheduled_by_optax(h, *, steps, epochs, examples):
    assert (steps, epochs, examples) == (STEPS, EPOCHS, len(TRAIN[1]))
    return optax.sgd(optax.linear_schedule(0.1, 0.0, steps))


ROWS = [
    row("optimizer told the loss, on a plateau", plateau, told=("value",)),
    row(
        "optimizer told the loss of a batch that is added up",
        plateau,
        told=("value",),
        space=rate_and_batch,
    ),
    row(
        "optimizer with Polyak's step",
        lambda h: optax.polyak_sgd(h["learning_rate"]),
        told=("value",),
    ),
    row(
        "optimizer with a line search",
        lambda h: optax.lbfgs(memory_size=3),
        told=("value", "grad", "value_fn"),
    )._replace(warns="nothing reads learning_rate"),
    row(
        "optimizer with a backtracking search and static batches",
        lambda h: optax.chain(
            optax.sgd(h["learning_rate"]),
            optax.scale_by_backtracking_linesearch(max_backtracking_steps=5),
        ),
        told=("value", "grad", "value_fn"),
        space=rate_and_static_batch,
    ),
    row("optimizer sam", sharp),
    row(
        "optimizer sam in a chain",
        lambda h: optax.chain(optax.clip_by_global_norm(1.0), sharp(h)),
    ),
    row(
        "optimizer sam that computes gradients itself",
        lambda h: sharp(h, opaque_mode=True),
        told=("grad_fn",),
    ),
    row(
        "optimizer sophia",
        lambda h: contrib.sophia(h["learning_rate"]),
        told=("obj_fn",),
    ),
    row("optimizer for parts of the parameters", partly),
    row(
        "optimizer MultiSteps itself",
        every_second,
        hand=lambda h: every_second(h).gradient_transformation(),
    ),
    row("optimizer that skips what is not finite", finite_and_clipped)._replace(
        warns="nothing reads learning_rate"
    ),
    row("optimizer with injected hyperparameters", injected, space=rate_and_batch),
    row("optimizer muon", lambda h: contrib.muon(h["learning_rate"])),
    row("optimizer prodigy", lambda h: contrib.prodigy(h["learning_rate"])),
    row("optimizer schedule-free in a chain", free, view=free_view),
    Row(
        "optimizer with an exponential average",
        lambda: jt.classification((init, apply), **SPLITS, optimizer=averaged),
        rate,
        lambda h, keys: kept_by_hand(h, keys, lambda i, n: 0.8 ** (n - 1 - i)),
    ),
    Row(
        "optimizer with the mean of the last steps, batches added up",
        lambda: jt.classification((init, apply), **SPLITS, optimizer=averaged_since),
        rate_and_batch,
        lambda h, keys: kept_by_hand(h, keys, lambda i, n: float(i >= 3)),
    ),
    row(
        "optimizer with a view of its own",
        viewed,
        hand=lambda h: optax.sgd(h["learning_rate"], momentum=0.9),
        view=ahead,
    ),
    row("optimizer that asks for the steps", scheduled, hand=scheduled_by_hand),
    row(
        "optimizer that asks for the steps of its batches",
        scheduled,
        hand=scheduled_by_hand,
        space=rate_and_batch,
    ),
    row(
        "optimizer with optax's schedule of the steps",
        scheduled_by_optax,
        hand=lambda h: optax.sgd(optax.linear_schedule(0.1, 0.0, STEPS)),
    )._replace(warns="nothing reads learning_rate"),
    row("optimizer by name", "adamw", hand=lambda h: optax.adamw(h["learning_rate"])),
    row(
        "optimizer that is a transformation",
        optax.adam(0.1),
        hand=lambda h: optax.adam(0.1),
    )._replace(warns="nothing reads learning_rate"),
]
