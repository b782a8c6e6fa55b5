"""Facts of the machine, read from a folder that looks like a Raspberry Pi's."""

from pathlib import Path

from edge_runtime.device import Device, read_device

PI_FILES = {
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd\n\nprocessor\t: 1\n"
    "Features\t: fp asimd\n\nRevision\t: c04170\nModel\t\t: Raspberry Pi 5\n",
    "proc/meminfo": "MemTotal:        8245600 kB\nMemFree:          100 kB\n",
    "proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-2712\n",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
    "sys/class/thermal/thermal_zone0/temp": "51450\n",
}


def write_root(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_board_is_read(tmp_path: Path) -> None:
    """A Pi names its board, memory, kernel, governor, clock and heat."""
    device = read_device(write_root(tmp_path, PI_FILES), "aarch64")

    expected = Device(
        model="Raspberry Pi 5 Model B Rev 1.0",
        machine="aarch64",
        n_cores=2,
        memory_bytes=8245600 * 1024,
        kernel="6.6.31+rpt-rpi-2712",
        governor="ondemand",
        clock_mhz=2400.0,
        temperature_c=51.45,
    )
    assert expected == device


def test_line_names_every_condition(tmp_path: Path) -> None:
    """The printed line holds what a reader needs to repeat a measurement."""
    device = read_device(write_root(tmp_path, PI_FILES), "aarch64")

    expected = (
        "Raspberry Pi 5 Model B Rev 1.0: aarch64, 2 cores, 8.4 GB,"
        " kernel 6.6.31+rpt-rpi-2712, governor ondemand, clock 2400 MHz,"
        " temperature 51 °C"
    )
    assert expected == str(device)


def test_nothing_is_made_up(tmp_path: Path) -> None:
    """Where the system tells nothing, the line says "not measured", never 0."""
    device = read_device(tmp_path, "x86_64")

    expected = Device(None, "x86_64", None, None, None, None, None, None)
    line = (
        "device not measured: x86_64, not measured cores, not measured, kernel not"
        " measured, governor not measured, clock not measured, temperature not measured"
    )
    assert expected == device
    assert line == str(device)


def test_desktop_processor_stands_for_the_board(tmp_path: Path) -> None:
    """Without a device tree the processor's name and clock serve."""
    cpuinfo = "processor : 0\nmodel name : AMD EPYC\ncpu MHz : 2596.1\n"
    device = read_device(write_root(tmp_path, {"proc/cpuinfo": cpuinfo}), "x86_64")

    assert ("AMD EPYC", 2596.1, 1) == (device.model, device.clock_mhz, device.n_cores)


def test_this_machine_has_cores_and_memory() -> None:
    """On the machine that runs this test the real files are understood."""
    device = read_device()

    assert device.n_cores is not None and device.n_cores >= 1
    assert device.memory_bytes is not None and device.memory_bytes > 10**8
