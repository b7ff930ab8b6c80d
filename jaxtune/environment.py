"""What numbers depend on besides a search: versions, devices, settings, flags."""

from __future__ import annotations

import functools
import os
import platform
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib
import optax

from jaxtune.versions import __version__

HARMLESS = ("--xla_dump", "--xla_force_host_platform_device_count")


def versions() -> dict[str, str]:
    """Of what the last bits depend on."""
    return {
        "jaxtune": __version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "flax": flax.__version__,
        "optax": optax.__version__,
    }


def device() -> dict[str, str]:
    """What the blocks run on."""
    first = jax.devices()[0]
    return {"platform": first.platform, "kind": kind(first)}


def flags() -> dict[str, Any]:
    """Switches that change numbers."""
    given = os.environ.get("XLA_FLAGS", "").split()
    config: Any = jax.config
    return {
        "XLA_FLAGS": sorted(flag for flag in given if not flag.startswith(HARMLESS)),
        "jax_enable_x64": bool(config.jax_enable_x64),
        "jax_default_matmul_precision": str(config.jax_default_matmul_precision),
    }


# settings of JAX that belong to a thread; a block is computed under the caller's
SETTINGS = (
    *("default_matmul_precision", "default_prng_impl", "disable_jit", "enable_x64"),
    *("debug_infs", "debug_nans", "log_compiles", "numpy_dtype_promotion"),
    *("numpy_rank_promotion", "threefry_partitionable"),
)


@functools.cache
def kind(device: Any) -> str:
    """What programs are compiled for: an accelerator's name, or a processor's model."""
    if device.platform != "cpu":
        return device.device_kind
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return models[0] if models else platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def settings() -> dict[str, Any]:
    """Those that belong to this thread."""
    return {name: getattr(jax.config, f"jax_{name}") for name in SETTINGS}


def under(wanted: dict[str, Any]) -> ExitStack:
    """Give this thread the settings of another, until what is returned is closed."""
    contexts = ExitStack()
    for name, value in wanted.items():
        if getattr(jax.config, f"jax_{name}") != value:
            contexts.enter_context(getattr(jax, name)(value))
    return contexts
