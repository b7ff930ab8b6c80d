"""The command line; each command is one call of the public API.

Exit codes: 0 done, 1 a trial whose scores differ, 2 an error, 130 interrupted.
"""

from __future__ import annotations

import json
import math
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import jaxtune
from jaxtune.cache import compiled_once
from jaxtune.storage.settings import LAST_BITS

ERROR, INTERRUPTED = 2, 130

DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a pipe.")
TASK = click.option(
    "--task",
    metavar="FILE.py:NAME",
    help="What the run trains, if it has functions of your own: a task, an objective, "
    "or a function without arguments that returns one. The file is executed.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(jaxtune.__version__)
def main() -> None:
    """Hyperparameter search where many models train in one JAX program."""


@main.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="the present folder",
    help="Folder for the picture and the report.",
)
@compiled_once()  # the script's own operations as well
def demo(out: Path) -> None:
    """Search, zoom and report on scikit-learn's digits: 256 networks, four rounds."""
    try:
        script = runpy.run_path(str(_experiment("digits.py")))
    except ModuleNotFoundError as error:
        click.echo(
            f"{error}. The demo needs the extra: pip install 'jaxtune[demo]'", err=True
        )
        sys.exit(1)
    with _plain_errors():
        script["main"](out)


@main.command()
@JSON
def doctor(as_json: bool) -> None:
    """Look at versions, devices and the cache, and compute; exit 1 if it is wrong."""
    from jaxtune.doctor import doctor as look

    found = look()
    if as_json:
        _print_json({f.name: {"value": f.value, "fine": f.fine} for f in found})
    else:
        for finding in found:
            mark = " " if finding.fine else "!"
            click.echo(f"{mark} {finding.name:<22} {finding.value}")
    sys.exit(0 if all(finding.fine for finding in found) else 1)


@main.command()
@DIRECTORY
@click.option("--top", default=10, show_default=True, help="How many trials to list.")
@JSON
def show(directory: Path, top: int, as_json: bool) -> None:
    """Show a run: its space, the box of each round, the best trials."""
    from jaxtune.report import terminal

    with _plain_errors():
        result = jaxtune.load(directory)
        if as_json:
            _print_json(terminal.document(result, top))
        else:
            terminal.show(result, top)


@main.command()
@DIRECTORY
@TASK
@click.option("--block", type=int, help="Lanes in a block; needs --allow block.")
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(LAST_BITS),
    help="Go on although this differs, which changes the last bits of numbers.",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Run blocks on the Ray cluster at this address, such as auto.",
)
def resume(
    directory: Path,
    task: str | None,
    block: int | None,
    allow: tuple[str, ...],
    ray: str | None,
) -> None:
    """Go on with a run that was cut off, as if it had not been."""
    with _plain_errors():
        executor = None if ray is None else jaxtune.executors.ray(ray)
        result = jaxtune.resume(
            directory, _task(task), block=block, allow=allow, executor=executor
        )
        click.echo(repr(result))


@main.command()
@DIRECTORY
@click.argument("trial", type=int)
@TASK
@JSON
def rerun(directory: Path, trial: int, task: str | None, as_json: bool) -> None:
    """Train one trial again; exit 0 if its scores equal the recorded ones, else 1."""
    with _plain_errors():
        found = jaxtune.rerun(directory, trial, _task(task))
    if as_json:
        _print_json({"trial": trial, "same": found.same} | _both(found))
        sys.exit(0 if found.same else 1)
    for name, recorded in found.recorded.items():
        again = found.again.get(name)
        if found.same:
            click.echo(f"{name}: {_numbers(recorded)}, again to the bit")
        else:
            click.echo(f"{name}: recorded {_numbers(recorded)}, now {_numbers(again)}")
    sys.exit(0 if found.same else 1)


