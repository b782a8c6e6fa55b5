"""What `tiedge inspect` finds out about a file without a bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edge_runtime.bundle import ModelFile
from edge_runtime.device import NOT_MEASURED
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines
from edge_runtime.errors import TiedgeError
from edge_runtime.file_cost import EntryPoints, FileCost, measure_file, size_text
from export.sharing_report import stored_line
from export.survey import Survey


@dataclass(frozen=True)
class Outside:
    """Operators that no delegate takes."""

    operators: Mapping[str, Mapping[str, int]] | None
    """Entry point to operator to how often; None where it was not measured."""
    reason: str
    """Why it was not measured; else empty."""


@dataclass(frozen=True)
class Cost:
    """What a file costs in RAM."""

    engine: str | None
    cost: FileCost
    reason: str
    """Why something was not measured; else empty."""


NOT_ASKED = Cost(None, FileCost(None, None), "measured with --measure")


def find_outside(path: Path, survey: Survey) -> Outside:
    """Return which operators run outside of a delegate, as the file or LiteRT says."""
    if survey.file.outside is not None:
        return Outside(survey.file.outside, "")
    if find_spec("ai_edge_litert") is None:
        return Outside(None, "ai-edge-litert is not installed")
    # Late: the schema comes with ai-edge-litert.
    from export.partition import outside_delegate

    try:
        return Outside(outside_delegate(path), "")
    except TiedgeError as error:
        return Outside(None, str(error))


def find_cost(path: Path, model_format: str, entry_points: EntryPoints) -> Cost:
    """Return what a file costs on the first installed engine that runs its format."""
    engines = [e for e in installed_engines() if FORMAT_OF_ENGINE[e] == model_format]
    if not engines:
        return Cost(None, FileCost(None, None), f"no engine runs .{model_format} here")
    try:
        cost = measure_file(path, model_format, engines[0], entry_points)
    except TiedgeError as error:
        return Cost(engines[0], FileCost(None, None), str(error))
    told = "" if None not in (cost.packed_bytes, cost.peak_rss_bytes) else "untold here"
    return Cost(engines[0], cost, told)


def signatures_of(model: ModelFile) -> EntryPoints:
    """Return the entry points that bundle.json states, as `find_cost` takes them."""
    return {
        signature.name: (
            [(t.name, t.dtype, t.shape) for t in signature.inputs],
            [(t.name, t.dtype, t.shape) for t in signature.outputs],
        )
        for signature in model.signatures
    }


def finding_lines(survey: Survey, outside: Outside, cost: Cost) -> list[str]:
    """Return what stands beside the sharing report, a line each."""
    stored = stored_line(survey.report, survey.stored_as)
    lines = [stored, _outside_line(survey, outside)]
    if survey.file.delegates:
        lines.append(f"delegates: {', '.join(survey.file.delegates)}")
    for backend, n_bytes in _hidden(survey).items():
        lines.append(f"cannot be read: {n_bytes:,} bytes for {backend}, not counted")
    external = survey.file.external
    if external:
        some = ", ".join(external[:3]) + (", …" if len(external) > 3 else "")
        lines.append(f"in another file: {len(external)} constants ({some})")
    if cost is not NOT_ASKED:
        lines.append(cost_line(cost))
    return lines


def _outside_line(survey: Survey, outside: Outside) -> str:
    if outside.operators is None:
        return f"outside the delegate: {NOT_MEASURED}: {outside.reason}"
    parts = []
    for entry_point, n_operators in survey.file.n_operators.items():
        found = outside.operators.get(entry_point)
        if found is None:
            parts.append(f"{entry_point} {NOT_MEASURED}")
            continue
        names = [f"{name} ×{n}" for name, n in found.items()]
        parts.append(
            f"{entry_point} {', '.join(names) or 'none'} of {n_operators} operators"
        )
    return f"outside the delegate: {'; '.join(parts)}"


def _hidden(survey: Survey) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for opaque in survey.opaque:
        counts[opaque.backend] += opaque.bytes
    return dict(counts)


def cost_line(cost: Cost) -> str:
    """Return packed bytes and peak memory, or why there are none, on one line."""
    packed, peak = cost.cost.packed_bytes, cost.cost.peak_rss_bytes
    shown = [
        f"{name} {NOT_MEASURED if n is None else size_text(n)}"
        for name, n in (("packed weights", packed), ("peak memory", peak))
    ]
    where = f" on {cost.engine}" if cost.engine else ""
    return f"{', '.join(shown)}{where}{f' ({cost.reason})' if cost.reason else ''}"
