"""A mail server that records what it accepted and misbehaves on demand.

As a program: `python -m tests.sinks.smtp --file received.jsonl [--port 0] [--behavior accept]` prints its port.
"""

import argparse
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from tests.sinks.receipts import Receipts

# What happens to a message: answers that mean no, and ways to lose the answer.
BEHAVIORS = (
    "accept", "drop_after_dot", "hang_after_dot", "drop_in_data", "greeting_421", "greylist", "reject_data",
    "drop_at_quit", "refuse_auth", "reject_sender", "close_421", "babble", "vanish", "careless",
)  # fmt: skip


class _Session(socketserver.StreamRequestHandler):
    """One connection, command by command."""

    server: "_Server"
    recipients: list[str]
    sender = ""

    def handle(self) -> None:
        sink = self.server.sink
        sink.connections += 1
        self.recipients = []
        if sink.behavior == "greeting_421":
            self._say("421 closing, come back later")
            return
        self._say("220 sink ready")
        while line := self.rfile.readline():
            if not self._obey(line.decode("utf-8", "replace").strip()):
                return

    def _obey(self, line: str) -> bool:
        verb = line.split(" ", 1)[0].upper()
        actions: dict[str, Callable[[str], bool]] = {
            "EHLO": self._hello, "HELO": self._hello, "MAIL": self._mail, "RCPT": self._recipient, "DATA": self._data,
            "QUIT": self._quit, "RSET": self._reset, "AUTH": self._auth,
        }  # fmt: skip
        action = actions.get(verb)
        if action is None:
            self._say("502 unknown command")
            return True
        return action(line)

    def _hello(self, _: str) -> bool:
        more = "250-PIPELINING\r\n" if self.server.sink.pipelining else ""
        self._say(f"250-sink\r\n{more}250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n250 SMTPUTF8")
        return True

    def _auth(self, _: str) -> bool:
        self._say("535 wrong password" if self.server.sink.behavior == "refuse_auth" else "235 welcome")
        return True

    def _mail(self, line: str) -> bool:
        if self.server.sink.behavior == "reject_sender":
            self._say("550-not from you here,\r\n550 nor from anybody else")
            return True
        if self.server.sink.behavior == "close_421":
            self._say("421 closing, come back later")
            return False
        self.sender, self.recipients = _address(line), []
        self._say("250 ok")
        return True

    def _recipient(self, line: str) -> bool:
        address = _address(line)
        sink = self.server.sink
        if sink.behavior == "greylist":
            self._say("451 greylisted, try again later")
        elif address in sink.unknown:
            self._say(sink.no_mailbox)
        else:
            self.recipients.append(address)
            self._say("250 ok")
        return True

    def _data(self, _: str) -> bool:
        sink = self.server.sink
        if not self.recipients and sink.behavior != "careless":
            self._say("554 no valid recipients")
            return True
        self._say("354 go on")
        if sink.behavior == "drop_in_data":
            self.rfile.readline()
            return False
        raw = self._text()
        if raw is None:
            return False
        if sink.behavior == "reject_data":
            self._say("554 not wanted here")
            return True
        sink.accept(self.sender, self.recipients, raw)
        if sink.behavior == "drop_after_dot":
            return False
        if sink.behavior == "hang_after_dot":
            sink.released.wait(timeout=30)
        if sink.behavior == "vanish":
            # It is there for one message more, and then for nobody until it is told otherwise.
            sink.behavior = "greeting_421"
            self._say("250 queued")
            return False
        self._say("what was that?" if sink.behavior == "babble" else "250 queued")
        return True

    def _text(self) -> bytes | None:
        """The text up to the final dot; None when the sender is gone before it."""
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return None
            lines.append(line[1:] if line.startswith(b"..") else line)
        return b"".join(lines)

    def _reset(self, _: str) -> bool:
        self.recipients = []
        self._say("250 ok")
        return True

    def _quit(self, _: str) -> bool:
        if self.server.sink.behavior != "drop_at_quit":
            self._say("221 bye")
        return False

    def _say(self, text: str) -> None:
        try:
            self.wfile.write(text.encode() + b"\r\n")
        except OSError:
            self.server.sink.lost_answers += 1


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    sink: "SmtpSink"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that tests cut are no errors."""


class SmtpSink:
    """`with SmtpSink(path) as sink:` and `sink.messages()` afterwards; `behavior` may change at any time."""

    def __init__(self, path: Path, *, behavior: str = "accept", port: int = 0, host: str = "127.0.0.1") -> None:
        self.receipts = Receipts(path)
        self.behavior = behavior
        self.unknown: set[str] = set()
        self.no_mailbox = "550 no such user here"
        # Whether it says that several commands may come at once; they may in any case.
        self.pipelining = True
        self.connections = 0
        self.lost_answers = 0
        self.released = threading.Event()
        self._server = _Server((host, port), _Session)
        self._server.sink = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def accept(self, sender: str, recipients: list[str], raw: bytes) -> None:
        text = raw.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
        self.receipts.add(at=time.time(), sender=sender, recipients=recipients, raw=text)

    def messages(self) -> list[EmailMessage]:
        """Everything accepted so far, parsed."""
        return [message_from_bytes(receipt["raw"].encode(), policy=policy.default) for receipt in self.receipts.all()]

    def recipients(self) -> list[str]:
        return [address for receipt in self.receipts.all() for address in receipt["recipients"]]

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self.receipts.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """A port nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--behavior", choices=BEHAVIORS, default="accept")
    options = parser.parse_args()
    with SmtpSink(options.file, behavior=options.behavior, port=options.port) as sink:
        print(sink.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
