"""Hook of mkdocs: links of the model cards, which are written for their place in the repository, as links of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_CARDS = ("checkpoints/small/README.md", "checkpoints/tracker/README.md")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Put the cards into their page."""
    if page.file.src_uri != "models/cards.md":
        return markdown
    root = Path(config.config_file_path).parent
    cards = [(root / card).read_text(encoding="utf-8").replace("](../../docs/", "](../") for card in _CARDS]
    return "\n\n".join([markdown, *cards])
