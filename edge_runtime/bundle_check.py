"""The checks that compare one part of bundle.json with another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from edge_runtime.bundle_parts import (
    Fingerprint,
    LanguageSpec,
    ListedFile,
    ModelFile,
    PictureSpec,
    Signature,
    SpeechSpec,
    StateSpec,
    TensorSpec,
)
from edge_runtime.json_fields import refusal
from edge_runtime.loop import calls

T = TypeVar("T")

PICTURE_LAYOUT = "BYXC"
"""Rows, columns, channels: as decoders give pictures and cameras frames."""

STEP = "step"
"""The entry point of speech and language."""
CARD = "CARD.md"
_CHANNELS = 3
_NOT_STATES = ("features", "logits", "words", "log_probabilities")

Kind = tuple[str, tuple[int, ...]]
"""Type and shape of a tensor."""

_NUMBER: Kind = ("float32", (1, 1, 1, 1))
"""A control that scales with the picture's values."""


def check_names(
    file: str,
    files: Sequence[ListedFile],
    models: Sequence[ModelFile],
    reserved: Iterable[str],
) -> None:
    """Refuse a file or a (format, precision) that is listed twice, or no card."""
    names = [listed.path for listed in files] + [model.path.name for model in models]
    seen = {name.lower(): name for name in reserved}
    for name in names:
        if name.lower() in seen:
            raise refusal(
                file, f'the file name "{name}"', "used twice", "a name of its own"
            )
        seen[name.lower()] = name
    if CARD not in names:
        raise refusal(file, "files", f"without {CARD}", f"a list with {CARD}")
    kinds = [(model.format, model.precision) for model in models]
    for index, kind in enumerate(kinds):
        if kind in kinds[:index]:
            raise refusal(
                file,
                f"models[{index}]",
                f"a second {' '.join(kind)} file",
                "one for each format and precision",
            )


def check_fingerprint(
    file: str, fingerprint: Sequence[Fingerprint], models: Sequence[ModelFile]
) -> None:
    """Refuse a weight told of twice, and one stored in a file that is not listed."""
    seen: set[str] = set()
    for place, weight in _placed("fingerprint", fingerprint):
        for name in (weight.name, *weight.aliases):
            if name in seen:
                raise refusal(file, place, f'about "{name}" again', "a name of its own")
            seen.add(name)
    paths = [model.path.name for model in models]
    for place, weight in _placed("fingerprint", fingerprint):
        for path in weight.stored:
            if path not in paths:
                raise refusal(
                    file,
                    f"{place}.stored",
                    f'about "{path}"',
                    f"one of {' '.join(paths)}",
                )


def check_picture(
    file: str, models: Sequence[ModelFile], depths: Sequence[int], picture: PictureSpec
) -> None:
    """Refuse picture models whose entry points do not fit the depths and the tile."""
    if not depths:
        raise refusal(file, "depths", "empty", "at least one depth")
    if sorted(picture.radius_px) != list(depths):
        raise refusal(
            file,
            "picture.radius_px",
            f"given for depths {_listed(sorted(picture.radius_px))}",
            f"the depths on offer {_listed(depths)}",
        )
    for depth, radius in picture.radius_px.items():
        if 2 * radius + picture.multiple_px > min(picture.tile_px):
            raise refusal(
                file,
                f"picture.radius_px.{depth}",
                f"{radius}",
                f"room for tiles that overlap: at most (tile_px − multiple_px) / 2 ="
                f" {(min(picture.tile_px) - picture.multiple_px) // 2}",
            )
    for place, model in _placed("models", models):
        offered = calls(model)
        _check_dial(file, place, offered, depths)
        for below, signature in _placed(f"{place}.signatures", offered):
            _check_picture_signature(file, below, signature, picture)


def _check_dial(
    file: str, place: str, offered: Sequence[Signature], depths: Sequence[int]
) -> None:
    found = [(signature.name, signature.depth) for signature in offered]
    expected = [(f"depth_{depth}", depth) for depth in depths]
    if sorted(found, key=str) != sorted(expected, key=str):
        raise refusal(
            file,
            f"{place}.signatures",
            _listed(f"{name} (depth {depth})" for name, depth in found),
            _listed(f"{name} (depth {depth})" for name, depth in expected),
        )


