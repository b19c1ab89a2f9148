"""Measure an audio encoder: emotion (RAVDESS, Javanese), words (GRID alignments), and speed.

emotalker evaluate audio-encoder --root path/to/corpora --encoder runs/audio_encoder/best.safetensors

Clips are those of emotalker/core/splits.py: test for results, val for choosing constants.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--root", type=Path, required=True, help="folder of the corpora, as in training")
    parser.add_argument(
        "--encoder", required=True, help="checkpoint, Hugging Face folder, or whisper:N for the teacher's layer N"
    )
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument(
        "--probe-clips", type=int, default=300, help="GRID clips to fit the word probe to (default: %(default)s)"
    )
    parser.add_argument(
        "--skip-pooled", action="store_true", help="no probe of pooled features (encodes the training actors)"
    )


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    import torch

    from emotalker.evaluation import audio_encoder as evaluation

    encode, encoder = evaluation.open_encoder(args.encoder)
    print(f"{args.encoder}: {sum(p.numel() for p in encoder.parameters()) / 1e6:.2f} M parameters")
    if encoder.emotion_head is not None:
        for corpus in ("ravdess", "javanese"):
            clips = [c for c in evaluation.labelled_clips(args.root, corpus) if c.split(corpus) == args.split]
            confusion = evaluation.emotion_confusion(encoder, clips)
            evaluation.print_confusion(f"emotion head, {corpus}, {args.split} actors, {len(clips)} clips", confusion)
    if not args.skip_pooled:
        clips = evaluation.labelled_clips(args.root, "ravdess")
        parts = ([c for c in clips if c.split("ravdess") == split] for split in ("train", args.split))
        evaluation.print_confusion("linear probe of the mean feature, ravdess", evaluation.pooled_probe(encode, *parts))
    print("word at each frame of GRID clips, linear probe, unweighted accuracy (chance 0.02)")
    for name, features in (("encoder", encode), ("log-mel", evaluation.mel_features)):
        print(f"  {name}: {evaluation.word_probe(features, args.root / 'grid_s1', args.probe_clips, args.split):.3f}")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        print(f"10 s of audio on {threads} threads: {evaluation.encoding_seconds(encoder, 10):.2f} s")
