"""Whatever can be wrong has its own message and exit code, and what was captured before stays."""
import os
import re
import socket
import subprocess
import threading
import time

from steno_test import check, janus, media, procs, proxy, steno
from steno_test.case import Skip

LIGHT = 170
QUICK = ("--reconnect-seconds", "2", "--max-idle", "4", "--max-duration", "30")


def fails(case, recording, slug, words, seconds=40):
    """The recording ends by itself with this error: its code, its exit code, and a message that says what is wrong."""
    done = recording.finish(seconds, interrupt=False)
    assert done["error"] is not None, f"no error, wanted {slug}: {done}"
    case.figure(f"{slug}: {done['error']['message']}")
    assert done["error"]["code"] == slug, f"{done['error']}, wanted {slug}"
    wanted = steno.exit_codes()[slug]
    assert recording.code == wanted, f"exit code {recording.code}, wanted {wanted}"
    assert re.search(words, done["error"]["message"], re.I), f"the message does not say {words}: {done['error']['message']}"
    assert janus.PIN not in str(recording.events)
    return done


def given(case, name, text):
    return "@" + steno.secret_file(case.folder, name, text)


def test_wrong_token(case):
    server = case.janus().start()
    token = given(case, "token", janus.signed_token("another secret"))
    fails(case, case.record(server, "--token", token, *QUICK), "token-refused", "token")


def test_expired_token(case):
    server = case.janus().start()
    token = given(case, "token", janus.signed_token(server.token_secret, lifetime=-60))
    fails(case, case.record(server, "--token", token, *QUICK), "token-expired", "expired")


def test_wrong_api_secret(case):
    server = case.janus(api_secret="right", token_secret=None).start()
    recording = case.record(server, "--api-secret-file", steno.secret_file(case.folder, "api", "wrong"), *QUICK)
    fails(case, recording, "token-refused", "secret")


def test_wrong_room(case):
    server = case.janus().start()
    fails(case, case.record(server, *QUICK, room=987654), "no-such-channel", "987654")


def with_publisher(case, room, **join):
    server = case.janus().start()
    if room == janus.ROOM_SIGNED:
        join["roomToken"] = server.room_token(room)
    case.chromium().page("p").join(server, room, tag=1, **join)
    return server


def test_missing_and_wrong_pin(case):
    server = with_publisher(case, janus.ROOM_PIN, pin=janus.PIN)
    fails(case, case.record(server, *QUICK, room=janus.ROOM_PIN, name="missing"), "pin-refused", "pin")
    wrong = steno.secret_file(case.folder, "pin", "0000")
    fails(case, case.record(server, "--pin-file", wrong, *QUICK, room=janus.ROOM_PIN, name="wrong"), "pin-refused", "pin")
    right = steno.secret_file(case.folder, "right-pin", janus.PIN)
    recording = case.record(server, "--pin-file", right, room=janus.ROOM_PIN, name="right")
    recording.wait(lambda e: e.get("event") == "track_added", 20, "a track")
    time.sleep(1)
    assert recording.finish()["error"] is None


def test_room_token(case):
    server = with_publisher(case, janus.ROOM_SIGNED)
    wrong = given(case, "room-token", server.room_token(janus.ROOM))
    core = given(case, "core-token", server.token())
    recording = case.record(server, "--token", core, "--room-token", wrong, *QUICK, room=janus.ROOM_SIGNED, name="wrong")
    fails(case, recording, "token-refused", "token")
    # The same secret mints both.
    recording = case.record(server, room=janus.ROOM_SIGNED, name="minted")
    recording.wait(lambda e: e.get("event") == "track_added", 20, "a track")
    time.sleep(1)
    assert recording.finish()["error"] is None


def test_not_silent(case):
    server = with_publisher(case, janus.ROOM_PVTID)
    fails(case, case.record(server, *QUICK, room=janus.ROOM_PVTID), "not-silent", "allow-visible")


def test_tls(case):
    server = case.janus().start()
    fails(case, case.record(server, "--url", server.tls_url, *QUICK, name="unknown-ca"), "tls", "certificate")
    recording = case.record(server, "--url", server.tls_url, "--ca-file", server.ca, *QUICK, name="trusted")
    fails(case, recording, "nothing-recorded", "nothing")


