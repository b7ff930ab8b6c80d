"""The operations of ``operations.py``, each as a step that a loop can repeat.

A step maps arrays to arrays of the same shapes. An operation with a gradient is a step
of gradient descent on the mean square of its result; of the others the result is added
up and moves the input by less than a rounding. So every step depends on the one before,
and a compiler can neither leave it out nor take it out of the loop.

``CASES`` is the table: a name, and a function of the batch size that returns a step and
its arrays.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


def descended(function, *arrays):
    """Return arrays after a step of descent; those that are not floats stay."""
    floats = [i for i, a in enumerate(arrays) if jnp.issubdtype(a.dtype, jnp.floating)]
    # the slope of a plain mean would be one number, which the compiler spreads itself
    slopes = jax.grad(lambda *a: jnp.mean(function(*a) ** 2), floats)(*arrays)
    new = list(arrays)
    for i, slope in zip(floats, slopes, strict=True):
        new[i] = arrays[i] - 1e-3 * slope
    return tuple(new)


def nudged(function, x, *rest):
    """Return arrays of which the first is moved by less than a rounding."""
    total = sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(x, *rest)))
    return x + 1e-30 * total.astype(x.dtype), *rest


def drawn(draw, key, total):
    """Return the next key, and a sum over what this one draws."""
    # numbers that nobody reads would not be drawn
    numbers = draw(key)
    return jax.random.fold_in(key, 1), total + jnp.sum(numbers).astype(total.dtype)


def normal(seed, *shape, scale=1.0):
    """Return normal numbers."""
    return scale * jax.random.normal(jax.random.key(seed), shape)


def convolution(
    space, before, after, window, layout=None, first_layer=False, groups=1, **more
):
    """Return the case of a convolution.

    Args:
      space: lengths of the axes of an image.
      before: channels of the input.
      after: channels of the output.
      window: length of every axis of the kernel.
      layout: three strings, such as NCHW; channels last if not given.
      first_layer: whether the input needs no gradient.
      groups: number of groups of channels.
      more: of `jax.lax.conv_general_dilated`.
    """
    rank = len(space)
    axes = "DHW"[-rank:]
    layout = layout or (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    given = {"window_strides": (1,) * rank, "padding": "SAME", **more}
    given |= {"dimension_numbers": layout, "feature_group_count": groups}

    def apply(x, w):
        return lax.conv_general_dilated(x, w, **given)

    def first(x, w):
        (new,) = descended(lambda w: apply(x, w), w)
        return *nudged(lambda x: new, x), new

    def make(batch):
        sizes = {"N": batch, "C": before, "I": before // groups, "O": after}
        image = sizes | dict(zip(axes, space, strict=True))
        kernel = sizes | dict.fromkeys(axes, window)
        x = normal(0, *[image[axis] for axis in layout[0]])
        w = normal(1, *[kernel[axis] for axis in layout[1]], scale=0.1)
        return first if first_layer else partial(descended, apply), (x, w)

    return make


def differentiated(function, *shapes):
    """Return the case of a function with a gradient; the first axis is the batch."""

    def make(batch):
        x, *rest = shapes
        arrays = [normal(i, *shape, scale=0.1) for i, shape in enumerate(rest, 1)]
        return partial(descended, function), (normal(0, batch, *x), *arrays)

    return make


def summed(function, *shape):
    """Return the case of a function without a gradient; the first axis is the batch."""
    return lambda batch: (partial(nudged, function), (normal(0, batch, *shape),))


def random(draw):
    """Return the case of random numbers, ``draw(key, batch)``."""

    def make(batch):
        step = partial(drawn, lambda key: draw(key, batch))
        return lambda key, total: step(key, total), (jax.random.key(0), jnp.zeros(()))

    return make


def normed(x, scale, shift, axes):
    """Return numbers with mean 0 and variance 1 over some axes, scaled and shifted."""
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    each = (1,) * (x.ndim - 1)
    scale, shift = scale.reshape(*each, -1), shift.reshape(*each, -1)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + shift


def group_norm(x, scale, shift):
    """Return group norm with eight groups of channels."""
    groups = x.reshape(*x.shape[:-1], 8, -1)
    one = jnp.ones(groups.shape[-1])
    whitened = normed(groups, one, 0 * one, (1, 2, 4)).reshape(x.shape)
    return whitened * scale[None, None, None] + shift[None, None, None]


def gru(x, of_input, of_state):
    """Return the last state of a GRU, ``[b, t, i]``, ``[i, 3 u]``, ``[u, 3 u]``."""

    def cell(h, x):
        r_x, z_x, n_x = jnp.split(x @ of_input, 3, -1)
        r_h, z_h, n_h = jnp.split(h @ of_state, 3, -1)
        r, z = jax.nn.sigmoid(r_x + r_h), jax.nn.sigmoid(z_x + z_h)
        return (1 - z) * jnp.tanh(n_x + r * n_h) + z * h, None

    begin = jnp.zeros((len(x), len(of_state)))
    return lax.scan(cell, begin, x.swapaxes(0, 1))[0]


def lstm(x, of_input, of_state):
    """Return the last state of an LSTM, ``[b, t, i]``, ``[i, 4 u]``, ``[u, 4 u]``."""

    def cell(carry, x):
        c, h = carry
        i, f, g, o = jnp.split(x @ of_input + h @ of_state, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (c, jax.nn.sigmoid(o) * jnp.tanh(c)), None

    begin = jnp.zeros((len(x), len(of_state)))
    return lax.scan(cell, (begin, begin), x.swapaxes(0, 1))[0][1]


def attention(q, k, v):
    """Return causal attention, ``[b, t, heads, h]``."""
    return jax.nn.dot_product_attention(q, k, v, is_causal=True)


def attended(batch):
    """Return the case of attention, which has three inputs with a batch."""
    arrays = [normal(i, batch, 64, 4, 16) for i in range(3)]
    return partial(descended, attention), tuple(arrays)


def embedded(batch):
    """Return the case of an embedding: rows of a table by tokens."""
    tokens = jax.random.randint(jax.random.key(0), (batch, 64), 0, 1000)
    return partial(descended, lambda table, at: table[at]), (
        normal(1, 1000, 64),
        tokens,
    )


def rows(batch):
    """Return random places ``[64 b]`` in an array of 4096 rows."""
    return jax.random.randint(jax.random.key(0), (64 * batch,), 0, 4096)


def gathered(batch):
    """Return the case of rows taken from an array."""
    return partial(nudged, lambda x, at: x[at]), (normal(0, 4096, 64), rows(batch))


def scattered(batch):
    """Return the case of rows added to an array."""
    step = partial(nudged, lambda x, at, more: x.at[at].add(more))
    return step, (normal(0, 4096, 64), rows(batch), normal(1, 64 * batch, 64))


def dropped(batch):
    """Return the case of dropout, with the numbers that it draws."""

    def step(x, key):
        kept = jax.random.bernoulli(key, 0.7, x.shape)
        (x,) = descended(lambda x: jnp.where(kept, x / 0.7, 0.0), x)
        return x, jax.random.fold_in(key, 1)

    return step, (normal(0, batch, 64, 64), jax.random.key(0))


FIRST = ("NCHW", "OIHW", "NCHW")
UP = {"lhs_dilation": (2, 2), "padding": ((1, 2), (1, 2))}
PIXELS, TOKENS = (28, 28, 16), (64, 64)
NORM = ((14, 14, 32), (32,), (32,))
CASES = {
    "conv 28x28 1 to 16 3x3 first layer": convolution(
        (28, 28), 1, 16, 3, first_layer=True
    ),
    "conv 14x14 16 to 32 3x3": convolution((14, 14), 16, 32, 3),
    "conv 28x28 16 to 32 3x3": convolution((28, 28), 16, 32, 3),
    "conv 32x32 3 to 16 5x5 first layer": convolution(
        (32, 32), 3, 16, 5, first_layer=True
    ),
    "conv 8x8 64 to 64 3x3": convolution((8, 8), 64, 64, 3),
    "conv 14x14 16 to 32 channels first": convolution(
        (14, 14), 16, 32, 3, layout=FIRST
    ),
    "conv 14x14 16 to 32 stride 2": convolution(
        (14, 14), 16, 32, 3, window_strides=(2, 2)
    ),
    "conv 14x14 16 to 32 dilated by 2": convolution(
        (14, 14), 16, 32, 3, rhs_dilation=(2, 2)
    ),
    "conv 14x14 16 depthwise": convolution((14, 14), 16, 16, 3, groups=16),
    "conv 28x28 16 depthwise": convolution((28, 28), 16, 16, 3, groups=16),
    "conv 14x14 64 to 64 4 groups": convolution((14, 14), 64, 64, 3, groups=4),
    "conv 7x7 to 14x14 32 to 16 transposed": convolution((7, 7), 32, 16, 3, **UP),
    "conv 14x14 64 to 64 1x1": convolution((14, 14), 64, 64, 1),
    "conv 40 16 to 16 window 25": convolution((40,), 16, 16, 25),
    "conv 8x8x8 8 to 16 3x3x3": convolution((8, 8, 8), 8, 16, 3),
    "max pool 2x2 28x28x16": differentiated(
        lambda x: nn.max_pool(x, (2, 2), (2, 2)), PIXELS
    ),
    "max pool 3x3 stride 2 28x28x16": differentiated(
        lambda x: nn.max_pool(x, (3, 3), (2, 2)), PIXELS
    ),
    "average pool 2x2 28x28x16": differentiated(
        lambda x: nn.avg_pool(x, (2, 2), (2, 2)), PIXELS
    ),
    "batch norm 14x14x32": differentiated(partial(normed, axes=(0, 1, 2)), *NORM),
    "layer norm 64x64": differentiated(partial(normed, axes=-1), TOKENS, (64,), (64,)),
    "group norm 14x14x32": differentiated(group_norm, *NORM),
    "dense 512 to 512": differentiated(jnp.matmul, (512,), (512, 512)),
    "embedding 1000x64": embedded,
    "attention 64x4x16": attended,
    "softmax 4x64x64": differentiated(jax.nn.softmax, (4, 64, 64)),
    "GELU 64x256": differentiated(jax.nn.gelu, (64, 256)),
    "GRU 64 40 steps": differentiated(gru, (40, 8), (8, 192), (64, 192)),
    "LSTM 64 40 steps": differentiated(lstm, (40, 8), (8, 256), (64, 256)),
    "dropout 64x64": dropped,
    "sort 1024": summed(lambda x: jnp.sort(x, -1), 1024),
    "argsort 1024": summed(lambda x: jnp.argsort(x, -1), 1024),
    "top_k 16 of 1024": summed(lambda x: lax.top_k(x, 16), 1024),
    "cumsum 1024": summed(lambda x: jnp.cumsum(x, -1), 1024),
    "gather of 64 rows an example": gathered,
    "scatter of 64 rows an example": scattered,
    "random bits 64x64": random(lambda key, n: jax.random.bits(key, (n, 64, 64))),
    "random normal 64x64": random(lambda key, n: jax.random.normal(key, (n, 64, 64))),
    "random permutation 64 an example": random(
        lambda key, n: jax.random.permutation(key, 64 * n)
    ),
}
