"""How every picture must look: nothing cut off or hidden, colours of one table."""

import itertools
import re

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from jaxtune.report import svg
from jaxtune.report.palette import PALETTE


def check_layout(figure):
    """Fail if words of a figure are cut off, overlap, or hide data."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawer = canvas.get_renderer()
    whole = figure.bbox.padded(1)
    for text in shown_texts(figure):
        box = text.get_window_extent(drawer)
        inside = whole.contains(*box.min) and whole.contains(*box.max)
        assert inside, f"cut off: {text.get_text()}"
    for legend, axes in itertools.product(figure.legends, figure.axes):
        box = legend.get_window_extent(drawer)
        assert not box.overlaps(axes.get_window_extent(drawer)), "a legend over data"
    for axes in figure.axes:
        for axis, turned in ((axes.xaxis, False), (axes.yaxis, True)):
            check_ticks(axis, turned, drawer)


def shown_texts(figure):
    """The words that are drawn: visible, not empty, and not outside of their axis."""
    drawn = [
        *figure.texts,
        *(text for legend in figure.legends for text in legend.texts),
    ]
    for axes in figure.axes:
        drawn += [axes.title, axes._left_title, *axes.texts]
        if axes.axison:
            drawn += [axes.xaxis.label, axes.yaxis.label]
            drawn += [*shown_ticks(axes.xaxis), *shown_ticks(axes.yaxis)]
    if figure._suptitle:
        drawn.append(figure._suptitle)
    return [text for text in drawn if text.get_visible() and text.get_text()]


def shown_ticks(axis):
    """The labels of an axis that lie on it."""
    low, high = sorted(axis.get_view_interval())
    ticks = axis.get_major_ticks()
    return [
        tick.label1
        for tick in ticks
        if low <= tick.get_loc() <= high and tick.label1.get_visible()
    ]


def check_ticks(axis, upwards, drawer):
    """Fail if labels of an axis overlap their neighbours."""
    labels = [label for label in shown_ticks(axis) if label.get_text()]
    if not axis.axes.axison or any(label.get_rotation() for label in labels):
        return
    boxes = [label.get_window_extent(drawer) for label in labels]
    ends = sorted((b.y0, b.y1) if upwards else (b.x0, b.x1) for b in boxes)
    for (_, end), (begin, _) in itertools.pairwise(ends):
        words = [label.get_text() for label in labels]
        assert end <= begin + 0.5, f"labels overlap: {words}"


def check_colours(figure):
    """Fail if a figure, as SVG in a page, has a colour that is not in the palette."""
    text = svg.inline(figure)
    assert not re.findall(r"#[0-9a-f]{6}\b", re.sub(r'="#\w+"|url\(#\w+\)', "", text))
    names = set(re.findall(r"var\(--plot-([\w-]+)\)", text))
    assert names
    assert names <= set(PALETTE)
    ids = re.findall(r' id="([^"]*)"', text)
    used = set(re.findall(r'"#(\w+)"|url\(#(\w+)\)', text))
    assert set(ids) <= set(itertools.chain(*used)), "an id that nothing refers to"
    assert "<title>" not in text
    assert re.match(r'<svg role="img" aria-label="[^"]+"', text)


def contrast(one, other):
    """The contrast of two colours, as WCAG 2.2 defines it."""
    light, dark = sorted(map(luminance, (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    """The relative luminance of a colour."""
    parts = np.asarray([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]
