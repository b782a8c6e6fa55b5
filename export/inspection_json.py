"""What `tiedge inspect --json` prints: everything that a bundle or a file tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import Metric, SharedWeight
from export.finding import BYTES, Finding, byte_counts
from export.sharing_report import SharingReport, weight_json
from export.transfer import compressed_bytes

NULLS = {"engine": None, "precision": None, "depth": None, "threads": None}


def file_result(
    path: Path, model_format: str, data: bytes, report: SharingReport
) -> dict[str, Any]:
    """Return the JSON object for a file without a bundle; `data` is what it holds."""
    size = {"bytes": len(data), "compressed_bytes": compressed_bytes(data)}
    return {
        "bundle": None,
        **NULLS,
        **byte_counts(report),
        "compressed_bytes": size["compressed_bytes"],
        "weights": [
            _weight_row(weight, report.uses, report.distinct)
            for weight in report.weights
        ],
        "rows": [
            {
                "path": path.name,
                **size,
                "format": model_format,
                "source_known": model_format == "checkpoint",
                **_remarks(report),
            }
        ],
    }


def bundle_result(bundle: Bundle, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the JSON object for a bundle; byte counts are sums over its models."""
    return {
        "bundle": bundle.name,
        **NULLS,
        **{key: sum(byte_counts(f.shown)[key] for f in findings) for key in BYTES},
        "compressed_bytes": sum(f.compressed_bytes for f in findings),
        "weights": [
            {
                "model": finding.model.path.name,
                **_weight_row(weight, finding.uses, finding.distinct),
            }
            for finding in findings
            for weight in finding.shown.weights
        ],
        "task": bundle.task,
        "summary": bundle.summary,
        "depths": list(bundle.depths),
        "tiedge_version": bundle.tiedge_version,
        "source": {
            "recipe": bundle.source.recipe,
            "step": bundle.source.step,
            "revision": bundle.source.revision,
            "unique_parameters": bundle.source.unique_parameters,
        },
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


def _weight_row(
    weight: SharedWeight,
    uses: Mapping[str, Mapping[str, int]] | None,
    distinct: Mapping[str, int],
) -> dict[str, Any]:
    """Return a weight's row; what only the file tells is null where it was not read."""
    return {
        **weight_json(weight),
        "uses_per_run": None if uses is None else dict(uses[weight.name]),
        "distinct_values": distinct.get(weight.name),
    }


def _model_row(finding: Finding) -> dict[str, Any]:
    model = finding.model
    return {
        "path": model.path.name,
        "bytes": model.bytes,
        "compressed_bytes": finding.compressed_bytes,
        "format": model.format,
        "precision": model.precision,
        "quantization": model.quantization,
        "signatures": [signature.name for signature in model.signatures],
        **byte_counts(finding.shown),
        "allowed_duplicate_bytes": model.sharing.allowed_duplicate_bytes,
        "read_from_file": finding.report is not None,
        "agrees_with_bundle_json": finding.agrees,
        "source_known": True,
        **({} if finding.report is None else _remarks(finding.report)),
        "parity": [
            {
                "engine": parity.engine,
                "engine_version": parity.engine_version,
                "n_inputs": parity.n_inputs,
                "relative_error": parity.relative_error,
                "snr_db": parity.snr_db,
            }
            for parity in model.parity
        ],
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
