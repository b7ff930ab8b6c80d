"""The command line; each command is one call of the public API."""

from __future__ import annotations

import json
import math
import os
import runpy
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import jax

import jaxtune
from jaxtune.cache import compiled_once
from jaxtune.printing import printable
from jaxtune.scripts import names_of
from jaxtune.signals import GRACE
from jaxtune.storage.kernels import load_kernels
from jaxtune.storage.settings import ALLOWED
from jaxtune.trained.ensemble import Ensemble
from jaxtune.trained.files import check_destination
from jaxtune.trained.model import TrainedModel

# the exit codes, and all of them: 1 is an answer, so no error may end with it
DONE, DIFFERS, ERROR, INTERRUPTED = 0, 1, 2, 130
EXIT_CODES = """Exit codes: 0 done; 1 the answer is no: a trial whose scores differ, a
damaged run, or a failed self-test; 2 an error, of usage or any other; 130 interrupted;
143 ended by SIGTERM; 129 by SIGHUP.
"""
DEBUG = "JAXTUNE_DEBUG"  # a variable that is set prints tracebacks, as --debug does

PLACE = "FILE.safetensors, or a folder. A model there is replaced."

DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
TASK = click.option(
    "--task",
    metavar="FILE.py:NAME",
    help="The run's task or objective, or a function without arguments that returns "
    "it. Needed if the run uses functions of your own. The file is executed.",
)

GRACE_OPTION = click.option(
    "--grace",
    type=float,
    default=GRACE,
    show_default=True,
    help="Seconds that blocks in flight get to end after SIGTERM or SIGHUP.",
)


@contextmanager
def _one_end_for_pipes() -> Iterator[None]:
    """End with an error where a pipe, such as that of head, has read enough."""
    try:
        yield
    except BrokenPipeError:
        # the last flush would fail once more; a test has no such stream
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(ERROR) from None


class _Commands(click.Group):
    """The commands, whose errors have the exit codes above, whatever raises them."""

    def main(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Run the command line; click's own ends with 1 for some errors."""
        run: Any = super().main
        if not kwargs.pop("standalone_mode", True):
            return run(*args, standalone_mode=False, **kwargs)
        try:
            code = run(*args, standalone_mode=False, **kwargs)
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else DONE)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the words of a command line; ``--help`` prints here."""
        with _one_end_for_pipes():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and report errors that nobody expected."""
        try:
            with _one_end_for_pipes():
                return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            if ctx.params.get("debug") or os.environ.get(DEBUG):
                traceback.print_exc()
            raise _Failed(
                f"{type(error).__name__}: {error}\n"
                "jaxtune did not expect this. Run it with jaxtune --debug ... to see "
                "where it comes from; if that is not your own code, please report it "
                "with what is printed then, and with that of jaxtune doctor."
            ) from error


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
@click.version_option(jaxtune.__version__)
@click.option(
    "--debug", is_flag=True, help=f"Print tracebacks of errors, as {DEBUG}=1 does."
)
def main(debug: bool) -> None:
    """Hyperparameter search where many models train in one JAX program."""
    del debug  # of the group, which reads it from the context


# The functions have names of their own: `resume`, `rerun` and others are the public
# functions that they call.
@main.command(name="demo")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("digits-demo"),
    show_default=True,
    help="The run directory, a new folder or that of an earlier demo; the picture and "
    "the report are inside.",
)
@compiled_once()  # caches the script's own operations too, not only the search's
def demo_command(out: Path) -> None:
    """Run an example search on scikit-learn's digits.

    It trains 256 networks, and writes a picture and a report. Its folder is a run
    directory for the other commands. If it is killed, begin it again: it goes on, and
    ends in the same table.
    """
    try:
        script = runpy.run_path(str(_experiment("digits.py")))
    except ModuleNotFoundError as error:
        click.echo(
            f"{error}. The demo needs the extra: pip install 'jaxtune[demo]'", err=True
        )
        sys.exit(ERROR)
    with _plain_errors():
        script["main"](out)


@main.command(name="doctor")
@JSON
def doctor_command(as_json: bool) -> None:
    """Check this machine: versions, devices, cache, extras.

    A self-test compares compiled programs with plain arithmetic, and trains a recurrent
    network, which some versions of jaxlib never finish. Exit code 0 if all is well,
    else 1.
    """
    from jaxtune.doctor import diagnose

    found = diagnose()
    if as_json:
        _print_json({f.name: {"value": f.value, "fine": f.fine} for f in found})
    else:
        for finding in found:
            mark = " " if finding.fine else "!"
            click.echo(f"{mark} {finding.name:<22} {finding.value}")
    sys.exit(DONE if all(finding.fine for finding in found) else DIFFERS)


@main.command(name="show")
@DIRECTORY
@click.option(
    "--top",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Number of trials to list.",
)
@JSON
def show_command(directory: Path, top: int, as_json: bool) -> None:
    """Show a run: its state, the box of each round, the best trials."""
    from jaxtune.report import terminal

    with _plain_errors():
        result = jaxtune.load(directory)
        if as_json:
            _print_json(terminal.summary_of(result, top))
        else:
            terminal.print_result(result, top)


@main.command(name="watch")
@DIRECTORY
@click.option(
    "--port",
    type=int,
    default=0,
    show_default="any free one",
    help="Port to listen on.",
)
@click.option(
    "--open", "open_browser", is_flag=True, help="Open the page in a browser."
)
def watch_command(directory: Path, port: int, open_browser: bool) -> None:
    """Show a run in the browser while its search runs.

    The page changes as the run does. It is for browsers on this machine, under the
    address that is printed. The run need not have begun. Ctrl-C ends it.
    """
    _step_aside()
    # Ctrl-C is its end, and no error
    with (
        _plain_errors(),
        suppress(KeyboardInterrupt),
        jaxtune.watch(directory, port=port, open_browser=open_browser) as page,
    ):
        _say(f"{page.url}\nCtrl-C ends it.")
        page.wait()


def _step_aside() -> None:
    """Leave the cores and the accelerator to the search that is watched."""
    # before JAX looks for devices: the first process on a card takes most of its memory
    jax.config.update("jax_platforms", "cpu")
    if hasattr(os, "nice"):
        os.nice(5)


@main.command(name="resume")
@DIRECTORY
@TASK
@click.option("--block", type=int, help="Lanes in a block; needs --allow block.")
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(ALLOWED),
    help="Resume although this differs from how the run began; the last bits of scores "
    "may change. With code, functions of your own that are called outside of programs.",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Run blocks on the Ray cluster at this address; auto finds a running one.",
)
@GRACE_OPTION
def resume_command(
    directory: Path,
    task: str | None,
    block: int | None,
    allow: tuple[str, ...],
    ray: str | None,
    grace: float,
) -> None:
    """Resume a run that was interrupted.

    The result is the same as without the interruption, to the bit. Ctrl-C, SIGTERM and
    SIGHUP save what is done; the exit code is then 130, 143 or 129.
    """
    with _plain_errors():
        executor = None if ray is None else jaxtune.executors.ray(ray)
        result = jaxtune.resume(
            directory,
            _task(task),
            block=block,
            allow=allow,
            executor=executor,
            grace=grace,
        )
        _say(repr(result))


@main.command(name="extend")
@DIRECTORY
@click.option("--trials", type=int, required=True, help="Further trials.")
@click.option("--rounds", type=int, default=1, show_default=True, help="Their rounds.")
@click.option(
    "--epochs",
    type=int,
    help="Epochs of every further trial; by default those of the longest of the run.",
)
@click.option(
    "--best", is_flag=True, help="Begin with the best configurations of the run."
)
@click.option(
    "--confirm",
    type=float,
    help="Measure so many of the best again, or with such a share of the trials.",
)
@TASK
@GRACE_OPTION
def extend_command(
    directory: Path,
    trials: int,
    rounds: int,
    epochs: int | None,
    best: bool,
    confirm: float | None,
    task: str | None,
    grace: float,
) -> None:
    """Extend a finished run by more trials.

    Those that it has stay as they are, to the bit. After an interruption, resume goes
    on.
    """
    with _plain_errors():
        result = jaxtune.extend(
            directory,
            _task(task),
            trials=trials,
            rounds=rounds,
            epochs=epochs,
            first="best" if best else None,
            confirm=_whole_if_it_is(confirm),
            grace=grace,
        )
        _say(repr(result))


