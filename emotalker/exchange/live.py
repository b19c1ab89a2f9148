"""Sending motion to running programs: VMC (OSC over UDP, for VTuber software) and Live Link Face (UDP, for Unreal Engine).

VMC is sent with the python-osc package. A Live Link packet is Epic's version 6, big-endian: a byte with the version, the
device's UUID and the subject's name with their lengths, frame, fraction of a frame, frame rate as a ratio, and the number of
values with the values of :mod:`emotalker.coefficients.live_link`.
"""

from __future__ import annotations

import socket
import struct
import time
import uuid
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.live_link import COLUMNS, live_link_values
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.core.errors import MissingExtraError, OutputError

VMC_PORT, LIVE_LINK_PORT = 39539, 11111
_LIVE_LINK_VERSION = 6
_FRAME = ">ifiiB"


class Sender(Protocol):
    """Sends one frame of motion."""

    def send(self, vector: np.ndarray, seconds: float) -> None:
        """Send a frame ``(58,)`` of ARKIT at a time in seconds from the start; OutputError if that fails."""
        ...


class VMCSender:
    """Sends blendshapes and the head bone by the Virtual Motion Capture protocol.

    Args:
        host, port: of the receiving program.

    Raises:
        MissingExtraError: python-osc is not installed.
        OutputError: the host has no address.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = VMC_PORT):
        try:
            from pythonosc import osc_bundle_builder, osc_message_builder, udp_client
        except ImportError as error:
            raise MissingExtraError("VMC needs python-osc; install it with: pip install 'emotalker[osc]'") from error
        self._message, self._bundle = osc_message_builder.OscMessageBuilder, osc_bundle_builder.OscBundleBuilder
        try:
            self._client = udp_client.UDPClient(host, port)
        except OSError as error:
            raise OutputError(f"cannot send to {host}:{port}: {error.strerror or error}") from error

    def send(self, vector: np.ndarray, seconds: float) -> None:
        """See :class:`Sender`."""
        angles, shift = vector[ARKIT.pose][:3], vector[ARKIT.pose][3:]
        # VMC has Unity's left-handed axes, x to the viewer's left of a figure that faces the viewer.
        x, y, z, w = Rotation.from_matrix(rotation_matrix(angles.astype(np.float64))).as_quat()
        bundle = self._bundle(0)
        head = ["Head", -shift[0] / 100, shift[1] / 100, shift[2] / 100, x, -y, -z, w]
        messages = [("/VMC/Ext/OK", [1]), ("/VMC/Ext/T", [seconds]), ("/VMC/Ext/Bone/Pos", head)]
        messages += [("/VMC/Ext/Blend/Val", [n, v]) for n, v in zip(ARKIT_BLENDSHAPES, vector, strict=False)]
        for address, arguments in [*messages, ("/VMC/Ext/Blend/Apply", [])]:
            message = self._message(address)
            for argument in arguments:
                message.add_arg(argument if isinstance(argument, str | int) else float(argument))
            bundle.add_content(message.build())
        self._client.send(bundle.build())


class LiveLinkSender:
    """Sends frames as Live Link Face does.

    Args:
        host, port: of Unreal Engine.
        subject: name under which the face appears there.
        fps: frames per second, of the time stamps.

    Raises:
        OutputError: the host has no address.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = LIVE_LINK_PORT, subject: str = "EmoTalker", fps: int = ARKIT.fps):
        try:
            self._address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise OutputError(f"cannot send to {host}:{port}: {error.strerror or error}") from error
        self._socket = socket.socket(self._address[0], socket.SOCK_DGRAM)
        names = (str(uuid.uuid4()).encode(), subject.encode())
        self._header = struct.pack(">B", _LIVE_LINK_VERSION) + b"".join(struct.pack(">i", len(n)) + n for n in names)
        self._fps = fps

    def send(self, vector: np.ndarray, seconds: float) -> None:
        """See :class:`Sender`."""
        frame, part = divmod(seconds * self._fps + 1e-6, 1)
        packet = self._header + struct.pack(_FRAME, int(frame), part, self._fps, 1, len(COLUMNS))
        packet += np.asarray(live_link_values(vector[None])[0], ">f4").tobytes()
        try:
            self._socket.sendto(packet, self._address[4])
        except OSError as error:
            raise OutputError(f"cannot send to {self._address[4]}: {error.strerror or error}") from error

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()


def read_live_link_packet(packet: bytes) -> tuple[str, float, np.ndarray]:
    """Subject, seconds and values ``(61,)`` float32 of a packet of :class:`LiveLinkSender`; ValueError if it is none."""
    try:
        (version,), offset, names = struct.unpack_from(">B", packet), 1, []
        for _ in range(2):
            (length,) = struct.unpack_from(">i", packet, offset)
            names.append(packet[offset + 4 : offset + 4 + length].decode())
            offset += 4 + length
        frame, part, numerator, denominator, count = struct.unpack_from(_FRAME, packet, offset)
        values = np.frombuffer(packet, ">f4", count, offset + struct.calcsize(_FRAME)).astype(np.float32)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"no Live Link packet: {error}") from error
    if version != _LIVE_LINK_VERSION:
        raise ValueError(f"a Live Link packet of version {version}, not {_LIVE_LINK_VERSION}")
    return names[1], (frame + part) * denominator / numerator, values


def send_in_real_time(frames: Iterable[np.ndarray], sender: Sender, fps: float = ARKIT.fps) -> int:
    """Send frames ``(58,)`` at their times by the clock; returns their number. Late frames follow at once."""
    start, count = time.perf_counter(), 0
    for count, vector in enumerate(frames, start=1):
        moment = (count - 1) / fps
        time.sleep(max(0.0, start + moment - time.perf_counter()))
        sender.send(vector, moment)
    return count
