"""NVIDIA DALI on the CPU: its TFRecord reader with raw records, and its decoder with image files."""

import importlib
import struct
from pathlib import Path
from typing import Any

from pipeline.benchmark.peers.source import INPUT_GROUP, PeerInput
from pipeline.benchmark.result import Measurement
from pipeline.benchmark.timing import Meter, meter
from pipeline.input.host_resources import num_cores

TFRECORDS = "DALI, TFRecords, raw, shuffled"
ORIGINALS = "DALI, original-size JPEG"
SHUFFLE_BUFFER_RECORDS = 1024  # DALI's default


def on_records(source: PeerInput) -> list[Measurement]:
    """Reads raw records."""
    return [Measurement(INPUT_GROUP, TFRECORDS, _meter(_tfrecords(source), source.batch_size))]


def on_files(source: PeerInput) -> list[Measurement]:
    """Reads JPEG files of original size."""
    return [Measurement(INPUT_GROUP, ORIGINALS, _meter(_originals(source), source.batch_size))]


def _meter(pipeline: Any, batch_size: int) -> Meter:
    pipeline.build()

    def work() -> int:
        pipeline.run()
        return batch_size

    return meter(work)


def _tfrecords(source: PeerInput) -> Any:
    dali: Any = importlib.import_module("nvidia.dali")
    fn = dali.fn
    tfrecord: Any = importlib.import_module("nvidia.dali.tfrecord")

    indices = [str(_write_index(shard, source.scratch)) for shard in source.raw]

    @dali.pipeline_def(
        batch_size=source.batch_size, num_threads=num_cores(), device_id=None, prefetch_queue_depth=2
    )
    def read() -> Any:
        features = fn.readers.tfrecord(
            path=[str(shard) for shard in source.raw],
            index_path=indices,
            features={
                "image": tfrecord.FixedLenFeature((), tfrecord.string, ""),
                "label": tfrecord.FixedLenFeature([1], tfrecord.int64, -1),
            },
            random_shuffle=True,
            initial_fill=SHUFFLE_BUFFER_RECORDS,
            name="reader",
        )
        images = fn.reshape(features["image"], shape=[source.side, source.side, 1])
        return images, fn.cast(features["label"], dtype=dali.types.FLOAT)

    return read()


def _originals(source: PeerInput) -> Any:
    dali: Any = importlib.import_module("nvidia.dali")
    fn = dali.fn

    @dali.pipeline_def(
        batch_size=source.batch_size, num_threads=num_cores(), device_id=None, prefetch_queue_depth=2
    )
    def read() -> Any:
        files, labels = fn.readers.file(file_root=source.originals, random_shuffle=True, name="reader")
        images = fn.decoders.image(files, device="cpu", output_type=dali.types.GRAY)
        return fn.resize(images, size=[source.side, source.side]), labels

    return read()


def _write_index(shard: Path, folder: Path) -> Path:
    """Writes offset and size of each record of a shard, as DALI's `tfrecord2idx` does; returns the file."""
    lines, at, size = [], 0, shard.stat().st_size
    with shard.open("rb") as file:
        while at < size:
            file.seek(at)
            record_bytes = 16 + struct.unpack("<Q", file.read(8))[0]  # its length and two checksums included
            lines.append(f"{at} {record_bytes}\n")
            at += record_bytes
    index = folder / f"{shard.name}.idx"
    index.write_text("".join(lines), encoding="ascii")
    return index
