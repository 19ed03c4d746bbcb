"""The client: images in, answers out, over gRPC or REST, for blocking and for asyncio callers."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from serving.client.answers import Explanation, Prediction
from serving.client.background import BackgroundLoop, ClientClosed
from serving.client.errors import ServerFailed, ServerUnavailable, ServerUnreachable
from serving.client.images import EncodedOrPath, ImageT, LoadedImage, batches
from serving.client.in_flight import RequestsInFlight
from serving.client.retry import with_retries
from serving.client.transport import ServedModel, Tls, Transport, TransportName
from serving.names import DEFAULT_ADDRESSES

AnswerT = TypeVar("AnswerT", bound=Prediction)
_AnsweredBatch = list[tuple[ImageT, AnswerT]]
_Requests = RequestsInFlight[list[LoadedImage[ImageT]], _AnsweredBatch[ImageT, AnswerT]]


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a client sends at the same time, and how long it waits for answers.

    Raises:
        ValueError: for a limit that lets nothing be sent.
    """

    batch_size: int = 32
    """Maximum number of images in a request."""
    batch_bytes: int = 16 << 20  # 16 MiB
    """Maximum number of bytes of images in a request. A larger image is sent in a request of its own."""
    in_flight: int = 4
    """Maximum number of requests that are sent and not answered yet."""
    deadline: float = 30.0
    """Seconds until each attempt of a request must be answered."""
    retries: int = 6
    """Maximum number of times that a request is sent again after the first attempt has failed."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "batch_bytes", "in_flight"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}")
        if not self.deadline > 0:
            raise ValueError(f"deadline must be above 0 s. Received: {self.deadline}")
        if self.retries < 0:
            raise ValueError(f"retries must be at least 0. Received: {self.retries}")


class Client:
    """Calls a server that serves the exported classifier.

    Images are JPEG, PNG, BMP or GIF files: their content as bytes, or their paths. An image that every server
    would refuse is not sent: its answer has `valid` false and the reason. All other images are sent in
    batches, several at the same time; only the batches that are being sent are in memory. If the server is
    overloaded or restarting, or the connection breaks, a batch is sent again after pauses that grow.

    All methods may be called from several threads. The client is also a context manager, for `with` and for
    `async with`, which closes it.

    Args:
        address: HOST:PORT of the server; for REST also a URL. None for this machine, at the usual port of the
            transport.
        transport: `grpc` (which needs TensorFlow, and loads it) or `rest`.
        model: the model's name, and its version or label.
        limits: how much is sent at the same time, and how long the client waits.
        tls: how connections are encrypted; None for connections that are not.

    Raises:
        ValueError: for another transport.
        UserError: if a file of `tls` cannot be used.

    Example:
        with Client("127.0.0.1:8501", "rest") as client:
            for prediction in client.predict(["a.jpeg", "b.png"]):
                print(prediction.label, prediction.probability)
    """

    def __init__(
        self,
        address: str | None = None,
        transport: TransportName = "grpc",
        *,
        model: ServedModel = ServedModel(),  # noqa: B008 (it cannot change)
        limits: Limits = Limits(),
        tls: Tls | None = None,
    ) -> None:
        self._limits = limits
        self._transport = open_transport(address, transport, model, tls)
        # Once a server was reached, it is tried again while it cannot be reached: it is restarting. A server
        # that was never reached is not tried again, so that a mistyped address is reported at once.
        self._was_reached = False
        self._background = BackgroundLoop()

    def predict(self, images: Iterable[EncodedOrPath]) -> list[Prediction]:
        """Returns one prediction for each image, in the order of the images.

        Raises:
            ClientClosed: if the client is closed.
            ServingError: if the server did not answer about all images. The answers that arrived are lost;
                `predict_each` returns them.
        """
        return [answer for _, answer in self.predict_each(images)]

    def explain(self, images: Iterable[EncodedOrPath]) -> list[Explanation]:
        """Returns one prediction with its heatmap and overlay for each image, in the order of the images.

        Raises:
            ClientClosed: if the client is closed.
            ServingError: if the server did not answer about all images.
        """
        return [answer for _, answer in self.explain_each(images)]

    def predict_each(self, images: Iterable[ImageT]) -> Iterator[tuple[ImageT, Prediction]]:
        """Yields each image with its prediction as soon as it is known, in the order of the images.

        There may be more images than fit into memory.

        Raises:
            ClientClosed: if the client is closed.
            ServingError: if the server has not answered a batch after all attempts. Answers about other
                batches that were sent before are yielded first; no further batch is sent.
        """
        return self._each(self._requests(images, Prediction))

    def explain_each(self, images: Iterable[ImageT]) -> Iterator[tuple[ImageT, Explanation]]:
        """Does what `predict_each` does, with heatmaps and overlays."""
        return self._each(self._requests(images, Explanation))

    async def predict_async(self, images: Iterable[EncodedOrPath]) -> list[Prediction]:
        """Does what `predict` does, without blocking the event loop."""
        return [answer async for _, answer in self.predict_each_async(images)]

    async def explain_async(self, images: Iterable[EncodedOrPath]) -> list[Explanation]:
        """Does what `explain` does, without blocking the event loop."""
        return [answer async for _, answer in self.explain_each_async(images)]

    def predict_each_async(self, images: Iterable[ImageT]) -> AsyncIterator[tuple[ImageT, Prediction]]:
        """Does what `predict_each` does, without blocking the event loop."""
        return self._each_async(self._requests(images, Prediction))

    def explain_each_async(self, images: Iterable[ImageT]) -> AsyncIterator[tuple[ImageT, Explanation]]:
        """Does what `explain_each` does, without blocking the event loop."""
        return self._each_async(self._requests(images, Explanation))

    def close(self) -> None:
        """Cancels the requests that are not answered yet, and closes the connections.

        What is called afterwards raises ClientClosed, except for `close`, which does nothing.
        """
        self._background.close(self._transport.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _requests(self, images: Iterable[ImageT], answer_type: type[AnswerT]) -> _Requests[ImageT, AnswerT]:
        self._background.check_open()
        return RequestsInFlight(
            batches(images, self._limits.batch_size, self._limits.batch_bytes),
            lambda batch: self._answer_batch(batch, answer_type),
            self._limits.in_flight,
        )

    def _each(self, requests: _Requests[ImageT, AnswerT]) -> Iterator[tuple[ImageT, AnswerT]]:
        try:
            while answered := self._background.run(requests.next()):
                yield from answered
        finally:
            with contextlib.suppress(ClientClosed):  # it has cancelled these requests itself
                self._background.run(requests.close())

    async def _each_async(
        self, requests: _Requests[ImageT, AnswerT]
    ) -> AsyncIterator[tuple[ImageT, AnswerT]]:
        try:
            while answered := await self._background.wait(requests.next()):
                for image_and_answer in answered:
                    yield image_and_answer
        finally:
            with contextlib.suppress(ClientClosed):
                await self._background.wait(requests.close())

    async def _answer_batch(
        self, batch: list[LoadedImage[ImageT]], answer_type: type[AnswerT]
    ) -> _AnsweredBatch[ImageT, AnswerT]:
        ready = [loaded.encoded for loaded in batch if not loaded.problem]
        answers = iter(await self._send(ready, answer_type) if ready else [])
        return [
            (loaded.image, answer_type.invalid(loaded.problem) if loaded.problem else next(answers))
            for loaded in batch
        ]

    async def _send(self, images: list[bytes], answer_type: type[AnswerT]) -> list[AnswerT]:
        async def attempt() -> list[AnswerT]:
            try:
                reply = await self._transport.call(answer_type.signature, images, self._limits.deadline)
            except ServerUnavailable:
                self._was_reached = True
                raise
            self._was_reached = True
            try:
                answers = answer_type.from_reply(reply)
            except (KeyError, TypeError, ValueError) as error:
                raise ServerFailed(
                    "the reply of the model does not have the outputs of "
                    f"{answer_type.signature!r}: {error!r}"
                ) from None
            if len(answers) != len(images):
                raise ServerFailed(
                    f"the reply of the model has answers about {len(answers)} images, "
                    f"but {len(images)} were sent"
                )
            return answers

        return await with_retries(attempt, self._limits.retries, self._is_temporary)

    def _is_temporary(self, error: Exception) -> bool:
        """Whether the same request may succeed later."""
        if isinstance(error, ServerUnreachable):
            return self._was_reached
        return isinstance(error, ServerUnavailable)


def open_transport(
    address: str | None, transport: TransportName, model: ServedModel, tls: Tls | None
) -> Transport:
    """Prepares connections to a server; the first call makes them. See `Client`."""
    if transport == "rest":
        from serving.client.rest_transport import RestTransport

        return RestTransport(address or DEFAULT_ADDRESSES["rest"], model, tls)
    if transport == "grpc":
        from serving.client.grpc_transport import GrpcTransport  # it loads TensorFlow

        return GrpcTransport(address or DEFAULT_ADDRESSES["grpc"], model, tls)
    raise ValueError(f"transport must be 'grpc' or 'rest'. Received: {transport!r}")
