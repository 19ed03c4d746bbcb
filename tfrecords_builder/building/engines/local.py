"""Builds shards with the threads of this machine: OpenCV, hashing and reading release Python's lock."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.building.record_maker import RecordMaker, split_up
from tfrecords_builder.building.shard_writer import build_shard
from tfrecords_builder.building.unfinished import UnfinishedBuild
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.decoding.threads import single_threaded_opencv

TASKS_AHEAD_PER_WORKER = 2
"""Bounds the memory, whatever the number of images."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def build_with_threads(
    maker: RecordMaker, build: UnfinishedBuild, plan: Sequence[PlannedShard], workers: int
) -> None:
    """Builds shards one after the other; the images of each are decoded in parallel.

    Args:
        maker: makes the records.
        build: the build that the shards are added to.
        plan: the shards to build.
        workers: number of threads.
    """
    images = [image for planned in plan for image in planned.images]
    with single_threaded_opencv(), ThreadPoolExecutor(workers) as pool:
        batches = _map_ahead(pool, maker, split_up(images), TASKS_AHEAD_PER_WORKER * workers)
        records = progress(itertools.chain.from_iterable(batches), len(images), "building")
        for planned in plan:
            build.add(build_shard(build.folder, planned, records))
        next(records, None)  # `progress` logs its last line when it is asked for more than the last record


def _map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[ItemT], ResultT], items: Iterable[ItemT], ahead: int
) -> Iterator[ResultT]:
    """Maps in order like `pool.map`, but with at most `ahead` results that nobody has taken yet."""
    pending: collections.deque[Future[ResultT]] = collections.deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
