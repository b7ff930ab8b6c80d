"""A run that is changed behind jaxtune's back is told, or makes no difference."""

import shutil
import sqlite3
from contextlib import closing

import jax
import killed
import numpy as np
import pytest
from click.testing import CliRunner
from editing import without_sums

import jaxtune as jt
from jaxtune.cli import main
from jaxtune.storage import recording

# a lost block is trained again; what that needs is trained again too, which is told
pytestmark = pytest.mark.filterwarnings("ignore:.*states of block")

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
        whole = digest(make())
        if blocks is None:
            make(folder / name)
        else:
            with killed.cut_after(blocks):
                make(folder / name)
        found[name] = (folder / name, task, whole)
    return found


@pytest.fixture(scope="module")
def more_runs(runs, tmp_path_factory):
    """Further runs, one whose trials took over states and one with curves."""
    folder, found = tmp_path_factory.mktemp("more"), dict(runs)
    pbt = {"scheduler": jt.schedulers.pbt(interval=2), "trials": 8}
    whole = trained(**pbt)
    with killed.cut_after(8):
        trained(folder / "varied", **pbt)
    with killed.cut_after(4):
        trained(folder / "narrowed", block=2)
    whole_of_two = digest(trained(block=2))
    found["narrowed"] = (folder / "narrowed", killed.line(), whole_of_two)
    found["varied"] = (folder / "varied", killed.line(), digest(whole))
    curved = trained(folder / "curved", scheduler=None, history=True)
    found["curved"] = (folder / "curved", killed.line(), digest(curved))
    return found


def digest(result):
    """Return a hash of the table, and of every epoch if there is a history."""
    curves = result.history if result.setup.workload.scoring.history else {}
    return killed.digest(result), *(v.tobytes() for _, v in sorted(curves.items()))


def use(directory, task):
    """Return the hash of a run's table after it was resumed."""
    return digest(jt.resume(directory, task, verbose=0))


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
    number = 20 if name == "paused" else 60
    wrong, counts = attack(runs[name], change, number, tmp_path, repaired=4)
    assert not wrong
    assert counts["told"]


@pytest.mark.slow
@pytest.mark.parametrize("change", [changed_bytes, changed_value])
@pytest.mark.parametrize("name", ["finished", "cut", "paused"])
def test_no_change_of_very_many_is_silent(name, change, runs, tmp_path):
    wrong, _ = attack(runs[name], change, 1000, tmp_path, repaired=2)
    assert not wrong


