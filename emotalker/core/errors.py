"""Errors that a user can fix. Scripts print them as one sentence and exit non-zero; other exceptions are bugs."""


class EmoTalkerError(Exception):
    """Base class; the message contains what failed, where, and how to fix it."""


class AudioError(EmoTalkerError):
    """The recording cannot be read, is empty, or is too short."""


class ImageError(EmoTalkerError):
    """The portrait cannot be read."""


class FaceNotFoundError(EmoTalkerError):
    """No face was found in an image or video."""


class OutputError(EmoTalkerError):
    """The output cannot be written."""


class CheckpointError(EmoTalkerError):
    """A checkpoint or a registry model is missing, damaged or of another kind."""


class DataError(EmoTalkerError):
    """A training corpus is missing or is not laid out as its reader expects."""


class ConfigError(EmoTalkerError):
    """A setting is unknown or missing, or has a value of the wrong type."""


class MissingExtraError(EmoTalkerError):
    """An optional package is missing; the message contains the pip command that installs it."""


class VideoError(EmoTalkerError):
    """A video cannot be read."""


class Cancelled(EmoTalkerError):
    """Raised by a progress callback to stop: the work ends, no unfinished file stays, and an existing one is kept."""

    def __init__(self, message: str = "cancelled; nothing was overwritten"):
        super().__init__(message)
