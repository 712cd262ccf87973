"""The rooms of the library: who may import whom, read from the source with `ast`."""

import ast
import importlib
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import arena_estimators
import arena_estimators.neural_network
import arena_estimators.preprocessing

PACKAGE = pathlib.Path(arena_estimators.__file__).parent
LEVELS = {
    "exceptions": -2,
    "_frames": -2,
    "_probability": -2,
    "_files": 0,
    "battles": -1,
    "_tags": 0,
    "_validation": 0,
    "datasets": 1,
    "metrics": 1,
    "model_selection": 1,
    "_encoder": 1,
    "preprocessing": 2,
    "feature_extraction": 2,
    "linear_model": 2,
    "neural_network": 3,
    "ensemble": 4,
    "pipelines": 5,
    "utils": 6,
}
HEAVY = ("torch", "transformers", "skorch", "nltk", "lightgbm", "peft", "accelerate", "matplotlib")
LAZY = [arena_estimators, arena_estimators.neural_network, arena_estimators.preprocessing]
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(["arena_estimators", *(part for part in parts if part != "__init__")])


def imports(path, *, top_level_only=False):
    """Yield the full names of all that a file imports, from the library or not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name):
    return name.split(".")[1] if name.count(".") else ""


def test_every_room_has_a_level():
    rooms = {room(module_name(path)) for path in MODULES} - {""}
    assert rooms == set(LEVELS)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_from_lower_rooms(path):
    home = room(module_name(path))
    if home == "":
        return  # the package itself imports lazily, from everywhere
    for name in imports(path):
        if not name.startswith("arena_estimators"):
            continue
        other = room(name)
        assert other in LEVELS, f"{path} imports {name}, which is no room"
        if other != home:
            assert LEVELS[other] < LEVELS[home], (
                f"{path} (level {LEVELS[home]}) imports {name} (level {LEVELS[other]})"
            )


def closure(arrows):
    """Add the arrows that follow from others."""
    while True:
        more = arrows | {(a, d) for a, b in arrows for c, d in arrows if b == c}
        if more == arrows:
            return arrows
        arrows = more


def test_the_picture_of_the_architecture_is_that_of_the_imports():
    page = (PACKAGE.parent / "docs/architecture.md").read_text(encoding="utf-8")
    picture = page.split("```mermaid")[1].split("```")[0]
    drawn = {tuple(line.split(" --> ")) for line in map(str.strip, picture.split("\n")[2:-1])}
    found = set()
    for path in MODULES:
        home = room(module_name(path))
        others = (room(name) for name in imports(path) if name.startswith("arena_estimators."))
        found |= {(home, other) for other in others if home and other}
    assert closure(drawn) == closure({arrow for arrow in found if arrow[0] != arrow[1]})
    assert {name for arrow in drawn for name in arrow} == set(LEVELS)


def test_a_fitted_network_knows_nothing_of_its_training_nor_either_of_the_estimator():
    """Imports in neural_network/ go from the estimator to training, and from there to model."""
    home, order = "arena_estimators.neural_network.", ["model", "training", "estimator"]

    def lifetime(name):
        part = name.removeprefix(home).split(".")[0]
        return order.index(part if part in order else "estimator")

    for path in (PACKAGE / "neural_network").glob("[!_]*/*.py"):
        for name in imports(path):
            if name.startswith(home):
                assert lifetime(name) <= lifetime(f"{home}{path.parent.name}"), (path, name)


def test_no_import_circle():
    names = {module_name(path) for path in MODULES}
    graph = {
        module_name(path): {
            name if name in names else name.rpartition(".")[0]
            for name in imports(path, top_level_only=True)
            if name.startswith("arena_estimators")
        }
        for path in MODULES
    }
    done = set()

    def visit(name, above):
        assert name not in above, f"circle: {' -> '.join([*above, name])}"
        if name in done:
            return
        for other in graph.get(name, ()):
            if other != name.rpartition(".")[0]:  # a package's own __init__ is met first anyway
                visit(other, [*above, name])
        done.add(name)

    for name in graph:
        visit(name, [])


def test_parameter_constraints_of_scikit_learn_are_met_in_one_file():
    for path in MODULES:
        if path.name == "_validation.py":
            continue
        text = path.read_text(encoding="utf-8")
        assert "_param_validation" not in text, path
        assert "import _fit_context" not in text, path


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_import_loads_nothing_else():
    code = (
        "import sys; known = set(sys.modules); import arena_estimators;"
        "new = [m for m in sys.modules if m not in known];"
        "print(*sorted(m for m in new if m.split('.')[0] not in sys.stdlib_module_names))"
    )
    assert run_python(code) == "arena_estimators lazy_loader"


def test_the_cpu_road_loads_no_heavy_library():
    code = (
        "import sys, arena_estimators as ae; data = ae.make_battles(40, random_state=0);"
        "ae.make_arena_pipeline('linear').fit(data.X, data.y).predict_proba(data.X);"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_public_modules_are_found_without_an_import():
    code = "import sys, arena_estimators;"
    for name in ("battles.texts", "metrics.swap_inconsistency", "linear_model.DavidsonClassifier"):
        code += f"assert 'arena_estimators.{name.split('.')[0]}' not in sys.modules;"
        code += f"arena_estimators.{name};"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_public_name_can_be_imported_and_listed():
    for name in arena_estimators.__all__:
        assert getattr(arena_estimators, name).__doc__
    assert set(arena_estimators.__all__) <= set(dir(arena_estimators))
    for package, name in [
        (arena_estimators, "BertClassifier"),
        (arena_estimators.neural_network, "BertClassifier"),
        (arena_estimators.preprocessing, "Cleaner"),
    ]:
        assert set(package.__all__) <= set(dir(package))
        with pytest.raises(AttributeError, match=f"No {package.__name__} attribute {name}"):
            getattr(package, name)


@pytest.mark.parametrize("package", LAZY)
def test_names_are_those_of_the_module_the_stub_says(package):
    stub = ast.parse(pathlib.Path(package.__file__ + "i").read_text(encoding="utf-8"))
    lines = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    home = {alias.name: line.module for line in lines for alias in line.names}
    assert sorted(home) == package.__all__
    for name, module in home.items():
        if module is not None:
            module = importlib.import_module(f".{module}", package.__name__)
            assert getattr(module, name) is getattr(package, name)
    if package is arena_estimators:
        there = {module.name for module in pkgutil.iter_modules(package.__path__)}
        assert {n for n, m in home.items() if m is None} == {n for n in there if n[0] != "_"}
