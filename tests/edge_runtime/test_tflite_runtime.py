"""tflite-runtime in an environment of its own, where numpy is below 2."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.engines import tflite_runtime
from tests.tiny_models import TinyBundle

ENVIRONMENT = os.environ.get("TIEDGE_TFLITE_RUNTIME_PYTHON", "")
ROOT = Path(tflite_runtime.__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from edge_runtime.bundle import Bundle
from edge_runtime.engines import installed_engines, open_engine
folder, given, made = map(Path, sys.argv[1:])
assert installed_engines() == ["tflite-runtime"], installed_engines()
model = Bundle.open(folder).model("tflite", "fp32")
inputs = dict(np.load(given))
with open_engine("tflite-runtime", model, 2) as engine:
    first = {s.name: engine.run(s.name, inputs)["restored"] for s in model.signatures}
    again = engine.run("depth_1", inputs | {"picture": inputs["picture"] * 0})
np.savez(made, **first)
print(engine.name, engine.version, engine.threads)
"""


@pytest.mark.skipif(
    not ENVIRONMENT,
    reason="TIEDGE_TFLITE_RUNTIME_PYTHON names no Python that has tflite-runtime",
)
def test_equals_torch(tiny_picture: TinyBundle, tmp_path: Path) -> None:
    """Every entry point computes what torch does, and results stay as they are."""
    given, made = tmp_path / "given.npz", tmp_path / "made.npz"
    np.savez(given, **tiny_picture.inputs["depth_1"])
    done = subprocess.run(
        [
            ENVIRONMENT,
            "-c",
            PROGRAM,
            *map(str, (tiny_picture.bundle.folder, given, made)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert (0, "tflite-runtime 2.14.0 2\n") == (done.returncode, done.stdout), (
        done.stderr
    )
    for name, restored in np.load(made).items():
        expected = tiny_picture.outputs[name]["restored"]
        np.testing.assert_allclose(expected, restored, atol=1e-5)
