"""What is measured: a bundle on one of its engines, or a checkpoint in torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.bundle import BUNDLES, MANIFEST, Bundle, ModelFile, find_bundle
from edge_runtime.bundle_parts import Interval
from edge_runtime.bundle_reader import NAME
from edge_runtime.decoder import Decoding
from edge_runtime.engine import Engine
from edge_runtime.engines import FORMAT_OF_ENGINE, open_engine
from edge_runtime.errors import CheckpointError, SettingError
from edge_runtime.image_filter import ImageFilter
from edge_runtime.speech.choice import DecodingChoice
from training.evaluation_pictures import PictureWork
from training.evaluation_speech import Reader, bundle_reader
from training.looks import LOOKS
from training.recipes import RECIPES
from training.recipes.denoise import DenoiseRecipe
from training.recipes.enhance import EnhanceRecipe
from training.recipes.looks import LooksRecipe
from training.record import read_record
from training.speech import ALPHABET, BLANK
from training.tensorflow_engine import open_tensorflow

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""Those that the ready-made bundles were exported from."""

TORCH = "torch"
TORCH_PRECISION = "fp32"
FORMATS = {**FORMAT_OF_ENGINE, "tensorflow": "tflite"}
"""Engine to the model format that it runs; beside these there is torch."""


@dataclass(frozen=True)
class Choice:
    """What the user asked to be run, and by what; None is the default."""

    what: str
    """A ready-made bundle's name, a bundle's folder or a checkpoint's."""
    engine: str | None = None
    precision: str | None = None
    threads: int = 1
    decoding: DecodingChoice = field(default_factory=DecodingChoice)
    """How a speech network's sound becomes words."""


@dataclass(frozen=True)
class Subject:
    """A network at work, and what to call it."""

    name: str
    engine: str
    engine_version: str
    precision: str
    threads: int
    work: PictureWork | Reader
    """Pictures in and out, or audio file to text."""

    @property
    def conditions(self) -> dict[str, str | int]:
        """What a row of figures has to say about the subject."""
        return {
            "bundle": self.name,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "precision": self.precision,
            "threads": self.threads,
        }


@contextmanager
def open_subject(choice: Choice) -> Iterator[Subject]:
    """Open a bundle on litert at int8, or a checkpoint in torch, if not told otherwise.

    Raises BundleError or CheckpointError for what cannot be read, SettingError for an
    engine that is missing or that does not run this, EngineError where it fails.
    """
    if choice.threads < 1:
        raise SettingError(f"threads: found {choice.threads}, expected 1 or more")
    checkpoint = _checkpoint(choice)
    if checkpoint is None:
        opened = _open_bundle(choice)
    else:
        opened = _open_checkpoint(choice, checkpoint)
    with opened as subject:
        yield subject


def committed_checkpoint(name: str) -> Path | None:
    """Return the checkpoint of a ready-made bundle; None if it is not at hand."""
    folder = CHECKPOINTS / name
    return folder if NAME.fullmatch(name) and folder.is_dir() else None


def _checkpoint(choice: Choice) -> Path | None:
    """Return the checkpoint that is meant, or None where a bundle is."""
    # os.path, for Path raises where a name is too long to be one.
    is_bundle = any(
        os.path.isfile(parent / choice.what / MANIFEST)  # noqa: PTH113
        for parent in (BUNDLES, Path())
    )
    if choice.engine == TORCH and is_bundle:
        committed = committed_checkpoint(choice.what)
        if committed is not None:
            return committed
        raise SettingError(
            f"{choice.what}: is a bundle, torch runs checkpoints; name the checkpoint's"
            " folder, or another --engine"
        )
    is_folder = os.path.isdir(choice.what)  # noqa: PTH112
    return Path(choice.what) if is_folder and not is_bundle else None


