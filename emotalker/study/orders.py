"""Order of videos on the pages, balanced over raters and items."""

from __future__ import annotations

import random
from collections.abc import Sequence


def latin_square(n: int, mirrored: bool = False) -> list[list[int]]:
    """``n`` orders of ``n`` videos in which each video is once at each place.

    For even ``n`` each video also follows each other video once (Williams, Experimental designs balanced for the estimation
    of residual effects of treatments, 1949); for odd ``n`` the square and its mirror image do so together.
    """
    first = [0 if i == 0 else (i + 1) // 2 if i % 2 else n - i // 2 for i in range(n)]
    rows = [[(value + shift) % n for value in first] for shift in range(n)]
    return [row[::-1] for row in rows] if mirrored else rows


def balanced_orders(systems: Sequence[str], items: Sequence[str], raters: int, seed: int) -> dict[str, list[list[str]]]:
    """Orders of the systems' videos for each rater of each item, left first.

    Counts of a system at a place differ by one at most within an item, and by one at most over all items. Which
    system has which part in the square, and which item comes when, is drawn by ``seed``.

    Returns:
        ``raters`` orders for each item.
    """
    n = len(systems)
    shuffled = list(items)
    random.Random(f"{seed}/items").shuffle(shuffled)
    rest = raters % n
    orders: dict[str, list[list[str]]] = {}
    for j, item in enumerate(shuffled):
        own = random.Random(f"{seed}/item/{j}")
        rows: list[list[str]] = []
        for _ in range(raters // n):  # whole squares are balanced whatever the names
            rows += _square(systems, own, j % 2 == 1)
        # The rest is a run of rows of a square that n items share, which begins where the previous item's run ended.
        group, place = divmod(j, n)
        shared = _square(systems, random.Random(f"{seed}/group/{group}"), group % 2 == 1)
        rows += [shared[(place * rest + k) % n] for k in range(rest)]
        own.shuffle(rows)
        orders[item] = rows
    return {item: orders[item] for item in items}


def _square(systems: Sequence[str], generator: random.Random, mirrored: bool) -> list[list[str]]:
    names = list(systems)
    generator.shuffle(names)
    return [[names[i] for i in row] for row in latin_square(len(names), mirrored and len(names) % 2 == 1)]
