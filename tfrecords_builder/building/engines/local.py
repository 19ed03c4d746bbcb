"""Builds shards with the threads of this machine: OpenCV, hashing and reading release Python's lock."""

import collections
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.building.shards import RecordMaker, write_shard
from tfrecords_builder.building.staging import UnfinishedBuild
from tfrecords_builder.cli.progress import progress

IMAGES_PER_TASK = 8  # fewer, and handing them over takes its share of the time
TASKS_AHEAD_PER_WORKER = 2  # bounds the memory whatever the number of images

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def build_here(
    maker: RecordMaker, build: UnfinishedBuild, todo: Sequence[PlannedShard], workers: int
) -> None:
    """Builds the shards one after the other, their images in parallel."""
    cv2.setNumThreads(1)  # the workers are the threads
    images = [image for planned in todo for image in planned.images]
    with ThreadPoolExecutor(workers) as pool:
        tasks = [images[at : at + IMAGES_PER_TASK] for at in range(0, len(images), IMAGES_PER_TASK)]
        made = _ordered(pool, lambda task: [maker(i) for i in task], tasks, TASKS_AHEAD_PER_WORKER * workers)
        records = progress(itertools.chain.from_iterable(made), len(images), "building")
        for planned in todo:
            build.note(write_shard(build.folder, planned, records))


def _ordered(
    pool: ThreadPoolExecutor, function: Callable[[ItemT], ResultT], items: Sequence[ItemT], ahead: int
) -> Iterator[ResultT]:
    """`map` of a pool that runs only so far ahead of whoever takes its results."""
    pending: collections.deque[Future[ResultT]] = collections.deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