@contextmanager
def _open_bundle(choice: Choice) -> Iterator[Subject]:
    bundle = find_bundle(choice.what)
    name = choice.engine or "litert"
    model = bundle.model(FORMATS[name], choice.precision or "int8")
    speech = bundle.speech
    symbols = ((), ()) if speech is None else (speech.alphabet, speech.vocabulary)
    opening = _open_decoding(choice, *symbols)
    with _open_engine(name, model, choice.threads) as engine, opening as decoding:
        yield Subject(
            bundle.name,
            engine.name,
            engine.version,
            model.precision,
            choice.threads,
            _bundle_work(bundle, engine, decoding),
        )


def _open_engine(name: str, model: ModelFile, threads: int) -> Engine:
    if name == "tensorflow":
        return open_tensorflow(model, threads)
    return open_engine(name, model, threads)


@contextmanager
def _open_decoding(
    choice: Choice, alphabet: Sequence[str], vocabulary: Sequence[str]
) -> Iterator[Decoding]:
    """Yield how sound becomes words; the language model runs on a device's engine.

    What reads no speech has no alphabet.
    """
    if not alphabet:
        if choice.decoding.is_made:
            raise SettingError(
                f"{choice.what}: reads no speech; leave out --language-model, --beam,"
                " --hot-words, --words and --grammar"
            )
        yield Decoding()
        return
    name = choice.engine if choice.engine in FORMAT_OF_ENGINE else "litert"
    opening = choice.decoding.open(alphabet, vocabulary, str(name), choice.threads)
    with opening as decoding:
        yield decoding


def _bundle_work(
    bundle: Bundle, engine: Engine, decoding: Decoding
) -> PictureWork | Reader:
    if bundle.picture is None:
        return bundle_reader(bundle, engine, decoding)
    return PictureWork(
        ImageFilter(bundle, engine).apply,
        bundle.depths,
        bundle.picture.scale,
        bundle.picture.sigma,
        bundle.picture.strength,
        bundle.picture.looks,
    )


@contextmanager
def _open_checkpoint(choice: Choice, folder: Path) -> Iterator[Subject]:
    if choice.engine not in (None, TORCH):
        raise SettingError(
            f"{choice.what}: is no bundle, {choice.engine} runs bundles; run tiedge"
            " export first, or leave out --engine"
        )
    if choice.precision not in (None, TORCH_PRECISION):
        raise SettingError(
            f"{choice.what}: {choice.precision} is for bundles, a checkpoint is"
            f" {TORCH_PRECISION}; leave out --precision"
        )
    record = read_record(folder)
    if record["recipe"] not in RECIPES:
        raise CheckpointError(
            f"{folder}: recipe {record['recipe']!r}, expected one of"
            f" {' '.join(RECIPES)}"
        )
    # torch is not needed to measure a bundle, nor to see that this is no checkpoint.
    import torch

    from training.trained import torch_threads

    with torch_threads(choice.threads), _checkpoint_work(choice, folder) as work:
        yield Subject(
            folder.resolve().name,
            TORCH,
            torch.__version__,
            TORCH_PRECISION,
            choice.threads,
            work,
        )


@contextmanager
def _checkpoint_work(choice: Choice, folder: Path) -> Iterator[PictureWork | Reader]:
    from training.network_reader import network_reader
    from training.network_restorer import network_restorer
    from training.trained import TrainedLanguage, TrainedRepeated, open_checkpoint

    trained = open_checkpoint(folder)
    if isinstance(trained, TrainedRepeated):
        recipe = trained.recipe
        yield PictureWork(
            network_restorer(trained.network),
            recipe.depths,
            trained.network.scale,
            Interval(0.0, recipe.sigma_max)
            if isinstance(recipe, DenoiseRecipe)
            else None,
            Interval(0.0, 1.0)
            if isinstance(recipe, (EnhanceRecipe, LooksRecipe))
            else None,
            tuple(LOOKS) if isinstance(recipe, LooksRecipe) else (),
        )
        return
    if isinstance(trained, TrainedLanguage):
        raise SettingError(
            f"{folder}: is a language model; its log has the perplexities of held-out"
            " texts"
        )
    with _open_decoding(choice, ALPHABET, trained.vocabulary) as decoding:
        maker = decoding.maker(ALPHABET, BLANK, trained.vocabulary, trained.phones)
        yield network_reader(trained.network, trained.recipe.front_end, maker)
