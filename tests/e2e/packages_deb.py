"""The deb as a file: what is in it, what lintian says, the same bytes from another place; and without a systemd that runs."""
import filecmp
import glob
import os
import shutil
import subprocess

from steno_test import machine, packages, steno

LIGHT = 90
NOBODY = 65534
STATE = "/var/lib/steno"

# Every file of the package that is no documentation, by mode; all are root's.
FILES = {
    "-rwxr-xr-x": """/usr/bin/steno /usr/sbin/stenod /usr/libexec/steno/steno-recorder /usr/libexec/steno/steno-assemble
        /etc/needrestart/restart.d/stenod.service""",
    "-rw-r-----": "/etc/steno/steno.conf",
    "-rw-r--r--": """/etc/apparmor.d/usr.sbin.stenod /etc/ufw/applications.d/steno
        /lib/systemd/system/stenod.service /lib/systemd/system/steno-record@.service /lib/systemd/system/steno-record@.timer
        /usr/lib/sysusers.d/steno.conf /usr/lib/tmpfiles.d/steno.conf /usr/lib/firewalld/services/steno.xml
        /usr/share/steno/prometheus/steno.rules.yml /usr/share/steno/grafana/steno.json
        /usr/share/bash-completion/completions/steno /usr/share/zsh/vendor-completions/_steno
        /usr/share/fish/vendor_completions.d/steno.fish
        /usr/share/man/man1/steno.1.gz /usr/share/man/man5/steno.conf.5.gz /usr/share/man/man8/stenod.8.gz
        /usr/share/lintian/overrides/steno""",
}
DOCUMENTS = {"CHANNEL-AES.md", "COMPLIANCE.md", "MANIFEST.md", "OPERATIONS.md", "REPORTING.md", "SECURITY.md", "VERIFY.md",
             "openapi.yaml", "manifest.schema.json", "steno.cdx.json", "THIRD-PARTY-NOTICES", "copyright", "changelog.gz"}


def said(*argv, **how):
    return subprocess.run(argv, capture_output=True, text=True, check=True, **how).stdout


# ---- the file ----------------------------------------------------------------------------------------------------------


def contents(deb):
    """{path: (mode, owner)} of all but folders; folders are root's, and everybody may look into them."""
    found = {}
    for line in said("dpkg-deb", "--contents", deb).splitlines():
        mode, owner, _, _, _, path = line.split(maxsplit=5)
        if mode[0] == "d":
            assert (mode, owner) == ("drwxr-xr-x", "root/root"), line
        else:
            found[path.removeprefix(".")] = mode, owner
    return found


def is_complete(deb):
    found = contents(deb)
    documents = {path.removeprefix("/usr/share/doc/steno/"): how for path, how in found.items() if "/doc/steno/" in path}
    expected = {path: (mode, "root/root") for mode, paths in FILES.items() for path in paths.split()}
    assert {path: how for path, how in found.items() if "/doc/steno/" not in path} == expected
    examples = {name for name in documents if name.startswith("examples/")}
    assert set(documents) - examples == DOCUMENTS, sorted(documents)
    assert {"examples/cron.d/steno.example", "examples/stenod.service.d/credentials.conf"} <= examples, examples
    assert set(documents.values()) == {("-rw-r--r--", "root/root")}, documents
    conffiles = set(said("dpkg-deb", "--info", deb, "conffiles").split())
    assert conffiles == {path for path in found if path.startswith("/etc/")}, conffiles


def is_told_right(case, deb):
    """What the programs and the control file tell; no library is bundled, so each is another package's."""
    folder = case.path("unpacked")
    subprocess.run(["dpkg-deb", "--extract", deb, folder], check=True)
    version = said("dpkg-deb", "--field", deb, "Version").strip()
    for program in ("usr/bin/steno", "usr/sbin/stenod", "usr/libexec/steno/steno-recorder"):
        assert version in said(os.path.join(folder, program), "--version"), program
    assert not [path for path in contents(deb) if ".so" in path]
    completion = os.path.join(folder, "usr/share/bash-completion/completions/steno")
    assert "_steno" in said("bash", "-c", f"source {completion} && complete -p steno")
    with open(completion) as f:
        assert f.read() == said(os.path.join(folder, "usr/bin/steno"), "completion", "bash")


def is_clean(case, made):
    changes = next(path for name, path in made.items() if name.endswith(".changes"))
    done = subprocess.run(["lintian", "--display-info", "--pedantic", "--tag-display-limit", "0", changes], capture_output=True,
                          text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    tags = [line for line in done.stdout.splitlines() if line[:2] in ("E:", "W:", "I:", "P:", "X:")]
    assert done.returncode in (0, 1, 2) and not tags, done.stdout + done.stderr
    case.figure("lintian: no error, no warning, nothing pedantic")


def elsewhere(case, epoch):
    """Another build, as different as it can be: another user, folder, time zone, language, umask, older files, and no git."""
    os.chmod(case.folder, 0o755)
    top = case.path("another place")
    subprocess.run(["bash", "-c", '. packaging/source.sh && source_copy "$1" && cp -a --parents tests/lib/install.sh "$1"', "-", top],
                   cwd=steno.TOP, check=True)
    output = case.path("output")
    os.makedirs(output)
    subprocess.run(["find", top, "-exec", "touch", "--no-dereference", "--date=2020-02-02", "{}", "+"], check=True)
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", top, output], check=True)
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "TZ": "Asia/Kolkata", "LC_ALL": "C", "LANGUAGE": "de",
                   "CFLAGS": "-O0", "SOURCE_DATE_EPOCH": epoch, "TMPDIR": output}
    packages.build("deb", output, source=top, env=environment, user=NOBODY, group=NOBODY, extra_groups=[], umask=0o077)
    return output


