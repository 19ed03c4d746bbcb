"""The client: images in, answers out, over gRPC or REST, for blocking and for asyncio callers."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from serving.client.answers import Explanation, Prediction
from serving.client.background import BackgroundLoop
from serving.client.errors import ServerFailed, ServerUnavailable, ServerUnreachable
from serving.client.images import EncodedOrPath, ImageT, LoadedImage, batches
from serving.client.in_flight import InFlight
from serving.client.retry import retrying
from serving.client.transport import DEFAULT_ADDRESSES, ServedModel, Tls, Transport, TransportName

AnswerT = TypeVar("AnswerT", bound=Prediction)
_Answered = list[tuple[ImageT, AnswerT]]


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a client sends at a time, and how long it waits."""

    batch_size: int = 32
    """Most images in a request."""
    batch_bytes: int = 16 << 20  # 16 MiB
    """Most bytes of images in a request, unless one image alone has more."""
    in_flight: int = 4
    """Most requests at a time."""
    deadline: float = 30.0
    """For each try of a request, in seconds."""
    retries: int = 6
    """Most tries of a request after the first."""

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

    Images are encoded JPEG, PNG, BMP or GIF files: their bytes, or paths. What no server would decode is not
    sent: its answer has `valid` false and the reason. The rest goes in batches, several at a time, and no
    more of them are in memory than are on their way. A batch that meets a server which is overloaded,
    restarting, or has reset the connection is sent again, after growing pauses. All methods may be called
    from several threads.

    Args:
        address: HOST:PORT; for REST also a URL. None for the transport's usual port on this machine.
        transport: `grpc` (which imports TensorFlow) or `rest`.
        model: name, and version or label.
        limits: of batches, time and tries.
        tls: None for unencrypted connections.

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
        self._was_reached = False
        self._background = BackgroundLoop()

    def predict(self, images: Iterable[EncodedOrPath]) -> list[Prediction]:
        """One prediction per image, in their order.

        Raises:
            ServingError: if the server did not answer; then there are no answers at all. See `predict_each`.
        """
        return [answer for _, answer in self.predict_each(images)]

    def explain(self, images: Iterable[EncodedOrPath]) -> list[Explanation]:
        """One prediction with heatmap and overlay per image, in their order; raises as `predict`."""
        return [answer for _, answer in self.explain_each(images)]

    def predict_each(self, images: Iterable[ImageT]) -> Iterator[tuple[ImageT, Prediction]]:
        """Every image with its prediction, in their order, as they come; for more images than fit in memory.

        Raises:
            ServingError: once the server has failed to answer a batch in spite of retries. No further batch
                is sent, and what was on its way, and answered, comes before the error.
        """
        return self._each(images, Prediction)

    def explain_each(self, images: Iterable[ImageT]) -> Iterator[tuple[ImageT, Explanation]]:
        """As `predict_each`, with heatmaps and overlays."""
        return self._each(images, Explanation)

    async def predict_async(self, images: Iterable[EncodedOrPath]) -> list[Prediction]:
        """As `predict`, without blocking the event loop."""
        return [answer async for _, answer in self.predict_each_async(images)]

    async def explain_async(self, images: Iterable[EncodedOrPath]) -> list[Explanation]:
        """As `explain`, without blocking the event loop."""
        return [answer async for _, answer in self.explain_each_async(images)]

    def predict_each_async(self, images: Iterable[ImageT]) -> AsyncIterator[tuple[ImageT, Prediction]]:
        """As `predict_each`, without blocking the event loop."""
        return self._each_async(images, Prediction)

    def explain_each_async(self, images: Iterable[ImageT]) -> AsyncIterator[tuple[ImageT, Explanation]]:
        """As `explain_each`, without blocking the event loop."""
        return self._each_async(images, Explanation)

    def close(self) -> None:
        """Gives up what is on its way, and closes the connections."""
        if not self._background.closed:
            self._background.run(self._transport.close())
            self._background.close()

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

    def _each(self, images: Iterable[ImageT], answer: type[AnswerT]) -> Iterator[tuple[ImageT, AnswerT]]:
        in_flight = self._send(images, answer)
        try:
            while answered := self._background.run(in_flight.next()):
                yield from answered
        finally:
            self._background.run(in_flight.close())

    async def _each_async(
        self, images: Iterable[ImageT], answer: type[AnswerT]
    ) -> AsyncIterator[tuple[ImageT, AnswerT]]:
        in_flight = self._send(images, answer)
        try:
            while answered := await self._background.wait(in_flight.next()):
                for pair in answered:
                    yield pair
        finally:
            await self._background.wait(in_flight.close())

    def _send(
        self, images: Iterable[ImageT], answer: type[AnswerT]
    ) -> InFlight[list[LoadedImage[ImageT]], _Answered[ImageT, AnswerT]]:
        return InFlight(
            batches(images, self._limits.batch_size, self._limits.batch_bytes),
            lambda batch: self._answer(batch, answer),
            self._limits.in_flight,
        )

    async def _answer(
        self, batch: list[LoadedImage[ImageT]], answer: type[AnswerT]
    ) -> _Answered[ImageT, AnswerT]:
        sent = [loaded.encoded for loaded in batch if not loaded.problem]
        answers = iter(await self._request(sent, answer) if sent else [])
        return [
            (loaded.image, answer.invalid(loaded.problem) if loaded.problem else next(answers))
            for loaded in batch
        ]

    async def _request(self, images: list[bytes], answer: type[AnswerT]) -> list[AnswerT]:
        async def attempt() -> list[AnswerT]:
            try:
                outputs = await self._transport.call(answer.signature, images, self._limits.deadline)
            except ServerUnavailable:
                self._was_reached = True
                raise
            self._was_reached = True
            try:
                answers = answer.from_outputs(outputs)
            except (KeyError, TypeError, ValueError) as error:
                raise ServerFailed(
                    f"the model's answer is not that of {answer.signature!r}: {error!r}"
                ) from None
            if len(answers) != len(images):
                raise ServerFailed(f"the server answered {len(answers)} images of {len(images)}")
            return answers

        return await retrying(attempt, self._limits.retries, self._is_temporary)

    def _is_temporary(self, error: Exception) -> bool:
        """A server that cannot be reached is restarting if it was there before; else the address is wrong."""
        if isinstance(error, ServerUnreachable):
            return self._was_reached
        return isinstance(error, ServerUnavailable)


def open_transport(
    address: str | None, transport: TransportName, model: ServedModel, tls: Tls | None
) -> Transport:
    """Prepares connections; the first call makes them."""
    if transport == "rest":
        from serving.client.rest_transport import RestTransport

        return RestTransport(address or DEFAULT_ADDRESSES["rest"], model, tls)
    if transport == "grpc":
        from serving.client.grpc_transport import GrpcTransport  # imports all of TensorFlow

        return GrpcTransport(address or DEFAULT_ADDRESSES["grpc"], model, tls)
    raise ValueError(f"transport must be 'grpc' or 'rest'. Received: {transport!r}")
