"""Turn recordings of talking people into a corpus that every training script reads.

python scripts/prepare_data.py corpus=mead root=path/to/MEAD out=data/mead
"""

from emotalker.core.launch import launch

if __name__ == "__main__":
    launch("prepare", "emotalker.data.prepare:prepare_and_report")