def test_lintian(case):
    """Complete, as its own description says, and nothing for lintian to say."""
    deb = packages.deb()
    is_complete(deb)
    is_told_right(case, deb)
    is_clean(case, packages.made("deb"))


def long_reproducible(case):
    """The same bytes from another user, folder, time zone and umask."""
    made = packages.made("deb")
    output = elsewhere(case, said("bash", "-c", ". packaging/source.sh && source_epoch", cwd=steno.TOP).strip())
    debs = [name for name in made if name.endswith(".deb")]
    assert len(debs) == 2 and any("dbgsym" in name for name in debs), debs
    for name in debs:
        if not filecmp.cmp(made[name], os.path.join(output, name), shallow=False):
            words = ""
            if shutil.which("diffoscope"):
                words = subprocess.run(["diffoscope", made[name], os.path.join(output, name)], capture_output=True, text=True).stdout
            raise AssertionError(f"{name} has other bytes when it is built elsewhere\n{words[:3000]}")
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=output, check=True)
    case.figure(f"{' and '.join(debs)}: the same bytes from another user, folder, time zone and umask")


# ---- without a systemd that runs ---------------------------------------------------------------------------------------


def test_chroot(case):
    """In a folder that nothing has booted: a package is installed, upgraded, removed and purged, and starts nothing."""
    box = machine.Machine(case)

    def run(script):
        done = subprocess.run(["chroot", box.root, "env", "-i", f"PATH={machine.PATH}", "DEBIAN_FRONTEND=noninteractive",
                               "bash", "-c", "set -euo pipefail; " + script], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{script}:\n{done.stdout[-1500:]}{done.stderr[-2500:]}"
        return done.stdout + done.stderr

    proc = box.path("/proc")
    subprocess.run(["mount", "-t", "proc", "proc", proc], check=True)
    case.on_exit(lambda: subprocess.run(["umount", proc], check=True))
    for name, deb in (("first.deb", packages.deb()), ("next.deb", packages.deb("0.1.0+next1"))):
        shutil.copy(deb, box.path(f"/root/{name}"))
    shutil.copy("/etc/resolv.conf", box.path("/etc/resolv.conf"))
    with open(box.path("/usr/sbin/policy-rc.d"), "w") as f:
        f.write("#!/bin/sh\nexit 101\n")
    os.chmod(box.path("/usr/sbin/policy-rc.d"), 0o755)
    for deb in glob.glob(os.path.join(machine.CACHE, "archives", "*.deb")):  # what machines have fetched
        shutil.copy(deb, box.path("/var/cache/apt/archives"))
    run("apt-get update -q; apt-get install -y /root/first.deb")
    assert run("stat -c '%a %U:%G %n' /etc/steno/* /var/lib/steno").splitlines() == [
        "700 steno:steno /etc/steno/keys", "700 steno:steno /etc/steno/secrets", "640 root:steno /etc/steno/steno.conf",
        f"700 steno:steno {STATE}"]
    run("stenod --check-config; test -e /etc/systemd/system/multi-user.target.wants/stenod.service")
    run("echo '# ours' >>/etc/steno/steno.conf; dpkg -i /root/next.deb; grep -q '# ours' /etc/steno/steno.conf")
    assert "0.1.0+next1" in run("stenod --version")
    # What no name of stenod's own stands on may be a recording; sealed ones need their keys.
    run(f"cd {STATE}; mkdir -p signing tls spool/01KEPT recordings/a clinic; touch audit.jsonl journal.sqlite journal.sqlite-wal "
        "recordings/a/a.webm clinic/b.webm; touch /etc/steno/keys/ward; touch /etc/steno/secrets/janus")
    run("dpkg -r steno; test -f /etc/steno/steno.conf -a -f /etc/steno/secrets/janus")
    told = run("dpkg -P steno")
    assert run(f"cd {STATE}; find . -mindepth 1 | sort").split() == [
        "./clinic", "./clinic/b.webm", "./recordings", "./recordings/a", "./recordings/a/a.webm", "./spool", "./spool/01KEPT"]
    assert run("find /etc/steno -type f").split() == ["/etc/steno/keys/ward"]
    for words in (f"{STATE}/clinic", f"{STATE}/recordings", f"{STATE}/spool has captures", f"rm -r {STATE}", "rm -r /etc/steno"):
        assert words in told, f"{words}: not in {told}"
    # Nothing to keep: nothing stays but the user, whose number must not become another's.
    run(f"rm -r {STATE} /etc/steno; dpkg -i /root/first.deb; dpkg -P steno")
    assert not os.path.lexists(box.path(STATE)) and not os.path.lexists(box.path("/etc/steno"))
    assert "nologin" in run("getent passwd steno")
