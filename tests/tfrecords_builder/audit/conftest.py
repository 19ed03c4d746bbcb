import shutil
from pathlib import Path

import pytest

from tfrecords_builder.audit.__main__ import AuditConfig, audit


@pytest.fixture
def folder(source, tmp_path) -> Path:
    """A copy of the source that a test may change."""
    return Path(shutil.copytree(source, tmp_path / "chest_xray"))


@pytest.fixture
def audited(folder, tmp_path):
    """A function that audits `folder` and writes the report to tmp_path / "audit"."""
    return lambda **changes: audit(AuditConfig(str(folder), **{"output": str(tmp_path / "audit")} | changes))
