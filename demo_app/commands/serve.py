"""`tiedge serve`: the demo page on this machine."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demo_app.settings import Settings, ready_made
from edge_runtime.bundle import BUNDLES
from edge_runtime.errors import SettingError
from edge_runtime.options import Parser, add_threads_option, bounded

if TYPE_CHECKING:
    import uvicorn

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
HIGHEST_PORT = 65535


def run(arguments: Sequence[str]) -> int:
    """Serve the page until it is interrupted; raises TiedgeError."""
    options = _parse(arguments, os.environ)
    with bound_socket(options.host, options.port) as listener:
        port = listener.getsockname()[1]
        server = make_server(
            Settings(
                port=port,
                allowed_hosts=tuple(options.allow_host),
                bundles=ready_made(BUNDLES) + tuple(options.bundle),
                threads=options.threads,
            )
        )
        print(
            f"tiedge demo: {_address(options.host, port)}\nCtrl-C ends it", flush=True
        )
        # The server raises it again once it has shut down.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    return 0


def make_server(settings: Settings) -> uvicorn.Server:
    """Return the server of the application.

    Raises TiedgeError for a bundle that breaks its contract, ModuleNotFoundError if the
    demo extra is not installed.
    """
    import uvicorn
    import websockets  # noqa: F401 (uvicorn would miss it at the first connection)

    from demo_app.app import create_app

    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            ws="websockets-sansio",
            ws_max_size=settings.max_message_bytes,
            log_level="warning",
            access_log=False,
            # Nobody in front of us may claim another client or scheme.
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )


def _parse(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> argparse.Namespace:
    parser = Parser(prog="tiedge serve", description=__doc__)
    parser.add_argument(
        "--port",
        type=bounded(int, 0, HIGHEST_PORT, "the ports there are"),
        default=environment.get("PORT", DEFAULT_PORT),
        help="0 takes a free one; default $PORT, else 8000",
    )
    parser.add_argument(
        "--host", default=DEFAULT_HOST, help="address to listen at; default 127.0.0.1"
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a further name that browsers may use for this server",
    )
    parser.add_argument(
        "--bundle",
        metavar="FOLDER",
        type=Path,
        action="append",
        default=[],
        help="a bundle to serve beside the ready-made ones",
    )
    add_threads_option(parser)
    return parser.parse_args(arguments)


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that holds the address; raises SettingError if it is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingError(
            f"{host}: no address of this machine ({error.strerror}); see --host"
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise SettingError(
            f"{host}:{port}: cannot be listened at: {error.strerror}; choose another"
            " with --port or PORT="
        ) from error
    return listener


def _address(host: str, port: int) -> str:
    if host in {"0.0.0.0", "::"}:
        host = DEFAULT_HOST
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
