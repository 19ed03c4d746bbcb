"""The in-graph batcher, on a graph that answers with the size of the batch it ran in."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from serving.server.batching import Batching, batched


@pytest.fixture
def size_of_batches():
    """Runs requests of given sizes at the same time; returns for each the batch sizes its images ran in."""

    def run(batching: Batching, *sizes: int) -> list[list[int]]:
        with tf.Graph().as_default() as graph:
            values = tf.compat.v1.placeholder(tf.float32, [None], name="values")
            tf.add(tf.zeros_like(values), tf.cast(tf.size(values), tf.float32), name="ran_in")
            (twin,) = batched(graph.as_graph_def(), {"values:0": values}, ["ran_in:0"], batching)
            with tf.compat.v1.Session(graph=graph) as session, ThreadPoolExecutor(len(sizes)) as clients:
                requests = [{values: np.zeros(size, np.float32)} for size in sizes]
                answers = clients.map(lambda request: session.run(twin, request), requests)
                return [answer.astype(int).tolist() for answer in answers]

    return run


def test_a_request_is_one_batch(size_of_batches):
    assert size_of_batches(Batching(max_batch_size=32), 25) == [[25] * 25]


def test_a_request_is_spread_over_batches_of_max_execution_batch_size(size_of_batches):
    batching = Batching(max_batch_size=32, enable_large_batch_splitting=True, max_execution_batch_size=10)

    assert size_of_batches(batching, 25) == [[10] * 20 + [5] * 5]


def test_without_splitting_max_execution_batch_size_is_ignored(size_of_batches):
    assert size_of_batches(Batching(max_batch_size=32, max_execution_batch_size=10), 25) == [[25] * 25]


def test_requests_fill_batches_together(size_of_batches):
    batching = Batching(
        max_batch_size=8,
        batch_timeout_micros=10_000_000,
        enable_large_batch_splitting=True,
        max_execution_batch_size=4,
    )

    assert size_of_batches(batching, 3, 3, 2) == [[4] * 3, [4] * 3, [4] * 2]


def test_batches_are_filled_up_to_allowed_sizes(size_of_batches):
    batching = Batching(
        max_batch_size=16,
        allowed_batch_sizes=(2, 8, 16),
        enable_large_batch_splitting=True,
        max_execution_batch_size=8,
    )

    assert size_of_batches(batching, 11) == [[8] * 11]  # of which the last 3 are filled up to 8


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"max_batch_size": 0}, "at least 1"),
        ({"batch_timeout_micros": -1}, "at least 0"),
        ({"max_batch_size": 8, "allowed_batch_sizes": (4, 2, 8)}, "must increase"),
        ({"max_batch_size": 8, "allowed_batch_sizes": (2, 4)}, "end with max_batch_size, 8"),
        ({"max_batch_size": 8, "max_execution_batch_size": 9}, "max_execution_batch_size.*Received: 9"),
        ({"max_batch_size": 8, "max_execution_batch_size": 0}, "max_execution_batch_size.*Received: 0"),
        (
            {"max_batch_size": 8, "allowed_batch_sizes": (2, 8), "max_execution_batch_size": 4},
            "one of allowed_batch_sizes",
        ),
    ],
)
def test_parameters_that_are_refused(parameters, word):
    with pytest.raises(ValueError, match=word):
        Batching(**parameters)


def test_a_file_is_read(tmp_path):
    file = tmp_path / "batching.config"
    file.write_text(
        "max_batch_size { value: 32 } batch_timeout_micros { value: 5 } max_enqueued_batches { value: 6 } "
        "num_batch_threads { value: 7 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 16 } allowed_batch_sizes: 16 allowed_batch_sizes: 32"
    )

    assert Batching.read(str(file)) == Batching(32, 5, 6, 7, (16, 32), True, 16)
    assert Batching.read(str(file)).executed_sizes == (16,)
