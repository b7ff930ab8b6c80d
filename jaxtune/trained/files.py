"""Models in files: safetensors, or folders with a checkpoint of Orbax."""

from __future__ import annotations

import json
import math
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxtune.printing import printable
from jaxtune.reading import in_short, read_regular
from jaxtune.storage.bounds import check_largest
from jaxtune.tasks import Task
from jaxtune.trained.document import (
    ENSEMBLE,
    MODEL,
    VERSION,
    Saved,
    model_from,
    saved,
)
from jaxtune.trained.ensemble import Ensemble
from jaxtune.trained.model import TrainedModel
from jaxtune.trained.parts import nested
from jaxtune.writing import replace_file, unfinished_path

SUFFIX = ".safetensors"
DOCUMENT = "jaxtune.json"  # in a folder, beside the files of Orbax
KEY = "jaxtune"  # of the metadata of safetensors
LONGEST = 64 * 2**20  # bytes of a document
COMPRESSED = 1000  # bytes of arrays for each byte of a checkpoint, at most


def load_model(path: str | os.PathLike[str], task: Task | None = None) -> Any:
    """Load a model or an ensemble that was saved; nothing in the file is executed.

    >>> import tempfile, jax, jaxtune as jt, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(96, 4)).astype(np.float32)
    >>> y = np.where(x[:, 0] > 0, "yes", "no")
    >>> task = jt.classification(
    ...     jt.models.MLP(classes=2, max_units=8),
    ...     train=(x[:64], y[:64]),
    ...     valid=(x[64:], y[64:]),
    ...     batch_size=16,
    ... )
    >>> space = jt.Space(learning_rate=jt.log_uniform(1e-2, 1.0))
    >>> arguments = dict(trials=4, epochs=4, verbose=0)
    >>> result = jt.search(task, space, key=jax.random.key(0), **arguments)
    >>> path = result.train().save(tempfile.mkdtemp() + "/model")
    >>> jt.load_model(path).predict(x[:1]).tolist() == [y[0]]
    True

    Args:
      path: a file ``*.safetensors``, or a folder.
      task: the task that the model was trained with; not needed for a network of
        `jaxtune.models`, or to look at ``params``.

    Returns:
      A `TrainedModel`, or an `Ensemble`.

    Raises:
      ValueError: no model, a damaged one, one of a newer version, or the task of
        another model.
    """
    where = as_path(path)
    if task is not None and not isinstance(task, Task):
        raise ValueError(f"task: got {type(task).__name__}. Use a jaxtune.Task.")
    if not where.exists():
        raise ValueError(f"{where}: there is no model. Check the path.")
    _check_files(where)
    read = _read_folder if where.is_dir() else _read_file
    document, arrays = _decoded(where, lambda: read(where))
    _check_version(where, document)
    parts = Saved(arrays, document)
    made = _decoded(where, lambda: _without_task(parts))
    # errors about the task are the user's, and go through as they are
    return made if task is None else model_from(parts, task)


def _without_task(parts: Saved) -> TrainedModel | Ensemble:
    check_largest(parts.document)
    return model_from(parts, None)


def _check_files(where: Path) -> None:
    """Raise ``ValueError`` for anything but regular files; the path may be a link."""
    top = where.resolve()
    if not top.is_dir() and not top.is_file():
        raise ValueError(f"{where}: no regular file. Use the path of a model.")
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            mode = (Path(folder) / name).lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise ValueError(
                    f"{where}: it has a link, a pipe or a device in it, {name!r}. Use "
                    "a copy of the model."
                )


def save_model(model: TrainedModel | Ensemble, path: Path) -> Path:
    """Write a model in one step; see `TrainedModel.save`."""
    check_destination(path)
    parts = saved(model)
    write = _write_file if path.suffix == SUFFIX else _write_folder
    try:
        write(path, parts)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error}).") from error
    return path


