"""`tiedge inspect`: what a bundle or a model file holds, and how often."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle, find_bundle
from edge_runtime.bundle_parts import ENDINGS, Metric, ModelFile, Sharing, TensorSpec
from edge_runtime.errors import BundleError, SharingError
from edge_runtime.options import Parser, print_json
from export.audit import audit_stored, survey
from export.sharing_report import SharingReport, sharing_table, weight_json

NO_SOURCE = (
    "no bundle.json, so the source is unknown: every distinct content counts as a"
    " weight, and copies that were folded, converted or transposed cannot be told"
)
CHECKPOINT_FILE = "recipe.json"
"""What tells a checkpoint's folder from a bundle's."""

NOT_READ = "as bundle.json says; to read it from the file, install ai-edge-litert"
NULLS = {"engine": None, "precision": None, "depth": None, "threads": None}


@dataclass(frozen=True)
class Finding:
    """One model file of a bundle, with what its own constants say."""

    model: ModelFile
    report: SharingReport | None
    """None where what reads the format is not installed."""

    @property
    def agrees(self) -> bool:
        """Whether the file holds what bundle.json says."""
        return self.report is None or _figures(self.report) == _figures(
            self.model.sharing
        )


def run(arguments: Sequence[str]) -> int:
    """Print the contents and the sharing report; raise SharingError if they differ."""
    options = _parser().parse_args(arguments)
    path = Path(options.target)
    if path.is_file():
        _inspect_file(path, options.json)
    elif (path / CHECKPOINT_FILE).is_file():
        _inspect_checkpoint(path, options.json)
    else:
        _inspect_bundle(find_bundle(options.target), options.json)
    return 0


def _inspect_file(path: Path, json: bool) -> None:
    model_format = _format(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    report = survey(data, model_format, str(path))
    if json:
        print_json(file_result(path, model_format, report))
        return
    print(f"{path}: {len(data):,} bytes, {model_format}")
    print(NO_SOURCE)
    print(sharing_table(report))


def _inspect_checkpoint(path: Path, json: bool) -> None:
    # Late: a checkpoint needs torch, a bundle does not.
    from export.checkpoint_report import checkpoint_report

    report = checkpoint_report(path)
    if json:
        print_json(file_result(path, "checkpoint", report))
        return
    print(f"{path}: checkpoint")
    print(sharing_table(report))


def _inspect_bundle(bundle: Bundle, json: bool) -> None:
    findings = [Finding(model, _audit(bundle, model)) for model in bundle.models]
    if json:
        print_json(bundle_result(bundle, findings))
    else:
        print("\n".join(_bundle_lines(bundle, findings)))
    for finding in findings:
        if not finding.agrees:
            raise SharingError(_difference(finding))


def _audit(bundle: Bundle, model: ModelFile) -> SharingReport | None:
    if model.format == "tflite" and find_spec("ai_edge_litert") is None:
        return None
    name = model.path.name
    return audit_stored(
        model.path.read_bytes(),
        model.format,
        {weight.name: weight.stored.get(name, ()) for weight in bundle.fingerprint},
        {weight.name: weight.shape for weight in bundle.fingerprint},
        str(model.path),
    )


def file_result(path: Path, model_format: str, report: SharingReport) -> dict[str, Any]:
    """Return the JSON object for a file without a bundle."""
    return {
        "bundle": None,
        **NULLS,
        **_bytes(report),
        "weights": [weight_json(weight) for weight in report.weights],
        "rows": [
            {
                "path": path.name,
                "format": model_format,
                "source_known": model_format == "checkpoint",
                **_remarks(report),
            }
        ],
    }


def bundle_result(bundle: Bundle, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the JSON object for a bundle; byte counts are sums over its models."""
    shown = [finding.report or finding.model.sharing for finding in findings]
    return {
        "bundle": bundle.name,
        **NULLS,
        **{key: sum(_bytes(sharing)[key] for sharing in shown) for key in BYTES},
        "weights": [
            {"model": finding.model.path.name, **weight_json(weight)}
            for finding, sharing in zip(findings, shown, strict=True)
            for weight in sharing.weights
        ],
        "task": bundle.task,
        "summary": bundle.summary,
        "depths": list(bundle.depths),
        "licence": {
            "code": bundle.licence.code,
            "weights": bundle.licence.weights,
            "data": list(bundle.licence.data),
        },
        "training_data": list(bundle.training_data),
        "files": [{"path": f.path, "bytes": f.bytes} for f in bundle.files],
        "metrics": [_metric_row(metric) for metric in bundle.metrics],
        "rows": [_model_row(finding) for finding in findings],
    }


BYTES = ("unique_bytes", "stored_bytes", "duplicate_bytes")


def _bytes(sharing: SharingReport | Sharing) -> dict[str, int]:
    numbers = (sharing.unique_bytes, sharing.stored_bytes, sharing.duplicate_bytes)
    return dict(zip(BYTES, numbers, strict=True))


