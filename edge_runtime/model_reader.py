"""A model file's entry in bundle.json as a record."""

from __future__ import annotations

import re
from pathlib import Path

from edge_runtime.bundle_parts import (
    DIMENSION_LETTERS,
    DTYPE_BYTES,
    ENDINGS,
    QUANTIZATIONS,
    QUANTIZED_DTYPES,
    UNNAMED_LETTERS,
    Loop,
    ModelFile,
    Parity,
    Quantization,
    SharedWeight,
    Sharing,
    Signature,
    TensorSpec,
)
from edge_runtime.bundle_reader import (
    read_depths,
    read_metric,
    read_name,
    read_scale,
)
from edge_runtime.json_fields import Field, refusal
from edge_runtime.options import ENGINES

_LAYOUT = re.compile(f"[{DIMENSION_LETTERS}{UNNAMED_LETTERS}]*")


def read_model(field: Field, folder: Path) -> ModelFile:
    """Return a model file that lies in `folder`."""
    fields = field.object(
        "path",
        "bytes",
        "sha256",
        "format",
        "precision",
        "quantization",
        "converters",
        "signatures",
        "loop",
        "sharing",
        "parity",
        "metrics",
    )
    model_format = fields["format"].choice(tuple(ENDINGS))
    precision = fields["precision"].choice(tuple(QUANTIZATIONS))
    if not read_name(fields["path"]).endswith(ENDINGS[model_format]):
        fields["path"].refuse(f"a name that ends in {ENDINGS[model_format]}")
    return ModelFile(
        path=folder / read_name(fields["path"]),
        bytes=fields["bytes"].positive(),
        sha256=fields["sha256"].sha256(),
        format=model_format,
        precision=precision,
        quantization=fields["quantization"].choice(QUANTIZATIONS[precision]),
        converters={
            package: version.text()
            for package, version in fields["converters"].mapping().items()
        },
        signatures=fields["signatures"].list_of(_read_signature, at_least=1),
        loop=fields["loop"].or_null(_read_loop),
        sharing=_read_sharing(fields["sharing"]),
        parity=fields["parity"].list_of(_read_parity, at_least=1),
        metrics=fields["metrics"].list_of(read_metric),
    )


def _read_signature(field: Field) -> Signature:
    fields = field.object("name", "depth", "inputs", "outputs")
    return Signature(
        name=read_name(fields["name"]),
        depth=fields["depth"].or_null(Field.positive),
        inputs=_read_tensors(fields["inputs"]),
        outputs=_read_tensors(fields["outputs"]),
    )


def _read_loop(field: Field) -> Loop:
    fields = field.object(
        "before", "step", "after", "stream", "position", "exit", "depths"
    )
    return Loop(
        before=read_name(fields["before"]),
        step=read_name(fields["step"]),
        after=read_name(fields["after"]),
        stream=fields["stream"].text(),
        position=fields["position"].or_null(Field.text),
        exit=fields["exit"].or_null(Field.text),
        depths=read_depths(fields["depths"]),
    )


def _read_tensors(field: Field) -> tuple[TensorSpec, ...]:
    tensors = field.list_of(_read_tensor, at_least=1)
    names = [tensor.name for tensor in tensors]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise refusal(
                field.file,
                f"{field.path}[{index}].name",
                f'"{name}" again',
                "a name of its own",
            )
    return tensors


def _read_tensor(field: Field) -> TensorSpec:
    fields = field.object(
        "name", "dtype", "shape", "layout", "minimum", "maximum", "quantization"
    )
    shape = fields["shape"].list_of(Field.positive)
    layout = fields["layout"].text_like(
        _LAYOUT, f"dimension letters out of {DIMENSION_LETTERS}{UNNAMED_LETTERS}"
    )
    if len(layout) != len(shape):
        fields["layout"].refuse(f"{len(shape)} letters, one for each axis of the shape")
    if len(set(layout)) < len(layout):
        fields["layout"].refuse("each letter once")
    minimum = fields["minimum"].or_null(Field.number)
    maximum = fields["maximum"].or_null(Field.number)
    if minimum is not None and maximum is not None and minimum >= maximum:
        fields["minimum"].refuse(f"a number under maximum, which is {maximum:g}")
    dtype = fields["dtype"].choice(tuple(DTYPE_BYTES))
    quantization = fields["quantization"].or_null(_read_quantization)
    if quantization is not None and dtype not in QUANTIZED_DTYPES:
        fields["quantization"].refuse(f"null for {dtype}")
    return TensorSpec(
        name=fields["name"].text(),
        dtype=dtype,
        shape=shape,
        layout=layout,
        minimum=minimum,
        maximum=maximum,
        quantization=quantization,
    )


def _read_quantization(field: Field) -> Quantization:
    fields = field.object("scale", "zero_point")
    return Quantization(
        scale=read_scale(fields["scale"]), zero_point=fields["zero_point"].integer()
    )


def _read_sharing(field: Field) -> Sharing:
    fields = field.object(
        "unique_bytes",
        "stored_bytes",
        "duplicate_bytes",
        "allowed_duplicate_bytes",
        "weights",
    )
    sharing = Sharing(
        unique_bytes=fields["unique_bytes"].whole(),
        stored_bytes=fields["stored_bytes"].whole(),
        duplicate_bytes=fields["duplicate_bytes"].whole(),
        allowed_duplicate_bytes=fields["allowed_duplicate_bytes"].whole(),
        weights=fields["weights"].list_of(_read_shared_weight, at_least=1),
    )
    if sharing.duplicate_bytes != sharing.stored_bytes - sharing.unique_bytes:
        fields["duplicate_bytes"].refuse(
            "stored_bytes − unique_bytes ="
            f" {sharing.stored_bytes - sharing.unique_bytes}"
        )
    if sharing.duplicate_bytes > sharing.allowed_duplicate_bytes:
        fields["duplicate_bytes"].refuse(
            f"at most allowed_duplicate_bytes = {sharing.allowed_duplicate_bytes}"
        )
    return sharing


def _read_shared_weight(field: Field) -> SharedWeight:
    fields = field.object("name", "shape", "uses", "unique_bytes", "stored_bytes")
    return SharedWeight(
        name=fields["name"].text(),
        shape=fields["shape"].list_of(Field.positive),
        uses=fields["uses"].whole(),
        unique_bytes=fields["unique_bytes"].whole(),
        stored_bytes=fields["stored_bytes"].whole(),
    )


def _read_parity(field: Field) -> Parity:
    fields = field.object(
        "engine", "engine_version", "n_inputs", "relative_error", "snr_db"
    )
    return Parity(
        engine=fields["engine"].choice(ENGINES),
        engine_version=fields["engine_version"].text(),
        n_inputs=fields["n_inputs"].positive(),
        relative_error=fields["relative_error"].number(minimum=0.0),
        snr_db=fields["snr_db"].or_null(Field.number),
    )
