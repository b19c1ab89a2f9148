"""One page about a prepared corpus: hours, speakers, emotions, ranges, head pitch by emotion, worst-tracked clips.

python scripts/describe_data.py data=data/mead out=report.html
"""

from emotalker.core.launch import launch
from emotalker.settings.corpora import CorpusReport

if __name__ == "__main__":
    launch(CorpusReport, "emotalker.data.report:describe")
