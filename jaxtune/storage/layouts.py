"""The layout of a run as JSON, and what in it must follow from task and space.

A run keeps the layout that it began with, since much of it is chosen: the table of
forms, the sizes of padding, the groups of batch sizes. How an epoch is cut is not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxtune.checks import RunError, is_whole
from jaxtune.forms import AS_WRITTEN, rules_of
from jaxtune.planning.batches import grouped
from jaxtune.planning.layout import Bucket, Layout, with_examples
from jaxtune.programs.lane import Batching
from jaxtune.space import Space
from jaxtune.storage.store import Store
from jaxtune.tasks import Task


def layout_document(layout: Layout) -> dict[str, Any]:
    """Return a layout as JSON."""
    batching = layout.batching
    return {
        "batching": None if batching is None else _batching_document(batching),
        "buckets": [
            {"name": b.name, "field": b.field, "tops": list(b.tops)}
            for b in layout.buckets
        ],
        "forms": layout.forms,
        "as_places": layout.as_places,
        "by_size": [_batching_document(batching) for batching in layout.by_size],
    }


def _batching_document(batching: Batching) -> dict[str, Any]:
    # only the programs of some optimisers know the epochs of a whole training
    return {n: v for n, v in batching._asdict().items() if v is not None}


def layout_of(document: dict[str, Any]) -> Layout:
    """Return the layout of a document."""
    batching = document["batching"]
    return Layout(
        None if batching is None else _batching_of(batching),
        tuple(map(_bucket_of, document["buckets"])),
        forms_of(document),
        # before version 0.2.0 every choice was the place of its value
        document.get("as_places", True),
        # up to version 0.2.0 batch sizes were in one group
        tuple(_batching_of(batching) for batching in document.get("by_size", ())),
    )


def _bucket_of(document: dict[str, Any]) -> Bucket:
    tops = tuple(document["tops"])
    if not tops or not all(is_whole(top, 1) for top in tops):
        raise ValueError(f"bucket {document}")
    return Bucket(document["name"], document["field"], tops)


def _batching_of(document: dict[str, Any]) -> Batching:
    batching = Batching(**document)
    sizes = (batching.micro, batching.examples, batching.epochs or 1)
    if batching.told or not all(is_whole(size, 1) for size in sizes):
        raise ValueError(f"batching {document}")
    return batching


def forms_of(document: dict[str, Any]) -> str:
    """Return the table of forms of a layout.

    Raises:
      ValueError: a table that this version does not have.
    """
    # version 0.1.0 had no forms, so its programs are as they were written
    forms = document.get("forms", AS_WRITTEN)
    rules_of(forms)
    return forms


def check_layout(known: Layout, planned: Layout, space: Space) -> None:
    """Raise ``RunError`` where a layout is not one of a task and a space.

    Args:
      known: of a run.
      planned: of the same search, as it is laid out now.
      space: the whole space.
    """
    found = {
        "batching": (known.batching, planned.batching),
        "by_size": (known.by_size, _groups(known, planned, space)),
        "buckets": (_bounds(known), _bounds(planned)),
    }
    for name, (was, now) in found.items():
        if was != now:
            raise _edited(name, was, now)


def _groups(known: Layout, planned: Layout, space: Space) -> tuple[Batching, ...]:
    """Return the groups of batch sizes with the micro-batches of a run."""
    micros = [batching.micro for batching in known.by_size]
    if not micros or planned.batching is None or "batch_size" not in space.names:
        return ()
    return grouped(planned, space, micros).by_size


def _bounds(layout: Layout) -> list[Any]:
    """Return what no choice of paddings changes: names and the largest size."""
    return [(b.name, b.field, max(b.tops)) for b in layout.buckets]


def check_examples(known: Layout, task: Task, epochs: int) -> None:
    """Raise ``RunError`` where the epochs of a layout are not those of a task."""
    if not task.trains:
        planned = Layout()
    elif known.batching is None:
        raise _edited("batching", None, "one")
    else:
        planned = with_examples(known, task, epochs)
    if known.batching != planned.batching:
        raise _edited("batching", known.batching, planned.batching)
    # groups of batch sizes take the examples of all
    cut = planned.batching and (planned.batching.examples, planned.batching.epochs)
    if any((one.examples, one.epochs) != cut for one in known.by_size):
        raise _edited("by_size", known.by_size, f"{cut} examples and epochs of each")


def check_drop_last(known: Layout, task: Task, examples: int | None) -> None:
    """Raise ``RunError`` for a task that does with the last rows what a run did not.

    Args:
      known: layout of the run.
      task: that goes on with it.
      examples: of the training data of the run; of other data, that is told instead.
    """
    if known.batching is None or not task.trains or task.examples != examples:
        return
    other = dataclasses.replace(task, drop_last=not task.drop_last)
    counts = [
        made.batching and made.batching.examples
        for made in (with_examples(known, one, 1) for one in (task, other))
    ]
    if known.batching.examples in counts[1:] and counts[0] != counts[1]:
        raise RunError(
            f"the run has another drop_last: {other.drop_last}, now {task.drop_last}; "
            f"an epoch of it has {counts[1]} examples, and not {counts[0]}. Use what "
            "the run began with, or another directory."
        )


def check_epochs_trained(store: Store, budgets: Sequence[int], in_full: bool) -> None:
    """Raise ``RunError`` where trials were trained longer or shorter than is said.

    Args:
      store: the record of a run.
      budgets: epochs of a whole training in each round, by its settings.
      in_full: whether it has no scheduler that stops trials.
    """
    for number, ended, trained in store.ask(LONGEST):
        if trained > budgets[number] or (
            in_full and ended and trained < budgets[number]
        ):
            raise RunError(
                f"run.json is damaged: its epochs are {budgets[number]}, and trials "
                f"of round {number + 1} were trained for {trained}. Use a copy of the "
                "run."
            )


# the epochs of each round's longest training
LONGEST = """
SELECT round, ended IS NOT NULL, max(lanes.epochs)
FROM rounds JOIN blocks USING (round) JOIN lanes USING (block) GROUP BY round
"""


def _edited(name: str, was: Any, now: Any) -> RunError:
    return RunError(
        f"run.json is damaged: its layout.{name} is {was}, and task and space make it "
        f"{now}. Use a copy of the run."
    )
