"""
README's blocks about the service, run as they are written, one after another in one shell: in a mount namespace where /etc,
/usr and /var are the test's own.
"""
import glob
import os
import re
import socket
import subprocess
import sys

from steno_test import aes, clips, janus, media, procs, steno
from steno_test.case import Skip

PORTS = (8088, 8443)
SCRIPT = """
set -eu
mount -t tmpfs scratch {scratch}
for folder in etc usr var srv run; do
    mkdir -p {scratch}/$folder/upper {scratch}/$folder/work
    [ -d /$folder ] && mount -t overlay overlay -o lowerdir=/$folder,upperdir={scratch}/$folder/upper,workdir={scratch}/$folder/work /$folder
done
exec "$@"
"""


def blocks(heading="As a service"):
    """[(language, text)] of a section."""
    with open(os.path.join(steno.TOP, "README.md")) as f:
        section = f.read().split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```(sh|cron|conf)\n(.*?)^```", section, re.M | re.S)


def test_blocks(case):
    if os.geteuid() != 0:
        raise Skip("a namespace and an installation need root")
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise Skip(f"something listens on port {port}, which README names")
    scratch = case.path("scratch")
    os.makedirs(scratch)
    environment = {**os.environ, "PYTHONPATH": os.path.join(steno.TOP, "tests", "lib"), "PYTHONDONTWRITEBYTECODE": "1",
                   "STENO_BUILD": steno.BUILD, "HOME": case.folder}
    done = subprocess.run(["unshare", "--mount", "bash", "-c", SCRIPT.format(scratch=scratch), "-", sys.executable,
                           "-P", os.path.abspath(__file__), case.folder], env=environment, capture_output=True, text=True, timeout=600,
                          cwd=steno.TOP)
    assert done.returncode == 0, f"{done.stdout[-2500:]}{done.stderr[-1500:]}"
    for line in done.stdout.splitlines():
        if line.startswith("figure: "):
            case.figure(line[len("figure: "):])


# ---- inside of the namespace -----------------------------------------------------------------------------------------

SUDO = "#!/bin/sh\nexec \"$@\"\n"


def run_blocks(case):
    """One bash reads the blocks; between them it is told to say how it went."""
    os.makedirs("/usr/local/bin", exist_ok=True)
    if subprocess.run(["sh", "-c", "command -v sudo"], capture_output=True).returncode:
        with open("/usr/local/bin/sudo", "w") as f:
            f.write(SUDO)
        os.chmod("/usr/local/bin/sudo", 0o755)
    shell_blocks = [text for language, text in blocks() if language == "sh"]
    assert len(shell_blocks) == 6, f"{len(shell_blocks)} blocks"
    build, configure, doctor, rest, command, files = shell_blocks
    configure += "cat /etc/steno/secrets/janus >%s\n" % case.path("secret")
    run(case, "install", build + configure)
    with open(case.path("secret")) as f:
        secret = f.read().strip()
    server = janus.Janus(case.path("janus"), token_secret=secret, port=8088).start()
    case.on_exit(server.stop)
    clips.publish(case, server)
    log = open(case.path("stenod.log"), "wb")
    daemon = procs.start(["stenod"], stdout=log, stderr=log)
    case.on_exit(procs.stop, daemon)
    procs.await_true(lambda: os.path.exists("/run/steno/api.sock"), 20, "stenod listens")
    os.makedirs(case.path("work"))
    out = run(case, "use", doctor + rest + command + files + "sleep 1; ls -l; ls -l fetched; steno list --plain\n", case.path("work"))
    states = re.findall(r'^"(\w+)"$', out, re.M)
    assert len(states) == 2 and states[0] in ("joining", "recording"), f"states {states}: {out}"
    fetched = os.listdir(case.path("work/fetched"))
    assert "manifest.json" in str(list(os.walk(case.path("work")))), f"{fetched}"
    media = [n for n in os.listdir(case.path("work")) if n.endswith((".webm", ".mp4", ".mkv"))]
    assert media, f"curl fetched {os.listdir(case.path('work'))}"
    print(f"figure: {len(shell_blocks)} blocks; fetched {media}")
    (conf,) = [text for language, text in blocks() if language == "conf"]
    check_configuration(case, conf)
    (cron,) = [text for language, text in blocks() if language == "cron"]
    line = [x for x in cron.splitlines() if x and not x.startswith("#")][0].split(None, 6)
    assert line[5] == "root" and len(line) == 7, line
    encrypted(case, server, secret)
    out = run(case, "cron", f"ID=$({line[6]}); echo id=$ID\n"
              "until [ $(steno show $ID --json | jq .counts.frames) -gt 0 ]; do sleep 0.2; done\nsteno stop $ID --wait\n")
    assert re.search(r"^id=[0-9A-Z]{26}$", out, re.M), out


def encrypted(case, server, secret):
    """The blocks about encrypted channels, in the room with somebody who encrypts, and somebody who does not."""
    work = case.path("encrypted")
    os.makedirs(work)
    steno.secret_file(work, "janus.secret", secret)
    channel = aes.Channel(case, "livekit", [{"kid": 0, "passphrase": "what the participants typed"}])
    channel.publish(server, janus.ROOM, tag=2, seconds=30, loop=True)
    for text in [text for language, text in blocks("Encrypted channels") if language == "sh"]:
        run(case, "encrypted", text, work)
    for folder in ("recordings", "opened"):
        (path,) = glob.glob(os.path.join(work, folder, "**", "p2.webm"), recursive=True)
        numbers = [f.number for f in media.frames(path)]
        assert len(numbers) > 60 and None not in numbers, f"{path}: {len(numbers)} pictures, {numbers.count(None)} unreadable"
    (conf,) = [text for language, text in blocks("Encrypted channels") if language == "conf"]
    check_configuration(case, conf)


def check_configuration(case, text):
    """A block of steno.conf is lawful as it stands, with the secrets that it names."""
    for path in re.findall(r'= "(/etc/steno/secrets/[^"]+)"', text):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b"AKIDEXAMPLE\nsecret\n")
        os.close(fd)
    with open(case.path("example.conf"), "w") as f:
        f.write(text)
    run(case, "conf", f"stenod --check-config --config {case.path('example.conf')}\n")


def run(case, name, text, cwd=steno.TOP):
    done = subprocess.run(["bash", "-euo", "pipefail", "-x", "-c", text], capture_output=True, text=True, cwd=cwd, timeout=400)
    with open(case.path(f"{name}.log"), "w") as f:
        f.write(done.stdout + done.stderr)
    assert done.returncode == 0, f"{name}: exit {done.returncode}: {done.stdout[-1500:]}{done.stderr[-2500:]}"
    return done.stdout


def main(folder):
    from steno_test.case import Case
    case = Case("readme-inside")
    try:
        run_blocks(case)
    except BaseException:
        import traceback
        traceback.print_exc()
        try:
            print(open(case.path("stenod.log")).read()[-1500:])
        except OSError:
            pass
        return 1
    finally:
        case.close(keep=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
