"""The emotion that expression networks see in videos, and how far the face moves from rest (docs/method.md 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.core.errors import FaceNotFoundError
from emotalker.evaluation.expression_networks import CLASSES, ExpressionNetwork, square_crop
from emotalker.evaluation.tables import markdown_table
from emotalker.evaluation.video_takes import Take
from emotalker.face.landmarks import FaceLandmarker
from emotalker.models.probe import confusion_matrix
from emotalker.video.sheet import draw_label

NEUTRAL = CLASSES.index("neutral")
#: Columns of the amplitude table; of a name that exists for the left and right side, the mean of both.
ACTIONS = (
    "browDown", "browInnerUp", "browOuterUp", "eyeWide", "eyeSquint", "noseSneer", "mouthSmile", "mouthFrown", "mouthUpperUp",
    "mouthStretch", "mouthPress", "jawOpen",
)  # fmt: skip

#: Side of the contact sheet's pictures in longer sides of the landmarks' box, and height of its labels in pixels.
PICTURE_SCALE, LABEL_HEIGHT = 1.4, 24


@dataclass(frozen=True)
class Observation:
    """What was seen in one video.

    Attributes:
        take: the video.
        probabilities: by network, mean over frames ``(7,)`` in the order of CLASSES.
        scores: mean blendshape scores of the landmarker, ``(52,)``.
        rest: ``(52,)`` scores of the resting face; None for a real video.
        pictures: some frames, cropped around the face, ``(S, S, 3)`` uint8.
    """

    take: Take
    probabilities: dict[str, np.ndarray]
    scores: np.ndarray
    rest: np.ndarray | None
    pictures: list[np.ndarray]

    def vote(self, network: str) -> int:
        """The class with the highest mean probability, index into CLASSES."""
        return int(self.probabilities[network].argmax())


def observe(
    take: Take,
    landmarker: FaceLandmarker,
    networks: Sequence[ExpressionNetwork],
    every: int = 3,
    pictures: int = 3,
    width: int = 128,
) -> Observation:
    """Look at every k-th frame of a take; frames without a face are skipped.

    Args:
        every: k.
        pictures: number of frames kept for the contact sheet, evenly spaced.
        width: of these, pixels.

    Raises:
        FaceNotFoundError: no frame shows a face.
    """
    landmarker.reset()
    resting, frames = take.open(every)
    rest = None if resting is None else landmarker.track(resting)
    crops: list[list[np.ndarray]] = [[] for _ in networks]
    scores, faces = [], []
    for frame in frames:
        if (face := landmarker.track(frame)) is None:
            continue
        points = face.points[:, :2]
        scores.append(face.scores)
        faces.append(square_crop(frame, points, PICTURE_SCALE, width))
        for network, kept in zip(networks, crops, strict=True):
            kept.append(network.crop(frame, points))
    if not scores:
        raise FaceNotFoundError(f"no face found in any frame of {take.name} ({take.section}); leave this video out")
    probabilities = {n.name: n.probabilities(np.stack(kept)).mean(0) for n, kept in zip(networks, crops, strict=True)}
    chosen = np.linspace(0, len(faces) - 1, pictures + 2).round().astype(int)[1:-1]
    return Observation(
        take, probabilities, np.mean(scores, 0), None if rest is None else rest.scores, [faces[i] for i in chosen]
    )


def confusion(observations: Sequence[Observation], network: str) -> Tensor:
    """Counts ``(7, 7)`` by true emotion (rows) and vote (columns); takes without a label are left out."""
    pairs = [(CLASSES.index(o.take.emotion), o.vote(network)) for o in observations if o.take.emotion]
    labels, votes = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    return confusion_matrix(labels, votes, len(CLASSES))


def accuracy(counts: Tensor, neutral: bool = True) -> float:
    """Fraction of right votes in a :func:`confusion`; ``neutral`` False leaves out the clips whose label is neutral.

    NaN if no clip is left.
    """
    kept = torch.tensor([neutral or i != NEUTRAL for i in range(len(CLASSES))])
    return (counts.diagonal()[kept].sum() / counts[kept].sum()).item()


def true_probability(observations: Sequence[Observation], network: str) -> float:
    """Mean probability of the true emotion; it moves before votes change."""
    values = [o.probabilities[network][CLASSES.index(o.take.emotion)] for o in observations if o.take.emotion]
    return float(np.mean(values)) if values else float("nan")


def amplitudes(observations: Sequence[Observation]) -> dict[str, np.ndarray]:
    """Mean blendshape scores less the resting face's, by emotion: ``(52,)`` each.

    Of a generated video rest is the portrait; of a real one the mean of the person's neutral videos in the same section.
    Videos without either are left out, and so is neutral where it is the rest.
    """
    neutral: dict[str, list[np.ndarray]] = {}
    for o in observations:
        if o.rest is None and o.take.emotion == "neutral":
            neutral.setdefault(o.take.subject, []).append(o.scores)
    found: dict[str, list[np.ndarray]] = {}
    for o in observations:
        if o.take.emotion is None or (o.rest is None and (o.take.emotion == "neutral" or o.take.subject not in neutral)):
            continue
        rest = np.mean(neutral[o.take.subject], 0) if o.rest is None else o.rest
        found.setdefault(o.take.emotion, []).append(o.scores - rest)
    return {emotion: np.mean(values, 0) for emotion, values in found.items()}


def by_section(observations: Sequence[Observation]) -> dict[str, list[Observation]]:
    """Observations of each section, in the order of their first take."""
    sections: dict[str, list[Observation]] = {}
    for observation in observations:
        sections.setdefault(observation.take.section, []).append(observation)
    return sections


def report(observations: Sequence[Observation], every: int) -> str:
    """All tables as Markdown: accuracy, confusion, amplitudes, votes."""
    sections = by_section(observations)
    networks = list(observations[0].probabilities)
    note = (
        f"Vote of a video: the class with the highest mean probability, of seven; one frame in {every} is used. Without "
        "neutral: only videos whose true emotion is another. p: mean probability of the true emotion."
    )
    parts = ["### Visible emotion", accuracy_table(sections, networks), note]
    for section, seen in sections.items():
        if any(o.take.emotion for o in seen):
            parts += [f"### Confusion, {section}", *(confusion_table(seen, network) for network in networks)]
    parts += [
        "### Amplitudes",
        amplitude_table(sections),
        "Blendshape scores of the landmarker, mean over frames, less those of the portrait (generated) or of the person's "
        "neutral videos (real). Left and right averaged.",
        "### Votes",
        vote_table(observations, networks),
    ]
    return "\n\n".join(parts)


def accuracy_table(sections: dict[str, list[Observation]], networks: Sequence[str]) -> str:
    """One row for each section with labels: accuracy with and without neutral, and p, by network."""
    rows = []
    for section, seen in sections.items():
        labelled = [o for o in seen if o.take.emotion]
        row: list[str | float] = [section, str(len(labelled))]
        for network in networks:
            counts = confusion(labelled, network)
            row += [accuracy(counts), accuracy(counts, neutral=False), true_probability(labelled, network)]
        rows.append(row)
    titles = [title for n in networks for title in (n, f"{n}, without neutral", f"{n}, p")]
    return markdown_table(["", "videos", *titles], rows, 2)


def confusion_table(observations: Sequence[Observation], network: str) -> str:
    """Rows: true emotion; columns: votes of one network."""
    counts = confusion(observations, network).tolist()
    rows = [[name, *map(str, row)] for name, row in zip(CLASSES, counts, strict=True) if sum(row)]
    return markdown_table([network, *CLASSES], rows)


def action_values(scores: np.ndarray) -> list[float]:
    """The ACTIONS' entries of scores ``(52,)``, left and right averaged."""
    names = [[a] if a in ARKIT_BLENDSHAPES else [f"{a}Left", f"{a}Right"] for a in ACTIONS]
    return [float(scores[ARKIT.indices(pair)].mean()) for pair in names]


