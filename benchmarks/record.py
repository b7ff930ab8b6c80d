"""Write figures as JSON, with the versions and the device that they depend on."""

import argparse
import json
import os
from typing import Any

import jax

import jaxtune as jt


def write(options: argparse.Namespace, rows: Any) -> None:
    """Write the measured rows to the file of ``--json``, if it is given."""
    if not options.json:
        return
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    settings |= {
        "jaxtune": jt.__version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
    }
    text = json.dumps({"settings": settings, "rows": rows}, indent=1)
    options.json.write_text(text + "\n")
