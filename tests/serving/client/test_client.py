"""The client against a real server, over gRPC and REST."""

import asyncio
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from serving.client import (
    Client,
    ClientClosed,
    DeadlineExceeded,
    Limits,
    ModelNotFound,
    RequestRefused,
    ServedModel,
    ServerFailed,
    ServerUnavailable,
    ServerUnreachable,
)

from .conftest import encoded_image, heatmap_of, overlay_of, probability_of


@pytest.fixture
def client(server, transport):
    with Client(server.address(transport), transport) as connected:
        yield connected


def test_predicts_every_image_in_order(client, images):
    predictions = client.predict(images)
    assert [p.probability for p in predictions] == pytest.approx([probability_of(i) for i in images])
    assert {p.label for p in predictions} == {"NORMAL", "PNEUMONIA"}
    assert all(p.valid and not p.reason for p in predictions)


def test_explains_with_heatmap_and_overlay(client, images):
    for image, explanation in zip(images, client.explain(images), strict=True):
        assert explanation.heatmap.dtype == np.float32
        np.testing.assert_array_equal(explanation.heatmap, heatmap_of(image))
        assert explanation.overlay == overlay_of(image)
        assert cv2.imdecode(np.frombuffer(explanation.overlay, np.uint8), 0) is not None
        assert explanation.probability == pytest.approx(probability_of(image))


def test_takes_paths(client, images, tmp_path):
    path = tmp_path / "xray.png"
    path.write_bytes(images[0])
    from_path, from_text, from_bytes = client.predict([path, str(path), images[0]])
    assert from_path == from_text == from_bytes


def test_without_images_nothing_is_sent(client, server):
    assert client.predict([]) == []
    assert client.explain([]) == []
    assert server.model.requests == []


def test_splits_into_batches(server, transport, images):
    with Client(server.address(transport), transport, limits=Limits(batch_size=4)) as client:
        assert len(client.predict(images)) == len(images)
    assert sorted(count for _, _, count in server.model.requests) == [2, 4, 4]


def test_splits_by_bytes(server, transport):
    large = [encoded_image(seed, side=64, suffix=".bmp") for seed in range(4)]  # 5 KB each
    with Client(server.address(transport), transport, limits=Limits(batch_bytes=11_000)) as client:
        assert len(client.predict(large)) == len(large)
    assert [count for _, _, count in server.model.requests] == [2, 2]


def test_heatmaps_beyond_the_default_message_limit_of_grpc(server, transport):
    many = [encoded_image(seed) for seed in range(2000)]  # 2000 * 24 * 24 * 4 bytes = 4.6 MB
    limits = Limits(batch_size=len(many))
    with Client(server.address(transport), transport, limits=limits) as client:
        assert len(client.explain(many)) == len(many)
    assert len(server.model.requests) == 1


def test_an_image_that_cannot_be_sent_does_not_affect_the_others(client, server, images, tmp_path):
    asked = [images[0], b"no image", str(tmp_path / "absent.png"), b"", images[1], str(tmp_path)]
    answers = client.predict(asked)
    assert [a.valid for a in answers] == [True, False, False, False, True, False]
    assert "8 bytes that start with b'no image'" in answers[1].reason
    assert "No such file" in answers[2].reason
    assert "0 bytes" in answers[3].reason
    assert "directory" in answers[5].reason
    assert {(a.label, a.probability) for a in answers if not a.valid} == {("INVALID", -1.0)}
    assert answers[4].probability == pytest.approx(probability_of(images[1]))
    assert server.model.requests == [("serving_default", "", 2)]


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_an_image_beyond_the_limit_of_pixels_is_not_sent(client, server, side):
    header = bytearray(encoded_image(1, suffix=".bmp"))
    header[18:26] = side.to_bytes(4, "little") * 2
    (answer,) = client.predict([bytes(header)])
    assert "more than the limit of 67108864" in answer.reason or "more pixels than the limit" in answer.reason
    assert server.model.requests == []