def amplitude_table(sections: dict[str, list[Observation]]) -> str:
    """Rows: emotions, and within them sections; columns: ACTIONS."""
    found = {section: amplitudes(seen) for section, seen in sections.items()}
    rows = [
        [f"{emotion}: {section}", *action_values(by_emotion[emotion])]
        for emotion in CLASSES
        for section, by_emotion in found.items()
        if emotion in by_emotion
    ]
    return markdown_table(["", *ACTIONS], rows, 2)


def vote_table(observations: Sequence[Observation], networks: Sequence[str]) -> str:
    """One row for each video: true emotion, and vote with its probability by network."""
    rows = []
    for o in observations:
        votes = [f"{CLASSES[o.vote(n)]} {o.probabilities[n].max():.2f}" for n in networks]
        rows.append([f"{o.take.section}: {o.take.subject}, {o.take.name}", o.take.emotion or "-", *votes])
    return markdown_table(["", "true", *networks], rows)


def contact_sheet(observations: Sequence[Observation]) -> np.ndarray:
    """Frames of all videos, RGB uint8, labelled with the true emotion and the votes: sections below each other, rows within
    them by emotion (more than one if a person shows it in several videos), one column for each person.
    """
    blocks: list[np.ndarray] = []
    for seen in by_section(observations).values():
        subjects = list(dict.fromkeys(o.take.subject for o in seen))
        for emotion in (*CLASSES, None):
            columns = [[_strip(o) for o in seen if (o.take.subject, o.take.emotion) == (s, emotion)] for s in subjects]
            for strips in zip_longest(*columns, fillvalue=np.zeros_like(_strip(seen[0]))):
                blocks.append(np.concatenate(strips, 1))
    width = max(block.shape[1] for block in blocks)
    return np.concatenate([np.pad(block, ((0, 0), (0, width - block.shape[1]), (0, 0))) for block in blocks], 0)


def _strip(observation: Observation) -> np.ndarray:
    strip = np.pad(np.concatenate(observation.pictures, 1), ((LABEL_HEIGHT, 0), (0, 0), (0, 0)))
    votes = ", ".join(CLASSES[observation.vote(network)] for network in observation.probabilities)
    draw_label(strip, f"{observation.take.subject} {observation.take.emotion or ''}: {votes}")
    return strip
