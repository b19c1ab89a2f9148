"""Errors a user can fix. Scripts print their one sentence and exit non-zero; anything else is a bug and keeps its trace."""


class EmoTalkerError(Exception):
    """Base of all errors whose message says what went wrong, where, and how to fix it."""


class AudioError(EmoTalkerError):
    """The recording cannot be read, is empty, or is too short."""


class ImageError(EmoTalkerError):
    """The portrait cannot be read."""


class FaceNotFoundError(EmoTalkerError):
    """No face was found where one is needed."""


class OutputError(EmoTalkerError):
    """The output cannot be written."""


class CheckpointError(EmoTalkerError):
    """A checkpoint or a carried model is missing, damaged or of another kind."""


class DataError(EmoTalkerError):
    """A training corpus is missing or is not laid out as its reader expects."""


class ConfigError(EmoTalkerError):
    """A setting is unknown or missing, or has a value of the wrong type."""


class MissingExtraError(EmoTalkerError):
    """An optional package is needed; the message names the pip command that brings it."""


class VideoError(EmoTalkerError):
    """A video cannot be read."""
