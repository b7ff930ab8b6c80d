"""A run that is changed behind jaxtune's back is told, or makes no difference."""

import shutil
import sqlite3
from contextlib import closing

import jax
import killed
import numpy as np
import pytest

import jaxtune as jt

PLANE = jt.Space(x=jt.uniform(0.0, 1.0), how=jt.choice(["a", "b"]))
TABLES = (
    "rounds",
    "trials",
    "blocks",
    "lanes",
    "metrics",
    "devices",
    "events",
    "files",
    "sums",
)


def bowl(key, hparams):
    return (hparams["x"] - 0.3) ** 2 + 0.1 * hparams["how"].index


def sought(directory=None, **own):
    """A search over two numbers, of four blocks in two rounds."""
    arguments = {"key": jax.random.key(0), "trials": 32, "rounds": 2, "mode": "min"}
    arguments |= {"sampler": "sobol", "block": 8, "verbose": 0, "directory": directory}
    return jt.search(bowl, PLANE, **arguments | own)


def trained(directory=None, **own):
    """Networks under a scheduler, whose states wait on record."""
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
    arguments = {"key": jax.random.key(3), "trials": 16, "rounds": 1, "epochs": 9}
    arguments |= {"sampler": "sobol", "block": 4, "verbose": 0, "directory": directory}
    arguments |= {"scheduler": jt.schedulers.successive_halving()}
    return jt.search(killed.line(), space, **arguments | own)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs by name: a directory, its task, and the hash of the whole table."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for name, make, task, blocks in (
        ("finished", sought, bowl, None),
        ("cut", sought, bowl, 3),
        ("paused", trained, killed.line(), 5),
    ):
        whole = killed.digest(make())
        if blocks is None:
            make(folder / name)
        else:
            with killed.cut_after(blocks):
                make(folder / name)
        found[name] = (folder / name, task, whole)
    return found


def use(directory, task):
    """Return the hash of a run's table after it was resumed."""
    return killed.digest(jt.resume(directory, task, verbose=0))


def changed_bytes(directory, rng):
    """Change some bytes of a file; return what was done."""
    files = [p for p in sorted(directory.iterdir()) if p.name not in ("run.lock",)]
    path = files[rng.integers(len(files))]
    data = bytearray(path.read_bytes())
    at, length = int(rng.integers(len(data))), int(rng.choice([1, 1, 1, 16, 512]))
    how = rng.choice(["flip", "zero", "cut"], p=[0.7, 0.2, 0.1])
    if how == "flip":
        data[at] ^= int(rng.integers(1, 256))
    elif how == "zero":
        data[at : at + length] = bytes(len(data[at : at + length]))
    else:
        del data[at:]
    path.write_bytes(data)
    return f"{path.name}: {how} {length} at {at}"


def changed_value(directory, rng):
    """Change or remove a row of a table; return what was done."""
    done = None
    while done is None:
        with closing(sqlite3.connect(directory / "run.sqlite")) as db:
            done = change_row(db, str(rng.choice(TABLES)), rng)
    return done


def change_row(db, table, rng):
    """Change or remove a row; return what was done, ``None`` if it was refused."""
    described = db.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [name for _, name, *_ in described]
    keys = [name for _, name, *_, key in described if key] or columns
    rows = db.execute(f"SELECT {', '.join(keys)} FROM {table}").fetchall()
    if not rows:
        return None
    where = " AND ".join(f"{name} IS ?" for name in keys)
    row, column = rows[rng.integers(len(rows))], str(rng.choice(columns))
    if rng.random() < 0.3:
        db.execute(f"DELETE FROM {table} WHERE {where}", row)
        db.commit()
        return f"{table}: {row} removed"
    query = f"SELECT {column} FROM {table} WHERE {where}"
    (value,) = db.execute(query, row).fetchone()
    new = another(value, rng)
    try:
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (new, *row))
    except sqlite3.IntegrityError:
        return None
    db.commit()
    return f"{table}.{column} of {row}: {new!r}"


def another(value, rng):
    if value is None:
        return [0, 0.5, b"", "x"][rng.integers(4)]
    if isinstance(value, int):
        return value + int(rng.choice([-1, 1, 1000]))
    if isinstance(value, float):
        return [value * (1 + 2**-23), -value, None][rng.integers(3)]
    if isinstance(value, str):
        return [value + " ", value.replace("1", "2"), ""][rng.integers(3)]
    data = bytearray(value or b"x")
    data[rng.integers(len(data))] ^= 1
    return bytes(data)


def outcome(directory, task, whole):
    """Return what came of using a run: ``same``, ``told``, ``silent`` or an error."""
    try:
        return "same" if use(directory, task) == whole else "silent"
    except jt.RunError:
        return "told"
    except Exception as error:  # the point is that there is none
        return repr(error)


def attack(run, change, number, tmp_path, repaired):
    """Change a run a number of times; return what went wrong, and the outcomes."""
    source, task, whole = run
    wrong, counts = [], {}
    for seed in range(number):
        rng = np.random.default_rng(seed)
        at = tmp_path / "run"
        shutil.rmtree(at, ignore_errors=True)
        shutil.copytree(source, at)
        done = change(at, rng)
        copy = shutil.copytree(at, tmp_path / "damaged", dirs_exist_ok=True)
        found = outcome(at, task, whole)
        counts[found] = counts.get(found, 0) + 1
        if found not in ("same", "told"):
            wrong.append((seed, done, found))
        if found == "told" and seed % repaired == 0:
            mended = save(copy, tmp_path / "copy", task)
            counts[mended] = counts.get(mended, 0) + 1
            if mended not in (whole, "lost"):
                wrong.append((seed, done, "repair", mended))
        shutil.rmtree(copy)
    return wrong, counts


def save(directory, out, task):
    """Return the hash of a run after it was repaired; ``lost`` if it could not be."""
    shutil.rmtree(out, ignore_errors=True)
    try:
        assert not jt.check(directory).fine
        jt.repair(directory, out)
    except jt.RunError:
        return "lost"
    except Exception as error:
        return repr(error)
    return use(out, task)


@pytest.mark.parametrize("change", [changed_bytes, changed_value])
@pytest.mark.parametrize("name", ["finished", "cut", "paused"])
def test_no_change_of_a_run_is_silent(name, change, runs, tmp_path):
    number = 8 if name == "paused" else 45
    wrong, counts = attack(runs[name], change, number, tmp_path, repaired=4)
    assert not wrong
    assert counts["told"]


@pytest.mark.slow
@pytest.mark.parametrize("change", [changed_bytes, changed_value])
@pytest.mark.parametrize("name", ["finished", "cut", "paused"])
def test_no_change_of_very_many_is_silent(name, change, runs, tmp_path):
    wrong, _ = attack(runs[name], change, 1000, tmp_path, repaired=2)
    assert not wrong
