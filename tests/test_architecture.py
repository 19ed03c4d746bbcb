"""Imports point against the way of the data: builder <- pipeline <- tuning, serving."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "tfrecords_builder": {"tfrecords_builder"},
    "pipeline": {"pipeline", "tfrecords_builder"},
    "tuning": {"tuning", "pipeline", "tfrecords_builder"},
    "serving": {"serving", "pipeline", "tfrecords_builder"},
}


def imported_packages(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    absolute = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    plain = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    return {module.partition(".")[0] for module in absolute + plain}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package):
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    for module in modules:
        ours = imported_packages(module) & set(MAY_IMPORT)
        assert ours <= MAY_IMPORT[package], f"{module} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize("module", ["model", "augmentation"])
def test_what_trains_on_any_backend_uses_keras_alone(module):
    assert "tensorflow" not in imported_packages(ROOT / "pipeline" / f"{module}.py")
