"""Write figures as JSON, with the versions and the device that they depend on."""

import argparse
import importlib.metadata
import json
import os
import sys
from pathlib import Path
from typing import Any

LIBRARIES = (
    *("jax", "jaxlib", "flax", "optax", "equinox", "numpy", "optuna", "torch"),
    *("mle-hyperopt", "hyperoptax", "scikit-learn", "gymnax", "rejax", "mnist1d"),
    *("ISLP", "river", "pydataset", "mlxtend", "ioh"),
)


def write(options: argparse.Namespace, rows: Any) -> None:
    """Write the measured rows to the file of ``--json``, if it is given."""
    if not options.json:
        return
    # a parent that only starts processes needs no device until here
    import jax

    import jaxtune as jt

    settings = {name: value for name, value in vars(options).items() if name != "json"}
    settings |= {
        "jaxtune": jt.__version__,
        "jax": jax.__version__,
        "versions": versions(),
        "python": sys.version.split()[0],
        "device": jax.devices()[0].device_kind,
        "processor": processor(),
        "cores": os.cpu_count(),
    }
    text = json.dumps({"settings": settings, "rows": rows}, indent=1)
    options.json.write_text(text + "\n")


def versions():
    """Return the versions of the libraries that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor():
    """Return the processor's model name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if "model name" in line)
