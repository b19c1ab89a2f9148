"""Settings of every test."""

import torch

torch.set_num_threads(1)  # two threads are slower than one on a busy machine
