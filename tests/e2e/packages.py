"""
The deb's whole life in a Debian 12 with a real systemd and nothing of the build in it: README's blocks install it, set it up
and record a real room; then it is upgraded in mid-recording, downgraded, removed and purged.
"""
import glob
import json
import os
import re

from steno_test import check, clips, machine, packages, procs, readme

LIGHT = 300
NEXT = "0.1.0+next1"
STATE = "/var/lib/steno"
SAFE = 1.5  # the highest exposure of the unit that may be


def show(box, id_):
    return json.loads(box.run(f"steno show {id_} --json"))


def await_frames(box, id_, more=30):
    first = show(box, id_)["counts"]["frames"]
    procs.await_true(lambda: show(box, id_)["counts"]["frames"] >= first + more, 30, f"frames of {id_}")


def begin(box):
    return box.run("steno start --app clinic --platform janus-1 --channel 1234").strip()


def folder_of(box, id_):
    """The stored recording, as this machine sees it."""
    (found,) = glob.glob(box.path(f"/srv/recordings/**/*{id_}"), recursive=True)
    return found


def whole(case, box, id_, what):
    """Every file of it plays, is what the manifest says, and has no hole."""
    folder = folder_of(box, id_)
    check.verified(folder)
    manifest = clips.manifest(folder)
    gaps = [g for g in manifest["gaps"] if g["cause"] != "no-keyframe" or g.get("first_seq", 0) > 1]
    assert not gaps, f"{what}: gaps {gaps}"
    (path,) = check.files(folder)
    check.clean(path)
    walls = clips.walls(path, clips.zero(manifest))
    holes = clips.holes(walls, 0.3)
    assert not holes, f"{what}: holes {holes}"
    case.figure(f"{what}: {len(walls)} pictures, no hole")


def journal_version(box, version=None):
    """The schema of the stopped journal; sets it, where one is given."""
    setting = f" = {version}" if version is not None else ""
    return int(box.run(f"sqlite3 {STATE}/journal.sqlite 'PRAGMA user_version'; sqlite3 {STATE}/journal.sqlite 'PRAGMA user_version{setting}'").split()[0])


def is_safe(case, box):
    table = box.run("systemd-analyze security --no-pager stenod.service")
    score = float(re.search(r"exposure level for stenod.service: ([\d.]+)", table).group(1))
    case.figure(f"exposure of the running unit: {score}")
    assert score <= SAFE, table


def first_run(case, box):
    """Installed and started, before anybody has configured anything."""
    assert box.run("systemctl is-active stenod; systemctl is-enabled stenod").split() == ["active", "enabled"]
    pid = box.run("systemctl show -p MainPID --value stenod").strip()
    assert box.run(f"ps -o user= -p {pid}").strip() == "steno"
    # Anything that listens, on any port: on loopback, and 8443 alone.
    listening = [line.split()[3] for line in box.run("ss -Hltnp; ss -Hlunp").splitlines() if f"pid={pid}," in line]
    assert listening == ["127.0.0.1:8443"], listening
    modes = box.run(f"stat -c '%n %a %U:%G' {STATE} /etc/steno /etc/steno/steno.conf /etc/steno/secrets /run/steno")
    for line in (f"{STATE} 700 steno:steno", "/etc/steno/steno.conf 640 root:steno", "/etc/steno/secrets 700 steno:steno"):
        assert line in modes, modes
    is_safe(case, box)
    assert "Landlock (ABI" in box.run("steno doctor"), box.run("steno doctor")
    assert not box.succeeds("journalctl -u stenod -o cat | grep -E '[0-9a-z]{8,}:[0-9A-Za-z_-]{20,}'"), "a key is in the log"
    box.run("man -w steno 2>/dev/null || ls /usr/share/man/man1/steno.1.gz")


def upgrade(case, box, deb):
    """The next version, in the middle of a recording: the same daemon and the same recorder go on."""
    id_ = begin(box)
    await_frames(box, id_)
    before = box.run("systemctl show -p MainPID --value stenod; pgrep -x steno-recorder")
    confined = box.run("grep -hE 'Seccomp:|NoNewPrivs:' /proc/$(pgrep -x steno-recorder)/task/*/status | sort -u")
    assert confined.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"], confined
    told = box.install(deb)
    procs.await_true(lambda: NEXT in box.run("curl -s --unix-socket /run/steno/api.sock http://localhost/version || true"), 30,
                     "the new version answers")
    assert box.run("systemctl show -p MainPID --value stenod; pgrep -x steno-recorder") == before, f"replaced: {told}"
    await_frames(box, id_, 60)
    box.run(f"steno stop {id_} --wait")
    assert show(box, id_)["state"] == "completed", show(box, id_)
    whole(case, box, id_, "upgraded in mid-recording")
    is_safe(case, box)
    return id_


