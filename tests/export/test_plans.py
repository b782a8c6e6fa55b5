import copy
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_runtime.errors import DataError
from edge_runtime.front_end import FrontEnd
from edge_runtime.pictures import PICTURE_PEAK
from export.dial import run_modules
from export.plan import Plan, source_facts, source_weights, weights_sha256
from export.plans import plan_of
from export.plans.denoise import PHOTO_TILE_PX, loop_parts
from export.plans.enhance import enhancer_parts
from export.plans.looks import looker_parts
from export.plans.repeated import N_CALIBRATION, cut_or_mirrored, repeated_loop
from export.plans.speech import N_CALIBRATION as N_CALIBRATION_CHUNKS
from export.plans.superres import upscaler_parts
from tests.export.tiny_plans import spread
from training.checkpoint import save_weights
from training.data import data_folder
from training.denoiser import Denoiser
from training.enhancer import TONE_LEVELS, Enhancer
from training.looker import Looker
from training.looks import LOOKS
from training.recipe import Recipe
from training.recipes.denoise import DenoiseRecipe
from training.recipes.digits import DigitsRecipe
from training.recipes.enhance import EnhanceRecipe
from training.recipes.looks import LooksRecipe
from training.recipes.superres import SuperresRecipe
from training.transcriber import TranscriberStep
from training.upscaler import Upscaler

DEPTHS = (1, 2, 4)


def has_data() -> bool:
    try:
        return data_folder().is_dir()
    except DataError:
        return False


needs_data = pytest.mark.skipif(
    not has_data(), reason="TIEDGE_DATA: no photographs and recordings"
)


def checkpoint(folder: Path, name: str, recipe: Recipe, network: Any) -> Path:
    """Return a checkpoint of random weights."""
    save_weights(folder, name, recipe, spread(network).state_dict(), 7, {})
    return folder


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    network: Denoiser = spread(Denoiser(4, DEPTHS))
    return network


STRENGTH = torch.full((1, 1, 1, 1), 0.6)
TONES = 0.3 * torch.linspace(0.1, 1.0, len(TONE_LEVELS)).reshape(1, 1, 1, -1)
MIXED_LOOKS = torch.tensor([0.0, 0.75, 0.25]).reshape(1, 1, 1, 3)
N_CONVOLUTIONS = (2, 4)
LOOPS = {
    "denoiser": (
        partial(Denoiser, 4, DEPTHS),
        partial(loop_parts, tile_px=(16, 8), sigma_max=55.0),
        {"sigma": torch.full((1, 1, 1, 1), 0.1)},
        (16, 8),
    ),
    "upscaler": (
        partial(Upscaler, 4, DEPTHS),
        partial(upscaler_parts, tile_px=8),
        {},
        (8, 8),
    ),
    "enhancer": (
        partial(Enhancer, 4, DEPTHS),
        partial(enhancer_parts, tile_px=8),
        {"tones": TONES, "strength": STRENGTH},
        (8, 8),
    ),
    "looker": (
        partial(Looker, 4, DEPTHS, n_looks=3),
        partial(looker_parts, tile_px=8),
        {"look": MIXED_LOOKS, "strength": STRENGTH},
        (8, 8),
    ),
}
"""How each network is made, what makes its entry points, and what both are told."""


@pytest.mark.parametrize("n_convolutions", N_CONVOLUTIONS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", LOOPS)
def test_the_loop_is_the_network_at_that_depth(
    name: str, depth: int, n_convolutions: int
) -> None:
    """Head, steps and tail on rows and columns first: the same picture, clipped."""
    make, parts_of, told, tile_px = LOOPS[name]
    torch.manual_seed(0)
    network = spread(make(n_convolutions=n_convolutions))
    given = {"picture": 2.0 * torch.rand(1, *tile_px, 3) - 0.5, **told}
    asked = {key: tensor.numpy() for key, tensor in given.items()}

    with torch.no_grad():
        channels_first = [tensor.permute(0, 3, 1, 2) for tensor in given.values()]
        expected = network.at_depth(*channels_first, depth=depth).clamp(0.0, 1.0)
    parts = parts_of(network)
    found = run_modules(parts, repeated_loop(DEPTHS), asked)[depth]["restored"]

    torch.testing.assert_close(
        expected.permute(0, 2, 3, 1), torch.from_numpy(found), rtol=0.0, atol=1e-6
    )


def test_a_tile_larger_than_its_photograph_is_mirrored() -> None:
    """Rows and columns are cut where there are more, and mirrored where fewer."""
    photo = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3)

    tile = cut_or_mirrored(photo, (5, 2))

    np.testing.assert_array_equal(photo[[0, 1, 2, 2, 1], :2], tile)


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_output_pixel_sees_as_far_as_the_radius(
    denoiser: Denoiser, depth: int
) -> None:
    """What changes at the radius is seen, what changes one pixel further is not."""
    radius = denoiser.receptive_radius_px(depth)
    row = 2 * radius
    moved = _changed_rows(denoiser, depth, n_rows=4 * radius, row=row)

    assert radius == np.abs(moved - row).max()