def as_path(path: Any) -> Path:
    """Return a path, with the user's home for ``~``; ``ValueError`` if it is none."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ValueError(f"path: got {path!r}. Use one such as 'model.safetensors'.")
    return Path(path).expanduser()


def check_destination(path: Path) -> None:
    """Raise ``ValueError`` for a path to which no model can be written."""
    model = path if path.suffix == SUFFIX else path / DOCUMENT
    if path.exists() and not model.is_file():
        raise ValueError(
            f"{path}: there is something that is no model, and is not replaced. Use "
            "another path."
        )
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path}: its folder does not exist. Make it first.")


@contextmanager
def _in_one_step(path: Path) -> Iterator[Path]:
    """Give the path of a folder beside this one, which takes its place at the end."""
    part = unfinished_path(path.absolute())
    try:
        yield part
        if path.is_symlink():  # the link is replaced, and not what it leads to
            path.unlink()
        if path.is_dir():  # a folder is not replaced in one step
            old = part.with_suffix(".old")
            os.replace(path, old)
            os.replace(part, path)
            shutil.rmtree(old)
        else:
            os.replace(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part)


def _write_file(path: Path, parts: Saved) -> None:
    from safetensors.numpy import save

    names = [".".join(step) for step in parts.arrays]
    # two paths may have one name, as "a.b" and "a" with "b": the document tells
    unique = [n if names.count(n) == 1 else f"{n}.{i}" for i, n in enumerate(names)]
    document = {**parts.document, "names": unique}
    arrays = [np.asarray(array, order="C") for array in parts.arrays.values()]
    metadata = {"format": "flax", KEY: json.dumps(document)}
    # not by its save_file, which lets nobody else read the file
    replace_file(path, save(dict(zip(unique, arrays, strict=True)), metadata))


def _read_file(path: Path) -> tuple[Any, dict[tuple[str, ...], np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            document = json.loads((file.metadata() or {}).get(KEY, "null"))
            if document is None:
                raise ValueError("it was not written by jaxtune")
            paths = [tuple(step) for step in document["arrays"]]
            named = zip(paths, document["names"], strict=True)
            return document, {p: file.get_tensor(name) for p, name in named}
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _write_folder(path: Path, parts: Saved) -> None:
    import orbax.checkpoint as ocp

    tree = nested(parts.arrays)
    forms = [[list(a.shape), a.dtype.name] for a in parts.arrays.values()]
    document = {**parts.document, "forms": forms}
    with _in_one_step(path) as part:
        part.mkdir()  # its own error is plainer than that of the checkpointer
        part.rmdir()
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(part, tree)
        replace_file(part / DOCUMENT, json.dumps(document, indent=1).encode())


def _read_folder(path: Path) -> tuple[Any, dict[tuple[str, ...], np.ndarray]]:
    import orbax.checkpoint as ocp

    document = json.loads(read_regular(path / DOCUMENT, LONGEST))
    _check_forms(path, document["forms"])
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    paths = [tuple(step) for step in document["arrays"]]
    like = {
        step: jax.ShapeDtypeStruct(tuple(shape), np.dtype(dtype), sharding=here)
        for step, (shape, dtype) in zip(paths, document["forms"], strict=True)
    }
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(path.absolute(), nested(like))
    arrays = {}
    for step in paths:
        leaf = tree
        for name in step:
            leaf = leaf[name]
        arrays[step] = leaf
    return document, arrays


def _decoded(path: Path, read: Callable[[], Any]) -> Any:
    """Read what may be damaged, or no model at all."""
    try:
        return read()
    except ModuleNotFoundError:
        raise
    except Exception as error:  # of any kind, as in `reading.decoding`
        raise ValueError(
            f"{path}: no model of jaxtune, or a damaged one ({in_short(error)}). Use a "
            "copy of the model."
        ) from error


def _check_forms(path: Path, forms: list[Any]) -> None:
    """Raise ``ValueError`` for arrays that are no part of a checkpoint of its size."""
    # a checkpoint has no bytes of what is all zeros, and may claim any size
    there = sum(file.stat().st_size for file in path.rglob("*"))
    told = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in forms)
    if not 0 <= told <= COMPRESSED * there:
        raise ValueError(f"arrays of {told:,} bytes in files of {there:,}")


def _check_version(path: Path, document: Any) -> None:
    if not isinstance(document, dict) or document.get("format") not in (
        MODEL,
        ENSEMBLE,
    ):
        raise ValueError(f"{path}: no model of jaxtune.")
    if document.get("version") != VERSION:
        version = printable(str(document.get("jaxtune")))[:40]
        raise ValueError(
            f"{path}: a model of jaxtune {version}, which this version "
            "cannot read. Use that version."
        )
