"""The pass: a function of one lane, traced, with slow operations in another form.

It runs on what a lane computes: training with its gradients, evaluation, or a plain
function. Derivatives are taken by then, so that a form needs no derivative rule.
Operations are found inside ``jit``, ``scan``, ``while``, ``cond``, ``remat`` and custom
derivatives. Anything that is not known stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jax.extend.core import primitives as p

from jaxtune.forms.rules import Rule
from jaxtune.forms.tables import rules_of

# the parameters of an operation that are programs which it runs
PROGRAMS = {
    p.jit_p.name: ("jaxpr",),
    p.remat_p.name: ("jaxpr",),
    p.scan_p.name: ("jaxpr",),
    p.while_p.name: ("cond_jaxpr", "body_jaxpr"),
    p.cond_p.name: ("branches",),
}
# derivatives are taken already, so that the rules of these are not needed any more
INLINED = (p.custom_jvp_call_p.name, p.custom_vjp_call_p.name)


def in_fast_form(function: Callable[..., Any], table: str) -> Callable[..., Any]:
    """Return the same function with the forms of a table, to be vmapped.

    If the pass fails on a function, that runs as it is written.

    >>> import jax, jax.numpy as jnp
    >>> from jaxtune.forms import in_fast_form
    >>> convolve = lambda x, k: jax.lax.conv(x, k, (1, 1), "SAME")
    >>> fast = in_fast_form(convolve, "cpu-1")
    >>> x, kernel = jnp.ones((1, 2, 4, 4)), jnp.ones((3, 2, 3, 3))
    >>> bool((fast(x, kernel) == convolve(x, kernel)).all())
    True

    Args:
      function: of arrays in pytrees, to arrays in pytrees. Its derivative cannot be
        taken any more.
      table: of rules, from `table_for`; ``""`` changes nothing.
    """
    rules = rules_of(table)
    if not rules or _without_jit():
        return function

    @wraps(function)
    def fast(*args: Any) -> Any:
        # traced once and never called again: a user's function may print or count
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        results = _evaluated(closed, jax.tree.leaves(args), rules)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return fast


def _without_jit() -> bool:
    """Return whether the user debugs without ``jit``, and wants to see real arrays."""
    config: Any = jax.config
    return bool(config.jax_disable_jit)


def _evaluated(program: ClosedJaxpr, args: list[Any], rules: Sequence[Rule]) -> Any:
    """Evaluate a program with the forms of some rules; as it is if that fails."""
    run = Pass(rules)
    if run.applies(program.jaxpr):
        # into a program of its own first: a pass that fails halfway would leave a
        # user's callbacks in this one, which would then be called twice. Failures are
        # reported when a search is planned, see `survey`
        with suppress(Exception):
            program = run.rewritten(program)
    return jaxpr_as_fun(program)(*args)


def survey(program: ClosedJaxpr, table: str) -> tuple[dict[str, int], str]:
    """Rewrite a program and count its new forms.

    Args:
      program: traced, of one lane.
      table: of rules.

    Returns:
      Words of a rule to the number of operations with its form; and why the program
      runs as it is written, if the pass failed on it.
    """
    run = Pass(rules_of(table))
    if not run.applies(program.jaxpr):
        return {}, ""
    try:
        run.rewritten(program)
    except Exception as error:
        return {}, f"{type(error).__name__}: {error}"
    return dict(run.used), ""


def runs_lane_by_lane(program: ClosedJaxpr, table: str) -> bool:
    """Return whether a program computes anything for one lane after another."""
    return Pass([rule for rule in rules_of(table) if rule.apart]).applies(program.jaxpr)


class Pass:
    """One run of the pass, which remembers the programs that it has seen.

    Args:
      rules: the first one that applies to an operation is used.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules: dict[str, list[Rule]] = {}
        for rule in rules:
            self.rules.setdefault(rule.primitive, []).append(rule)
        self.used: Counter[str] = Counter()
        # by the identity of a program; each is kept alive, so that none is mistaken
        self._found: dict[int, tuple[Any, bool]] = {}
        self._made: dict[int, tuple[Any, Any]] = {}

    def applies(self, program: Any) -> bool:
        """Return whether any operation of a jaxpr has another form."""
        known = self._found.get(id(program))
        if known is None:
            found = any(map(self._changes, program.eqns))
            known = self._found[id(program)] = program, found
        return known[1]

    def evaluate(self, program: Any, consts: Any, args: Sequence[Any]) -> list[Any]:
        """Evaluate a jaxpr with its operations in other forms.

        Args:
          program: an open jaxpr.
          consts: its constants.
          args: flat arguments, arrays or tracers.

        Returns:
          Flat results.
        """
        values: dict[Any, Any] = {}

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values[atom]

        values.update(zip(program.constvars, consts, strict=True))
        values.update(zip(program.invars, args, strict=True))
        for equation in _needed(program):
            operands = [read(atom) for atom in equation.invars]
            with equation.ctx.manager:  # such as the device that it was traced for
                results = self._compute(equation, operands)
            values.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in program.outvars]

    def rewritten(self, program: Any) -> Any:
        """Return a jaxpr, open or closed, with its operations in other forms."""
        if id(program) not in self._made:
            self._made[id(program)] = program, self._rewrite(program)
        return self._made[id(program)][1]

    def _changes(self, equation: Any) -> bool:
        if self._rule(equation) is not None:
            return True
        return any(map(self.applies, _programs(equation)))

    def _rule(self, equation: Any) -> Rule | None:
        """Return the first rule that applies to an operation."""
        shapes = tuple(atom.aval for atom in equation.invars)
        rules = self.rules.get(equation.primitive.name, ())
        return next((r for r in rules if r.applies(equation.params, shapes)), None)

    def _compute(self, equation: Any, operands: list[Any]) -> Sequence[Any]:
        rule = self._rule(equation)
        if rule is not None:
            self.used[rule.words] += 1
            result = rule.compute(equation.params, *operands)
            _check(rule, equation.outvars[0].aval, result)
            return [result]
        params = equation.params
        if any(map(self.applies, _programs(equation))):
            if equation.primitive.name in INLINED:
                inner = params["call_jaxpr"]
                return self.evaluate(inner.jaxpr, inner.consts, operands)
            params = {**params, **self._new_programs(equation)}
        return _bind(equation.primitive, params, operands)

    def _new_programs(self, equation: Any) -> dict[str, Any]:
        """Return the parameters of an operation that are programs, rewritten."""
        new: dict[str, Any] = {}
        for name in PROGRAMS[equation.primitive.name]:
            value = equation.params[name]
            if isinstance(value, tuple):
                new[name] = tuple(map(self.rewritten, value))
            else:
                new[name] = self.rewritten(value)
        return new

    def _rewrite(self, program: Any) -> Any:
        closed = isinstance(program, ClosedJaxpr)
        jaxpr, consts = (program.jaxpr, program.consts) if closed else (program, ())
        avals = [variable.aval for variable in jaxpr.invars]
        shapes = [
            jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in avals
        ]

        def run(*args: Any) -> list[Any]:
            return self.evaluate(jaxpr, consts, args)

        new = jax.make_jaxpr(run)(*shapes)
        if closed:
            return new
        if new.consts:
            raise TypeError("a form has constants, which this program cannot hold")
        return new.jaxpr


