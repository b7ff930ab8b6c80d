"""Ten thousand networks of different shapes in one search, and by hand."""

from published import mlps

from . import row, seconds


def many_shapes(units=100, repeats=25, samples=1000, features=100, sample=20):
    """Yield the seconds of a search of all shapes, of ``vmap`` and of a loop by hand.

    Args:
      units: of the widest network.
      repeats: networks of a shape.
      samples: examples.
      features: of an example.
      sample: networks of the loop, whose time is multiplied.
    """
    work = mlps.Work(samples, features, units, repeats)
    count = work.networks
    label = f"{count} MLPs of {units * len(mlps.ACTIVATIONS)} shapes"
    run = mlps.in_a_search(work).run
    cold, took = (seconds(run)[0] for _ in range(2))
    yield row(f"{label}, one search", took, "s", cold_s=cold)
    ways = {
        "by hand, jit(vmap(train)), padded": mlps.by_vmap(work, count, count),
        "one after another, one scan, padded": mlps.one_by_one(work, sample),
    }
    for name, way in ways.items():
        cold = seconds(way.run)[0]
        each = seconds(way.run)[0] / way.count
        share = {"ratio": each * count / took, "of": "one search"}
        what = f"{label}, {name}"
        yield row(what, each * count, "s", **share, cold_s=cold, measured=way.count)
