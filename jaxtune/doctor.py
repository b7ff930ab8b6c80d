"""Checks of a machine: versions, devices, cache and extras, and a self-test.

The self-test compares compiled and vmapped programs with plain arithmetic, trains the
same small search twice, and runs searches over a recurrent network. In some versions of
jaxlib the programs differ, or the searches never end, see `jaxtune.versions`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import cache, environment
from jaxtune._search import search
from jaxtune.models import MLP
from jaxtune.precision import FLOAT32, product_precision
from jaxtune.space import Space, log_uniform
from jaxtune.tasks import classification
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
# relative errors: a faulty program is wrong in the first digits; where a device rounds
# what it multiplies, errors of single factors add up
TOLERANCE, ROUNDINGS = 1e-4, 8
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
    found += [_known(), _devices(), *_software(), *_memory(), _precision(), _cache()]
    found += [_extra(name, needed) for name, needed in EXTRAS.items()]
    return (*found, _products(), _gradients(), _same_twice(), _loops())


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


def _software() -> list[Finding]:
    """Return the versions of what drives an accelerator; a CPU needs nothing."""
    client = jax.local_devices()[0].client
    runtime = " ".join(client.platform_version.split())  # it may have lines
    found = [Finding("runtime", runtime)] if client.platform != "cpu" else []
    known = environment.device_software() if found else {}
    return found + [Finding(name, value) for name, value in known.items()]


def _memory() -> list[Finding]:
    """Return the free memory of each accelerator, as far as it is known."""
    known = [device.memory_stats() or {} for device in jax.local_devices()]
    told = [
        f"{(m['bytes_limit'] - m.get('bytes_in_use', 0)) / 2**30:.1f} of "
        f"{m['bytes_limit'] / 2**30:.1f} GiB that JAX may use are free"
        for m in known
        if "bytes_limit" in m  # a CPU states none
    ]
    return [Finding("memory", ", ".join(told))] if told else []


def _precision() -> Finding:
    config: Any = jax.config
    setting = config.jax_default_matmul_precision
    why = f"jax_default_matmul_precision={setting}" if setting else "JAX's default"
    found = product_precision()
    digits = f"factors are exact to {found.rounding:.0e}"
    return Finding("products of float32", f"{found.name}, {why}: {digits}")


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
    expected = (rows**2).sum(axis=1)
    return _compared("products", lambda: compiled(jnp.float32(rows)), expected)


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
    together = jax.jit(jax.vmap(jax.grad(loss), in_axes=(0, None)))
    # by hand and in float64, so that no compiled program is part of the comparison
    hidden = np.tanh(x @ first)
    error = 2 * ((hidden @ last[:, :, None])[..., 0] - y) / len(y)
    inner = error[..., None] * last[:, None] * (1 - hidden**2)
    expected = x.T @ inner
    return _compared("gradients", lambda: together(weights, data)[0], expected)


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


def _compared(
    name: str, compute: Callable[[], jax.Array], expected: np.ndarray
) -> Finding:
    """Compare with float64 twice: at full precision, and as searches compute."""
    usual, precision = _error(compute(), expected), product_precision()
    with jax.default_matmul_precision("highest"):
        full = _error(compute(), expected)
    allowed = max(TOLERANCE, ROUNDINGS * precision.rounding)
    fine = bool(full < TOLERANCE and usual < allowed)
    verdict = "agrees with" if fine else "DIFFERS from"
    errors = f"{full:.1g}"
    if precision != FLOAT32:
        errors += f"; precision in use: {precision.name}, {usual:.1g}"
    return Finding(f"self-test: {name}", f"{verdict} plain arithmetic, {errors}", fine)


def _error(found: jax.Array, expected: np.ndarray) -> float:
    # relative to the largest number, not to each: numbers near 0 are mostly rounding
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


def _same_twice() -> Finding:
    """Train the same small networks twice, with programs that are made anew."""
    name = "self-test: twice"
    if not _known().fine:
        return Finding(name, "not run, as a search refuses this jaxlib")
    random = np.random.default_rng(2)
    x, y = random.normal(size=(160, 16)).astype(np.float32), random.integers(0, 4, 160)
    task = classification(
        MLP(4, max_units=32), train=(x[:128], y[:128]), valid=(x[128:], y[128:])
    )
    space = Space(learning_rate=log_uniform(1e-3, 0.1))
    tables = []
    for _ in range(2):
        # the second time, JAX compiles again or loads what it kept
        jax.clear_caches()
        found = search(
            task,
            space,
            key=jax.random.key(0),
            trials=LANES,
            epochs=2,
            metric="loss",
            block=LANES,
            verbose=0,
        )
        tables.append(found.trials.scores)
    first, second = tables
    fine = np.array_equal(first, second, equal_nan=True)
    verdict = "has the same bits" if fine else "DIFFERS"
    return Finding(name, f"a search that is made again {verdict}", fine)
