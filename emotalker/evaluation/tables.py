"""Aligned Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str | float]], digits: int = 3) -> str:
    """An aligned Markdown table; the first column is text, the others are set to the right.

    Args:
        header: as many titles as there are columns.
        rows: cells; floats are rounded to ``digits``, NaN is a dash.
    """
    cells = [list(header)] + [[_text(cell, digits) for cell in row] for row in rows]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def _text(cell: str | float, digits: int) -> str:
    if isinstance(cell, float):
        return "-" if cell != cell else f"{cell:.{digits}f}"
    return str(cell)


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str | float]], digits: int = 3) -> str:
    """The same as a LaTeX ``tabular`` with the rules of the package booktabs."""
    lines = [" & ".join(_latex(_text(cell, digits)) for cell in row) + r" \\" for row in (header, *rows)]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"])


def _latex(text: str) -> str:
    for character in "\\&%$#_{}":
        text = text.replace(character, r"\textbackslash " if character == "\\" else "\\" + character)
    for symbol, command in (("↑", r"$\uparrow$"), ("↓", r"$\downarrow$"), ("→", r"$\rightarrow$")):
        text = text.replace(symbol, command)
    return text
