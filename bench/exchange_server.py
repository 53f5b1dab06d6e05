"""What the exchange engines are measured against: echoes over TCP and WebSocket, and two bytes over HTTP (1.1 and 2).

`python -m bench.exchange_server` prints its ports as a line of JSON and serves until it is ended.
"""

from __future__ import annotations

import contextlib
import json
import socket
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from trio_websocket import ConnectionClosed, serve_websocket


async def echo(stream: trio.SocketStream) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(65_536):
            await stream.send_all(data)


async def echo_messages(request: Any) -> None:
    connection = await request.accept()
    with contextlib.suppress(ConnectionClosed):
        while True:
            await connection.send_message(await connection.get_message())


async def answer(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            await send({"type": (await receive())["type"] + ".complete"})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    web = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    config.keep_alive_max_requests = 10_000_000  # it would break off the streams that are open then
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
        messages = await nursery.start(serve_websocket, echo_messages, "127.0.0.1", 0, None)
        await nursery.start(partial(hypercorn_serve, answer, config, shutdown_trigger=trio.sleep_forever))
        tcp = listeners[0].socket.getsockname()[1]
        print(json.dumps({"tcp": tcp, "ws": messages.port, "web": web}), flush=True)


if __name__ == "__main__":
    trio.run(main)
