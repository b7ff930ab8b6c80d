"""The ten families in Flax NNX: classes that are made with ``rngs`` alone."""

import jax.numpy as jnp
from flax import nnx


class MLP(nnx.Module):
    """784-512-512-10."""

    def __init__(self, rngs):
        self.first = nnx.Linear(784, 512, rngs=rngs)
        self.second = nnx.Linear(512, 512, rngs=rngs)
        self.last = nnx.Linear(512, 10, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.relu(self.second(nnx.relu(self.first(x)))))


class Convolution(nnx.Module):
    """A convolution with batch norm."""

    def __init__(self, channels, to, window, stride, rngs):
        size, step = (window, window), (stride, stride)
        self.conv = nnx.Conv(channels, to, size, step, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(to, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.conv(x))


class CNN(nnx.Module):
    """Two convolutions, each with batch norm and a max pool, and dropout."""

    def __init__(self, rngs):
        self.first = Convolution(1, 16, 3, 1, rngs)
        self.second = Convolution(16, 32, 3, 1, rngs)
        self.dense = nnx.Linear(7 * 7 * 32, 128, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)
        self.last = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x):
        for convolved in (self.first, self.second):
            x = nnx.max_pool(nnx.relu(convolved(x)), (2, 2), (2, 2))
        x = nnx.relu(self.dense(x.reshape(len(x), -1)))
        return self.last(self.dropout(x))


class Block(nnx.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels, to, stride, rngs):
        self.first = Convolution(channels, to, 3, stride, rngs)
        self.second = Convolution(to, to, 3, 1, rngs)
        same = channels == to and stride == 1
        self.shortcut = None if same else Convolution(channels, to, 1, stride, rngs)

    def __call__(self, x):
        y = self.second(nnx.relu(self.first(x)))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    """ResNet-8: a convolution and three blocks of two (He et al., 2016)."""

    def __init__(self, rngs):
        self.first = Convolution(1, 16, 3, 1, rngs)
        self.same = Block(16, 16, 1, rngs)
        self.half = Block(16, 32, 2, rngs)
        self.quarter = Block(32, 64, 2, rngs)
        self.last = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        x = self.same(nnx.relu(self.first(x)))
        return self.last(self.quarter(self.half(x)).mean((1, 2)))


class CNN1D(nnx.Module):
    """Three convolutions over a sequence."""

    def __init__(self, rngs):
        self.first = nnx.Conv(1, 8, (25,), rngs=rngs)
        self.second = nnx.Conv(8, 8, (25,), rngs=rngs)
        self.third = nnx.Conv(8, 8, (25,), rngs=rngs)
        self.last = nnx.Linear(40 * 8, 10, rngs=rngs)

    def __call__(self, x):
        for conv in (self.first, self.second, self.third):
            x = nnx.relu(conv(x))
        return self.last(x.reshape(len(x), -1))


class Autoencoder(nnx.Module):
    """Down to 32 numbers, and back up by transposed convolutions."""

    def __init__(self, rngs):
        self.first = nnx.Conv(1, 16, (3, 3), (2, 2), rngs=rngs)
        self.second = nnx.Conv(16, 32, (3, 3), (2, 2), rngs=rngs)
        self.code = nnx.Linear(7 * 7 * 32, 32, rngs=rngs)
        self.back = nnx.Linear(32, 7 * 7 * 32, rngs=rngs)
        self.third = nnx.ConvTranspose(32, 16, (3, 3), (2, 2), rngs=rngs)
        self.last = nnx.ConvTranspose(16, 1, (3, 3), (2, 2), rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.second(nnx.relu(self.first(x))))
        x = nnx.relu(self.back(self.code(x.reshape(len(x), -1))))
        return self.last(nnx.relu(self.third(x.reshape(-1, 7, 7, 32))))


class Separable(nnx.Module):
    """A depthwise convolution and a 1×1."""

    def __init__(self, channels, to, rngs):
        groups = {"feature_group_count": channels}
        self.each = nnx.Conv(channels, channels, (3, 3), (2, 2), rngs=rngs, **groups)
        self.across = nnx.Conv(channels, to, (1, 1), rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.across(nnx.relu(self.each(x))))


