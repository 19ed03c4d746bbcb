"""Builds shards as an Apache Beam pipeline, on any of its runners: a shard is one element of the pipeline.

The workers need this package, the images under the same path, and an output folder that all of them reach
(`gs://`, `s3://`, or one that is mounted everywhere).
"""

from collections.abc import Sequence

from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.building.shards import RecordMaker, write_shard
from tfrecords_builder.building.staging import UnfinishedBuild
from tfrecords_builder.errors import UserError


def build_with_beam(
    maker: RecordMaker, build: UnfinishedBuild, todo: Sequence[PlannedShard], options: Sequence[str]
) -> None:
    """Builds the shards, each by one worker.

    Args:
        maker: of records.
        build: where to.
        todo: what to build.
        options: NAME=VALUE of Beam's pipeline options, the runner among them.

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
        shards = pipeline | "plan" >> beam.Create(list(todo)) | "spread" >> beam.Reshuffle()
        shards | "build" >> beam.Map(_build_shard, maker, build)


def _build_shard(planned: PlannedShard, maker: RecordMaker, build: UnfinishedBuild) -> None:
    build.note(write_shard(build.folder, planned, map(maker, planned.images)))
