"""`tiedge serve`: the demo page on this machine."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from demo_app.engine_cache import EngineCache, open_bundles
from demo_app.settings import Settings, ready_made
from edge_runtime.bundle import BUNDLES
from edge_runtime.errors import SettingError
from edge_runtime.options import Parser, add_threads_option, bounded, path

if TYPE_CHECKING:
    import uvicorn

    from demo_app.workers import Workers

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
HIGHEST_PORT = 65535
GRACE_S = 2
"""Seconds that running requests are given when the server ends."""

SERVER_LOG = "uvicorn.error"
"""The log that uvicorn writes everything to but its accesses."""


def run(arguments: Sequence[str]) -> int:
    """Serve the page until it is interrupted; raises TiedgeError."""
    options = _parse(arguments, os.environ)
    with bound_socket(options.host, options.port) as listener:
        port = listener.getsockname()[1]
        settings = Settings(
            port=port,
            allowed_hosts=tuple(options.allow_host),
            bundles=ready_made(BUNDLES) + tuple(options.bundle),
            threads=options.threads,
        )
        with open_cache(settings) as cache:
            server, workers = make_server(settings, cache)
            print(
                f"tiedge demo: {_address(options.host, listener)}\nCtrl-C ends it",
                flush=True,
            )
            status = _run_until_ended(server, listener)
            if workers.are_busy:
                _leave_at_once(status)
    return status


def open_cache(settings: Settings) -> EngineCache:
    """Return the cache of a server's engines; raises TiedgeError for a bad bundle."""
    bundles = open_bundles(settings.bundles)
    return EngineCache(bundles, settings.threads, settings.max_engines)


def make_server(
    settings: Settings, cache: EngineCache
) -> tuple[uvicorn.Server, Workers]:
    """Return the server of the application, and the threads that compute for it.

    Raises ModuleNotFoundError if the demo extra is not installed.
    """
    import uvicorn
    import websockets  # noqa: F401 (uvicorn would miss it at the first connection)

    from demo_app.app import create_app
    from demo_app.workers import Workers

    workers = Workers(settings.max_computations, settings.max_waiting)
    config = uvicorn.Config(
        create_app(settings, cache, workers),
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=settings.max_message_bytes,
        log_level="warning",
        access_log=False,
        # Nobody in front of us may claim another client or scheme.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    logging.getLogger(SERVER_LOG).addFilter(_shorten_client_fault)
    return uvicorn.Server(config), workers


def _shorten_client_fault(record: logging.LogRecord) -> bool:
    """Take the traceback off a message that was no UTF-8: the client's fault."""
    if record.exc_info and record.funcName == "send_receive_event_to_app":
        record.exc_info = None
    return True


def _run_until_ended(server: uvicorn.Server, listener: socket.socket) -> int:
    """Return the exit status: 0 after Ctrl-C, that of the signal after another one."""
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # raised again once the server has shut down
        return 0
    except SystemExit as ended:  # likewise
        return int(ended.code or 0)
    return 0


def _leave_at_once(status: int) -> NoReturn:
    """End the process though a thread computes, which nothing could interrupt.

    Python would wait for the thread, and freeing its engine would crash it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _parse(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> argparse.Namespace:
    read_port = bounded(int, 0, HIGHEST_PORT, "the ports there are")
    parser = Parser(prog="tiedge serve", description=__doc__)
    parser.add_argument(
        "--port",
        type=read_port,
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
        type=path,
        action="append",
        default=[],
        help="a bundle to serve beside the ready-made ones",
    )
    add_threads_option(parser)
    options = parser.parse_args(arguments)
    if options.port is None:
        try:
            options.port = read_port(environment.get("PORT", str(DEFAULT_PORT)))
        except argparse.ArgumentTypeError as error:
            raise SettingError(f"PORT: {error}; or choose with --port") from error
    return options


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
    except UnicodeError as error:
        raise SettingError(
            f"{host[:80]}: no name of a machine, expected parts of 1 to 63 characters"
            " between dots; see --host"
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


def _address(host: str, listener: socket.socket) -> str:
    """Return what a browser on this machine reaches the listener at."""
    bound, port = listener.getsockname()[:2]
    if ipaddress.ip_address(bound).is_unspecified:
        host = DEFAULT_HOST
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