def edited(source, target, *statements):
    """Return a copy of a run whose record was edited."""
    shutil.copytree(source, target)
    with closing(sqlite3.connect(target / "run.sqlite")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    return target


def call(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def test_a_damaged_run_is_refused_checked_and_repaired(runs, tmp_path):
    source, task, whole = runs["cut"]
    spoil = "UPDATE metrics SET value = 1.7e-20 WHERE block = 2 AND place = 3"
    at = edited(source, tmp_path / "run", spoil)
    before = {path.name: path.read_bytes() for path in at.iterdir()}
    for refused in (jt.load, jt.resume, lambda run: jt.rerun(run, 1)):
        with pytest.raises(jt.RunError, match=r"damaged: block 2 is not.*check"):
            refused(at)
    for command in ("show", "report", "resume"):
        assert call(command, at).exit_code == 2
    found = call("check", at)
    assert found.exit_code == 1
    assert "  block 2\n32 of 32 trials and 2 of 3 blocks" in found.output
    assert f"jaxtune repair {at} --out" in found.output
    checkup = jt.check(at)
    assert (checkup.blocks, checkup.kept_blocks) == (3, 2)
    assert checkup.trials == checkup.kept_trials == 32
    assert {path.name: path.read_bytes() for path in at.iterdir()} == before
    with pytest.raises(jt.RunError, match="Use an empty directory"):
        jt.repair(at, tmp_path)
    script = tmp_path / "own.py"
    script.write_text("from test_damage import bowl\n")
    mended = call("repair", at, "--out", tmp_path / "copy", "--task", f"{script}:bowl")
    assert mended.exit_code == 0, mended.output
    assert "2 of 3 blocks are kept" in mended.output
    assert digest(jt.load(tmp_path / "copy", task)) == whole
    assert call("check", tmp_path / "copy").exit_code == 0
    assert "all 32 trials are as written" in str(jt.check(tmp_path / "copy"))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("DELETE FROM lanes WHERE block = 0 AND place = 0", "block 0"),
        ("DELETE FROM trials WHERE trial = 3", "trial 3"),
        ("DELETE FROM events WHERE kind = 'opened'", "event"),
        ("DELETE FROM sums WHERE entry = 4", "checksum 5"),
        ("DELETE FROM sums", "list of files"),
        ("UPDATE rounds SET ended = NULL WHERE round = 0", "end of round 0"),
        ("UPDATE rounds SET ended = x'00' WHERE round = 1", "ends of rounds"),
        ("INSERT INTO metrics VALUES (0, 1, 'more', 2.0)", "block 0"),
        ("INSERT INTO metrics VALUES (77, 1, 'score', 2.0)", "table metrics"),
        ("INSERT INTO blocks VALUES (77, 1, 8, 0, NULL)", "table blocks"),
        ("INSERT INTO curves VALUES (1, x'00')", "curves of block 1"),
        ("UPDATE sums SET kind = 'blocks' WHERE kind = 'block'", "entry"),
        ("PRAGMA user_version = 1", "schema number"),
        ("UPDATE files SET content = NULL", "list of files"),
        ("UPDATE files SET content = x'00'", "list of files"),
    ],
)
def test_what_is_missing_or_too_much_is_named(spoil, told, runs, tmp_path):
    at = edited(runs["cut"][0], tmp_path / "run", spoil)
    with pytest.raises(jt.RunError, match=told):
        jt.load(at)


