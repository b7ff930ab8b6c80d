"""Real tables that ship in packages, read from the packages' own files.

No package is imported but scikit-learn: some import half of the machine, and pydataset
writes to the home directory. Rows with missing values are left out.
"""

from __future__ import annotations

import importlib.util
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_svmlight_file,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


class Source(NamedTuple):
    """Where a table is from, and what is to be predicted."""

    kind: str  # classification or regression
    package: str
    read: Callable[[], tuple[pd.DataFrame, pd.Series | np.ndarray]]


class Split(NamedTuple):
    """A table, parted into rows to tune on and rows to test on.

    Args:
        kind: classification or regression.
        frames: inputs of both parts, categories as such.
        arrays: inputs of both parts, one-hot, and standardised on the first part.
        targets: classes from 0; or numbers, standardised on the first part.
    """

    kind: str
    frames: tuple[pd.DataFrame, pd.DataFrame]
    arrays: tuple[np.ndarray, np.ndarray]
    targets: tuple[np.ndarray, np.ndarray]

    @property
    def classes(self) -> int:
        """How many classes there are; of a regression 1."""
        return int(self.targets[0].max()) + 1 if self.kind == "classification" else 1


def folder(package: str) -> Path:
    """Return the folder of an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            f"no package {package!r}. "
            "pip install --no-deps -r benchmarks/published/tables.txt"
        )
    return Path(found.submodule_search_locations[0])


def islp(name: str, target: str, without: tuple[str, ...] = ()) -> Callable:
    """Return a reader of a table of ISLP, the package of a textbook."""

    def read():
        frame = pd.read_csv(folder("ISLP") / "data" / f"{name}.csv")
        frame = frame.dropna().drop(columns=list(without))
        return frame.drop(columns=target), frame[target]

    return read


def river(name: str, target: str) -> Callable:
    """Return a reader of a table of river."""

    def read():
        frame = pd.read_csv(folder("river") / "datasets" / name)
        return frame.drop(columns=target), frame[target]

    return read


def bananas() -> tuple[pd.DataFrame, np.ndarray]:
    """Read river's Bananas, which is in the format of LIBSVM."""
    with zipfile.ZipFile(folder("river") / "datasets" / "banana.zip") as archive:
        text = archive.read(archive.namelist()[0])
    x, y = load_svmlight_file(io.BytesIO(text))
    return pd.DataFrame(x.toarray()), y


def pydataset(name: str, target: str) -> Callable:
    """Return a reader of a table of pydataset, which has those of R."""

    def read():
        with tarfile.open(folder("pydataset") / "resources.tar.gz") as archive:
            file = archive.extractfile(f"resources/rdata/csv/{name}.csv")
            frame = pd.read_csv(file, index_col=0).dropna()
        return frame.drop(columns=target), frame[target]

    return read


def sklearn(load: Callable) -> Callable:
    """Return a reader of a table of scikit-learn."""
    return lambda: load(return_X_y=True, as_frame=True)


CLASSES, NUMBERS = "classification", "regression"
# Wage has the logarithm of its target, and Bikeshare the two parts of its own
SOURCES = {
    "breast cancer": Source(CLASSES, "scikit-learn", sklearn(load_breast_cancer)),
    "OJ": Source(CLASSES, "ISLP", islp("OJ", "Purchase")),
    "Phishing": Source(CLASSES, "river", river("phishing.csv.gz", "is_phishing")),
    "digits": Source(CLASSES, "scikit-learn", sklearn(load_digits)),
    "ImageSegments": Source(CLASSES, "river", river("segment.csv.zip", "category")),
    "Hdma": Source(CLASSES, "pydataset", pydataset("Ecdat/Hdma", "deny")),
    "Bananas": Source(CLASSES, "river", bananas),
    "diabetes": Source(NUMBERS, "scikit-learn", sklearn(load_diabetes)),
    "Wage": Source(NUMBERS, "ISLP", islp("Wage", "wage", ("logwage",))),
    "Computers": Source(NUMBERS, "pydataset", pydataset("Ecdat/Computers", "price")),
    "Bikeshare": Source(
        NUMBERS, "ISLP", islp("Bikeshare", "bikers", ("casual", "registered"))
    ),
    "diamonds": Source(NUMBERS, "pydataset", pydataset("ggplot2/diamonds", "price")),
}
# numbers that name a category
NAMES = {"OJ": ["StoreID", "STORE"], "Bikeshare": ["hr", "weekday", "season"]}


def frame_of(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the inputs of a table, categories as such, and its targets."""
    x, y = SOURCES[name].read()
    x = x.rename(columns=str).reset_index(drop=True)
    for column in x:
        if x[column].dtype.kind not in "biuf" or column in NAMES.get(name, ()):
            x[column] = x[column].astype("category")
    if SOURCES[name].kind == NUMBERS:
        return x, np.asarray(y, float)
    return x, np.unique(y, return_inverse=True)[1]


def arrays_of(train: pd.DataFrame, test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs one-hot and standardised, by what is known of the first."""
    named = list(train.select_dtypes("category"))
    form = make_pipeline(
        make_column_transformer(
            (
                OneHotEncoder(
                    drop="if_binary", sparse_output=False, handle_unknown="ignore"
                ),
                named,
            ),
            remainder="passthrough",
        ),
        StandardScaler(),
    )
    parts = form.fit_transform(train), form.transform(test)
    # a column that is hardly ever set has huge numbers where it is
    first, second = (np.clip(part, -10, 10).astype(np.float32) for part in parts)
    return first, second


def split_of(name: str, seed: int, rows: int, test: float = 0.2) -> Split:
    """Return a table parted at random; classes are as frequent in both parts.

    Args:
        name: in `SOURCES`.
        seed: of the rows that are drawn, and of the parts.
        rows: at most so many, drawn at random.
        test: the share of the second part.
    """
    x, y = frame_of(name)
    kind = SOURCES[name].kind
    if len(x) > rows:
        kept = np.random.default_rng(seed).permutation(len(x))[:rows]
        x, y = x.iloc[kept].reset_index(drop=True), y[kept]
    stratify = y if kind == CLASSES else None
    parts = train_test_split(x, y, test_size=test, random_state=seed, stratify=stratify)
    frames, targets = tuple(parts[:2]), tuple(parts[2:])
    if kind == NUMBERS:
        mean, deviation = targets[0].mean(), targets[0].std()
        targets = tuple((part - mean) / deviation for part in targets)
    return Split(kind, frames, arrays_of(*frames), targets)
