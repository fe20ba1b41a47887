"""The shape of the code: imports run one way, files stay small, public names are documented, the import is light."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cmo_tf

ROOT = Path(cmo_tf.__file__).resolve().parent
FILES = sorted(ROOT.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

BELOW_ALL = "core"
HEAVY = {"tensorflow", "keras", "keras_cv", "sklearn", "matplotlib", "tensorflow_datasets", "imblearn", "scipy", "PIL"}
# Room (package or module) -> the rooms, or modules of one, that it may import beside itself and core. Nothing else is
# allowed. A room stands below all that import it.
MAY_IMPORT = {
    "core": set(),
    "augment": set(), "callbacks": set(), "datasets": set(), "distribution": set(), "long_tail": set(), "losses": set(),
    "mixing": set(), "models": set(), "optim": set(), "sampling": {"mixing.boxes"},
    "evaluation": {"long_tail"},
    "report": {"evaluation", "long_tail"},
    "monitoring": {"report"},
    "pipeline": {"augment", "datasets", "mixing.boxes", "sampling"},
    "classifier": {"augment", "callbacks", "distribution", "evaluation", "losses", "mixing", "models", "optim",
                   "pipeline", "sampling"},
    "methods": {"augment", "callbacks", "losses", "models", "optim", "pipeline", "sampling"},
    "config": {"augment", "callbacks", "datasets", "evaluation.prior", "losses", "methods", "mixing", "models",
               "optim.radius", "optim.schedules", "sampling"},
    "run": {"callbacks", "classifier", "config", "datasets", "distribution", "evaluation", "long_tail", "losses",
            "methods", "models", "monitoring", "optim", "pipeline", "report", "sampling"},
    "serving": {"augment", "classifier", "config", "datasets", "long_tail", "methods", "mixing", "models", "monitoring",
                "pipeline", "report", "run"},
    "inspection": {"classifier", "config", "datasets", "long_tail", "models", "pipeline", "report", "run", "serving"},
    "main": {"classifier", "config", "run", "serving"},
    "__init__": {"classifier", "mixing"},
}
MOST_MODULES = 24  # of a room


def name_of(path):
    """Dotted module name inside cmo_tf: "mixing.cmo", "mixing", "errors", "__init__"."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(tree):
    """(line, dotted name) of every import of a module, `from cmo_tf import x` as cmo_tf.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def ours(tree):
    """(line, name without cmo_tf.) of the imports of our own modules."""
    return [(line, name.removeprefix("cmo_tf.")) for line, name in imports(tree) if name.split(".")[0] == "cmo_tf"]


def test_every_module_has_a_place_in_the_order():
    assert {name_of(path).split(".")[0] for path in FILES} == set(MAY_IMPORT)


def test_no_rooms_import_each_other():
    """Nor in a circle: taking away what imports nothing that is left, everything goes."""
    left = {part: {other.split(".")[0] for other in others} for part, others in MAY_IMPORT.items()}
    while left:
        lowest = [part for part, others in left.items() if not others & set(left)]
        assert lowest, f"these import each other: {left}"
        for part in lowest:
            del left[part]


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_imports_run_one_way(part):
    for path, tree in TREES.items():
        if name_of(path).split(".")[0] != part:
            continue
        for line, name in ours(tree):
            top = name.split(".")[0]
            allowed = top in (part, BELOW_ALL, "cmo_tf") or any(name == other or name.startswith(f"{other}.")
                                                      for other in MAY_IMPORT[part])
            assert allowed, f"{path}:{line}: cmo_tf.{part} must not import cmo_tf.{name}"


def test_rooms_are_small():
    for folder in {path.parent for path in FILES} - {ROOT}:
        modules = [path.name for path in FILES if path.parent == folder and path.name != "__init__.py"]
        assert len(modules) <= MOST_MODULES, f"{folder}: {len(modules)} modules"


def test_the_lower_part_of_the_order_is_free_of_frameworks():
    """What runs before TensorFlow is imported, or without it: reports, splits, flags, the light package inits."""
    light = {"long_tail", "optim.schedules", "__init__", "main"}
    for path, tree in TREES.items():
        name = name_of(path)
        at_import = [node for node in tree.body if not isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        found = {imported.split(".")[0] for _, imported in imports(ast.Module(at_import, []))} & HEAVY
        everywhere = {imported.split(".")[0] for _, imported in imports(tree)} & HEAVY
        if name in light or name.split(".")[0] in ("core", "config", "sampling") or \
                path.name == "__init__.py" and path.parent != ROOT / "pipeline":
            assert not found, f"{path} imports {found} when it is imported"
        if name.split(".")[0] in ("evaluation", "report"):
            assert not everywhere & {"tensorflow", "keras"}, f"{path} imports {everywhere}"
        if name.split(".")[0] in ("losses", "callbacks", "mixing", "models", "optim"):
            assert "tensorflow" not in everywhere, f"{path}: keras only"


def test_only_main_reads_the_command_line():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                where = f"{path}:{node.lineno}"
                assert (node.value.id, node.attr) != ("sys", "argv") or path.name == "main.py", where
                assert (node.value.id, node.attr) != ("flags", "FLAGS"), where
                assert (node.value.id, node.attr) != ("app", "run"), where
            assert not (isinstance(node, ast.ImportFrom) and "argv" in {a.name for a in node.names}), path


def test_no_bare_except_and_no_lookups_by_user_strings():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{path}:{node.lineno}: bare except"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{path}:{node.lineno}: {node.func.id}"


def test_files_are_small():
    for path in FILES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 280, f"{path}: {lines} lines; one idea a file"


def public(tree):
    """(line, name, node) of the public functions and classes of a module."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.lineno, node.name, node


