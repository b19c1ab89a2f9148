"""The page in a browser (docs/page.md)."""
