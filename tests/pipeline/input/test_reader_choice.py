"""Which reader reads a split, and that the log says so."""

import logging

import pytest

from pipeline.dataset import data_order, make_dataset
from pipeline.input import reader
from pipeline.input.reader import choose_reader
from pipeline.input.stored_split import open_split

GIB = 1 << 30
IMAGE_BYTES = 10 * 32 * 32


@pytest.mark.parametrize(
    ("cache", "situation", "expected"),
    [
        ("ram", {"url": False, "free": 0, "all": GIB}, ("memory", "cache=ram asks for it")),
        ("ram", {"url": True, "free": 0, "all": GIB}, ("memory", "cache=ram asks for it")),
        ("none", {"url": False, "free": GIB, "all": GIB}, ("mapped", "local and fit")),
        ("none", {"url": False, "free": GIB, "all": 1000}, ("streamed", "larger than this machine's memory")),
        ("none", {"url": True, "free": GIB, "all": GIB}, ("streamed", "behind a URL")),
        ("auto", {"url": False, "free": GIB, "all": GIB}, ("memory", "1,024 MiB are free")),
        ("auto", {"url": False, "free": 2 * IMAGE_BYTES, "all": GIB}, ("memory", "0 MiB are free")),
        (
            "auto",
            {"url": False, "free": 2 * IMAGE_BYTES - 1, "all": GIB},
            ("mapped", "0 MiB are free; its shards"),
        ),
        ("auto", {"url": True, "free": 0, "all": GIB}, ("streamed", "0 MiB are free; its shards")),
    ],
)
def test_the_choice_is_logged_with_its_reason(choose, caplog, cache, situation, expected):
    name, reason = expected

    with caplog.at_level(logging.INFO):
        assert choose(cache, situation) == name

    (message,) = caplog.messages
    assert message.startswith(f"val is read by the {name} reader: ")
    assert reason in message


@pytest.mark.parametrize(
    ("order", "cache", "url", "expected"),
    [
        ("indexed", "auto", False, "memory"),
        ("indexed", "none", False, "mapped"),
        ("indexed", "none", True, "memory"),
        ("streamed", "auto", False, "streamed"),
        ("streamed", "ram", False, "streamed"),
        ("streamed", "ram", True, "streamed"),
    ],
)
def test_the_order_of_a_training_comes_before_the_cache(choose, order, cache, url, expected):
    assert choose(cache, {"url": url, "free": GIB, "all": GIB}, order) == expected


def test_the_order_depends_on_the_free_memory_behind_a_url(write_records, copy_to_url, monkeypatch):
    url = copy_to_url(write_records({"val": 10}))
    orders = []
    for free in (GIB, 0):
        monkeypatch.setattr(reader, "free_memory_bytes", lambda free=free: free)
        orders.append(data_order(url, "val", batch_size=4))

    assert orders == ["indexed", "streamed"]


@pytest.fixture
def choose(write_records, copy_to_url, monkeypatch):
    """Chooses the reader of local records, or of a copy behind a URL, given the bytes of memory."""

    def choose(cache, situation, order=None):
        records = write_records({"val": 10})
        stored = open_split(copy_to_url(records) if situation["url"] else records, "val", batch_size=4)
        monkeypatch.setattr(reader, "free_memory_bytes", lambda: situation["free"])
        monkeypatch.setattr(reader, "memory_bytes", lambda: situation["all"])
        return choose_reader(stored, cache, order)

    return choose


@pytest.mark.parametrize(
    ("arguments", "expected"), [({"cache": "ram"}, "memory"), ({"cache": "none"}, "mapped")]
)
def test_a_dataset_logs_its_reader(write_records, caplog, arguments, expected):
    with caplog.at_level(logging.INFO):
        make_dataset(write_records({"train": 8}), "train", batch_size=4, training=True, **arguments)

    assert f"train is read by the {expected} reader" in caplog.text
