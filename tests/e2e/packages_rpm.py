"""
The rpms that Debian 12 makes: what they ask of EL9, what is in them, their scriptlets, their SELinux module; installed,
upgraded and erased in a Debian root, since there is no EL9 here.
"""
import glob
import os
import re
import shutil
import sqlite3
import subprocess

import setools
from steno_test import machine, packages, procs, steno

LIGHT = 160
NEXT = "0.1.0+next1"
RPM = os.path.join(steno.TOP, "packaging", "rpm")
SELINUX = os.path.join(steno.TOP, "packaging", "selinux")
JOURNAL = "var/lib/steno/journal.sqlite"
SCRIPTLETS = re.compile(r"^(\w+) scriptlet \(using (.*)\):$", re.M)

# Everything that the package of the programs installs, with mode and owner; documentation and completions aside.
CONTENTS = """
drwxr-xr-x root root /etc/steno
drwx------ steno steno /etc/steno/keys
drwx------ steno steno /etc/steno/secrets
-rw-r----- root steno /etc/steno/steno.conf
-rwxr-xr-x root root /usr/bin/steno
-rw-r--r-- root root /usr/lib/firewalld/services/steno.xml
-rw-r--r-- root root /usr/lib/systemd/system/steno-record@.service
-rw-r--r-- root root /usr/lib/systemd/system/steno-record@.timer
-rw-r--r-- root root /usr/lib/systemd/system/stenod.service
-rw-r--r-- root root /usr/lib/sysusers.d/steno.conf
-rw-r--r-- root root /usr/lib/tmpfiles.d/steno.conf
drwxr-xr-x root root /usr/libexec/steno
-rwxr-xr-x root root /usr/libexec/steno/steno-assemble
-rwxr-xr-x root root /usr/libexec/steno/steno-recorder
-rwxr-xr-x root root /usr/sbin/stenod
-rw-r--r-- root root /usr/share/doc/steno/README.rpm
-rw-r--r-- root root /usr/share/doc/steno/THIRD-PARTY-NOTICES
-rw-r--r-- root root /usr/share/doc/steno/steno.cdx.json
-rw-r--r-- root root /usr/share/licenses/steno/LICENSE
-rw-r--r-- root root /usr/share/man/man1/steno.1.gz
-rw-r--r-- root root /usr/share/man/man5/steno.conf.5.gz
-rw-r--r-- root root /usr/share/man/man8/stenod.8.gz
drwx------ steno steno /var/lib/steno
""".strip().splitlines()


def run(*argv, **how):
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", **how)
    assert done.returncode == 0, f"{' '.join(argv)[:200]}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def rpms(version=None):
    """{"steno", "steno-selinux", "steno-debuginfo", "src": path}"""
    found = {}
    for path in packages.made("rpm", version).values():
        if path.endswith(".rpm"):
            name = "src" if path.endswith(".src.rpm") else run("rpm", "-qp", "--qf", "%{NAME}", path)
            found[name] = path
    assert sorted(found) == ["src", "steno", "steno-debuginfo", "steno-selinux"], found
    return found


# ---- what it asks of the system ------------------------------------------------------------------------------------------

def el9():
    """{name: version} of packaging/rpm/el9-packages.list"""
    with open(os.path.join(RPM, "el9-packages.list")) as f:
        rows = [line.split(None, 3) for line in f if line.strip() and not line.startswith("#")]
    for row in rows:
        assert len(row) == 4 and row[1] in ("BaseOS", "AppStream", "CRB", "EPEL"), f"el9-packages.list: {row}"
    return {row[0]: row[2] for row in rows}


def required(path):
    """(name, operator, version) of each thing that a package wants; of rich dependencies each part."""
    for line in run("rpm", "-qp", "--requires", path).splitlines():
        line = line.strip()
        if line.startswith("rpmlib("):
            continue
        rich = line.startswith("(")
        words = line[1:-1] if rich else line
        for part in re.split(r" (?:if|unless|or|and|else|with|without) ", words) if rich else [words]:
            name, _, rest = part.partition(" ")
            operator, _, version = rest.partition(" ")
            yield name, operator, version


def is_at_least(version, floor):
    return int(run("rpm", "--eval", f'%{{lua:print(rpm.vercmp("{version}", "{floor}"))}}')) >= 0


