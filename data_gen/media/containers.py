"""Videos in containers (MP4, Matroska, AVI, ...), decoded by the libraries of FFmpeg through PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from data_gen.errors import DataError
from data_gen.media.frames import Frame, over_black, require_pixels
from data_gen.media.progress import Progress

# Formats of videos alone: FFmpeg takes texts, playlists and pictures for videos, too.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,ogg,"
    "mxf,nut,dv,rm,yuv4mpegpipe,mp3,wav,flac,aac"
)


_INTERLACED = "is interlaced: frames show two moments, in every second line"


class Container:
    """Frames of a video in a container, each once, as players show them; iterate over it.

    They are turned upright, and their pixels made square, as the file says. After the last frame:

    notes: lines that say what was changed
    loss: how many frames are missing, None where the file is whole
    tick: seconds, the precision of its times
    rounding: seconds by which its times may be wrong
    """

    def __init__(self, path: Path) -> None:
        self.path, self.tick, self.rounding = path, 0.0, 0.0
        self.notes: list[str] = []
        self.loss: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        import av
        from av.error import FFmpegError

        with self.path.open("rb") as file:
            try:
                options = {"format_whitelist": _FORMATS}
                container = av.open(_Nameless(file), options=options, metadata_errors="replace")
            except FFmpegError:
                message = "is no video that FFmpeg can read, or its beginning or end is missing"
                raise DataError(f"{self.path}: {message}; copy it again or convert it to .mp4") from None
            with container:
                try:
                    stream = _video_stream(self.path, container, self.notes)
                    base = float(stream.time_base or 0)
                    self.tick, self.rounding = min(base, 0.01), min(0.5 * base, 0.001) + 1e-9
                    yield from self._decode(container, stream)
                except (FFmpegError, ArithmeticError, ValueError, RuntimeError, MemoryError) as error:
                    if isinstance(error, DataError):
                        raise
                    problem = (str(error).splitlines() or [type(error).__name__])[0]
                    message = f"is no video that FFmpeg can read ({problem:.200}); copy it again"
                    raise DataError(f"{self.path}: {message}") from None

    def _decode(self, container: Any, stream: Any) -> Iterator[Frame]:
        convert = _Converter(self.path, stream, self.notes)
        progress = Progress(container, stream)
        for packet in _packets(container, progress):
            progress.packet(packet)
            if packet.stream is not stream:
                continue
            for frame in _frames(packet, progress):
                progress.frame(frame)
                yield Frame(convert(frame), progress.time, progress.duration)
        self.loss = progress.loss()


class _Nameless:
    """A binary file without its name, from which FFmpeg would guess a protocol, a pattern or a format."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _video_stream(path: Path, container: Any, notes: list[str]) -> Any:
    """Return the first stream of moving pictures."""
    from av.stream import Disposition

    covers = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
    streams = [s for s in container.streams.video if s not in covers and s.codec_context is not None]
    if not streams:
        cover = " but a cover picture" if covers else ""
        if container.streams.audio or covers:
            raise DataError(f"{path}: holds sound and no video{cover}; leave it out")
        raise DataError(f"{path}: holds no video, or its beginning or end is missing; copy it again")
    if len(streams) > 1:
        notes.append(f"holds {len(streams)} videos, of which the first is taken")
    return streams[0]


def _packets(container: Any, progress: Progress) -> Iterator[Any]:
    """Yield the packets of all streams, up to an error."""
    from av.error import FFmpegError

    try:
        yield from container.demux()
    except FFmpegError:
        progress.errors += 1


def _frames(packet: Any, progress: Progress) -> list[Any]:
    """Return the undamaged frames of a packet; count the others."""
    from av.error import FFmpegError

    try:
        frames = packet.decode()
    except FFmpegError:
        progress.errors += 1
        return []
    whole = [frame for frame in frames if not frame.is_corrupt]
    progress.errors += len(frames) - len(whole)
    return whole


class _Converter:
    """Conversion of decoded frames to uint8 "h w 3", as players show them, all of one size."""

    def __init__(self, path: Path, stream: Any, notes: list[str]) -> None:
        self.path = path
        self.aspect = stream.sample_aspect_ratio or 1
        self.notes = notes
        self.size: tuple[int, int] | None = None  # width and height, before frames are turned
        self.source: tuple[Any, ...] = ()  # what the graph of filters converts
        self.push: Callable[[Any], None] | None = None
        self.pull: Callable[[], Any] | None = None

    def __call__(self, frame: Any) -> np.ndarray:
        source = (frame.width, frame.height, frame.format.name)
        if source != self.source:
            self._configure(frame, source)
        if frame.interlaced_frame and _INTERLACED not in self.notes:
            self.notes.append(_INTERLACED)
        assert self.push is not None and self.pull is not None
        self.push(frame)
        image = self.pull().to_ndarray()
        if image.shape[-1] == 4:
            image = over_black(image, self.notes)
        return np.ascontiguousarray(_turn(image, frame))

    def _configure(self, frame: Any, source: tuple[Any, ...]) -> None:
        """Make the filters for frames of one size and format: those of ffmpeg, so colours are the same."""
        from av.filter import Graph

        require_pixels(self.path, frame.width, frame.height)
        if self.size is None:
            self.size = self._square_pixels(frame.width, frame.height)
            require_pixels(self.path, *self.size)
        elif source[:2] != self.source[:2]:
            was, now = "{}x{}".format(*self.source), "{}x{}".format(*source)
            self.notes.append(f"frames change from {was} to {now}; all have the size of the first ones")
        has_alpha = any(component.is_alpha for component in frame.format.components)
        graph = Graph()
        buffer = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        width, height = self.size
        scale = graph.add("scale", f"{width}:{height}")
        rgb = graph.add("format", "rgba" if has_alpha else "rgb24")
        sink = graph.add("buffersink")
        buffer.link_to(scale)
        scale.link_to(rgb)
        rgb.link_to(sink)
        graph.configure()
        self.source, self.push, self.pull = source, graph.push, graph.pull

    def _square_pixels(self, width: int, height: int) -> tuple[int, int]:
        if self.aspect == 1:
            return width, height
        new = (
            (round(width * self.aspect), height) if self.aspect > 1 else (width, round(height / self.aspect))
        )
        shape = f"{self.aspect.numerator}:{self.aspect.denominator}"
        self.notes.append(f"pixels of {shape} are made square: {width}x{height} becomes {new[0]}x{new[1]}")
        return new


def _turn(image: np.ndarray, frame: Any) -> np.ndarray:
    """Turn and mirror an image by quarter turns, as the display matrix of its frame says."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), np.int32).tolist()  # (x, y) to (ax + cy, bx + dy)
    if abs(a) < abs(b):
        image, a, d = image.swapaxes(0, 1), c, b
    return image[:: 1 if d >= 0 else -1, :: 1 if a >= 0 else -1]