def _changed_rows(
    denoiser: Denoiser, depth: int, n_rows: int, row: int
) -> np.ndarray[Any, Any]:
    """Return the rows whose output changes when one row of the input does.

    Doubles, and weights of one sign: nothing is lost to rounding or to the ReLU.
    """
    network = copy.deepcopy(denoiser).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
        before = torch.rand(1, 3, n_rows, 8, dtype=torch.float64)
        after = before.clone()
        after[:, :, row] += 1.0
        sigma = torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64)
        difference = network.at_depth(after, sigma, depth=depth) - network.at_depth(
            before, sigma, depth=depth
        )
    return np.flatnonzero(difference.abs().amax(dim=(0, 1, 3)).numpy())


@pytest.fixture(scope="module")
def denoise_plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    recipe = DenoiseRecipe(
        channels=4, depths=DEPTHS, depth_weights=(1.0,) * len(DEPTHS)
    )
    folder = tmp_path_factory.mktemp("denoise")
    return plan_of(checkpoint(folder, "denoise", recipe, recipe.network()))


@needs_data
def test_denoise_offers_the_depths_of_its_recipe(denoise_plan: Plan) -> None:
    """One step runs as often as the depth says, and is calibrated at every step."""
    radii = denoise_plan.facts["picture"]["radius_px"]
    _, step, tail = denoise_plan.entry_points
    assert denoise_plan.loop is not None

    assert DEPTHS == denoise_plan.loop.depths
    assert max(DEPTHS) * N_CALIBRATION == len(step.calibration)
    assert len(DEPTHS) * N_CALIBRATION == len(tail.calibration)
    assert {"1": 11, "2": 17, "4": 29} == radii


@needs_data
def test_denoise_calibrates_on_every_noise_level(denoise_plan: Plan) -> None:
    """Sigma runs from 0 to the strongest, and no tile is shown twice."""
    levels = [tile["sigma"].item() for tile in denoise_plan.entry_points[0].calibration]

    assert N_CALIBRATION == len(levels)
    np.testing.assert_allclose(
        np.linspace(0.0, 55.0 / PICTURE_PEAK, N_CALIBRATION), levels, rtol=1e-6
    )
    assert (1, *PHOTO_TILE_PX, 3) == denoise_plan.entry_points[0].calibration[0][
        "picture"
    ].shape


@needs_data
def test_denoise_is_proved_on_what_it_was_not_calibrated_on(
    denoise_plan: Plan,
) -> None:
    """No held-out tile is a calibration tile."""
    seen = {
        tile["picture"].tobytes() for tile in denoise_plan.entry_points[0].calibration
    }

    assert not seen & {
        tile["picture"].tobytes() for tile in denoise_plan.entry_points[0].held_out
    }


@needs_data
def test_superres_takes_small_tiles(tmp_path: Path) -> None:
    """Tiles are halved photographs; the file gives back twice as many pixels."""
    recipe = SuperresRecipe(channels=4, depths=(1, 2), depth_weights=(1.0, 1.0))
    plan = plan_of(checkpoint(tmp_path, "superres", recipe, recipe.network()))
    head, _, tail = plan.entry_points
    (restored,) = tail.outputs

    assert ("picture",) == tuple(tensor.name for tensor in head.inputs)
    assert restored.shape == (1, 256, 256, 3)
    assert {(1, 128, 128, 3)} == {tile["picture"].shape for tile in head.calibration}
    assert (2, None) == (
        plan.facts["picture"]["scale"],
        plan.facts["picture"]["sigma"],
    )


@needs_data
def test_enhance_is_told_the_tones_of_the_whole_picture(tmp_path: Path) -> None:
    """Tiles are dark and good, at full strength; radii are those of its depths."""
    recipe = EnhanceRecipe(channels=4, depths=(1, 2), depth_weights=(1.0, 1.0))
    plan = plan_of(checkpoint(tmp_path, "enhance", recipe, recipe.network()))
    head, _, tail = plan.entry_points

    assert ("picture", "tones") == tuple(tensor.name for tensor in head.inputs)
    assert ("stream", "picture", "tones", "strength", "exit") == tuple(
        tensor.name for tensor in tail.inputs
    )
    whites = [tile["tones"].flat[-1] for tile in head.calibration]
    assert min(whites) < 0.2 and max(whites) > 0.9
    assert (list(TONE_LEVELS), {"minimum": 0.0, "maximum": 1.0}) == (
        plan.facts["picture"]["tones"],
        plan.facts["picture"]["strength"],
    )