def test_requires_only_what_el9_has(case):
    has, asked = el9(), set()
    for kind, path in rpms().items():
        for name, operator, version in required(path):
            if name.startswith("steno"):
                continue
            asked.add(name)
            assert name in has, f"{os.path.basename(path)} requires '{name}', which el9-packages.list does not have"
            if operator:
                assert operator == ">=", f"{name} {operator} {version}"
                assert is_at_least(has[name], version), f"{kind}: {name} >= {version}, but EL9 has {has[name]}"
    assert asked == set(has), f"nothing asks for {sorted(set(has) - asked)} of el9-packages.list"
    case.figure(f"{len(asked)} names, all in EL9, CRB or EPEL 9")


def test_rpmlint(case):
    lint = subprocess.run(["rpmlint", "-c", os.path.join(RPM, "rpmlint.toml"), *rpms().values()], capture_output=True, text=True)
    last = lint.stdout.strip().splitlines()[-1]
    errors = [line for line in lint.stdout.splitlines() if " E: " in line]
    assert not errors and " 0 errors" in last, "\n".join(errors) or lint.stdout + lint.stderr
    case.figure(last.strip(" -"))


# ---- what is in it -------------------------------------------------------------------------------------------------------

def test_contents(case):
    made = rpms()
    form = "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]"
    lines = run("rpm", "-qp", "--qf", form, made["steno"]).splitlines()
    missing = [line for line in CONTENTS if line not in lines]
    assert not missing, f"not, or not so, in the package: {missing}; it has {lines}"
    writable = [line for line in lines if re.match(r"^[^l].{4}w|^[^l].{7}w", line)]
    assert not writable, writable
    foreign = [line for line in lines if " root root " not in line and line not in CONTENTS]
    assert not foreign, f"of other owners than expected: {foreign}"
    flags = run("rpm", "-qp", "--qf", "[%{FILEFLAGS:fflags} %{FILENAMES}\n]", made["steno"]).splitlines()
    assert [f for f in flags if "c" in f.split(" ")[0]] == ["cn /etc/steno/steno.conf"], "configuration that rpm keeps"
    tell = run("rpm", "-qp", "--qf", "%{VERSION} %{LICENSE} %{BUILDHOST} %{BUILDTIME}", made["steno"]).split()
    epoch = run("bash", "-c", ". packaging/source.sh; source_epoch", cwd=steno.TOP).strip()
    assert tell == [run("bash", "-c", ". packaging/source.sh; source_version", cwd=steno.TOP).strip(), "Apache-2.0", "localhost",
                    os.environ.get("SOURCE_DATE_EPOCH", epoch)], tell
    # Where it was built stands neither in the programs nor in what debuggers read.
    for name in ("steno", "steno-debuginfo"):
        found = subprocess.run(["grep", "-rlaF", "-e", packages.CACHE, "-e", steno.TOP, "-e", "/mnt/BUILD",
                                unpacked(case, made[name])], capture_output=True, text=True).stdout
        assert not found, f"the folder of the build is in {found}"


def unpacked(case, path):
    """The package's files in a folder, none of its scriptlets run."""
    root = case.path("unpacked-" + os.path.basename(path))
    os.makedirs(root)
    with open(path, "rb") as package:
        archive = subprocess.Popen(["rpm2archive", "-"], stdin=package, stdout=subprocess.PIPE)
        run("tar", "-xzf", "-", "-C", root, stdin=archive.stdout)
        assert archive.wait() == 0, path
    return root


def scriptlets(path):
    """{name: (interpreter, text)}"""
    text = run("rpm", "-qp", "--scripts", path)
    starts = list(SCRIPTLETS.finditer(text))
    ends = [s.start() for s in starts[1:]] + [len(text)]
    return {s[1]: (s[2], text[s.end():end]) for s, end in zip(starts, ends)}


