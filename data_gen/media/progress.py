"""How far a video has been read, against what its container promises."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from data_gen.media.frames import lost_frames


class Progress:
    """Count of the packets and frames of a video stream of PyAV, and of what is missing.

    time, duration: of the last frame, in seconds
    errors: packets and frames that could not be decoded
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.container, self.stream, self.errors = container, stream, 0
        self.has_times = container.format.name != "avi"  # which stores the order of decoding alone
        self.time, self.duration = float("nan"), 0.0
        self.count = self.discarded = 0
        self.period = float(1 / stream.average_rate) if stream.average_rate else 0.0
        self.start = float("nan")  # of the first frame
        self.reached = 0.0  # end of the last packet of any stream, seconds
        self.stamps: deque[int | None] = deque()  # decoding times of packets whose frames are to come

    def packet(self, packet: Any) -> None:
        """Note a packet of any stream."""
        if packet.stream is self.stream:
            self.discarded += packet.is_discard
            self.errors += packet.is_corrupt
            if packet.size:
                self.stamps.append(packet.dts)
        start = packet.dts if packet.pts is None else packet.pts
        if start is not None and packet.time_base is not None:
            end = float((start + (packet.duration or 0)) * packet.time_base)
            self.reached = max(self.reached, end)

    def frame(self, frame: Any) -> None:
        """Note a frame of the video; where it has no time, packet and frame of one rank belong together."""
        decoded = self.stamps.popleft() if self.stamps else None
        stamp = frame.pts if self.has_times and frame.pts is not None else decoded
        base = self.stream.time_base
        self.time = float("nan") if stamp is None else float(stamp * base)
        self.duration = float((frame.duration or 0) * base) or self.period
        self.start = self.start if self.count else self.time
        self.count += 1

    def loss(self) -> str | None:
        """Say how many frames are missing, or None."""
        missing, promised = self._missing_of_number() if self.stream.frames else self._missing_of_duration()
        return lost_frames(self.count, promised) if missing or self.errors else None

    def _missing_of_number(self) -> tuple[bool, str | None]:
        """Compare with the number of frames in the container.

        It counts those that are not shown, and those of an AVI that are not stored, since they equal the one
        before. A video is whole, too, if it reaches the end of its duration.
        """
        stream = self.stream
        end = float(max(stream.duration or 0, stream.frames) * (stream.time_base or 0))
        reaches_end = self.time + self.duration > end - 0.75 * self.period
        missing = self.count + self.discarded < stream.frames and not reaches_end
        return missing, str(stream.frames - self.discarded) if missing else None

    def _missing_of_duration(self) -> tuple[bool, str | None]:
        """Compare with the duration in the container: that of the video, and that of all its streams."""
        end, tagged = (self.container.duration or 0) / 1e6, _duration_tag(self.stream)
        missing = end - self.reached > 1.5 * self.period
        if tagged is None and len(self.container.streams) == 1:
            tagged = end
        if not tagged or not self.period or not self.count:
            return missing, None
        missing = missing or tagged - self.time - self.duration > 1.5 * self.period
        promised = round((tagged - self.start) / self.period) if self.start == self.start else 0
        return missing, f"about {promised}" if promised > self.count else None


def _duration_tag(stream: Any) -> float | None:
    """Return the seconds in the tag that Matroska files have for each stream, "00:01:02.500000000"."""
    tags = {key.partition("-")[0].upper(): value for key, value in stream.metadata.items()}
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d*)?)", tags.get("DURATION", "").strip())
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
