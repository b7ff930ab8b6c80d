"""Hears what XLA compiles: programs of blocks, and of samplers, spaces and zoom too."""

from contextlib import contextmanager

import jax
import numpy as np

EVENT = "/jax/core/compile/backend_compile_duration"


@contextmanager
def compilations():
    """Yield a list that gets an entry for each program that is compiled inside.

    First it compiles a program of its own: if JAX gave the event another name, every
    test that nothing is compiled would pass.
    """
    heard = []

    def listen(event, duration, **_):
        if event == EVENT:
            heard.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.jit(lambda x: x + 1)(np.zeros(3))
        assert len(heard) == 1, f"JAX does not tell of compilations as {EVENT}"
        heard.clear()
        yield heard
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
