"""packaging/quickstart behind its build: a Janus and two participants on loopback, 15 s recorded, what came of it."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from . import janus, procs, steno

SECONDS = 15
PARTICIPANTS = (("alice", ["-c:v", "libvpx", "-deadline", "realtime", "-b:v", "800k"], "webm", "testsrc2", 440),
                ("bob", ["-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-bf", "0"], "mp4", "smptebars", 330))


def clip(folder, name, video, extension, picture, hz):
    """Ten seconds of a test picture and a tone, to be sent again and again."""
    path = os.path.join(folder, f"{name}.{extension}")
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", f"{picture}=size=640x360:rate=25",
                    "-f", "lavfi", "-i", f"sine=frequency={hz}:sample_rate=48000", "-t", "10", "-pix_fmt", "yuv420p", "-g", "50",
                    *video, "-c:a", "libopus", path], check=True)
    return path


def main(root):
    folder = tempfile.mkdtemp(prefix="steno-quickstart-")
    secret = "quickstart-secret"
    print("starting Janus and two participants on loopback", flush=True)
    server = janus.Janus(os.path.join(folder, "janus"), token_secret=secret).start()
    secret_file = steno.secret_file(folder, "janus.secret", secret)
    for name, *how in PARTICIPANTS:
        path = clip(folder, name, *how)
        procs.start([os.path.join(steno.BUILD, "bin", "steno-publisher"), "--url", server.url, "--room", str(janus.ROOM),
                     "--token", server.token(), "--display", name, "--video", path, "--audio", path, "--loop"],
                    stdout=subprocess.DEVNULL, stderr=open(os.path.join(folder, name + ".log"), "w"))
    watcher = server.client()
    procs.await_true(lambda: len(watcher.participants()) == len(PARTICIPANTS), 20, "both participants are in the room")
    watcher.close()
    command = [steno.STENO, "record", "--platform", "janus", "--url", server.url, "--channel", str(janus.ROOM),
               "--token-secret-file", secret_file, "--output", root, "--loopback", "--max-duration", str(SECONDS)]
    print("$ " + " ".join(command), flush=True)
    record = procs.start(command, stdout=subprocess.PIPE, text=True)
    out, _ = record.communicate(timeout=SECONDS + 60)
    if record.returncode:
        print(f"steno record failed with exit code {record.returncode}; logs in {folder}", file=sys.stderr)
        return record.returncode
    made = out.strip().splitlines()[-1]
    print(f"\nThe recording is in {os.path.abspath(made)}:")
    for name in sorted(os.listdir(made)):
        path = os.path.join(made, name)
        print(f"  {name}  {os.path.getsize(path)} bytes")
        if not name.endswith(".json"):
            probe = json.loads(subprocess.run(["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", path],
                                              capture_output=True, text=True, check=True).stdout)
            print(f"    {float(probe['format']['duration']):.2f} s: " + "; ".join(
                f"{s['codec_type']} {s['codec_name']}" + (f" {s['width']}x{s['height']}" if s["codec_type"] == "video" else "")
                for s in probe["streams"]))
    print("steno verify: " + ("whole and true" if steno.run("verify", made).returncode == 0 else "NOT what the manifest says"))
    return 0


def on_signal(*_):
    sys.exit(130)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    started = time.monotonic()
    code = main(sys.argv[1] if len(sys.argv) > 1 else "recordings")
    print(f"done in {time.monotonic() - started:.0f} s", flush=True)
    sys.exit(code)
