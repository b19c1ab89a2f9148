"""Starting a training script: Hydra configuration from ``configs/``, and errors as one sentence."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from emotalker.core.errors import EmoTalkerError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def launch(config_name: str, target: str) -> None:
    """Compose ``configs/<config_name>.yaml`` with the command line's overrides and hand it on as plain dicts.

    Exits with status 1 and one sentence when a user can fix what went wrong.

    Args:
        config_name: without ``.yaml``.
        target: ``"module:function"``, imported only once the configuration stands, so that ``--help`` is instant.
    """
    try:
        import hydra
        from omegaconf import DictConfig, OmegaConf
        from omegaconf.errors import MissingMandatoryValue
    except ImportError:
        sys.exit("error: training needs hydra: pip install 'emotalker[train]'")

    @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)
    def main(config: DictConfig) -> None:
        try:
            values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except MissingMandatoryValue as error:
            sys.exit(f"error: {error}".splitlines()[0])
        if values.get("threads"):  # read when torch is first imported, and so in force for all that comes before training
            os.environ["OMP_NUM_THREADS"] = str(values["threads"])
        module, function = target.split(":")
        try:
            getattr(importlib.import_module(module), function)(values)
        except EmoTalkerError as error:
            sys.exit(f"error: {error}")

    main()
