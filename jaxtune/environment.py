"""Everything outside a search that its numbers depend on: versions, device, flags."""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import flax
import jax
import jaxlib
import numpy as np
import optax
from jax._src import core, xla_bridge

from jaxtune.precision import product_precision
from jaxtune.types import Key
from jaxtune.versions import __version__

P = ParamSpec("P")
Made = TypeVar("Made")

# prefixes of XLA flags that change no number
HARMLESS = ("--xla_dump", "--xla_force_host_platform_device_count")


def versions() -> dict[str, str]:
    """Return the versions of the packages that the last bits of a score depend on."""
    return {
        "jaxtune": __version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "flax": flax.__version__,
        "optax": optax.__version__,
    }


def device() -> dict[str, str]:
    """Return what the numbers of blocks depend on in the device that they run on.

    Of an accelerator these are also the precision of its products, unless JAX is asked
    for another one, and the versions of its software.
    """
    first = jax.devices()[0]
    known = {"platform": first.platform, "kind": kind(first)}
    if first.platform == "cpu":
        return known
    precision = product_precision(first, "default").name
    return {**known, "precision": precision, **device_software()}


def host_kind() -> str:
    """Return the model of the CPU that computes what is not sent to a device."""
    return kind(None)


# packages that bring the compiler and the libraries of an accelerator
PLUGINS = ("jax-cuda13-plugin", "jax-cuda12-plugin", "jax-rocm7-plugin", "libtpu")
DRIVER = Path("/proc/driver/nvidia/version")


def device_software() -> dict[str, str]:
    """Return the versions of an accelerator's driver and plug-in, where known."""
    known = {}
    if DRIVER.exists() and (found := re.search(r"\d+\.[\d.]+", DRIVER.read_text())):
        known["driver"] = found[0]
    installed = {name: _version(name) for name in PLUGINS}
    plugins = [f"{name} {number}" for name, number in installed.items() if number]
    if plugins:
        known["plugin"] = ", ".join(plugins)
    return known


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


# settings of JAX by which the same functions compute other numbers: other draws, other
# types, or operations in another order
OF_FUNCTIONS = (
    *("threefry_partitionable", "random_seed_offset", "default_prng_impl"),
    *("high_dynamic_range_gumbel", "default_dtype_bits", "allow_f16_reductions"),
    *("softmax_custom_jvp", "use_direct_linearize"),
)
# settings of JAX by which the same program is compiled otherwise
OF_COMPILING = (
    *("disable_jit", "optimization_level", "exec_time_optimization_effort"),
    *("disable_most_optimizations", "compiler_enable_remat_pass", "use_magma"),
    *("use_hlo_logistic_lowering", "accurate_erf_inv", "bcoo_cusparse_lowering"),
    *("use_shardy_partitioner", "threefry_gpu_kernel_lowering"),
)
# variables of the environment that the libraries of an accelerator read
VARIABLES = ("LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE")


def flags() -> dict[str, Any]:
    """Return the flags and settings that change last bits, read anew at each call."""
    given = os.environ.get("XLA_FLAGS", "").split()
    config: Any = jax.config
    return {
        "XLA_FLAGS": sorted(flag for flag in given if not flag.startswith(HARMLESS)),
        "jax_enable_x64": bool(config.jax_enable_x64),
        "jax_default_matmul_precision": str(config.jax_default_matmul_precision),
        **{name: os.environ.get(name, "") for name in VARIABLES},
        **_settings_of_jax(OF_COMPILING),
    }


def jax_settings() -> dict[str, Any]:
    """Return JAX's settings that change more than last bits, read anew at each call."""
    return _settings_of_jax(OF_FUNCTIONS)


def _settings_of_jax(names: tuple[str, ...]) -> dict[str, Any]:
    """Return settings by name; no version of JAX has all of them."""
    config: Any = jax.config
    known = [f"jax_{name}" for name in names if f"jax_{name}" in config.values]
    # of this thread, where JAX keeps it by thread
    found = {name: getattr(config, name, config.values[name]) for name in known}
    return {
        name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in found.items()
    }


# JAX keeps these settings per thread, and blocks are computed in threads of ours:
# each of them must take over the settings of the thread that called the search
SETTINGS = (
    *("default_matmul_precision", "default_prng_impl", "disable_jit", "enable_x64"),
    *("debug_infs", "debug_nans", "log_compiles", "numpy_dtype_promotion"),
    *("numpy_rank_promotion", "threefry_partitionable", "transfer_guard"),
    *("allow_f16_reductions", "softmax_custom_jvp"),
)


