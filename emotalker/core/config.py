"""Settings as frozen dataclasses. The class is the only place for a setting's type, default and meaning.

A field is declared with :func:`setting` or :func:`mandatory`. Configurations of networks (:class:`ModelConfig`) are also
stored in checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Self, TypeVar, get_origin, get_type_hints

from emotalker.core.errors import ConfigError, MissingExtraError

#: Hydra's mark of a value that the user has to give.
MANDATORY = "???"


@dataclass(frozen=True)
class Settings:
    """Base of all settings.

    Attributes:
        NAME: of a stage: the folder below ``configs/`` that contains its groups.
        GROUPS: of a stage: group to the option that is chosen by default.
    """

    NAME: ClassVar[str] = ""
    GROUPS: ClassVar[Mapping[str, str]] = {}
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "coerce_numbers_to_str": True}


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class ModelConfig(Settings):
    """Hyperparameters of one network: numbers, strings, booleans, and tuples or dicts of them."""

    def to_dict(self) -> dict[str, Any]:
        """The hyperparameters as a dict that ``json`` can write."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`; lists become tuples. Raises ValueError if a name is not a field of this class."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"{cls.__name__} has no {', '.join(sorted(unknown))}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def setting(default: Any, help: str, least: float = 0) -> Any:
    """A dataclass field with a default. ``help`` states its meaning and unit; ``--help`` prints it.

    Numbers are finite and not below ``least``.

    A subclass that changes the default only assigns it (``steps: int = 400``): the help is inherited.
    """
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"help": help})
    return field(default=default, metadata={"help": help, "least": least})


def mandatory(help: str, least: float = 0) -> Any:
    """A dataclass field without a default. A group of settings takes the defaults of its fields."""
    return field(metadata={"help": help, "least": least})


@dataclass(frozen=True)
class Setting:
    """One entry of a schema.

    Attributes:
        name: with dots, as on the command line.
        help: meaning and unit.
        least: smallest number.
        group: the entry holds further settings.
        open: the entry is a dict with keys of any name.
        default: :data:`MANDATORY` if there is none; a dict for a group.
    """

    name: str
    help: str
    least: float
    group: bool
    open: bool
    default: Any


def settings_of(schema: type[Settings]) -> Iterator[Setting]:
    """All entries of a schema, depth first; a group comes before its entries."""
    return _settings_of(schema, "", defaults_of(schema))


def _settings_of(schema: type[Settings], prefix: str, defaults: Mapping[str, Any]) -> Iterator[Setting]:
    types = get_type_hints(schema)
    for entry in fields(schema):
        kind, default = types[entry.name], defaults[entry.name]
        name, group = f"{prefix}{entry.name}", is_dataclass(kind)
        about = _metadata_of(schema, entry.name)
        yield Setting(name, about.get("help", ""), about.get("least", 0), group, _is_dict(kind), default)
        if group:
            yield from _settings_of(kind, f"{name}.", default)


def _metadata_of(schema: type[Settings], name: str) -> Mapping[str, Any]:
    """Help and least number of a field, from the nearest class that states them."""
    declared = (vars(base).get("__dataclass_fields__", {}).get(name) for base in schema.__mro__)
    return next((entry.metadata for entry in declared if entry is not None and "help" in entry.metadata), {})


def _is_dict(kind: Any) -> bool:
    return (get_origin(kind) or kind) is dict


def defaults_of(schema: type[Settings]) -> dict[str, Any]:
    """The defaults of a schema as nested dicts of plain values, :data:`MANDATORY` where there is none."""
    types = get_type_hints(schema)
    return {entry.name: _default(entry, types[entry.name]) for entry in fields(schema)}


def _default(entry: Field, kind: Any) -> Any:
    if entry.default is not MISSING:
        return to_plain(entry.default)
    if entry.default_factory is not MISSING:
        return to_plain(entry.default_factory())
    return defaults_of(kind) if is_dataclass(kind) else MANDATORY


