"""Train a neural renderer on clips prepared by scripts/prepare_renderer_frames.py.

python scripts/train_renderer.py                  # small: refines warped faces, for two CPU cores
python scripts/train_renderer.py preset=paper     # whole frames, for a GPU

Run it again with the same run=... folder to resume; --help lists all settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.renderer import RendererTraining

if __name__ == "__main__":
    launch(RendererTraining, "emotalker.training.renderer:train")
