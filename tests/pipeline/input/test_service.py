from collections import Counter

import pytest
import tensorflow as tf

from pipeline.input.service import from_service
from tests.pipeline.input.contents import stored_images


@pytest.fixture
def service():
    """The address of a dispatcher with two workers on loopback."""
    experimental = tf.data.experimental.service
    dispatcher = experimental.DispatchServer(experimental.DispatcherConfig(port=0))
    address = dispatcher.target.partition("://")[2]
    workers = [
        experimental.WorkerServer(
            experimental.WorkerConfig(dispatcher_address=address, heartbeat_interval_ms=100)
        )
        for _ in range(2)
    ]
    yield dispatcher.target
    for worker in workers:
        worker._stop()
    dispatcher._stop()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_an_epoch_from_other_hosts_holds_every_record_exactly_once(
    service, write_records, training, encoding
):
    records = write_records({"train": 41}, shards=6, encoding=encoding)
    stored = stored_images(records)

    for epoch in range(2):
        batches = from_service(service, records, "train", batch_size=4, training=training, epoch=epoch)

        assert Counter(image.tobytes() for images, _ in batches for image in images.numpy()) == stored


def test_two_hosts_of_one_job_share_an_epoch(service, write_records):
    records = write_records({"train": 41}, shards=6)
    stored = stored_images(records)
    hosts = [
        iter(from_service(service, records, "train", batch_size=4, training=True, job_name="epoch 0"))
        for _ in range(2)
    ]
    seen: Counter = Counter()

    while hosts:
        for host in list(hosts):
            if (batch := next(host, None)) is None:
                hosts.remove(host)
            else:
                seen.update(image.tobytes() for image in batch[0].numpy())

    assert seen == stored