def test_unreachable(case):
    server = case.janus()
    fails(case, case.record(server, *QUICK, name="port"), "unreachable", "refused|connect")
    fails(case, case.record(server, "--url", "http://no-such-host.invalid/janus", *QUICK, name="name"), "unreachable",
          "no-such-host.invalid")


def test_not_janus(case):
    """Something answers, but it is no Janus."""
    server = case.janus().start()
    middle = proxy.Proxy(server, lambda text: "<html>hello</html>")
    case.on_exit(middle.close)
    fails(case, case.record(server, "--url", middle.url, *QUICK), "protocol", "answer")


def rewritten(case, pattern, replacement, rewrite_request=lambda text: text, options=QUICK):
    """A room with a publisher behind a proxy that changes the offers."""
    server = with_publisher(case, janus.ROOM)

    def rewrite(text):
        return re.sub(pattern, replacement, text) if '"type":"offer"' in text.replace(" ", "") else text
    middle = proxy.Proxy(server, rewrite, rewrite_request)
    case.on_exit(middle.close)
    return case.record(server, "--url", middle.url, *options)


def test_garbage_sdp(case):
    fails(case, rewritten(case, r'"sdp":\s*"[^"]*"', '"sdp":"\\\\u0001 not a description"'), "sdp-invalid", "description|SDP")


def test_fingerprint(case):
    other = ":".join(["AB"] * 32)
    fails(case, rewritten(case, r"(fingerprint:sha-256 )[0-9A-F:]+", r"\g<1>" + other), "fingerprint", "fingerprint|certificate")


def test_plain_rtp_offer(case):
    fails(case, rewritten(case, r"UDP/TLS/RTP/SAVPF", "RTP/AVPF"), "weak-crypto", "encrypt|RTP/AVPF|plain")


def test_media_unreachable(case):
    """The signalling is fine, but no packet comes back from the media address."""
    recording = rewritten(case, r"(a=candidate:\d+ 1 udp \d+ )\S+ \d+", r"\g<1>127.0.0.1 9",
                          lambda text: re.sub(r"a=candidate:[^\\]*\\r\\n", "", text), ("--max-idle", "40"))
    fails(case, recording, "media-unreachable", "media|ICE", 70)


def test_geofence(case):
    server = with_publisher(case, janus.ROOM)
    fails(case, case.record(server, "--allow-media-cidr", "10.0.0.0/8", *QUICK, name="signalling"), "geofence", "127.0.0.1")


def test_nothing_recorded(case):
    server = case.janus().start()
    done = fails(case, case.record(server, "--max-idle", "2"), "nothing-recorded", "nothing")
    assert done["end_reason"] == "max-idle", done


def test_usage(case):
    usage = steno.exit_codes()["usage"]
    for argv, words in ((["record"], "platform"), (["record", "--platform", "fax", "--url", "x", "--channel", "1"], "janus"),
                        (["record", "--platform", "janus", "--url", "http://h/janus"], "channel"),
                        (["record", "--no-such-option"], "no-such-option"),
                        (["record", "--max-duration", "soon"], "max.duration"), (["no-such-command"], "no-such-command"),
                        (["assemble"], "capture|usage"), (["verify"], "DIR|usage")):
        done = steno.run(*argv, cwd=case.folder)
        assert done.returncode == usage, f"{argv}: exit {done.returncode}: {done.stderr}"
        assert re.search(words, done.stderr, re.I), f"{argv}: {done.stderr!r} does not say {words}"


def test_unwritable(case):
    server = case.janus().start()
    with open(case.path("file"), "w"):
        pass
    recording = case.record(server, "--output", case.path("file") + "/root", *QUICK)
    fails(case, recording, "storage-unwritable", re.escape(case.path("file")))


