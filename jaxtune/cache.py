"""What is remembered from one process to the next: compiled programs, in a folder.

It is JAX's persistent compilation cache, used while jaxtune computes and for nothing
else. ``JAXTUNE_CACHE=off`` switches it off, and a path moves it. Where JAX has a cache
folder of the user's already, that one is used as it is.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
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
MOST = 2**30  # bytes of programs; those that were not used for longest go first

# jaxlib 0.10 calls tuning hints of LLVM missing features, twice for each program that
# it loads: openxla/xla's cpu_aot_loader.cc, mended in 0.11
NOISY = jaxlib.version.__version_info__ < (0, 11)
FATAL = 3

_lock = threading.RLock()
_users = 0


def folder() -> Path | None:
    """Where this machine's programs and measurements are kept; ``None`` if off."""
    chosen = os.environ.get(SWITCH, "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return None
    top = Path(chosen or platformdirs.user_cache_dir("jaxtune"))
    return _made(top / machine())


@functools.cache
def _made(path: Path) -> Path | None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
        why = "it cannot be written"
    except OSError as error:
        why = str(error.strerror)
    warn(
        f"programs are not kept in {path}: {why}. Set {SWITCH} to another folder, or "
        "to off."
    )
    return None


@functools.cache
def machine() -> str:
    """A name for machines that run the same programs; a home may be on several."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Feat"))), "")
    text = f"{platform.machine()} {platform.processor()} {flags} {jaxlib.__version__}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def compiled_once() -> Iterator[None]:
    """Keep the programs that are compiled meanwhile, and use those that were kept."""
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
        "jax_compilation_cache_dir": str(place / "programs"),
        "jax_compilation_cache_max_size": MOST,
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
        compilation_cache.reset_cache()  # it would go on writing where it began
        _log_from(int(os.environ.get("TF_CPP_MIN_LOG_LEVEL") or 1))


def _log_from(level: int) -> None:
    if NOISY and jax.default_backend() == "cpu":
        jaxlib.utils.absl_set_min_log_level(level)
