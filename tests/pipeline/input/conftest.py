import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf


@pytest.fixture
def copy_to_url() -> Callable[[str], str]:
    """Copies a folder of records behind a URL; returns the URL."""

    def copy(records: str) -> str:
        url = f"ram://{uuid.uuid4().hex}"
        tf.io.gfile.makedirs(url)
        for path in Path(records).iterdir():
            tf.io.gfile.copy(str(path), f"{url}/{path.name}")
        return url

    return copy
