"""README's blocks, run as they are written: on a machine where Steno was installed from the package, with a real Janus."""
import glob
import os
import re
import signal
import subprocess
import time

from . import aes, clips, janus, media, procs, steno

JANUS_PORT = 8088  # which README names


def blocks(heading, text=None):
    """[(language, text)] of a chapter of README."""
    if text is None:
        with open(os.path.join(steno.TOP, "README.md")) as f:
            text = f.read()
    chapter = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```(\w+)\n(.*?)^```", chapter, re.M | re.S)


def of(heading, language):
    return [text for found, text in blocks(heading) if found == language]


class Platform:
    """The Janus of the blocks: with their secret, on their port, and somebody in its room."""

    def __init__(self, case, secret):
        self.secret = secret
        self.server = janus.Janus(case.path("janus"), token_secret=secret, port=JANUS_PORT).start()
        case.on_exit(self.server.stop)
        clips.publish(case, self.server)


def secret_file(box, folder, secret):
    box.run(f"mkdir -p {folder} && umask 077 && cat >{folder}/janus.secret", stdin=secret)


def service(case, box, deb):
    """The chapter about the service. Returns the platform, and the id of a recording that it made."""
    build, install, configure, first, rest, command, files = of("As a service", "sh")
    assert build.strip() == "packaging/build deb", build  # this machine did that: packages.deb()
    box.run("mkdir -p build/packages")
    box.put(deb, f"/root/build/packages/{os.path.basename(deb)}")
    told = box.run("export DEBIAN_FRONTEND=noninteractive; apt-get update -q >/dev/null\n" + install + "2>&1")
    assert not re.search(r"error|warning", told, re.I), told
    yield told
    box.run(configure)
    platform = Platform(case, box.run("cat /etc/steno/secrets/janus").strip())
    yield platform
    # One bash reads the rest: a block may use what the ones before it set.
    told = box.run(f"{first}\n{rest}\n{command}\n{files}\nls; echo id=$ID", cwd="/root", seconds=200)
    states = re.findall(r'^"(\w+)"$', told, re.M)
    assert len(states) == 2 and states[0] in ("joining", "recording"), f"states {states}: {told}"
    assert re.findall(r"^alice\.(?:webm|mp4|mkv)$", told, re.M), f"curl fetched nothing: {told}"
    for text in of("As a service", "conf"):
        check_configuration(box, text)
    cron(box)
    yield re.search(r"^id=([0-9A-Z]{26})$", told, re.M).group(1)


def cron(box):
    """The line is a lawful one of /etc/cron.d, and its command does what it says."""
    (text,) = of("As a service", "cron")
    line = [x for x in text.splitlines() if x and not x.startswith("#")][0].split(None, 6)
    assert line[5] == "root" and len(line) == 7, line
    box.run(f"ID=$({line[6]})\nuntil [ $(steno show $ID --json | jq .counts.frames) -gt 0 ]; do sleep 0.2; done\nsteno stop $ID --wait")


def foreground(case, box, platform):
    """A recording that Ctrl-C ends; one whose machine dies; RTP by SDP."""
    record, again, by_sdp = of("Recording in the foreground", "sh")
    work = "/root/foreground"
    secret_file(box, work, platform.secret)
    with running(box, record, work) as process:
        await_picture(box, work)
        process.interrupt()
        assert process.wait() == 0, process.told()
    pictures(box.path(f"{work}/recordings/1234"), "alice", 10)
    box.run(f"rm -r {work}/recordings")
    with running(box, record, work) as process:
        await_picture(box, work)
        box.run("pkill -KILL -x steno; pkill -KILL -x steno-recorder")
        process.wait()
    box.run(again, cwd=work)
    pictures(box.path(f"{work}/recordings/1234"), "alice", 10)
    sdp(case, box, by_sdp)


