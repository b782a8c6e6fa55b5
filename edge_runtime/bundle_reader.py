"""The objects of bundle.json as records; each with exactly its own fields."""

from __future__ import annotations

import re

from edge_runtime.bundle_parts import (
    DTYPE_BYTES,
    Fingerprint,
    Interval,
    LanguageSpec,
    Licence,
    ListedFile,
    Metric,
    PhonesSpec,
    PictureSpec,
    Source,
    SpeechSpec,
    StateSpec,
)
from edge_runtime.json_fields import Field
from edge_runtime.options import ENGINES

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of bundles and their files: no separator, no hidden file, no way upwards."""

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
    depths = field.list_of(Field.positive)
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
        unique_parameters=fields["unique_parameters"].positive(),
    )


def read_file(field: Field) -> ListedFile:
    """Return a listed file."""
    fields = field.object("path", "bytes", "sha256")
    return ListedFile(
        path=read_name(fields["path"]),
        bytes=fields["bytes"].whole(),
        sha256=fields["sha256"].sha256(),
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
        n=fields["n"].positive(),
        data=fields["data"].text(),
        conditions=fields["conditions"].text(),
    )


def read_state(field: Field) -> StateSpec:
    """Return a tensor carried from step to step."""
    fields = field.object("input", "output", "shape", "dtype", "reset")
    return StateSpec(
        input=fields["input"].text(),
        output=fields["output"].text(),
        shape=fields["shape"].list_of(Field.positive),
        dtype=fields["dtype"].choice(tuple(DTYPE_BYTES)),
        reset=fields["reset"].number(),
    )


def read_picture(field: Field) -> PictureSpec:
    """Return the picture constants."""
    fields = field.object(
        "tile_px",
        "multiple_px",
        "radius_px",
        "scale",
        "sigma",
        "tones",
        "strength",
        "looks",
    )
    sides = fields["tile_px"].list_of(Field.positive)
    multiple_px = fields["multiple_px"].positive()
    if len(sides) != 2 or any(
        side % multiple_px or side == multiple_px for side in sides
    ):
        fields["tile_px"].refuse(
            f"rows and columns, each twice multiple_px = {multiple_px}, or a larger"
            " multiple"
        )
    tones = fields["tones"].list_of(lambda level: level.number(minimum=0.0))
    if list(tones) != sorted({level for level in tones if level <= 1.0}):
        fields["tones"].refuse("rising numbers from 0 to 1")
    looks = fields["looks"].list_of(Field.text)
    if len(set(looks)) < len(looks):
        fields["looks"].refuse("different looks")
    return PictureSpec(
        tile_px=(sides[0], sides[1]),
        multiple_px=multiple_px,
        radius_px=_read_radii(fields["radius_px"]),
        scale=fields["scale"].positive(),
        sigma=fields["sigma"].or_null(_read_interval),
        tones=tones,
        strength=fields["strength"].or_null(_read_interval),
        looks=looks,
    )


def _read_interval(field: Field) -> Interval:
    fields = field.object("minimum", "maximum")
    interval = Interval(
        minimum=fields["minimum"].number(minimum=0.0),
        maximum=fields["maximum"].number(minimum=0.0),
    )
    if interval.minimum > interval.maximum:
        fields["minimum"].refuse(f"at most maximum = {interval.maximum:g}")
    return interval


def _read_radii(field: Field) -> dict[int, int]:
    radii: dict[int, int] = {}
    for key, radius in field.mapping().items():
        if not _DEPTH_KEY.fullmatch(key):
            field.refuse("depths as keys")
        radii[int(key)] = radius.whole()
    return radii


def read_speech(field: Field) -> SpeechSpec:
    """Return the feature constants, chunking and symbols."""
    fields = field.object(
        "alphabet",
        "blank",
        "phones",
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
        optional=("phones",),
    )
    spec = SpeechSpec(
        alphabet=fields["alphabet"].list_of(_read_symbol, at_least=2),
        blank=fields["blank"].whole(),
        phones=fields["phones"].or_null(_read_phones),
        vocabulary=fields["vocabulary"].list_of(_read_symbol),
        sample_rate_hz=fields["sample_rate_hz"].positive(),
        window_samples=fields["window_samples"].positive(),
        hop_samples=fields["hop_samples"].positive(),
        fft_samples=fields["fft_samples"].positive(),
        n_mels=fields["n_mels"].positive(),
        low_hz=fields["low_hz"].number(minimum=0.0),
        high_hz=fields["high_hz"].number(minimum=0.0),
        feature_mean=fields["feature_mean"].number(),
        feature_scale=read_scale(fields["feature_scale"]),
        chunk_frames=fields["chunk_frames"].positive(),
        logits_per_chunk=fields["logits_per_chunk"].positive(),
    )
    _check_speech(spec, fields)
    return spec


def _read_phones(field: Field) -> PhonesSpec:
    fields = field.object("symbols", "words")
    symbols = fields["symbols"].list_of(_read_symbol, at_least=3)
    if len(set(symbols)) < len(symbols):
        fields["symbols"].refuse("different symbols")
    if symbols[0] != "" or " " not in symbols:
        fields["symbols"].refuse("the empty symbol first, and a space behind it")
    known = {*symbols} - {"", " "}
    words = {}
    for word, said in fields["words"].mapping().items():
        words[word] = tuple(said.text().split(" "))
        if not known.issuperset(words[word]):
            said.refuse("symbols with one space between")
    return PhonesSpec(symbols, words)


def read_language(field: Field) -> LanguageSpec:
    """Return the words of a language model."""
    fields = field.object("words", "end", "unknown", "n_histories")
    spec = LanguageSpec(
        words=fields["words"].list_of(Field.text, at_least=3),
        end=fields["end"].whole(),
        unknown=fields["unknown"].whole(),
        n_histories=fields["n_histories"].positive(),
    )
    if len(set(spec.words)) < len(spec.words):
        fields["words"].refuse("different words")
    for name, place in (("end", spec.end), ("unknown", spec.unknown)):
        if place >= len(spec.words):
            fields[name].refuse(f"less than {len(spec.words)}, the number of words")
    if spec.end == spec.unknown:
        fields["unknown"].refuse(f"another word than end = {spec.end}")
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


def read_scale(field: Field) -> float:
    """Return the distance between two integers, over zero."""
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
        shape=fields["shape"].list_of(Field.positive),
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
