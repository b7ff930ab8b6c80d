"""Checks of a machine: versions, devices, cache and extras, and a self-test.

The self-test compares compiled and vmapped programs with plain arithmetic, and runs
searches over a recurrent network. In some versions of jaxlib the programs differ, or
the searches never end, see `jaxtune.versions`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import cache
from jaxtune.types import Array, PyTree
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
TOLERANCE = 1e-4  # relative; a faulty program is wrong in the first digits
STRESS = ("-m", "jaxtune.stress")  # arguments of Python
DEADLINE = 120.0  # seconds that it may take; it takes ten on two cores


class Finding(NamedTuple):
    """The result of one check.

    Args:
      name: of the check.
      value: what was found, in words.
      fine: whether a search may rely on it.
    """

    name: str
    value: str
    fine: bool = True


def diagnose() -> tuple[Finding, ...]:
    """Check versions, devices, cache and extras, and run a self-test of some seconds.

    Returns:
      One finding for each check.
    """
    found = [Finding(name, version(name)) for name in LIBRARIES]
    found.append(Finding("python", platform.python_version()))
    found += [_known(), _devices(), _cache()]
    found += [_extra(name, needed) for name, needed in EXTRAS.items()]
    return (*found, _products(), _gradients(), _loops())


def _known() -> Finding:
    try:
        check_versions()
    except RuntimeError as error:
        return Finding("known faults", str(error), False)
    return Finding("known faults", "none in this jaxlib")


def _devices() -> Finding:
    kinds = [device.device_kind for device in jax.local_devices()]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    return Finding("devices", counted)


def _cache() -> Finding:
    place = cache.folder()
    if place is None:
        return Finding("cache", f"off, or not writable (see {cache.SWITCH})")
    files = [path for path in place.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 2**20
    return Finding("cache", f"{place}: {len(files)} files, {size:.0f} MiB")


def _extra(name: str, needed: tuple[str, ...]) -> Finding:
    missing = [p for p in needed if importlib.util.find_spec(p) is None]
    value = "installed"
    if missing:
        packages = ", ".join(missing)
        value = f"not installed: {packages}. Use pip install 'jaxtune[{name}]'"
    # a missing extra is no fault: `fine` stays true
    return Finding(f"extra {name}", value)


def _products() -> Finding:
    """Compare vmapped products and a sum with NumPy's."""
    # the pattern of jax issue 39103, in which jit differs from eager arithmetic
    rows = np.random.default_rng(0).normal(size=(ROWS, 3))
    compiled = jax.jit(jax.vmap(lambda r: jnp.sum((jnp.eye(3) @ r) ** 2)))
    return _compared("products", compiled(jnp.float32(rows)), (rows**2).sum(axis=1))


def _gradients() -> Finding:
    """Compare the gradients of eight small networks with those written by hand."""
    random = np.random.default_rng(1)
    first, last = random.normal(size=(LANES, 16, 32)), random.normal(size=(LANES, 32))
    x, y = random.normal(size=(64, 16)), random.normal(size=64)

    def loss(weights: PyTree, data: PyTree) -> Array:
        hidden = jnp.tanh(data[0] @ weights[0])
        return jnp.mean((hidden @ weights[1] - data[1]) ** 2)

    weights = jnp.float32(first), jnp.float32(last)
    data = jnp.float32(x), jnp.float32(y)
    together = jax.jit(jax.vmap(jax.grad(loss), in_axes=(0, None)))(weights, data)
    # by hand and in float64, so that no compiled program is part of the comparison
    hidden = np.tanh(x @ first)
    error = 2 * ((hidden @ last[:, :, None])[..., 0] - y) / len(y)
    inner = error[..., None] * last[:, None] * (1 - hidden**2)
    expected = x.T @ inner
    return _compared("gradients", together[0], expected)


def _loops(deadline: float = DEADLINE) -> Finding:
    """Search over a recurrent network, in a process that is ended if it hangs."""
    name = "self-test: loops"
    # the known deadlock is that of a CPU, and this process holds the accelerator
    if jax.default_backend() != "cpu":
        return Finding(name, f"not run on a {jax.default_backend()}")
    path = os.pathsep.join(filter(None, sys.path))  # the packages of this process
    try:
        done = subprocess.run(
            (sys.executable, "-P", *STRESS),
            env={**os.environ, "PYTHONPATH": path},
            timeout=deadline,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        value = f"NO END after {deadline:g} s. A training whose network is a loop hangs"
        return Finding(name, f"{value}: use another version of jaxlib", False)
    if done.returncode:
        *_, reason = done.stderr.splitlines() or [f"exit code {done.returncode}"]
        return Finding(name, f"FAILS: {reason}", False)
    return Finding(name, "searches over a recurrent network end")


def _compared(name: str, found: jax.Array, expected: np.ndarray) -> Finding:
    # relative to the largest number, not to each: numbers near 0 are mostly rounding
    worst = np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()
    fine = bool(worst < TOLERANCE)
    verdict = "agrees with" if fine else "DIFFERS from"
    return Finding(
        f"self-test: {name}", f"{verdict} plain arithmetic, {worst:.1g}", fine
    )
