"""Turn the GRID recordings and their face tracks into a prepared corpus for training.

python scripts/prepare_grid.py root=path/to/grid_s1 out=data/grid
"""

from emotalker.training.cli import launch

if __name__ == "__main__":
    launch("prepare_grid", "emotalker.training.grid:prepare")