def _needed(program: Any) -> list[Any]:
    """Return the operations of a jaxpr without those whose results nothing reads."""
    # a Linen network is initialised by applying it, and only its parameters are kept
    used = {v for v in program.outvars if not isinstance(v, Literal)}
    needed = []
    for equation in reversed(program.eqns):
        if equation.effects or not used.isdisjoint(equation.outvars):
            needed.append(equation)
            used |= {v for v in equation.invars if not isinstance(v, Literal)}
    return needed[::-1]


def _programs(equation: Any) -> list[Any]:
    """Return the open jaxprs that an operation runs, if it is one that is known."""
    name = equation.primitive.name
    names = ("call_jaxpr",) if name in INLINED else PROGRAMS.get(name, ())
    found: list[Any] = []
    for parameter in names:
        value = equation.params[parameter]
        found += value if isinstance(value, tuple) else [value]
    # an operation that takes anything but arrays, such as references, stays as it is
    if not all(isinstance(atom.aval, jax.core.ShapedArray) for atom in equation.invars):
        return []
    return [getattr(program, "jaxpr", program) for program in found]


def _check(rule: Rule, wanted: Any, result: Any) -> None:
    if (result.shape, result.dtype) != (wanted.shape, wanted.dtype):
        raise TypeError(
            f"{rule.words}: got {result.dtype}{list(result.shape)}, the program has "
            f"{wanted.dtype}{list(wanted.shape)}"
        )


def _bind(primitive: Any, params: dict[str, Any], operands: list[Any]) -> Sequence[Any]:
    """Apply an operation as it is."""
    made = primitive.get_bind_params(params)
    # older versions of JAX return the functions apart from the parameters
    functions, params = made if isinstance(made, tuple) else ((), made)
    results = primitive.bind(*functions, *operands, **params)
    return results if primitive.multiple_results else [results]
