"""The four families of MNIST-1D, as their authors built them, in Flax Linen.

The fields of a class are what a search may change; their defaults are the authors'.
"""

import flax.linen as nn


class Logistic(nn.Module):
    """A linear layer."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(x)


class MLP(nn.Module):
    """Two hidden layers, the second added to the first."""

    units: int = 100
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Dense(self.units)(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = x + nn.relu(nn.Dense(self.units)(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(10)(x)


class CNN(nn.Module):
    """Three convolutions, each of which halves the length."""

    channels: int = 25
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        x = x[..., None]
        for window in (5, 3, 3):
            x = nn.relu(nn.Conv(self.channels, (window,), strides=2, padding=1)(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(10)(x)


class GRU(nn.Module):
    """A GRU in both directions; all its outputs are read."""

    units: int = 6
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        there, back = (nn.RNN(nn.GRUCell(self.units)) for _ in range(2))
        x = nn.Bidirectional(there, back)(x[..., None])
        x = nn.Dropout(self.dropout, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(10)(x)
