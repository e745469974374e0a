import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from andon.core import worker as protocol
from andon.core.errors import Code, InvalidInput, Unavailable
from node.workers.client import IN_FLIGHT_MAX, WorkerClient, connect, error_of


class FakeWorker:
    """Answers Predict with the sum of each window, later requests first."""

    def __init__(self, *, hold: int = 1) -> None:
        self.hold = hold
        self.most_waiting = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held: list[protocol.Request] = []
        try:
            while True:
                prefix = await reader.readexactly(protocol.LENGTH_BYTES)
                data = await reader.readexactly(protocol.frame_length(prefix))
                request = protocol.decode_request(data)
                if isinstance(request.body, protocol.Unload):
                    writer.close()
                    return
                held.append(request)
                self.most_waiting = max(self.most_waiting, len(held))
                if len(held) >= self.hold:
                    for one in reversed(held):
                        writer.write(protocol.frame(protocol.Reply(one.number, self.answer(one))))
                    held.clear()
        except asyncio.IncompleteReadError:
            writer.close()

    def answer(self, request: protocol.Request) -> protocol.Outputs | protocol.Failed:
        body = request.body
        assert isinstance(body, protocol.Predict)
        if body.model_id == b"?":
            error = InvalidInput(Code.BAD_MODEL_INPUT, "wrong size", hint="pad it", element=3)
            return protocol.failed(error)
        return protocol.Outputs(tuple((sum(window),) for window in body.windows))


@asynccontextmanager
async def client_of(worker: FakeWorker, folder: Path) -> AsyncIterator[WorkerClient]:
    server = await asyncio.start_unix_server(worker.serve, folder / "s")
    client = await connect(folder / "s")
    async with server, asyncio.TaskGroup() as group:
        task = group.create_task(client.run())
        yield client
        task.cancel()


def predict(*window: int, model: bytes = b"m") -> protocol.Predict:
    return protocol.Predict(model_id=model, windows=(bytes(window),))


async def test_replies_find_their_requests_in_any_order(tmp_path: Path) -> None:
    async with client_of(FakeWorker(hold=3), tmp_path) as client:
        bodies = await asyncio.gather(*(client.ask(predict(n, 1), 2000) for n in range(3)))
        assert bodies == [protocol.Outputs(((n + 1,),)) for n in range(3)]


async def test_a_refusal_keeps_its_code_fields_and_hint(tmp_path: Path) -> None:
    async with client_of(FakeWorker(), tmp_path) as client:
        with pytest.raises(InvalidInput) as error:
            await client.ask(predict(1, model=b"?"), 2000)
        assert error.value.code is Code.BAD_MODEL_INPUT
        assert error.value.hint == "pad it"
        assert error.value.fields == {"element": "3"}


@pytest.mark.parametrize("code", [Code.CONFORMANCE_FAILED, Code.INTERNAL, Code.TOO_MANY])
def test_what_a_worker_says_of_itself_is_nobodys_fault(code: Code) -> None:
    assert isinstance(error_of(protocol.failed(Unavailable(code, "here"))), Unavailable)


async def test_a_worker_that_dies_fails_what_waits_and_what_comes(tmp_path: Path) -> None:
    async with client_of(FakeWorker(hold=99), tmp_path) as client:
        waiting = asyncio.gather(
            client.ask(predict(1), 5000), client.ask(predict(2), 5000), return_exceptions=True
        )
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await client.ask(protocol.Unload(b"m"), 5000)
        for error in await waiting:
            assert isinstance(error, Unavailable)
            assert error.code is Code.WORKER_DOWN
        with pytest.raises(Unavailable):
            await client.ask(predict(3), 5000)


async def test_a_silent_worker_is_not_waited_for_longer_than_told(tmp_path: Path) -> None:
    async with client_of(FakeWorker(hold=99), tmp_path) as client:
        with pytest.raises(Unavailable):
            await client.ask(predict(1), 50)


async def test_requests_in_flight_are_bounded(tmp_path: Path) -> None:
    worker = FakeWorker(hold=IN_FLIGHT_MAX)
    async with client_of(worker, tmp_path) as client:
        count = 2 * IN_FLIGHT_MAX
        await asyncio.gather(*(client.ask(predict(1), 5000) for _ in range(count)))
        assert worker.most_waiting == IN_FLIGHT_MAX
