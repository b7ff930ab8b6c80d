"""The house keeps itself: import direction, documentation, examples that run."""

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import TIERS
from packaging.requirements import Requirement

import jaxtune as jt
from jaxtune.versions import faults_of

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxtune"

# a package may import from layers with a smaller number, and from itself
LAYERS = {
    "brevity": 1,
    "markup": 0,
    "mending": 0,
    "precision": 0,
    "door": 0,
    "printing": 0,
    "registry": 2,
    "types": 0,
    "versions": 0,
    "writing": 0,
    "checks": 1,
    "environment": 1,
    "random": 1,
    "ranking": 1,
    "recent": 0,
    "threads": 1,
    "cache": 2,
    "forms": 2,
    "hardware": 2,
    "reading": 2,
    "scripts": 2,
    "signals": 2,
    "space": 2,
    "background": 3,
    "models": 3,
    "presets": 3,
    "schedules": 3,
    "samplers": 3,
    "schedulers": 3,
    "tasks": 3,
    "data": 4,
    "goals": 4,
    "programs": 5,
    "executors": 6,
    "planning": 7,
    "training": 8,
    "results": 9,
    "rounds": 10,
    "analysis": 11,
    "storage": 11,
    "testing": 11,
    "stop": 11,
    "integrations": 12,
    "trained": 12,
    "report": 13,
    "watching": 14,
    "_named": 14,
    "_prior": 14,
    "_arguments": 15,
    "_plan": 16,
    "_search": 16,
    "_resume": 17,
    "_study": 17,
    "_repair": 17,
    "doctor": 17,
    "_extend": 18,
    "__init__": 19,
    "cli": 20,
    "stress": 20,
    "__main__": 21,
}


def package(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Packages that a file imports at any depth of its code, type checking excepted."""
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


# a result offers its report and its model as methods, imported when they are called
ALLOWED = {("results", "report"), ("results", "trained")}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_run_one_way(path):
    here = package(path)
    for other in imports(path):
        if other == here or (here, other) in ALLOWED:
            continue
        assert LAYERS[other] < LAYERS[here], f"{here} must not import {other}"


def test_samplers_and_tasks_never_see_each_other():
    for one, other in (("samplers", "tasks"), ("tasks", "samplers")):
        for path in (PACKAGE / one).rglob("*.py"):
            assert other not in set(imports(path))


TREES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}

QUESTIONS = [
    "What",
    "Who",
    "Whom",
    "Whose",
    "Whether",
    "How",
    "Which",
    "Where",
    "When",
    "Whatever",
    "Why",
    "Those",
]


def documented(tree):
    """Every module, class and function that has a docstring, with its first word."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, kinds) else None
        if text:
            yield getattr(node, "name", "the module"), text.split()[0]


@pytest.mark.parametrize("path", TREES, ids=str)
def test_a_docstring_begins_with_a_verb_or_names_the_thing(path):
    found = [name for name, word in documented(TREES[path]) if word in QUESTIONS]
    assert not found, f"begin with a verb, such as Return: {found}"


def starred_tuples(tree):
    """Calls ``f(*own)`` where ``own`` is a tuple written down in the same function."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        nodes = list(ast.walk(function))
        tuples = {
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in (node for node in nodes if isinstance(node, ast.Call)):
            for starred in (a for a in call.args if isinstance(a, ast.Starred)):
                named = getattr(starred.value, "id", None) in tuples
                if named or isinstance(starred.value, ast.Tuple):
                    yield call.lineno


@pytest.mark.parametrize("path", TREES, ids=str)
def test_arguments_are_named_and_not_starred(path):
    assert not list(starred_tuples(TREES[path])), "use the names of the parameters"


def test_starred_tuples_are_found():
    """A control: the test above can fail."""
    code = "def f(x):\n    own = (x, 1)\n    g(*own)\n    g(*(x, 1))\n    g(*x)\n"
    assert list(starred_tuples(ast.parse(code))) == [3, 4]


def names_of_their_own():
    """Public name to the files that define it, for functions and classes."""
    known = {}
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                known.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    return known


# public names of one thing in two places of the contract, such as jt.uniform and
# jt.samplers.uniform; and a block's step, which is a lane's under vmap
SHARED = {"Plan", "best_of", "importance", "standard", "uniform", "zoom"}
SHARED |= {"start", "advance", "advance_part", "score", "predict"}


def test_no_two_things_have_one_name():
    twice = {name: files for name, files in names_of_their_own().items() if files[1:]}
    assert set(twice) <= SHARED, twice


def test_no_module_hides_behind_a_function_of_its_name():
    for name, files in names_of_their_own().items():
        for file in files:
            assert Path(file).stem != name, f"{file}: name the module otherwise"


def public_functions(module):
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and name[0] != "_"
    ]


MAKERS = ("", "samplers", "schedulers", "schedules", "models", "optimizers", "presets")
MAKERS += ("executors", "data")


def test_every_maker_shows_an_example():
    for home in MAKERS:
        place = getattr(jt, home) if home else jt
        names = getattr(place, "__all__", None) or public_functions(place)
        for name in names:
            thing = getattr(place, name)
            if inspect.isfunction(thing):
                assert ">>> " in (thing.__doc__ or ""), f"{home}.{name} has no example"


def public():
    """Every public function, class and method with the name it is known by."""
    homes = [("jt", jt)] + [
        (f"jt.{name}", getattr(jt, name))
        for name in (
            "samplers",
            "schedulers",
            "schedules",
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
    homes = jt.samplers, jt.schedulers, jt.schedules, jt.models, jt.optimizers
    for home in (*homes, jt.report):
        assert home.__all__ == sorted(home.__all__)


def test_every_public_name_has_its_place_in_the_documentation():
    """By the path that a user writes."""
    pages = "\n".join(p.read_text() for p in (ROOT / "docs" / "api").glob("*.md"))
    paths = set(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))
    for name in PUBLIC:
        if "testing" in name or not name.startswith("jt.") or name.count(".") > 2:
            continue
        shown = name.replace("jt.", "jaxtune.")
        assert {shown, shown.rpartition(".")[0]} & paths, name


def test_ci_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"```sh\n(.*bash \.ci/test.*)\n```", readme)
    assert command, "the README states the test command"
    assert "bash .ci/test" in (ROOT / ".ci" / "run").read_text()


def test_every_file_of_tests_has_one_tier():
    files = sorted(path.stem for path in (ROOT / "tests").glob("test_*.py"))
    named = " ".join(TIERS.values()).split()
    assert sorted(f"test_{name}" for name in named) == files


def test_before_a_commit_the_same_is_checked():
    checks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = {hook["entry"] for repo in checks["repos"] for hook in repo["hooks"]}
    lines = (ROOT / ".ci" / "test").read_text().splitlines()
    static = {line for line in lines if re.match("ruff|mypy", line)}
    assert len(static) == 3
    assert static <= hooks


def test_known_bad_versions_are_excluded_from_the_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [Requirement(line) for line in project["dependencies"]]
    allowed = {one.name: one.specifier for one in needed}
    tried = ("0.9.2", "0.10.0", "0.10.1", "0.10.2", "0.11.0", "0.11.1", "0.12.0.1")
    for version in tried:
        assert (version in allowed["jaxlib"]) == (not faults_of(version))
    assert allowed["jax"] == allowed["jaxlib"]


def test_the_version_of_the_changelog_is_the_packages():
    assert f"## {jt.__version__}" in (ROOT / "CHANGELOG.md").read_text()