def sdp(case, box, block):
    work = "/root/sdp"
    picture, _ = clips.numbered(case, tag=1)
    (port,) = procs.free_ports(1)
    port &= ~1
    sender = procs.start(["ffmpeg", "-nostdin", "-v", "error", "-re", "-i", picture, "-an", "-c", "copy", "-f", "rtp", "-sdp_file",
                          case.path("stream.sdp"), f"rtp://127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    case.on_exit(procs.stop, sender)
    procs.await_true(lambda: os.path.exists(case.path("stream.sdp")) and os.path.getsize(case.path("stream.sdp")), 10, "ffmpeg's SDP")
    box.run(f"mkdir -p {work}")
    box.put(case.path("stream.sdp"), f"{work}/stream.sdp")
    with running(box, block, work) as process:
        await_picture(box, work)
        process.interrupt()
        assert process.wait() == 0, process.told()
    (made,) = glob.glob(box.path(f"{work}/recordings/studio-2/*/*.webm"))
    assert len(media.frames(made)) > 10, made


def encrypted(case, box, platform):
    """The chapter about encrypted channels, in the room with somebody who encrypts, and somebody who does not."""
    work = "/root/encrypted"
    secret_file(box, work, platform.secret)
    channel = aes.Channel(case, "livekit", [{"kid": 0, "passphrase": "what the participants typed"}])
    publisher = channel.publish(platform.server, janus.ROOM, tag=2, seconds=30, loop=True)
    for text in of("Encrypted channels", "sh"):
        box.run(text, cwd=work)
    procs.stop(publisher)
    for folder in ("recordings", "opened"):
        pictures(box.path(f"{work}/{folder}"), "p2", 60)
    for text in of("Encrypted channels", "conf"):
        check_configuration(box, text)


def check_configuration(box, text):
    """A block of steno.conf is lawful as it stands, with the secrets that it names."""
    for path in re.findall(r'= "(/etc/steno/secrets/[^"]+)"', text):
        box.run(f"printf 'AKIDEXAMPLE\\nsecret\\n' | install -o steno -g steno -m 600 /dev/stdin {path}.example")
    text = re.sub(r'("/etc/steno/secrets/[^"]+)"', r'\1.example"', text)
    box.run("cat >/root/example.conf; stenod --check-config --config /root/example.conf; rm /etc/steno/secrets/*.example", stdin=text)


# ---- looking at what was made ----------------------------------------------------------------------------------------

def pictures(folder, name, least):
    (path,) = [p for p in glob.glob(os.path.join(folder, "**", f"{name}.*"), recursive=True) if not p.endswith(".json")]
    numbers = [f.number for f in media.frames(path)]
    assert len(numbers) > least and None not in numbers, f"{path}: {len(numbers)} pictures, {numbers.count(None)} unreadable"


def await_picture(box, work):
    """Until a capture below has some seconds of a picture."""
    procs.await_true(lambda: box.succeeds(f"find {work}/recordings/.spool -name '*.mkv' -size +100k | grep -q ."), 40, f"a capture in {work}")


class running:
    """A block that goes on until it is interrupted."""

    def __init__(self, box, text, work):
        self.box, self.log, self.code = box, f"{work}/block", f"{work}/block.code"
        box.run(f"rm -f {self.code}; mkdir -p {work}")
        box.run(f"cat >{work}/block.sh", stdin=f"cd {work}\n{text}")
        # With job control, as in a terminal: else bash lets what is in the background ignore SIGINT.
        self.process = procs.start([*box.inside(), "bash", "-c", f"set -m; bash {work}/block.sh >{self.log} 2>&1 & echo $! "
                                    f">{self.log}.pid; wait $!; echo $? >{self.code}"], stdin=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        procs.stop(self.process)

    def interrupt(self):
        self.box.run(f"kill -INT -- -$(cat {self.log}.pid)")

    def wait(self, seconds=60):
        self.process.wait(seconds)
        return int(self.box.run(f"cat {self.code}"))

    def told(self):
        return self.box.run(f"cat {self.log}")