def test_scriptlets(case):
    made, count = rpms(), 0
    found = scriptlets(made["steno"])
    for name in ("steno", "steno-selinux"):
        for stage, (shell, text) in scriptlets(made[name]).items():
            if shell == "<lua>":
                continue
            assert shell == "/bin/sh", f"{name} {stage} is run by {shell}"
            script = case.path(f"{name}-{stage}")
            with open(script, "w") as f:
                f.write(text)
            run("sh", "-n", script)
            run("shellcheck", "-s", "sh", script)
            count += 1
    refuse = run(os.path.join(steno.TOP, "packaging", "refuse-downgrade"))
    assert refuse in found["preinstall"][1], "%pre refuses no downgrade, or rpm changed the script"
    for stage in ("postinstall", "posttrans"):
        assert "restart" not in found[stage][1], "recordings are cut by a restart"
    case.figure(f"{count} scriptlets")


# ---- SELinux -------------------------------------------------------------------------------------------------------------

def policy(case):
    """Debian's base policy with Steno's module linked in."""
    folder = case.path("policy")
    shutil.copytree(SELINUX, folder)
    run("make", "-f", "/usr/share/selinux/devel/Makefile", "NAME=default", "steno.pp", cwd=folder)
    fetch = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "selinux-policy-default"]
    if subprocess.run(fetch, cwd=folder, capture_output=True).returncode:
        run("apt-get", "update", "-q")
        run(*fetch, cwd=folder)
    run("dpkg", "-x", *glob.glob(os.path.join(folder, "selinux-policy-default_*.deb")), folder)
    run("bash", "-c", "bzip2 -dc usr/share/selinux/default/base.pp.bz2 >base.pp", cwd=folder)
    run("semodule_link", "-o", "linked", "base.pp", "steno.pp", cwd=folder)
    run("semodule_expand", "linked", "policy", cwd=folder)
    return setools.SELinuxPolicy(os.path.join(folder, "policy"))


def test_selinux_module(case):
    linked = policy(case)

    def allows(source, target, class_, may=""):
        query = setools.TERuleQuery(linked, ruletype=["allow"], source=source, target=target, tclass=[class_], perms=may.split())
        return list(query.results())

    def becomes(source, program):
        return [str(r.default) for r in setools.TERuleQuery(linked, ruletype=["type_transition"], source=source, target=program,
                                                            tclass=["process"]).results()]

    # Started by systemd under NoNewPrivileges=, each program comes into its own domain.
    for parent, program, domain in (("init_t", "stenod_exec_t", "stenod_t"),
                                    ("stenod_t", "steno_recorder_exec_t", "steno_recorder_t")):
        assert becomes(parent, program) == [domain], f"{parent} starting {program}: {becomes(parent, program)}"
        assert allows(parent, domain, "process2", "nnp_transition"), f"{parent} starts {domain} without NoNewPrivileges= only"
    # What each must have: keys and media for the recorder; journal, secrets and storages for stenod.
    for domain, type_, class_, may in (
            ("steno_recorder_t", "steno_key_t", "file", "read"), ("steno_recorder_t", "steno_spool_t", "file", "write"),
            ("steno_recorder_t", "unreserved_port_t", "udp_socket", "name_bind"), ("stenod_t", "steno_secret_t", "file", "read"),
            ("stenod_t", "steno_var_lib_t", "file", "write"), ("stenod_t", "steno_content_t", "file", "write"),
            ("stenod_t", "steno_conf_t", "file", "read"), ("stenod_t", "http_port_t", "tcp_socket", "name_bind")):
        assert allows(domain, type_, class_, may), f"{domain} may not {may} {type_}"
    # What comes from the network gets neither to the journal nor to storages, secrets and configuration.
    for type_ in ("steno_var_lib_t", "steno_content_t", "steno_secret_t", "steno_conf_t", "shadow_t"):
        assert not allows("steno_recorder_t", type_, "file", "open"), f"a recorder reads {type_}"
    assert not allows("stenod_t", "steno_key_t", "file", "open"), "stenod reads content keys"
    # Programs of others only where an administrator has said so.
    for rule in allows("steno_recorder_t", "bin_t", "file", "execute"):
        assert str(rule.conditional) == "steno_run_commands" and rule.conditional_block, rule
    for domain in ("stenod_t", "steno_recorder_t"):
        assert not allows(domain, "", "capability"), f"{domain} has capabilities"
    case.figure(f"{len(allows('stenod_t', '', 'file'))} rules on files of stenod_t, "
                f"{len(allows('steno_recorder_t', '', 'file'))} of steno_recorder_t")


