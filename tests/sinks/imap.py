"""A mailbox on loopback that speaks as much IMAP as reading unseen mail takes, and remembers what was seen."""

import re
import socketserver
import threading
from typing import Any, Self


class _Session(socketserver.StreamRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        self._say(b"* OK ready")
        while line := self.rfile.readline():
            tag, _, rest = line.decode().strip().partition(" ")
            if not self._answer(tag.encode(), rest):
                return

    def _answer(self, tag: bytes, rest: str) -> bool:
        box, word = self.server.box, rest.upper()
        if word.startswith("CAPABILITY"):
            self._say(b"* CAPABILITY IMAP4rev1")
        elif word.startswith("LOGIN") and box.password not in rest:
            self._say(tag + b" NO wrong password")
            return True
        elif word.startswith("UID SEARCH"):
            self._say(b"* SEARCH " + b" ".join(str(n).encode() for n in sorted(set(box.mails) - box.seen)))
        elif word.startswith("UID FETCH"):
            number = int(rest.split()[2])
            raw = box.mails[number]
            self._say(f"* 1 FETCH (UID {number} BODY[]<0> {{{len(raw)}}}".encode())
            self._say(raw + b")")
        elif word.startswith("UID STORE"):
            box.seen.add(int(rest.split()[2]))
        elif word.startswith("LOGOUT"):
            self._say(b"* BYE")
        self._say(tag + b" OK done")
        return not word.startswith("LOGOUT")

    def _say(self, text: bytes) -> None:
        self.wfile.write(text + b"\r\n")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    box: "ImapBox"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that tests cut are no errors."""


class ImapBox:
    """`with ImapBox() as box:`; put mails in by `box.put(text)`."""

    def __init__(self, *, password: str = "secret") -> None:
        self.password = password
        self.mails: dict[int, bytes] = {}
        self.seen: set[int] = set()
        self._server = _Server(("127.0.0.1", 0), _Session)
        self._server.box = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"imap://bounces:secret@127.0.0.1:{self._server.server_address[1]}/INBOX"

    def put(self, text: str) -> None:
        self.mails[len(self.mails) + 1] = re.sub(r"\r?\n", "\r\n", text.strip() + "\n").encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
