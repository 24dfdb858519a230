"""Channels under their own AES: every format and codec, rotation, ratchets, late and wrong keys, sealed recordings."""
import glob
import json
import os
import re
import signal
import subprocess
import threading
import time

from steno_test import aes, check, clips, media, procs, steno

LIGHT = 400
SECONDS = 10


def recorded(case, server, channel, room, arguments, name=None, tag=1, seconds=SECONDS, before=None):
    """Records a channel from before its publisher begins until its clip is over: (recording, "done" line)."""
    recording = case.record(server, "--content", channel.format, *arguments, room=room, name=name or channel.name)
    recording.wait_state("recording")
    publisher = channel.publish(server, room, tag=tag, seconds=seconds)
    if before:
        before(recording, publisher)
    aes.ended(publisher, seconds + 20)
    # What is on its way when the clip is over is not lost.
    recording.wait(lambda e: e.get("event") in ("participant_left", "track_removed"), 20, "the publisher's leaving")
    return recording, recording.finish()


def judged(case, recording, done, channel, tag=1, seconds=SECONDS):
    assert recording.code == 0 and done["error"] is None, f"{channel.name}: exit {recording.code}: {done}; {recording.tail()}"
    check.verified(done["folder"])
    gaps = aes.gaps(done["folder"], "no-key", "bad-key")
    assert not gaps, f"{channel.name}: {gaps}"
    return aes.whole(case, channel.name, aes.only_file(done["folder"]), tag, seconds)


def inline(channel):
    return ["--content-keys", "inline", "--key-set", channel.key_file()]