# ---- installed in a root -------------------------------------------------------------------------------------------------

def rpm(root, *arguments):
    """(exit status, what it told)"""
    done = subprocess.run(["rpm", "--root", root, *arguments], capture_output=True, text=True, errors="replace")
    return done.returncode, done.stdout + done.stderr


def version_in(root):
    """The installed version; None where there is none."""
    code, told = rpm(root, "-q", "--qf", "%{VERSION}", "steno")
    return told if code == 0 else None


def done_by(root, *arguments):
    code, told = rpm(root, "--nodeps", *arguments)
    assert code == 0 and "scriptlet failed" not in told and "warning" not in told, f"rpm {arguments}: exit {code}: {told}"
    return told


def plant_libraries(root, package):
    """Files of the names that the loader would look for: nothing is run in this root."""
    for soname in re.findall(r'^    "(lib[^"]+)",$', scriptlets(package)["pretrans"][1], re.M):
        path = os.path.join(root, "usr/lib64", soname)
        if not os.path.exists(path):
            open(path, "w").close()


def plant_journal(root, version):
    path = os.path.join(root, JOURNAL)
    if os.path.exists(path):
        os.unlink(path)
    journal = sqlite3.connect(path)
    journal.executescript(f"PRAGMA application_id = {0x53746e6f}; PRAGMA user_version = {version}; CREATE TABLE t (x);")
    journal.close()


def known_version():
    with open(os.path.join(steno.TOP, "include/steno/journal.h")) as f:
        return int(re.search(r"#define STENO_JOURNAL_VERSION (\d+)", f.read()).group(1))


def write(root, path, text):
    with open(os.path.join(root, path), "w") as f:
        f.write(text)


def read(root, path):
    with open(os.path.join(root, path)) as f:
        return f.read()


def test_life_in_a_root(case):
    first, second = rpms()["steno"], rpms(NEXT)["steno"]
    root = machine.Machine(case).root

    code, told = rpm(root, "--nodeps", "-i", first)
    assert code != 0 and "libwebsockets.so" in told and "rpmbuild --rebuild" in told, f"exit {code}: {told}"
    assert version_in(root) is None and not os.path.exists(os.path.join(root, "usr/sbin/stenod")), "installed nevertheless"

    plant_libraries(root, first)
    done_by(root, "-i", first)
    user = re.search(r"^steno:x:(\d+):(\d+):[^:]*:/var/lib/steno:/usr/sbin/nologin$", read(root, "etc/passwd"), re.M)
    assert user and re.search(rf"^steno:x:{user[2]}:$", read(root, "etc/group"), re.M), "the user steno"
    own = os.stat(os.path.join(root, "var/lib/steno"))
    assert (own.st_uid, own.st_gid, own.st_mode & 0o7777) == (int(user[1]), int(user[2]), 0o700)
    assert rpm(root, "-V", "--nodeps", "steno") == (0, ""), rpm(root, "-V", "--nodeps", "steno")

    # An upgrade keeps what an administrator wrote, and what stenod has.
    mine = read(root, "etc/steno/steno.conf") + '\ninstance = "ours";\n'
    write(root, "etc/steno/steno.conf", mine)
    write(root, "etc/steno/secrets/janus", "secret")
    os.makedirs(os.path.join(root, "var/lib/steno/spool/capture"))
    plant_journal(root, known_version())
    done_by(root, "-U", second)
    assert version_in(root) == NEXT
    assert read(root, "etc/steno/steno.conf") == mine, "the upgrade changed the configuration"
    status = os.stat(os.path.join(root, "etc/steno/steno.conf"))
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, int(user[2]), 0o640)

    # Back, but not over a journal that the former version does not know.
    plant_journal(root, known_version() + 1)
    before = read(root, "usr/share/doc/steno/steno.cdx.json")
    code, told = rpm(root, "--nodeps", "-U", "--oldpackage", first)
    assert code != 0 and "made by a later Steno" in told, f"exit {code}: {told}"
    assert version_in(root) == NEXT and read(root, "usr/share/doc/steno/steno.cdx.json") == before
    plant_journal(root, known_version())
    done_by(root, "-U", "--oldpackage", first)

    # Erased, but for what is the administrator's, and what was recorded.
    code, told = rpm(root, "-e", "steno")
    assert code == 0, told
    assert read(root, "etc/steno/steno.conf.rpmsave") == mine and read(root, "etc/steno/secrets/janus") == "secret"
    assert os.path.exists(os.path.join(root, JOURNAL)) and os.path.isdir(os.path.join(root, "var/lib/steno/spool/capture"))
    left = [path for path in ("usr/sbin/stenod", "usr/bin/steno", "usr/libexec/steno", "usr/share/doc/steno", "usr/share/steno",
                              "usr/lib/systemd/system/stenod.service") if os.path.exists(os.path.join(root, path))]
    assert not left, left


