"""The families in Equinox: one example, channels first, and ``vmap`` over the batch.

There is no batch norm: its state would be a third thing beside parameters and the rest.
The CNN and the ResNet have group norm in its place.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import nn

relu, gelu = nn.Lambda(jax.nn.relu), nn.Lambda(jax.nn.gelu)
first = nn.Lambda(lambda x: jnp.moveaxis(x, -1, 0))  # the channels of data come last
last = nn.Lambda(lambda x: jnp.moveaxis(x, 0, -1))
flat = nn.Lambda(jnp.ravel)
mean = nn.Lambda(lambda x: x.mean((1, 2)))


def mlp(key):
    """784-512-512-10."""
    return nn.MLP(784, 10, width_size=512, depth=2, key=key)


def cnn(key):
    """Two convolutions, each with group norm and a max pool, and dropout."""
    keys = jax.random.split(key, 4)
    layers = [first]
    for channels, to, key in ((1, 16, keys[0]), (16, 32, keys[1])):
        conv = nn.Conv2d(channels, to, 3, padding=1, key=key)
        layers += [conv, nn.GroupNorm(8, to), relu, nn.MaxPool2d(2, 2)]
    dense = nn.Linear(7 * 7 * 32, 128, key=keys[2])
    out = nn.Linear(128, 10, key=keys[3])
    return nn.Sequential([*layers, flat, dense, relu, nn.Dropout(0.3), out])


class Block(eqx.Module):
    """Two convolutions beside a shortcut."""

    path: nn.Sequential
    shortcut: eqx.Module

    def __init__(self, channels, to, stride, key):
        a, b, c = jax.random.split(key, 3)
        conv = nn.Conv2d(channels, to, 3, stride, padding=1, use_bias=False, key=a)
        then = nn.Conv2d(to, to, 3, padding=1, use_bias=False, key=b)
        norms = nn.GroupNorm(8, to), nn.GroupNorm(8, to)
        self.path = nn.Sequential([conv, norms[0], relu, then, norms[1]])
        self.shortcut = nn.Identity()
        if (channels, stride) != (to, 1):
            self.shortcut = nn.Conv2d(channels, to, 1, stride, use_bias=False, key=c)

    def __call__(self, x, *, key=None):
        del key
        return jax.nn.relu(self.path(x) + self.shortcut(x))


def resnet(key):
    """ResNet-8: a convolution and three blocks of two (He et al., 2016)."""
    keys = jax.random.split(key, 5)
    conv = nn.Conv2d(1, 16, 3, padding=1, use_bias=False, key=keys[0])
    shapes = ((16, 16, 1), (16, 32, 2), (32, 64, 2))
    blocks = [
        Block(channels, to, stride, key)
        for (channels, to, stride), key in zip(shapes, keys[1:4], strict=True)
    ]
    start, out = (
        [first, conv, nn.GroupNorm(8, 16), relu],
        nn.Linear(64, 10, key=keys[4]),
    )
    return nn.Sequential([*start, *blocks, mean, out])


def cnn1d(key):
    """Three convolutions over a sequence."""
    keys = jax.random.split(key, 4)
    layers = [first]
    for channels, key in zip((1, 8, 8), keys, strict=False):
        layers += [nn.Conv1d(channels, 8, 25, padding=12, key=key), relu]
    return nn.Sequential([*layers, flat, nn.Linear(40 * 8, 10, key=keys[3])])


def autoencoder(key):
    """Down to 32 numbers, and back up by transposed convolutions."""
    keys = jax.random.split(key, 6)
    down = {"stride": 2, "padding": 1}
    up = {"stride": 2, "padding": 1, "output_padding": 1}
    layers = [first, nn.Conv2d(1, 16, 3, key=keys[0], **down), relu]
    layers += [nn.Conv2d(16, 32, 3, key=keys[1], **down), relu, flat]
    layers += [nn.Linear(7 * 7 * 32, 32, key=keys[2])]
    layers += [nn.Linear(32, 7 * 7 * 32, key=keys[3]), relu]
    layers += [nn.Lambda(lambda x: x.reshape(32, 7, 7))]
    layers += [nn.ConvTranspose2d(32, 16, 3, key=keys[4], **up), relu]
    return nn.Sequential(
        [*layers, nn.ConvTranspose2d(16, 1, 3, key=keys[5], **up), last]
    )


def depthwise(key):
    """A convolution, then two depthwise ones, each with a 1×1 (Howard et al., 2017)."""
    keys = jax.random.split(key, 6)
    layers = [first, nn.Conv2d(1, 16, 3, padding=1, key=keys[0]), relu]
    for channels, to, a, b in ((16, 32, 1, 2), (32, 64, 3, 4)):
        own = {"stride": 2, "padding": 1, "groups": channels}
        layers += [nn.Conv2d(channels, channels, 3, key=keys[a], **own), relu]
        layers += [nn.Conv2d(channels, to, 1, key=keys[b]), relu]
    return nn.Sequential([*layers, mean, nn.Linear(64, 10, key=keys[5])])


class UNet(eqx.Module):
    """Two levels down and up again, joined at each (Ronneberger et al., 2015)."""

    convs: list
    raised: list
    pool: nn.MaxPool2d

    def __init__(self, key):
        keys = jax.random.split(key, 8)
        channels = ((1, 8), (8, 16), (16, 32), (32, 16), (16, 8))
        self.convs = [
            nn.Conv2d(before, after, 3, padding=1, key=key)
            for (before, after), key in zip(channels, keys, strict=False)
        ]
        self.convs.append(nn.Conv2d(8, 1, 1, key=keys[5]))
        self.raised = [
            nn.ConvTranspose2d(32, 16, 2, 2, key=keys[6]),
            nn.ConvTranspose2d(16, 8, 2, 2, key=keys[7]),
        ]
        self.pool = nn.MaxPool2d(2, 2)

    def __call__(self, x, *, key=None):
        del key
        down, lower, bottom, higher, up, out = self.convs
        wide = jax.nn.relu(down(jnp.moveaxis(x, -1, 0)))
        half = jax.nn.relu(lower(self.pool(wide)))
        x = jax.nn.relu(bottom(self.pool(half)))
        x = jax.nn.relu(higher(jnp.concatenate([half, self.raised[0](x)])))
        x = jax.nn.relu(up(jnp.concatenate([wide, self.raised[1](x)])))
        return jnp.moveaxis(out(x), 0, -1)


class Layer(eqx.Module):
    """Causal attention and two dense layers, 64 wide."""

    norms: list
    attention: nn.MultiheadAttention
    wide: nn.Linear
    back: nn.Linear

    def __init__(self, key):
        a, b, c = jax.random.split(key, 3)
        self.norms = [nn.LayerNorm(64), nn.LayerNorm(64)]
        self.attention = nn.MultiheadAttention(4, 64, key=a)
        self.wide = nn.Linear(64, 256, key=b)
        self.back = nn.Linear(256, 64, key=c)

    def __call__(self, x, mask):
        y = jax.vmap(self.norms[0])(x)
        x = x + self.attention(y, y, y, mask)
        y = jax.nn.gelu(jax.vmap(self.wide)(jax.vmap(self.norms[1])(x)))
        return x + jax.vmap(self.back)(y)


class GPT(eqx.Module):
    """Two layers of causal attention, 64 wide; logits of the next token."""

    tokens: nn.Embedding
    places: nn.Embedding
    layers: list
    norm: nn.LayerNorm
    out: nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 5)
        self.tokens = nn.Embedding(64, 64, key=keys[0])
        self.places = nn.Embedding(64, 64, key=keys[1])
        self.layers = [Layer(keys[2]), Layer(keys[3])]
        self.norm = nn.LayerNorm(64)
        self.out = nn.Linear(64, 64, key=keys[4])

    def __call__(self, tokens, *, key=None):
        del key
        length = len(tokens)
        mask = jnp.tril(jnp.ones((length, length), bool))
        x = jax.vmap(self.tokens)(tokens) + self.places.weight[:length]
        for layer in self.layers:
            x = layer(x, mask)
        return jax.vmap(self.out)(jax.vmap(self.norm)(x))


class Recurrent(eqx.Module):
    """A class from the last of the states of a GRU or an LSTM."""

    cell: eqx.Module
    out: nn.Linear

    def __init__(self, cell, key):
        a, b = jax.random.split(key)
        self.cell = cell(8, 64, key=a)
        self.out = nn.Linear(64, 10, key=b)

    def __call__(self, x, *, key=None):
        del key
        zeros = jnp.zeros(64)
        begin = (zeros, zeros) if isinstance(self.cell, nn.LSTMCell) else zeros
        end, _ = jax.lax.scan(lambda state, x: (self.cell(x, state), None), begin, x)
        return self.out(end[0] if isinstance(end, tuple) else end)


def gru(key):
    """A GRU."""
    return Recurrent(nn.GRUCell, key)


def lstm(key):
    """An LSTM."""
    return Recurrent(nn.LSTMCell, key)


def functions(make):
    """Return ``(init, apply)`` of a network, as `jt.classification` takes them."""
    _, static = eqx.partition(make(jax.random.key(0)), eqx.is_array)

    def init(key):
        return eqx.filter(make(key), eqx.is_array)

    def apply(params, x, train, key=None):
        network = eqx.combine(params, static)
        if not train:
            return jax.vmap(nn.inference_mode(network))(x)
        keys = jax.random.split(key, len(x))
        return jax.vmap(lambda x, key: network(x, key=key))(x, keys)

    return init, apply


MODELS = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet": resnet,
    "cnn1d": cnn1d,
    "autoencoder": autoencoder,
    "depthwise": depthwise,
    "unet": UNet,
    "gpt": GPT,
    "gru": gru,
    "lstm": lstm,
}
