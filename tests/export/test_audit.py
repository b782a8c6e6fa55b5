import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_runtime.bundle_parts import SharedWeight
from edge_runtime.errors import BundleError, SharingError
from export.audit import (
    SourceWeight,
    audit,
    report_by_hash,
    self_contained,
    sharing_table,
)
from export.survey import survey
from export.tflite_rewrite import deduplicate
from tests.export.broken_sharing import add_constant, rewritten, with_own_copies
from tests.export.sharing_models import (
    CHANNELS,
    KERNEL_BYTES,
    STEPS,
    Foldable,
    Recursive,
    Tied,
    TiedProjection,
    network,
    pte,
    quantized_tflite,
    source,
    tflite,
)

SCHEMES = {"fp32": 4, "fp16": 2, "dynamic": 1, "static": 1}
"""Scheme to the bytes of one element of a kernel."""


def as_tflite(kind, scheme):
    if scheme == "fp32":
        return deduplicate(tflite(kind))
    return deduplicate(quantized_tflite(kind, scheme))


def reasons(report):
    return [(duplicate.weight, duplicate.reason) for duplicate in report.duplicates]


def row(report, name):
    return next(weight for weight in report.weights if weight.name == name)


@pytest.mark.parametrize("scheme", [*SCHEMES, "int4"])
def test_a_careful_tflite_file_holds_no_duplicate(scheme):
    """Every parameter of the module is found once, and nothing else is a weight."""
    report = audit(as_tflite(Recursive, scheme), "tflite", source(Recursive))
    kernel = KERNEL_BYTES // 2 if scheme == "int4" else KERNEL_BYTES * SCHEMES[scheme]

    assert 0 == report.duplicate_bytes
    assert report.unique_bytes == report.stored_bytes
    assert () == report.missing
    assert SharedWeight(
        "shared.weight", (CHANNELS, CHANNELS, 3, 3), sum(STEPS), kernel, kernel
    ) == row(report, "shared.weight")


@pytest.mark.parametrize(("scheme", "n_uses"), [("fp32", sum(STEPS)), ("int8", 2)])
def test_a_careful_pte_file_holds_no_duplicate(scheme, n_uses):
    """Every parameter of the module is found once, and nothing else is a weight."""
    report = audit(pte(Recursive, scheme), "pte", source(Recursive))
    kernel = KERNEL_BYTES * (4 if scheme == "fp32" else 1)

    assert 0 == report.duplicate_bytes
    assert report.unique_bytes == report.stored_bytes
    assert () == report.missing
    assert SharedWeight(
        "shared.weight", (CHANNELS, CHANNELS, 3, 3), n_uses, kernel, kernel
    ) == row(report, "shared.weight")


def test_unique_bytes_are_those_of_the_parameters():
    """In fp32 the unique bytes are four per distinct parameter."""
    n_parameters = sum(weight.values.size for weight in source(Recursive))
    files = {"tflite": as_tflite(Recursive, "fp32"), "pte": pte(Recursive)}

    for model_format, data in files.items():
        report = audit(data, model_format, source(Recursive))
        assert 4 * n_parameters == report.unique_bytes


def test_catches_copied_constants():
    """A constant per use is seen, named byte-identical, and undone by deduplicate."""
    copied = with_own_copies(tflite(Recursive))
    report = audit(copied, "tflite", source(Recursive))
    restored = audit(deduplicate(copied), "tflite", source(Recursive))
    n_signatures = len(STEPS)

    assert n_signatures * KERNEL_BYTES * 4 == row(report, "shared.weight").stored_bytes
    assert (
        "shared.weight",
        "byte-identical copy of shared.weight; read by CONV_2D",
    ) in reasons(report)
    assert 0 == restored.duplicate_bytes


def test_catches_folded_kernels_in_float():
    """A scale per step folded into the kernel makes kernels that are no weight."""
    report = audit(as_tflite(Foldable, "fp32"), "tflite", source(Foldable))
    folded = "folded: a factor per channel times shared.weight; read by CONV_2D"

    assert [("shared.weight", folded)] * max(STEPS) == reasons(report)
    assert max(STEPS) * KERNEL_BYTES * 4 == report.duplicate_bytes
    assert "shared.weight" in report.missing


def test_catches_folded_kernels_in_int8():
    """In int8 the folded kernels are one set of integers, stored once per step."""
    data = quantized_tflite(Foldable, "dynamic")
    report = audit(data, "tflite", source(Foldable))

    assert [
        ("shared.weight", "byte-identical copy of shared.weight; read by CONV_2D")
    ] == reasons(report)
    assert KERNEL_BYTES == report.duplicate_bytes
    assert 0 == audit(deduplicate(data), "tflite", source(Foldable)).duplicate_bytes


