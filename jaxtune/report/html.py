"""One self-contained page: the answer first, then what was searched."""

from __future__ import annotations

import io
import os
from html import escape
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxtune import ranking
from jaxtune.analysis import rung_correlations
from jaxtune.report.cells import bounds_cell, cell
from jaxtune.report.zoom import zoom
from jaxtune.result import Result

SHOWN = 50  # rows of the table

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #8886; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; background: white; } figure svg { width: 100%; height: auto; }
"""


def write(result: Result, path: Path) -> Path:
    """Write the page.

    Args:
      result: what a search found.
      path: where; its folder must exist.

    Returns:
      The path.
    """
    parts = (_answer, _picture, _boxes, _failures, _stopping, _trials, _reproduce)
    body = "\n".join(part(result) for part in parts)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>jaxtune report</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    part = path.with_name(f"{path.name}.part")
    part.write_text(page, encoding="utf-8")
    os.replace(part, path)  # the old page or the new one, never half of one
    return path


def _answer(result: Result) -> str:
    failed = int((result.trials["status"] == "diverged").sum())
    if failed == len(result.trials):
        return f"<h1>All {failed} trials failed</h1>"
    best, setup = result.best, result.setup
    spread = f" ± {np.std(best.scores, ddof=1):.2g}" if len(best.scores) > 1 else ""
    rows = [(name, value) for name, value in best.hparams.items()]
    tested = [(f"test {name}", f"{v:.6g}") for name, v in result._tested.items()]
    return (
        f"<h1>Best {escape(setup.metric)}: {best.score:.6g}{spread}</h1>\n"
        f"<p>Trial {best.trial} of {len(result.trials)}; {failed} failed.</p>\n"
        + _table(("hyperparameter", "value"), rows + tested)
    )


def _picture(result: Result) -> str:
    import matplotlib as mpl

    text = io.StringIO()
    # a fixed salt: the same result gives the same page
    with mpl.rc_context({"svg.hashsalt": "jaxtune", "svg.fonttype": "none"}):
        zoom(result).savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return f"<h2>Coarse to fine</h2>\n<figure>{svg[svg.index('<svg') :]}</figure>"


def _boxes(result: Result) -> str:
    names = result.setup.space.searched
    rows = [
        (number + 1, *(bounds_cell(space[name]) for name in names))
        for number, space in enumerate(result.spaces)
    ]
    return "<h2>The box of each round</h2>\n" + _table(("round", *names), rows)


def _failures(result: Result) -> str:
    """Where trials diverged."""
    found = result.divergence
    if not found.trials:
        return ""
    rows = [
        (
            r.name,
            f"{cell(r.low)} to {cell(r.high)}",
            r.failed,
            r.tried,
            f"{r.share:.0%}",
        )
        for r in found.regions
    ]
    head = ("range that holds all failures", "", "failed", "tried", "share")
    return (
        f"<h2>Failed</h2>\n<p>{found.trials} trials, {found.lanes} trainings.</p>\n"
        + _table(head, rows)
    )


def _stopping(result: Result) -> str:
    """What a scheduler saved, and whether early scores were worth deciding by."""
    if not len(result.rungs.trial):
        return ""
    cost, stopped = result.cost, int((result.trials["status"] == "stopped").sum())
    head = (
        f"<h2>Stopped early</h2>\n<p>{stopped} of {len(result.trials)} trials. "
        f"{cost.epochs} epochs were trained and {cost.saved} saved; trials made use of "
        f"{cost.occupancy:.0%} of what was computed.</p>\n"
    )
    rows = [
        (row.early, row.late, row.trials, f"{row.correlation:.2f}")
        for row in rung_correlations(result)
    ]
    if not rows:
        return head
    names = ("scores at epoch", "and at epoch", "trials", "rank correlation")
    return head + _table(names, rows)


def _trials(result: Result) -> str:
    best = ranking.order(result.standing)[:SHOWN]
    rows = [
        [cell(result.trials[name][trial]) for name in result.trials.names]
        for trial in best
    ]
    title = f"<h2>The best {len(best)} of {len(result.trials)} trials</h2>\n"
    return title + _table(result.trials.names, rows)


def _reproduce(result: Result) -> str:
    workload = result.setup.workload
    key = np.asarray(jax.random.key_data(workload.key)).tolist()
    facts = {
        "key": f"jax.random.wrap_key_data(jnp.array({key}, dtype='uint32'))",
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "block": workload.width,
        "epochs": workload.epochs,
        "seeds": result.trials.scores.shape[1],
    }
    return "<h2>To run it again</h2>\n" + _table(("what", "value"), list(facts.items()))


def _table(head: tuple[str, ...], rows: Any) -> str:
    def line(tag, cells):
        return "<tr>" + "".join(f"<{tag}>{escape(str(c))}</{tag}>" for c in cells)

    lines = [line("th", head), *(line("td", row) for row in rows)]
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"
