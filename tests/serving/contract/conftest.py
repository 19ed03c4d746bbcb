"""What the tests of docs/serving-contract.md share."""

import time

import pytest
import tensorflow as tf

from tests.serving.contract.wire import SECONDS


@pytest.fixture(scope="module")
def signatures(models):
    """The signatures of version 1, loaded in Python."""
    return tf.saved_model.load(f"{models}/pneumonia/1").signatures


@pytest.fixture(scope="session")
def wait_until():
    def wait(condition) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait
