"""The checks that hold a loop against the entry points that it runs."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.bundle_parts import Loop, ModelFile, Signature, TensorSpec
from edge_runtime.json_fields import refusal

POSITION = ("int32", (1,))
"""Type and shape of the inputs that tell a part where in the loop it stands."""


def check_loops(file: str, models: Sequence[ModelFile]) -> None:
    """Refuse a loop whose entry points are not there or do not fit together."""
    for index, model in enumerate(models):
        if model.loop is not None:
            _check_loop(file, f"models[{index}].loop", model.signatures, model.loop)


def _check_loop(
    file: str, place: str, signatures: Sequence[Signature], loop: Loop
) -> None:
    parts = {signature.name: signature for signature in signatures}
    named = (loop.before, loop.step, loop.after)
    if sorted(parts) != sorted(named):
        raise refusal(
            file,
            place,
            f"of {' '.join(named)}",
            f"the file's entry points, each once: {' '.join(sorted(parts))}",
        )
    if not loop.depths:
        raise refusal(file, f"{place}.depths", "empty", "at least one depth")
    before, step, after = (parts[name] for name in named)
    stream = _kind(_input(file, place, step, loop.stream))
    _check_stream(file, place, before, before.outputs, stream)
    _check_stream(file, place, step, step.outputs, stream)
    last = _input(file, place, after, loop.stream)
    _check_stream(file, place, after, (last,), stream)
    for name, part in ((loop.position, step), (loop.exit, after)):
        if name is not None:
            found = _kind(_input(file, place, part, name))
            if found != POSITION:
                raise refusal(file, f'{place}: "{name}"', _text(found), _text(POSITION))
    inside = {
        before.name: (),
        step.name: (loop.stream, loop.position),
        after.name: (loop.stream, loop.exit),
    }
    asked = [
        tensor
        for part in (before, step, after)
        for tensor in part.inputs
        if tensor.name not in inside[part.name]
    ]
    _check_asked(file, place, asked, loop)


def _check_stream(
    file: str,
    place: str,
    part: Signature,
    tensors: Sequence[TensorSpec],
    stream: tuple[str, tuple[int, ...]],
) -> None:
    """Refuse a stream that one part gives or takes otherwise than the step does."""
    if [_kind(tensor) for tensor in tensors] != [stream]:
        found = ", ".join(f'"{t.name}" {_text(_kind(t))}' for t in tensors)
        raise refusal(
            file, f'{place}: the stream of "{part.name}"', found, f"one {_text(stream)}"
        )


def _check_asked(
    file: str, place: str, asked: Sequence[TensorSpec], loop: Loop
) -> None:
    """Refuse inputs from outside whose name means two things."""
    seen: dict[str, TensorSpec] = {}
    for tensor in asked:
        if tensor.name in (loop.stream, loop.position, loop.exit):
            raise refusal(
                file,
                f'{place}: "{tensor.name}"',
                "an input from outside, too",
                "a name of its own",
            )
        first = seen.setdefault(tensor.name, tensor)
        if tensor != first:
            raise refusal(
                file,
                f'{place}: "{tensor.name}"',
                f"{_text(_kind(tensor))} in one part and {_text(_kind(first))} in"
                " another",
                "one type, shape and range",
            )


def _input(file: str, place: str, part: Signature, name: str) -> TensorSpec:
    for tensor in part.inputs:
        if tensor.name == name:
            return tensor
    names = " ".join(tensor.name for tensor in part.inputs)
    raise refusal(file, place, f'of "{name}"', f'an input of "{part.name}": {names}')


def _kind(tensor: TensorSpec) -> tuple[str, tuple[int, ...]]:
    return tensor.dtype, tensor.shape


def _text(kind: tuple[str, tuple[int, ...]]) -> str:
    return f"{kind[0]} {kind[1]}"
