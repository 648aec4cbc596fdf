"""Put a link before a server, which a test can mute or cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Link:
    """Forwards between a port of its own and a server, until `close`.

    Args:
        port: Port of the server on 127.0.0.1.
        listen: The link's own port; 0 for any that is free.
    """

    def __init__(self, port: int, *, listen: int = 0) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", listen))
        self.port: int = self._listener.getsockname()[1]
        self._answering = threading.Event()
        self._answering.set()
        self._lost: list[threading.Event] = []
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def mute(self) -> None:
        """Hold back the server's answers from now on."""
        self._answering.clear()

    def unmute(self) -> None:
        """Let the answers through that were held back, and later ones."""
        self._answering.set()

    def lose(self) -> None:
        """Hold back all answers on the connections that there are, as a lost server does; new ones get theirs."""
        self._answering.clear()
        self._lost.append(self._answering)
        self._answering = threading.Event()
        self._answering.set()

    def cut(self) -> None:
        """Break all connections; new ones can be made, and get answers."""
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for gate in [self._answering, *self._lost]:
            gate.set()

    def close(self) -> None:
        """Break all connections and take no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):  # the end of the listener
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._ends += [client, server]
                for source, target, gate in ((client, server, None), (server, client, self._answering)):
                    thread = threading.Thread(target=_forward, args=(source, target, gate), daemon=True)
                    self._threads.append(thread)
                    thread.start()


def _forward(source: socket.socket, target: socket.socket, gate: threading.Event | None) -> None:
    with source, suppress(OSError):
        while data := source.recv(65536):
            if gate is not None:
                gate.wait()
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
