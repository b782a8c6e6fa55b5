import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import tiedge
from demo_app.commands.serve import bound_socket, run
from edge_runtime.errors import SettingError, missing_package
from edge_runtime.options import usable_cores

ROOT = Path(__file__).parents[2]
STOP_S = 20


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[str]:
    """Run `tiedge serve` as a process until the block ends; yields its first line."""
    with subprocess.Popen(
        [sys.executable, "-m", "tiedge", "serve", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
            process.send_signal(signal.SIGINT)
            assert 0 == process.wait(STOP_S)
        finally:
            process.kill()


def test_serves_and_stops(bundles: tuple[Path, ...]) -> None:
    """It prints its address, serves the named bundle there, and ends at Ctrl-C."""
    with serving("--port", "0", "--bundle", str(bundles[0])) as line:
        address = line.removeprefix("tiedge demo: ")
        names = [
            bundle["name"]
            for bundle in httpx.get(f"{address}/facts", timeout=30).json()["bundles"]
        ]

    assert address.startswith("http://127.0.0.1:")
    assert "blur" in names


def test_port_comes_from_the_environment() -> None:
    """PORT chooses the port where --port does not."""
    with bound_socket("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]

    with serving(PORT=str(port)) as line:
        assert 200 == httpx.get(f"http://127.0.0.1:{port}/health").status_code
        assert f"tiedge demo: http://127.0.0.1:{port}" == line


def test_busy_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken is one line with the way out, and status 1."""
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        status = tiedge.main(["serve", "--port", str(port)])

    assert 1 == status
    assert (
        f"tiedge serve: 127.0.0.1:{port}: cannot be listened at: Address already in"
        " use; choose another with --port or PORT=\n"
    ) == capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--port", "70000"],
            "argument --port: found 70000, expected 0 to 65535, the ports there are;"
            " see tiedge serve --help",
        ),
        (
            ["--threads", "0"],
            f"argument --threads: found 0, expected 1 to {usable_cores()}, the cores of"
            " this machine; see tiedge serve --help",
        ),
        (
            ["--bundle", ""],
            "argument --bundle: is empty, expected a path; see tiedge serve --help",
        ),
        (
            ["--port", "http"],
            "argument --port: found 'http', expected a number; see tiedge serve --help",
        ),
        (
            ["--port", "0", "--host", "a..b"],
            "a..b: no name of a machine, expected parts of 1 to 63 characters between"
            " dots; see --host",
        ),
        (
            ["--port", "0", "--host", "a" * 100],
            f"{'a' * 80}: no name of a machine, expected parts of 1 to 63 characters"
            " between dots; see --host",
        ),
    ],
)
def test_wrong_option(arguments: list[str], expected: str) -> None:
    """A wrong option is named before anything is opened."""
    with pytest.raises(SettingError) as caught:
        run(arguments)

    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("http", "found 'http', expected a number"),
        ("", "found '', expected a number"),
        ("99999", "found 99999, expected 0 to 65535, the ports there are"),
    ],
)
def test_wrong_port_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, port: str, expected: str
) -> None:
    """A wrong PORT is blamed on PORT."""
    monkeypatch.setenv("PORT", port)

    with pytest.raises(SettingError) as caught:
        run([])

    assert f"PORT: {expected}; or choose with --port" == str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "*"])
def test_address_can_be_opened(host: str) -> None:
    """Where all addresses are listened at, one is printed that a browser can open."""
    with serving("--port", "0", "--host", host) as line:
        address = line.removeprefix("tiedge demo: ")
        assert 200 == httpx.get(f"{address}/health").status_code

    assert address.startswith("http://127.0.0.1:")


def test_unknown_address() -> None:
    """A host that is no address of this machine is named."""
    with pytest.raises(
        SettingError, match=r"^192\.0\.2\.1:8000: cannot be listened at"
    ):
        bound_socket("192.0.2.1", 8000)


def test_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the demo extra, one line says how to get it."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    status = tiedge.main(["serve", "--port", "0"])

    assert 1 == status
    assert (
        f"tiedge serve: {missing_package('uvicorn', 'demo')}\n"
        == capsys.readouterr().err
    )


def test_broken_bundle_is_refused_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is no bundle is one line and status 1; nothing is served."""
    status = tiedge.main(["serve", "--port", "0", "--bundle", str(tmp_path)])

    assert 1 == status
    assert (
        f"tiedge serve: {tmp_path}: holds no bundle.json, expected a bundle\n"
    ) == capsys.readouterr().err
