"""The card with its software, and its limits: products, copies, a lane's step."""

import os

import jax
import jax.numpy as jnp
import rates
from record import processor, versions

from jaxtune import environment
from jaxtune.hardware import hardware_of
from jaxtune.planning.cost import cost_of
from jaxtune.planning.tracing import trace
from jaxtune.precision import product_precision

from . import row, seconds


def card():
    """Yield the device, its software, and the versions of libraries."""
    device = jax.devices()[0]
    yield row("device", device.device_kind, count=jax.device_count())
    for name, value in environment.device_software().items():
        yield row(name, value)
    memory = device.memory_stats() or {}
    if "bytes_limit" in memory:
        yield row("memory that JAX may use", memory["bytes_limit"] / 1e9, "GB")
    yield row("products of float32", product_precision().name)
    for name in ("jax", "jaxlib", "flax", "optax"):
        yield row(name, versions()[name], all=versions())
    yield row(
        "host", f"{processor()}, {os.cpu_count()} cores", flags=environment.flags()
    )


def fastest(call, times=5):
    """Return the seconds of the fastest of some calls, the first one left out."""
    ready = lambda: jax.block_until_ready(call())  # noqa: E731
    return min(seconds(ready)[0] for _ in range(times + 1))


def product_rate(side, dtype, precision=None):
    """Return the operations a second of a product of square matrices."""
    square = jnp.ones((side, side), dtype)
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision=precision))
    return 2 * side**3 / fastest(lambda: multiply(square))


def copy_rate(megabytes):
    """Return the bytes a second that a copy reads and writes."""
    numbers = jnp.zeros(megabytes * 250_000, jnp.float32)
    copy = jax.jit(lambda a: a + 1)  # one that is not left out
    return 2 * numbers.nbytes / fastest(lambda: copy(numbers))


def roofline(side=8192, megabytes=2000, width=4096):
    """Yield the device's rates, and what the steps of two networks use of them."""
    product = product_rate(side, jnp.float32)
    label = f"a product of {side}"
    yield row(f"{label}, float32 by default", product / 1e12, "TFLOP/s")
    for name, dtype, precision in (
        ("float32, highest", jnp.float32, "highest"),
        ("bfloat16", jnp.bfloat16, None),
    ):
        rate = product_rate(side, dtype, precision)
        yield row(f"{label}, {name}", rate / 1e12, "TFLOP/s")
    copy = copy_rate(megabytes)
    yield row(f"a copy of {megabytes} MB", copy / 1e12, "TB/s")
    places = hardware_of().places(len(jax.local_devices()))
    for units in rates.UNITS:
        workload = rates.network(units)
        (traced,) = trace(workload, rates.SPACE)
        lane = cost_of(traced.jaxpr.jaxpr)  # of an epoch
        took = rates.seconds_by_width(workload, (width,))[width]
        epochs = width * places / took
        each = f"a step of {units} units, {width} lanes"
        computed, moved = lane.operations * epochs, 2 * lane.bytes * epochs
        share = {"ratio": computed / product, "of": "the product in float32"}
        yield row(f"{each}: arithmetic", computed / 1e12, "TFLOP/s", **share)
        share = {"ratio": moved / copy, "of": "the copy"}
        what = f"{each}: arrays, if each is written and read once"
        yield row(what, moved / 1e12, "TB/s", **share)


def by_width(widths=(64, 256, 1024, 4096, 16384)):
    """Yield the rates of two networks in blocks of several widths."""
    places = hardware_of().places(len(jax.local_devices()))
    for units in reversed(rates.UNITS):
        workload, narrow = rates.network(units), None
        for width in widths:
            took = rates.seconds_by_width(workload, (width,))[width]
            rate = width * places / took
            narrow = narrow or rate
            share = {"ratio": rate / narrow, "of": f"{widths[0]} lanes"}
            what = f"{units} units, {width} lanes"
            yield row(what, rate / 1e3, "thousand lane-epochs a second", **share)
