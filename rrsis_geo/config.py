"""Read settings from TOML files and ``a.b=c`` overrides into frozen dataclasses.

Unknown names are errors, and the message suggests the nearest known name. This module checks names
and types. The dataclasses check ranges in ``__post_init__``.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, TypeVar, Union

from rrsis_geo.errors import ConfigError

T = TypeVar("T")


def load(path: Path, cls: type[T], overrides: Sequence[str] = ()) -> T:
    """Read a TOML file into a dataclass.

    Args:
        path: the file. Its tables are the nested dataclasses of ``cls``.
        cls: a dataclass. Its fields may be dataclasses, scalars, ``Path``, ``Literal``, tuples,
            lists, mappings, and optionals of these.
        overrides: strings ``"table.key=value"``, applied in order on top of the file. A value is
            read as TOML, or as a string if it is not TOML (``name=swin`` needs no quotes).

    Raises:
        ConfigError: the file cannot be read, a key is unknown or duplicate, a value has the wrong
            type, or the dataclass rejects it.
    """
    return build(cls, override(read_toml(path), overrides), source=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read the tables of a TOML file.

    Raises:
        ConfigError: the file does not exist or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise ConfigError(f"{path}: no such configuration file") from err
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: cannot be read: {err}") from err
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{path}: not valid TOML: {err}") from err


def override(settings: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a copy of ``settings`` with overrides ``"a.b=c"``.

    Raises:
        ConfigError: an override has no ``=``, or a key on its way is not a table.
    """
    result = _copy(settings)
    for item in overrides:
        name, equals, text = item.partition("=")
        keys = [key.strip() for key in name.split(".")]
        if not equals or not all(keys):
            raise ConfigError(f'override "{item}": write key=value or table.key=value')
        table = result
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ConfigError(f'override "{item}": "{key}" is a value, not a table')
        table[keys[-1]] = _parse_value(text.strip())
    return result


def build(cls: type[T], settings: Mapping[str, Any], *, source: str = "settings") -> T:
    """Build an instance of the dataclass ``cls`` from nested mappings.

    Args:
        cls: a dataclass.
        settings: contents of a TOML or JSON file.
        source: name of the settings in error messages.

    Raises:
        ConfigError: see `load`.
    """
    return typing.cast(T, _build_dataclass(cls, settings, source, ""))


def to_dict(config: object) -> dict[str, Any]:
    """Convert a dataclass to values that JSON and TOML can store. `build` is the inverse.

    Fields that are None are left out, because TOML has no null.
    """
    return {
        field.name: _to_plain(getattr(config, field.name))
        for field in dataclasses.fields(config)  # type: ignore[arg-type]
        if getattr(config, field.name) is not None
    }


def _to_plain(value: object) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | frozenset | set):
        return [_to_plain(item) for item in value]
    return value


def _copy(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _copy(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
    }


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _build_dataclass(cls: type, settings: object, source: str, where: str) -> object:
    if not isinstance(settings, Mapping):
        raise _type_error(source, where, f"a table of {cls.__name__}", settings)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in settings:
        if key not in fields:
            raise ConfigError(f'{source}: unknown setting "{where}{key}"{_suggest(key, fields)}')
    missing = [
        name
        for name, field in fields.items()
        if name not in settings
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        names = ", ".join(f'"{where}{name}"' for name in missing)
        raise ConfigError(f"{source}: {names} must be set")
    hints = typing.get_type_hints(cls)
    values = {
        key: _convert(hints[key], value, source, f"{where}{key}") for key, value in settings.items()
    }
    try:
        return cls(**values)
    except ConfigError as err:
        raise ConfigError(f"{source}: {f'[{where[:-1]}] ' if where else ''}{err}") from err


def _suggest(key: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known settings: {', '.join(names)}" if names else ""


def _convert(hint: Any, value: Any, source: str, where: str) -> Any:
    """Convert a value to the type ``hint``: arrays to tuples, strings to paths."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object:
        return value
    if dataclasses.is_dataclass(hint):
        return _build_dataclass(typing.cast(type, hint), value, source, f"{where}.")
    if origin in (Union, types.UnionType):
        return _convert_union(args, value, source, where)
    if origin is Literal:
        if not any(value == arg and type(value) is type(arg) for arg in args):
            choices = ", ".join(repr(arg) for arg in args)
            raise _type_error(source, where, f"one of {choices}", value)
        return value
    container = origin or hint
    if container in (tuple, list, Sequence, frozenset, set):
        return _convert_array(container, args, value, source, where)
    if container in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _type_error(source, where, "a table", value)
        item = args[1] if args else Any
        return {key: _convert(item, value[key], source, f"{where}.{key}") for key in value}
    return _convert_scalar(hint, value, source, where)


def _convert_union(args: tuple[Any, ...], value: Any, source: str, where: str) -> Any:
    """Convert a value to the first type of a union that accepts it. TOML writes None as "none"."""
    if type(None) in args and (value is None or value == "none"):
        return None
    members = [arg for arg in args if arg is not type(None)]
    for member in members[:-1]:
        try:
            return _convert(member, value, source, where)
        except ConfigError:
            continue
    return _convert(members[-1], value, source, where)


def _convert_array(
    container: Any, args: tuple[Any, ...], value: Any, source: str, where: str
) -> Any:
    if not isinstance(value, list | tuple):
        raise _type_error(source, where, "an array", value)
    if container is tuple and args and args[-1] is not Ellipsis:
        if len(value) != len(args):
            raise _type_error(source, where, f"an array of {len(args)} values", value)
        items = args
    else:
        items = (args[0] if args else Any,) * len(value)
    values = [
        _convert(item, entry, source, f"{where}[{index}]")
        for index, (item, entry) in enumerate(zip(items, value, strict=True))
    ]
    if container in (tuple, Sequence):
        return tuple(values)
    return values if container is list else container(values)


def _convert_scalar(hint: Any, value: Any, source: str, where: str) -> Any:
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as err:
            raise _type_error(source, where, "a number below 1e308", value) from err
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    if hint in (str, bool) and isinstance(value, hint):
        return value
    names = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    raise _type_error(source, where, names.get(hint, getattr(hint, "__name__", str(hint))), value)


def _type_error(source: str, where: str, expected: str, value: object) -> ConfigError:
    name = f'"{where.rstrip(".")}" ' if where else ""
    got = shorten(repr(value), 100, placeholder="...")
    return ConfigError(f"{source}: {name}must be {expected}, got {got}")