def test_public_names_have_docstrings():
    without = [str(path) for path, tree in TREES.items() if not ast.get_docstring(tree)]
    without += [f"{path}:{line}: {name}" for path, tree in TREES.items() for line, name, node in public(tree)
                if not ast.get_docstring(node)]
    assert not without, "\n".join(without)


def test_registries_point_at_what_exists():
    """Every "module:attribute" is a file of ours with that name in it; the objects need not be imported for it."""
    found = 0
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("cmo_tf.") \
                    and node.value.count(":") == 1 and " " not in node.value:
                module, attribute = node.value.split(":")
                file = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
                assert file in TREES, f"{path}:{node.lineno}: {node.value}"
                names = {target.id for stored in ast.walk(TREES[file]) if isinstance(stored, ast.Assign)
                         for target in stored.targets if isinstance(target, ast.Name)}
                names |= {name for _, name, _ in public(TREES[file])}
                assert attribute in names, f"{path}:{node.lineno}: {node.value}"
                found += 1
    assert found > 30


def test_import_is_light_and_quick():
    code = ("import sys, time; before = set(sys.modules); start = time.perf_counter(); import cmo_tf; "
            "print(time.perf_counter() - start); print(*sorted(set(sys.modules) - before))")
    times = []
    for _ in range(3):  # the best of three: other programs may be running
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent, check=True)
        seconds, loaded = done.stdout.splitlines()
        times.append(float(seconds))
        assert not {name.split(".")[0] for name in loaded.split()} & (HEAVY | {"numpy", "absl"}), loaded
        if times[-1] < 0.3:
            break
    assert min(times) < 0.3 and done.stderr == ""


def test_flags_are_parsed_without_frameworks():
    """--help, a typing error in a flag: answered before TensorFlow is loaded."""
    code = ("import sys\nfrom cmo_tf import main\nassert main.main(['--epoch=3']) == 2 and main.main(['--help']) == 0\n"
            "assert not {'tensorflow', 'keras'} & set(sys.modules)")
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "cmo_tf: --epoch: no such flag. Did you mean --epochs?\n"
    assert time.perf_counter() - start < 20
