"""What help says of a recipe: each setting with its type, default and meaning."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator

from training.recipe import Recipe, setting_types, type_name

WIDTH = 78


def summary(kind: type[Recipe]) -> str:
    """Return a recipe in one line: the first of its docstring."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def settings_help(kind: type[Recipe]) -> str:
    """Return the settings of a recipe, its own first, each with its meaning below."""
    types = setting_types(kind)
    default = kind()  # type: ignore[call-arg]  # a recipe on offer has all defaults
    blocks = []
    for name, meaning in meanings(kind).items():
        value = _text(getattr(default, name))
        blocks.append(f"  {name}={value}  ({type_name(types[name])})")
        blocks.append(textwrap.indent(textwrap.fill(meaning, WIDTH - 6), " " * 6))
    return "\n".join(blocks)


def meanings(kind: type[Recipe]) -> dict[str, str]:
    """Return each setting's meaning: the string that stands under its field.

    A field that a recipe only gives another default keeps its meaning.
    """
    found: dict[str, str] = {}
    for owner in inspect.getmro(kind):
        if dataclasses.is_dataclass(owner):
            for name, meaning in _strings_under_fields(owner):
                found[name] = found.get(name) or meaning
    return found


def _strings_under_fields(kind: type) -> Iterator[tuple[str, str]]:
    """Yield (field, the string under it or nothing) as they stand in a class."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)  # the source of a class is one
    for statement, following in zip(body.body, [*body.body[1:], None], strict=True):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(meaning))),
            ):
                yield name, " ".join(meaning.split())
            case ast.AnnAssign(target=ast.Name(id=name)), _:
                yield name, ""


def _text(value: object) -> str:
    """Return a value as it is written behind NAME=."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