def _model_row(finding: Finding) -> dict[str, Any]:
    model = finding.model
    sharing = finding.report or model.sharing
    return {
        "path": model.path.name,
        "bytes": model.bytes,
        "format": model.format,
        "precision": model.precision,
        "quantization": model.quantization,
        "signatures": [signature.name for signature in model.signatures],
        **_bytes(sharing),
        "allowed_duplicate_bytes": model.sharing.allowed_duplicate_bytes,
        "read_from_file": finding.report is not None,
        "agrees_with_bundle_json": finding.agrees,
        "source_known": True,
        **({} if finding.report is None else _remarks(finding.report)),
        "metrics": [_metric_row(metric) for metric in model.metrics],
    }


def _remarks(report: SharingReport) -> dict[str, Any]:
    return {
        "duplicates": [
            {"name": d.name, "bytes": d.bytes, "weight": d.weight, "reason": d.reason}
            for d in report.duplicates
        ],
        "structural": [
            {"name": s.name, "bytes": s.bytes, "reason": s.reason}
            for s in report.structural
        ],
        "missing": list(report.missing),
    }


def _metric_row(metric: Metric) -> dict[str, Any]:
    return {
        "engine": metric.engine,
        "name": metric.name,
        "value": metric.value,
        "reference_value": metric.reference_value,
        "n": metric.n,
        "data": metric.data,
        "conditions": metric.conditions,
    }


def _bundle_lines(bundle: Bundle, findings: Sequence[Finding]) -> list[str]:
    listed = [f"{file.path} ({file.bytes:,} bytes)" for file in bundle.files]
    lines = [
        f"{bundle.name}: {bundle.summary}",
        f"task: {bundle.task}",
        f"depths: {' '.join(map(str, bundle.depths)) or 'none'}",
        f"licence: code {bundle.licence.code}; weights {bundle.licence.weights};"
        f" data {', '.join(bundle.licence.data)}",
        f"trained on: {', '.join(bundle.training_data)}",
        f"files: {', '.join(listed)}",
        *(_metric_line(metric) for metric in bundle.metrics),
    ]
    for finding in findings:
        lines += ["", *_model_lines(finding)]
    return lines


def _model_lines(finding: Finding) -> list[str]:
    model = finding.model
    lines = [
        f"{model.path.name}: {model.bytes:,} bytes, {model.format}, {model.precision}"
        f" ({model.quantization})"
    ]
    for signature in model.signatures:
        inputs = ", ".join(_tensor_text(tensor) for tensor in signature.inputs)
        outputs = ", ".join(_tensor_text(tensor) for tensor in signature.outputs)
        lines.append(f"  {signature.name}: {inputs} → {outputs}")
    for parity in model.parity:
        lines.append(
            f"  parity on {parity.engine} {parity.engine_version}: relative error"
            f" {parity.relative_error:.2g} over {parity.n_inputs} inputs"
        )
    lines += [f"  {_metric_line(metric)}" for metric in model.metrics]
    table = _recorded_table(model.sharing)
    if finding.report is not None:
        table = sharing_table(finding.report)
    return lines + [f"  {line}" for line in table.splitlines()]


def _recorded_table(sharing: Sharing) -> str:
    return "\n".join(
        [
            f"{NOT_READ}:",
            f"unique bytes: {sharing.unique_bytes:,}",
            f"stored bytes: {sharing.stored_bytes:,}",
            f"duplicate bytes: {sharing.duplicate_bytes:,}",
        ]
    )


def _tensor_text(tensor: TensorSpec) -> str:
    shape = "×".join(map(str, tensor.shape)) or "scalar"
    return f"{tensor.name} {tensor.dtype} {shape}"


def _metric_line(metric: Metric) -> str:
    reference = (
        ""
        if metric.reference_value is None
        else f" (module {metric.reference_value:.4g})"
    )
    return (
        f"{metric.name} {metric.value:.4g}{reference} on {metric.engine}:"
        f" {metric.data}, n = {metric.n}, {metric.conditions}"
    )


def _figures(sharing: SharingReport | Sharing) -> tuple[Any, ...]:
    """Return what must not change after export."""
    weights = tuple((w.name, w.unique_bytes, w.stored_bytes) for w in sharing.weights)
    return _bytes(sharing), weights, sum(w.uses for w in sharing.weights)


def _difference(finding: Finding) -> str:
    report, recorded = finding.report, finding.model.sharing
    assert report is not None
    worst = max(report.duplicates, key=lambda d: d.bytes, default=None)
    named = "" if worst is None else f" ({worst.name}: {worst.reason})"
    return (
        f"{finding.model.path}: holds {report.stored_bytes} bytes of weights,"
        f" {report.duplicate_bytes} of them duplicates{named}; bundle.json says"
        f" {recorded.stored_bytes} and {recorded.duplicate_bytes}; the file was changed"
        " after export, export it again"
    )


def _format(path: Path) -> str:
    for model_format, ending in ENDINGS.items():
        if path.suffix.lower() == ending:
            return model_format
    raise BundleError(
        f"{path}: unknown ending {path.suffix!r}, expected a bundle's folder or one of"
        f" {' '.join(ENDINGS.values())}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge inspect",
        description="Show what a bundle or a model file holds, and how often.",
    )
    parser.add_argument(
        "target",
        metavar="BUNDLE_OR_FILE",
        help="a ready-made bundle, the path of one, a .tflite or .pte file, or the"
        " folder of a checkpoint",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout"
    )
    return parser
