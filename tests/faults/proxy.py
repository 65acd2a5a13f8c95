"""A proxy in front of PostgreSQL that cuts a connection around its n-th COMMIT."""

import selectors
import socket
import threading
from typing import Literal, Self

COMMIT = b"COMMIT\x00"
Cut = Literal["before", "after"]


class CommitProxy:
    """`proxy.cut("before", 3)`: the third COMMIT from now never arrives; with "after" its answer never does."""

    def __init__(self, *, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._how: Cut | None = None
        self._left = 0
        self.commits = 0
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self, how: Cut, nth: int) -> None:
        self._how, self._left = how, nth

    def calm(self) -> None:
        self._how = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ)
            ready.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if not self._pass_on(key.fileobj, client, server):
                        return

    def _pass_on(self, source: object, client: socket.socket, server: socket.socket) -> bool:
        try:
            data = (client if source is client else server).recv(65536)
            if not data:
                return False
            if source is server:
                client.sendall(data)
                return True
            how = self._due(data)
            if how == "before":
                return False
            server.sendall(data)
            # The answer means that the server has committed; nobody else hears it.
            return how is None or not server.recv(65536)
        except OSError:
            return False

    def _due(self, data: bytes) -> Cut | None:
        if COMMIT not in data:
            return None
        with self._lock:
            self.commits += 1
            if self._how is None:
                return None
            self._left -= 1
            return self._how if self._left == 0 else None
