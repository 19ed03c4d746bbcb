"""A thousand files and servers with faults: each file is answered once, or the run says that it was not."""

import json
import random
import subprocess
import sys
import threading
from collections import Counter

import pytest

from serving.client import Client, Limits, ServerUnavailable, ServerUnreachable, ServingError

from .conftest import Server, encoded_image, probability_of

COUNT = 1000
LIMITS = Limits(batch_size=8, in_flight=4, retries=8, deadline=20)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, float]:
    """The probability that the server answers about each file, by its path."""
    folder = tmp_path_factory.mktemp("thousand")
    expected = {}
    for number in range(COUNT):
        path = folder / f"{number:04d}.png"
        image = encoded_image(number)
        path.write_bytes(image)
        expected[str(path)] = probability_of(image)
    return expected


def often(fault: str, seed: int = 0):
    """Says that a third of the requests, drawn at random, have this fault."""
    draw = random.Random(seed)
    struck = [draw.random() < 1 / 3 for _ in range(10 * COUNT)]
    return lambda number: fault if struck[number] else None


def assert_every_file_once(answers, files):
    assert [file for file, _ in answers] == list(files)
    assert [answer.probability for _, answer in answers] == pytest.approx(list(files.values()))


@pytest.mark.parametrize("fault", ["busy", "exhausted", "cancelled", "slow"])
def test_busy_and_slow(server, transport, files, fault):
    server.model.fault_of = often(fault)
    server.model.slowness = 0.05
    with Client(server.address(transport), transport, limits=LIMITS) as client:
        assert_every_file_once(list(client.predict_each(files)), files)
    if fault != "slow":
        assert len(server.model.requests) > COUNT // LIMITS.batch_size


def test_connections_are_reset_in_the_middle_of_answers(server, transport, files, resetting_proxy):
    draw = random.Random(1)
    proxy = resetting_proxy(server.ports[transport], lambda number: draw.randrange(100, 4000))
    with Client(f"127.0.0.1:{proxy.port}", transport, limits=LIMITS) as client:
        assert_every_file_once(list(client.predict_each(files)), files)
    assert proxy.resets > 5


def test_explanations_survive_resets_too(server, transport, files, resetting_proxy):
    draw = random.Random(2)
    proxy = resetting_proxy(server.ports[transport], lambda number: draw.randrange(10_000, 400_000))
    some = dict(list(files.items())[:100])
    with Client(f"127.0.0.1:{proxy.port}", transport, limits=LIMITS) as client:
        answers = list(client.explain_each(some))
    assert_every_file_once(answers, some)
    assert all(answer.overlay for _, answer in answers)
    assert proxy.resets > 2


def test_server_goes_away_for_good(server, transport, files, resetting_proxy):
    proxy = resetting_proxy(server.ports[transport], lambda number: 1 << 30)
    server.model.fault_of = lambda number: (
        threading.Thread(target=proxy.stop).start() if number == 40 else None
    )
    limits = Limits(batch_size=8, in_flight=4, retries=2)
    answers = []
    with (
        Client(f"127.0.0.1:{proxy.port}", transport, limits=limits) as client,
        pytest.raises((ServerUnreachable, ServerUnavailable), match=str(proxy.port)),
    ):
        answers.extend(client.predict_each(files))  # extend keeps the answers that came before the error
    counts = Counter(file for file, _ in answers)
    assert set(counts.values()) == {1}
    # At most 4 requests are in flight, so the first 36 were answered before the 40th arrived.
    assert set(list(files)[: 36 * 8]) <= set(counts)
    assert len(counts) < COUNT
    assert [answer.probability for _, answer in answers] == pytest.approx([files[file] for file in counts])
    assert len(server.model.requests) < 50


def test_server_goes_away_and_comes_back(transport, files):
    first = Server()
    gone = threading.Event()
    second: list[Server] = []

    def restart():
        first.stop()
        second.append(Server(first.ports))
        gone.set()

    first.model.fault_of = lambda number: threading.Thread(target=restart).start() if number == 40 else None
    with Client(first.address(transport), transport, limits=LIMITS) as client:
        answers = list(client.predict_each(files))
    assert gone.wait(10)
    second[0].stop()
    assert_every_file_once(answers, files)
    assert second[0].model.requests


def test_answers_that_are_in_flight_when_a_batch_fails_are_not_lost(server, transport, files):
    """The server refuses a batch while it still answers batches that were sent before and after it."""
    all_sent = threading.Barrier(6, timeout=10)

    def fault_of(number):
        all_sent.wait()
        return "refuse" if number == 2 else "slow"

    server.model.fault_of = fault_of
    limits = Limits(batch_size=1, in_flight=6)
    answers = []
    with Client(server.address(transport), transport, limits=limits) as client, pytest.raises(ServingError):
        answers.extend(client.predict_each(files))
    assert len(answers) == len(server.model.requests) - 1
    assert len(answers) == 5
    assert [answer.probability for _, answer in answers] == pytest.approx(
        [files[file] for file, _ in answers]
    )


def test_the_command_says_how_far_it_came(server, files):
    server.model.fault_of = lambda number: "fail" if number >= 20 else None
    done = _command(server, files)
    assert done.returncode == 2
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(done.stderr.splitlines()) == 1
    assert f"(answered: {len(answers)} of {COUNT} images)" in done.stderr
    assert len(answers) == 20 * 8


def test_the_command_answers_every_file_once(server, files):
    server.model.fault_of = often("busy")
    done = _command(server, files)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == list(files)
    assert [answer["probability"] for answer in answers] == pytest.approx(list(files.values()))


def _command(server, files):
    options = ["--transport", "rest", "--address", server.address("rest"), "--json", "--batch-size", "8"]
    command = [sys.executable, "-m", "serving.client", *options, *files]
    return subprocess.run(command, check=False, capture_output=True, text=True)
