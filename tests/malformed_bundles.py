"""One malformed bundle.json per rule of the contract, and what the reader says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.sample_bundles import (
    SOME_SHA256,
    Json,
    loop_manifest,
    model,
    picture_manifest,
    picture_signatures,
    speech_manifest,
    tensor,
)

Place = tuple[str | int, ...]
AGAIN = "; run tiedge export again"
REMOVED = object()


@dataclass(frozen=True)
class Malformed:
    """A sample with one thing wrong."""

    place: Place
    """Where in the manifest."""

    value: Any
    """What stands there instead; REMOVED for nothing."""

    message: str
    """What the reader says, after the file name."""

    schema_sees_it: bool = True
    make: Callable[[], Json] = picture_manifest

    def manifest(self) -> Json:
        return changed(self.make(), self.place, self.value)


def changed(manifest: Json, place: Place, value: Any) -> Json:
    """Return the manifest with another value at `place`."""
    holder: Any = manifest
    for step in place[:-1]:
        holder = holder[step]
    if value is REMOVED:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return manifest


def _wrong_field(
    place: Place,
    value: Any,
    shown: str,
    expected: str,
    make: Callable[[], Json] = picture_manifest,
    *,
    schema_sees_it: bool = True,
) -> Malformed:
    message = f"{_dotted(place)} is {shown}, expected {expected}{AGAIN}"
    return Malformed(place, value, message, schema_sees_it, make)


def _dotted(place: Place) -> str:
    text = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in place)
    return text.removeprefix(".")


MODEL: Place = ("models", 0)
SIGNATURE: Place = (*MODEL, "signatures", 0)
INPUT: Place = (*SIGNATURE, "inputs", 0)
NAME = "a name of letters, digits, dots, dashes and underscores"
HASH = "a SHA-256 of 64 lower-case hexadecimal digits"
DTYPES = "float32 float16 int64 int32 int16 int8 uint8 bool"
QUANTIZED = {"scale": 0.5, "zero_point": 3}

FIELDS = [
    # Names: the way out of the folder is closed, and so are hidden files.
    _wrong_field(("name",), "", '""', NAME),
    _wrong_field(("name",), "a/b", '"a/b"', NAME),
    _wrong_field(("files", 0, "path"), "../CARD.md", '"../CARD.md"', NAME),
    _wrong_field((*MODEL, "path"), "/etc/a.tflite", '"/etc/a.tflite"', NAME),
    _wrong_field((*MODEL, "path"), "C:\\a.tflite", '"C:\\\\a.tflite"', NAME),
    _wrong_field((*MODEL, "path"), ".a.tflite", '".a.tflite"', NAME),
    _wrong_field(
        (*MODEL, "path"), "sample.pte", '"sample.pte"', "a name that ends in .tflite"
    ),
    # Texts and hashes.
    _wrong_field(("summary",), "", '""', "a text"),
    _wrong_field(("summary",), 7, "7", "a text"),
    _wrong_field(
        ("summary",), "two\nlines", '"two\\nlines"', "printable text on one line"
    ),
    _wrong_field(("summary",), "\x1b[2J", '"\\u001b[2J"', "printable text on one line"),
    _wrong_field((*MODEL, "sha256"), "abc", '"abc"', HASH),
    _wrong_field(
        ("source", "weights_sha256"),
        SOME_SHA256.upper(),
        f'"{SOME_SHA256.upper()[:59]}…',
        HASH,
    ),
    _wrong_field(("training_data",), [], "[]", "a list of at least 1"),
    # Numbers.
    _wrong_field((*MODEL, "bytes"), -1, "-1", "a whole number of at least 1"),
    _wrong_field((*MODEL, "bytes"), "12", '"12"', "a whole number of at least 1"),
    _wrong_field((*MODEL, "bytes"), 1.5, "1.5", "a whole number of at least 1"),
    _wrong_field((*MODEL, "bytes"), True, "true", "a whole number of at least 1"),
    _wrong_field((*MODEL, "bytes"), 2**60, str(2**60), "a whole number of at least 1"),
    _wrong_field(("metrics", 0, "value"), None, "null", "a number"),
    _wrong_field(("metrics", 0, "value"), False, "false", "a number"),
    _wrong_field(
        (*MODEL, "parity", 0, "relative_error"), -1e-7, "-1e-07", "a number ≥ 0"
    ),
    # Choices.
    _wrong_field(("task",), "video", '"video"', "one of picture speech language model"),
    _wrong_field(("format",), "zip", '"zip"', "one of tiedge bundle"),
    _wrong_field((*MODEL, "format"), "onnx", '"onnx"', "one of tflite pte"),
    _wrong_field(
        (*MODEL, "precision"),
        "int2",
        '"int2"',
        "one of fp32 fp16 int8 int8-dynamic int8-weight int4-weight",
    ),
    _wrong_field((*MODEL, "quantization"), "static", '"static"', "one of none"),
    _wrong_field(
        (*MODEL, "parity", 0, "engine"),
        "onnxruntime",
        '"onnxruntime"',
        "one of litert executorch tflite-runtime tensorflow torch",
    ),
    _wrong_field((*INPUT, "dtype"), "float64", '"float64"', f"one of {DTYPES}"),
    # Kinds of JSON value.
    _wrong_field(("source",), [], "[]", "an object"),
    _wrong_field(("source", "settings"), [], "[]", "an object"),
    _wrong_field(("models",), {}, "{}", "a list"),
    _wrong_field(("models",), [], "[]", "a list of at least 1"),
    _wrong_field((*MODEL, "parity"), [], "[]", "a list of at least 1"),
    # Tensors.
    _wrong_field((*INPUT, "shape", 1), 0, "0", "a whole number of at least 1"),
    _wrong_field(
        (*INPUT, "layout"),
        "NHWC",
        '"NHWC"',
        "dimension letters out of BSTMHVCYXabcdefgh",
    ),
    _wrong_field(
        (*INPUT, "layout"),
        "BYX",
        '"BYX"',
        "4 letters, one for each axis of the shape",
    ),
    _wrong_field((*INPUT, "layout"), "BYYC", '"BYYC"', "each letter once"),
    _wrong_field(
        (*INPUT, "minimum"),
        3.0,
        "3.0",
        "a number under maximum, which is 2",
        schema_sees_it=False,
    ),
    Malformed(
        (*INPUT, "quantization"),
        QUANTIZED,
        f'{_dotted(INPUT)}.quantization is {{"scale": 0.5, "zero_point": 3}},'
        f" expected null for float32{AGAIN}",
    ),
    Malformed(
        INPUT,
        tensor(
            "picture",
            (1, 32, 32, 3),
            "BYXC",
            dtype="int8",
            quantization={"scale": 0, "zero_point": 3},
        ),
        f"{_dotted(INPUT)}.quantization.scale is 0, expected a number over 0{AGAIN}",
    ),
    _wrong_field(
        (*SIGNATURE, "inputs", 1, "name"),
        "picture",
        '"picture" again',
        "a name of its own",
    ),
    # Sharing.
    _wrong_field(
        (*MODEL, "sharing", "duplicate_bytes"),
        4,
        "4",
        "stored_bytes − unique_bytes = 0",
        schema_sees_it=False,
    ),
    Malformed(
        (*MODEL, "sharing", "unique_bytes"),
        90,
        "models[0].sharing.duplicate_bytes is 0,"
        f" expected stored_bytes − unique_bytes = 6{AGAIN}",
        schema_sees_it=False,
    ),
    # Depths and the picture's constants.
    _wrong_field(
        ("depths",),
        [2, 1],
        "[2, 1]",
        "different depths in rising order",
        schema_sees_it=False,
    ),
    _wrong_field(("depths",), [1, 1], "[1, 1]", "different depths in rising order"),
    _wrong_field(("depths",), [], "empty", "at least one depth"),
    _wrong_field(
        ("picture", "tile_px"),
        [32, 33],
        "[32, 33]",
        "rows and columns, each twice multiple_px = 2, or a larger multiple",
        schema_sees_it=False,
    ),
    Malformed(
        ("picture", "multiple_px"),
        32,
        "picture.tile_px is [32, 32], expected rows and columns, each twice multiple_px"
        f" = 32, or a larger multiple{AGAIN}",
        schema_sees_it=False,
    ),
    _wrong_field(
        ("picture", "sigma", "minimum"),
        60,
        "60",
        "at most maximum = 55",
        schema_sees_it=False,
    ),
    _wrong_field(("picture", "radius_px"), {"01": 8}, '{"01": 8}', "depths as keys"),
    # Speech.
    _wrong_field(
        ("speech", "alphabet"),
        ["", "a", "a", "b", "c"],
        '["", "a", "a", "b", "c"]',
        "different symbols",
        speech_manifest,
    ),
    _wrong_field(
        ("speech", "blank"),
        5,
        "5",
        "an index under 5",
        speech_manifest,
        schema_sees_it=False,
    ),
    _wrong_field(
        ("speech", "blank"),
        1,
        "1",
        "the index of the empty symbol",
        speech_manifest,
        schema_sees_it=False,
    ),
    *(
        Malformed(
            ("speech", "phones"),
            {"symbols": symbols, "words": {"ab": said}},
            f"speech.phones.{message}{AGAIN}",
            schema_sees_it,
            speech_manifest,
        )
        for symbols, said, message, schema_sees_it in (
            (
                ["", " ", "x", "x"],
                "x",
                'symbols is ["", " ", "x", "x"], expected different symbols',
                True,
            ),
            (
                [" ", "", "x"],
                "x",
                'symbols is [" ", "", "x"], expected the empty symbol first, and a'
                " space behind it",
                True,
            ),
            (
                ["", " ", "x"],
                "x  x",
                'words.ab is "x  x", expected symbols with one space between',
                False,
            ),
            (
                ["", " ", "x"],
                "y",
                'words.ab is "y", expected symbols with one space between',
                False,
            ),
        )
    ),
    _wrong_field(
        ("speech", "vocabulary"),
        ["ab", "ab"],
        '["ab", "ab"]',
        "different words",
        speech_manifest,
    ),
    _wrong_field(
        ("speech", "vocabulary"),
        ["ax"],
        '["ax"]',
        "words spelled in the alphabet's symbols, none empty",
        speech_manifest,
        schema_sees_it=False,
    ),
    _wrong_field(
        ("speech", "vocabulary"),
        [""],
        '[""]',
        "words spelled in the alphabet's symbols, none empty",
        speech_manifest,
    ),
    _wrong_field(
        ("speech", "hop_samples"),
        201,
        "201",
        "at most window_samples = 200",
        speech_manifest,
        schema_sees_it=False,
    ),
    _wrong_field(
        ("speech", "window_samples"),
        300,
        "300",
        "at most fft_samples = 256",
        speech_manifest,
        schema_sees_it=False,
    ),
    _wrong_field(
        ("speech", "high_hz"),
        4001,
        "4001",
        "over low_hz = 60 and at most half of sample_rate_hz = 8000",
        speech_manifest,
        schema_sees_it=False,
    ),
    _wrong_field(
        ("speech", "feature_scale"), 0, "0", "a number over 0", speech_manifest
    ),
]

KEYS = [
    Malformed(("summary",), REMOVED, f"summary is missing{AGAIN}"),
    Malformed((*MODEL, "sharing"), REMOVED, f"models[0].sharing is missing{AGAIN}"),
    Malformed(
        ("source", "autor"),
        "me",
        "source.autor is not a known field, expected one of recipe settings revision"
        f" weights_sha256 step unique_parameters; update tiedge or {AGAIN[2:]}",
    ),
    Malformed(
        ("format_version",),
        2,
        "format_version is 2, expected 1; update tiedge",
    ),
    Malformed(("format_version",), REMOVED, f"format_version is missing{AGAIN}"),
]


def _two_models(second: str, precision: str) -> Json:
    signatures = picture_signatures((1, 2), 32)
    return picture_manifest(
        models=[
            model("sample.tflite", signatures),
            model(second, signatures, precision=precision),
        ]
    )


LOOP: Place = (*MODEL, "loop")


def _wrong_loop(
    place: Place, value: Any, message: str, *, schema_sees_it: bool = False
) -> Malformed:
    return Malformed(
        place, value, f"models[0].loop{message}{AGAIN}", schema_sees_it, loop_manifest
    )


LOOPS = [
    _wrong_loop(
        (*LOOP, "step"),
        "head",
        " is of head head tail, expected the file's entry points, each once: head step"
        " tail",
    ),
    _wrong_loop(
        (*LOOP, "stream"),
        "h",
        ' is of "h", expected an input of "step": stream position',
    ),
    _wrong_loop(
        (*MODEL, "signatures", 1, "outputs", 0, "shape"),
        [1, 16, 16, 8],
        ': the stream of "step" is "next_stream" float32 (1, 16, 16, 8), expected one'
        " float32 (1, 16, 16, 4)",
    ),
    _wrong_loop(
        (*MODEL, "signatures", 2, "inputs", 2, "dtype"),
        "float32",
        ': "exit" is float32 (1,), expected int32 (1,)',
    ),
    _wrong_loop(
        (*MODEL, "signatures", 0, "inputs", 1, "name"),
        "stream",
        ': "stream" is an input from outside, too, expected a name of its own',
    ),
    _wrong_loop(
        (*MODEL, "signatures", 2, "inputs", 1, "maximum"),
        3.0,
        ': "picture" is float32 (1, 32, 32, 3) in one part and float32 (1, 32, 32,'
        " 3) in another, expected one type, shape and range",
    ),
    _wrong_loop(
        (*LOOP, "depths"),
        [],
        ".depths is empty, expected at least one depth",
        schema_sees_it=True,
    ),
    _wrong_loop(
        (*LOOP, "depths"),
        [2, 1],
        ".depths is [2, 1], expected different depths in rising order",
    ),
    _wrong_loop(
        (*LOOP, "before"),
        "../head",
        '.before is "../head", expected a name of letters, digits, dots, dashes and'
        " underscores",
        schema_sees_it=True,
    ),
    Malformed(
        (*LOOP, "depths"),
        [1, 3],
        "models[0].signatures is depth_1 (depth 1), depth_3 (depth 3), expected"
        f" depth_1 (depth 1), depth_2 (depth 2){AGAIN}",
        schema_sees_it=False,
        make=loop_manifest,
    ),
]

CROSS_CHECKS = [
    Malformed(
        ("files", 0, "path"),
        "README.md",
        f"files is without CARD.md, expected a list with CARD.md{AGAIN}",
    ),
    Malformed(
        ("files", 0, "path"),
        "bundle.json",
        f'the file name "bundle.json" is used twice, expected a name of its own{AGAIN}',
    ),
    Malformed(
        ("models", 1, "path"),
        "Sample.tflite",
        'the file name "Sample.tflite" is used twice, expected a name of its own'
        f"{AGAIN}",
        schema_sees_it=False,
        make=lambda: _two_models("second.tflite", "fp16"),
    ),
    Malformed(
        ("models", 1, "precision"),
        "fp32",
        "models[1] is a second tflite fp32 file, expected one for each format and"
        f" precision{AGAIN}",
        schema_sees_it=False,
        make=lambda: _two_models("second.tflite", "fp16"),
    ),
    Malformed(
        ("fingerprint", 0, "aliases"),
        ["body.block.0.weight"],
        'fingerprint[0] is about "body.block.0.weight" again, expected a name of its'
        f" own{AGAIN}",
        schema_sees_it=False,
    ),
    Malformed(
        ("fingerprint", 0, "stored"),
        {"other.tflite": [SOME_SHA256]},
        'fingerprint[0].stored is about "other.tflite", expected one of sample.tflite'
        f"{AGAIN}",
        schema_sees_it=False,
    ),
    Malformed(
        ("picture",),
        None,
        f'picture is null, expected an object for task "picture"{AGAIN}',
    ),
    Malformed(
        ("speech",),
        speech_manifest()["speech"],
        f'speech is an object, expected null for task "picture"{AGAIN}',
    ),
    Malformed(
        ("states",),
        speech_manifest()["states"],
        f'states is given, expected an empty list for task "picture"{AGAIN}',
    ),
    Malformed(
        ("depths",),
        [1],
        f'depths is given, expected an empty list for task "speech"{AGAIN}',
        make=speech_manifest,
    ),
    Malformed(
        ("picture", "radius_px"),
        {"1": 8},
        "picture.radius_px is given for depths 1, expected the depths on offer 1, 2"
        f"{AGAIN}",
        schema_sees_it=False,
    ),
    Malformed(
        ("picture", "radius_px", "2"),
        16,
        "picture.radius_px.2 is 16, expected room for tiles that overlap: at most"
        f" (tile_px − multiple_px) / 2 = 15{AGAIN}",
        schema_sees_it=False,
    ),
    Malformed(
        (*SIGNATURE, "name"),
        "depth_4",
        "models[0].signatures is depth_4 (depth 1), depth_2 (depth 2), expected"
        f" depth_1 (depth 1), depth_2 (depth 2){AGAIN}",
        schema_sees_it=False,
    ),
    Malformed(
        (*MODEL, "signatures"),
        picture_signatures((1,), 32),
        "models[0].signatures is depth_1 (depth 1), expected depth_1 (depth 1),"
        f" depth_2 (depth 2){AGAIN}",
        schema_sees_it=False,
    ),
    Malformed(
        (*INPUT, "shape"),
        [1, 64, 64, 3],
        'models[0].signatures[0].inputs[0] "picture" is float32 (1, 64, 64, 3),'
        f" expected float32 (1, 32, 32, 3){AGAIN}",
        schema_sees_it=False,
    ),
    Malformed(
        (*INPUT, "dtype"),
        "int8",
        'models[0].signatures[0].inputs[0] "picture" is int8 (1, 32, 32, 3),'
        f" expected float32 (1, 32, 32, 3){AGAIN}",
    ),
    Malformed(
        (*INPUT, "layout"),
        "BXYC",
        f"models[0].signatures[0].inputs[0].layout is BXYC, expected BYXC{AGAIN}",
    ),
    _wrong_field(
        ("picture", "looks"), ["soft", "soft"], '["soft", "soft"]', "different looks"
    ),
    Malformed(
        ("picture", "looks"),
        ["soft", "sharp"],
        "models[0].signatures[0].inputs is picture, sigma, expected picture, sigma,"
        f" look{AGAIN}",
        schema_sees_it=False,
    ),
    Malformed(
        ("picture", "scale"),
        2,
        'models[0].signatures[0].outputs[0] "restored" is float32 (1, 32, 32, 3),'
        f" expected float32 (1, 64, 64, 3){AGAIN}",
        schema_sees_it=False,
    ),
    Malformed(
        (*SIGNATURE, "outputs", 0, "name"),
        "clean",
        f"models[0].signatures[0].outputs is clean, expected restored{AGAIN}",
    ),
    Malformed(
        ("states", 0, "shape"),
        [1, 9],
        'models[0].signatures[0].inputs[1] "gru" is float32 (1, 8), expected float32'
        f" (1, 9){AGAIN}",
        schema_sees_it=False,
        make=speech_manifest,
    ),
    Malformed(
        ("states",),
        [],
        f"models[0].signatures[0].inputs is features, gru, expected features{AGAIN}",
        schema_sees_it=False,
        make=speech_manifest,
    ),
    Malformed(
        ("states", 0, "output"),
        "logits",
        'states[0].output is "logits", which is taken, expected a tensor of its own'
        f"{AGAIN}",
        schema_sees_it=False,
        make=speech_manifest,
    ),
    Malformed(
        ("states", 0, "dtype"),
        "int8",
        f"states[0].dtype is int8, expected float32{AGAIN}",
        make=speech_manifest,
    ),
    Malformed(
        ("speech", "alphabet"),
        ["", "a"],
        'models[0].signatures[0].outputs[0] "logits" is float32 (1, 4, 5), expected'
        f" float32 (1, 4, 2){AGAIN}",
        schema_sees_it=False,
        make=speech_manifest,
    ),
    Malformed(
        ("speech", "chunk_frames"),
        16,
        'models[0].signatures[0].inputs[0] "features" is float32 (1, 12, 40), expected'
        f" float32 (1, 16, 40){AGAIN}",
        schema_sees_it=False,
        make=speech_manifest,
    ),
    Malformed(
        (*SIGNATURE, "name"),
        "run",
        f"models[0].signatures is run (depth None), expected step (depth null) alone"
        f"{AGAIN}",
        make=speech_manifest,
    ),
]

MALFORMED = [*FIELDS, *KEYS, *LOOPS, *CROSS_CHECKS]