def test_a_table_takes_no_value_of_another_type(runs, tmp_path):
    for spoil in (
        "UPDATE metrics SET value = 'x' WHERE place = 1",
        "UPDATE trials SET point = 'x' WHERE trial = 1",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            edited(runs["cut"][0], tmp_path / spoil[7:10], spoil)


def test_states_that_are_lost_are_trained_again(runs, tmp_path):
    source, task, whole = runs["paused"]
    for number, spoil in enumerate(("NULL", "x'00'")):
        edit = f"UPDATE blocks SET state = {spoil} WHERE state IS NOT NULL"
        at = edited(source, tmp_path / str(number), edit)
        with pytest.warns(UserWarning, match="states of block . are missing"):
            found = jt.resume(at, task, verbose=0)
        assert digest(found) == whole
        assert jt.check(at).fine
    jt.repair(edited(source, tmp_path / "spoiled", edit), tmp_path / "copy")
    with pytest.warns(UserWarning, match="states of block"):
        assert use(tmp_path / "copy", task) == whole


@pytest.mark.parametrize("block", [0, 1, 2, 3])
def test_states_may_be_missed_after_new_blocks(block, more_runs, tmp_path):
    source, task, whole = more_runs["narrowed"]
    edit = f"UPDATE blocks SET state = NULL WHERE block = {block}"
    at = edited(source, tmp_path / "run", edit)
    assert use(at, task) == whole
    assert jt.check(at).fine


def test_a_record_of_an_earlier_version_gets_sums_when_it_is_written_to(runs, tmp_path):
    source, task, whole = runs["cut"]
    at = without_sums(shutil.copytree(source, tmp_path / "run"))
    assert "wrote no checksums" in str(jt.check(at))
    with pytest.raises(jt.RunError, match="nothing tells what is damaged"):
        jt.repair(at, tmp_path / "copy")
    assert use(at, task) == whole
    assert jt.check(at).fine
    assert jt.check(at).summed
    spoiled = edited(at, tmp_path / "spoiled", "UPDATE metrics SET value = 0")
    with pytest.raises(jt.RunError, match="block 0, block 1, block 2 and 1 more"):
        jt.load(spoiled)


def test_a_file_beside_the_record_is_as_it_was_written(runs, small_task, tmp_path):
    at = shutil.copytree(runs["finished"][0], tmp_path / "run")
    settings = at / "run.json"
    settings.write_text(settings.read_text().replace('"seeds": 1', '"seeds":  1'))
    with pytest.raises(jt.RunError, match=r"file run\.json is not as written"):
        jt.load(at)
    jt.repair(at, tmp_path / "copy")
    assert '"seeds": 1' in (tmp_path / "copy" / "run.json").read_text()
    assert use(tmp_path / "copy", bowl) == runs["finished"][2]
    prior = jt.load(runs["finished"][0])
    sought(tmp_path / "more", prior=prior, sampler=None)
    (tmp_path / "more" / "prior.npz").unlink()
    with pytest.raises(jt.RunError, match=r"prior\.npz"):
        jt.load(tmp_path / "more")
    assert "Nothing else has what is in prior.npz" in str(jt.check(tmp_path / "more"))
    with pytest.raises(jt.RunError, match="nothing else has"):
        jt.repair(tmp_path / "more", tmp_path / "lost")


def test_an_extension_may_be_killed_between_its_files(runs, tmp_path, monkeypatch):
    at = shutil.copytree(runs["finished"][0], tmp_path / "run")

    def killed_now(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recording, "write_whole", killed_now)
        with pytest.raises(KeyboardInterrupt):
            jt.extend(at, bowl, trials=16, verbose=0)
    assert jt.check(at).fine
    assert digest(jt.load(at, bowl)) == runs["finished"][2]
    old = (at / "run.json").read_bytes()
    longer = jt.extend(at, bowl, trials=16, verbose=0)
    assert len(longer.trials) == 48
    assert jt.check(at).fine
    # not the settings before, with more on record than they say
    at = shutil.copytree(runs["finished"][0], tmp_path / "other")
    jt.extend(at, bowl, trials=16, verbose=0)
    (at / "run.json").write_bytes(old)
    with pytest.raises(jt.RunError, match=r"file run\.json"):
        jt.load(at)


@pytest.mark.parametrize(
    ("name", "spoil", "kept"),
    [
        ("cut", "UPDATE lanes SET status = 3 WHERE block = 0", (32, 3)),
        ("cut", "DELETE FROM blocks WHERE block = 1", (32, 3)),
        ("cut", "UPDATE trials SET hparams = '{}' WHERE trial = 20", (16, 2)),
        ("cut", "UPDATE rounds SET box = '' WHERE round = 0", (0, 0)),
        ("cut", "UPDATE rounds SET ended = x'00' WHERE round = 0", (32, 3)),
        ("cut", "DELETE FROM events", (32, 3)),
        ("cut", "UPDATE sums SET link = x'00' WHERE entry = 3", (32, 3)),
        ("finished", "UPDATE rounds SET ended = x'00' WHERE round = 0", (32, 4)),
        ("paused", "UPDATE metrics SET value = 0 WHERE block = 1", (16, 4)),
        ("varied", "UPDATE variations SET value = x'00' WHERE number = 1", (8, 4)),
        ("curved", "UPDATE rounds SET ended = x'00'", (16, 0)),
    ],
)
def test_a_repaired_run_ends_as_if_it_had_not_been_damaged(
    name, spoil, kept, more_runs, tmp_path
):
    source, task, whole = more_runs[name]
    found = jt.repair(edited(source, tmp_path / "run", spoil), tmp_path / "copy")
    assert (found.kept_trials, found.kept_blocks) == kept
    assert use(tmp_path / "copy", task) == whole
    assert jt.check(tmp_path / "copy").fine


def test_a_record_without_its_settings_is_not_begun_anew(runs, tmp_path):
    source, _, whole = runs["finished"]
    at = shutil.copytree(source, tmp_path / "run")
    (at / "run.json").unlink()
    for refused in (jt.load, jt.resume, sought):
        with pytest.raises(jt.RunError, match=r"32 trials on record.*jaxtune check"):
            refused(at)
    assert not jt.check(at).fine
    jt.repair(at, tmp_path / "copy")
    assert use(tmp_path / "copy", bowl) == whole
    (at / "run.json").write_text("")
    with pytest.raises(jt.RunError, match=r"cannot be read.*jaxtune check"):
        jt.load(at)
