"""What `tiedge inspect --json` prints: everything that a bundle or a file tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import Metric, SharedWeight
from export.file_finding import Cost, Outside
from export.finding import BYTES, Finding, byte_counts
from export.repair import ENGINE, Repair
from export.sharing_report import SharingReport, weight_json
from export.survey import Survey
from export.transfer import compressed_bytes

NULLS = {"engine": None, "precision": None, "depth": None, "threads": None}


def checkpoint_result(path: Path, data: bytes, report: SharingReport) -> dict[str, Any]:
    """Return the JSON object for a checkpoint, whose weights' file holds `data`."""
    size = {"bytes": len(data), "compressed_bytes": compressed_bytes(data)}
    row = {"path": path.name, "format": "checkpoint", "source_known": True, **size}
    return {
        "bundle": None,
        **NULLS,
        **byte_counts(report),
        "compressed_bytes": size["compressed_bytes"],
        "weights": [
            _weight_row(weight, report.uses, report.distinct)
            for weight in report.weights
        ],
        "rows": [{**row, **_remarks(report)}],
    }


def file_result(
    path: Path,
    model_format: str,
    data: bytes,
    survey: Survey,
    outside: Outside,
    cost: Cost,
) -> dict[str, Any]:
    """Return the JSON object for a file without a bundle; null is not measured.

    `data` is what the file holds.
    """
    size = {"bytes": len(data), "compressed_bytes": compressed_bytes(data)}
    report, file = survey.report, survey.file
    return {
        "bundle": None,
        **NULLS,
        "engine": cost.engine,
        **byte_counts(report),
        "compressed_bytes": size["compressed_bytes"],
        **asdict(cost.cost),
        "weights": [
            {
                **_weight_row(weight, report.uses, report.distinct),
                "stored_as": survey.stored_as[weight.name],
            }
            for weight in report.weights
        ],
        "rows": [
            {
                "path": path.name,
                **size,
                "format": model_format,
                "source_known": False,
                **_cost_row(cost),
                "delegates": None if file.delegates is None else list(file.delegates),
                "n_operators": dict(file.n_operators),
                "outside_delegate": outside.operators,
                "outside_not_measured": outside.reason or None,
                "opaque": [asdict(opaque) for opaque in survey.opaque],
                "external": list(file.external),
                **_remarks(report),
            }
        ],
    }


def repair_result(path: Path, done: Repair | None) -> dict[str, Any]:
    """Return the JSON object for a repair; null figures where there was nothing."""
    return {
        "bundle": None,
        **NULLS,
        "engine": None if done is None else ENGINE,
        "path": str(path),
        "repaired": None if done is None else str(done.path),
        "saved_bytes": 0 if done is None else done.saved_bytes,
        "n_constants": 0 if done is None else done.n_constants,
    }


def bundle_result(
    bundle: Bundle, findings: Sequence[Finding], costs: Sequence[Cost]
) -> dict[str, Any]:
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
        "rows": [
            {**_model_row(finding), **_cost_row(cost)}
            for finding, cost in zip(findings, costs, strict=True)
        ],
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


def _cost_row(cost: Cost) -> dict[str, Any]:
    return {**asdict(cost.cost), "cost_not_measured": cost.reason or None}


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
