"""How the code is laid out: which way imports point, what each folder may hold, and what a command loads."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "tfrecords_builder": {"tfrecords_builder"},
    "pipeline": {"pipeline", "tfrecords_builder"},
    "tuning": {"tuning", "pipeline", "tfrecords_builder"},
    "serving": {"serving", "pipeline", "tfrecords_builder"},
}
FOLDERS = {
    "tfrecords_builder": {"audit", "building", "cli", "decoding", "lungs", "source"},
    "pipeline": {
        "benchmark",
        "comparison",
        "decision",
        "evaluation",
        "explanation",
        "input",
        "network",
        "pages",
        "site",
        "suitability",
        "tracking",
        "training",
    },
    "tuning": {"config"},
    "serving": {"client", "config", "exporting", "load", "server", "web"},
}
TOP_OF_PIPELINE = {
    "train", "evaluate", "gradcam", "operating_point", "compare",  # commands
    "dataset", "model", "augmentation", "runs",  # public functions, and the run folder
}  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")}


def imported_names(path: Path) -> set[str]:
    """Everything that a module imports, at its top or inside a function, as dotted names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # A name is a module of its own, or something that the module on its left holds.
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in full}
    return names


def imported_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_names(path)}


def folder_of(module: str) -> str:
    """The package and folder of a module, or the module itself where it stands at the top of its package.

    Settings hold no code and lie below all folders that read them.
    """
    return module if module.endswith(".settings") else ".".join(module.split(".")[:2])


def assert_no_circle(arrows: Iterable[tuple[str, str]]) -> None:
    graph = defaultdict(set)
    for importer, imported in arrows:
        if importer != imported:
            graph[importer].add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports run in a circle: {' <- '.join(error.args[1])}")


def our_imports() -> list[tuple[str, str]]:
    return [
        (module, name) for module, path in MODULES.items() for name in imported_names(path) if name in MODULES
    ]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package):
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    for module in modules:
        ours = imported_packages(module) & set(MAY_IMPORT)
        assert ours <= MAY_IMPORT[package], f"{module} imports {ours - MAY_IMPORT[package]}"


def test_no_modules_import_each_other_in_a_circle():
    assert_no_circle(our_imports())


def test_no_folders_import_each_other_in_a_circle():
    assert_no_circle((folder_of(importer), folder_of(imported)) for importer, imported in our_imports())


@pytest.mark.parametrize("package", FOLDERS)
def test_folders_are_those_that_the_documentation_names(package):
    folders = {path.name for path in (ROOT / package).iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert folders == FOLDERS[package]


@pytest.mark.parametrize(
    ("package", "folder"), [(p, f) for p, folders in FOLDERS.items() for f in sorted(folders)]
)
def test_every_folder_says_what_it_is_for(package, folder):
    if folder != "config":  # files of TensorFlow Serving, no modules
        assert ast.get_docstring(ast.parse((ROOT / package / folder / "__init__.py").read_text()))


def test_the_top_of_pipeline_holds_commands_public_functions_and_the_run_folder():
    assert {path.stem for path in (ROOT / "pipeline").glob("*.py")} - {"__init__"} == TOP_OF_PIPELINE


@pytest.mark.parametrize("module", ["model", "augmentation"])
def test_what_trains_on_any_backend_uses_keras_alone(module):
    assert "tensorflow" not in imported_packages(ROOT / "pipeline" / f"{module}.py")


def test_no_path_becomes_a_pattern():
    """The name of a user's folder may have `[`, `*` or `?`: names are listed and matched instead."""
    patterns = re.compile(
        r"gfile\.glob|import glob|from glob|get_matching_files|\.match_filenames_once|list_files"
    )
    assert [name for name, path in MODULES.items() if patterns.search(path.read_text())] == []


def commands() -> list[str]:
    return sorted(name for name, path in MODULES.items() if 'if __name__ == "__main__":' in path.read_text())


def test_commands_load_tensorflow_only_to_work():
    """`--help` is answered at once, and only a command silences what TensorFlow writes as it starts."""
    heavy = ("tensorflow", "keras", "jax", "torch")
    lines = [f"import {name}; assert not {{*{heavy}}} & set(sys.modules), {name!r}" for name in commands()]
    script = "\n".join(["import sys", *lines])
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_names_of_formats_and_the_settings_load_no_decoder():
    """Every command imports them, and OpenCV takes a fifth of the time of `--help`."""
    script = (
        "import sys, tfrecords_builder.decoding; assert not {'cv2', 'PIL', 'simplejpeg'} & set(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
