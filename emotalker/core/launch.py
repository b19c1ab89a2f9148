"""Starting a stage: Hydra composes its settings from schema, preset and command line; errors become one sentence."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from emotalker.core.cli import run
from emotalker.core.config import S, Settings, check_name, defaults_of, parse, settings_of, to_plain
from emotalker.core.errors import ConfigError, MissingExtraError
from emotalker.core.shipped import shipped_folder

CONFIGS = shipped_folder("configs") or Path("configs")
WIDTH = 126


def launch(schema: type[Settings], target: str) -> None:
    """Run a stage with the settings of the command line.

    Exits with status 1 and one sentence when a user can fix the cause. ``--help`` prints the script's docstring and all
    settings with the values they would have; ``--cfg job`` prints the values as YAML.

    Args:
        schema: of the stage.
        target: ``"module:function"``; imported after the settings are checked, because torch takes seconds to import.
    """
    run(lambda: _launch(schema, target))


def _launch(schema: type[Settings], target: str) -> None:
    parser = argparse.ArgumentParser(add_help=False, usage="%(prog)s [-h] [--cfg job] [name=value ...]", allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--cfg", choices=["job"])
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args()
    values = compose_values(schema, arguments.overrides)
    if arguments.help:
        print(help_text(schema, values, getattr(sys.modules["__main__"], "__doc__", None)))
        return
    if arguments.cfg:
        print(settings_as_yaml(schema, values), end="")
        return
    module, function = target.split(":")
    run_stage(schema, values, lambda: getattr(importlib.import_module(module), function))


def run_stage(schema: type[Settings], values: dict[str, Any], load: Callable[[], Callable[[Any], Any]]) -> Any:
    """Run a stage.

    Args:
        schema: of the stage.
        values: of :func:`compose_values`.
        load: imports the stage's function; called after the settings are checked.

    Returns:
        What the function returns.
    """
    settings = parse(schema, values)
    if threads := getattr(settings, "threads", None):  # torch reads the variable at import
        os.environ["OMP_NUM_THREADS"] = str(threads)
    return load()(settings)


def settings_as_yaml(schema: type[Settings], values: dict[str, Any]) -> str:
    """The checked settings of :func:`compose_values` as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(to_plain(parse(schema, values)))


def compose(schema: type[S], overrides: Sequence[str] = ()) -> S:
    """The settings of a stage with a command line's overrides.

    Raises:
        ConfigError: a setting, group or option is unknown, or a value is missing or has the wrong type.
        MissingExtraError: Hydra or pydantic is not installed.
    """
    return parse(schema, compose_values(schema, overrides))


def compose_values(schema: type[Settings], overrides: Sequence[str]) -> dict[str, Any]:
    """As :func:`compose`, as plain values whose types are not checked yet; mandatory ones may be missing."""
    try:
        from hydra import compose as hydra_compose
        from hydra import initialize_config_dir
        from hydra.core.config_store import ConfigStore
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
    except ImportError as error:
        raise MissingExtraError("training needs hydra: pip install 'emotalker[train]'") from error
    try:
        _check_overrides(schema, overrides)
        defaults = ["_self_", *({group: option} for group, option in schema.GROUPS.items())]
        ConfigStore.instance().store(name=schema.__name__, node=defaults_of(schema) | {"defaults": defaults})
        folder = CONFIGS / schema.NAME if schema.GROUPS else CONFIGS
        with initialize_config_dir(str(folder), version_base="1.3"):
            return OmegaConf.to_container(hydra_compose(schema.__name__, list(overrides)), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        message = str(error).splitlines()[0]
        unknown = re.fullmatch(r"Could not override '(.+)'\.", message)
        raise ConfigError(f"unknown setting {unknown[1]}; --help lists all settings" if unknown else message) from error


def options_of(schema: type[Settings], group: str) -> list[str]:
    """Names of the options of a group, for example ``["paper", "small"]`` for ``preset``."""
    return sorted(path.stem for path in (CONFIGS / schema.NAME / group).glob("*.yaml"))


def _check_overrides(schema: type[Settings], overrides: Sequence[str]) -> None:
    """Refuse unknown settings, groups and options by name, before Hydra refuses them in several lines."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    for text in overrides:
        if "=" not in text:
            raise ConfigError(f"{text} is not of the form name=value")
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise ConfigError(f"{text} cannot be parsed: {str(error).splitlines()[0]}") from error
        name = override.key_or_group
        if name in schema.GROUPS:
            options = options_of(schema, name)
            if override.value() not in options:
                raise ConfigError(f"unknown {name} {override.value()}; choose one of {', '.join(options)}")
        elif name == "model" and "preset" in schema.GROUPS and isinstance(override.value(), str):
            preset = override.value().rpartition("_")[2]
            known = preset if preset in options_of(schema, "preset") else "NAME"
            raise ConfigError(f"{text}: sizes and training settings are chosen together, as preset={known}")
        else:
            check_name(schema, name)


def help_text(schema: type[Settings], values: dict[str, Any], description: str | None = None) -> str:
    """A description, the groups with their options, and a line for each setting with its value."""
    parts = [text] if (text := (schema.__doc__ if description is None else description or "").strip()) else []
    for group, option in schema.GROUPS.items():
        parts.append("\n".join(wrap(f"{group}= {', '.join(options_of(schema, group))} (default: {option})", WIDTH)))
    lines = ["Settings, changed as name=value; the value in brackets is the default:"]
    for entry in settings_of(schema):
        value: Any = values
        for part in entry.name.split("."):
            value = value[part]
        shown = "mandatory" if value == "???" else "null" if value is None else str(value).replace("'", "")
        text = entry.help if entry.group else f"{entry.help} [{shown}]"
        lines += wrap(text, WIDTH, initial_indent=f"  {entry.name:<31} ", subsequent_indent=" " * 34)
    return "\n\n".join([*parts, "\n".join(lines)])
