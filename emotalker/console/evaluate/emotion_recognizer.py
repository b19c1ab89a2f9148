"""Measure the emotion recogniser on test speakers, and on corpora that it is not trained on.

emotalker evaluate emotion-recognizer --root path/to/corpora                                  # the shipped weights
emotalker evaluate emotion-recognizer --root path/to/corpora --leave-out savee nemo plain     # trains without each

--leave-out all leaves out each corpus in turn, and "plain", which is all speech without acted emotion together.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--root", type=Path, required=True, help="folder of the corpora, as in training")
    parser.add_argument("--checkpoints", type=Path, help="folder of both networks (default: the shipped one)")
    parser.add_argument("--recognizer", type=Path, help="emotion recogniser (default: the one in the folder)")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="CORPUS", help="train without it and measure it")
    parser.add_argument("--head", action="store_true", help="also measure the audio encoder's own emotion head")
    parser.add_argument("--override", nargs="*", default=[], help="settings of the training, e.g. data.copies=2 steps=300")


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    from emotalker.core.checkpoint import load_checkpoint, shipped
    from emotalker.core.launch import compose
    from emotalker.data.emotional_speech import ACTED, PLAIN
    from emotalker.evaluation import emotion_recognizer as evaluation
    from emotalker.settings.emotion_recognizer import EmotionRecognizerTraining
    from emotalker.training.emotion_recognizer import describe_corpora

    folder = args.checkpoints or shipped("small")
    path = folder / "audio_encoder.safetensors"
    config = compose(EmotionRecognizerTraining, [f"data.root={args.root}", f"data.encoder={path}", *args.override])
    encoder = load_checkpoint(path, "audio_encoder")
    left = (*ACTED, *PLAIN, evaluation.PLAIN_SPEECH) if args.leave_out == ["all"] else args.leave_out
    described = describe_corpora(config.data, encoder, config.data.corpora if left else ("ravdess", "javanese"))

    strengths = [evaluation.STRENGTH_TABLE]
    print(evaluation.TABLE)
    if not left:
        recognizer = load_checkpoint(args.recognizer or folder / "emotion_recognizer.safetensors", "emotion_recognizer")
        for corpus in ("ravdess", "javanese"):
            own = described.where(lambda clip, name=corpus: clip.corpus == name and clip.split == "test")
            emotions = evaluation.emotions_of(own.clips)
            title = f"{corpus}, test actors"
            print(evaluation.row(title, evaluation.measure(evaluation.hear_described(recognizer, own), emotions)))
            strengths.append(evaluation.strength_row(title, evaluation.hear_strength(recognizer, own)))
            if corpus == "ravdess":
                print(f"| {title}, 8 classes with calm | | {evaluation.accuracy_with_calm(recognizer, own):.3f} | |")
            if args.head:
                head = evaluation.measure(evaluation.hear_with_head(encoder, own.clips), emotions)
                print(evaluation.row(f"{title}, encoder's head", head))
    for corpus in left:
        for name, result in evaluation.leave_out(corpus, config, encoder, described).items():
            together = ", with all plain speech" if corpus == evaluation.PLAIN_SPEECH else ""
            print(evaluation.row(f"{name}, left out{together}", result), flush=True)
            strengths.append(evaluation.strength_row(f"{name}, left out{together}", result.strength))
            if args.head:
                own = described.where(lambda clip, name=name: clip.corpus == name)
                head = evaluation.hear_with_head(encoder, own.clips)
                result = evaluation.measure(head, evaluation.emotions_of(own.clips))
                print(evaluation.row(f"{name}, encoder's head", result), flush=True)
    print("", *strengths, sep="\n")
