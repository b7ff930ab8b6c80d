"""The gallery says what the experiments found, and shows their pictures."""

import json
import re
from pathlib import Path

import pytest

import jaxtune as jt

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "experiments.md").read_text()
RESULTS = sorted((ROOT / "docs" / "experiments").glob("*.json"))


def test_every_experiment_is_shown():
    scripts = {p.stem for p in (ROOT / "experiments").glob("*.py")}
    others = {"common", "digits", "pictures", "tiers"}
    assert {path.stem for path in RESULTS} == scripts - others


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_page_has_the_numbers_of_the_run(path):
    for line in json.loads(path.read_text())["found"]:
        assert f"- {line}\n" in PAGE
    picture = path.with_suffix(".png")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert f"](experiments/{picture.name})" in PAGE


def test_every_picture_of_a_report_is_in_the_gallery():
    page = (ROOT / "docs" / "gallery.md").read_text()
    # the others are no pictures: of `compare` the result, and words and colours
    for name in set(jt.report.__all__) - {"Comparison", "description", "theme"}:
        call = "compare(results).figure()" if name == "compare" else f"{name}(result)"
        assert f"](pictures/{name}.png)" in page
        assert f"`jt.report.{call}`" in page
        picture = ROOT / "docs" / "pictures" / f"{name}.png"
        assert picture.read_bytes()[:4] == b"\x89PNG"


def test_no_picture_is_missing():
    for name in re.findall(r"\]\((experiments/[^)]*)\)", PAGE):
        assert (ROOT / "docs" / name).exists()
