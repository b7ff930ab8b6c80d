"""The ten families in Flax Linen."""

import flax.linen as nn
import jax.numpy as jnp


class MLP(nn.Module):
    """784-512-512-10."""

    @nn.compact
    def __call__(self, x):
        for units in (512, 512):
            x = nn.relu(nn.Dense(units)(x))
        return nn.Dense(10)(x)


class CNN(nn.Module):
    """Two convolutions, each with batch norm and a max pool, and dropout."""

    @nn.compact
    def __call__(self, x, train=False):
        for channels in (16, 32):
            x = nn.Conv(channels, (3, 3))(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        x = nn.Dropout(0.3, deterministic=not train)(x)
        return nn.Dense(10)(x)


class ResNet(nn.Module):
    """ResNet-8: a convolution and three blocks of two (He et al., 2016)."""

    @nn.compact
    def __call__(self, x, train=False):
        def convolved(x, channels, window, stride):
            size, step = (window, window), (stride, stride)
            x = nn.Conv(channels, size, step, use_bias=False)(x)
            return nn.BatchNorm(use_running_average=not train)(x)

        x = nn.relu(convolved(x, 16, 3, 1))
        for channels, stride in ((16, 1), (32, 2), (64, 2)):
            y = nn.relu(convolved(x, channels, 3, stride))
            y = convolved(y, channels, 3, 1)
            if x.shape != y.shape:
                x = convolved(x, channels, 1, stride)
            x = nn.relu(x + y)
        return nn.Dense(10)(x.mean((1, 2)))


class CNN1D(nn.Module):
    """Three convolutions over a sequence."""

    @nn.compact
    def __call__(self, x):
        for _ in range(3):
            x = nn.relu(nn.Conv(8, (25,))(x))
        return nn.Dense(10)(x.reshape(len(x), -1))


class Autoencoder(nn.Module):
    """Down to 32 numbers, and back up by transposed convolutions."""

    @nn.compact
    def __call__(self, x):
        for channels in (16, 32):
            x = nn.relu(nn.Conv(channels, (3, 3), (2, 2))(x))
        x = nn.Dense(32)(x.reshape(len(x), -1))
        x = nn.relu(nn.Dense(7 * 7 * 32)(x)).reshape(-1, 7, 7, 32)
        x = nn.relu(nn.ConvTranspose(16, (3, 3), (2, 2))(x))
        return nn.ConvTranspose(1, (3, 3), (2, 2))(x)


class Depthwise(nn.Module):
    """A convolution, then two depthwise ones, each with a 1×1 (Howard et al., 2017)."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(16, (3, 3))(x))
        for channels in (32, 64):
            own = x.shape[-1]
            x = nn.relu(nn.Conv(own, (3, 3), (2, 2), feature_group_count=own)(x))
            x = nn.relu(nn.Conv(channels, (1, 1))(x))
        return nn.Dense(10)(x.mean((1, 2)))


class UNet(nn.Module):
    """Two levels down and up again, joined at each (Ronneberger et al., 2015)."""

    @nn.compact
    def __call__(self, x):
        joined = []
        for channels in (8, 16):
            x = nn.relu(nn.Conv(channels, (3, 3))(x))
            joined.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Conv(32, (3, 3))(x))
        for channels in (16, 8):
            x = nn.ConvTranspose(channels, (2, 2), (2, 2))(x)
            x = jnp.concatenate([joined.pop(), x], -1)
            x = nn.relu(nn.Conv(channels, (3, 3))(x))
        return nn.Conv(1, (1, 1))(x)


class GPT(nn.Module):
    """Two layers of causal attention, 64 wide; logits of the next token."""

    @nn.compact
    def __call__(self, tokens):
        length = tokens.shape[1]
        x = nn.Embed(64, 64)(tokens)
        x = x + nn.Embed(length, 64)(jnp.arange(length))[None]
        mask = nn.make_causal_mask(tokens)
        for _ in range(2):
            attention = nn.MultiHeadDotProductAttention(num_heads=4)
            x = x + attention(nn.LayerNorm()(x), mask=mask)
            x = x + nn.Dense(64)(nn.gelu(nn.Dense(256)(nn.LayerNorm()(x))))
        return nn.Dense(64)(nn.LayerNorm()(x))


class GRU(nn.Module):
    """A class from the last of the states."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(nn.RNN(nn.GRUCell(64))(x)[:, -1])


class LSTM(nn.Module):
    """A class from the last of the states."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(nn.RNN(nn.OptimizedLSTMCell(64))(x)[:, -1])


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
