"""The one tree of expected failures.

TiedgeError            anything a user can cause; printed as one line, exit status 1
├── BundleError        a bundle that breaks its contract
├── EngineError        an engine that is missing, or that refused a model or a call
├── PictureError       a picture that cannot be read, or written
├── VideoError         a camera, video or stream that cannot be read, or written
├── GrammarError       a grammar that cannot be read or understood
├── AudioError         audio that cannot be read, or lies outside the supported range
├── DataError          a data folder, list or table that does not hold what it should
├── SettingError       an option, recipe setting or environment variable
├── CheckpointError    a training checkpoint that cannot be read or does not fit
├── ModuleError        a PyTorch module that cannot be exported, or wrong example inputs
├── SharingError       weight sharing that an exported file lost
└── ParityError        an exported file that does not compute what the module does
"""

from __future__ import annotations


class TiedgeError(Exception):
    """An expected failure; the message says where, found, expected, and the way out."""


class BundleError(TiedgeError):
    """A bundle breaks its contract."""


class EngineError(TiedgeError):
    """An engine is missing, or refused a model or a call."""


class PictureError(TiedgeError):
    """A picture cannot be read or written."""


class VideoError(TiedgeError):
    """A camera, video or stream cannot be read or written."""


class GrammarError(TiedgeError):
    """A grammar cannot be read, or is none."""


class AudioError(TiedgeError):
    """Audio cannot be read, or lies outside the supported range."""


class DataError(TiedgeError):
    """A data folder, list or table does not hold what it should."""


class SettingError(TiedgeError):
    """An option, recipe setting or environment variable is not legal."""


class CheckpointError(TiedgeError):
    """A training checkpoint cannot be read or does not fit."""


class ModuleError(TiedgeError):
    """A PyTorch module cannot be exported, or its example inputs do not fit it."""


class SharingError(TiedgeError):
    """An exported file lost weight sharing."""


class ParityError(TiedgeError):
    """An exported file does not compute what its source module does."""


def missing_package(package: str, extra: str) -> TiedgeError:
    """Return the error for an optional package that is not installed.

    It names no index: what tiedge was installed from, a folder or a wheel, is at hand.
    """
    return SettingError(
        f'{package} is not installed; it comes with tiedge\'s extra "{extra}": pip'
        f' install ".[{extra}]" in tiedge\'s folder, or pip install'
        f' "WHEEL[{extra}]" with the path of its wheel'
    )


def one_line(text: str) -> str:
    r"""Return `text` with all that is not printable escaped; a name may hold anything.

    >>> print(one_line("a\nb.png: no such file"))
    a\nb.png: no such file
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
