"""Clips whose pictures are numbered, sent by steno-publisher; and what a recording of them lost, by the wall clock."""
import json
import os
import subprocess
import threading

import numpy as np

from . import janus, media, procs, steno

FPS = 15
SECONDS = 60
PUBLISHER = os.path.join(steno.BUILD, "bin", "steno-publisher")


def _bits(number, tag):
    value = (number << 8) | (tag << 4) | media._check(number, tag)
    return [(value >> (media.COLUMNS - 1 - i)) & 1 for i in range(media.COLUMNS)]


def _picture(number, tag):
    """A barcode as tests/chromium/page.js draws it: the bits, and below them their inverse."""
    row = np.repeat(np.array(_bits(number, tag), np.uint8) * 255, media.CELL)
    block = 24
    return np.concatenate([np.tile(row, (block, 1)), np.tile(255 - row, (block, 1)),
                           np.zeros((2 * block, media.COLUMNS * media.CELL), np.uint8)])


_MAKING = threading.Lock()
# What a picture of each codec is encoded with, and the file that holds it. A key frame a second, no frame out of order.
ENCODERS = {
    "vp8": ("webm", ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "250k"]),
    "vp9": ("webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "250k"]),
    "h264": ("mp4", ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-bf", "0",
                     "-b:v", "250k"]),
    "h265": ("mp4", ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "bframes=0:log-level=error", "-b:v", "250k"]),
    "av1": ("mp4", ["-c:v", "libsvtav1", "-preset", "10", "-crf", "20", "-svtav1-params", "pred-struct=1"]),
}


def numbered(case, tag=1, seconds=SECONDS, codec="vp8"):
    """(video, audio): numbered pictures with a key frame a second, Opus with a tone. Made once in a test."""
    with _MAKING:
        return _make(case, tag, seconds, codec)


def _make(case, tag, seconds, codec):
    extension, encoder_arguments = ENCODERS[codec]
    video = case.path(f"numbered-{codec}-{tag}-{seconds}.{extension}")
    audio = case.path(f"tone-{seconds}.ogg")
    if not os.path.exists(video):
        height, width = _picture(0, tag).shape
        encoder = subprocess.Popen(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray", "-s",
                                    f"{width}x{height}", "-r", str(FPS), "-i", "pipe:0", *encoder_arguments, "-g", str(FPS),
                                    "-pix_fmt", "yuv420p", video], stdin=subprocess.PIPE)
        for number in range(seconds * FPS):
            encoder.stdin.write(_picture(number, tag).tobytes())
        encoder.stdin.close()
        assert encoder.wait() == 0, "ffmpeg made no clip"
    if not os.path.exists(audio):
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
                        f"sine=frequency=440:duration={seconds}", "-c:a", "libopus", "-b:a", "32k", audio], check=True)
    return video, audio


def publish(case, server, room=janus.ROOM, name="alice", count=1, tag=1, video=True, loop=True, seconds=SECONDS, codec="vp8",
            seal=None):
    """
    A publisher in a room, sending until it is stopped, or its clip is over; returns when it sends. seal: how its frames are
    encrypted, the path of a description for the publisher.
    """
    picture, sound = numbered(case, tag, seconds, codec)
    argv = [PUBLISHER, "--url", server.url, "--room", str(room), "--display", name, "--audio", sound, "--count", str(count)]
    argv += ["--loop"] * loop + (["--seal", seal] if seal else [])
    if server.token_secret:
        argv += ["--token", janus.signed_token(server.token_secret)]
    publisher = procs.start(argv + (["--video", picture] if video else []), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    case.on_exit(procs.stop, publisher)
    assert publisher.stdout.readline(), f"the publisher {name} did not start"
    return publisher


def walls(path, zero):
    """When each picture of a file was sent by the publisher's clock, s since 1970; in the order of the file."""
    found = media.frames(path)
    numbers = [f.number for f in found if f.number is not None]
    assert numbers, f"{os.path.basename(path)}: no picture with a number"
    return [zero + f.time for f in found]


def holes(times, longest=0.5):
    """[(from, until)] where no picture is for longer than this."""
    return [(a, b) for a, b in zip(times, times[1:]) if b - a > longest]


def manifest(folder):
    with open(os.path.join(folder, "manifest.json")) as f:
        return json.load(f)


def zero(found):
    """The recording's zero of a manifest, s since 1970."""
    return found["recording"]["zero_us"] / 1e6


def repeated(path):
    """Numbers of pictures that come twice or go back, but for the clip's own beginning anew."""
    numbers = [f.number for f in media.frames(path) if f.number is not None]
    return [(a, b) for a, b in zip(numbers, numbers[1:]) if b <= a and a - b < SECONDS * FPS // 2]
