"""A signal in the middle of an export leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SLOW = """
import sys, torch
from pathlib import Path
from torch import nn
from export.convert import Entry, convert

def own():
    return Entry(nn.Linear(4, 4), (torch.randn(1, 4),))

def say(line):
    print(line, flush=True)
    sys.stdin.readline()

if __name__ == "__main__":
    convert(own(), Path(sys.argv[1]), formats=["pte"], precisions=["fp32"], say=say)
"""


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)],
)
def test_a_signal_ends_ones_own_export_in_order(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """Between two steps the process ends as it would have; no folder is left."""
    (tmp_path / "own.py").write_text(SLOW, encoding="utf-8")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    made = tmp_path / "made" / "tiny"
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "own.py"), str(made)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(temporary),
            # PyTorch makes its own on the first export, and leaves it.
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "torch"),
        },
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        first = process.stdout.readline()
        process.send_signal(number)
        process.stdin.write("go on\n")
        process.stdin.close()
        process.wait()

    assert "tiny.fp32.pte: converting\n" == first
    assert status == process.returncode
    assert not made.parent.exists()
    assert [] == list(temporary.iterdir())
