"""A real HTTP server on localhost that answers as an OpenAI-compatible endpoint does, and badly where a test asks."""

from __future__ import annotations

import json
import socket
import struct
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSION = 8


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the next reply of the script, or answers it well where the script is at its end."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        script = self.server.script
        script.requests.append(Request(self.path, dict(self.headers), body))
        script.came.set()
        reply = script.replies.popleft() if script.replies else script.default
        reply(self, body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None, length: int = -1) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) if length < 0 else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    script: Script

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that have gone: some tests are about them."""


Reply = Callable[[Handler, dict[str, Any]], None]


class Script:
    """What the server is to do, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.replies: deque[Reply] = deque()
        self.came = threading.Event()
        self.released = threading.Event()

    def default(self, handler: Handler, body: dict[str, Any]) -> None:
        answer = chat(body) if handler.path.endswith("/chat/completions") else embeddings(body)
        handler.send(200, json.dumps(answer).encode())

    def then(self, *replies: Reply) -> Script:
        self.replies.extend(replies)
        return self

    def hang(self, handler: Handler, _body: dict[str, Any]) -> None:
        """Answer nothing until the test is over."""
        self.released.wait()
        handler.close_connection = True


def vector(text: str) -> list[float]:
    """Return the vector that the server gives a text."""
    return np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIMENSION).astype(np.float32).tolist()


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    data = [{"object": "embedding", "index": i, "embedding": vector(text)} for i, text in enumerate(body["input"])]
    return {"object": "list", "data": data, "model": body["model"]}


def chat(body: dict[str, Any]) -> dict[str, Any]:
    """Take every capitalised word for a person, and the first for one who knows the second."""
    words = [word.strip(".,?!") for word in body["messages"][-1]["content"].split()]
    people = list(dict.fromkeys(word for word in words if word[:1].isupper()))
    known = [{"source": people[0], "type": "KNOWS", "target": people[1]}] if len(people) > 1 else []
    return said({"entities": [{"name": name, "type": "Person"} for name in people], "relationships": known})


def said(content: Any, reason: str = "stop", **message: Any) -> dict[str, Any]:
    """Return a chat answer; what is no text is said as JSON."""
    text = content if isinstance(content, str | None) else json.dumps(content)
    return {"choices": [{"finish_reason": reason, "message": {"role": "assistant", "content": text, **message}}]}


def answer(value: Any) -> Reply:
    """Answer 200 with this JSON."""
    return lambda handler, _body: handler.send(200, json.dumps(value).encode())


def status(code: int, content: bytes = b"", **headers: str) -> Reply:
    """Answer with this status; underscores in the headers' names are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _body: handler.send(code, content, named)


def reset(handler: Handler, _body: dict[str, Any]) -> None:
    """Reset the connection instead of answering."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def cut_off(handler: Handler, _body: dict[str, Any]) -> None:
    """Close the connection in the middle of the answer."""
    handler.send(200, b'{"data": [', length=1_000)
    handler.close_connection = True


@contextmanager
def openai_server() -> Iterator[Script]:
    """Run the server in a thread; yield its script."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.script = Script(f"http://127.0.0.1:{server.server_port}/v1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.script
        finally:
            server.script.released.set()
            server.shutdown()
            thread.join()
