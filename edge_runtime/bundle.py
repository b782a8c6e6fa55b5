"""The bundle: a folder that a device can trust before it runs a byte of it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle_check import (
    check_fingerprint,
    check_language,
    check_names,
    check_picture,
    check_speech,
    check_states,
)
from edge_runtime.bundle_parts import (
    TASKS,
    Fingerprint,
    LanguageSpec,
    Licence,
    ListedFile,
    Metric,
    ModelFile,
    PictureSpec,
    Signature,
    Source,
    SpeechSpec,
    StateSpec,
    TensorSpec,
)
from edge_runtime.bundle_reader import (
    NAME,
    read_depths,
    read_file,
    read_fingerprint,
    read_language,
    read_licence,
    read_metric,
    read_name,
    read_picture,
    read_source,
    read_speech,
    read_state,
    read_texts,
)
from edge_runtime.errors import BundleError
from edge_runtime.json_fields import Field, parse_json, refusal
from edge_runtime.loop_check import check_loops
from edge_runtime.model_reader import read_model

__all__ = [
    "BUNDLES",
    "Bundle",
    "ModelFile",
    "PictureSpec",
    "Signature",
    "SpeechSpec",
    "StateSpec",
    "TensorSpec",
    "find_bundle",
]

BUNDLES = Path(__file__).parent / "bundles"
"""The ready-made bundles."""

FORMAT = "tiedge bundle"
FORMAT_VERSION = 1
MANIFEST = "bundle.json"
SIGNATURE = "bundle.sig"
MAX_MANIFEST_BYTES = 16 * 2**20
_COPY_AGAIN = "copy the bundle again"
_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: every listed byte is there, and every part fits the others."""

    folder: Path
    """Absolute."""

    name: str
    task: str
    """One of TASKS."""

    summary: str
    tiedge_version: str
    source: Source
    files: tuple[ListedFile, ...]
    models: tuple[ModelFile, ...]
    depths: tuple[int, ...]
    """How often the block may run, shallowest first; empty where there is no dial."""

    states: tuple[StateSpec, ...]
    picture: PictureSpec | None
    """Not None for the task "picture"."""

    speech: SpeechSpec | None
    """Not None for the task "speech"."""

    language: LanguageSpec | None
    """Not None for the task "language"."""

    fingerprint: tuple[Fingerprint, ...]
    licence: Licence
    training_data: tuple[str, ...]
    metrics: tuple[Metric, ...]

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Return the bundle that lies in `folder`, after reading every byte of it.

        Raises BundleError, in one line with file, field, found and expected, for
        anything that docs/bundle.md does not allow. Nothing is repaired.
        """
        file = str(folder / MANIFEST)
        try:
            root = parse_json(_read_manifest(folder), file)
            bundle = _read_bundle(root, folder.resolve())
            _check_parts(bundle, file)
            _check_folder(bundle, folder)
        except OSError as error:
            raise BundleError(f"{folder}: cannot be read: {error.strerror}") from error
        return bundle

    def model(self, format: str, precision: str) -> ModelFile:
        """Return the model file; raises BundleError naming those there are."""
        for model in self.models:
            if (model.format, model.precision) == (format, precision):
                return model
        there = ", ".join(f"{model.format} {model.precision}" for model in self.models)
        raise BundleError(
            f"{self.folder}: no {format} file of precision {precision},"
            f" expected one of: {there}"
        )


def find_bundle(name_or_path: str) -> Bundle:
    """Return the ready-made bundle of that name, else the bundle at that path.

    Raises BundleError if there is none, or if it breaks its contract.
    """
    ready_made = BUNDLES / name_or_path
    if NAME.fullmatch(name_or_path) and ready_made.is_dir():
        return Bundle.open(ready_made)
    if os.path.isdir(name_or_path):  # noqa: PTH112 (Path.is_dir raises for long names)
        return Bundle.open(Path(name_or_path))
    names = sorted(path.parent.name for path in BUNDLES.glob(f"*/{MANIFEST}"))
    raise BundleError(
        f"{name_or_path}: no such bundle, expected a folder or one of:"
        f" {' '.join(names) or 'none is installed'}"
    )


def _read_manifest(folder: Path) -> str:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder, expected a bundle")
    if not path.is_file() or path.is_symlink():
        raise BundleError(f"{folder}: holds no {MANIFEST}, expected a bundle")
    with path.open("rb") as handle:
        data = handle.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise refusal(
            str(path), "the file", "larger", f"at most {MAX_MANIFEST_BYTES} bytes"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path}: not UTF-8 text; {_COPY_AGAIN}") from error


def _read_bundle(root: Field, folder: Path) -> Bundle:
    _check_version(root)
    fields = root.object(
        "format",
        "format_version",
        "name",
        "task",
        "summary",
        "tiedge_version",
        "source",
        "files",
        "models",
        "depths",
        "states",
        "picture",
        "speech",
        "language",
        "fingerprint",
        "licence",
        "training_data",
        "metrics",
        optional=("language",),  # earlier bundles have none
    )
    return Bundle(
        folder=folder,
        name=read_name(fields["name"]),
        task=fields["task"].choice(TASKS),
        summary=fields["summary"].text(),
        tiedge_version=fields["tiedge_version"].text(),
        source=read_source(fields["source"]),
        files=fields["files"].list_of(read_file, at_least=1),
        models=fields["models"].list_of(
            lambda field: read_model(field, folder), at_least=1
        ),
        depths=read_depths(fields["depths"]),
        states=fields["states"].list_of(read_state),
        picture=fields["picture"].or_null(read_picture),
        speech=fields["speech"].or_null(read_speech),
        language=fields["language"].or_null(read_language),
        fingerprint=fields["fingerprint"].list_of(read_fingerprint, at_least=1),
        licence=read_licence(fields["licence"]),
        training_data=read_texts(fields["training_data"]),
        metrics=fields["metrics"].list_of(read_metric),
    )


def _check_version(root: Field) -> None:
    # Before any other field, so that a newer file is named for what it is.
    root.field("format").choice((FORMAT,))
    version = root.field("format_version").whole(minimum=1)
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{root.file}: format_version is {version}, expected {FORMAT_VERSION};"
            " update tiedge"
        )


def _check_parts(bundle: Bundle, file: str) -> None:
    check_names(file, bundle.files, bundle.models, (MANIFEST, SIGNATURE))
    check_fingerprint(file, bundle.fingerprint, bundle.models)
    check_states(file, bundle.states)
    check_loops(file, bundle.models)
    given = {
        "picture": bundle.picture,
        "speech": bundle.speech,
        "language": bundle.language,
    }
    for task, spec in given.items():
        if (spec is not None) != (task == bundle.task):
            raise refusal(
                file,
                task,
                "null" if spec is None else "an object",
                f'{"an object" if spec is None else "null"} for task "{bundle.task}"',
            )
    if bundle.picture is not None:
        check_picture(file, bundle.models, bundle.depths, bundle.picture)
        if bundle.states:
            raise refusal(file, "states", "given", 'an empty list for task "picture"')
    elif bundle.task == "model":
        for model in bundle.models:
            depths = () if model.loop is None else model.loop.depths
            if depths != bundle.depths:
                raise refusal(
                    file, "depths", f"{bundle.depths}", f"those of the loop, {depths}"
                )
    elif bundle.depths:
        expected = f'an empty list for task "{bundle.task}"'
        raise refusal(file, "depths", "given", expected)
    if bundle.speech is not None:
        check_speech(file, bundle.models, bundle.states, bundle.speech)
    if bundle.language is not None:
        check_language(file, bundle.models, bundle.states, bundle.language)


def _check_folder(bundle: Bundle, shown: Path) -> None:
    listed = {
        **{file.path: (file.bytes, file.sha256) for file in bundle.files},
        **{model.path.name: (model.bytes, model.sha256) for model in bundle.models},
    }
    present = {entry.name: entry for entry in os.scandir(bundle.folder)}
    for name, entry in sorted(present.items()):
        if name not in listed and name not in (MANIFEST, SIGNATURE):
            raise BundleError(
                f"{shown}: holds {name!r}, which {MANIFEST} does not list;"
                f" take it out or {_COPY_AGAIN}"
            )
        if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            raise BundleError(
                f"{shown / name}: is a link or a folder, expected a file; {_COPY_AGAIN}"
            )
    for name in listed:
        if name not in present:
            raise BundleError(
                f"{shown / name}: no such file, but {MANIFEST} lists it; {_COPY_AGAIN}"
            )
    _check_sizes(listed, bundle.folder, shown)
    _check_hashes(listed, bundle.folder, shown)


def _check_sizes(
    listed: Mapping[str, tuple[int, str]], folder: Path, shown: Path
) -> None:
    for name, (expected, _) in listed.items():
        found = (folder / name).stat().st_size
        if found != expected:
            raise BundleError(
                f"{shown / name}: is {found} bytes, expected {expected} as"
                f" {MANIFEST} says; {_COPY_AGAIN}"
            )


def _check_hashes(
    listed: Mapping[str, tuple[int, str]], folder: Path, shown: Path
) -> None:
    for name, (_, expected) in listed.items():
        found = _sha256(folder / name)
        if found != expected:
            raise BundleError(
                f"{shown / name}: SHA-256 is {found}, expected {expected} as"
                f" {MANIFEST} says; {_COPY_AGAIN}"
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
