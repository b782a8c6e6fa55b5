"""From a plan to a bundle: convert, audit, prove, measure; whole or not at all."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime import __version__
from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import (
    ENDINGS,
    Metric,
    ModelFile,
    Sharing,
    Signature,
)
from edge_runtime.engines import open_engine
from edge_runtime.errors import EngineError, ParityError, SharingError
from export.audit import SharingReport, audit
from export.interrupt import Say
from export.narrow import WEIGHT_PRECISIONS
from export.order import CONVERTERS, Order
from export.output_folder import replacing_folder
from export.parity import prove_parity
from export.plan import Plan, shared_names
from export.schemes import check_schemes, scheme

if TYPE_CHECKING:
    from export.to_tflite import TfliteDraft


def export_bundle(plan: Plan, order: Order, say: Say) -> Bundle:
    """Return the bundle that was written to `order.output`.

    Raises SharingError for a file that holds a weight more than once or lacks one,
    ParityError for one that does not compute what the module does or costs more of
    the task's metric than planned. Nothing is left behind then, and a bundle that
    stood in `order.output` before stands there still.
    """
    with replacing_folder(order.output) as draft:
        export_into(draft, plan, order, say)
    return Bundle.open(order.output)


def export_into(folder: Path, plan: Plan, order: Order, say: Say) -> None:
    """Fill an empty folder with the bundle; errors are those of `export_bundle`.

    What was written stays there when it fails.
    """
    check_schemes(plan, order)
    converter = _Converter(plan)
    built = [
        _build(converter, order, format, precision, folder, say)
        for format in order.formats
        for precision in order.precisions
    ]
    _write(plan, built, folder)
    draft = Bundle.open(folder)
    measured = [_measured(plan, draft, one, say) for one in built]
    _write(plan, measured, folder)
    Bundle.open(folder)


@dataclass(frozen=True)
class _Built:
    """A model file in the draft folder, audited and proved."""

    model: ModelFile
    report: SharingReport


def _build(
    converter: _Converter,
    order: Order,
    format: str,
    precision: str,
    folder: Path,
    say: Say,
) -> _Built:
    plan = converter.plan
    path = folder / f"{plan.name}.{precision}{ENDINGS[format]}"
    say(f"{path.name}: converting")
    with _naming_what_is_shared(plan):
        data = converter.convert(format, precision)
    path.write_bytes(data)
    report = audit(data, format, plan.source, path.name)
    _check_sharing(path.name, plan, report, order.allow_duplicates)
    model = ModelFile(
        path=path,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        format=format,
        precision=precision,
        quantization=scheme(plan, format, precision),
        converters={p: importlib.metadata.version(p) for p in CONVERTERS[format]},
        signatures=tuple(
            Signature(entry.name, entry.depth, entry.inputs, entry.outputs)
            for entry in plan.entry_points
        ),
        loop=plan.loop,
        sharing=Sharing(
            report.unique_bytes,
            report.stored_bytes,
            report.duplicate_bytes,
            report.duplicate_bytes if order.allow_duplicates else 0,
            report.weights,
        ),
        parity=(),
        metrics=(),
    )
    with _naming_what_is_shared(plan):
        parity = prove_parity(plan, model)
    for row in parity:
        snr = "identical" if row.snr_db is None else f"SNR {row.snr_db:.1f} dB"
        say(
            f"{path.name}: {len(data):,} bytes, {report.duplicate_bytes} duplicate;"
            f" {row.engine}: relative error {row.relative_error:.2g}, {snr}"
        )
    return _Built(replace(model, parity=parity), report)


@contextmanager
def _naming_what_is_shared(plan: Plan) -> Iterator[None]:
    """Add to a refusal which names stand for one weight: that may be why."""
    try:
        yield
    except (EngineError, ParityError, SharingError) as error:
        names = shared_names(entry.module for entry in plan.entry_points)
        if not names:
            raise
        first = " = ".join(names[0])
        others = f" and {len(names) - 1} others" if names[1:] else ""
        raise type(error)(f"{error}; shared: {first}{others}") from error


class _Converter:
    """A plan's conversions; the fp32 `.tflite`, where others begin, is made once.

    Each converter is a large package of its own: an export of one format needs one.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._drafts: dict[bool, TfliteDraft] = {}

    def convert(self, format: str, precision: str) -> bytes:
        if format == "pte":
            from export.to_executorch import to_executorch

            return to_executorch(self.plan, precision)
        static = scheme(self.plan, format, precision) == "static"
        draft = self._draft(static=static)
        if precision == "fp32":
            return draft.finish()
        if precision in WEIGHT_PRECISIONS:
            from export.tflite_weights import narrow_weights

            return narrow_weights(draft.finish(), precision)
        from export.quantize_tflite import quantize_tflite

        return quantize_tflite(draft, self.plan, static=static).finish()

    def _draft(self, *, static: bool) -> TfliteDraft:
        """Return the fp32 `.tflite`; static int8 may need one with biases apart."""
        from export.bias_terms import has_unlike_biases
        from export.to_tflite import to_tflite

        biases_apart = static and has_unlike_biases(self.plan)
        if biases_apart not in self._drafts:
            self._drafts[biases_apart] = to_tflite(self.plan, biases_apart=biases_apart)
        return self._drafts[biases_apart]


