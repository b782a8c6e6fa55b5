"""What `tiedge inspect` prints: a summary, and with --weights every weight."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import (
    Loop,
    Metric,
    ModelFile,
    Parity,
    Source,
    TensorSpec,
)
from export.distinct import DISTINCT_LEGEND
from export.file_finding import NOT_ASKED, Cost, cost_line
from export.finding import Finding
from export.order import OWN_RECIPE
from export.sharing_report import (
    SharingReport,
    sharing_summary,
    sharing_table,
    stored_line,
    uses_legend,
)
from export.transfer import COMPRESSED_LEGEND

NOT_READ = "as bundle.json says; to read it from the file, install ai-edge-litert"
PARITY_LEGEND = (
    "SNR: the module's output to the difference, of the worst output",
    "worst single value: max |file − module| / max |module|, of the worst output",
)


def report_lines(report: SharingReport, with_weights: bool) -> list[str]:
    """Return the report of one file or checkpoint, and what its numbers mean."""
    shown = sharing_summary(report)
    if with_weights:
        shown = sharing_table(report).splitlines()
        shown.append(DISTINCT_LEGEND)
    return [*shown, uses_legend(report), COMPRESSED_LEGEND]


def bundle_lines(
    bundle: Bundle,
    findings: Sequence[Finding],
    costs: Sequence[Cost],
    with_weights: bool,
) -> list[str]:
    """Return what a bundle is and holds, file by file, then what the numbers mean."""
    lines = _identity(bundle)
    for finding, cost in zip(findings, costs, strict=True):
        lines += ["", *_model_lines(finding, with_weights)]
        if cost is not NOT_ASKED:
            lines.append(f"  {cost_line(cost)}")
    lines.append("")
    lines += _uses_legends(findings)
    if with_weights:
        lines.append(DISTINCT_LEGEND)
    lines.append(COMPRESSED_LEGEND)
    lines += PARITY_LEGEND
    lines += dict.fromkeys(
        _conditions(finding.model, metric)
        for finding in findings
        for metric in finding.model.metrics
    )
    if not with_weights:
        lines.append("weight by weight: --weights")
    return lines


def _uses_legends(findings: Sequence[Finding]) -> list[str]:
    """Return what uses count: one line, or one for each file where they differ."""
    legends = {
        finding.model.path.name: uses_legend(finding.report)
        for finding in findings
        if finding.report is not None
    }
    if len(set(legends.values())) <= 1:
        return list(dict.fromkeys(legends.values()))
    return [f"{name}: {legend}" for name, legend in legends.items()]


def _identity(bundle: Bundle) -> list[str]:
    source = bundle.source
    offered = f", depths {' '.join(map(str, bundle.depths))}" if bundle.depths else ""
    revision = f", revision {source.revision}" if source.revision else ""
    return [
        f"{bundle.name}: {bundle.summary}",
        f"task {bundle.task}{offered}; {source.unique_parameters:,} parameters"
        f"{_origin(source)}{revision};"
        f" tiedge {bundle.tiedge_version}",
        f"licence: code {bundle.licence.code}; weights {bundle.licence.weights};"
        f" data {', '.join(bundle.licence.data)}",
        f"trained on: {', '.join(bundle.training_data)}",
    ]


def _origin(source: Source) -> str:
    """Return which training weights come from; nothing for a module of one's own."""
    if source.recipe == OWN_RECIPE:
        return ""
    return f" of recipe {source.recipe}, step {source.step}"


def _model_lines(finding: Finding, with_weights: bool) -> list[str]:
    model = finding.model
    scheme = "" if model.quantization == "none" else f" ({model.quantization})"
    lines = [
        f"{model.path.name}: {model.format}, {model.precision}{scheme},"
        f" {model.bytes:,} bytes, {finding.compressed_bytes:,} compressed"
    ]
    if with_weights:
        lines += _signature_lines(model)
    elif finding.report is None:
        lines.append(f"  {_recorded(finding)}")
    else:
        lines += [f"  {line}" for line in sharing_summary(finding.report)]
        lines.append(f"  {stored_line(finding.report, finding.stored_as)}")
    if model.loop is not None:
        lines.append(f"  {_loop_line(model.loop)}")
    lines += [f"  {_parity_line(parity)}" for parity in model.parity]
    lines += [f"  {_metric_line(metric)}" for metric in model.metrics]
    if with_weights:
        table = [_recorded(finding)]
        if finding.report is not None:
            table = sharing_table(finding.report).splitlines()
            table.append(stored_line(finding.report, finding.stored_as))
        lines += [f"  {line}" for line in table]
    return lines


def _signature_lines(model: ModelFile) -> list[str]:
    lines = []
    for signature in model.signatures:
        inputs = ", ".join(_tensor_text(tensor) for tensor in signature.inputs)
        outputs = ", ".join(_tensor_text(tensor) for tensor in signature.outputs)
        lines.append(f"  {signature.name}: {inputs} → {outputs}")
    return lines


def _recorded(finding: Finding) -> str:
    sharing = finding.model.sharing
    return (
        f"weights: {sharing.unique_bytes:,} unique bytes, {sharing.stored_bytes:,}"
        f" stored, {sharing.duplicate_bytes:,} duplicate, {NOT_READ}"
    )


def _loop_line(loop: Loop) -> str:
    """Return what the uses of one run of an entry point do not tell."""
    most = max(loop.depths)
    return (
        f"its step runs up to {most} times with the same weights: depth {most} is"
        f" {loop.before}, {most} × {loop.step}, {loop.after}"
    )


def _tensor_text(tensor: TensorSpec) -> str:
    shape = "×".join(map(str, tensor.shape)) or "scalar"
    return f"{tensor.name} {tensor.dtype} {shape}"


def _parity_line(parity: Parity) -> str:
    found = "identical"
    if parity.snr_db is not None:
        found = (
            f"SNR {parity.snr_db:.1f} dB, worst single value off by"
            f" {parity.relative_error:.2g} of the largest"
        )
    return (
        f"parity on {parity.engine} {parity.engine_version}: {found},"
        f" {parity.n_inputs} inputs"
    )


def _metric_line(metric: Metric) -> str:
    module = ""
    if metric.reference_value is not None:
        module = f" (module {metric.reference_value:.4g})"
    return f"{metric.name} {metric.value:.4g}{module} on {metric.engine}"


def _conditions(model: ModelFile, metric: Metric) -> str:
    """Return how a metric was measured, less the precision, which the file shows."""
    conditions = metric.conditions.removeprefix(f"{model.precision}, ")
    return f"{metric.name}: {metric.data}, n = {metric.n}, {conditions}"