def test_full_disk(case):
    """The spool's disk fills up while recording: an error of its own, and what was captured before becomes files."""
    server = with_publisher(case, janus.ROOM)
    small = case.path("small")
    os.makedirs(small)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k,mode=700", "tmpfs", small], capture_output=True).returncode:
        raise Skip("a small disk can't be mounted here (needs root)")
    case.on_exit(subprocess.run, ["umount", "-l", small])
    recording = case.record(server, "--spool", small, "--max-idle", "0")
    done = fails(case, recording, "storage-full", "full|space", 120)
    capture = done["capture"]
    assert capture and os.path.isdir(capture), f"the capture is gone: {done}"
    # The operator makes room, and what was captured becomes files.
    subprocess.run(["mount", "-o", "remount,size=20m", small], check=True)
    again = steno.run("assemble", capture, "--output", case.path("again"))
    assert again.returncode == 0, f"steno assemble: exit {again.returncode}: {again.stderr}"
    folder = next(at for at, _, names in os.walk(case.path("again")) if "manifest.json" in names)
    check.verified(folder)
    pictures = media.frames(check.files(folder)[0])
    case.figure(f"{len(pictures)} frames are left")
    assert len(pictures) > check.FPS, f"only {len(pictures)} frames are left"
    check.clean(check.files(folder)[0])


def test_connection_lost(case):
    """Janus goes and does not come back in time: the recording says so, and its files are there."""
    server = with_publisher(case, janus.ROOM)
    recording = case.record(server, "--reconnect-seconds", "3")
    recording.wait(lambda e: e.get("event") == "track_added", 20, "a track")
    time.sleep(4)
    server.kill()
    done = fails(case, recording, "connection-lost", "3 s|came back|connect", 90)
    assert done["end_reason"] == "connection-lost", done
    check.verified(done["folder"])
    assert len(media.frames(check.files(done["folder"])[0])) > 2 * check.FPS, "what was captured before is not there"


def sdp_file(case, port):
    path = case.path("session.sdp")
    with open(path, "w") as f:
        f.write("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
                f"m=video {port} RTP/AVP 96\na=rtpmap:96 VP8/90000\na=recvonly\n")
    return path


def from_sdp(case, path, *arguments):
    folder = case.path("recording")
    os.makedirs(folder, exist_ok=True)
    recording = steno.Record(folder, ["--platform", "sdp", "--url", path, "--channel", "studio", *arguments])
    case.on_exit(procs.stop, recording.process)
    return recording


def test_garbage_rtp(case):
    port = procs.free_ports(1)[0] & ~1
    recording = from_sdp(case, sdp_file(case, port), "--max-idle", "5")
    recording.wait_state("recording")
    over = threading.Event()

    def shower():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while not over.wait(0.005):
            # Half of it with the version of RTP, so that it goes further.
            junk = bytearray(os.urandom(200))
            junk[0] = (junk[0] & 0x3F) | (0x80 if junk[1] & 1 else 0)
            sender.sendto(junk, ("127.0.0.1", port))
    thread = threading.Thread(target=shower)
    thread.start()
    try:
        fails(case, recording, "media-invalid", "RTP|media", 40)
    finally:
        over.set()
        thread.join()


def test_missing_and_garbage_sdp_file(case):
    done = from_sdp(case, case.path("none.sdp")).finish(20, interrupt=False)
    assert done["error"] and done["error"]["code"] in ("usage", "sdp-invalid"), done
    assert "none.sdp" in done["error"]["message"], done
    with open(case.path("bad.sdp"), "wb") as f:
        f.write(os.urandom(500))
    fails(case, from_sdp(case, case.path("bad.sdp")), "sdp-invalid", "description|SDP")


def test_sdp_plain_rtp(case):
    """The second connector with clean input: VP8 by RTP from ffmpeg."""
    port = procs.free_ports(1)[0] & ~1
    recording = from_sdp(case, sdp_file(case, port))
    recording.wait_state("recording")
    sent = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=15",
                           "-t", "5", "-c:v", "libvpx", "-deadline", "realtime", "-g", "15", "-f", "rtp",
                           f"rtp://127.0.0.1:{port}"], capture_output=True, text=True)
    assert sent.returncode == 0, sent.stderr
    done = recording.finish()
    assert done["error"] is None, done
    check.verified(done["folder"])
    path = check.files(done["folder"])[0]
    check.clean(path)
    count = len(media.frames(path))
    case.figure(f"{count} of 75 frames")
    assert count >= 74, f"{count} of 75 frames"
