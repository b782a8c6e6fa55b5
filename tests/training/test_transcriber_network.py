from __future__ import annotations

import pytest
import torch

from training.report import sharing_report
from training.transcriber import TranscriberNetwork, TranscriberStep

N_MELS, HIDDEN, N_LAYERS, N_SYMBOLS = 5, 8, 3, 7


@pytest.fixture
def network() -> TranscriberNetwork:
    return TranscriberNetwork(N_MELS, HIDDEN, N_LAYERS, N_SYMBOLS).eval()


def run_in_steps(step: TranscriberStep, features: torch.Tensor) -> torch.Tensor:
    states = step.example_inputs()[1:]
    logits = []
    for chunk in features.split(step.chunk_frames, dim=1):
        out, *states = step(chunk, *states)
        logits.append(out)
    return torch.cat(logits, dim=1)


@pytest.mark.parametrize("chunk_frames", [3, 6, 12, 24])
def test_steps_equal_the_whole(network: TranscriberNetwork, chunk_frames: int) -> None:
    """Chunks with explicit state give the logits that training computes at once."""
    features = torch.randn(1, 24, N_MELS)

    found = run_in_steps(TranscriberStep(network, chunk_frames), features)

    assert (1, 8, N_SYMBOLS) == found.shape
    torch.testing.assert_close(network(features), found)


def test_the_network_never_looks_ahead(network: TranscriberNetwork) -> None:
    """Frames after a logit's own do not change it."""
    features = torch.randn(1, 24, N_MELS)
    changed = features.clone()
    changed[:, 12:] = torch.randn(1, 12, N_MELS)

    torch.testing.assert_close(network(features)[:, :4], network(changed)[:, :4])
    assert not torch.allclose(network(features)[:, 4:], network(changed)[:, 4:])


def test_weights_are_stored_once(network: TranscriberNetwork) -> None:
    """The network costs two convolutions, one cell, an affine per layer, one output."""
    convolutions = (6 * N_MELS + 1) * HIDDEN + (3 * HIDDEN + 1) * HIDDEN
    cell = 2 * 3 * HIDDEN * (HIDDEN + 1)
    affines = N_LAYERS * 2 * HIDDEN
    output = (HIDDEN + 1) * N_SYMBOLS

    report = sharing_report(network, lambda: network(torch.zeros(1, 3, N_MELS)))

    assert convolutions + cell + affines + output == report.unique_parameters


def test_a_step_reads_the_cell_for_every_layer_and_moment(
    network: TranscriberNetwork,
) -> None:
    """Four logits by three layers: three input maps and twelve recurrent ones."""
    step = TranscriberStep(network, 12)

    report = sharing_report(step, lambda: step(*step.example_inputs()))

    uses = {weight.name: weight.uses for weight in report.weights}
    assert 3 == uses["network.gru.cell.weight_ih_l0"]
    assert 12 == uses["network.gru.cell.weight_hh_l0"]


def test_states_have_the_shapes_that_they_name(network: TranscriberNetwork) -> None:
    """Each state comes out in the shape in which it goes in, in the listed order."""
    step = TranscriberStep(network, 12)

    _, *states = step(*step.example_inputs())

    named = [state.shape for state in step.state_tensors()]
    assert named == [tuple(state.shape) for state in states]
    assert [
        ("frames", "next_frames"),
        ("steps", "next_steps"),
        ("gru_0", "next_gru_0"),
        ("gru_1", "next_gru_1"),
        ("gru_2", "next_gru_2"),
    ] == [(state.input, state.output) for state in step.state_tensors()]


def test_a_chunk_is_whole_strides(network: TranscriberNetwork) -> None:
    """A chunk that ends within a stride cannot be stepped."""
    with pytest.raises(ValueError, match="chunk_frames=10: expected a multiple of 3"):
        TranscriberStep(network, 10)
