"""Parts of the graph that few images need."""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

FunctionT = TypeVar("FunctionT", bound=Callable[..., tf.Tensor])


def rarely_called(function: FunctionT) -> FunctionT:
    """Keeps a function as one node of the graph, for branches that most images do not take.

    Every node of a branch costs time for each image, whether the branch is taken or not (measured:
    docs/performance.md).
    """
    return tf.function(function, experimental_attributes={"_noinline": True})