@main.command(name="rerun")
@DIRECTORY
@click.argument("trial", type=int)
@TASK
@JSON
def rerun_command(directory: Path, trial: int, task: str | None, as_json: bool) -> None:
    """Train one trial again and compare its scores.

    Exit code 0 if they equal the recorded scores to the bit, else 1.
    """
    with _plain_errors():
        found = jaxtune.rerun(directory, trial, _task(task))
    if as_json:
        _print_json({"trial": trial, "same": found.same} | _both(found))
        sys.exit(DONE if found.same else DIFFERS)
    for name, recorded in found.recorded.items():
        again = found.again.get(name)
        if found.same:
            _say(f"{name}: {_numbers(recorded)}, again to the bit")
        else:
            _say(f"{name}: recorded {_numbers(recorded)}, now {_numbers(again)}")
    sys.exit(DONE if found.same else DIFFERS)


@main.command(name="check")
@DIRECTORY
@JSON
def check_command(directory: Path, as_json: bool) -> None:
    """Compare a run with its checksums, and say what can be saved.

    Exit code 0 if it is as it was written, else 1.
    """
    with _plain_errors():
        found = jaxtune.check(directory)
    if as_json:
        _print_json({"fine": found.fine} | found._asdict())
    else:
        _say(str(found))
    sys.exit(DONE if found.fine else DIFFERS)


@main.command(name="repair")
@DIRECTORY
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="A new directory, for the copy.",
)
@TASK
def repair_command(directory: Path, out: Path, task: str | None) -> None:
    """Save what is not damaged as a copy, and train the rest again.

    The result is that of a search that was never damaged, to the bit. The damaged run
    stays as it is.
    """
    with _plain_errors():
        found = jaxtune.repair(directory, out)
        click.echo(
            f"{out}: {found.kept_trials} of {found.trials} trials and "
            f"{found.kept_blocks} of {found.blocks} blocks are kept"
        )
        _say(repr(jaxtune.resume(out, _task(task))))


@main.command(name="train")
@DIRECTORY
@click.argument("trial", type=int, required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help=f"Where the model goes: {PLACE}",
)
@click.option(
    "--seed", default=0, show_default=True, help="Which of the trial's trainings."
)
@click.option("--epochs", type=int, help="As many as in the search if not given.")
@click.option(
    "--data",
    type=click.Choice(["train", "train+valid"]),
    default="train",
    show_default=True,
    help="The splits to train on.",
)
@TASK
def train_command(
    directory: Path,
    trial: int | None,
    out: Path,
    seed: int,
    epochs: int | None,
    data: str,
    task: str | None,
) -> None:
    """Train a trial, the best one if none is given, and save its model.

    Without --epochs and --data it is the model of the search, to the bit. Load it with
    jaxtune.load_model(PATH).
    """
    with _plain_errors():
        check_destination(out)  # before minutes of training
        result = jaxtune.load(directory, _task(task))
        load_kernels(directory)
        model = result.train(trial, seed=seed, epochs=epochs, data=data)
        _say(repr(model))
        _save(model, out)


@main.command(name="ensemble")
@DIRECTORY
@click.option(
    "--top", default=20, show_default=True, help="Trials that are candidates."
)
@click.option("--size", default=50, show_default=True, help="Additions at most.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help=f"Where the ensemble goes: {PLACE}",
)
@click.option("--test", is_flag=True, help="Judge it on the test split.")
@TASK
def ensemble_command(
    directory: Path, top: int, size: int, out: Path, test: bool, task: str | None
) -> None:
    """Choose an ensemble of the best trials, train its members, and save it.

    Load it with jaxtune.load_model(PATH).
    """
    with _plain_errors():
        check_destination(out)
        result = jaxtune.load(directory, _task(task))
        load_kernels(directory)
        ensemble = result.ensemble(top, size=size)
        if test:
            ensemble.test()
        _say(repr(ensemble))
        _save(ensemble, out)


@main.command(name="report")
@DIRECTORY
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default="report.html in the run directory",
    help="HTML file to write.",
)
def report_command(directory: Path, out: Path | None) -> None:
    """Write a run's report, one self-contained HTML page."""
    page = out or directory / "report.html"
    with _plain_errors():
        _write_page(jaxtune.load(directory), page)
        _say(f"wrote {page}")


def _write_page(found: Any, page: Path) -> None:
    """Write the page of a result, or of a comparison."""
    try:
        found.report(page)
    except OSError as error:
        why = f"{page} cannot be written ({error.strerror}). Use --out FILE."
        raise _Failed(why) from error


