"""Turn recordings of talking people into a corpus that every training script reads.

python scripts/prepare_data.py corpus=mead root=path/to/MEAD out=data/mead

--help lists all corpora and settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.corpora import Preparation

if __name__ == "__main__":
    launch(Preparation, "emotalker.data.prepare:prepare_and_report")
