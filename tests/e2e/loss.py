"""A link that loses, delays and duplicates what the recorder reads: what can be had again is in the file, the rest told."""
import json
import os
import time

from steno_test import check, janus

LIGHT = 150
SECONDS = 60
# Janus keeps nothing to send again before it knows the round trip time from our first report with a sender report's
# time in it, and takes a round trip of under 1 ms, as on loopback, for unknown: what is lost before can't be had again.
AFTER = 5


def lost_packets(recording):
    """{ssrc: numbers of the RTP packets the link lost at the first time}."""
    lost = {}
    with open(os.path.join(recording.folder, "shim.log")) as f:
        for line in f:
            _, ssrc, seq, _, _ = line.split()
            lost.setdefault(int(ssrc), set()).add(int(seq))
    return lost


def events(done):
    """Every line of every part's events.jsonl."""
    found = []
    for part in sorted(os.listdir(done["capture"])):
        path = os.path.join(done["capture"], part, "events.jsonl")
        if os.path.exists(path):
            with open(path) as f:
                found += [json.loads(line) for line in f]
    return found


def lossy(case, loss, minimum):
    server = case.janus().start()
    browser = case.chromium()
    names = {"vp8": 1, "h264": 2}
    for name, tag in names.items():
        browser.page(name).join(server, janus.ROOM, codec=name, tag=tag, record=os.path.join(server.recordings, name))
    recording = case.record(server, shim={"LOSS": loss, "REORDER": 0.05, "DUP": 0.02, "SEED": 7, "AFTER": AFTER, "ANSWER": 3})
    recording.wait_state("recording")
    time.sleep(AFTER + SECONDS)
    done = recording.finish()
    for name in names:
        browser.page(name).leave()
    assert done["error"] is None and recording.code == 0, f"exit code {recording.code}, {done}"
    with open(os.path.join(recording.folder, "shim.json")) as f:
        shim = json.load(f)
    case.figure(f"link: {shim}")
    assert shim["lost_rtp"] > 0.8 * loss * shim["seen"] and shim["delayed"] > 0, f"the link was not bad: {shim}"
    check.verified(done["folder"])
    found = check.by_tag(done["folder"])
    for name, tag in names.items():
        path, pictures = found[tag]
        check.clean(path)
        truth = check.publisher_offset(case, name, *(os.path.join(server.recordings, f"{name}-{kind}.mjr")
                                                     for kind in ("video-1", "audio-0")))
        last = next(f.number for f in reversed(pictures) if f.number is not None)
        check.complete(case, name, [n for n in truth if n <= last], pictures, minimum)
        check.paced(case, name, pictures)
    told(case, recording, done)


def told(case, recording, done):
    """Each gap is made of packets the link really lost, and the manifest tells the same gaps as the capture."""
    lost = lost_packets(recording)
    everything = events(done)
    ssrc = {e["track"]: e["ssrc"] for e in everything if e["event"] == "track_added"}
    gaps = [e for e in everything if e["event"] == "gap" and e["cause"] == "lost"]
    packets = 0
    for gap in gaps:
        if gap["packets"] == 0:
            continue
        packets += gap["packets"]
        numbers = {n % 65536 for n in range(gap["first_seq"], gap["last_seq"] + 1)}
        assert len(numbers) == gap["packets"], f"gap tells {gap['packets']} packets, its numbers {len(numbers)}"
        never = numbers - lost.get(ssrc[gap["track"]], set())
        assert not never, f"track {gap['track']}: packets {sorted(never)[:10]} are called lost, but the link did not lose them"
    manifest = recording.manifest(done)
    told_packets = sum(g["packets"] for g in manifest_gaps(manifest) if g["cause"] == "lost")
    case.figure(f"{len(gaps)} gaps of {packets} packets in all; {sum(map(len, lost.values()))} lost at first")
    assert told_packets == packets, f"the manifest tells {told_packets} lost packets, the capture {packets}"


def manifest_gaps(node):
    """Every gap anywhere in a manifest."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "gaps" and isinstance(value, list):
                yield from value
            else:
                yield from manifest_gaps(value)
    elif isinstance(node, list):
        for value in node:
            yield from manifest_gaps(value)


def test_loss10(case):
    lossy(case, 0.1, check.PRESENT_MIN)


def test_loss20(case):
    lossy(case, 0.2, 0.95)
