"""
Picture and sound of a prepared clip through a real Janus, for 60 s: steno-publisher's RTP clock is the clip's, so that a
machine that stands still now and then does not move one against the other, as it moves a browser's.
"""
import os
import signal
import statistics
import subprocess
import time

from steno_test import check, janus, media, procs, steno

SECONDS = 60
CODECS = {"vp8": ("webm", ["libvpx", "-deadline", "realtime", "-cpu-used", "8"]),
          "vp9": ("webm", ["libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"]),
          "h264": ("mp4", ["libx264", "-preset", "ultrafast", "-bf", "0"])}
# What a viewer does not notice (ITU-R BT.1359: 45 ms early).
OFFSET_MAX = 0.045


def clip(case, name):
    """Black, white for 100 ms at each second; silence, a beep for 50 ms at each second."""
    extension, encoder = CODECS[name]
    video, audio = case.path(f"{name}.{extension}"), case.path("beep.ogg")
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
                    "color=black:s=320x180:r=30:d=10,drawbox=enable='lt(mod(t,1),0.09)':c=white:t=fill", "-c:v", *encoder,
                    "-g", "30", "-b:v", "300k", "-pix_fmt", "yuv420p", video], check=True)
    if not os.path.exists(audio):
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
                        "aevalsrc='if(lt(mod(t,1),0.05),0.7*sin(2*PI*1000*t),0)':s=48000:d=10", "-c:a", "libopus",
                        "-b:a", "64k", audio], check=True)
    return video, audio


def test_clip(case):
    server = case.janus().start()
    publishers = []
    for name in CODECS:
        video, audio = clip(case, name)
        publisher = procs.start([os.path.join(steno.BUILD, "bin", "steno-publisher"), "--url", server.url, "--room",
                                 str(janus.ROOM), "--token", janus.signed_token(server.token_secret), "--display", name,
                                 "--video", video, "--audio", audio, "--loop"], stdout=subprocess.PIPE)
        case.on_exit(procs.stop, publisher)
        assert publisher.stdout.readline(), f"the publisher of {name} did not start"
        publishers.append(publisher)
    recording = case.record(server)
    recording.wait_state("recording")
    time.sleep(SECONDS)
    done = recording.finish()
    for publisher in publishers:
        publisher.send_signal(signal.SIGTERM)
    assert done["error"] is None, done
    check.verified(done["folder"])
    found = check.files(done["folder"])
    assert len(found) == len(CODECS), f"files: {os.listdir(done['folder'])}"
    for path in found:
        check.clean(path)
        flashes, beeps = media.flashes(path), media.Audio(path).beeps()
        late = [min((f - b for f in flashes), key=abs) for b in beeps if b >= flashes[0] - 0.5]
        name = os.path.basename(path)
        case.figure(f"{name}: picture after sound, ms: median {1000 * statistics.median(late):.1f}, "
                    f"{1000 * min(late):.1f} to {1000 * max(late):.1f} in {len(late)} flashes")
        assert len(late) >= SECONDS - 5, f"{name}: {len(late)} beeps with a flash in {SECONDS} s"
        assert max(map(abs, late)) <= OFFSET_MAX, f"{name}: flash and beep {1000 * max(map(abs, late)):.0f} ms apart"
