"""What tests of several packages share."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def real_xrays() -> Path:
    """Folder of real X-rays in the Kaggle layout; the test skips where it is absent."""
    return _shared("chest_xray_224")


@pytest.fixture(scope="session")
def original_xrays() -> Path:
    """Folder of X-rays as hospitals have them, up to 5840x3624 pixels; the test skips where it is absent."""
    return _shared("mixed_originals")


def _shared(name: str) -> Path:
    folder = SHARED / "data" / name
    if not folder.is_dir():
        pytest.skip(f"needs the real X-rays of {name}, which are not part of the repository")
    return folder