def test_catches_a_batch_norm_folded_into_a_pte_file():
    """ExecuTorch folds the first step's norm into the kernel of every step."""
    report = audit(pte(Foldable), "pte", source(Foldable))
    folded = "folded: a factor per channel times shared.weight; read by XNNConv2d"

    assert ("shared.weight", folded) in reasons(report)
    assert "shared.weight" in report.missing


def test_catches_a_transposed_copy():
    """A tied transposed convolution stores its kernel in a second layout."""
    report = audit(as_tflite(Tied, "fp32"), "tflite", source(Tied))
    n_bytes = network(Tied).weight.numel() * 4

    assert [
        (
            "weight",
            "second form of weight: float32, axes (0, 2, 3, 1) beside float32, axes"
            " (1, 2, 3, 0); read by CONV_2D",
        )
    ] == reasons(report)
    assert n_bytes == report.duplicate_bytes
    assert n_bytes == report.unique_bytes


def test_catches_float_beside_int8_in_tflite():
    """Static int8 breaks a tied embedding: the lookup stays in float."""
    report = audit(
        as_tflite(TiedProjection, "static"), "tflite", source(TiedProjection)
    )
    n = network(TiedProjection).embedding.weight.numel()

    assert [
        (
            "embedding.weight",
            "second form of embedding.weight: float32 beside int8 per channel; read by"
            " EMBEDDING_LOOKUP",
        )
    ] == reasons(report)
    assert (n, 4 * n) == (report.unique_bytes, report.duplicate_bytes)


def test_catches_float_beside_int8_in_pte():
    """Quantizing without care leaves the later uses of a shared kernel in float."""
    report = audit(pte(Recursive, "naive"), "pte", source(Recursive))

    assert [
        (
            "shared.weight",
            "second form of shared.weight: float32, axes (0, 2, 3, 1) beside int8 per"
            " channel, axes (0, 2, 3, 1); read by XNNConv2d",
        )
    ] == reasons(report)
    assert KERNEL_BYTES * 4 == report.duplicate_bytes


def test_catches_the_portable_copy_of_a_tied_embedding():
    """ExecuTorch stores a tied embedding for the lookup and for XNNPACK."""
    report = audit(pte(TiedProjection), "pte", source(TiedProjection))

    assert [
        (
            "embedding.weight",
            "byte-identical copy of embedding.weight; read by XNNFullyConnected",
        )
    ] == reasons(report)


def test_catches_a_constant_of_unknown_origin():
    """A kernel that resembles no weight is derived, and its bytes are duplicates."""
    strange = np.random.default_rng(5).normal(size=(CHANNELS, 3, 3, CHANNELS))

    def swap(model):
        graph = model.subgraphs[0]
        kernel = next(t for t in graph.tensors if list(t.shape) == list(strange.shape))
        add_constant(model, kernel, strange.astype(np.float32).tobytes())

    report = audit(rewritten(tflite(Recursive), swap), "tflite", source(Recursive))

    assert [
        (None, "derived: holds no weight of the source; read by CONV_2D")
    ] == reasons(report)
    assert KERNEL_BYTES * 4 == report.duplicate_bytes


def test_catches_a_weight_that_nothing_reads():
    """A buffer that no tensor names is counted, and named for what it is."""

    def add(model):
        buffer = schema.BufferT()
        buffer.data = np.arange(200, dtype=np.uint8)
        model.buffers.append(buffer)

    report = audit(rewritten(tflite(Recursive), add), "tflite", source(Recursive))

    assert 200 == report.duplicate_bytes
    assert [
        (None, "derived: holds no weight of the source; read by nothing")
    ] == reasons(report)


def test_lists_structural_constants_with_their_bytes():
    """Shapes, zero biases and metadata are shown, and count as no weight."""
    report = audit(quantized_tflite(Recursive, "static"), "tflite", source(Recursive))
    found = {constant.reason for constant in report.structural}
    zero_biases = [c.bytes for c in report.structural if "zero bias" in c.reason]

    assert {
        "shape, permutation, padding, axis or index",
        "zero bias that the source does not have",
        "metadata",
    } == found
    assert {4 * CHANNELS} == set(zero_biases)


def test_a_weight_that_was_not_exported_is_missing():
    """A parameter that the file lacks counts nothing and is named."""
    extra = SourceWeight("spare", (), np.ones((5, 7), np.float32))
    whole = audit(as_tflite(Recursive, "fp32"), "tflite", source(Recursive))
    report = audit(as_tflite(Recursive, "fp32"), "tflite", [*source(Recursive), extra])

    assert ("spare",) == report.missing
    assert SharedWeight("spare", (5, 7), 0, 0, 0) == report.weights[-1]
    assert whole.unique_bytes == report.unique_bytes


