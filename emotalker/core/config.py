"""The base of every network's configuration: plain values only, so that it travels inside a checkpoint as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class ModelConfig:
    """Hyperparameters of one network: numbers, strings, booleans, and tuples or dicts of them."""

    def to_dict(self) -> dict[str, Any]:
        """The hyperparameters as a dict that ``json`` can write."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`; lists become tuples. ValueError if a name is not one of this class's."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"{cls.__name__} has no {', '.join(sorted(unknown))}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