@functools.cache
def kind(device: Any) -> str:
    """Return an accelerator's name, or for a CPU, or ``None``, the processor's."""
    if device is not None and device.platform != "cpu":
        return device.device_kind
    # JAX calls every CPU "cpu", but programs are compiled for one processor
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return models[0] if models else platform.processor() or platform.machine()


def label(device: Any) -> str:
    """Return a device's platform and number, for messages."""
    # str(device) is TFRT_CPU_0 with jax 0.9
    return f"{device.platform}:{device.id}"


def host() -> Any:
    """Return the CPU beside this thread's accelerator; ``None`` where there is none."""
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    name = chosen if isinstance(chosen, str) else getattr(chosen, "platform", None)
    if (name or jax.default_backend()) == "cpu":
        return None
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names the accelerator alone
        return None


@contextmanager
def on_host() -> Iterator[None]:
    """Compute on the CPU of the host; do nothing where that is the device anyway.

    For what is small and between blocks: samplers, refiners, and the decoding of
    points. A GPU compiles it for seconds, and rounds it in its own way.
    """
    device = host()
    with nullcontext() if device is None else jax.default_device(device):
        yield


def unplaced(key: Key) -> Key:
    """Return a key on the default device, bound to none."""
    # an array that the user has put on a device would draw all computing there
    data = np.asarray(jax.random.key_data(key))
    implementation = jax.random.key_impl(key)
    return jax.random.wrap_key_data(jax.numpy.asarray(data), impl=implementation)


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    # a container or taskset may allow fewer than the machine has
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_settings() -> dict[str, Any]:
    """Return the JAX settings of this thread."""
    return {name: getattr(jax.config, f"jax_{name}") for name in SETTINGS}


def under(wanted: dict[str, Any]) -> ExitStack:
    """Give this thread the settings of another one, until the result is closed."""
    contexts = ExitStack()
    for name, value in wanted.items():
        if value is not None and getattr(jax.config, f"jax_{name}") != value:
            contexts.enter_context(getattr(jax, name)(value))
    return contexts


_forked = False  # from a process in which JAX had started


def _note_fork() -> None:
    global _forked
    _forked = _forked or xla_bridge.backends_are_initialized()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_note_fork)


def check_process() -> None:
    """Raise ``RuntimeError`` where JAX can compute nothing for a search.

    That is inside a function that JAX traces, and in a process that was forked after
    JAX had started: its threads are not copied, and whoever waits for them hangs.
    """
    if _forked:
        raise RuntimeError(
            "this process was forked from one in which JAX had started, and would "
            "hang. Start it anew: multiprocessing.get_context('spawn'), or begin to "
            "use JAX after the fork."
        )
    if not core.trace_state_clean():
        raise RuntimeError(
            "jaxtune was called inside a function that JAX traces, such as the "
            "objective of a search. Call it outside; what depends on hyperparameters "
            "can be in one space, with jt.when."
        )


def check_transfers() -> None:
    """Raise ``ValueError`` under a transfer guard, which no search can keep."""
    for way in ("host_to_device", "device_to_host"):
        guard = getattr(jax.config, f"jax_transfer_guard_{way}")
        if str(guard).startswith("disallow"):
            raise ValueError(
                f"jax_transfer_guard_{way} is {guard!r}, but a search moves points and "
                "scores between host and device. Call it inside "
                "jax.transfer_guard('allow')."
            )


OWN = {"enable_x64": False, "numpy_dtype_promotion": "standard"}
"""The settings of spaces, samplers and schedulers, which run no code of the user."""


PROMOTING = {"numpy_dtype_promotion": "standard"}
"""The settings of our own parts of a training and of optax, which is not strict."""


def in_32_bits(function: Callable[P, Made]) -> Callable[P, Made]:
    """Run a function of ours in 32 bits, with standard promotion of dtypes.

    So a search tries the same points whatever the settings of the user, and 64 bits are
    for the user's own functions. Where the settings are these anyway, nothing is
    entered, and the function is called as it is.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Made:
        with under(OWN):
            return function(*args, **kwargs)

    return run


def promoting(function: Callable[P, Made]) -> Callable[P, Made]:
    """Run a function of ours with standard promotion, where the user has it strict.

    The user's own functions, called in the same program, keep the user's setting.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Made:
        with under(PROMOTING):
            return function(*args, **kwargs)

    return run