@main.command()
@DIRECTORY
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default="report.html in the directory",
    help="The page to write.",
)
def report(directory: Path, out: Path | None) -> None:
    """Write a run's report, one self-contained page."""
    page = out or directory / "report.html"
    with _plain_errors():
        result = jaxtune.load(directory)
        try:
            result.report(page)
        except OSError as error:
            why = f"{page} cannot be written ({error.strerror}). Use --out FILE."
            raise _Failed(why) from error
        click.echo(f"wrote {page}")


@main.command()
@DIRECTORY
@click.option(
    "--to",
    nargs=2,
    required=True,
    metavar="TOOL WHERE",
    help="csv FILE, parquet FILE, optuna JOURNAL_FILE or a database URL, "
    "tensorboard FOLDER, mlflow URI (such as sqlite:///mlflow.db), wandb FOLDER.",
)
def export(directory: Path, to: tuple[str, str]) -> None:
    """Write a run for another tool, such as: export DIR --to optuna study.log"""
    with _plain_errors():
        result = jaxtune.load(directory)
        click.echo(f"wrote {jaxtune.integrations.export(result, *to)}")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
def completion(shell: str) -> None:
    """Print a shell's completion, for: eval "$(jaxtune completion bash)"."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None, "click knows the shells that it lets one choose"
    click.echo(made(main, {}, "jaxtune", "_JAXTUNE_COMPLETE").source())


class _Failed(click.ClickException):
    exit_code = ERROR


@contextmanager
def _plain_errors() -> Iterator[None]:
    """One line for what a user can mend; tracebacks only for faults of ours."""
    known = (jaxtune.RunError, ValueError, IndexError, MemoryError, OSError)
    try:
        yield
    except ModuleNotFoundError as error:
        raise _Failed(f"{error}. Try: pip install 'jaxtune[all]'") from error
    except known as error:
        raise _Failed(str(error)) from error
    except KeyboardInterrupt as error:
        click.echo(f"\nInterrupted: {error or 'nothing was kept'}", err=True)
        sys.exit(INTERRUPTED)


def _task(where: str | None) -> Any:
    """The task that ``FILE.py:NAME`` or ``module:NAME`` names."""
    if where is None:
        return None
    source, _, name = where.rpartition(":")
    if not source:
        raise ValueError(f"--task {where!r}: use FILE.py:NAME, such as train.py:task.")
    names = _names_of(source)
    if name not in names:
        raise ValueError(f"--task {where!r}: {source} has no {name!r}.")
    found = names[name]
    return found() if _takes_nothing(found) else found


def _names_of(source: str) -> dict[str, Any]:
    if source.endswith(".py"):
        if not Path(source).is_file():
            raise ValueError(f"--task: there is no file {source}.")
        # not as __main__, so that a guarded script does not start its search
        return runpy.run_path(source, run_name=Path(source).stem)
    return runpy.run_module(source)


def _takes_nothing(found: Any) -> bool:
    import inspect

    if not callable(found):
        return False
    parameters = inspect.signature(found).parameters.values()
    return all(p.default is not p.empty for p in parameters)


def _both(found: jaxtune.Rerun) -> dict[str, Any]:
    """Recorded and new values of every metric."""
    sides = {"recorded": found.recorded, "again": found.again}
    return {
        side: {name: list(map(float, values)) for name, values in told.items()}
        for side, told in sides.items()
    }


def _print_json(document: Any) -> None:
    """Strict JSON: what is no number is null."""
    click.echo(json.dumps(_strict(document), indent=1))


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _strict(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    known = value is None or isinstance(value, bool | int | float | str)
    return value if known else str(value)


def _numbers(values: Any) -> str:
    return "nothing" if values is None else ", ".join(f"{v:.9g}" for v in values)


def _experiment(name: str) -> Path:
    """A script of ``experiments/``: inside a wheel, or beside a checkout's package."""
    package = Path(__file__).parent
    inside = package / "experiments" / name
    return inside if inside.exists() else package.parent / "experiments" / name