def to_plain(value: Any) -> Any:
    """Dataclasses to dicts and tuples to lists, as ``json`` and YAML return them."""
    if is_dataclass(value):
        return {entry.name: to_plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(entry) for key, entry in value.items()}
    return [to_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def check_name(schema: type[Settings], name: str) -> None:
    """Raise ConfigError if a schema has no setting of this name."""
    known = {entry.name: entry for entry in settings_of(schema)}
    parents = [".".join(name.split(".")[:i]) for i in range(1, name.count(".") + 1)]
    if name in known or any(parent in known and known[parent].open for parent in parents):
        return
    close = get_close_matches(name, [n for n, entry in known.items() if not (entry.group and "." in name)], n=1)
    hint = f"did you mean {close[0]}?" if close else "--help lists all settings"
    raise ConfigError(f"unknown setting {name}; {hint}")


def parse(schema: type[S], values: Mapping[str, Any]) -> S:
    """Nested dicts of plain values to the typed settings.

    Raises:
        ConfigError: a key is unknown, a mandatory value is missing or a value has the wrong type.
        MissingExtraError: pydantic is not installed.
    """
    try:
        from pydantic import TypeAdapter, ValidationError
    except ImportError as error:
        raise MissingExtraError("settings need pydantic: pip install 'emotalker[train]'") from error
    _check_names(schema, values)
    known = {entry.name: entry for entry in settings_of(schema)}
    try:
        parsed = TypeAdapter(schema).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]  # further parts are positions in a list or alternatives of a union
        name = next(n for i in range(len(place), -1, -1) if (n := ".".join(place[:i])) in known or not n)
        if first["type"] == "value_error":  # of a group's __post_init__, whose message starts with an entry's name
            raise ConfigError(f"{name}.{first['ctx']['error']}") from error
        reason = _reason(first) if len(error.errors()) == 1 else "has the wrong type"  # several errors are a union's
        raise ConfigError(f"{name}={_shown(values, name)} {reason}: {known[name].help}") from error
    _check_numbers(parsed, known)
    return parsed


def _check_numbers(settings: Settings, known: Mapping[str, Setting], prefix: str = "") -> None:
    for entry in fields(settings):
        value, name = getattr(settings, entry.name), f"{prefix}{entry.name}"
        if is_dataclass(value):
            _check_numbers(value, known, f"{name}.")
            continue
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not known[name].least <= number < math.inf:
                reason = f"is below {known[name].least}" if number < known[name].least else "is no finite number"
                raise ConfigError(f"{name}={number} {reason}: {known[name].help}")


def _check_names(schema: type[Settings], values: Mapping[str, Any], prefix: str = "") -> None:
    known = {entry.name: entry for entry in settings_of(schema)}
    for key, value in values.items():
        name = f"{prefix}{key}"
        check_name(schema, name)
        if known[name].group and isinstance(value, Mapping):
            _check_names(schema, value, f"{name}.")
        elif known[name].group:
            hint = "; choose a preset as preset=NAME" if "preset" in schema.GROUPS else ""
            raise ConfigError(f"{name}={value}: {name} is a group of settings, changed as {name}.NAME=VALUE{hint}")
        elif value == MANDATORY:
            raise ConfigError(f"{name} is missing: {known[name].help}; give {name}=...")
        elif isinstance(value, bool) and not isinstance(known[name].default, bool):  # pydantic would take it as 0 or 1
            raise ConfigError(f"{name}={str(value).lower()} has the wrong type: {known[name].help}")


def _reason(error: Mapping[str, Any]) -> str:
    """One of pydantic's errors as the predicate of a sentence."""
    kind = error["type"]
    if kind == "literal_error":
        return f"is not {error['ctx']['expected']}".replace("'", "")
    reasons = {
        "int_": "is not a whole number",
        "float_": "is not a number",
        "bool_": "is neither true nor false",
        "string_": "is not a text",
        "tuple_": "is not a list",
        "missing": "has too few entries",
        "too_long": "has too many entries",
    }
    return next((reason for prefix, reason in reasons.items() if kind.startswith(prefix)), "has the wrong type")


def _shown(values: Any, name: str) -> str:
    for part in name.split("."):
        values = values[part]
    return "null" if values is None else str(values)
