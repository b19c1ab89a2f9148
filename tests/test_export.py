"""Export of trained networks: half precision, and a model card with the strictest licence."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from emotalker.core.checkpoint import load_checkpoint, save_checkpoint
from emotalker.core.errors import CheckpointError
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.training.export import export, strictest


def test_weights_inherit_the_strictest_licence():
    assert strictest(["MIT", "CC BY 4.0"]) == "CC BY 4.0"
    assert strictest(["CC BY-NC-SA 4.0", "CC BY 4.0", "CC0"]) == "CC BY-NC-SA 4.0"
    assert strictest(["MIT", "custom licence"]) == "custom licence"


def test_export_writes_half_precision_weights_and_a_model_card(tmp_path):
    torch.manual_seed(0)
    network = VQVAE(VQVAEConfig(width=16, depth=1))
    data = [{"source": "Corpus A", "licence": "CC BY 4.0"}, {"source": "Corpus B", "licence": "CC BY-NC-SA 4.0"}]
    run = save_checkpoint(tmp_path / "best.safetensors", network, space="arkit", extra={"step": 7, "data": data})
    card = export({"vqvae": run}, tmp_path / "shipped", figures="| r | 0.9 |", command="python scripts/train_all.py")
    text = card.read_text()
    assert "**CC BY-NC-SA 4.0**" in text and "Corpus A" in text and "| r | 0.9 |" in text and "train_all.py" in text
    shipped = tmp_path / "shipped" / "vqvae.safetensors"
    assert shipped.stat().st_size < 0.6 * run.stat().st_size
    torch.testing.assert_close(load_checkpoint(shipped).decoder[0].weight, network.decoder[0].weight, atol=1e-3, rtol=1e-2)


def test_a_missing_run_raises_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match="best"):
        export({"vqvae": tmp_path / "best.safetensors"}, tmp_path / "shipped")


def test_the_script_knows_all_networks(tmp_path):
    save_checkpoint(tmp_path / "runs/vqvae/best.safetensors", VQVAE(VQVAEConfig(width=16, depth=1)))
    script = Path(__file__).parent.parent / "scripts/export_checkpoints.py"
    command = [sys.executable, script, "--runs", tmp_path / "runs", "--networks", "vqvae", "--output", tmp_path / "out"]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "out/vqvae.safetensors").exists()
