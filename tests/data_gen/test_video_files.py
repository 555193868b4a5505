"""Video files of every kind: each stored frame once, with its time, upright, and none missing in silence."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_gen.errors import DataError
from data_gen.media.videos import VideoFile
from data_gen.media.writing import write_video
from tests.data_gen.films import cut_off, ffmpeg, film, gif, numbered, numbers
from tests.refusals import refusal

H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")


def read(path, **options):
    """Return the numbers and times of the frames, and the notes."""
    video = VideoFile(path, **options)
    frames = list(video)
    return numbers(f.image for f in frames), np.array([f.time for f in frames]), video.notes


def images(path):
    return [frame.image for frame in VideoFile(path)]


# ---- times


@pytest.mark.parametrize(
    "delays", [[20, 30] * 5, [100] * 4 + [1000] + [100] * 5, [0] + [100] * 9, [0] * 10, [70, 20, 650]]
)
def test_a_gif_has_each_picture_once_whatever_its_delay(tmp_path, delays):
    found, times, _ = read(gif(tmp_path / "a.gif", delays))
    assert found == list(range(len(delays)))
    np.testing.assert_allclose(times, np.cumsum([0, *delays[:-1]]) / 1000)


@pytest.mark.parametrize("levels", [[10, 10, 10, 90, 200, 200], [7] * 5, [1, 2, 2]])
@pytest.mark.parametrize("fps", [10, 24, 30])
def test_a_gif_of_ours_comes_back_frame_by_frame(tmp_path, levels, fps):
    write_video(tmp_path / "a.gif", [np.full((8, 8, 3), level, np.uint8) for level in levels], fps)
    video = VideoFile(tmp_path / "a.gif")
    assert [frame.image[0, 0, 0] for frame in video] == levels
    assert [frame.image[0, 0, 0] for frame in VideoFile(tmp_path / "a.gif", fps=fps)] == levels
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == len(levels)  # other programs see them as well


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi"])
def test_frames_of_a_variable_rate_come_once_with_their_times(tmp_path, name):
    codec = ["-c:v", "libvpx"] if name.endswith("webm") else [*H264]
    film(tmp_path / name, numbered(12), *codec, "-vf", "select='mod(n\\,3)'", "-fps_mode", "vfr")
    found, times, notes = read(tmp_path / name)
    kept = [1, 2, 4, 5, 7, 8, 10, 11]
    assert found == kept
    np.testing.assert_allclose(times, (np.array(kept) - 1) / 10, atol=1e-9)
    assert len(notes) == 1 and notes[0].startswith("frames are 0.1 to 0.2 s apart, and each is taken once")
    # at 0.0, 0.1, ... the last frame at or before
    assert read(tmp_path / name, fps=10)[0] == [1, 2, 2, 4, 5, 5, 7, 8, 8, 10, 11]


def test_fps_takes_the_frame_that_is_shown_and_blends_none(tmp_path):
    """Pictures appear at 0, 20, 50, 150 and 200 ms, and the last one stays for 100 ms."""
    path = gif(tmp_path / "a.gif", [20, 30, 100, 50, 100])
    found, times, notes = read(path, fps=40)
    assert found == [0, 1, 2, 2, 2, 2, 3, 3, 4, 4, 4, 4] and notes == []
    np.testing.assert_allclose(times, np.arange(12) / 40)
    assert read(path, fps=10)[0] == [0, 2, 4] and read(path, fps=0.5)[0] == [0]


@pytest.mark.parametrize("fps", [30, 30000 / 1001, 60])
def test_fps_of_the_file_itself_changes_nothing(tmp_path, fps):
    """Matroska rounds times to milliseconds: 33, 67, 100."""
    film(tmp_path / "a.mkv", numbered(20), *H264, fps=fps)
    assert read(tmp_path / "a.mkv", fps=fps)[0] == list(range(20))


def test_frames_without_times(tmp_path):
    film(tmp_path / "a.avi", numbered(8), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-f", "h264")
    found, times, notes = read(tmp_path / "a.avi")
    assert found == list(range(8)) and np.isnan(times).all() and notes == ["tells no times of its frames"]
    with pytest.raises(DataError, match=r"a\.avi: frame 1 has no time, which fps= needs"):
        read(tmp_path / "a.avi", fps=5)


def test_a_header_of_0_frames_per_second(tmp_path):
    path = film(tmp_path / "a.avi", numbered(6), "-c:v", "mpeg4")
    content = bytearray(path.read_bytes())
    place = content.index(b"strh") + 8 + 20  # scale and rate
    content[place : place + 8] = struct.pack("<II", 0, 0)
    path.write_bytes(content)
    assert read(path)[0] == list(range(6))


# ---- broken files

CONTAINERS = {
    "a.mp4": [*H264, "-g", "4", "-movflags", "+faststart"],
    "a.mov": ["-c:v", "mjpeg", "-movflags", "+faststart"],
    "a.mkv": [*H264, "-g", "4"],
    "a.webm": ["-c:v", "libvpx", "-g", "4"],
    "a.avi": ["-c:v", "mjpeg"],
    "a.flv": [*H264, "-g", "4"],
    "a.apng": ["-f", "apng"],
    "a.gif": [],
    "a.wmv": ["-c:v", "wmv2", "-g", "2"],
    "a.mpg": ["-c:v", "mpeg2video", "-r", "25"],
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_that_breaks_off_is_refused_with_its_numbers(tmp_path, name, rng):
    noise = rng.integers(0, 256, (20, 32, 48, 3), dtype=np.uint8)  # so that frames fill the file evenly
    path = film(tmp_path / name, noise, *CONTAINERS[name])
    whole = len(images(path))
    assert whole == (20 if name != "a.mpg" else 50)
    line = refusal(list, VideoFile(cut_off(path)), error=DataError)
    video = VideoFile(path, keep_broken=True)
    kept = len(list(video))
    assert 0 < kept < whole and video.loss in video.notes
    promised = "" if name in ("a.gif", "a.wmv", "a.mpg") else " of 20"
    about = " of about 20" if name in ("a.mkv", "a.webm", "a.flv") else promised
    assert line.startswith(f"{path}: is broken: only {kept}{about} frames can be read; ")
    assert "broken=keep" in line and "broken=skip" in line


@pytest.mark.parametrize("share", [0.3, 0.5, 0.6, 0.8, 0.95])
def test_a_gif_that_ends_between_or_within_pictures_is_broken(tmp_path, share):
    path = gif(tmp_path / "a.gif", [100] * 10)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "is broken" in refusal(list, VideoFile(path), error=DataError)
    path.write_bytes(content.rstrip(b";"))
    assert "only 10 frames" in refusal(list, VideoFile(path), error=DataError)
    path.write_bytes(content + b"\0\0more")  # after the end there may be anything
    assert len(images(path)) == 10


@pytest.mark.parametrize("place", ["front", "back"])
def test_frames_that_are_not_shown_are_not_missed(tmp_path, place):
    """An edit list, as of a video that was trimmed in a phone, leaves out frames of the file."""
    path = film(tmp_path / "whole.mp4", numbered(20), *H264)
    if place == "front":
        ffmpeg("-ss", "0.5", "-i", f"{path}", "-c", "copy", f"{tmp_path / 'a.mp4'}")
        assert read(tmp_path / "a.mp4")[0] == list(range(5, 20))
    else:
        content = bytearray(path.read_bytes())
        start = content.index(b"elst") + 12
        content[start : start + 4] = struct.pack(">I", 1000)  # milliseconds
        (tmp_path / "a.mp4").write_bytes(content)
        assert read(tmp_path / "a.mp4")[0] == list(range(10))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.flv", "a.ts"])
@pytest.mark.parametrize("seconds", [1, 3])
def test_sound_of_another_length_is_no_loss(tmp_path, name, seconds):
    sound = ["-f", "lavfi", "-i", f"sine=duration={seconds}:sample_rate=44100"]
    codec = ["-c:v", "libvpx", "-c:a", "libopus"] if name.endswith("webm") else [*H264]
    film(tmp_path / name, numbered(20), *sound_last(sound, codec))
    assert read(tmp_path / name)[0] == list(range(20))


def sound_last(sound, codec):
    return [*sound, "-map", "0:v", "-map", "1:a", *codec]


# ---- pictures as players show them


@pytest.mark.parametrize(
    ("option", "turn"),
    [
        (["-display_rotation", "90"], lambda f: np.rot90(f)),
        (["-display_rotation", "180"], lambda f: np.rot90(f, 2)),
        (["-display_rotation", "270"], lambda f: np.rot90(f, 3)),
        (["-display_hflip"], lambda f: f[:, ::-1]),
        (["-display_vflip"], lambda f: f[::-1]),
        (["-display_rotation", "90", "-display_hflip"], None),
    ],
)
def test_videos_of_phones_are_turned_upright(tmp_path, option, turn):
    path = film(tmp_path / "whole.mp4", numbered(3), *H264, "-crf", "5")
    ffmpeg(*option, "-i", f"{path}", "-c", "copy", f"{tmp_path / 'a.mp4'}")
    frame = images(tmp_path / "a.mp4")[1]
    if turn is None:  # as ffmpeg itself turns it
        ffmpeg("-i", f"{tmp_path / 'a.mp4'}", "-f", "rawvideo", "-pix_fmt", "rgb24", f"{tmp_path / 'raw'}")
        expected = np.fromfile(tmp_path / "raw", np.uint8).reshape(3, *frame.shape)[1]
    else:
        expected = turn(images(path)[1])
    assert frame.shape == expected.shape
    np.testing.assert_allclose(frame.astype(int), expected, atol=6)  # chroma is rounded after the turn


def test_pixels_are_made_square(tmp_path):
    film(tmp_path / "a.mp4", numbered(3), *H264, "-vf", "setsar=3/2")
    frame = images(tmp_path / "a.mp4")[1]
    assert frame.shape == (32, 72, 3) and (frame[:7, :16] > 200).all() and (frame[:, 20:] < 100).all()
    assert read(tmp_path / "a.mp4")[2] == ["pixels of 3:2 are made square: 48x32 becomes 72x32"]


@pytest.mark.parametrize(
    ("name", "options"),
    {
        "odd": ("a.mkv", ["-c:v", "libx264", "-pix_fmt", "yuv444p", "-vf", "crop=47:31:0:0"]),
        "10 bit": ("a.mkv", ["-c:v", "libx264", "-pix_fmt", "yuv420p10le"]),
        "grey": ("a.mkv", ["-c:v", "ffv1", "-pix_fmt", "gray"]),
        "16 bit": ("a.mkv", ["-c:v", "ffv1", "-pix_fmt", "gray16le"]),
        "full range": ("a.mp4", ["-c:v", "libx264", "-pix_fmt", "yuvj420p"]),
        "bt709": ("a.mp4", [*H264, "-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709"]),
        "palette": ("a.mov", ["-c:v", "qtrle", "-pix_fmt", "gray"]),
    }.values(),
)
def test_levels_and_formats_of_pixels(tmp_path, name, options):
    path = film(tmp_path / name, numbered(6), *options)
    frames = images(path)
    assert numbers(frames) == list(range(6))
    corner = np.array(frames)[:, :4, :4]
    assert corner.min() > 245  # white stays white


def test_transparent_parts_are_black(tmp_path):
    rgba = np.zeros((4, 16, 16, 4), np.uint8)
    rgba[..., 0], rgba[:, :, 8:, 3] = 200, 255  # red, and transparent at the left
    rgba[:, :8, :8, 3] = 128
    rgba[:, 15, 15, 1] = np.arange(4)
    source = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", "16x16", "-r", "10", "-i", "-"]
    ffmpeg(*source, "-c:v", "qtrle", "-pix_fmt", "argb", f"{tmp_path / 'a.mov'}", given=rgba.tobytes())
    pictures = [Image.fromarray(frame) for frame in rgba]
    pictures[0].save(
        tmp_path / "a.webp", save_all=True, append_images=pictures[1:], lossless=True, exact=True
    )
    pictures[0].save(tmp_path / "a.apng", save_all=True, append_images=pictures[1:])
    for name in ("a.mov", "a.webp", "a.apng"):
        video = VideoFile(tmp_path / name)
        frames = [frame.image for frame in video]
        assert len(frames) == 4 and video.notes == ["transparent parts are shown on black"]
        red = frames[3][..., 0].astype(int)
        assert (red[:, 8:] == 200).all() and (red[8:, :8] == 0).all() and (abs(red[:8, :8] - 100) <= 1).all()


def test_frames_of_another_size_are_brought_to_that_of_the_first(tmp_path):
    film(tmp_path / "a.ts", numbered(4), *H264)
    film(tmp_path / "b.ts", numbered(8, 64, 96)[4:], *H264)
    (tmp_path / "a.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    video = VideoFile(tmp_path / "a.ts", keep_broken=True)
    frames = [frame.image for frame in video]
    assert numbers(frames) == list(range(8)) and {f.shape for f in frames} == {(32, 48, 3)}
    assert "frames change from 48x32 to 96x64; all have the size of the first ones" in video.notes


# ---- names and kinds of files


@pytest.mark.parametrize(
    ("name", "options"),
    {
        "A.MP4": [*H264],
        "a.M4V": [*H264],
        "a.mpg": ["-c:v", "mpeg1video", "-r", "25"],
        "a.wmv": ["-c:v", "wmv2"],
        "a.ts": [*H264],
        "a.webm": ["-c:v", "libvpx-vp9"],
        "a.ogv": ["-c:v", "libtheora", "-q:v", "10"],
        "a.3gp": [*H264],
        "a.webp": ["-c:v", "libwebp_anim", "-lossless", "1"],
        "a.apng": ["-f", "apng"],
        "lies.gif": [*H264, "-f", "mp4"],
        "lies.avi": ["-f", "apng"],
    }.items(),
)
def test_the_content_decides_how_a_file_is_read(tmp_path, name, options):
    rate = 25 if name.endswith("mpg") else 10
    film(tmp_path / name, numbered(8), *options, fps=rate)
    assert read(tmp_path / name)[0] == list(range(8))


def test_a_gif_under_another_name(tmp_path):
    assert read(gif(tmp_path / "a.gif", [100] * 5).rename(tmp_path / "a.mp4"))[0] == list(range(5))


NAMES = [
    "exp:12:30",
    "file:a",
    'it\'s "q"',
    "%d %03d",
    "-i",
    "ä漢",
    "a\nb",
    "http://x",
    "a.zip",
    "~x",
    "[a]?*",
]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_written_and_read(tmp_path, monkeypatch, name, suffix):
    monkeypatch.chdir(tmp_path)
    path = Path(f"{name}/{name.rpartition('/')[2]}{suffix}")
    write_video(path, numbered(3))
    assert read(path)[0] == [0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_name_that_is_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"a\xff.mp4")
    write_video(path, numbered(3))
    assert read(path)[0] == [0, 1, 2]
    path.rename(tmp_path / "b.mp4")
    path.symlink_to("b.mp4")
    assert read(path)[0] == [0, 1, 2]


def without_video(folder):
    """(path, part of the message)"""
    tone = ["-f", "lavfi", "-i", "sine=duration=1"]
    ffmpeg(*tone, f"{folder / 'sound.m4a'}")
    ffmpeg(*tone, f"{folder / 'sound.mp3'}")
    Image.fromarray(numbered(1)[0]).save(folder / "still.jpg")
    both = ["-i", f"{folder / 'sound.m4a'}", "-i", f"{folder / 'still.jpg'}", "-map", "0", "-map", "1"]
    ffmpeg(*both, "-c", "copy", "-disposition:v", "attached_pic", f"{folder / 'cover.m4a'}")
    yield folder / "sound.m4a", "holds sound and no video; leave it out"
    yield folder / "sound.mp3", "holds sound and no video; leave it out"
    yield folder / "cover.m4a", "holds sound and no video but a cover picture; leave it out"
    yield folder / "still.jpg", "is no video that FFmpeg can read"
    for name in ("still.png", "still.webp"):
        Image.fromarray(numbered(1)[0]).save(folder / name)
        yield folder / name, "is a still picture, no video; leave it out"
    film(folder / "moov.mp4", numbered(9), *H264)
    yield cut_off(folder / "moov.mp4"), "or its beginning or end is missing"
    texts = {
        "text.mp4": "text\n" * 100,
        "list.mp4": f"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n{folder / 'moov.mp4'}\n#EXT-X-ENDLIST\n",
        "concat.mp4": "ffconcat version 1.0\nfile moov.mp4\n",
        "text.gif": "GIF89a" + "x" * 50,
        "empty.mp4": "",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        yield folder / name, "is empty" if not text else "is no"
    os.mkfifo(folder / "pipe.mp4")
    yield folder / "pipe.mp4", "is no plain file; copy the video to one"
    (folder / "device.mp4").symlink_to("/dev/zero")
    yield folder / "device.mp4", "is no plain file"
    (folder / "nowhere.mp4").symlink_to("missing")
    yield folder / "nowhere.mp4", "no such file"
    yield folder, "is no plain file"


def test_what_is_no_video_is_refused_in_one_line(tmp_path, capfd):
    for path, message in without_video(tmp_path):
        line = refusal(list, VideoFile(path), error=DataError)
        assert line.startswith(f"{path}: ") and message in line
    assert capfd.readouterr() == ("", "")


def test_interlaced_frames_are_told(tmp_path):
    film(tmp_path / "a.ts", numbered(6), "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-r", "25", fps=25)
    assert "is interlaced: frames show two moments, in every second line" in read(tmp_path / "a.ts")[2]


def test_a_cover_beside_a_video_is_no_frame(tmp_path):
    film(tmp_path / "whole.mp4", numbered(5), *H264)
    Image.fromarray(numbered(1)[0]).save(tmp_path / "still.jpg")
    both = ["-i", f"{tmp_path / 'still.jpg'}", "-i", f"{tmp_path / 'whole.mp4'}", "-map", "0", "-map", "1"]
    ffmpeg(*both, "-c", "copy", "-disposition:v:0", "attached_pic", f"{tmp_path / 'a.mp4'}")
    assert read(tmp_path / "a.mp4")[0] == list(range(5))
