"""Facts of the machine that a measurement belongs to."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

BYTES_PER_KIB = 1024
BYTES_PER_GB = 10**9
KHZ_PER_MHZ = 1000
MILLIDEGREES_PER_DEGREE = 1000
NOT_MEASURED = "not measured"
CPU = Path("sys/devices/system/cpu/cpu0/cpufreq")


@dataclass(frozen=True)
class Device:
    """What this machine says about itself; None is what it does not say."""

    model: str | None
    """Board, like "Raspberry Pi 5 Model B", else the processor's name."""

    machine: str
    """Instruction set, like "aarch64"."""

    n_cores: int | None
    memory_bytes: int | None
    kernel: str | None
    governor: str | None
    """What steers the clock, like "performance"."""

    clock_mhz: float | None
    """Clock of the first core when read."""

    temperature_c: float | None

    def __str__(self) -> str:
        """Return one line; unknown facts say so.

        >>> print(Device("Pi", "aarch64", 4, 8 * 10**9, "6.6", None, None, None))
        Pi: aarch64, 4 cores, 8.0 GB, kernel 6.6, governor not measured, \
clock not measured, temperature not measured
        """
        memory = None if self.memory_bytes is None else self.memory_bytes / BYTES_PER_GB
        return (
            f"{self.model or 'device ' + NOT_MEASURED}: {self.machine},"
            f" {_or_not(self.n_cores, 'd')} cores, {_or_not(memory, '.1f', ' GB')},"
            f" kernel {self.kernel or NOT_MEASURED},"
            f" governor {self.governor or NOT_MEASURED},"
            f" clock {_or_not(self.clock_mhz, '.0f', ' MHz')},"
            f" temperature {_or_not(self.temperature_c, '.0f', ' °C')}"
        )


def read_device(root: Path = Path("/"), machine: str = platform.machine()) -> Device:
    """Return the facts that the files under `root` tell (`/proc` and `/sys`)."""
    cpu = _fields(root / "proc/cpuinfo")
    board = _text(root / "proc/device-tree/model")
    memory_kib = _number(_fields(root / "proc/meminfo").get("MemTotal"))
    clock_khz = _number(_text(root / CPU / "scaling_cur_freq"))
    clock_mhz = clock_khz / KHZ_PER_MHZ if clock_khz else _number(cpu.get("cpu MHz"))
    heat = _number(_text(root / "sys/class/thermal/thermal_zone0/temp"))
    return Device(
        model=board or cpu.get("Model") or cpu.get("model name"),
        machine=machine,
        n_cores=_n_cores(root / "proc/cpuinfo"),
        memory_bytes=None if memory_kib is None else int(memory_kib) * BYTES_PER_KIB,
        kernel=_text(root / "proc/sys/kernel/osrelease"),
        governor=_text(root / CPU / "scaling_governor"),
        clock_mhz=clock_mhz,
        temperature_c=None if heat is None else heat / MILLIDEGREES_PER_DEGREE,
    )


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that is free, or can be made so; None if nothing tells."""
    free_kib = _number(_fields(root / "proc/meminfo").get("MemAvailable"))
    return None if free_kib is None else int(free_kib) * BYTES_PER_KIB


def _text(path: Path) -> str | None:
    """Return the file's text without blanks and the device tree's end mark."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n") or None
    except OSError:
        return None


def _fields(path: Path) -> dict[str, str]:
    """Return the `name : value` lines of a /proc file; the last of a name counts."""
    pairs = (line.partition(":") for line in (_text(path) or "").splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _n_cores(cpuinfo: Path) -> int | None:
    lines = (_text(cpuinfo) or "").splitlines()
    return sum(line.startswith("processor") for line in lines) or None


def _number(text: str | None) -> float | None:
    """Return the text's first word as a number; None if it is none."""
    words = (text or "").split()
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None


def _or_not(value: float | None, form: str, unit: str = "") -> str:
    return NOT_MEASURED if value is None else f"{value:{form}}{unit}"
