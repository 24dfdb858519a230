"""Chromium participants that encrypt with LiveKit's own worker, or with WebCrypto as Jitsi and SFrame do."""
import os
import time

from steno_test import aes, check, janus, media

FPS = check.FPS
CLOCK_HZ = 90000
TOLERANCE_S = 0.02  # a frame's place in the file against its RTP timestamp: what clock lines and milliseconds round


def matched(case, name, pictures, stamps):
    """
    The recorded pictures are the frames that the SFU had, by their RTP timestamps alone (nobody else can read them): from
    some frame on, each of them, up to the last half second.
    """
    times = [f.time for f in pictures]

    def fits(run):
        """A picture from before the recording's zero is shown at its zero."""
        shift = times[-1] - run[-1]
        return all(abs(t - max(s + shift, 0.0)) <= TOLERANCE_S for t, s in zip(times, run))
    sent = [((s - stamps[0]) & 0xffffffff) / CLOCK_HZ for s in stamps]
    # Evenly spaced frames fit in several places: the last one it is, since nobody left before the recording's end.
    for first in reversed(range(len(sent))):
        run = sent[first:first + len(times)]
        if len(run) == len(times) and fits(run):
            missing_at_end = sent[-1] - run[-1]
            case.figure(f"{name}: {len(times)} frames, each one that the SFU had from its {first}th on; then it had {len(sent) - first - len(times)}, for {missing_at_end:.2f} s")
            assert missing_at_end <= 0.5, f"{name}: {len(sent) - first - len(times)} frames are missing at the end"
            return first
    raise AssertionError(f"{name}: {len(times)} frames are not those of the {len(sent)} that the SFU had: {times[:5]} {sent[:5]}")


def record(case, pages, arguments, seconds, during=None):
    """
    pages: {name: (tag, codec, encryption of the page)}. Everybody is in the room when the recording begins, and leaves before
    it ends.
    """
    server = case.janus().start()
    browser = case.chromium()
    opened, drawn = {}, {}
    for name, (tag, codec, encryption) in pages.items():
        opened[name] = browser.page(name)
        opened[name].join(server, janus.ROOM, id=500 + tag, codec=codec, tag=tag, encryption=encryption,
                          record=os.path.join(server.recordings, name))
    recording = case.record(server, *arguments)
    recording.wait_state("recording")
    begun = time.monotonic()
    if during:
        during(recording, opened, begun)
    time.sleep(max(0.0, begun + seconds - time.monotonic()))
    for name in pages:
        drawn[name] = dict(opened[name].leave()[0]["drawn"])
    done = recording.finish()
    assert recording.code == 0 and done["error"] is None, f"exit {recording.code}: {done}; {recording.tail()}"
    check.verified(done["folder"])
    gaps = aes.gaps(done["folder"], "no-key", "bad-key")
    assert not gaps, f"gaps: {gaps}"
    found = check.by_tag(done["folder"])
    for name, (tag, codec, _) in pages.items():
        path, pictures = found[tag]
        check.clean(path)
        numbers = [f.number for f in pictures]
        assert None not in numbers, f"{name}: {numbers.count(None)} pictures cannot be read"
        assert numbers == sorted(set(numbers)) and set(numbers) <= set(drawn[name]), f"{name}: out of order, twice, or never drawn"
        stamps = media.mjr_timestamps(os.path.join(server.recordings, name + "-video-1.mjr"))
        first = matched(case, name, pictures, stamps)
        assert first <= (2 + seconds * 0.1) * FPS + len(pages) * 4 * FPS, f"{name}: {first} frames before the first"
        sound = media.Audio(path)
        assert abs(sound.pitch() - (800 + 200 * tag)) < 20, f"{name}: the sound is another participant's"
        assert len(sound.beeps()) >= seconds - 3, f"{name}: {len(sound.beeps())} beeps in {seconds} s"
    return recording, done


def key_file(case, name, what):
    return aes.write_json(case.path(name), what)


def test_livekit_worker(case):
    """livekit-client's e2ee worker: VP8, H.264 and VP9; two participants with keys of their own under one index, and everybody's."""
    pages = {"vp8": (1, "vp8", {"format": "livekit", "keys": [{"passphrase": "one"}]}),
             "h264": (2, "h264", {"format": "livekit", "keys": [{"passphrase": "two"}]}),
             "vp9": (3, "vp9", {"format": "livekit", "keys": [{"index": 2, "passphrase": "three"}]})}
    keys = key_file(case, "livekit.json", {"format": "livekit", "keys": [
        {"participant": "501", "passphrase": "one"}, {"participant": "502", "passphrase": "two"}, {"kid": 2, "passphrase": "three"}]})
    record(case, pages, ["--content", "livekit", "--content-keys", "inline", "--key-set", keys], 15)


def test_livekit_rotation(case):
    """A raw key, AES-256; a new key each 4 s, and ratchets between: the worker's own, live."""
    def raw(i):
        return aes.b64(aes.raw_key(f"browser {i}"))

    def rotate(recording, pages, begun):
        page = pages["p"]
        for i in range(1, 5):
            time.sleep(max(0.0, begun + 4 * i - time.monotonic()))
            page.call("setKey", index=i, key=raw(i))
            for _ in range(2):
                time.sleep(1)
                page.call("ratchet", index=i)
    pages = {"p": (1, "vp8", {"format": "livekit", "keys": [{"key": raw(0)}], "keyBits": 256})}
    keys = key_file(case, "rotated.json", {"format": "livekit", "key_bits": 256, "keys": [{"kid": i, "key": raw(i)} for i in range(5)]})
    record(case, pages, ["--content", "livekit", "--content-keys", "inline", "--key-set", keys], 20, rotate)


def test_jitsi(case):
    """Jitsi's frames, with a key that its own management would have handed out, ratcheted twice."""
    key = aes.b64(aes.raw_key("jitsi"))

    def ratchet(recording, pages, begun):
        for i in (1, 2):
            time.sleep(max(0.0, begun + 4 * i - time.monotonic()))
            pages["p"].call("ratchet", index=0)
    keys = key_file(case, "jitsi.json", {"format": "jitsi", "kdf": "hkdf", "keys": [{"key": key}]})
    record(case, {"p": (1, "vp8", {"format": "jitsi", "keys": [{"key": key}]})},
           ["--content", "jitsi", "--content-keys", "inline", "--key-set", keys], 12, ratchet)


def test_sframe(case):
    """SFrame by WebCrypto: suite 4 with VP8, and suite 5 with VP9, which hide every byte of a frame."""
    for suite, codec, kid in ((4, "vp8", 5), (5, "vp9", 1000)):
        key = aes.b64(aes.raw_key(f"sframe {suite}"))
        keys = key_file(case, f"sframe-{suite}.json", {"format": "sframe", "suite": suite, "keys": [{"kid": kid, "key": key}]})
        part = type(case)(f"{case.name}-{suite}")
        try:
            record(part, {"p": (suite, codec, {"format": "sframe", "suite": suite, "keys": [{"index": kid, "key": key}]})},
                   ["--content", "sframe", "--content-keys", "inline", "--key-set", keys], 10)
        finally:
            case.figures += part.figures
            part.close(False)
