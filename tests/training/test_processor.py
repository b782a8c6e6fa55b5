"""What this machine's processor computes with."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.processor import has_bf16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", False),
        ("Features\t: fp asimd atomics bf16 i8mm\n", True),
        ("Features\t: fp asimd evtstrm crc32 cpuid\n", False),
        ("model name : of a kind that lists nothing\n", True),
    ],
)
def test_bf16_is_read_off_the_flags(text: str, expected: bool, tmp_path: Path) -> None:
    """As Linux lists them on x86-64 (Ice Lake, Sapphire Rapids) and ARM (A72, V1)."""
    file = tmp_path / "cpuinfo"
    file.write_text(text)

    assert expected == has_bf16(file)


def test_a_system_without_that_file_is_not_warned_of(tmp_path: Path) -> None:
    """There is nothing to judge by."""
    assert has_bf16(tmp_path / "nothing")
