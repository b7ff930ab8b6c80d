"""Strict at the door: no silent rank promotion, shared tasks so that few compile."""

import atexit
import os
import shutil
import tempfile

import jax
import numpy as np
import pytest
from killed import line

import jaxtune as jt

if "JAXTUNE_CACHE" not in os.environ:  # not the developer's own folder
    os.environ["JAXTUNE_CACHE"] = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, os.environ["JAXTUNE_CACHE"], ignore_errors=True)

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Programs take memory maps, of which a Linux process has 65 530."""
    yield
    jax.clear_caches()


def digits(rows):
    """The first rows of scikit-learn's digits, scaled to [0, 1]."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x[:rows] / 16).astype(np.float32), y[:rows]


@pytest.fixture(scope="session")
def small_task():
    """Digits and a small network; 200 examples to train, three steps per epoch."""
    x, y = digits(400)
    return jt.classification(
        jt.models.MLP(classes=10, max_units=16, max_layers=2),
        train=(x[:200], y[:200]),
        valid=(x[200:300], y[200:300]),
        test=(x[300:], y[300:]),
    )


@pytest.fixture(scope="session")
def small_space():
    """Two dimensions that the small task reads."""
    return jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.5, tier=1),
        momentum=jt.reverse_log_uniform(0.5, 0.99),
    )


@pytest.fixture(scope="session")
def linear_task():
    """A plain Task: linear regression whose lanes can be made to explode."""
    return line()
