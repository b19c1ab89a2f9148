"""Data order and randomness as pure functions of (seed, step).

The order is neither saved nor fast-forwarded: batch n of a resumed run equals batch n of an uninterrupted run, for any number
of loader workers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Key:
    """Index of a dataset.

    Attributes:
        index: of the item.
        seed: numbers that seed the item's random choices (crop, augmentation).
    """

    index: int
    seed: tuple[int, ...]

    def rng(self) -> np.random.Generator:
        """The generator of the item's random choices."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class StepBatches:
    """Batch sampler of a training run: reshuffled epochs are concatenated and divided into steps.

    Attributes:
        size: number of items in the dataset.
        batch_size: items per process and micro-batch.
        seed: of the run.
        start, stop: optimiser steps to provide, ``start <= step < stop``.
        micro_batches: micro-batches per step (gradient accumulation).
        rank, world: index of this process and number of processes.
    """

    size: int
    batch_size: int
    seed: int
    start: int
    stop: int
    micro_batches: int = 1
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return (self.stop - self.start) * self.micro_batches

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, order = -1, None
        for micro_batch in range(self.start * self.micro_batches, self.stop * self.micro_batches):
            first = (micro_batch * self.world + self.rank) * self.batch_size
            batch = []
            for position in range(first, first + self.batch_size):
                if position // self.size != epoch:
                    epoch = position // self.size
                    order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
                batch.append(Key(int(order[position % self.size]), (self.seed, position, 1)))
            yield batch


def sequential_batches(size: int, batch_size: int, seed: int) -> list[list[Key]]:
    """Batches of validation: every item once, in order, always with the same random choices."""
    keys = [Key(index, (seed, index, 2)) for index in range(size)]
    return [keys[first : first + batch_size] for first in range(0, size, batch_size)]


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch (all devices), NumPy and Python for one step, so that no generator state is carried over between steps."""
    state = int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])
    torch.manual_seed(state)
    np.random.seed(state)
    random.seed(state)
