"""Where does training end well, and where does it diverge? A map, and maps of its edge.

Each point of a map is a training of its own: a network of 8 inputs and 8 tanh units, by
plain gradient descent on 16 examples, with one learning rate and one scale of the
initial weights. The edge between rates that train and rates that diverge is a fractal
(Sohl-Dickstein, 2024, "The boundary of neural network trainability is fractal"). The
window of the next map is where this one has most of it.

    python experiments/atlas.py [--out DIR]
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from common import RESOLUTION, keep_themes, with_folder
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import jaxtune as jt
from jaxtune.report.palette import colour, picture, score_colours

SIDE, MAPS, WINDOW = 256, 4, 40  # points of a side, maps, points of a side of a window
UNITS, EXAMPLES, STEPS, LARGEST = 8, 16, 300, 1e6
FIRST = {"learning_rate": (0.1, 5.0), "weight_scale": (0.1, 20.0)}
TICKS = {"learning_rate": [0.1, 0.3, 1, 3], "weight_scale": [0.1, 0.3, 1, 3, 10]}
KEYS = jax.random.split(jax.random.key(1), 4)
X = jax.random.normal(KEYS[0], (EXAMPLES, UNITS))
Y = jax.random.normal(KEYS[1], (EXAMPLES, 1))
FIRST_LAYER = jax.random.normal(KEYS[2], (UNITS, UNITS)) / UNITS**0.5
LAST_LAYER = jax.random.normal(KEYS[3], (UNITS, 1)) / UNITS**0.5


def loss(weights):
    return jnp.mean((jnp.tanh(X @ weights[0]) @ weights[1] - Y) ** 2)


def objective(key, hparams):
    """Return the sum of the losses of a training, and that of their inverses."""
    del key  # the same weights everywhere: a map has no noise
    scale, rate = hparams["weight_scale"], hparams["learning_rate"]
    start = FIRST_LAYER * scale, LAST_LAYER * scale
    first = loss(start)

    def step(carry, _):
        weights, losses, inverses = carry
        value, gradients = jax.value_and_grad(loss)(weights)
        value = jnp.nan_to_num(value / first, nan=LARGEST).clip(max=LARGEST)
        weights = jax.tree.map(lambda w, g: w - rate * g, weights, gradients)
        return (weights, losses + value, inverses + 1 / value), None

    (_, losses, inverses), _ = jax.lax.scan(step, (start, 0.0, 0.0), length=STEPS)
    return {"losses": losses, "inverses": inverses}


def main(out):
    maps, found, bounds = [], [], FIRST
    for number in range(MAPS):
        began = time.process_time()
        maps.append(explored(bounds))
        seconds = time.process_time() - began
        trains = maps[-1]["trains"]
        found.append(
            f"map {number + 1}: {described(bounds)}; {trains.mean():.0%} of {SIDE**2} "
            f"trainings end well, the edge has dimension "
            f"{dimension(edge(trains)):.2f}, {seconds:.0f} s of CPU time"
        )
        bounds = inside(bounds, maps[-1]["window"])
    numbers = {"side": SIDE, "steps": STEPS, "last window": bounds}
    keep_themes("atlas", lambda: draw(maps), found, numbers, out)


def explored(bounds):
    """Return one map: arrays ``[weight scale, learning rate]``, and its window."""
    space = jt.Space(**{name: jt.log_uniform(*ends) for name, ends in bounds.items()})
    trials = jt.search(
        objective,
        space,
        key=jax.random.key(0),
        trials=SIDE**2,
        sampler=jt.samplers.grid([SIDE, SIDE]),
        metric="losses",
        mode="min",
        verbose=0,
    ).trials
    order = np.lexsort((trials["learning_rate"], trials["weight_scale"]))
    losses, inverses = (
        trials[name][order].reshape(SIDE, SIDE) for name in ("losses", "inverses")
    )
    trains = losses < 2 * STEPS  # a mean of twice the first loss
    return {
        "losses": losses,
        "inverses": inverses,
        "trains": trains,
        "window": most(edge(majority(trains))),
    }


def edge(trains):
    """Mark the points that differ from the one below or to their left."""
    marks = np.zeros(trains.shape, bool)
    marks[1:] |= trains[1:] != trains[:-1]
    marks[:, 1:] |= trains[:, 1:] != trains[:, :-1]
    return marks


def majority(trains, reach=2):
    """Return what most neighbours are, so that scattered points make no edge."""
    padded = np.pad(trains, reach, mode="edge").astype(int)
    size = 2 * reach + 1
    return sums(padded, size) > size**2 // 2


def sums(array, size):
    """Return the sums over all squares of one size."""
    total = np.pad(array.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    a, b, c = total[size:, size:], total[:-size, size:], total[size:, :-size]
    return a - b - c + total[:-size, :-size]


def most(marks):
    """Return the row and column at which the window with most marks begins."""
    counts = sums(marks.astype(int), WINDOW)
    return np.unravel_index(counts.argmax(), counts.shape)


def inside(bounds, window):
    """Return the bounds of a window of a map; both scales are logarithmic."""
    made = {}
    for (name, ends), begin in zip(bounds.items(), window[::-1], strict=True):
        low, high = np.log(ends)
        shares = np.asarray([begin, begin + WINDOW]) / SIDE
        made[name] = tuple(np.exp(low + (high - low) * shares).tolist())
    return made


def dimension(marks):
    """Return how the number of boxes with an edge in them grows as boxes shrink."""
    sizes = [1, 2, 4, 8, 16, 32]
    boxes = [
        marks.reshape(SIDE // size, size, SIDE // size, size).any((1, 3)).sum()
        for size in sizes
    ]
    return -np.polyfit(np.log(sizes), np.log(boxes), 1)[0]


def described(bounds):
    return ", ".join(
        f"{n} {low:.5g} to {high:.5g}" for n, (low, high) in bounds.items()
    )


@picture
def draw(maps):
    side, gap, margin = 2 * SIDE, 24, 72  # pixels: whole ones for each point
    width, height = MAPS * (side + gap) + margin, side + 2 * margin
    figure = Figure(figsize=(width / RESOLUTION, height / RESOLUTION), dpi=RESOLUTION)
    for number, one in enumerate(maps):
        left = margin + number * (side + gap)
        place = (left / width, margin / height, side / width, side / height)
        axes = figure.add_axes(place)
        draw_map(axes, one, last=number == MAPS - 1)
        closer = (SIDE / WINDOW) ** number
        axes.set_title("all" if number == 0 else f"{closer:.0f} times closer", size=12)
        if number == 0:
            label_axes(axes)
    add_legend(figure)
    return figure


def label_axes(axes):
    """Name the axes of the first map, and give them numbers; both are logarithmic."""
    for axis, (name, (low, high)) in zip(
        (axes.xaxis, axes.yaxis), FIRST.items(), strict=True
    ):
        shares = np.log(np.asarray(TICKS[name]) / low) / np.log(high / low)
        axis.set_ticks(shares * SIDE - 0.5, map(str, TICKS[name]), size=10)
        axis.set_label_text(f"{name} (log scale)", size=11)


def add_legend(figure):
    """Say what the ends of both ramps of colours are."""
    shades = {"learns fast": -1, "learns slowly": 0}
    ends = {name: learning()[place] for name, place in shades.items()}
    # the palest one would not be seen
    ends |= {
        "diverges late": diverging()[-1],
        "diverges early": ramp(diverging())(0.25),
    }
    patches = [Patch(color=shade, label=name) for name, shade in ends.items()]
    figure.legend(
        handles=patches, ncols=4, loc="lower right", frameon=False, fontsize=11
    )


def draw_map(axes, one, last):
    """Draw what trains by its losses, and what diverges by how long it took."""
    image, trains = np.zeros((SIDE, SIDE, 4)), one["trains"]
    image[trains] = ramp(learning())(ranks(-one["losses"][trains]))
    image[~trains] = ramp(diverging())(ranks(one["inverses"][~trains]))
    axes.imshow(image, origin="lower", interpolation="none")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if not last:
        row, column = one["window"]
        box = np.asarray([0, 0, 1, 1, 0]), np.asarray([0, 1, 1, 0, 0])
        for shade, thick in ((colour("back"), 4), (colour("text"), 1.6)):
            axes.plot(column + box[0] * WINDOW, row + box[1] * WINDOW, shade, lw=thick)


def learning():
    """Return the colours of what trains, the slowest first."""
    return score_colours()[3:]


def diverging():
    """Return the colours of what diverges, at once first."""
    return colour("back"), colour("orange"), colour("best")


def ranks(values):
    return values.argsort().argsort() / max(len(values) - 1, 1)


def ramp(colours):
    return LinearSegmentedColormap.from_list("ramp", colours)


if __name__ == "__main__":
    main(with_folder(__doc__).parse_args().out)
