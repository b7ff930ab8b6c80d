"""Can this machine be trusted with a search? Versions, devices, cache, and a self-test.

The self-test compares compiled and vmapped programs with plain arithmetic: versions of
jaxlib are known in which these differ, see `jaxtune.versions`.
"""

from __future__ import annotations

import importlib.util
import platform
from importlib.metadata import version
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import cache
from jaxtune.versions import check_versions

LIBRARIES = ("jaxtune", "jax", "jaxlib", "flax", "optax", "chex", "numpy", "scipy")
EXTRAS = {
    "report": ("matplotlib", "optuna", "pandas"),
    "samplers": ("cmaes", "optuna"),
    "export": ("optuna", "pandas", "pyarrow", "tensorboardX"),
    "data": ("datasets", "grain", "pandas"),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "ray": ("cloudpickle", "ray"),
    "wandb": ("wandb",),
}
LANES, ROWS = 8, 32769
TOLERANCE = 1e-4  # relative; wrong programs are wrong in the first digits


class Finding(NamedTuple):
    """One thing that was looked at.

    Args:
      name: what it is.
      value: what was found.
      fine: whether a search may rely on it.
    """

    name: str
    value: str
    fine: bool = True


def doctor() -> tuple[Finding, ...]:
    """Look at versions, devices, the cache and the extras, and compute for a second.

    Returns:
      What was found, in words.
    """
    found = [Finding(name, version(name)) for name in LIBRARIES]
    found.append(Finding("python", platform.python_version()))
    found += [_known(), _devices(), _cache()]
    found += [_extra(name, needed) for name, needed in EXTRAS.items()]
    return (*found, _products(), _gradients())


def _known() -> Finding:
    try:
        check_versions()
    except RuntimeError as error:
        return Finding("known faults", str(error), False)
    return Finding("known faults", "none of this jaxlib")


def _devices() -> Finding:
    kinds = [device.device_kind for device in jax.local_devices()]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    return Finding("devices", counted)


def _cache() -> Finding:
    place = cache.folder()
    if place is None:
        return Finding("cache", f"off, or not writable ({cache.SWITCH})")
    files = [path for path in place.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 2**20
    return Finding("cache", f"{place}: {len(files)} files, {size:.0f} MiB")


def _extra(name: str, needed: tuple[str, ...]) -> Finding:
    missing = [p for p in needed if importlib.util.find_spec(p) is None]
    value = "there"
    if missing:
        lacks = ", ".join(missing)
        value = f"without {lacks}: pip install 'jaxtune[{name}]'"
    return Finding(f"extra {name}", value)


def _products() -> Finding:
    """Vmapped products and a sum, which some versions compile to wrong numbers."""
    rows = np.random.default_rng(0).normal(size=(ROWS, 3))
    compiled = jax.jit(jax.vmap(lambda r: jnp.sum((jnp.eye(3) @ r) ** 2)))
    return _compared("products", compiled(jnp.float32(rows)), (rows**2).sum(axis=1))


def _gradients() -> Finding:
    """The gradients of eight small networks, compiled together and one by one eager."""
    random = np.random.default_rng(1)
    first, last = random.normal(size=(LANES, 16, 32)), random.normal(size=(LANES, 32))
    x, y = random.normal(size=(64, 16)), random.normal(size=64)

    def loss(weights, data):
        hidden = jnp.tanh(data[0] @ weights[0])
        return jnp.mean((hidden @ weights[1] - data[1]) ** 2)

    weights = jnp.float32(first), jnp.float32(last)
    data = jnp.float32(x), jnp.float32(y)
    together = jax.jit(jax.vmap(jax.grad(loss), in_axes=(0, None)))(weights, data)
    # by hand, in float64
    hidden = np.tanh(x @ first)
    error = 2 * ((hidden @ last[:, :, None])[..., 0] - y) / len(y)
    inner = error[..., None] * last[:, None] * (1 - hidden**2)
    expected = x.T @ inner
    return _compared("gradients", together[0], expected)


def _compared(name: str, found: jax.Array, expected: np.ndarray) -> Finding:
    worst = np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()
    fine = bool(worst < TOLERANCE)
    verdict = "agrees with" if fine else "DIFFERS from"
    return Finding(
        f"self-test: {name}", f"{verdict} plain arithmetic, {worst:.1g}", fine
    )
