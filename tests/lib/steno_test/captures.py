"""Captures that lie in a spool when stenod starts: recordings to store, as many as a test likes, without waiting for them."""
import atexit
import glob
import json
import os
import random
import shutil
import subprocess
import tempfile

from . import clips, janus, procs, steno

SECONDS = 12
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_made = {}


def _noise(case):
    """VP8 that does not compress: 10 Mbit/s."""
    path = case.path("noise.webm")
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
                    f"nullsrc=s=320x240:r=15:d={SECONDS},geq=random(1)*255:128:128", "-c:v", "libvpx", "-deadline", "realtime",
                    "-cpu-used", "8", "-g", "15", "-b:v", "10M", "-minrate", "10M", "-maxrate", "10M", path], check=True)
    return path


def make(case, large=False):
    """A finished capture of a real room: some hundred KiB, or (large) two parts of a multipart upload and more."""
    if large not in _made:
        server = case.janus(name=f"janus-capture-{large}").start()
        if large:
            video, audio = _noise(case), clips.numbered(case)[1]
            publisher = procs.start([clips.PUBLISHER, "--url", server.url, "--room", str(janus.ROOM), "--display", "alice", "--audio",
                                     audio, "--video", video, "--loop", "--token", janus.signed_token(server.token_secret)],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert publisher.stdout.readline(), "the publisher did not start"
        else:
            publisher = clips.publish(case, server)
        recording = case.record(server, "--max-duration", str(SECONDS if large else 3), "--keep-capture", name=f"capture-{large}")
        assert recording.finish(interrupt=False)["error"] is None
        procs.stop(publisher)
        server.stop()
        found = glob.glob(os.path.join(recording.spool, "*", "recording.json"))
        assert len(found) == 1, found
        keep = os.path.join(tempfile.mkdtemp(prefix="steno-capture-"), "capture")
        atexit.register(shutil.rmtree, os.path.dirname(keep), ignore_errors=True)
        shutil.copytree(os.path.dirname(found[0]), keep)
        for name in ("out", "recorder.lock", "ending.json"):
            path = os.path.join(keep, name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)
        _made[large] = keep
    return _made[large]


def new_id():
    return "01JD" + "".join(random.choices(ALPHABET, k=22))


def plant(daemon, capture, app="clinic", id_=None):
    """A copy of the capture in the spool of a stenod that is not running, as a recording of its own; its id."""
    id_ = id_ or new_id()
    to = os.path.join(daemon.spool, id_)
    os.makedirs(daemon.spool, mode=0o700, exist_ok=True)
    shutil.copytree(capture, to)
    path = os.path.join(to, "recording.json")
    with open(path) as f:
        recording = json.load(f)
    recording.update(id=id_, app=app, channel=id_[-8:])
    with open(path, "w") as f:
        json.dump(recording, f)
    return id_
