"""The house keeps itself: import direction, documentation, examples that run."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import jaxtune as jt

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxtune"

# a room may import from rooms of a lower floor, and from itself
FLOORS = {
    "markup": 0,
    "types": 0,
    "cache": 1,
    "checks": 0,
    "versions": 0,
    "warn": 0,
    "ranking": 1,
    "keys": 1,
    "shuffle": 1,
    "recipes": 1,
    "space": 2,
    "samplers": 3,
    "refine": 3,
    "presets": 3,
    "schedule": 3,
    "journal": 3,
    "tasks": 3,
    "models": 3,
    "optimizers": 4,
    "data": 4,
    "population": 4,
    "schedulers": 4,
    "training": 5,
    "trials": 5,
    "divergence": 6,
    "progress": 5,
    "table": 6,
    "result": 7,
    "callbacks": 8,
    "loop": 9,
    "run": 10,
    "executors": 11,
    "search": 12,
    "resume": 13,
    "replay": 9,
    "plan": 9,
    "analysis": 9,
    "report": 10,
    "integrations": 10,
    "doctor": 10,
    "testing": 9,
    "__init__": 14,
    "cli": 15,
    "__main__": 16,
}


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Rooms that a file imports at any depth of its code, type checking excepted."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "jaxtune":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(
            "jaxtune."
        ):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "jaxtune":
                    yield "__init__"
                elif alias.name.startswith("jaxtune."):
                    yield alias.name.split(".")[1]


# a result offers its report as a method, imported when it is called
ALLOWED = {("result", "report")}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_run_one_way(path):
    here = room(path)
    for other in imports(path):
        if other == here or (here, other) in ALLOWED:
            continue
        assert FLOORS[other] < FLOORS[here], f"{here} must not import {other}"


def test_samplers_and_tasks_never_see_each_other():
    for one, other in (("samplers", "tasks"), ("tasks", "samplers")):
        for path in (PACKAGE / one).rglob("*.py"):
            assert other not in set(imports(path))


def public():
    """Every public function, class and method with the name it is known by."""
    homes = [("jt", jt)] + [
        (f"jt.{name}", getattr(jt, name))
        for name in (
            "samplers",
            "schedulers",
            "models",
            "optimizers",
            "presets",
            "testing",
            "report",
            "analysis",
            "integrations",
            "data",
            "executors",
        )
    ]
    for prefix, home in homes:
        names = getattr(home, "__all__", None) or [
            name
            for name, value in vars(home).items()
            if inspect.isfunction(value) and value.__module__ == home.__name__
        ]
        for name in names:
            if name.startswith("_"):
                continue
            thing = getattr(home, name)
            if inspect.ismodule(thing):
                continue
            yield f"{prefix}.{name}", thing
            if inspect.isclass(thing):
                for method, value in vars(thing).items():
                    if not method.startswith(("_", "tree_")) and callable(value):
                        yield f"{prefix}.{name}.{method}", value


PUBLIC = dict(public())


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_and_parameter_is_documented(name):
    thing = PUBLIC[name]
    text = inspect.getdoc(thing) or ""
    assert text, f"{name} has no docstring"
    for parameter in parameters(thing):
        described = re.search(rf"^ *{parameter}: \S", text, re.MULTILINE)
        assert described, f"{name}: parameter {parameter} is not documented"


def parameters(thing):
    """What a caller passes: fields of a data class or named tuple, else arguments."""
    if thing is jt.Space:
        return ["dimensions"]
    if hasattr(thing, "_fields"):
        return thing._fields
    if inspect.isclass(thing):
        names = getattr(thing, "__dataclass_fields__", {})
        linen = ("parent", "name") if hasattr(thing, "init_with_output") else ()
        return [n for n in names if not n.startswith("_") and n not in linen]
    names = inspect.signature(thing).parameters
    return [n for n in names if n not in ("self", "cls", "args", "kwargs")]


def test_public_names_are_sorted():
    assert jt.__all__ == sorted(jt.__all__)
    for home in (jt.samplers, jt.schedulers, jt.models, jt.optimizers, jt.report):
        assert home.__all__ == sorted(home.__all__)


def test_every_public_name_has_its_place_in_the_documentation():
    """By the object that a page names, whatever path it takes to it."""
    shown = "\n".join(p.read_text() for p in (ROOT / "docs" / "api").glob("*.md"))
    paths = set(re.findall(r"^::: (\S+)$", shown, re.MULTILINE))
    for name, thing in PUBLIC.items():
        if "testing" in name or not name.startswith("jt.") or name.count(".") > 2:
            continue
        path = (
            f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
        )
        inside = path.rpartition(".")[0] in paths
        assert path in paths or inside or name.replace("jt.", "jaxtune.") in paths, name


def test_ci_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"```sh\n(.*bash \.ci/test.*)\n```", readme)
    assert command, "the README states the test command"
    assert "bash .ci/test" in (ROOT / ".ci" / "run").read_text()


def test_known_bad_versions_are_excluded_from_the_dependencies():
    from jaxtune.versions import BAD_ON_CPU

    text = (ROOT / "pyproject.toml").read_text()
    for version in BAD_ON_CPU:
        assert text.count(f"!={version}") == 2


def test_the_version_of_the_changelog_is_the_packages():
    assert f"## {jt.__version__}" in (ROOT / "CHANGELOG.md").read_text()
