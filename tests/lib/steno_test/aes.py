"""Channels under their own AES: keys, key files, publishers that seal, and what must be in a recording of them."""
import base64
import hashlib
import json
import os

from . import check, clips, janus, media, procs, steno

FPS = clips.FPS
# What the recorder may miss until the SFU has it subscribed and a key frame has come.
FIRST_MAX = 3 * FPS


def raw_key(name, length=32):
    """Bytes that only this test has, the same each time."""
    return hashlib.sha512(("content key " + name).encode()).digest()[:length]


def b64(data):
    return base64.b64encode(data).decode()


def write_json(path, what, mode=0o400):
    """Puts it there in one step, as somebody should who changes a key file."""
    temporary = path + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "w") as f:
        json.dump(what, f)
    os.rename(temporary, path)
    return path


class Channel:
    """
    A format with its keys. `keys`: members of the key file's keys; each may have "from_s" (when the publisher begins to use
    it) and "ratchet" (so many steps on), which the key file does not have.
    """

    def __init__(self, case, format, keys, codec="vp8", name="", **settings):
        self.case, self.format, self.codec, self.settings = case, format, codec, settings
        self.keys = keys
        self.name = f"{format}-{codec}{name}"
        self.seal = write_json(case.path(f"seal-{self.name}.json"), {"format": format, **settings, "keys": keys}, 0o600)

    def key_set(self, keys=None):
        sent = {}
        for key in keys if keys is not None else self.keys:
            stated = {k: v for k, v in key.items() if k not in ("from_s", "ratchet")}
            if key.get("ratchet") and stated.get("kid", 0) in sent:
                continue  # the recorder has to find the steps itself
            sent[stated.get("kid", 0)] = stated
        return {"format": self.format, **self.settings, "keys": list(sent.values())}

    def key_file(self, name="keys", **changed):
        return write_json(self.case.path(f"{name}-{self.name}.json"), {**self.key_set(), **changed})

    def publish(self, server, room, tag=1, seconds=10, loop=False, **more):
        return clips.publish(self.case, server, room=room, name=f"p{tag}", tag=tag, seconds=seconds, codec=self.codec,
                             seal=self.seal, loop=loop, **more)


def make_room(server, number, **settings):
    client = server.client()
    client.request({"request": "create", "room": number, "publishers": 20, "audiocodec": "opus", "videocodec":
                    "vp8,vp9,h264,av1,h265", "bitrate": 0, "permanent": False, **settings})
    client.close()
    return number


def ended(publisher, seconds):
    """Waits until a publisher's clip is over; its last line."""
    line = publisher.stdout.readline()
    publisher.wait(seconds)
    return json.loads(line)


def whole(case, name, path, tag, seconds, first_max=FIRST_MAX):
    """Every picture is there from the first on to the clip's last one, each once, in order, readable; and its sound."""
    pictures = media.frames(path)
    numbers = [f.number for f in pictures]
    assert numbers and None not in numbers, f"{name}: {numbers.count(None)} of {len(numbers)} pictures cannot be read"
    assert {f.tag for f in pictures} == {tag}, f"{name}: another participant's picture"
    wanted = list(range(numbers[0], seconds * FPS))
    missing = sorted(set(wanted) - set(numbers))
    assert numbers == wanted, f"{name}: {len(numbers)} pictures of {len(wanted)}; missing {missing[:10]}, twice or out of order: {len(numbers) - len(set(numbers))}"
    assert numbers[0] <= first_max, f"{name}: {numbers[0]} pictures before the first"
    check.clean(path)
    between = (pictures[0].time + 0.5, pictures[-1].time - 0.2)
    quiet = [round(t, 1) for t, level in media.Audio(path).levels() if between[0] < t < between[1] and level < -40]
    assert not quiet, f"{name}: the tone is not there at {quiet[:10]}"
    case.figure(f"{name}: {len(numbers)} pictures from the first ({numbers[0]}) on, none missing")
    return pictures


def only_file(folder):
    found = check.files(folder)
    assert len(found) == 1, f"files: {os.listdir(folder)}"
    return found[0]


def manifest(folder):
    with open(os.path.join(folder, "manifest.json")) as f:
        return json.load(f)


def gaps(folder, *causes):
    return [g for g in manifest(folder)["gaps"] if g["cause"] in causes]
