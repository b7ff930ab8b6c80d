"""Measure where the time of a first search goes: import, trace, compile, run.

The demo's search (256 networks, four rounds) runs in fresh processes: with an empty
cache folder, with the folder of the process before, and without a cache. The imports
are also timed alone.

    python benchmarks/cold.py [--repeats 3] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

IMPORTS = ("jax", "jax, flax, optax", "jaxtune")


def search():
    """Return the seconds of one search in this process, by JAX's own events."""
    # imported here, since the import is part of what is measured
    begin = time.perf_counter()
    import jax

    import jaxtune

    imported = time.perf_counter() - begin
    spent, seen = Counter(), Counter()

    def note(event, seconds, **_):
        spent[event] += seconds
        seen[event] += 1

    jax.monitoring.register_event_duration_secs_listener(note)
    jax.monitoring.register_event_listener(lambda event, **_: seen.update([event]))
    sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
    import digits

    task = digits.task()
    begin = time.perf_counter()
    arguments = {"trials": 256, "rounds": 4, "epochs": 20, "metric": "loss"}
    key = jax.random.key(0)
    jaxtune.search(task, digits.SPACE, key=key, **arguments, verbose=0)
    whole = time.perf_counter() - begin
    begin = time.perf_counter()
    jaxtune.search(task, digits.SPACE, key=key, **arguments, verbose=0)
    again = time.perf_counter() - begin
    # names of JAX's own events; turning Python into a program is tracing and lowering
    compile_ = "/jax/core/compile/"
    return {
        "import": imported,
        "trace": spent[f"{compile_}jaxpr_trace_duration"]
        + spent[f"{compile_}jaxpr_to_mlir_module_duration"],
        "compile": spent[f"{compile_}backend_compile_duration"],
        "search": whole,
        "again": again,
        "programs": seen[f"{compile_}backend_compile_duration"],
        "from cache": seen["/jax/compilation_cache/cache_hits"],
    }


def child(cache):
    """Return what `search` measures in a fresh process with this cache."""
    done = subprocess.run(
        [sys.executable, __file__, "--child"],
        capture_output=True,
        text=True,
        env={**os.environ, "JAXTUNE_CACHE": cache},
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def importing(names):
    """Return the seconds of a process that only imports these packages."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {names}"], check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="the median is shown")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(search()))
        return
    rows = {"no cache": [], "empty cache": [], "cache of before": []}
    imports = {names: [] for names in IMPORTS}
    # in turns, so that a slow minute of the machine falls on all of them
    for _ in range(options.repeats):
        for names, times in imports.items():
            times.append(importing(names))
        rows["no cache"].append(child("off"))
        with tempfile.TemporaryDirectory() as folder:
            rows["empty cache"].append(child(folder))
            rows["cache of before"].append(child(folder))
    table = {
        name: {k: statistics.median(row[k] for row in found) for k in found[0]}
        for name, found in rows.items()
    }
    print(f"{'':18}" + "".join(f"{name:>12}" for name in table["no cache"]))
    for name, row in table.items():
        shown = [
            f"{v:12.2f}" if isinstance(v, float) else f"{v:12}" for v in row.values()
        ]
        print(f"{name:18}" + "".join(shown))
    medians = {names: statistics.median(times) for names, times in imports.items()}
    for names, taken in medians.items():
        print(f"import {names:20}{taken:6.2f} s")
    if options.json:
        from peers import processor, versions

        setting = {"versions": versions(), "processor": processor()}
        found = {**setting, "imports_s": medians, "rows": table}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