def _check_sharing(
    where: str, plan: Plan, report: SharingReport, allow_duplicates: bool
) -> None:
    # A norm's factor of one or term of zero is left out, and nothing is lost.
    idle = {w.name for w in plan.source if np.isin(w.values, (0, 1)).all()}
    lost = [name for name in report.missing if name not in idle]
    if report.duplicate_bytes and not allow_duplicates:
        first = report.duplicates[0]
        way_out = "; --allow-duplicates packs it all the same"
        raise SharingError(
            f"{where}: {report.duplicate_bytes} duplicate bytes in"
            f" {len(report.duplicates)} constants, expected 0; first {first.name!r}:"
            f" {first.reason}{'' if lost else way_out}"
        )
    if lost:
        raise SharingError(
            f"{where}: does not hold {lost[0]!r} in any known form: it was"
            " folded into another constant, or not exported"
        )


def _measured(plan: Plan, draft: Bundle, built: _Built, say: Say) -> _Built:
    """Return the file with the task's metric on each engine that proved parity.

    Raises ParityError where int8 costs more of the metric than planned.
    """
    if plan.measure is None:
        return built
    rows = []
    model = draft.model(built.model.format, built.model.precision)
    for parity in built.model.parity:
        with open_engine(parity.engine, model) as engine:
            metric = plan.measure(draft, engine)
        say(
            f"{model.path.name} on {parity.engine}: {metric.name} {metric.value:.4g},"
            f" module {metric.reference_value:.4g}"
        )
        if model.precision != "fp32" and metric.loss > plan.int8_metric_loss:
            raise ParityError(
                f"{model.path.name} on {parity.engine}: {metric.name}"
                f" {metric.value:.4g}, the module's is {metric.reference_value:.4g};"
                f" expected at most {plan.int8_metric_loss:g} worse"
            )
        rows.append(
            Metric(
                engine=parity.engine,
                name=metric.name,
                value=metric.value,
                reference_value=metric.reference_value,
                n=metric.n,
                data=metric.data,
                conditions=f"{model.precision}, {metric.conditions}",
            )
        )
    return replace(built, model=replace(built.model, metrics=tuple(rows)))


def _write(plan: Plan, built: Sequence[_Built], folder: Path) -> None:
    """Write CARD.md and bundle.json beside the model files."""
    card = _card(plan, [one.model for one in built]).encode()
    (folder / "CARD.md").write_bytes(card)
    manifest = {
        "format": "tiedge bundle",
        "format_version": 1,
        "name": plan.name,
        "task": plan.task,
        "summary": plan.summary,
        "tiedge_version": __version__,
        "files": [
            {
                "path": "CARD.md",
                "bytes": len(card),
                "sha256": hashlib.sha256(card).hexdigest(),
            }
        ],
        "models": [_model_json(one) for one in built],
        "fingerprint": [
            {
                "name": weight.name,
                "aliases": list(weight.aliases),
                "shape": list(np.shape(weight.values)),
                "dtype": str(weight.values.dtype),
                "sha256": hashlib.sha256(
                    np.ascontiguousarray(weight.values).tobytes()
                ).hexdigest(),
                "stored": {
                    one.model.path.name: list(one.report.stored.get(weight.name, ()))
                    for one in built
                },
            }
            for weight in plan.source
        ],
        "metrics": [asdict(m) for one in built for m in one.model.metrics],
        **plan.facts,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "bundle.json").write_text(text + "\n", encoding="utf-8")


def _model_json(built: _Built) -> dict[str, Any]:
    model = built.model
    return {
        "path": model.path.name,
        "bytes": model.bytes,
        "sha256": model.sha256,
        "format": model.format,
        "precision": model.precision,
        "quantization": model.quantization,
        "converters": dict(model.converters),
        "signatures": [asdict(signature) for signature in model.signatures],
        "loop": None if model.loop is None else asdict(model.loop),
        "sharing": built.report.to_json(model.sharing.allowed_duplicate_bytes),
        "parity": [asdict(row) for row in model.parity],
        "metrics": [asdict(row) for row in model.metrics],
    }


def _card(plan: Plan, models: Sequence[ModelFile]) -> str:
    """Return the recipe's card with the measured tables behind it."""
    lines = [
        plan.card,
        "## Files",
        "",
        "| file | bytes | weights, stored once | duplicate bytes |",
        "|---|---|---|---|",
    ]
    for model in models:
        lines.append(
            f"| `{model.path.name}` | {model.bytes:,} | {model.sharing.unique_bytes:,}"
            f" | {model.sharing.duplicate_bytes:,} |"
        )
    rows = [(model, metric) for model in models for metric in model.metrics]
    if rows:
        _, first = rows[0]
        lines += [
            "",
            "## Measured",
            "",
            f"{first.data}; n = {first.n}.",
            "",
            f"| file | engine | conditions | {first.name} | PyTorch module |",
            "|---|---|---|---|---|",
        ]
        for model, metric in rows:
            lines.append(
                f"| `{model.path.name}` | {metric.engine} | {metric.conditions}"
                f" | {metric.value:.4g} | {metric.reference_value:.4g} |"
            )
    return "\n".join(lines) + "\n"
