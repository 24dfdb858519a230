"""The processes of a recording, and who else may talk to them."""
import os
import socket
import time

from steno_test import check, janus


def sockets():
    """The recorders' sockets that somebody listens at."""
    with open("/proc/net/unix") as f:
        paths = [line.split()[-1] for line in f if ".sock" in line and "/steno-" in line]
    return {path for path in paths if os.path.basename(path).startswith("0")}


def test_a_newcomer_takes_nobodys_place(case):
    """Somebody who connects to a recorder's socket, and goes again, does not disturb the recording."""
    before = sockets()
    server = case.janus().start()
    case.chromium().page("a").join(server, janus.ROOM, tag=1)
    recording = case.record(server)
    recording.wait(lambda e: e.get("event") == "track_started", 20, "media")
    mine = [p for p in sockets() - before if os.path.exists(p)]
    assert len(mine) == 1, f"sockets of the recorder: {mine}"
    pid = recording.recorder()
    for words in (b"", b"nonsense\n", b'{"command":"stop"}\n'):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(mine[0])
            stranger.sendall(words)
    time.sleep(2)  # for what must not happen
    assert recording.recorder() == pid, "the recorder is another one"
    done = recording.finish()
    assert done["error"] is None and done["end_reason"] == "stopped", done
    assert os.listdir(done["capture"]).count("part-0002") == 0, "the recording was cut"
    check.verified(done["folder"])
    assert not os.path.exists(mine[0]), "the socket is left"