class Depthwise(nnx.Module):
    """A convolution, then two depthwise ones, each with a 1×1 (Howard et al., 2017)."""

    def __init__(self, rngs):
        self.first = nnx.Conv(1, 16, (3, 3), rngs=rngs)
        self.second = Separable(16, 32, rngs)
        self.third = Separable(32, 64, rngs)
        self.last = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        x = self.third(self.second(nnx.relu(self.first(x))))
        return self.last(x.mean((1, 2)))


class UNet(nnx.Module):
    """Two levels down and up again, joined at each (Ronneberger et al., 2015)."""

    def __init__(self, rngs):
        self.down = nnx.Conv(1, 8, (3, 3), rngs=rngs)
        self.lower = nnx.Conv(8, 16, (3, 3), rngs=rngs)
        self.bottom = nnx.Conv(16, 32, (3, 3), rngs=rngs)
        self.raised = nnx.ConvTranspose(32, 16, (2, 2), (2, 2), rngs=rngs)
        self.higher = nnx.Conv(32, 16, (3, 3), rngs=rngs)
        self.risen = nnx.ConvTranspose(16, 8, (2, 2), (2, 2), rngs=rngs)
        self.up = nnx.Conv(16, 8, (3, 3), rngs=rngs)
        self.last = nnx.Conv(8, 1, (1, 1), rngs=rngs)

    def __call__(self, x):
        wide = nnx.relu(self.down(x))
        half = nnx.relu(self.lower(nnx.max_pool(wide, (2, 2), (2, 2))))
        x = nnx.relu(self.bottom(nnx.max_pool(half, (2, 2), (2, 2))))
        x = jnp.concatenate([half, self.raised(x)], -1)
        x = jnp.concatenate([wide, self.risen(nnx.relu(self.higher(x)))], -1)
        return self.last(nnx.relu(self.up(x)))


class Layer(nnx.Module):
    """Causal attention and two dense layers, 64 wide."""

    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(64, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            num_heads=4, in_features=64, decode=False, rngs=rngs
        )
        self.second = nnx.LayerNorm(64, rngs=rngs)
        self.wide = nnx.Linear(64, 256, rngs=rngs)
        self.back = nnx.Linear(256, 64, rngs=rngs)

    def __call__(self, x, mask):
        x = x + self.attention(self.norm(x), mask=mask)
        return x + self.back(nnx.gelu(self.wide(self.second(x))))


class GPT(nnx.Module):
    """Two layers of causal attention, 64 wide; logits of the next token."""

    def __init__(self, rngs):
        self.tokens = nnx.Embed(64, 64, rngs=rngs)
        self.places = nnx.Embed(64, 64, rngs=rngs)
        self.first, self.second = Layer(rngs), Layer(rngs)
        self.norm = nnx.LayerNorm(64, rngs=rngs)
        self.last = nnx.Linear(64, 64, rngs=rngs)

    def __call__(self, tokens):
        mask = nnx.make_causal_mask(tokens)
        x = self.tokens(tokens) + self.places(jnp.arange(tokens.shape[1]))[None]
        return self.last(self.norm(self.second(self.first(x, mask), mask)))


class GRU(nnx.Module):
    """A class from the last of the states."""

    def __init__(self, rngs):
        self.states = nnx.RNN(nnx.GRUCell(8, 64, rngs=rngs), rngs=rngs)
        self.last = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        return self.last(self.states(x)[:, -1])


class LSTM(nnx.Module):
    """A class from the last of the states."""

    def __init__(self, rngs):
        self.states = nnx.RNN(nnx.OptimizedLSTMCell(8, 64, rngs=rngs), rngs=rngs)
        self.last = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        return self.last(self.states(x)[:, -1])


MODELS = {
    "mlp": MLP,
    "cnn": CNN,
    "resnet": ResNet,
    "cnn1d": CNN1D,
    "autoencoder": Autoencoder,
    "depthwise": Depthwise,
    "unet": UNet,
    "gpt": GPT,
    "gru": GRU,
    "lstm": LSTM,
}
