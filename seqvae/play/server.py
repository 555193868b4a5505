"""Serves pages on this machine alone, until it is stopped."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import dataclass
from socket import socket

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from seqvae.errors import UserError
from seqvae.play.page import Look, html, message, obey
from seqvae.play.scene import Scene

HOST = "127.0.0.1"
PORT = 5006


@dataclass(frozen=True)
class Server:
    """A server of pages that listens; it answers while its `io_loop` runs.

    address: of the page
    """

    address: str
    io_loop: IOLoop
    http: HTTPServer

    def stop(self) -> None:
        """Listen no more."""
        self.http.stop()


def serve(scene: Callable[[], Scene], look: Look, port: int | None = None) -> Server:
    """Start a server of pages, each with a scene of its own.

    It listens on 127.0.0.1, and takes commands only from pages that it served itself.

    scene: makes the scene of a page.
    port: port to listen on; None: 5006, or any free one if that is in use.

    Raises:
        UserError: the port is in use or may not be used.
    """
    try:
        sockets = _bind(PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            sockets = _bind(0)
        else:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise UserError(f"port={port or PORT}: {reason}; choose another one, or leave it out") from None
    number = sockets[0].getsockname()[1]
    origins = {f"http://{host}:{number}" for host in (HOST, "localhost")}
    routes = [
        ("/", PageHandler, {"page": html(scene(), look)}),
        ("/scene", Session, {"scene": scene, "origins": origins}),
    ]
    http = HTTPServer(Application(routes))
    http.add_sockets(sockets)
    return Server(f"http://{HOST}:{number}/", IOLoop.current(), http)


class PageHandler(RequestHandler):
    def initialize(self, page: bytes) -> None:
        self.page = page

    def get(self) -> None:
        self.finish(self.page)


class Session(WebSocketHandler):
    """The session of one open page: answers each of its commands in turn."""

    def initialize(self, scene: Callable[[], Scene], origins: set[str]) -> None:
        self.begin, self.origins = scene, origins

    def check_origin(self, origin: str) -> bool:
        return origin in self.origins

    def open(self) -> None:
        self.set_nodelay(True)  # else an answer may wait 40 ms for the browser's acknowledgement
        self.scene = self.begin()
        self.write_message(message(self.scene), binary=True)

    def on_message(self, words: str | bytes) -> None:
        self.write_message(obey(self.scene, json.loads(words)), binary=True)


def _bind(port: int) -> list[socket]:
    return bind_sockets(port, address=HOST)