# ---- with a real systemd -------------------------------------------------------------------------------------------------

def long_life_on_a_machine(case):
    """Installed beside the libraries that Debian's own packages bring; started, upgraded in mid-run, erased."""
    first, second = rpms()["steno"], rpms(NEXT)["steno"]
    box = machine.Machine(case).boot()
    needed = re.findall(r"^    \"(lib[^\"]+)\",$", scriptlets(first)["pretrans"][1], re.M)
    # By name, since dpkg knows some of them below /lib and some below /usr/lib.
    owners = {run("dpkg", "-S", "*/" + os.path.basename(os.path.realpath(library(soname)))).split(":")[0] for soname in needed}
    box.run("apt-get update -q >/dev/null; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends rpm "
            + " ".join(sorted(owners)))
    for path, name in ((first, "first.rpm"), (second, "second.rpm")):
        box.put(path, f"/root/{name}")
    box.run("rpm -i --nodeps first.rpm && systemctl start stenod")
    pid = box.run("systemctl show -p MainPID --value stenod").strip()
    assert box.run(f"ps -o user= -p {pid}").strip() == "steno"
    box.run("steno key init >/dev/null && steno doctor")

    box.run("rpm -U --nodeps second.rpm")
    assert box.run("systemctl show -p MainPID --value stenod").strip() == pid, "the upgrade restarted stenod"
    procs.await_true(lambda: NEXT in box.run("curl -s --unix-socket /run/steno/api.sock http://localhost/version || true"), 30,
                     "the new build answers")

    # A configuration that is wrong keeps the former build running, and is told.
    box.run("echo nonsense >>/etc/steno/steno.conf")
    code, out, err = box.try_run("rpm -U --nodeps --oldpackage first.rpm")
    assert code == 0 and "former build" in out + err, f"exit {code}: {out}{err}"
    assert box.run("systemctl is-active stenod").strip() == "active"
    box.run("sed -i '/^nonsense/d' /etc/steno/steno.conf && systemctl reload stenod")

    assert "finishes the recordings" in box.run("rpm -e steno 2>&1")
    assert not box.succeeds(f"kill -0 {pid}") and not box.succeeds("systemctl is-active stenod")
    box.run("test -f /var/lib/steno/journal.sqlite && test -f /var/lib/steno/tls/cert.pem")


def library(soname):
    """Where the loader finds it here."""
    found = re.search(rf"^\s*{re.escape(soname)} .*=> (\S+)$", run("/sbin/ldconfig", "-p"), re.M)
    assert found, f"there is no {soname} here"
    return found.group(1)


# ---- the same bytes ------------------------------------------------------------------------------------------------------

def long_reproducible(case):
    """Made anew, in another folder, zone and umask, all at once: the same bytes as those that grew in a kept tree."""
    environment = {**os.environ, "TZ": "Asia/Kathmandu", "LC_ALL": "C", "HOME": case.path("home"), "TMPDIR": case.folder}
    made = subprocess.run(["bash", "-c", 'umask 077; exec packaging/rpm/build --output "$0"', case.path("again")], cwd=steno.TOP,
                          env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-3000:]
    first = {os.path.basename(path): path for path in rpms().values()}
    again = {os.path.basename(path): path for path in made.stdout.split()}
    assert sorted(first) == sorted(again), (sorted(first), sorted(again))
    for name, path in first.items():
        with open(path, "rb") as a, open(again[name], "rb") as b:
            assert a.read() == b.read(), f"{name} differs from build to build: {path} {again[name]}"
    case.figure(f"{len(first)} packages, byte by byte")
