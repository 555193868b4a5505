"""Serves pages on this machine alone, until it is stopped."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server

from seqvae.errors import UserError
from seqvae.play.page import Look, Page
from seqvae.play.scene import Scene

HOST = "127.0.0.1"
PORT = 5006


def serve(scene: Callable[[], Scene], look: Look, port: int | None = None) -> Server:
    """Start a server of pages, each with a scene of its own; it answers once its `io_loop` runs.

    It listens on 127.0.0.1, and takes commands only from pages that it served itself.

    scene: makes the scene of a page.
    port: port to listen on; None: 5006, or any free one if that is in use.

    Raises:
        UserError: the port is in use or may not be used.
    """

    def open_page(document: Document) -> None:
        Page(document, scene(), look)

    application = Application(FunctionHandler(open_page))
    try:
        server = _listen(application, PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            server = _listen(application, _free_port())
        else:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise UserError(f"port={port or PORT}: {reason}; choose another one, or leave it out") from None
    server.start()
    return server


def address(server: Server) -> str:
    """Return the address of the page."""
    return f"http://{HOST}:{server.port}/"


def _listen(application: Application, port: int) -> Server:
    origins = [f"{host}:{port}" for host in (HOST, "localhost")]
    return Server({"/": application}, address=HOST, port=port, allow_websocket_origin=origins)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
