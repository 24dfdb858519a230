"""What is really in a recorded file: frame numbers by barcode, flash against beep, errors, durations, levels."""
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

import numpy as np

COLUMNS = 26          # of the barcode: see tests/chromium/page.js
CELL = 10             # px a column after scaling
WIDTH, HEIGHT = COLUMNS * CELL, 16
AUDIO_HZ = 48000


class Frame:
    __slots__ = ("time", "number", "tag", "flash")

    def __init__(self, time, number, tag, flash):
        self.time, self.number, self.tag, self.flash = time, number, tag, flash


def _check(number, tag):
    total, value = 5, number * 16 + tag
    while value:
        total = (total * 3 + value % 16) % 16
        value //= 16
    return total


def barcode(picture):
    """Reads one scaled grey picture: (number or None when it can't be read, tag, does it flash)."""
    columns = picture[:, :].reshape(HEIGHT, COLUMNS, CELL)[:, :, 3:7].mean(axis=2)
    difference = columns[1:3].mean(axis=0) - columns[5:7].mean(axis=0)
    flash = columns[9:12].mean() > 128
    if np.abs(difference).min() < 24:
        return None, None, flash
    bits = 0
    for one in difference > 0:
        bits = bits * 2 + int(one)
    number, tag, check = bits >> 8, (bits >> 4) & 15, bits & 15
    return (number, tag, flash) if _check(number, tag) == check else (None, None, flash)


def _decode(path, arguments, info):
    """Runs ffmpeg with raw output; returns its bytes and the lines of standard error that the info filter printed."""
    process = subprocess.Popen(["ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-copyts", "-i", path, *arguments, "-"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = []

    def read():
        for line in process.stderr:
            if info in line:
                lines.append(line.decode(errors="replace"))
    reader = threading.Thread(target=read)
    reader.start()
    data = process.stdout.read()
    reader.join()
    process.wait()
    return data, lines


def frames(path, stream=0):
    """Every picture of a file, in the order it is shown."""
    data, lines = _decode(path, ["-map", f"0:v:{stream}", "-vf", f"scale={WIDTH}:{HEIGHT}:flags=area,format=gray,showinfo",
                                 "-fps_mode", "passthrough", "-f", "rawvideo"], b"pts_time:")
    times = [float(re.search(r"pts_time:\s*(-?[\d.]+)", line).group(1)) for line in lines]
    pictures = np.frombuffer(data, np.uint8)
    count = min(len(times), len(pictures) // (WIDTH * HEIGHT))
    pictures = pictures[:count * WIDTH * HEIGHT].reshape(count, HEIGHT, WIDTH).astype(np.float32)
    return [Frame(times[i], *barcode(pictures[i])) for i in range(count)]


def flashes(path, stream=0):
    """When each white flash of a picture that is black else begins."""
    data, lines = _decode(path, ["-map", f"0:v:{stream}", "-vf", "scale=8:8:flags=area,format=gray,showinfo", "-fps_mode",
                                 "passthrough", "-f", "rawvideo"], b"pts_time:")
    times = [float(re.search(r"pts_time:\s*(-?[\d.]+)", line).group(1)) for line in lines]
    bright = np.frombuffer(data, np.uint8)[:len(times) * 64].reshape(-1, 64).mean(axis=1) > 128
    return [times[i] for i in range(1, len(bright)) if bright[i] and not bright[i - 1]]


class Audio:
    """Samples of a file with the time of each: pieces [(time of the first, index of the first)]."""

    def __init__(self, path, stream=0):
        data, lines = _decode(path, ["-map", f"0:a:{stream}", "-ac", "1", "-af",
                                     f"aresample={AUDIO_HZ},aformat=sample_fmts=flt,ashowinfo", "-f", "f32le"], b"pts_time:")
        self.samples = np.frombuffer(data, np.float32)
        self.index, self.time = [], []
        at = 0
        for line in lines:
            self.time.append(float(re.search(r"pts_time:\s*(-?[\d.]+)", line).group(1)))
            self.index.append(at)
            at += int(re.search(r"nb_samples:\s*(\d+)", line).group(1))
        self.index, self.time = np.array(self.index), np.array(self.time)

    def time_of(self, index):
        piece = np.searchsorted(self.index, index, side="right") - 1
        return float(self.time[piece] + (index - self.index[piece]) / AUDIO_HZ)

    def end(self):
        return self.time_of(len(self.samples)) if len(self.samples) else 0.0

    def beeps(self):
        """When each beep begins: the first loud sample after 300 ms without one."""
        loud = np.flatnonzero(np.abs(self.samples) > 0.25)
        if not len(loud):
            return []
        first = np.concatenate(([True], np.diff(loud) > 0.3 * AUDIO_HZ))
        return [self.time_of(i) for i in loud[first]]

    def levels(self, step=0.1):
        """(time, RMS in dBFS) of each step of the file."""
        n = int(step * AUDIO_HZ)
        found = []
        for at in range(0, len(self.samples) - n + 1, n):
            rms = float(np.sqrt(np.mean(self.samples[at:at + n] ** 2)))
            found.append((self.time_of(at), 20 * np.log10(max(rms, 1e-9))))
        return found

    def pitch(self):
        """The loudest frequency of a beep in Hz: tells whose sound it is."""
        loud = np.flatnonzero(np.abs(self.samples) > 0.25)
        starts = loud[np.concatenate(([False], np.diff(loud) > 0.3 * AUDIO_HZ))] if len(loud) else []
        if not len(starts):
            return 0.0
        first = starts[len(starts) // 2]
        piece = self.samples[first:first + int(0.04 * AUDIO_HZ)]
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), AUDIO_HZ))
        return float(np.argmax(spectrum))


def offsets(pictures, beeps, fps):
    """
    For each beep the flash that belongs to it: seconds by which the picture is late (positive) or early. Only flashes
    whose first frame (a multiple of fps) is really there count, so that a frame the encoder left out is no offset.
    """
    starts = {}
    for frame in pictures:
        if frame.number is not None and frame.number % fps == 0 and frame.flash:
            starts.setdefault(frame.number, frame.time)
    starts = np.array(sorted(starts.values()))
    found = []
    for beep in beeps:
        if len(starts):
            nearest = starts[np.argmin(np.abs(starts - beep))]
            if abs(nearest - beep) < 0.5:
                found.append(float(nearest - beep))
    return found


def errors(path):
    """
    What ffmpeg complains about when it decodes everything: empty when the file is clean. Frame times are passed on as they
    are: else ffmpeg rounds them to a constant rate and complains about what it made itself.
    """
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-map", "0", "-fps_mode", "passthrough",
                           "-enc_time_base", "-1", "-f", "null", "-"], capture_output=True, text=True)
    return (done.stderr.strip() or f"exit {done.returncode}") if done.stderr.strip() or done.returncode else ""


