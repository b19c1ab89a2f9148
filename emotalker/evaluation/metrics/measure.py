"""The measures of a clip or of a set of clips: names, direction, and what each can and cannot show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """A column of the tables.

    Attributes:
        key: in CSV files.
        title: in tables.
        better: "higher", "lower", or "real" where the value of real videos is the aim.
        shows: what it measures, and how.
        limits: what it cannot show.
        group: measures that are computed together, see :data:`GROUPS`.
        needs_reference: whether it compares with a real video.
        of_set: whether it is of all clips together.
    """

    key: str
    title: str
    better: Literal["higher", "lower", "real"]
    shows: str
    limits: str
    group: str
    needs_reference: bool = False
    of_set: bool = False

    @property
    def heading(self) -> str:
        """The title with an arrow towards better values."""
        return f"{self.title} {({'higher': '↑', 'lower': '↓', 'real': '→ real'})[self.better]}"


#: Groups that can be chosen; those after "diversity" need an optional package or weights.
GROUPS = ("image", "landmarks", "emotion", "sync", "motion", "diversity", "identity", "syncnet", "fid", "lpips")

_PIXELS = "It counts head pose and position: a person who moves differently but plausibly scores badly."
_LMD = "Pixels at 256 x 256. The voice does not determine head pose, blinks or brows, so a lower value may mean less motion."

MEASURES: tuple[Measure, ...] = (
    Measure("ssim", "SSIM", "higher", "Structural similarity with the real frame of the same time.",
            _PIXELS + " A still picture of the first frame scores well.", "image", True),
    Measure("psnr", "PSNR", "higher", "Peak signal-to-noise ratio with the real frame, dB.", _PIXELS, "image", True),
    Measure("cpbd", "CPBD", "real", "Sharpness without a reference: fraction of edges that are not visibly blurred.",
            "Noise, ringing and compression raise it. Above real video is not better. It depends on the size.", "image"),
    Measure("f_lmd", "F-LMD", "lower", "Mean absolute difference of 68 landmarks over x and y, as in EmoTalker's code.",
            _LMD + " Crops must agree.", "landmarks", True),
    Measure("m_lmd", "M-LMD", "lower", "The same of the 20 mouth points.",
            _LMD + " Not centred, so it is mostly head motion.", "landmarks", True),
    Measure("f_lmd_first", "F-LMD, first frame", "lower",
            "Mean Euclidean difference of all points after their first frames are made to coincide.",
            "A first frame with another expression than the portrait's is an offset of the whole clip.", "landmarks", True),
    Measure("m_lmd_first", "M-LMD, first frame", "lower", "The same of the mouth.", "As above.", "landmarks", True),
    Measure("f_lmd_centred", "F-LMD, centred", "lower", "Mean Euclidean difference, each set of points less its mean.",
            "Rotation of the head still counts. A mouth that stays half open scores well.", "landmarks", True),
    Measure("m_lmd_centred", "M-LMD, centred", "lower", "The same of the mouth points less their own mean.",
            "As above. It shows shape, not timing: see sync.", "landmarks", True),
    Measure("sync_distance", "sync distance", "real",
            "Smallest mean distance of lips and sound over shifts of -15 to 15 frames, by this project's sync judge.",
            "Between 0 and 2, not SyncNet's scale. Below real video is suspect: lips that are cleaner than speech.", "sync"),
    Measure("sync_confidence", "sync confidence", "real", "Median distance over shifts less the smallest.",
            "Above real video is suspect. The judge sees motion only, so a mouth that looks wrong can score well.", "sync"),
    Measure("sync_offset", "offset", "real", "Shift of the smallest distance in frames; positive: lips ahead of the sound.",
            "Compare with the real videos', which contain the offset of the recording.", "sync"),
    Measure("lse_d", "LSE-D", "real", "SyncNet v2: smallest mean distance of lips and sound (Prajwal et al. 2020).",
            "Systems that train on SyncNet score below real video. It depends on the crop of the face.", "syncnet"),
    Measure("lse_c", "LSE-C", "real", "SyncNet v2: median distance over shifts less the smallest.",
            "Above real video is suspect.", "syncnet"),
    Measure("identity", "identity", "higher", "Cosine similarity of face embeddings (dlib) with the real video, mean faces.",
            "Read differences only: two people also reach about 0.9. Expressions and open mouths lower it in real videos.",
            "identity", True),
    Measure("lpips", "LPIPS", "lower", "Distance from the real frame in AlexNet's features (Zhang et al. 2018).", _PIXELS,
            "lpips", True),
    Measure("blinks", "blinks a minute", "real", "Times both eyeBlink scores pass 0.5.",
            "Clips of a few seconds contain few blinks; slow or half blinks are not counted.", "motion"),
    Measure("brows", "brow range", "real", "5th to 95th percentile of the brow scores over a clip, mean.",
            "It shows amount, not meaning.", "motion"),
    Measure("gaze", "gaze", "real", "Standard deviation of the gaze scores over a clip.", "As above.", "motion"),
    Measure("head", "head, degrees", "real", "Standard deviation of the three angles of the head over a clip.",
            "As above.", "motion"),
    Measure("head_speed", "head, degrees/s", "real", "Mean speed of the three angles.", "It contains the jitter.", "motion"),
    Measure("jitter", "jitter", "real", "Mean second difference of the 68 landmarks, pixels a frame squared.",
            "Fast speech and the landmark detector's noise are in it. Below real video is over-smoothed.", "motion"),
    Measure("diversity", "diversity", "real", "Mean distance of scores between samples of one recording.",
            "Noise is diverse, too. Real videos have one sample, so there is no real value.", "diversity", of_set=True),
    Measure("e_fid", "E-FID", "lower", "Fréchet distance of the 52 blendshape scores of all frames, generated and real.",
            "Published E-FID uses coefficients of Deep3DFaceRecon and is on another scale. Small sets raise it.",
            "motion", True, True),
    Measure("fid", "FID", "lower", "Fréchet distance of Inception's features of all frames (Heusel et al. 2017).",
            "Small sets raise it; compare at equal numbers of frames only. It does not see motion.", "fid", True, True),
)  # fmt: skip

BY_KEY = {measure.key: measure for measure in MEASURES}


def accuracy_measure(classifier: str) -> Measure:
    """The accuracy of one classifier of expressions."""
    return Measure(
        f"emotion_{classifier}", f"Emo acc, {classifier}", "real",
        f"Fraction of videos whose emotion {classifier} recognises: the class with the highest mean probability.",
        "Classifiers of photographs miss much of what people see; real video is the bound, and above it is exaggerated.",
        "emotion",
    )  # fmt: skip


def measure_of(key: str) -> Measure | None:
    """The measure of a CSV column, or None for another column."""
    if key.startswith("emotion_"):
        return accuracy_measure(key.removeprefix("emotion_"))
    return BY_KEY.get(key)
