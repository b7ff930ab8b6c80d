"""A folder of compiled programs that outlives a process.

It is JAX's persistent compilation cache, used while jaxtune computes and for nothing
else. ``JAXTUNE_CACHE=off`` switches it off, and a path moves it. A cache folder that
the user has set in JAX is used as it is.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jax
import jaxlib
import platformdirs
from jax.experimental.compilation_cache import compilation_cache

from jaxtune.checks import warn

SWITCH = "JAXTUNE_CACHE"
PROGRAMS = "programs"
TUNED = "xla_gpu_per_fusion_autotune_cache_dir"  # JAX's name
MAX_BYTES = 2**30  # the programs unused for longest are deleted first

# jaxlib 0.9 and 0.10 log two lines for each program that they load, because they take
# LLVM's tuning hints for missing features: openxla/xla's cpu_aot_loader.cc, mended in
# 0.11
NOISY = jaxlib.version.__version_info__ < (0, 11)
FATAL = 3

# searches may run in several threads, and JAX's cache settings belong to the process:
# the first one in changes them and the last one out restores them
_lock = threading.RLock()
_users = 0


def folder() -> Path | None:
    """Return the folder of programs and measured widths, or ``None`` if it is off."""
    chosen = os.environ.get(SWITCH, "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return None
    top = Path(chosen or platformdirs.user_cache_dir("jaxtune"))
    return _made(top / machine())


def tuned_kernels() -> Path | None:
    """Return the folder of the kernels that XLA found fastest, or ``None``.

    On a GPU, XLA chooses kernels by timing them, and JAX keeps the choice beside its
    compiled programs. Elsewhere, and before anything was compiled, there is none.
    """
    place, chosen = folder(), jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if chosen is None and place is None:
        return None
    return Path(chosen or place / PROGRAMS) / TUNED  # type: ignore[operator]


@functools.cache  # so that an unusable folder is warned about once
def _made(path: Path) -> Path | None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        why = _why_not(path)
        if not why:
            return path
    except OSError as error:
        why = str(error.strerror)
    warn(
        f"programs are not kept in {path}: {why}. Set {SWITCH} to another folder, or "
        "to off."
    )
    return None


def _why_not(path: Path) -> str:
    """Return why a folder is not used, as its programs are executed; empty if it is."""
    about = path.stat()
    if hasattr(os, "getuid"):
        if about.st_uid not in (0, os.getuid()):
            return "it belongs to another user, whose programs would be executed"
        if about.st_mode & stat.S_IWOTH:
            return "everybody can write to it, and its programs are executed"
    return "" if os.access(path, os.W_OK) else "it cannot be written"


@functools.cache
def machine() -> str:
    """Return a name shared by all machines that can run the same programs.

    A home directory may be mounted on machines whose processors have different
    instructions.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Feat"))), "")
    text = f"{platform.machine()} {platform.processor()} {flags} {jaxlib.__version__}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def compiled_once() -> Iterator[None]:
    """Keep the programs compiled inside this context, and load those kept before."""
    global _users
    own = jax.config.jax_compilation_cache_dir is None or _users  # type: ignore[attr-defined]
    place = folder() if own and jax.config.jax_enable_compilation_cache else None  # type: ignore[attr-defined]
    if place is None:
        yield
        return
    with ExitStack() as undo:
        with _lock:
            if not _users:
                _begin(place)
            _users += 1
        undo.callback(_leave)
        yield


_before: dict[str, object] = {}


def _begin(place: Path) -> None:
    wanted = {
        "jax_compilation_cache_dir": str(place / PROGRAMS),
        "jax_compilation_cache_max_size": MAX_BYTES,
        # JAX's default, one second, would leave out the small programs
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    for name, value in wanted.items():
        _before[name] = getattr(jax.config, name)
        jax.config.update(name, value)
    _log_from(FATAL)


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users:
            return
        for name, value in _before.items():
            jax.config.update(name, value)
        # JAX opens the folder once; without a reset it would go on writing there
        compilation_cache.reset_cache()
        _log_from(int(os.environ.get("TF_CPP_MIN_LOG_LEVEL") or 1))


def _log_from(level: int) -> None:
    if NOISY and jax.default_backend() == "cpu":
        jaxlib.utils.absl_set_min_log_level(level)
