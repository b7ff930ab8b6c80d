"""Measure the constants of a kind of device that `jaxtune.hardware` holds.

Networks of two sizes train in blocks of several widths. Launches limit the narrowest
block of the small one; work limits the widest blocks. What is measured is compared with
what the constants of this kind of device predict.

    python benchmarks/rates.py [--widths 1,4,16,64] [--json FILE]
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from record import processor, versions

import jaxtune as jt
from jaxtune.executors.devices import Devices
from jaxtune.hardware import hardware_of
from jaxtune.planning import width as calibrate
from jaxtune.planning.cost import cost_of, seconds_of_a_block
from jaxtune.planning.layout import groups
from jaxtune.planning.preparation import prepare
from jaxtune.planning.tracing import trace, typical
from jaxtune.programs import block as block_program

SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 0.3),
    momentum=jt.reverse_log_uniform(0.5, 0.95),
)
EXAMPLES, FEATURES = 1408, 64  # as many as the digits have for training
UNITS = (16, 128)
WIDTHS = {"cpu": (1, 4, 16, 64), "accelerator": (64, 256, 1024, 4096)}
VALUES = 256 * 64  # of a plain function, in blocks of 256


def network(units):
    """Return the workload of a network of one hidden layer on random digits."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, FEATURES)).astype(np.float32)
    y = np.arange(EXAMPLES) % 10
    task = jt.classification(
        jt.models.MLP(10, max_units=units),
        train=(x, y),
        valid=(x[:352], y[:352]),
        batch_size=64,
    )
    return prepare(jt.tasks.check_data(task), SPACE, jax.random.key(0), 20)


def seconds_by_width(workload, widths):
    """Return width to the seconds of an epoch of one block, with one in every place."""
    devices = Devices((workload.task, workload.key))
    row = typical(workload.layout, SPACE)
    static = groups(workload.layout, SPACE, row, 1)[0].static
    found = {}
    for width in widths:
        block = calibrate._middle(workload.layout, SPACE, static, width)
        rate = calibrate._rate(
            devices, partial(calibrate._jobs, workload, block, static)
        )
        found[width] = len(devices.places) / rate
    return found


def compile_seconds(workload, width):
    """Return the seconds that the program of training takes to compile."""
    row = typical(workload.layout, SPACE)
    static = groups(workload.layout, SPACE, row, 1)[0].static
    block = calibrate._middle(workload.layout, SPACE, static, width)
    task, key = workload.task, workload.key
    started = block_program.shape(task, key, block, static)
    lowered = block_program.advance.lower(task, key, block, started, 20, static)
    begin = time.perf_counter()
    lowered.compile()
    return time.perf_counter() - begin


def block_seconds():
    """Return the seconds of a block that computes next to nothing."""
    search = partial(
        jt.search,
        lambda key, hparams: hparams["learning_rate"] * hparams["momentum"],
        SPACE,
        key=jax.random.key(0),
        trials=VALUES,
        mode="max",
        block=256,
        verbose=0,
    )
    search()  # compiles
    begin = time.perf_counter()
    search()
    return (time.perf_counter() - begin) / (VALUES / 256)


def measured_constants(widths=None):
    """Return what was measured here, as `jaxtune.hardware` names it, with all rows."""
    device = hardware_of()
    widths = widths or WIDTHS[device.name]
    jax.config.update("jax_enable_compilation_cache", False)
    # before anything else has compiled it
    compiling = compile_seconds(network(UNITS[-1]), widths[-1])
    rows, launch, operations, bandwidth = [], [], [], []
    for units in UNITS:
        workload = network(units)
        (traced,) = trace(workload, SPACE)
        cost = cost_of(traced.jaxpr.jaxpr)
        found = seconds_by_width(workload, widths)
        for width, took in found.items():
            said = seconds_of_a_block(cost, width, device)
            row = {"units": units, "width": width, "seconds": took, "predicted": said}
            rows.append(row)
        narrow, wide = min(found), max(found)
        launch.append(found[narrow] / cost.kernels)
        operations.append(cost.operations * wide / found[wide])
        bandwidth.append(cost.bytes * wide / found[wide])
    return {
        "kind": device.name,
        # bounds: a network that is limited by the one says little of the other
        "launch": min(launch),
        "operations": max(operations),
        "bandwidth": max(bandwidth),
        "block": block_seconds(),
        "compile": compiling,
        "rows": rows,
    }


def main():
    """Print the constants, and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", help="such as 1,4,16,64")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    widths = given.widths and tuple(map(int, given.widths.split(",")))
    found = measured_constants(widths)
    found |= {"processor": processor(), "versions": versions()}
    for name in ("launch", "operations", "bandwidth", "block", "compile"):
        print(f"{name:12}{found[name]:.3g}")
    for row in found["rows"]:
        ratio = row["predicted"] / row["seconds"]
        print(
            f"{row['units']:4} units, {row['width']:5} lanes: {row['seconds']:.3g} s "
            f"an epoch, {ratio:.2f} of it predicted"
        )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
