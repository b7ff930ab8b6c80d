"""Try the lowest and the newest versions that jaxtune allows, and print a table.

    python .ci/versions.py [--tests space old_runs] [--only lowest] [--folder KEPT]

The lowest are those of `pyproject.toml`, all at once, on the oldest Python that it
allows; the newest are those that pip finds on the newest Python of this machine, which
may be one of pyenv's. Each gets an environment of its own in a temporary folder, the
named tests, a look at the licences of all that was installed (`licences.py`), and where
PyPI's advisories can be reached, pip-audit. It ends with 1 if anything failed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OLDEST = re.search(r"3\.(\d+)", PROJECT["requires-python"])[1]
NEWEST = ("14", "13", "12")  # the first that is there
# what the tests themselves need, whatever its version
TOOLS = ("hypothesis", "psutil", "pytest")
TESTS = ("space", "samplers", "programs", "supervised", "storage", "old_runs")
SHOWN = ("jax", "flax", "optax", "orbax-checkpoint", "chex", "numpy", "scipy", "pandas")
SHOWN += ("click", "filelock", "platformdirs", "rich", "threadpoolctl", "optuna", "ray")


def lowest() -> list[str]:
    """Return the lower bound of every dependency, extras too, as a pin."""
    extras = PROJECT["optional-dependencies"]
    asked = list(PROJECT["dependencies"])
    for name in extras["all"][0].partition("[")[2].rstrip("]").split(","):
        asked += extras[name]
    bounds = (re.match(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)", line) for line in asked)
    return sorted({f"{bound[1]}=={bound[2]}" for bound in bounds if bound})


def python_of(minor: str) -> str | None:
    """Return a Python of this version that works; ``None`` if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = sorted(pyenv.glob(f"3.{minor}.*/bin/python"))
    for found in (f"python3.{minor}", *map(str, reversed(kept))):
        # a shim of pyenv may be there for a Python that is switched off
        code = f"import sys; sys.exit(sys.version_info[1] != {minor})"
        try:
            if not subprocess.run([found, "-c", code], capture_output=True).returncode:
                return found
        except OSError:
            continue
    return None


def quiet(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command at the root of the repository, and return what it said."""
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | more, text=True, capture_output=True
    )


def installed(folder: Path, python: str, pins: list[str]) -> str:
    """Make an environment; return its Python, or raise with what pip said."""
    quiet(python, "-m", "venv", str(folder))
    here = str(folder / "bin" / "python")
    (folder / "pins.txt").write_text("\n".join(pins))
    pip = (here, "-m", "pip", "install", "--quiet", "--no-compile")
    wanted = ("--constraint", str(folder / "pins.txt"), "--editable", ".[all]", *TOOLS)
    done = quiet(*pip, *wanted)
    if done.returncode:
        raise RuntimeError("pip: " + _last(done.stderr, "ERROR") + f" ({done.args})")
    return here


def tested(python: str, names: list[str]) -> tuple[bool, str]:
    """Run the named files of tests, and return whether all passed, and how many."""
    files = [f"tests/test_{name}.py" for name in names]
    with tempfile.TemporaryDirectory() as cache:
        done = quiet(
            *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files),
            JAXTUNE_CACHE=cache,
        )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    return not done.returncode, _last(done.stdout, "passed|failed|error").strip("= ")


def licensed(python: str) -> tuple[bool, str]:
    """Look at the licences, and return whether all are fine, and what was found."""
    done = quiet(python, ".ci/licences.py", "all")
    return not done.returncode, _last(done.stdout + done.stderr, ".")


def audited(python: str, folder: Path) -> tuple[bool, str]:
    """Ask for advisories; a source that is out of reach is told, and is no failure."""
    site = quiet(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    quiet(sys.executable, "-m", "venv", str(folder))  # with its own versions of things
    quiet(str(folder / "bin" / "pip"), "install", "--quiet", "pip-audit")
    try:
        done = quiet(
            *(str(folder / "bin" / "pip-audit"), "--path", site.stdout.strip()),
            *("--format", "json", "--progress-spinner", "off", "--timeout", "30"),
        )
    except OSError:
        return True, "not asked: pip-audit could not be installed"
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return True, "not reached: " + _last(done.stderr, ".")[:60]
    asked = [one for one in found if "skip_reason" not in one]
    if not asked:
        return True, f"not reached: no answer for any of {len(found)} packages"
    bad = [f"{one['name']} {one['version']}" for one in asked if one["vulns"]]
    said = f"{len(asked)} of {len(found)} packages asked: {', '.join(bad) or 'none'}"
    return not bad, said


def _last(text: str, pattern: str) -> str:
    lines = [line for line in text.splitlines() if re.search(pattern, line)]
    return lines[-1] if lines else "nothing"


def tried(name: str, folder: Path, tests: list[str]) -> tuple[bool, dict[str, str]]:
    """Return whether an environment is fine, and its column of the table."""
    minors = (OLDEST,) if name == "lowest" else NEWEST
    pins = lowest() if name == "lowest" else []
    python = next(filter(None, map(python_of, minors)), None)
    if python is None:
        return False, {"python": f"none of 3.{', 3.'.join(minors)} is here"}
    begin = time.monotonic()
    try:
        here = installed(folder / name, python, pins)
    except RuntimeError as error:
        return False, {"python": python, "tests": str(error)}
    code = "import sys, json; from importlib.metadata import version as v"
    code += "; print(json.dumps({name: v(name) for name in sys.argv[1:]}))"
    versions = json.loads(quiet(here, "-c", code, *SHOWN).stdout)
    version = quiet(here, "--version").stdout.split()[1]
    outcomes = {
        "tests": tested(here, tests),
        "licences": licensed(here),
        "advisories": audited(here, folder / "audit"),
    }
    column = {"python": version, **versions}
    column |= {what: said for what, (_, said) in outcomes.items()}
    column["minutes"] = f"{(time.monotonic() - begin) / 60:.1f}"
    return all(fine for fine, _ in outcomes.values()), column


def main() -> int:
    """Try both, print a table, and return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tests", nargs="+", default=list(TESTS), help="of tests/")
    parser.add_argument("--only", choices=("lowest", "newest"))
    parser.add_argument("--folder", type=Path, help="keep the environments here")
    options = parser.parse_args()
    names = [options.only] if options.only else ["lowest", "newest"]
    with tempfile.TemporaryDirectory() as folder:
        where = options.folder or Path(folder)
        done = {name: tried(name, where, options.tests) for name in names}
    print(f"| {'':16} | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
    rows = dict.fromkeys(row for _, column in done.values() for row in column)
    for row in rows:
        cells = [column.get(row, "") for _, column in done.values()]
        print(f"| {row:16} | {' | '.join(cells)} |")
    return 0 if all(fine for fine, _ in done.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
