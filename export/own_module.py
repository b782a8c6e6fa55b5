"""The function that `tiedge export package.module:function` names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.errors import ModuleError
from export.convert import Entry
from export.own_dial import Dial
from export.trace import first_line


def entries_of(target: str) -> Entry | Mapping[str, Entry] | Dial:
    """Return what the function gives: an Entry, several by name, or a Dial.

    Modules are looked for in the current folder as well. Raises ModuleError where
    there is no such function, where it fails, and where it gives something else.
    """
    sys.path.append(str(Path.cwd()))
    module_name, _, function_name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ModuleError(
            f"{target}: {module_name} cannot be imported: {reason}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ModuleError(f"{target}: {module_name} has no function {function_name!r}")
    try:
        entries = function()
    except (Exception, SystemExit) as error:  # whatever the user's function raises
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ModuleError(f"{target}: fails: {reason}") from error
    if isinstance(entries, Entry | Dial):
        return entries
    named: Mapping[str, object] = entries if isinstance(entries, Mapping) else {}
    found = {k: entry for k, entry in named.items() if isinstance(entry, Entry)}
    if named and len(found) == len(named):
        return found
    raise ModuleError(
        f"{target}: gives {type(entries).__name__}, expected export.convert.Entry, a"
        " dictionary of them by name, or export.own_dial.Dial"
    )
