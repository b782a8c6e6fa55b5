"""The objects of bundle.json as records; each with exactly its own fields."""

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
    Fingerprint,
    Licence,
    ListedFile,
    Loop,
    Metric,
    ModelFile,
    Parity,
    PictureSpec,
    Quantization,
    SharedWeight,
    Sharing,
    Signature,
    Source,
    SpeechSpec,
    StateSpec,
    TensorSpec,
)
from edge_runtime.json_fields import Field, refusal
from edge_runtime.options import ENGINES

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of bundles and their files: no separator, no hidden file, no way upwards."""

_LAYOUT = re.compile(f"[{DIMENSION_LETTERS}{UNNAMED_LETTERS}]*")
_DEPTH_KEY = re.compile(r"[1-9][0-9]{0,3}")
_NAME_WORDS = "a name of letters, digits, dots, dashes and underscores"


def read_name(field: Field) -> str:
    """Return the name of a bundle or of a file in it."""
    return field.text_like(NAME, _NAME_WORDS)


def read_texts(field: Field) -> tuple[str, ...]:
    """Return a list of at least one text."""
    return field.list_of(Field.text, at_least=1)


def read_depths(field: Field) -> tuple[int, ...]:
    """Return the depths on offer, shallowest first."""
    depths = field.list_of(_positive)
    if list(depths) != sorted(set(depths)):
        field.refuse("different depths in rising order")
    return depths


def read_source(field: Field) -> Source:
    """Return what the bundle was exported from."""
    fields = field.object(
        "recipe", "settings", "revision", "weights_sha256", "step", "unique_parameters"
    )
    fields["settings"].mapping()
    return Source(
        recipe=fields["recipe"].text(),
        settings=fields["settings"].value,
        revision=fields["revision"].or_null(Field.text),
        weights_sha256=fields["weights_sha256"].sha256(),
        step=fields["step"].whole(),
        unique_parameters=_positive(fields["unique_parameters"]),
    )


def read_file(field: Field) -> ListedFile:
    """Return a listed file."""
    fields = field.object("path", "bytes", "sha256")
    return ListedFile(
        path=read_name(fields["path"]),
        bytes=fields["bytes"].whole(),
        sha256=fields["sha256"].sha256(),
    )


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
        bytes=_positive(fields["bytes"]),
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
        depth=fields["depth"].or_null(_positive),
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
    shape = _read_shape(fields["shape"])
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
        scale=_read_scale(fields["scale"]), zero_point=fields["zero_point"].integer()
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
        shape=_read_shape(fields["shape"]),
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
        n_inputs=_positive(fields["n_inputs"]),
        relative_error=fields["relative_error"].number(minimum=0.0),
        snr_db=fields["snr_db"].or_null(Field.number),
    )


def read_metric(field: Field) -> Metric:
    """Return a measured figure."""
    fields = field.object(
        "engine", "name", "value", "reference_value", "n", "data", "conditions"
    )
    return Metric(
        engine=fields["engine"].choice(ENGINES),
        name=fields["name"].text(),
        value=fields["value"].number(),
        reference_value=fields["reference_value"].or_null(Field.number),
        n=_positive(fields["n"]),
        data=fields["data"].text(),
        conditions=fields["conditions"].text(),
    )


def read_state(field: Field) -> StateSpec:
    """Return a tensor carried from step to step."""
    fields = field.object("input", "output", "shape", "dtype", "reset")
    return StateSpec(
        input=fields["input"].text(),
        output=fields["output"].text(),
        shape=_read_shape(fields["shape"]),
        dtype=fields["dtype"].choice(tuple(DTYPE_BYTES)),
        reset=fields["reset"].number(),
    )


def read_picture(field: Field) -> PictureSpec:
    """Return the picture constants."""
    fields = field.object(
        "tile_px", "multiple_px", "radius_px", "sigma_minimum", "sigma_maximum"
    )
    spec = PictureSpec(
        tile_px=_positive(fields["tile_px"]),
        multiple_px=_positive(fields["multiple_px"]),
        radius_px=_read_radii(fields["radius_px"]),
        sigma_minimum=fields["sigma_minimum"].number(minimum=0.0),
        sigma_maximum=fields["sigma_maximum"].number(minimum=0.0),
    )
    if spec.tile_px % spec.multiple_px or spec.tile_px == spec.multiple_px:
        fields["tile_px"].refuse(
            f"twice multiple_px = {spec.multiple_px}, or a larger multiple"
        )
    if spec.sigma_minimum > spec.sigma_maximum:
        fields["sigma_minimum"].refuse(
            f"at most sigma_maximum = {spec.sigma_maximum:g}"
        )
    return spec


def _read_radii(field: Field) -> dict[int, int]:
    radii: dict[int, int] = {}
    for key, radius in field.mapping().items():
        if not _DEPTH_KEY.fullmatch(key):
            field.refuse("depths as keys")
        radii[int(key)] = radius.whole()
    return radii


def read_speech(field: Field) -> SpeechSpec:
    """Return the feature constants, chunking and alphabet."""
    fields = field.object(
        "alphabet",
        "blank",
        "vocabulary",
        "sample_rate_hz",
        "window_samples",
        "hop_samples",
        "fft_samples",
        "n_mels",
        "low_hz",
        "high_hz",
        "feature_mean",
        "feature_scale",
        "chunk_frames",
        "logits_per_chunk",
    )
    spec = SpeechSpec(
        alphabet=fields["alphabet"].list_of(_read_symbol, at_least=2),
        blank=fields["blank"].whole(),
        vocabulary=fields["vocabulary"].list_of(_read_symbol),
        sample_rate_hz=_positive(fields["sample_rate_hz"]),
        window_samples=_positive(fields["window_samples"]),
        hop_samples=_positive(fields["hop_samples"]),
        fft_samples=_positive(fields["fft_samples"]),
        n_mels=_positive(fields["n_mels"]),
        low_hz=fields["low_hz"].number(minimum=0.0),
        high_hz=fields["high_hz"].number(minimum=0.0),
        feature_mean=fields["feature_mean"].number(),
        feature_scale=_read_scale(fields["feature_scale"]),
        chunk_frames=_positive(fields["chunk_frames"]),
        logits_per_chunk=_positive(fields["logits_per_chunk"]),
    )
    _check_speech(spec, fields)
    return spec


def _check_vocabulary(spec: SpeechSpec, field: Field) -> None:
    if len(set(spec.vocabulary)) < len(spec.vocabulary):
        field.refuse("different words")
    letters = set(spec.alphabet) - {"", " "}
    for word in spec.vocabulary:
        if not word or not set(word) <= letters:
            field.refuse("words spelled in the alphabet's symbols, none empty")
    if spec.vocabulary and " " not in spec.alphabet:
        field.refuse("none, as the alphabet has no space")


def _check_speech(spec: SpeechSpec, fields: dict[str, Field]) -> None:
    if len(set(spec.alphabet)) < len(spec.alphabet):
        fields["alphabet"].refuse("different symbols")
    if spec.blank >= len(spec.alphabet):
        fields["blank"].refuse(f"an index under {len(spec.alphabet)}")
    if spec.alphabet[spec.blank] != "":
        fields["blank"].refuse("the index of the empty symbol")
    _check_vocabulary(spec, fields["vocabulary"])
    if spec.hop_samples > spec.window_samples:
        fields["hop_samples"].refuse(f"at most window_samples = {spec.window_samples}")
    if spec.window_samples > spec.fft_samples:
        fields["window_samples"].refuse(f"at most fft_samples = {spec.fft_samples}")
    if not spec.low_hz < spec.high_hz <= spec.sample_rate_hz / 2:
        fields["high_hz"].refuse(
            f"over low_hz = {spec.low_hz:g} and at most half of sample_rate_hz ="
            f" {spec.sample_rate_hz}"
        )


def _read_symbol(field: Field) -> str:
    if not isinstance(field.value, str):
        field.refuse("a symbol, or the empty text for the blank")
    return field.value


def _read_scale(field: Field) -> float:
    scale = field.number()
    if scale <= 0:
        field.refuse("a number over 0")
    return scale


def read_fingerprint(field: Field) -> Fingerprint:
    """Return a parameter of the source module."""
    fields = field.object("name", "aliases", "shape", "dtype", "sha256", "stored")
    return Fingerprint(
        name=fields["name"].text(),
        aliases=fields["aliases"].list_of(Field.text),
        shape=_read_shape(fields["shape"]),
        dtype=fields["dtype"].choice(tuple(DTYPE_BYTES)),
        sha256=fields["sha256"].sha256(),
        stored={
            path: constants.list_of(Field.sha256)
            for path, constants in fields["stored"].mapping().items()
        },
    )


def read_licence(field: Field) -> Licence:
    """Return the terms of code, weights and data."""
    fields = field.object("code", "weights", "data")
    return Licence(
        code=fields["code"].text(),
        weights=fields["weights"].text(),
        data=read_texts(fields["data"]),
    )


def _read_shape(field: Field) -> tuple[int, ...]:
    return field.list_of(_positive)


def _positive(field: Field) -> int:
    return field.whole(minimum=1)
