"""The page to try EmoTalker in a browser."""