@needs_data
def test_looks_is_calibrated_on_every_look(tmp_path: Path) -> None:
    """Tiles are of a multiple that fits a quarter of the resolution."""
    recipe = LooksRecipe(channels=4, depths=(1, 2), depth_weights=(1.0, 1.0))
    plan = plan_of(checkpoint(tmp_path, "looks", recipe, recipe.network()))
    _, step, tail = plan.entry_points

    assert ("stream", "position", "look") == tuple(t.name for t in step.inputs)
    assert set(range(len(LOOKS))) == {
        int(tile["look"].argmax()) for tile in tail.calibration
    }
    assert (list(LOOKS), 4) == (
        plan.facts["picture"]["looks"],
        plan.facts["picture"]["multiple_px"],
    )


@needs_data
def test_digits_has_the_tensors_of_its_step(tmp_path: Path) -> None:
    """Inputs, outputs and states are named and shaped as the module takes them."""
    recipe = DigitsRecipe(hidden=8)
    network = recipe.network()
    folder = checkpoint(tmp_path, "digits", recipe, network)
    plan = plan_of(folder)
    (entry,) = plan.entry_points
    step = TranscriberStep(network.eval(), recipe.chunk_frames)
    inputs = step.example_inputs()
    with torch.no_grad():
        outputs = step(*inputs)

    assert [tuple(tensor.shape) for tensor in inputs] == [t.shape for t in entry.inputs]
    assert [tuple(tensor.shape) for tensor in outputs] == [
        t.shape for t in entry.outputs
    ]
    assert [s.input for s in step.state_tensors()] == [
        state["input"] for state in plan.facts["states"]
    ]
    for chunk in (*entry.calibration, *entry.held_out):
        assert [(t.name, t.shape) for t in entry.inputs] == [
            (name, values.shape) for name, values in chunk.items()
        ]


@needs_data
def test_digits_is_proved_with_states_that_speech_leaves(tmp_path: Path) -> None:
    """Beyond a clip's first chunk, states are no longer zero."""
    recipe = DigitsRecipe(hidden=8)
    folder = checkpoint(tmp_path, "digits", recipe, recipe.network())
    plan = plan_of(folder)

    assert any(chunk["gru_0"].any() for chunk in plan.entry_points[0].held_out)


@needs_data
def test_digits_is_not_calibrated_on_what_it_is_proved_on(tmp_path: Path) -> None:
    """Calibration chunks are of speakers that training heard, the others are not."""
    recipe = DigitsRecipe(hidden=8)
    plan = plan_of(checkpoint(tmp_path, "digits", recipe, recipe.network()))
    (entry,) = plan.entry_points
    proved_on = {chunk["features"].tobytes() for chunk in entry.held_out}

    assert N_CALIBRATION_CHUNKS == len(entry.calibration)
    assert not proved_on & {c["features"].tobytes() for c in entry.calibration}


@needs_data
@pytest.mark.parametrize(
    ("vocabulary", "written"),
    [
        (("yes", "no"), "these words and no others: yes, no.\n"),
        ((), "whatever the letters spell: a to z, apostrophe and space.\n"),
    ],
)
def test_digits_card_states_vocabulary_and_choice(
    tmp_path: Path, vocabulary: tuple[str, ...], written: str
) -> None:
    """The card says which words are written, and how the weights were chosen."""
    recipe = DigitsRecipe(hidden=8, vocabulary=vocabulary)
    plan = plan_of(checkpoint(tmp_path, "digits", recipe, recipe.network()))

    assert written in plan.card
    assert "A run keeps the weights of its last step" in (plan.card)


@needs_data
def test_digits_front_end_is_the_device_s(tmp_path: Path) -> None:
    """Every constant of the front end stands in the bundle."""
    recipe = DigitsRecipe(hidden=8)
    plan = plan_of(checkpoint(tmp_path, "digits", recipe, recipe.network()))
    constants = asdict(FrontEnd())

    assert constants == {name: plan.facts["speech"][name] for name in constants}


def test_source_facts_are_those_of_the_record() -> None:
    """Recipe, settings, revision and step as recorded; the weights as they are."""
    source = source_weights(torch.nn.Linear(3, 2))
    record = {"recipe": "denoise", "settings": {"a": 1}, "revision": "f00", "step": 7}

    assert {
        **record,
        "weights_sha256": weights_sha256(source),
        "unique_parameters": 8,
    } == source_facts(record, source)


def test_a_weight_with_two_names_is_one_source_weight() -> None:
    """A parameter counts once; its further names are aliases; buffers do not count."""
    layer = torch.nn.Linear(3, 2, bias=False)
    network = torch.nn.Sequential(layer, torch.nn.BatchNorm1d(2, affine=False), layer)
    (weight,) = source_weights(network)

    assert ("0.weight", ("2.weight",)) == (weight.name, weight.aliases)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), weight.values)


def test_the_hash_of_all_weights_follows_their_values() -> None:
    """Equal weights have one hash, and a changed one another."""
    layer = torch.nn.Linear(3, 2)
    before = weights_sha256(source_weights(layer))
    same = weights_sha256(source_weights(copy.deepcopy(layer)))
    with torch.no_grad():
        layer.bias += 1.0

    assert before == same
    assert before != weights_sha256(source_weights(layer))