def probe(path):
    done = subprocess.run(["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", path],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ffprobe {path}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def duration(path):
    return float(probe(path)["format"]["duration"])


def compare(truth, recorded):
    """
    Numbers the SFU was given against numbers in the file, between the file's first frame and the truth's last:
    {expected, present, missing, unreadable, disorder, foreign}.
    """
    numbers = [f.number for f in recorded if f.number is not None]
    distinct = [n for i, n in enumerate(numbers) if i == 0 or n != numbers[i - 1]]
    expected = [n for n in truth if distinct and n >= distinct[0]]
    have = set(distinct)
    return {"expected": len(expected), "present": sum(n in have for n in expected),
            "missing": [n for n in expected if n not in have],
            "unreadable": sum(f.number is None for f in recorded),
            "disorder": sum(b <= a for a, b in zip(distinct, distinct[1:])),
            "foreign": len(have - set(truth))}


def mjr_info(path):
    """The header of one of Janus' own recordings: {"t", "c", "s", "u", …}."""
    with open(path, "rb") as f:
        if f.read(8) != b"MJR00002":
            raise ValueError(f"{path} is no .mjr")
        return json.loads(f.read(int.from_bytes(f.read(2), "big")))


def mjr_file(path):
    """Janus' own recording of one stream, as a file that ffmpeg reads: what the SFU was given."""
    codec = mjr_info(path)["c"]
    extension = {"vp8": "webm", "vp9": "webm", "h264": "mp4", "av1": "mp4", "opus": "opus"}[codec]
    out = tempfile.NamedTemporaryFile(suffix="." + extension, delete=False).name
    done = subprocess.run(["janus-pp-rec", path, out], capture_output=True, text=True)
    if done.returncode or not os.path.getsize(out):
        raise RuntimeError(f"janus-pp-rec {path}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return out


def mjr_numbers(path):
    """The frame numbers in one of Janus' own recordings, in order."""
    out = mjr_file(path)
    try:
        return [f.number for f in frames(out) if f.number is not None]
    finally:
        os.unlink(out)


def mjr_timestamps(path):
    """RTP timestamps of the frames in one of Janus' own recordings, in order, without a look into the payloads."""
    with open(path, "rb") as f:
        data = f.read()
    at = 10 + int.from_bytes(data[8:10], "big")
    found = []
    while at + 14 <= len(data):
        bytes_ = int.from_bytes(data[at + 8:at + 10], "big")
        stamp = int.from_bytes(data[at + 14:at + 18], "big")
        if not found or found[-1] != stamp:
            found.append(stamp)
        at += 10 + bytes_
    return list(dict.fromkeys(found))


def summary(path, fps):
    """Everything at once, for a look by hand."""
    pictures, sound = frames(path), Audio(path)
    beeps = sound.beeps()
    numbers = [f.number for f in pictures if f.number is not None]
    late = offsets(pictures, beeps, fps)
    return {"duration": duration(path), "frames": len(pictures), "unreadable": sum(f.number is None for f in pictures),
            "first": numbers[0] if numbers else None, "last": numbers[-1] if numbers else None,
            "tags": sorted({f.tag for f in pictures if f.tag is not None}), "beeps": len(beeps), "pitch": sound.pitch(),
            "offset_ms": [round(1000 * f(late), 1) for f in (min, np.median, max)] if late else None,
            "errors": errors(path)[:300]}


if __name__ == "__main__":
    print(json.dumps(summary(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 15), indent=1))
