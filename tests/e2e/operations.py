"""
docs/OPERATIONS.md and docs/COMPLIANCE.md: every command and every configuration, run as they are written, in order, on a fresh
Debian 12 with a real systemd. And what the administrator's documents say of errors, tests and each other.
"""
import glob
import os
import re
import socket
import subprocess

from steno_test import e2e, machine, packages, readme, runner, steno
from steno_test.case import Skip

LIGHT = 70

DOCS = os.path.join(steno.TOP, "docs")
NAMES = ("OPERATIONS", "SECURITY", "COMPLIANCE")
# What cannot be run on a Debian: EL9's package manager, and firewalld, which would change this machine's rules.
CONSOLE = {
    "sudo dnf config-manager --set-enabled crb",
    "sudo dnf install -y epel-release",
    "sudo dnf install -y ./steno-[0-9]*.$(arch).rpm ./steno-selinux-*.noarch.rpm",
    "sudo systemctl enable --now stenod",
    "sudo firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=10.20.0.0/16 service name=steno accept'",
    "sudo firewall-cmd --reload",
}
SECONDS = 420
PORTS = (8088, 8443, 9090, 9443)  # which the documents name, and which the machine shares with this one


def document(name):
    with open(os.path.join(DOCS, f"{name}.md")) as f:
        return f.read()


def blocks(name):
    """[(language, text)]; a fence of another kind is a fault of the document."""
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", document(name), re.M | re.S)
    for language, text in found:
        assert language in ("sh", "conf", "console", "text"), f"{name}: ```{language} would not be run:\n{text}"
    return found


def of(name, language):
    return [text for found, text in blocks(name) if found == language]


# ---- as they are written ---------------------------------------------------------------------------------------------

def script(texts, prefix):
    """One bash reads all of them; which was the last one, and when it began, is seen by its mark."""
    return "".join(f"echo \"== {prefix} {i + 1} at $SECONDS s\" >&2\n{text}" for i, text in enumerate(texts))


def run(case, box, name, text):
    try:
        code, out, err = box.try_run("set -euo pipefail\n" + text, cwd="/root", seconds=SECONDS)
    except subprocess.TimeoutExpired as late:
        code, out, err = -1, *((part or b"").decode(errors="replace") for part in (late.stdout, late.stderr))
    with open(case.path(f"{name}.log"), "w") as f:
        f.write(f"{out}\n---- standard error\n{err}")
    last = re.findall(r"^== .*$", err, re.M)[-1:]
    assert code == 0, f"{last}: exit {code}\n{out[-2000:]}\n{err[err.rfind('== '):][-3000:]}"
    return out


def test_blocks(case):
    deb = packages.deb()
    box = machine.Machine(case).boot()  # from now on no other test has one
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise Skip(f"something listens on port {port}, which docs/OPERATIONS.md names")
    box.put(deb, f"/root/{os.path.basename(deb)}")
    operations, compliance = of("OPERATIONS", "sh"), of("COMPLIANCE", "sh")
    # Their configuration makes Janus' secret: after it there must be the Janus.
    (at,) = [i for i, text in enumerate(operations) if "/etc/steno/secrets/janus-1" in text]
    prologue = "export DEBIAN_FRONTEND=noninteractive\n"
    run(case, box, "install", prologue + script(operations[:at + 1], "OPERATIONS before Janus"))
    readme.Platform(case, box.run("cat /etc/steno/secrets/janus-1").strip())
    out = run(case, box, "operate", prologue + script(operations[at + 1:], "OPERATIONS with Janus") + script(compliance, "COMPLIANCE"))
    with open(os.path.join(steno.TOP, "conf/prometheus/steno.rules.yml")) as f:
        rules = f.read().count("- alert:")
    assert re.search(rf"^{rules}$", out, re.M), "Prometheus has not loaded all rules"
    for name in NAMES:
        for text in of(name, "conf"):
            readme.check_configuration(box, text)
    errors = [line for line in box.run("journalctl -u stenod -p err -o cat --no-pager").splitlines() if line]
    assert not errors, errors
    case.figure(f"{len(operations)} blocks of OPERATIONS.md, {len(compliance)} of COMPLIANCE.md, "
                f"{sum(len(of(name, 'conf')) for name in NAMES)} configurations")


# ---- what the documents say ------------------------------------------------------------------------------------------

def test_not_run(case):
    told = {line for name in NAMES for text in of(name, "console") for line in text.splitlines()}
    assert told == CONSOLE, f"only in one: {told ^ CONSOLE}"


def test_errors(case):
    """The table of errors is that of the program, row by row."""
    with open(os.path.join(steno.TOP, "include/steno/base/errors.def")) as f:
        rows = re.findall(r'^STENO_ERROR_ROW\(\w+, "([^"]+)", (\d+), (\d+), "([^"]*)"\)', f.read(), re.M)
    table = re.findall(r"^\| (\d+) \| (\d+) \| `([^`]+)` \| (.*?) \| (.+?) \|$", document("OPERATIONS"), re.M)
    assert [(slug, code, http, words) for code, http, slug, words, _ in table] == rows, \
        set((slug, code, http, words) for code, http, slug, words, _ in table) ^ set(rows)


def anchors(text):
    """As forges make them of headings."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}


def test_links(case):
    """Links among the documents lead to what is there."""
    for name in NAMES:
        for link in re.findall(r"\]\(([^)]+)\)", document(name)):
            path, _, anchor = link.partition("#")
            assert not path.startswith("http"), f"{name}: {link}: the documents stand on their own"
            target = os.path.join(DOCS, path) if path else os.path.join(DOCS, f"{name}.md")
            assert os.path.exists(target), f"{name}: {link} is not there"
            if anchor:
                with open(target) as f:
                    assert anchor in anchors(f.read()), f"{name}: {link}: no such heading"


def test_proofs(case):
    """Each test that SECURITY.md and COMPLIANCE.md name as a proof exists, by a name that tests/run takes."""
    names = set()
    for path in glob.glob(os.path.join(steno.TOP, "tests/e2e/*.py")):
        stem = os.path.basename(path)[:-3]
        names |= {stem}
        for prefix in ("test_", "long_"):
            names |= {f"{stem}.{test}" for test in e2e.names(path, prefix)}
    listed = subprocess.run(["ctest", "--test-dir", steno.BUILD, "-N"], capture_output=True, text=True, check=True).stdout
    names |= set(re.findall(r"^ *Test +#\d+: (\w+)$", listed, re.M))
    names |= {"fuzz_" + name[len("replay_"):] for name in names if name.startswith("replay_")}
    named = {(name, test) for name in NAMES for call in re.findall(r"`tests/run ([^`]+)`", document(name)) for test in call.split()}
    missing = sorted(f"{name}: {test}" for name, test in named - {(name, part) for name in NAMES for part in runner.PARTS}
                     if test not in names)
    assert not missing, f"no such test: {missing}"
    files = {path for name in NAMES for path in re.findall(r"`((?:tests|packaging|conf|\.ci|recorder|include)/[\w./@-]+)`", document(name))}
    gone = sorted(path for path in files if not os.path.exists(os.path.join(steno.TOP, path)))
    assert not gone, f"no such file: {gone}"
    case.figure(f"{len(named)} proofs are there")
