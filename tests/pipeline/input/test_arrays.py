import pytest

from pipeline.input.arrays import load_arrays, load_origins
from tfrecords_builder.errors import UserError


def test_origins_come_in_the_order_of_the_arrays(records):
    origins = load_origins(records, "test")
    labels = load_arrays(records, "test")[1]

    assert len(origins) == len(labels)
    assert [origin["subtype"] == "virus" for origin in origins] == list(labels == 1)


@pytest.mark.parametrize("load", [load_arrays, load_origins])
def test_a_split_that_is_missing_is_the_users_mistake(write_records, load):
    with pytest.raises(UserError, match="no 'test' records"):
        load(write_records({"train": 2}), "test")


def test_arrays_behind_a_url_are_those_of_the_local_records(write_records, copy_to_url):
    records = write_records({"train": 10})
    url = copy_to_url(records)

    for behind_url, local in zip(load_arrays(url, "train"), load_arrays(records, "train"), strict=True):
        assert (behind_url == local).all()
    assert load_origins(url, "train") == load_origins(records, "train")
