"""The command line; each command is one call of the public API."""

import runpy
import sys
from pathlib import Path

import click

import jaxtune


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
def demo(out: Path) -> None:
    """Search, zoom and report on scikit-learn's digits: 256 networks, four rounds."""
    try:
        script = runpy.run_path(str(_experiment("digits.py")))
    except ModuleNotFoundError as error:
        click.echo(
            f"{error}. The demo needs the extra: pip install 'jaxtune[demo]'", err=True
        )
        sys.exit(1)
    script["main"](out)


def _experiment(name: str) -> Path:
    """A script of ``experiments/``: inside a wheel, or beside a checkout's package."""
    package = Path(__file__).parent
    inside = package / "experiments" / name
    return inside if inside.exists() else package.parent / "experiments" / name
