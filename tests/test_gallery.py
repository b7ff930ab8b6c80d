"""The gallery says what the experiments found, and shows their pictures."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "experiments.md").read_text()
RESULTS = sorted((ROOT / "docs" / "experiments").glob("*.json"))


def test_every_experiment_is_shown():
    scripts = {p.stem for p in (ROOT / "experiments").glob("*.py")}
    assert {path.stem for path in RESULTS} == scripts - {"common", "digits", "tiers"}


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_page_has_the_numbers_of_the_run(path):
    for line in json.loads(path.read_text())["found"]:
        assert f"- {line}\n" in PAGE
    picture = path.with_suffix(".png")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert f"](experiments/{picture.name})" in PAGE


def test_no_picture_is_missing():
    for name in re.findall(r"\]\((experiments/[^)]*)\)", PAGE):
        assert (ROOT / "docs" / name).exists()
