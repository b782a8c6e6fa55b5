"""Which of a bundle's model files an engine and a precision name."""

from __future__ import annotations

from edge_runtime.bundle import Bundle, ModelFile
from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import SettingError


def choose_model(bundle: Bundle, engine: str, precision: str) -> ModelFile:
    """Return the file that `engine` runs at `precision`.

    Raises SettingError for an unknown engine, and naming what the bundle offers
    where there is no such file.
    """
    if engine not in FORMAT_OF_ENGINE:
        raise SettingError(
            f"engine: found {engine}, expected one of {' '.join(FORMAT_OF_ENGINE)}"
        )
    format = FORMAT_OF_ENGINE[engine]
    offered = {
        model.precision: model for model in bundle.models if model.format == format
    }
    if not offered:
        raise SettingError(
            f"engine: found {engine}, {bundle.name} has no .{format} file to run on it"
        )
    if precision not in offered:
        raise SettingError(
            f"precision: found {precision}, {bundle.name} offers"
            f" {' '.join(offered)} on {engine}"
        )
    return offered[precision]
