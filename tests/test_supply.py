"""The packages that jaxtune brings: their licences, and the lowest versions of them."""

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / ".ci"))  # after the tests' own modules

import licences  # noqa: E402
import versions  # noqa: E402

LINES = (ROOT / "docs" / "decisions.md").read_text().partition("| licence |")[2]
ROWS = re.findall(r"^\| (\S+) \| (.+) \|$", LINES, re.MULTILINE)[1:]
STATED = {name: licence for licence, names in ROWS for name in names.split(", ")}
PINS = dict(pin.split("==") for pin in versions.lowest())


def test_the_table_of_licences_has_every_package_that_is_asked_for():
    assert sorted(STATED) == sorted(PINS)
    assert PINS["jax"] == "0.9.2"
    assert "ray" in PINS  # of an extra


@pytest.mark.parametrize("name", sorted(STATED))
def test_a_package_has_the_licence_that_the_table_says(name):
    try:
        package = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")
    assert STATED[name] in licences.licence_of(package).split(", ")


@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ("License-Expression: BSD-3-Clause", "BSD"),
        ("License: MIT License\n        \n        Permission is granted", "MIT"),
        ("License: Apache 2.0\nClassifier: License :: OSI Approved", "Apache-2.0"),
        ("License: GNU Lesser General Public License v3", "LGPL"),
        ("Classifier: License :: OSI Approved :: GNU General Public License", "GPL"),
        ("License-Expression: AGPL-3.0-only", "AGPL"),
        ("License: ours", "unknown"),
        ("Author: nobody", "unknown"),
    ],
)
def test_a_licence_is_found_wherever_it_is_named(metadata, family, tmp_path):
    folder = tmp_path / "some-1.0.dist-info"
    folder.mkdir()
    head = "Metadata-Version: 2.1\nName: some\nVersion: 1.0\n"
    (folder / "METADATA").write_text(f"{head}{metadata}\n\nAbout it: MIT\n")
    package = importlib.metadata.Distribution.at(folder)
    assert licences.licence_of(package) == family


def test_all_that_comes_with_the_core_has_a_licence_that_is_known():
    found = licences.brought("jaxtune")
    assert {"jax", "numpy", "msgpack"} <= found.keys()
    of = {name: licences.licence_of(package) for name, package in found.items()}
    assert not [n for n, known in of.items() if known in licences.REFUSED]