def _check_picture_signature(
    file: str, place: str, signature: Signature, picture: PictureSpec
) -> None:
    rows, columns = picture.tile_px
    scale = picture.scale
    tile = (1, rows, columns, _CHANNELS)
    inputs: dict[str, Kind] = {"picture": ("float32", tile)}
    if picture.sigma is not None:
        inputs["sigma"] = _NUMBER
    if picture.tones:
        inputs["tones"] = ("float32", (1, 1, 1, len(picture.tones)))
    if picture.strength is not None:
        inputs["strength"] = _NUMBER
    if picture.looks:
        inputs["look"] = ("float32", (1, 1, 1, len(picture.looks)))
    restored = (1, rows * scale, columns * scale, _CHANNELS)
    for below, tensors, expected in (
        (f"{place}.inputs", signature.inputs, inputs),
        (f"{place}.outputs", signature.outputs, {"restored": ("float32", restored)}),
    ):
        _check_tensor_names(file, below, tensors, *expected)
        for at, tensor in _placed(below, tensors):
            _check_tensor(file, at, tensor, expected[tensor.name])
            if tensor.layout != PICTURE_LAYOUT:
                raise refusal(file, f"{at}.layout", tensor.layout, PICTURE_LAYOUT)


def check_speech(
    file: str,
    models: Sequence[ModelFile],
    states: Sequence[StateSpec],
    speech: SpeechSpec,
) -> None:
    """Refuse speech models whose step does not fit the constants and the states."""
    features = (1, speech.chunk_frames, speech.n_mels)
    logits = (1, speech.logits_per_chunk, speech.n_logits)
    _check_steps(
        file,
        models,
        states,
        ("features", ("float32", features)),
        ("logits", ("float32", logits)),
    )


def check_language(
    file: str,
    models: Sequence[ModelFile],
    states: Sequence[StateSpec],
    language: LanguageSpec,
) -> None:
    """Refuse language models whose step does not fit the words and the states."""
    n = language.n_histories
    _check_steps(
        file,
        models,
        states,
        ("words", ("int32", (n,))),
        ("log_probabilities", ("float32", (n, len(language.words)))),
    )


def _check_steps(
    file: str,
    models: Sequence[ModelFile],
    states: Sequence[StateSpec],
    given: tuple[str, Kind],
    found: tuple[str, Kind],
) -> None:
    """Refuse models that are not one step, from `given` and states to `found`."""
    for place, model in _placed("models", models):
        there = [(signature.name, signature.depth) for signature in calls(model)]
        if there != [(STEP, None)]:
            raise refusal(
                file,
                f"{place}.signatures",
                _listed(f"{name} (depth {depth})" for name, depth in there),
                f"{STEP} (depth null) alone",
            )
        step = model.signatures[0]
        for side, tensors, main, carried in (
            ("inputs", step.inputs, given, [s.input for s in states]),
            ("outputs", step.outputs, found, [s.output for s in states]),
        ):
            shapes = [("float32", state.shape) for state in states]
            expected = dict([main, *zip(carried, shapes, strict=True)])
            below = f"{place}.signatures[0].{side}"
            _check_tensor_names(file, below, tensors, *expected)
            for at, tensor in _placed(below, tensors):
                _check_tensor(file, at, tensor, expected[tensor.name])


def check_states(file: str, states: Sequence[StateSpec]) -> None:
    """Refuse states that share a tensor or that are no float32."""
    for side, names in (
        ("input", [state.input for state in states]),
        ("output", [state.output for state in states]),
    ):
        for index, name in enumerate(names):
            if name in names[:index] or name in _NOT_STATES:
                raise refusal(
                    file,
                    f"states[{index}].{side}",
                    f'"{name}", which is taken',
                    "a tensor of its own",
                )
    for place, state in _placed("states", states):
        if state.dtype != "float32":
            raise refusal(file, f"{place}.dtype", state.dtype, "float32")


def _check_tensor_names(
    file: str, place: str, tensors: Sequence[TensorSpec], *expected: str
) -> None:
    found = [tensor.name for tensor in tensors]
    if sorted(found) != sorted(expected):
        raise refusal(file, place, _listed(found), _listed(expected))


def _check_tensor(file: str, place: str, tensor: TensorSpec, expected: Kind) -> None:
    if (tensor.dtype, tensor.shape) != expected:
        raise refusal(
            file,
            f'{place} "{tensor.name}"',
            f"{tensor.dtype} {tensor.shape}",
            f"{expected[0]} {expected[1]}",
        )


def _placed(place: str, parts: Sequence[T]) -> Iterator[tuple[str, T]]:
    return ((f"{place}[{index}]", part) for index, part in enumerate(parts))


def _listed(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items) or "none"
