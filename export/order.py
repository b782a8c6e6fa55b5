"""What an export is to make, and whether it can be made; known without torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edge_runtime.errors import missing_package

FORMATS = ("tflite", "pte")
PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic", "int8-weight", "int4-weight")
USUAL_PRECISIONS = ("fp32", "int8")
"""What is made where nobody asks for others."""
CONVERTERS = {
    "tflite": ("torch", "litert-torch", "ai-edge-quantizer"),
    "pte": ("torch", "executorch", "torchao"),
}
"""Packages whose versions decide what a file of this format is."""
READERS = ("safetensors", "soundfile")
"""Packages that read checkpoints and recordings."""


OWN_RECIPE = "convert"
"""What stands in a bundle in a recipe's place where modules are the user's own."""


@dataclass(frozen=True)
class Order:
    """What an export is to make."""

    output: Path
    """The bundle's folder; one that is there is replaced when all went well."""
    formats: tuple[str, ...] = FORMATS
    precisions: tuple[str, ...] = USUAL_PRECISIONS
    allow_duplicates: bool = False
    """Pack files that hold a weight more than once, and state the bytes."""


def is_function(target: str) -> bool:
    """Return whether `tiedge export` is to call a function, not to read a folder."""
    return ":" in target and not Path(target).exists()


def check_packages(order: Order) -> None:
    """Raise SettingError where a package that the order needs is not installed."""
    converters = [p for format in order.formats for p in CONVERTERS[format]]
    for package in (*converters, *READERS):
        if find_spec(package.replace("-", "_")) is None:
            raise missing_package(package, "export")
