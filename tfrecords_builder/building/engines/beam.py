"""Builds shards with an Apache Beam pipeline, on any of its runners.

Each shard is one element of the pipeline.
The workers need this package, the images under the same path, and an output folder that all of them can write
to (`gs://`, `s3://`, or a folder that is mounted everywhere).
"""

import itertools
from collections.abc import Sequence

from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.building.record_maker import RecordMaker, split_up
from tfrecords_builder.building.shard_writer import build_shard
from tfrecords_builder.building.unfinished import UnfinishedBuild
from tfrecords_builder.errors import UserError


def build_with_beam(
    maker: RecordMaker, build: UnfinishedBuild, plan: Sequence[PlannedShard], options: Sequence[str]
) -> None:
    """Builds shards; each is written by one worker.

    Args:
        maker: makes the records.
        build: the build that the shards are added to.
        plan: the shards to build.
        options: Beam's pipeline options as NAME=VALUE, for example the runner.

    Raises:
        UserError: if Beam is not installed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise UserError("--engine beam needs Apache Beam: pip install 'chest-xray-pipeline[beam]'") from None
    flags = [f"--{option}" for option in options]
    with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        shards = pipeline | "plan" >> beam.Create(list(plan)) | "spread" >> beam.Reshuffle()
        shards | "build" >> beam.Map(_build_shard, maker, build)


def _build_shard(planned: PlannedShard, maker: RecordMaker, build: UnfinishedBuild) -> None:
    records = itertools.chain.from_iterable(map(maker, split_up(planned.images)))
    build.add(build_shard(build.folder, planned, records))
