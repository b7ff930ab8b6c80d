"""Simulate a search on many machines, from what was measured on one.

Reads ``results/workers.json`` and simulates a search block by block: workers take one
block at a time, a driver serves them in turn and commits in order, rounds end together,
and workers die and come back. First it is compared with the searches that were timed.

    python benchmarks/simulate.py [--trials 10000000] [--json FILE]
"""

import argparse
import heapq
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

MEASURED = Path(__file__).with_name("results") / "workers.json"
WORKERS = (10, 100, 1000, 10_000)
SECONDS = (1.0, 10.0, 60.0, 600.0)  # of a block
LIFE = 24 * 3600.0  # seconds until a worker dies, on average
LANES = 64
ROUNDS = 4
BACK = 60.0  # seconds until a machine that died is replaced
ROOM, AHEAD = 2, 4  # blocks in flight for each worker, as in jaxtune.executors._ray


class Search(NamedTuple):
    """A search to simulate.

    Args:
      blocks: number of blocks in each round.
      rounds: number of rounds.
      workers: number of workers.
      seconds: ``[n]`` measured seconds of blocks, to draw from.
      driver: seconds that the driver needs for each block.
      life: seconds until a worker dies, on average.
      back: seconds until it is replaced.
    """

    blocks: int
    rounds: int
    workers: int
    seconds: np.ndarray
    driver: float
    life: float = np.inf
    back: float = BACK


def simulate(search: Search, seed: int = 0) -> dict:
    """Return the seconds of a search, the lost blocks, and how busy the workers are."""
    rng = np.random.default_rng(seed)
    now, lost, worked = 0.0, 0, 0.0
    for _ in range(search.rounds):
        drawn = rng.choice(search.seconds, search.blocks)
        now, more = one_round(search, drawn, now, rng)
        lost, worked = lost + more, worked + drawn.sum()
    return {
        "seconds": now,
        "lost_blocks": lost,
        "efficiency": worked / (now * search.workers),
        "blocks_per_second": search.blocks * search.rounds / now,
    }


def one_round(search: Search, seconds, start: float, rng) -> tuple[float, int]:
    """Return the second at which a round ends, and the number of lost blocks."""
    free = [start] * search.workers  # the second from which a worker is free
    heapq.heapify(free)
    most = search.workers * (ROOM + AHEAD)
    done: dict[int, float] = {}  # block to the second of its return, in no order
    driver = start  # the second from which the driver is free
    committed, lost = 0, 0
    for number, length in enumerate(seconds):
        # a block waits until it is not too far ahead of the oldest one in flight
        while number - committed >= most:
            driver = max(driver, done.pop(committed)) + search.driver / 2
            committed += 1
        driver += search.driver / 2
        begin = max(heapq.heappop(free), driver)
        while (survives := rng.exponential(search.life)) < length:
            begin += survives + search.back
            lost += 1
        done[number] = begin + length
        heapq.heappush(free, begin + length)
    for number in range(committed, len(seconds)):
        driver = max(driver, done[number]) + search.driver / 2
    return driver, lost


def checked(measured: dict) -> dict:
    """Return simulated and measured seconds of the searches that were timed."""
    rows, settings = measured["rows"], measured["settings"]
    blocks = np.asarray(rows["block_seconds"])
    count = settings["trials"] // 8
    # Two workers here share the caches and the clock of two cores; machines do not. The
    # cost of sharing is taken from the long search without kills.
    kills, simulated = rows["kills"], {}
    shared = kills["undisturbed_seconds"] * 2 / (blocks.mean() * 4 * count)
    name = "Ray, 1 workers"
    driver = rows["overhead_ms_per_block"][name] / 1e3
    simulated[name] = simulate(Search(count, 1, 1, blocks, driver))["seconds"]
    name = "Ray, 2 workers"
    driver = rows["overhead_ms_per_block"][name] / 1e3
    simulated[name] = simulate(Search(count, 1, 2, blocks * shared, driver))["seconds"]
    life, back = 2 * kills["every_seconds"], rows["worker_start_seconds"]
    many = Search(4 * count, 1, 2, blocks * shared, driver, life, back)
    simulated["killed"] = simulate(many)["seconds"]
    timed = {**rows["search_seconds"], "killed": kills["seconds"]}
    return {
        name: {"simulated_seconds": seconds, "measured_seconds": timed[name]}
        for name, seconds in simulated.items()
    }


def main() -> None:
    """Simulate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--trials", type=int, default=10_000_000, help="trials of the simulated search"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    measured = json.loads(MEASURED.read_text())
    rows, spread = measured["rows"], np.asarray(measured["rows"]["block_seconds"])
    spread = spread / spread.mean()
    per_block = rows["overhead_ms_per_block"]
    commit = rows["run_directory"]["ms_per_block_with_states"]
    driver = (per_block["Ray, 2 workers"] + commit) / 1e3
    print(f"the driver's time for a block: {1e3 * driver:.2f} ms")
    checks = checked(measured)
    for name, row in checks.items():
        print(f"  {name:20}", *(f"{k} {v:.1f}" for k, v in row.items()))
    table = []
    blocks = options.trials // LANES // ROUNDS
    print(" workers s a block    hours   busy    lost blocks/s")
    for seconds in SECONDS:
        for workers in WORKERS:
            found = simulate(
                Search(blocks, ROUNDS, workers, spread * seconds, driver, LIFE)
            )
            table.append({"workers": workers, "seconds_of_a_block": seconds, **found})
            print(
                f"{workers:8}{seconds:10.0f}{found['seconds'] / 3600:9.1f}"
                f"{found['efficiency']:7.0%}{found['lost_blocks']:8}"
                f"{found['blocks_per_second']:9.1f}"
            )
    if options.json:
        settings = {
            "trials": options.trials,
            "lanes": LANES,
            "rounds": ROUNDS,
            "driver_ms": 1e3 * driver,
            "life_seconds": LIFE,
            "back_seconds": BACK,
        }
        whole = {"settings": settings, "checks": checks, "rows": table}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