@main.command(name="compare")
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="HTML file to write, with the curves.",
)
@JSON
def compare_command(
    directories: tuple[Path, ...], out: Path | None, as_json: bool
) -> None:
    """Compare runs: the best score so far, a paired test, and what differs.

    Runs that differ in their key alone are one group. Six keys or more for each method
    can show a difference.

    Example: jaxtune compare runs/sobol-* runs/tpe-* --out compared.html
    """
    from jaxtune.report import terminal

    with _plain_errors():
        found = jaxtune.report.compare(directories)
        if as_json:
            _print_json(terminal.summary_of_comparison(found))
        else:
            terminal.print_comparison(found)
        if out is not None:
            _write_page(found, out)
            if not as_json:
                _say(f"wrote {out}")


@main.command(name="export")
@DIRECTORY
@click.option(
    "--to",
    nargs=2,
    required=True,
    metavar="TOOL WHERE",
    help="csv FILE, parquet FILE, history FILE (every epoch, as CSV), "
    "optuna JOURNAL_FILE or optuna DATABASE_URL, "
    "tensorboard FOLDER, mlflow URI (such as sqlite:///mlflow.db), wandb FOLDER.",
)
def export_command(directory: Path, to: tuple[str, str]) -> None:
    """Write a run for another tool.

    Example: jaxtune export DIR --to optuna study.log
    """
    with _plain_errors():
        result = jaxtune.load(directory)
        _say(f"wrote {jaxtune.integrations.export(result, *to)}")


@main.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell.

    Example: eval "$(jaxtune completion bash)"
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, "click has a class for each shell of the choice above"
    click.echo(found(main, {}, "jaxtune", "_JAXTUNE_COMPLETE").source())


def _save(model: TrainedModel | Ensemble, out: Path) -> None:
    """Save a model, and say so, also where it takes the place of another."""
    replaces = out.exists()
    instead = ", in place of the model that was there" if replaces else ""
    _say(f"wrote {model.save(out)}{instead}")


class _Failed(click.ClickException):
    # click's own code is 1, which here means that the scores of a trial differ
    exit_code = ERROR

    def __init__(self, message: str):
        super().__init__(_safe(message))


def _say(text: str) -> None:
    """Print text that may quote a run, which may be a stranger's."""
    click.echo(_safe(text))


def _safe(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Report what a user can fix in one line; `_Commands` reports our own bugs."""
    known = (jaxtune.RunError, ValueError, IndexError, MemoryError, OSError)
    try:
        yield
    except ModuleNotFoundError as error:
        named = "jaxtune[" in str(error)
        more = "" if named else ". Try: pip install 'jaxtune[all]'"
        raise _Failed(f"{error}{more}") from error
    except known as error:
        raise _Failed(str(error)) from error
    except KeyboardInterrupt as error:
        # with a run directory the error's text says what is kept and how to resume
        click.echo(f"\nInterrupted: {error or 'nothing was kept'}", err=True)
        sys.exit(INTERRUPTED)


def _task(where: str | None) -> Any:
    """Return the task that ``FILE.py:NAME`` or ``module:NAME`` names."""
    if where is None:
        return None
    source, _, name = where.rpartition(":")
    if not source:
        raise ValueError(f"--task {where!r}: use FILE.py:NAME, such as train.py:task.")
    names = names_of(source)
    if name not in names:
        raise ValueError(
            f"--task {where!r}: {source} has no {name!r}. Use a name that it defines."
        )
    found = names[name]
    return found() if _takes_nothing(found) else found


def _takes_nothing(found: Any) -> bool:
    import inspect

    # an objective takes two arguments, so it is never called here by mistake
    if not callable(found):
        return False
    parameters = inspect.signature(found).parameters.values()
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not p.empty or p.kind in several for p in parameters)


def _whole_if_it_is(number: float | None) -> int | float | None:
    """Return 5.0 as 5: a number of configurations, and no share."""
    return int(number) if number is not None and number.is_integer() else number


def _both(found: jaxtune.Rerun) -> dict[str, Any]:
    """Return the recorded and the new values of every metric."""
    sides = {"recorded": found.recorded, "again": found.again}
    return {
        side: {name: list(map(float, values)) for name, values in metrics.items()}
        for side, metrics in sides.items()
    }


def _print_json(document: Any) -> None:
    """Print strict JSON; NaN and infinite numbers become null."""
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
    """Return the path of a script of ``experiments/``."""
    package = Path(__file__).parent
    # a wheel holds the folder inside the package, a checkout beside it
    inside = package / "experiments" / name
    return inside if inside.exists() else package.parent / "experiments" / name