def test_an_image_that_the_server_cannot_decode_does_not_affect_the_others(client, images, broken_image):
    good, bad = client.explain([images[0], broken_image])
    assert (bad.valid, bad.label, bad.probability, bad.overlay) == (False, "INVALID", -1.0, b"")
    assert "cannot decode" in bad.reason
    assert good.valid
    assert good.overlay


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (ServedModel(), ""),
        (ServedModel(version=2), "version:2"),
        (ServedModel(label="stable"), "label:stable"),
    ],
)
def test_a_version_or_a_label_is_asked_for(server, transport, images, model, expected):
    with Client(server.address(transport), transport, model=model) as client:
        client.predict(images)
    assert server.model.requests == [("serving_default", expected, len(images))]


@pytest.mark.parametrize(
    "model", [ServedModel("absent"), ServedModel(version=9), ServedModel(label="canary")], ids=str
)
def test_model_that_is_not_served(server, transport, images, model):
    with (
        Client(server.address(transport), transport, model=model) as client,
        pytest.raises(ModelNotFound, match=f"does not serve {model}"),
    ):
        client.predict(images)
    assert len(server.model.requests) == 1


def test_no_server(unused_address, transport, images):
    with (
        Client(unused_address, transport) as client,
        pytest.raises(ServerUnreachable, match=f"no server at {unused_address}"),
    ):
        client.predict(images)


@pytest.mark.parametrize("fault", ["busy", "exhausted"])
def test_tries_again_when_the_server_is_busy(client, server, images, fault):
    server.model.fault_of = lambda number: fault if number < 2 else None
    assert [p.probability for p in client.predict(images)] == pytest.approx(
        [probability_of(i) for i in images]
    )
    assert len(server.model.requests) == 3


def test_the_number_of_attempts_is_limited(server, transport, images):
    server.model.fault_of = lambda number: "busy"
    with (
        Client(server.address(transport), transport, limits=Limits(retries=2)) as client,
        pytest.raises(ServerUnavailable, match="no capacity"),
    ):
        client.predict(images)
    assert len(server.model.requests) == 3


@pytest.mark.parametrize(("fault", "error"), [("refuse", RequestRefused), ("fail", ServerFailed)])
def test_a_request_that_would_fail_again_is_not_repeated(client, server, images, fault, error):
    server.model.fault_of = lambda number: fault
    with pytest.raises(error) as raised:
        client.predict(images)
    assert len(server.model.requests) == 1
    assert "\n" not in str(raised.value)


def test_deadline(server, transport, images):
    server.model.fault_of = lambda number: "slow"
    server.model.slowness = 1.0
    with (
        Client(server.address(transport), transport, limits=Limits(deadline=0.2)) as client,
        pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"),
    ):
        client.predict(images)


def test_asyncio(server, transport, images):
    server.model.fault_of = lambda number: "slow"

    async def ask():
        async with Client(server.address(transport), transport) as client:
            predictions, explanations = await asyncio.gather(
                client.predict_async(images), client.explain_async(images)
            )
            each = [pair async for pair in client.explain_each_async(images)]
        return predictions, explanations, each

    predictions, explanations, each = asyncio.run(ask())
    expected = pytest.approx([probability_of(image) for image in images])
    assert [p.probability for p in predictions] == expected
    assert [e.probability for e in explanations] == expected
    assert [image for image, _ in each] == images
    assert server.model.max_at_the_same_time == 2


def test_asyncio_cancelled(server, transport, images):
    server.model.fault_of = lambda number: "slow"

    async def ask():
        async with Client(server.address(transport), transport) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.predict_async(images), 0.05)
            server.model.fault_of = lambda number: None
            return await client.predict_async(images)

    assert len(asyncio.run(ask())) == len(images)


def test_no_more_requests_in_flight_than_asked_for(server, transport, images):
    server.model.fault_of = lambda number: "slow"
    with Client(server.address(transport), transport, limits=Limits(batch_size=1, in_flight=3)) as client:
        client.predict(images)
    assert server.model.max_at_the_same_time == 3


def test_reads_no_further_than_what_is_in_flight(client, server):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield encoded_image(taken)

    answers = client.predict_each(endless())
    for _ in range(100):
        next(answers)
    answers.close()
    limits = Limits()
    assert taken <= 100 + (limits.in_flight + 2) * limits.batch_size