def test_weights_of_equal_value_may_lie_in_one_constant():
    """Two parameters that hold the same numbers are both found; bytes count once."""
    twin = SourceWeight("twin", (), source(Recursive)[-1].values.copy())
    report = audit(as_tflite(Recursive, "fp32"), "tflite", [*source(Recursive), twin])

    assert () == report.missing
    assert report.stored["twin"] == report.stored[twin_of(twin)]
    assert 0 == report.duplicate_bytes
    assert 0 == row(report, "twin").unique_bytes


def twin_of(twin):
    return next(
        weight.name
        for weight in source(Recursive)
        if np.array_equal(weight.values, twin.values)
    )


@pytest.mark.parametrize(
    ("data", "model_format", "kind"),
    [
        (lambda: as_tflite(Recursive, "static"), "tflite", Recursive),
        (lambda: as_tflite(Tied, "fp32"), "tflite", Tied),
        (lambda: as_tflite(Foldable, "fp32"), "tflite", Foldable),
        (lambda: quantized_tflite(Foldable, "dynamic"), "tflite", Foldable),
        (lambda: pte(Recursive, "naive"), "pte", Recursive),
        (lambda: pte(TiedProjection), "pte", TiedProjection),
    ],
)
def test_hashes_alone_give_the_same_report(data, model_format, kind):
    """Without the source, the hashes that the audit noted lead to the same figures."""
    full = audit(data(), model_format, source(kind))
    shapes = {weight.name: weight.shape for weight in full.weights}
    file = self_contained(data(), model_format, None)
    again = report_by_hash(file.entry_points, file.constants, full.stored, shapes)

    assert full.weights == again.weights
    assert full.duplicate_bytes == again.duplicate_bytes
    assert full.missing == again.missing


def test_survey_counts_each_content_once():
    """Without any knowledge of the source, byte-identical copies are still seen."""
    data = tflite(Recursive)
    plain = survey(data, "tflite").report
    copied = survey(with_own_copies(data), "tflite").report

    assert 0 == plain.duplicate_bytes
    assert plain.unique_bytes == copied.unique_bytes
    assert copied.duplicate_bytes > KERNEL_BYTES


def test_report_becomes_the_object_of_a_bundle():
    """The JSON form has the fields that bundle.json asks for, and no others."""
    report = audit(as_tflite(Tied, "fp32"), "tflite", source(Tied))
    n_bytes = report.duplicate_bytes

    assert {
        "unique_bytes": n_bytes,
        "stored_bytes": 2 * n_bytes,
        "duplicate_bytes": n_bytes,
        "allowed_duplicate_bytes": n_bytes,
        "weights": [
            {
                "name": "weight",
                "shape": [CHANNELS, 3, 4, 4],
                "uses": 2,
                "unique_bytes": n_bytes,
                "stored_bytes": 2 * n_bytes,
            }
        ],
    } == report.to_json(allowed_duplicate_bytes=n_bytes)


@pytest.mark.parametrize(("model_format", "make"), [("tflite", tflite), ("pte", pte)])
def test_counts_uses_in_one_run_of_each_entry_point(model_format, make):
    """Each step's bias is read where that step is run; the head in every run."""
    report = audit(make(Recursive), model_format, source(Recursive))

    assert {
        "head.weight": {"depth_1": 1, "depth_2": 1},
        "shared.weight": {"depth_1": 1, "depth_2": 2},
        "bias.0": {"depth_1": 1, "depth_2": 1},
        "bias.1": {"depth_1": 0, "depth_2": 1},
    } == {
        name: uses for name, uses in report.uses.items() if not name.startswith("scale")
    }
    assert all(
        weight.uses == sum(report.uses[weight.name].values())
        for weight in report.weights
    )


def test_table_shows_weights_duplicates_and_the_rest():
    """The printed report has a row per weight, each duplicate, and the rest."""
    lines = sharing_table(audit(as_tflite(Tied, "fp32"), "tflite", source(Tied)))

    assert [
        "weight  shape    uses  unique  stored  values",
        "weight  8×3×4×4     2   1,536   3,072     384",
        "total                   1,536   3,072",
        "duplicate bytes: 1,536",
    ] == lines.splitlines()[:4]
    assert "second form of weight" in lines
    assert "structural bytes: " in lines


def test_refuses_a_format_that_it_does_not_know():
    """The error names the two formats."""
    with pytest.raises(SharingError) as caught:
        audit(b"", "onnx", [])

    assert "format 'onnx': expected tflite or pte" == str(caught.value)


def test_begins_errors_with_the_file():
    """A damaged file is named as the caller names it."""
    with pytest.raises(BundleError, match=r"^denoise\.pte: is no \.pte file"):
        audit(b"12345678", "pte", [], "denoise.pte")
