"""The gallery says what the experiments found, and shows their pictures."""

import inspect
import json
import re
from pathlib import Path

import pytest
from PIL import Image

import jaxtune as jt
from jaxtune.report.palette import PALETTE

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "experiments.md").read_text()
PICTURES = [
    name
    for name in jt.report.__all__
    if name == "compare"  # whose result draws the pictures
    or inspect.signature(getattr(jt.report, name)).return_annotation == "Figure"
]
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
    for name in PICTURES:
        call = "compare(results).figure()" if name == "compare" else f"{name}(result)"
        assert f"](pictures/{name}.png)" in page
        assert f"`jt.report.{call}`" in page
        light, dark = (
            ROOT / "docs" / "pictures" / f"{name}{end}.png" for end in ("", "-dark")
        )
        with Image.open(light) as image, Image.open(dark) as other:
            assert image.size == other.size
            assert image.info["Description"] == other.info["Description"]
            assert colour_of(image) == PALETTE["back"].light
            assert colour_of(other) == PALETTE["back"].dark


def colour_of(image):
    """The colour of the first pixel, which is the background's."""
    return "#{:02x}{:02x}{:02x}".format(*image.convert("RGB").getpixel((0, 0)))


def drawn_blocks():
    """The name of each picture that a block ends with, and what follows the block."""
    pages = sorted((ROOT / "docs").glob("*.md"))
    # a comparison is no picture yet
    last = r"jt\.report\.(?!compare)(\w+)\([^\n]*\)[^\n]*\n```\n\s*([^\n]*)"
    for page in pages:
        yield from re.findall(last, page.read_text())


def test_a_block_that_ends_with_a_picture_shows_it():
    found = list(drawn_blocks())
    assert len(found) >= 5
    for name, after in found:
        assert after.endswith(f"](pictures/{name}.png)"), name


def test_no_picture_is_missing():
    for name in re.findall(r"\]\((experiments/[^)]*)\)", PAGE):
        assert (ROOT / "docs" / name).exists()
