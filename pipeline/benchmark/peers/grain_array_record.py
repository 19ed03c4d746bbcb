"""grain with ArrayRecord: reads raw records at random places, globally shuffled."""

import itertools

import numpy as np
from numpy.typing import NDArray

from pipeline.benchmark.peers.source import INPUT_GROUP, PeerInput
from pipeline.benchmark.result import Measurement
from pipeline.benchmark.timing import meter
from pipeline.input.host_resources import num_cores
from tfrecords_builder.records import deserialize

NAME = "grain + ArrayRecord, raw, global shuffle"


def on_records(source: PeerInput) -> list[Measurement]:
    """Reads the pixels of the raw records from one ArrayRecord file with one record per group."""
    import grain

    records = grain.sources.ArrayRecordDataSource(_write_array_record(source))

    def pixels(record: bytes) -> NDArray[np.uint8]:
        return np.frombuffer(record, np.uint8).reshape(source.side, source.side, 1)

    batches = grain.MapDataset.source(records).shuffle(seed=0).map(pixels).repeat().batch(source.batch_size)
    threads = grain.ReadOptions(num_threads=num_cores(), prefetch_buffer_size=64)
    iterator = iter(batches.to_iter_dataset(threads))

    def work() -> int:
        return sum(len(batch) for batch in itertools.islice(iterator, 4))

    return [Measurement(INPUT_GROUP, NAME, meter(work))]


def _write_array_record(source: PeerInput) -> str:
    import tensorflow as tf
    from array_record.python.array_record_module import ArrayRecordWriter

    path = str(source.scratch / "raw.array_record")
    # With one record per group, a record is read without its neighbors.
    writer = ArrayRecordWriter(path, "group_size:1,uncompressed")
    for record in tf.data.TFRecordDataset([str(shard) for shard in source.raw]).as_numpy_iterator():
        writer.write(deserialize(record).image)
    writer.close()
    return path
