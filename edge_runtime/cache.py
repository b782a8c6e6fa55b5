"""Where this user's machine keeps what can be made again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.errors import SettingError


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the per-user cache folder; it may not exist yet.

    `$XDG_CACHE_HOME/tiedge`, else `~/.cache/tiedge`. A relative XDG_CACHE_HOME is
    ignored, as the XDG base directory specification says. Raises SettingError for a
    user without a home folder.
    """
    given = Path(environment.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given / "tiedge"
    try:
        return Path.home() / ".cache" / "tiedge"
    except RuntimeError as error:
        raise SettingError(
            "XDG_CACHE_HOME: not set, and this user has no home folder;"
            " set it to a folder for caches"
        ) from error
