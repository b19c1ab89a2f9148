"""Settings of every test."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for NumPy; read when it is first imported

import torch

torch.set_num_threads(1)  # two threads are slower than one on a busy machine
