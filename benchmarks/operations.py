"""Measure what an operation costs in a lane, as written and in the form for lanes.

A lane runs in a loop and under ``vmap``, and both change what XLA makes of an
operation. All columns repeat the same step (``cases.py``), for a batch of 64, and give
milliseconds that a call of one lane takes:

*alone*: one call after another, jitted; XLA gives a call all cores.
*alone, at once*: as many at once as there are cores, each in a thread of its own.
*as written, 1*, *8*, *32*: in a loop, of one lane or of several, again as many loops at
once as there are cores. So jaxtune runs blocks on a CPU.
*fast, 1*, *8*, *32*: the same in the form for lanes.

The time is the wall's, divided by the calls of all lanes and threads, so every column
counts the work of the whole machine. The ratios are to the better of the first two,
which is what a user without jaxtune can have on the same cores.

    python benchmarks/operations.py [--only conv,pool] [--json FILE]
"""

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import apart

BATCH = 64
SECONDS = 0.05  # a measured call repeats its step for about so long
LONG = 3.0  # a call that takes longer is measured once
TOO_LONG = 60.0  # a call that would take longer is left out
STEPS = 2  # of the inner of two loops
WIDTHS = (8, 32)
FORMS = ("as written", "fast")


def fast_form(step):
    """Return a step in the form for lanes."""
    import jax

    from jaxtune import forms

    return forms.in_fast_form(step, forms.table_for(jax.default_backend()))


def looped(step, width):
    """Return ``(rounds, *arrays) -> arrays``, which repeats a step in two loops."""
    import jax
    from jax import lax

    def steps(arrays):
        return lax.scan(lambda c, _: (step(*c), None), arrays, None, length=STEPS)[0]

    # as in a search: epochs outside, of which there are as many as data say
    each = jax.vmap(steps) if width > 1 else steps
    return lambda rounds, *a: lax.fori_loop(0, rounds, lambda _, a: each(a), a)


class Column:
    """A compiled program, and the times of its calls.

    Args:
      step: the step of one lane.
      arrays: what it begins with.
      width: lanes in a loop; 0 for the step alone.
      places: threads that call it at once.
    """

    def __init__(self, step, arrays, width, places):
        import jax
        import jax.numpy as jnp

        if width > 1:
            arrays = jax.tree.map(lambda a: jnp.stack([a] * width), arrays)
        function, given = step, arrays
        if width:
            function, given = looped(step, width), (jnp.int32(1), *arrays)
        begin = time.perf_counter()
        self.call = jax.jit(function).lower(*given).compile()
        self.compile_s = time.perf_counter() - begin
        self.arrays, self.width, self.places = arrays, width, places
        self.rounds, self.times = 1, []

    def _repeat(self, _):
        import jax
        import jax.numpy as jnp

        arrays = self.arrays
        if self.width:
            arrays = self.call(jnp.int32(self.rounds), *arrays)
        else:
            for _ in range(self.rounds):
                arrays = self.call(*arrays)
        jax.block_until_ready(arrays)

    def measure(self, pool):
        """Return the seconds of one more measurement, and keep its time for a call."""
        begin = time.perf_counter()
        list(pool.map(self._repeat, range(self.places)))
        taken = time.perf_counter() - begin
        calls = self.rounds * self.places * (self.width * STEPS or 1)
        self.times.append(taken / calls)
        return taken

    def begin(self, pool):
        """Measure once, and return the seconds; a short one only says how often."""
        taken = self.measure(pool)
        if taken > LONG:
            return taken
        # the first call is slower than the others
        self.rounds = max(1, min(300, int(SECONDS / self.measure(pool))))
        self.times = []
        self.measure(pool)
        return taken

    def row(self):
        """Return milliseconds a call of one lane, and seconds of compiling."""
        ms = 1e3 * statistics.median(self.times)
        return {"ms": ms, "compile_s": self.compile_s}


def operation(name, batch, widths, repeats):
    """Yield the row of an operation, more complete every time."""
    import cases

    from jaxtune.environment import cores

    step, arrays = cases.CASES[name](batch)
    places = cores()
    columns, short = {}, []
    with ThreadPoolExecutor(places) as pool:

        def add(label, *given):
            columns[label] = column = Column(*given)
            taken = column.begin(pool)
            if taken < LONG:
                short.append(column)
            return taken

        add("alone", step, arrays, 0, 1)
        add("alone, at once", step, arrays, 0, places)
        for form, given in zip(FORMS, (step, fast_form(step)), strict=True):
            last = 0.0
            for before, width in pairwise((1, 1, *widths)):
                if last * width / before > TOO_LONG:
                    break
                last = add(f"{form}, {width}", given, arrays, width, places)
                yield found(columns)
        for _ in range(repeats - 1):  # in turns
            for column in short:
                column.measure(pool)
        yield found(columns)


def found(columns):
    """Return what is known about an operation."""
    return {name: column.row() for name, column in columns.items()}


def ratios(row):
    """Return milliseconds and, except for the first two, ratios to their better one."""
    times = {name: column["ms"] for name, column in row.items() if name != "ended"}
    alone = min(times["alone"], times["alone, at once"])
    return times, {name: time / alone for name, time in times.items()}


def print_table(found, widths):
    """Print the milliseconds of all operations, and the ratios of their lanes."""
    columns = ["alone", "alone, at once"]
    columns += [f"{form}, {w}" for form in FORMS for w in (1, *widths)]
    compared = [f"{form}, {w}" for w in widths for form in FORMS]
    rows = []
    for name, row in found.items():
        if "alone" not in row:  # ended before there was any figure
            continue
        times, to_alone = ratios(row)
        cells = [times.get(column) for column in columns]
        rows.append([name, *cells, *[to_alone.get(column) for column in compared]])
    apart.table(
        ["ms a call", *columns, *[f"ratio {column}" for column in compared]], rows
    )


def main() -> None:
    """Measure, and print a table."""
    if apart.serve({"operation": operation}):
        return
    import cases
    import record

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="parts of names, such as conv,pool")
    parser.add_argument("--repeats", type=int, default=5, help="the median is shown")
    parser.add_argument(
        "--deadline", type=float, default=600, help="seconds for each operation"
    )
    parser.add_argument(
        "--small", action="store_true", help="four operations, small, once"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    batch, widths, only = BATCH, WIDTHS, options.only
    if options.small:
        batch, widths, options.repeats = 2, (2,), 1
        only = only or "14x14 16 to 32 3x3,max pool 2x2,GRU,random bits"
    found = {}
    for name in cases.CASES:
        if any(part in name for part in only.split(",")):
            apart.note(name)
            work = {"batch": batch, "widths": widths, "repeats": options.repeats}
            given = {"do": "operation", "name": name, **work}
            found[name] = apart.measure(__file__, given, options.deadline)
            record.write(options, found)  # what is known, should this be interrupted
    print_table(found, widths)


if __name__ == "__main__":
    main()