def test_threads_share_a_client(client, images):
    expected = pytest.approx([probability_of(image) for image in images])
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(client.predict(images))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[p.probability for p in predictions] for predictions in answers] == [expected] * len(threads)


def test_an_error_of_the_callers_iterable_reaches_the_caller(client, images):
    def failing():
        yield images[0]
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        client.predict(failing())


def test_close_twice(server, transport):
    client = Client(server.address(transport), transport)
    client.close()
    client.close()


def test_closing_an_iterator_after_the_client_does_nothing(server, transport, images):
    client = Client(server.address(transport), transport, limits=Limits(batch_size=1))
    answers = client.predict_each(images)
    next(answers)
    client.close()
    answers.close()


@pytest.mark.parametrize("method", ["predict", "predict_each", "explain", "explain_each"])
def test_a_closed_client_says_so(server, transport, images, method):
    client = Client(server.address(transport), transport, limits=Limits(batch_size=1))
    begun, not_begun = client.predict_each(images), client.predict_each(images)
    next(begun)
    client.close()
    for iterator in (begun, not_begun):
        with pytest.raises(ClientClosed, match="this client is closed"):
            next(iterator)
    with pytest.raises(ClientClosed, match="this client is closed"):
        getattr(client, method)(images)


def test_a_closed_client_says_so_in_asyncio(server, transport, images):
    async def ask() -> None:
        async with Client(server.address(transport), transport, limits=Limits(batch_size=1)) as client:
            begun, abandoned = client.predict_each_async(images), client.predict_each_async(images)
            await anext(begun)
            await anext(abandoned)
        with pytest.raises(ClientClosed, match="this client is closed"):
            await anext(begun)
        await abandoned.aclose()
        with pytest.raises(ClientClosed, match="this client is closed"):
            await client.explain_async(images)

    asyncio.run(ask())


def test_who_waits_while_the_client_is_closed_is_told_so(server, transport, images):
    server.model.fault_of = lambda number: "slow"
    client = Client(server.address(transport), transport)
    closing = threading.Timer(0.1, client.close)
    closing.start()
    with pytest.raises(ClientClosed, match="this client is closed"):
        client.predict(images)
    closing.join()


def test_who_awaits_while_the_client_is_closed_is_told_so(server, transport, images):
    server.model.fault_of = lambda number: "slow"

    async def ask() -> None:
        client = Client(server.address(transport), transport)
        waiting = asyncio.create_task(client.predict_async(images))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(client.close)
        with pytest.raises(ClientClosed, match="this client is closed"):
            await waiting

    asyncio.run(ask())


@pytest.mark.parametrize(
    "limits", [{"batch_size": 0}, {"batch_bytes": 0}, {"in_flight": 0}, {"deadline": 0}, {"retries": -1}]
)
def test_impossible_limits(limits):
    with pytest.raises(
        ValueError, match=f"{next(iter(limits))} must be .* Received: {next(iter(limits.values()))}"
    ):
        Limits(**limits)


def test_unknown_transport():
    with pytest.raises(ValueError, match="Received: 'http'"):
        Client(transport="http")


def test_version_and_label_exclude_each_other():
    with pytest.raises(ValueError, match="not both"):
        ServedModel(version=1, label="stable")


def test_rest_needs_no_tensorflow(server, images, tmp_path):
    path = tmp_path / "xray.png"
    path.write_bytes(images[0])
    code = (
        "import sys; from serving.client import Client\n"
        f"with Client({server.address('rest')!r}, 'rest') as client: print(client.predict([{str(path)!r}]))\n"
        "assert 'tensorflow' not in sys.modules and 'tensorflow_serving' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "valid=True" in done.stdout


def test_it_can_be_used_and_closed_where_an_event_loop_runs(server, images):
    """As in a cell of a notebook, whose thread runs a loop."""

    async def cell() -> int:
        with Client(server.address("rest"), "rest") as opened:
            return len(opened.predict(images))

    assert asyncio.run(cell()) == len(images)
