from collections import Counter

import pytest

from pipeline.dataset import make_dataset, steps_per_epoch
from pipeline.input.hosts import host_share
from tests.pipeline.input.contents import images_of, stored_images
from tfrecords_builder import manifest


@pytest.mark.parametrize("reader", ["memory", "mapped", "streamed"])
@pytest.mark.parametrize(("count", "hosts"), [(41, 2), (43, 3), (29, 4), (15, 2)])
def test_hosts_share_every_record_exactly_once_in_equally_many_batches(write_records, reader, count, hosts):
    records = write_records({"train": count}, shards=5)
    seen, numbers = Counter(), set()

    for index in range(hosts):
        dataset = make_dataset(
            records, "train", batch_size=7, training=True, reader=reader, host=(index, hosts)
        )
        sizes = [len(labels) for _, labels in dataset]
        seen.update(images_of(dataset))
        numbers.add(len(sizes))
        assert all(size == 7 for size in sizes[:-1])
        assert 1 <= sizes[-1] <= 8

    assert seen == stored_images(records)
    assert numbers == {steps_per_epoch(manifest.load(records), "train", 7, (0, hosts))}


def test_a_host_opens_only_the_shards_of_its_range(write_records):
    content = manifest.load(write_records({"train": 40}, shards=4))

    first, second = (host_share(content, "train", 8, (index, 2)) for index in range(2))

    assert [part.shard for part in first.parts + second.parts] == [
        shard.name for shard in content.splits["train"].shards
    ]
