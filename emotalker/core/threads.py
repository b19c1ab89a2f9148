"""The number of threads of PyTorch's operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for the operations in the block, then as many as before.

    Networks that decode step by step consist of thousands of operations of a few microseconds. Two threads must meet after
    each, and each waits while another program has the other thread's core.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
