"""A web server that records every request and answers as it is told.

As a program: `python -m tests.sinks.http --file received.jsonl [--port 0] [--status 500 …]` prints its port, gives the
statuses named and then answers 200.
"""

import argparse
import base64
import gzip
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.sinks.receipts import Receipts


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `trick` is one of: "", drip_headers, drip_body, endless, large, gzip, cut, chunked, silent, close."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"ok": true}'
    trick: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def _serve(self) -> None:
        sink = self.server.sink
        if sink.tired.is_set():
            while self.rfile.read(65536) and not sink.stopped.wait(timeout=0.05):
                pass
            return
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        sink.receipts.add(
            at=time.time(), method=self.command, path=self.path, headers=dict(self.headers.items()),
            body=body.decode("utf-8", "replace"), raw=base64.b64encode(body).decode(),
        )  # fmt: skip
        try:
            self._answer(sink.answer_to(self.path, dict(self.headers.items()), body), sink)
        except OSError:
            sink.cut += 1
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # names of the standard library

    def _answer(self, answer: Answer, sink: "HttpSink") -> None:
        match answer.trick:
            case "close":
                return
            case "silent":
                sink.stopped.wait(timeout=30)
            case "drip_headers":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                self._drip(b"X-Slow: yes\r\n", sink)
            case "drip_body":
                self._head(answer, {"Content-Length": "10000"})
                self._drip(b".", sink)
            case "large":
                self._head(answer, {"Content-Length": str(64 * 1024 * 1024)})
                for _ in range(1024):
                    self.wfile.write(b"x" * 65536)
            case "endless":
                self._head(answer, {"Transfer-Encoding": "chunked"})
                while not sink.stopped.is_set():
                    self.wfile.write(b"1;" + b"x" * 60_000 + b"\r\n.\r\n")
            case "chunked":
                self._head(answer, {"Transfer-Encoding": "chunked"})
                self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(answer.body), answer.body))
            case "cut":
                self._head(answer, {"Content-Length": str(len(answer.body) + 100)})
                self.wfile.write(answer.body)
            case "gzip":
                packed = gzip.compress(b"0" * 10_000_000)
                self._head(answer, {"Content-Encoding": "gzip", "Content-Length": str(len(packed))})
                self.wfile.write(packed)
            case _:
                self._head(answer, {"Content-Length": str(len(answer.body))})
                self.wfile.write(answer.body)

    def _head(self, answer: Answer, more: Mapping[str, str]) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **more, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _drip(self, piece: bytes, sink: "HttpSink") -> None:
        for _ in range(600):
            self.wfile.write(piece)
            self.wfile.flush()
            if sink.stopped.wait(timeout=0.05):
                return

    def log_message(self, *_: Any) -> None:
        """The receipts are the log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # Many connect at once; one that finds no place is a second late.
    request_queue_size = 128
    sink: "HttpSink"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.sink.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that callers cut are no errors."""


class HttpSink:
    """`with HttpSink(path) as sink:`; `sink.script(Answer(500), Answer(200))` sets the next answers."""

    def __init__(self, path: Path, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.receipts = Receipts(path)
        self.stopped = threading.Event()
        # A tired server reads the body of a request in sips, which keeps the sender busy.
        self.tired = threading.Event()
        self.connections = 0
        self.cut = 0
        self._answers: deque[Answer] = deque()
        # What is answered when nothing is scripted.
        self.usual = Answer()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.sink = self
        if tls is not None:
            # Each handshake runs in the thread of its connection, so a silent caller holds up nobody.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def script(self, *answers: Answer) -> None:
        self._answers.extend(answers)

    def unscript(self) -> None:
        """Forget what was scripted: from now on it answers as it is."""
        self._answers.clear()

    def next_answer(self) -> Answer:
        return self._answers.popleft() if self._answers else self.usual

    def answer_to(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What one request is answered; servers that speak some provider's language write their own."""
        return self.next_answer()

    def requests(self) -> list[dict[str, Any]]:
        return self.receipts.all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self.receipts.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--status", type=int, action="append", default=[], help="next answers, in order")
    options = parser.parse_args()
    with HttpSink(options.file, port=options.port) as sink:
        sink.script(*(Answer(status) for status in options.status))
        print(sink.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
