"""Outputs that passed a softmax, found in the jaxpr of a lane; nothing is computed.

The metrics of a classification take the largest of a row of logits, and 0 as the
threshold of a single one. If a softmax or a sigmoid made the numbers that they look at,
the model returns probabilities, and the cross-entropy squashes them a second time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxtune.planning.flops import inner_programs

# they change the form of numbers and not their meaning
SAME = {"convert_element_type", "reshape", "squeeze", "stop_gradient", "copy"}
SAME |= {"broadcast_in_dim", "expand_dims"}
LOOPS = ("scan", "while", "cond")


class Step(NamedTuple):
    """An operation; values are numbered, so that inlined programs can be joined."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: tuple[Any, ...]  # literals among the inputs, else None


def ends_in_softmax(program: Any) -> bool:
    """Return whether a classification measures probabilities as if they were logits.

    Args:
      program: the jaxpr of one lane, from `jaxtune.planning.tracing`.
    """
    return any(map(_squashed_twice, _scopes(program)))


def _squashed_twice(steps: list[Step]) -> bool:
    made = {output: step for step in steps for output in step.outputs}

    def source(value: int) -> int:
        while value in made and made[value].name in SAME:
            value = made[value].inputs[0]
        return value

    def is_softmax(value: int) -> bool:
        step = made.get(value)
        if step is None or step.name != "div":
            return False
        below = made.get(source(step.inputs[1]))
        if below is None or below.name != "reduce_sum":
            return False
        return source(below.inputs[0]) == source(step.inputs[0])

    looked_at: dict[str, set[int]] = {"argmax": set(), "reduce_max": set()}
    for step in steps:
        if step.name in looked_at:
            looked_at[step.name].add(source(step.inputs[0]))
        if step.name == "gt" and step.constants[1] == 0:
            threshold = made.get(source(step.inputs[0]))
            if threshold is not None and threshold.name == "logistic":
                return True
    # the cross-entropy of logits subtracts their maximum; one of probabilities does not
    return any(map(is_softmax, looked_at["argmax"] & looked_at["reduce_max"]))


def _scopes(program: Any) -> Iterator[list[Step]]:
    """Yield the steps of a program, and those of the bodies of its loops."""
    count, steps, bodies = itertools.count(), list[Step](), list[Any]()

    def number(known: dict[Any, int], value: Any) -> int:
        if hasattr(value, "val"):  # a literal, which cannot be hashed
            return next(count)
        return known.setdefault(value, next(count))

    def inline(program: Any, known: dict[Any, int]) -> None:
        for equation in program.eqns:
            name, inner = equation.primitive.name, inner_programs(equation)
            inputs = [number(known, value) for value in equation.invars]
            if len(inner) == 1 and name not in LOOPS:
                (body,) = inner
                if len(body.invars) == len(inputs):
                    own = dict(zip(body.invars, inputs, strict=True))
                    inline(body, own)
                    ends = [number(own, value) for value in body.outvars]
                    known.update(zip(equation.outvars, ends, strict=False))
                    continue
            bodies.extend(inner)
            outputs = tuple(number(known, value) for value in equation.outvars)
            literals = tuple(getattr(value, "val", None) for value in equation.invars)
            steps.append(Step(name, tuple(inputs), outputs, literals))

    inline(program, {})
    yield steps
    for body in bodies:
        yield from _scopes(body)