def downgrade(box, deb, id_):
    """Onto a journal of its own schema: as well. Onto a later one: refused with words, and nothing has changed."""
    name = os.path.basename(deb)
    box.put(deb, f"/root/{name}")
    again = f"DEBIAN_FRONTEND=noninteractive apt install -y --allow-downgrades ./{name}"
    box.run(again)
    assert NEXT not in box.run("dpkg-query -W -f '${Version}' steno")
    assert show(box, id_)["state"] == "completed"
    box.run("systemctl stop stenod")
    known = journal_version(box)
    journal_version(box, known + 1)
    box.run("dpkg-query -W -f '${Version}' steno")
    before = box.run(f"sha256sum {STATE}/journal.sqlite")
    code, out, err = box.try_run(f"DEBIAN_FRONTEND=noninteractive apt install -y --reinstall --allow-downgrades ./{name}")
    assert code != 0 and f"version {known + 1}" in out + err, out + err
    assert box.run(f"sha256sum {STATE}/journal.sqlite") == before
    code, _, err = box.try_run("systemctl start stenod")
    assert code != 0 and "made by a later Steno" in box.run("journalctl -u stenod -o cat"), err
    journal_version(box, known)
    box.run("systemctl reset-failed stenod; systemctl start stenod")


def remove(case, box, deb):
    """In the middle of a recording: it is finished and stored first. Data stays."""
    id_ = begin(box)
    await_frames(box, id_, 60)
    box.run("DEBIAN_FRONTEND=noninteractive apt remove -y steno", seconds=400)
    assert not box.succeeds("pgrep -f 'stenod|steno-recorder|steno-assemble'"), box.run("ps ax")
    assert not box.succeeds("command -v steno"), "the command is still there"
    box.run(f"test -f /etc/steno/steno.conf -a -f {STATE}/journal.sqlite && id steno")
    whole(case, box, id_, "removed in mid-recording")
    box.install(deb)
    assert show(box, id_)["state"] == "completed", "forgotten while it was not installed"


def purge(box, id_):
    """State and configuration go; nothing that is, or may become, a recording."""
    box.run(f"install -d -o steno -g steno {STATE}/recordings/kept {STATE}/spool/01KEPT && echo sound >{STATE}/recordings/kept/a.webm "
            f"&& echo capture >{STATE}/spool/01KEPT/events.jsonl")
    stored = box.run("cd /srv/recordings && find . -type f | sort | xargs sha256sum")
    told = box.run("DEBIAN_FRONTEND=noninteractive apt purge -y steno 2>&1", seconds=400)
    for path in (f"{STATE}/recordings", f"{STATE}/spool"):
        assert path in told, f"not told that {path} stays: {told}"
    box.run(f"grep -qx sound {STATE}/recordings/kept/a.webm && grep -qx capture {STATE}/spool/01KEPT/events.jsonl")
    assert box.run("cd /srv/recordings && find . -type f | sort | xargs sha256sum") == stored
    left = box.run(f"ls -A {STATE}").split()
    assert sorted(left) == ["recordings", "spool"], left
    assert not box.succeeds("ls -d /etc/steno /run/steno /usr/share/doc/steno /usr/libexec/steno 2>/dev/null"), "left behind"
    assert not box.succeeds("systemctl cat stenod"), "the unit is still known"


def test_life(case):
    first, following = packages.deb(), packages.deb(NEXT)
    box = machine.Machine(case).boot()
    assert not box.succeeds("command -v gcc || command -v cmake || command -v steno || ls -d /usr/include/glib-2.0"), "not fresh"
    blocks = readme.service(case, box, first)
    next(blocks)
    first_run(case, box)
    platform = next(blocks)
    recorded = next(blocks)
    readme.foreground(case, box, platform)
    readme.encrypted(case, box, platform)
    upgraded = upgrade(case, box, following)
    downgrade(box, first, upgraded)
    remove(case, box, following)
    purge(box, recorded)