def many(case, channels, server, arguments=inline, at_once=3):
    """Records each of them in a room of its own, a few at a time."""
    faults, gate = [], threading.Semaphore(at_once)

    def one(number, channel):
        with gate:
            try:
                more = arguments(channel) + (["--allow-insecure-modes"] if re.search("xts|ecb", channel.format) else [])
                recording, done = recorded(case, server, channel, number, more)
                judged(case, recording, done, channel)
            except Exception as error:  # told with all the others
                faults.append(f"{channel.name}: {error}")
    threads = [threading.Thread(target=one, args=(aes.make_room(server, 3000 + i), c)) for i, c in enumerate(channels)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, "\n".join(faults)


def passphrase(text="correct horse battery staple", **more):
    return {"kid": 0, "passphrase": text, **more}


def raw(name, length=32, **more):
    return {"kid": 0, "key": aes.b64(aes.raw_key(name, length)), **more}


def test_livekit(case):
    """LiveKit's format: each codec that it encrypts, passphrase and raw key, AES-128 and AES-256."""
    server = case.janus().start()
    many(case, [aes.Channel(case, "livekit", [passphrase()], codec="vp8"),
                aes.Channel(case, "livekit", [passphrase(kid=3)], codec="vp9"),
                aes.Channel(case, "livekit", [passphrase()], codec="h264"),
                aes.Channel(case, "livekit", [passphrase()], codec="h265"),
                aes.Channel(case, "livekit", [raw("lk")], codec="vp8", name="-hkdf", kdf="hkdf"),
                aes.Channel(case, "livekit", [passphrase()], codec="h264", name="-256", key_bits=256)], server)


def test_jitsi(case):
    """Jitsi's: keys of its own management, and external ones."""
    server = case.janus().start()
    many(case, [aes.Channel(case, "jitsi", [raw("ji")], kdf="hkdf"),
                aes.Channel(case, "jitsi", [raw("ji", 16, kid=7)], name="-external", kdf="none")], server)


def test_sframe(case):
    """SFrame, all suites; per packet with every codec."""
    server = case.janus().start()
    frames = [aes.Channel(case, "sframe", [raw("sf", kid=kid)], codec=codec, name=f"-{suite}", suite=suite)
              for suite, kid, codec in ((1, 1, "vp8"), (2, 300, "vp9"), (3, 7, "vp8"), (4, 8, "vp9"), (5, 70000, "vp8"))]
    packets = [aes.Channel(case, "sframe-packet", [raw("sp", kid=9)], codec=codec, suite=4)
               for codec in ("vp8", "vp9", "h264", "h265", "av1")]
    many(case, frames + packets, server)


def test_vocabulary(case):
    """The modes that are named as Agora's API names them."""
    server = case.janus().start()
    secret = {"kid": 0, "secret": "planted-channel-secret-22"}
    salted = {**secret, "salt": aes.b64(aes.raw_key("salt"))}
    many(case, [aes.Channel(case, mode, [salted if mode.endswith("gcm2") else secret], codec="vp8")
                for mode in ("aes-128-gcm", "aes-256-gcm", "aes-128-gcm2", "aes-256-gcm2", "aes-128-xts", "aes-256-xts",
                             "aes-128-ecb", "sm4-128-ecb")], server)


def test_rotation(case):
    """A new key every 5 s for a minute; a ratchet of 8 steps, one each 6 s: no frame is lost."""
    server = case.janus().start()
    rotated = [passphrase(f"passphrase number {i}", kid=i, from_s=5 * i) for i in range(12)]
    sender_keys = [raw("sk", kid=(5 << 4) + i, from_s=6 * i, ratchet=i) for i in range(9)]
    channels = [aes.Channel(case, "livekit", rotated, name="-rotated"),
                aes.Channel(case, "livekit", [passphrase(from_s=6 * i, ratchet=i) for i in range(9)], name="-ratchet"),
                aes.Channel(case, "jitsi", [raw("jr", from_s=6 * i, ratchet=i) for i in range(9)], name="-ratchet", kdf="hkdf"),
                aes.Channel(case, "sframe", sender_keys, name="-ratchet", suite=4)]
    # Sender keys: the set holds the generation's first key; the others' kids tell their step.
    key_sets = {c.name: c.key_set() for c in channels}
    key_sets["sframe-vp8-ratchet"].update(ratchet_bits=4, keys=[{"kid": 5 << 4, "key": sender_keys[0]["key"]}])
    faults = []

    def one(number, channel):
        try:
            keys = aes.write_json(case.path(f"set-{channel.name}.json"), key_sets[channel.name])
            recording, done = recorded(case, server, channel, number, ["--content-keys", "inline", "--key-set", keys],
                                       seconds=60)
            judged(case, recording, done, channel, seconds=60)
            sealed = [e for _, e in recording.events if e.get("event") == "undecryptable"]
            case.figure(f"{channel.name}: {len(sealed)} times a frame waited for a key")
        except Exception as error:
            faults.append(f"{channel.name}: {error}")
    threads = [threading.Thread(target=one, args=(aes.make_room(server, 3100 + i), c)) for i, c in enumerate(channels)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, "\n".join(faults)


def test_late_key(case):
    """The key's file is written 20 s after the first frame: told within 5 s, and nothing is lost."""
    server = case.janus().start()
    channel = aes.Channel(case, "livekit", [passphrase()], codec="vp9")
    folder = case.path("keys")
    os.makedirs(folder, 0o700)
    path = os.path.join(folder, "late.json")
    told = {}

    def late(recording, publisher):
        begun = time.time()
        at, event = recording.wait(lambda e: e.get("event") == "undecryptable", 15, "undecryptable is told")
        told.update(after=at - begun, event=event)
        time.sleep(max(0.0, begun + 20 - time.time()))
        aes.write_json(path, channel.key_set())
        at, _ = recording.wait(lambda e: e.get("event") == "decryptable", 15, "decryptable is told")
        told.update(opened=at - begun - 20)
    recording, done = recorded(case, server, channel, aes.make_room(server, 3200), ["--content-keys", "folder", "--key-path", path],
                               seconds=40, before=late)
    judged(case, recording, done, channel, seconds=40)
    case.figure(f"told {told['after']:.1f} s after the publisher began; in the clear {told['opened']:.1f} s after the key came")
    assert told["after"] <= 5 and told["event"]["cause"] == "no-key", told
    captures = glob.glob(os.path.join(recording.spool, "*"))
    formats = [json.loads(line) for c in captures for line in open(os.path.join(c, "part-0001", "events.jsonl"))]
    sealed = [e.get("sealed") for e in formats if e["event"] == "format"]
    assert True in sealed and (False in sealed or None in sealed), f"sealed: {sealed}"


def media_bytes(clip):
    """Pieces of a clip's encoded frames, by which it would be found again in the clear."""
    dumped = subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-map", "0:v", "-c", "copy", "-f", "data", "-"],
                            capture_output=True, check=True).stdout
    return [dumped[at:at + 24] for at in range(200, len(dumped) - 24, max(1, len(dumped) // 200))]


def assert_no_media(case, channel, *roots, tag=1, seconds=SECONDS):
    pieces = media_bytes(clips.numbered(case, tag, seconds, channel.codec)[0])
    looked = 0
    for root in roots:
        for at, _, names in os.walk(root):
            for name in names:
                with open(os.path.join(at, name), "rb") as f:
                    data = f.read()
                looked += len(data)
                found = sum(p in data for p in pieces)
                assert not found, f"{found} pieces of the picture are in {at}/{name}"
    assert looked > 10000, f"only {looked} bytes were searched"
    case.figure(f"{len(pieces)} pieces of the picture searched for in {looked} bytes: none found")


def test_wrong_key(case):
    """Another key: not a byte of media, told within 5 s, an exit code of its own; the right key makes it whole later."""
    server = case.janus().start()
    channel = aes.Channel(case, "livekit", [passphrase()], codec="vp8")
    wrong = aes.write_json(case.path("wrong.json"), channel.key_set([passphrase("wrong horse")]))
    told = {}

    def watch(recording, publisher):
        begun = time.time()
        at, event = recording.wait(lambda e: e.get("event") == "undecryptable", 15, "undecryptable is told")
        told.update(after=at - begun, event=event)
    recording, done = recorded(case, server, channel, aes.make_room(server, 3300), ["--content-keys", "inline", "--key-set", wrong],
                               before=watch)
    case.figure(f"told {told['after']:.1f} s after the publisher began")
    assert told["after"] <= 5 and told["event"]["cause"] == "bad-key" and told["event"]["kid"] == "0", told
    assert recording.code == steno.exit_codes()["bad-key"], f"exit {recording.code}: {done}"
    assert_no_media(case, channel, recording.root, recording.spool)
    folder = done["folder"]
    assert not check.files(folder) or all("sealed" in os.path.basename(p) for p in check.files(folder)), os.listdir(folder)
    gaps = aes.gaps(folder, "bad-key")
    assert gaps and all(g["participant"] and g["kid"] == "0" for g in gaps), gaps
    assert sum(g["frames"] for g in gaps) >= SECONDS * clips.FPS * 0.8, gaps
    again = steno.run("assemble", folder, "--keys", channel.key_file("right"), "--output", case.path("again"))
    assert again.returncode == 0, f"exit {again.returncode}: {again.stderr}{again.stdout}"
    made = [p for p in glob.glob(os.path.join(case.path("again"), "**", "*"), recursive=True) if p.endswith((".webm", ".mp4"))]
    assert len(made) == 1, made
    aes.whole(case, "assembled with the right key", made[0], 1, SECONDS)


def test_fail_on_undecryptable(case):
    server = case.janus().start()
    channel = aes.Channel(case, "livekit", [passphrase()])
    recording = case.record(server, "--content", "livekit", "--content-keys", "folder", "--key-path", case.path("never.json"),
                            "--fail-on-undecryptable", "3", room=aes.make_room(server, 3301))
    recording.wait_state("recording")
    channel.publish(server, 3301, seconds=30)
    begun = time.time()
    done = recording.finish(interrupt=False, seconds=40)
    assert recording.code == steno.exit_codes()["no-key"] and done["end_reason"] == "undecryptable", f"{recording.code} {done}"
    case.figure(f"ended {time.time() - begun:.1f} s after the publisher began")


def test_sealed(case):
    """content_keys = later: the recorder never has a key; who holds it makes the files."""
    server = case.janus().start()
    channels = [aes.Channel(case, "livekit", [passphrase()], codec="h264"), aes.Channel(case, "sframe-packet", [raw("sp")], suite=4)]
    for number, channel in enumerate(channels):
        recording, done = recorded(case, server, channel, aes.make_room(server, 3400 + number), ["--content-keys", "later"])
        assert recording.code == 0 and done["error"] is None, f"exit {recording.code}: {done}; {recording.tail()}"
        assert not [e for _, e in recording.events if e.get("event") == "undecryptable"], "what is meant to be sealed is told as trouble"
        assert_no_media(case, channel, recording.root, recording.spool)
        check.verified(done["folder"])
        told = aes.manifest(done["folder"])
        assert told["content"]["sealed"] and {o["kind"] for o in told["outputs"]} == {"sealed"}, told["outputs"]
        out = case.path(f"holder-{number}")
        made = steno.run("assemble", done["folder"], "--keys", channel.key_file("holder"), "--output", out)
        assert made.returncode == 0, f"exit {made.returncode}: {made.stderr}"
        files = [p for p in glob.glob(os.path.join(out, "**", "*"), recursive=True) if p.endswith((".webm", ".mp4"))]
        aes.whole(case, f"{channel.name} by the key's holder", files[0], 1, SECONDS)


def test_recorder_crash(case):
    """The recorder is killed twice: the next one has the key again, and what lies between is told."""
    server = case.janus().start()
    channel = aes.Channel(case, "livekit", [passphrase()])

    def kill(recording, publisher):
        for part in (1, 2):
            recording.wait(lambda e: e.get("event") == "track_started" and e["part"] == part, 20, f"a track of part {part}")
            pid, seen = recording.recorder(), len(recording.events)
            procs.await_true(lambda: sum(e.get("event") == "stats" for _, e in recording.events[seen:]) >= 3, 20, "3 s of it")
            os.kill(pid, signal.SIGKILL)
            procs.await_true(lambda: recording.recorder() != pid, 20, "another recorder")
    recording, done = recorded(case, server, channel, aes.make_room(server, 3500), inline(channel), seconds=20, before=kill)
    assert recording.code == 0, f"exit {recording.code}: {done}"
    assert not aes.gaps(done["folder"], "no-key", "bad-key")
    numbers = [f.number for f in media.frames(aes.only_file(done["folder"]))]
    assert None not in numbers and numbers == sorted(set(numbers)), "unreadable, twice or out of order"
    lost = len(aes.gaps(done["folder"], "recorder"))
    assert lost >= 1 and len(numbers) > 8 * clips.FPS, f"{len(numbers)} pictures, {lost} gaps"


def test_encrypted_outputs(case):
    """CMS for two recipients, and CENC: openssl and ffmpeg read them back to what a plain recording has."""
    server = case.janus().start()
    channel = aes.Channel(case, "livekit", [passphrase()], codec="h264")
    for name, key in (("rsa", ["-newkey", "rsa:3072"]), ("ec", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])):
        subprocess.run(["openssl", "req", "-x509", *key, "-nodes", "-days", "2", "-keyout", case.path(f"{name}.key"), "-out",
                        case.path(f"{name}.pem"), "-subj", f"/CN={name}"], check=True, capture_output=True)
    recording, done = recorded(case, server, channel, aes.make_room(server, 3600), [
        *inline(channel), "--output-encryption", "cms", "--recipient", case.path("rsa.pem"), "--recipient", case.path("ec.pem")],
        name="cms")
    assert recording.code == 0, f"exit {recording.code}: {done}; {recording.tail()}"
    check.verified(done["folder"])
    assert not check.files(done["folder"]), f"a plain file: {os.listdir(done['folder'])}"
    assert_no_media(case, channel, recording.root)
    told = next(o for o in aes.manifest(done["folder"])["outputs"] if o["file"].endswith(".cms"))
    for name in ("rsa", "ec"):
        plain = case.path(f"{name}.mp4")
        subprocess.run(["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", os.path.join(done["folder"], told["file"]), "-inkey",
                        case.path(f"{name}.key"), "-recip", case.path(f"{name}.pem"), "-out", plain], check=True, capture_output=True)
        assert os.path.getsize(plain) == told["encryption"]["plain_size_bytes"], "another size"
        aes.whole(case, f"CMS, {name}", plain, 1, SECONDS)
    key = steno.secret_file(case.folder, "cenc-key", "00112233445566778899aabbccddeeff:" + "0123456789abcdef" * 2)
    recording, done = recorded(case, server, channel, aes.make_room(server, 3601), [
        *inline(channel), "--output-encryption", "cenc", "--output-key-file", key], name="cenc")
    assert recording.code == 0, f"exit {recording.code}: {done}; {recording.tail()}"
    assert_no_media(case, channel, recording.root)
    clear = case.path("clear.mp4")
    subprocess.run(["ffmpeg", "-v", "error", "-decryption_key", "0123456789abcdef" * 2, "-i", aes.only_file(done["folder"]), "-c", "copy", clear],
                   check=True)
    aes.whole(case, "CENC", clear, 1, SECONDS)
