"""Compare many trainings in one program with one after another.

Two claims: up to 15.1 times the throughput of one job an accelerator, for jobs of one
network (HFTA; Wang et al., 2021, MLSys, abstract); and one to four orders of magnitude
less time than one after another, for 10 000 perceptrons of different shapes
(ParallelMLPs; Farias et al., 2023, AI 4(1), abstract). The same kinds of work are in
`jobs` and `mlps`. Ways that would take hours train a sample, and their time is
multiplied.

    python -m benchmarks.published.vectorised [--parts jobs,mlps] [--small]
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from benchmarks.published import jobs as fused
from benchmarks.published import mlps
from benchmarks.published.common import arguments, clock, run_parts, table

HFTA, PARALLEL = "up to 15.1", "10 to 10 000"


# ways that compile anew whenever they run
ANEW = ("processes", "processes at once")


def timed(ways: dict, repeats: int, once: tuple = ANEW) -> dict:
    """Return the seconds of each way, cold and then warm, taking turns.

    Args:
      ways: name to a function and how many trainings it runs.
      repeats: turns after the first.
      once: ways that take the first turn only.
    """
    rows: dict = {name: {"seconds": [], "cpu": []} for name in ways}
    for turn in range(1 + repeats):
        for name, (run, count) in ways.items():
            if turn and name in once:
                continue
            with clock() as spent:
                scores = run()
            if turn or name in once:
                rows[name]["seconds"].append(spent["seconds"])
                rows[name]["cpu"].append(spent["cpu"])
            if not turn:
                rows[name] |= {"cold": spent["seconds"], "cold_cpu": spent["cpu"]}
                rows[name] |= {"count": count, "score": float(np.mean(scores))}
            print(f"{name}, turn {turn}: {spent['seconds']:.2f} s", flush=True)
    return rows


def jobs(options) -> Iterator[dict]:
    """Measure the jobs of one network."""
    found = {}
    for name in options.of.split(","):
        print(name)
        ways = fused.ways(name, options.epochs, options.jobs, options.few)
        found[name] = timed(ways, options.repeats)
        yield {"jobs": options.jobs, "epochs": options.epochs, "networks": found}


def shapes(options) -> Iterator[dict]:
    """Measure networks of different shapes, for each size of the data."""
    found = {}
    for samples in json.loads(options.samples):
        for features in json.loads(options.features):
            work = mlps.Work(samples, features, options.units, options.copies)
            ways = {
                "search": mlps.in_a_search(work),
                "vmap": mlps.by_vmap(work, min(options.lanes, work.networks), 250),
                "scans": mlps.one_by_one(work, options.sample),
                "steps": mlps.step_by_step(work, max(2, options.sample // 8)),
                "exact": mlps.compiled_each(work, max(2, options.sample // 8)),
            }
            print(work)
            rows = timed(ways, 1, once=(*ANEW, "search"))
            size = {"networks": work.networks, "repeats": work.repeats}
            found[f"{samples} x {features}"] = {**size, "ways": rows}
            yield found


JOBS = {
    "processes": "a process for each job, one after another",
    "processes at once": "a process for each job, two at a time",
    "steps": "one process, a jitted step in a loop",
    "scans": "one process, the whole training in a jitted scan",
    "vmap": "by hand, `jit(vmap(train))`",
    "search": "`jt.search`",
}
NETWORKS = {"mlp": "MLP 64-128-128-10", "cnn": "CNN, 16 and 32 channels"}


def job_seconds(row: dict, jobs: int) -> tuple[float, float]:
    """Return the seconds of all jobs, by the fastest turn of a sample, and cold."""
    warm, cold = min(row["seconds"]), row["cold"]
    rest = jobs - row["count"]
    return warm * jobs / row["count"], cold + rest * warm / row["count"]


def job_table(written: dict) -> str:
    """Return the table of jobs: seconds, and times as fast as a loop of jitted steps.

    The loop is one job at a time without what a process takes to start and to compile,
    which a long job would not notice.
    """
    part = written["rows"]["jobs"]
    rows = []
    for way, label in JOBS.items():
        cells = [label]
        for known in part["networks"].values():
            base, _ = job_seconds(known["steps"], part["jobs"])
            warm, cold = job_seconds(known[way], part["jobs"])
            cells += [f"{cold:.1f}", f"{warm:.1f}", f"{base / warm:.2f}"]
        rows.append(cells)
    rows.append(["HFTA, one accelerator", *["", "", HFTA] * len(part["networks"])])
    header = [f"{part['jobs']} jobs of {part['epochs']} epochs"]
    for name in part["networks"]:
        header += [f"{NETWORKS[name]}: seconds when cold", "seconds", "times as fast"]
    return table(header, rows)


WAYS = {
    "exact": "each compiled for its own size",
    "steps": "one after another, a jitted step, padded",
    "scans": "one after another, a jitted scan, padded",
    "vmap": "by hand, `jit(vmap(train))`, padded",
    "search": "one `jt.search`",
}


def shape_seconds(known: dict, way: str) -> float:
    """Return the seconds of all networks, compiling included.

    A network that is compiled for its own size compiles once for all of its repeats.
    """
    row, networks = known["ways"][way], known["networks"]
    if way != "exact":
        return job_seconds(row, networks)[1]
    programs = networks // known["repeats"]
    rest = (networks - programs) * min(row["seconds"])
    return (programs * row["cold"] + rest) / row["count"]


def shape_table(written: dict) -> str:
    """Return the table of networks of different shapes, by the size of the data."""
    part = written["rows"]["mlps"]
    rows = []
    for way, label in WAYS.items():
        cells = [label]
        for known in part.values():
            base, took = shape_seconds(known, "search"), shape_seconds(known, way)
            cells += [f"{took:.0f}", f"{took / base:.1f}"]
        rows.append(cells)
    theirs = ["ParallelMLPs, CPU and GPU", *["", PARALLEL] * len(part)]
    networks = next(iter(part.values()))["networks"]
    header = [f"{networks:,} networks, samples x features"]
    for name in part:
        header += [f"{name}: seconds", "ratio"]
    return table(header, [*rows, theirs])


def tables(written: dict) -> str:
    """Return all tables that there are figures for."""
    parts = {"jobs": job_table, "mlps": shape_table}
    known = [parts[name](written) for name in parts if name in written["rows"]]
    return "\n\n".join(known)


SMALL = {"jobs": 4, "epochs": 1, "few": 1, "of": "mlp", "repeats": 1, "samples": "[64]"}
SMALL |= {"features": "[5]", "units": 4, "copies": 2, "sample": 4}
PARTS = {"jobs": jobs, "mlps": shapes}


def main() -> None:
    """Measure the parts, and write each when it is known."""
    parser = arguments(__doc__, "vectorised")
    parser.add_argument("--parts", default=",".join(PARTS), help="%(default)s")
    parser.add_argument("--of", default=",".join(fused.NETWORKS), help="%(default)s")
    parser.add_argument("--jobs", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10, help="of a job")
    parser.add_argument("--few", type=int, default=4, help="jobs of the slow ways")
    parser.add_argument("--repeats", type=int, default=2, help="turns of the jobs")
    parser.add_argument("--samples", default="[100, 1000]")
    parser.add_argument("--features", default="[10, 100]")
    parser.add_argument("--units", type=int, default=mlps.UNITS)
    parser.add_argument("--copies", type=int, default=mlps.REPEATS, help="of a shape")
    parser.add_argument("--lanes", type=int, default=2000, help="networks by vmap")
    parser.add_argument("--sample", type=int, default=80, help="of the slow ways")
    options = parser.parse_args()
    if options.small:
        vars(options).update(SMALL)
    run_parts(options, PARTS, tables)


if __name__ == "__main__":
    main()
