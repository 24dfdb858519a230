"""
What is in the packages and whose they are: the bill of materials against what the loader really takes, nothing of others among
our sources, and signatures that a receiver checks as SECURITY.md says.
"""
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.parse

from steno_test import packages, steno
from steno_test.case import Skip

LIGHT = 15
SBOM = os.path.join(steno.TOP, "packaging", "sbom")
SIGN = os.path.join(steno.TOP, "packaging", "sign")
SCHEMAS = os.path.join(steno.TOP, "tests", "vectors", "cyclonedx")
PROGRAMS = [os.path.join(steno.BUILD, "bin", name) for name in ("steno", "stenod", "steno-recorder", "steno-assemble")]
FOREIGN = re.compile(r"\.(so(\.\d+)*|a|o|jar|wasm|dll|whl|tgz|tar\.\w+)$|(^|/)(vendor|third[_-]party|external|subprojects)/")
CLAIM = re.compile(r"copyright (\(c\)|©|\d{4})|SPDX-License-Identifier: (?!Apache-2.0)|permission is hereby granted|"
                   r"redistribution and use in", re.I)
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def run(*argv, status=0, **kwargs):
    """Standard output; standard error in what is raised."""
    done = subprocess.run(argv, capture_output=True, text=True, **kwargs)
    assert done.returncode == status, f"{argv[:3]} ended with {done.returncode}: {done.stdout[-600:]}{done.stderr[-1200:]}"
    return done.stdout + (done.stderr if status else "")


def valid(bom):
    """Against the official schema, and what that cannot say: each reference leads somewhere."""
    try:
        import jsonschema
    except ImportError:
        raise Skip("python3-jsonschema is missing")
    store = {}
    for path in glob.glob(os.path.join(SCHEMAS, "*.json")):
        with open(path) as f:
            schema = json.load(f)
        store[schema["$id"]] = store["http://cyclonedx.org/schema/" + os.path.basename(path)] = schema
    top = store["http://cyclonedx.org/schema/bom-1.5.schema.json"]

    def no_more(validator, more, instance, schema):
        """jsonschema 4.10's own falls over objects."""
        items = schema.get("items")
        if more is False and isinstance(items, list) and isinstance(instance, list) and len(instance) > len(items):
            yield jsonschema.ValidationError(f"{len(instance)} entries, at most {len(items)}")
    strict = jsonschema.validators.extend(jsonschema.Draft7Validator, {"additionalItems": no_more})
    validator = strict(top, resolver=jsonschema.RefResolver(top["$id"], top, store=store),
                       format_checker=jsonschema.FormatChecker())
    faults = [f"{list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(bom)]
    assert not faults, faults[:5]
    own = bom["metadata"]["component"]
    references = [own["bom-ref"], *(c["bom-ref"] for c in own["components"]), *(c["bom-ref"] for c in bom["components"])]
    assert len(set(references)) == len(references), "two components have one reference"
    assert sorted(d["ref"] for d in bom["dependencies"]) == sorted(references), "a component without a line of dependencies"
    assert {r for d in bom["dependencies"] for r in d["dependsOn"]} <= set(references), "a dependency leads nowhere"


def loaded(program):
    """{soname: file} that the loader says it takes; itself, it names by its path."""
    found = re.findall(r"^\s*(\S+)(?: => (\S+))? \(0x", run("ldd", program), re.M)
    return {os.path.basename(name): os.path.realpath(path or name) for name, path in found if path or name.startswith("/")}


def closure(bom, start):
    """Every reference that comes in with one."""
    edges = {d["ref"]: d["dependsOn"] for d in bom["dependencies"]}
    seen, todo = set(), [start]
    while todo:
        for reference in edges[todo.pop()]:
            if reference not in seen:
                seen.add(reference)
                todo.append(reference)
    return seen


def whole(bom, programs):
    """It has all that the loader takes for these programs, nothing but that and modules, in the versions that dpkg has."""
    files = {f["name"]: c for c in bom["components"] for f in c["components"]}
    linked = {f["name"] for c in bom["components"] for f in c["components"]
              if not any(p["name"] == "steno:loaded-at-run-time" for p in f["properties"])}
    taken = set()
    for program in programs:
        reference = f"{bom['metadata']['component']['bom-ref']}#{os.path.basename(program)}"
        direct = next(d["dependsOn"] for d in bom["dependencies"] if d["ref"] == reference)
        libraries = loaded(program)
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", program))
        assert needed and {files[libraries[name]]["bom-ref"] for name in needed} == set(direct), f"what {program} needs: {direct}"
        reached = closure(bom, reference)
        for soname, path in libraries.items():
            assert path in files, f"{soname} ({path}) of {program} is missing"
            assert files[path]["bom-ref"] in reached, f"{soname} is not reached from {program}"
        taken |= set(libraries.values())
        (told,) = [c for c in bom["metadata"]["component"]["components"] if c["name"] == os.path.basename(program)]
        gpl = any(re.match("lib(av|sw)", name) for name in libraries)
        assert told["licenses"] == [{"license": {"id": "GPL-3.0-or-later" if gpl else "Apache-2.0"}}], told
        with open(program, "rb") as f:
            assert told["hashes"][0]["content"] == hashlib.sha256(f.read()).hexdigest(), f"the checksum of {program}"
    assert linked == taken, f"only in one of both: {sorted(linked ^ taken)}"
    names = [c["name"] for c in bom["components"]]
    versions = dict(line.split("\t") for line in run("dpkg-query", "-W", "-f", "${Package}\t${Version}\n", *names).splitlines())
    assert {c["name"]: c["version"] for c in bom["components"]} == {name: versions[name] for name in names}
    for component in bom["components"]:
        name = urllib.parse.quote(component["name"])
        assert component["licenses"] and component["purl"].startswith(f"pkg:deb/debian/{name}@"), component


def test_sbom(case):
    made = run(SBOM, "deb", *PROGRAMS, "--version", "1.2.3~rc1", env={**os.environ, **EPOCH})
    bom = json.loads(made)
    valid(bom)
    whole(bom, PROGRAMS)
    assert bom["metadata"]["timestamp"] == "2023-11-14T22:13:20Z" and bom["metadata"]["component"]["version"] == "1.2.3~rc1"
    # The same bytes again, from elsewhere, in another language and whatever the order; other contents, another serial number.
    again = run(SBOM, "deb", *reversed(PROGRAMS), "--version", "1.2.3~rc1", cwd=case.folder,
                env={**os.environ, **EPOCH, "LC_ALL": "C.UTF-8", "LANGUAGE": "de", "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    assert again == made, "two runs differ"
    rpm = json.loads(run(SBOM, "rpm", *PROGRAMS, "--version", "1.2.3~rc1", env={**os.environ, **EPOCH}))
    valid(rpm)
    assert rpm["serialNumber"] != bom["serialNumber"]
    assert any("that system's own packages" in p["value"] for p in rpm["metadata"]["properties"]), "no word of dpkg"
    notices = run(SBOM, "deb", *PROGRAMS, "--notices")
    for component in bom["components"]:
        assert f"\n{component['name']} {component['version']} " in notices, f"{component['name']} is not in the notices"
    case.figure(f"{len(bom['components'])} packages, {sum(len(c['components']) for c in bom['components'])} libraries")


def test_sbom_refuses(case):
    """What it can't tell truly, it does not tell."""
    script = case.path("script")
    with open(script, "w") as f:
        f.write("#!/bin/sh\n")
    assert "no ELF program" in run(SBOM, "deb", script, status=1)
    source = case.path("empty.c")
    with open(source, "w") as f:
        f.write("int main(void) { extern int own(void); return own(); }\n")
    with open(case.path("own.c"), "w") as f:
        f.write("int own(void); int own(void) { return 0; }\n")
    library, program = case.path("libown.so"), case.path("program")
    run("gcc", "-shared", "-fPIC", "-o", library, case.path("own.c"))
    run("gcc", "-o", program, source, library, f"-Wl,-rpath,{case.folder}")
    assert "belongs to no package" in run(SBOM, "deb", program, status=1)
    os.unlink(library)
    assert "libown.so, which is not installed here" in run(SBOM, "deb", program, status=1)
    run("gcc", "-static", "-x", "c", "-o", program, "-", input="int main(void) { return 0; }\n")
    assert "not linked dynamically" in run(SBOM, "deb", program, status=1)


RPM = r"""#!/bin/sh
for path; do :; done
name=${path##*/}
name=${name%%.so*}
case $name in *ssl*) epoch=1 ;; *) epoch="(none)" ;; esac
printf '%s\t1.2-3.el9\t%s\tx86_64\t%s-1.2-3.el9.src.rpm\tLGPL-2.1-or-later\tAlmaLinux\n' "$name" "$epoch" "${name#lib}"
"""


def test_sbom_rpm(case):
    """On a system of rpms: with an rpm that answers as rpm does, where dpkg knows nothing."""
    if os.geteuid() != 0:
        raise Skip("a mount namespace needs root")
    os.makedirs(case.path("bin"))
    with open(case.path("bin/rpm"), "w") as f:
        f.write(RPM)
    os.chmod(case.path("bin/rpm"), 0o755)
    with open(case.path("os-release"), "w") as f:
        f.write('NAME="AlmaLinux"\nID="almalinux"\nVERSION_ID="9.5"\nPRETTY_NAME="AlmaLinux 9.5"\n')
    hide = f'mount -t tmpfs none /var/lib/dpkg && mount --bind {case.path("os-release")} /etc/os-release && exec "$@"'
    made = run("unshare", "--mount", "sh", "-c", hide, "-", SBOM, "rpm", *PROGRAMS, "--version", "1-1.el9",
               env={**os.environ, "PATH": f"{case.path('bin')}:{os.environ['PATH']}"})
    bom = json.loads(made)
    valid(bom)
    (ssl,) = [c for c in bom["components"] if c["name"] == "libssl"]
    assert ssl["purl"] == "pkg:rpm/almalinux/libssl@1.2-3.el9?arch=x86_64&distro=almalinux-9.5&epoch=1&upstream=ssl", ssl["purl"]
    assert ssl["licenses"] == [{"license": {"id": "LGPL-2.1-or-later"}}] and ssl["supplier"] == {"name": "AlmaLinux"}, ssl


def test_package(case):
    """The deb: no library in it, and a bill of materials that is true for just these programs."""
    folder = case.path("deb")
    run("dpkg-deb", "-x", packages.deb(), folder)
    contents = [os.path.join(top, name) for top, _, names in os.walk(folder) for name in names]
    libraries = [path for path in contents if re.search(r"\.(so(\.\d+)*|a|la|jar|wasm|dll)$", path)]
    assert not libraries, f"bundled: {libraries}"
    programs = []
    for path in contents:
        if not os.path.islink(path):
            with open(path, "rb") as f:
                programs += [path] if f.read(4) == b"\x7fELF" else []
    assert sorted(map(os.path.basename, programs)) == sorted(map(os.path.basename, PROGRAMS)), programs
    for path in programs:
        assert not re.search(r"\((RPATH|RUNPATH)\)", run("readelf", "-d", path)), f"{path} has a run path"
    with open(os.path.join(folder, "usr/share/doc/steno/steno.cdx.json")) as f:
        bom = json.load(f)
    valid(bom)
    whole(bom, programs)
    version = run("dpkg-deb", "-f", packages.deb(), "Version").strip()
    assert bom["metadata"]["component"]["version"] == version, bom["metadata"]["component"]
    # What apt would install is what was linked.
    depends = re.findall(r"(?:^|, )([a-z0-9.+-]+)", run("dpkg-deb", "-f", packages.deb(), "Depends"))
    names = {c["name"] for c in bom["components"]}
    assert len(names & set(depends)) >= 8 and not [d for d in depends if d.startswith("lib") and d not in names], (depends, names)
    with open(os.path.join(folder, "usr/share/doc/steno/THIRD-PARTY-NOTICES")) as f:
        assert f"Third-party software of Steno {version}\n" in f.read()
    case.figure(f"{len(contents)} files, none a library")


def test_sources(case):
    """Nothing of others is in what is built and shipped."""
    listed = run("bash", "-c", ". packaging/source.sh && source_list", cwd=steno.TOP)
    shipped = listed.rstrip("\0").split("\0")
    assert len(shipped) > 400, f"only {len(shipped)} sources"
    foreign = [name for name in shipped if FOREIGN.search(name)]
    assert not foreign, foreign
    for name in shipped:
        if name in ("LICENSE", "packaging/debian/copyright"):
            continue
        with open(os.path.join(steno.TOP, name), errors="replace") as f:
            claim = CLAIM.search(f.read())
        assert not claim, f"{name} is somebody else's: '{claim.group(0)}'"
    assert not os.path.exists(os.path.join(steno.TOP, ".gitmodules")), "a submodule"
    case.figure(f"{len(shipped)} files")


# ---- signatures ------------------------------------------------------------------------------------------------------

SPEC = """
Name: steno
Version: 0.1.0
Release: 1
Summary: A package to sign
License: Apache-2.0
BuildArch: noarch
%description
A package to sign.
%files
"""


def blocks():
    """SECURITY.md's commands: of the checksums, of rpm."""
    with open(os.path.join(steno.TOP, "SECURITY.md")) as f:
        found = re.findall(r"^```sh\n(.*?)^```", f.read(), re.M | re.S)
    assert len(found) == 2, found
    return found


def key(case, name):
    """A throw-away signing key with a passphrase: (folder of gpg's, fingerprint, file with the passphrase)."""
    home, secret = case.path(f"gnupg-{name}"), steno.secret_file(case.folder, f"passphrase-{name}", "of the tests")
    os.makedirs(home, 0o700)
    case.on_exit(subprocess.run, ["gpgconf", "--homedir", home, "--kill", "all"])
    run("gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase-file", secret,
        "--quick-generate-key", f"Steno tests {name} <{name}@example.org>", "rsa2048", "sign", "never")
    listed = run("gpg", "--homedir", home, "--list-secret-keys", "--with-colons")
    return home, re.search(r"^fpr:+([0-9A-F]{40}):", listed, re.M).group(1), secret


def flip(path, at=0.5):
    """Another byte in the middle of a file, or elsewhere."""
    with open(path, "r+b") as f:
        f.seek(int(os.path.getsize(path) * at))
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))


def test_signed(case):
    for tool in ("gpg", "gpgv", "rpmsign", "rpmbuild"):
        if not shutil.which(tool):
            raise Skip(f"{tool} is missing")
    folder = case.path("packages")
    os.makedirs(folder)
    with open(case.path("steno.spec"), "w") as f:
        f.write(SPEC)
    run("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {case.path('rpmbuild')}", "--define", f"_rpmdir {folder}",
        "--define", "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm", case.path("steno.spec"))
    with open(os.path.join(folder, "steno_0.1.0_amd64.deb"), "wb") as f:
        f.write(os.urandom(20000))
    files = sorted(glob.glob(folder + "/*"))
    assert len(files) == 2, files
    home, fingerprint, secret = key(case, "vendor")
    options = ["--homedir", home, "--passphrase-file", secret]

    # Not without a key, and never with one of its own making.
    assert "no secret key 'nobody'" in run(SIGN, "--key", "nobody", *options, *files, status=1)
    assert "which key" in run(SIGN, *files, status=2)
    assert sorted(glob.glob(folder + "/*")) == files, "something was written without a key"
    made = run(SIGN, "--key", fingerprint, *options, *files).split()
    assert [os.path.basename(path) for path in made] == ["SHA256SUMS", "SHA256SUMS.asc", "steno-key.asc"], made
    run(SIGN, "--key", "vendor@example.org", *options, *files)  # a second time

    # A receiver who knows nothing of this machine: commands of SECURITY.md, in a copy.
    receiver = {"PATH": f"{case.path('bin')}:{os.environ['PATH']}", "HOME": case.path("home"), "LC_ALL": "C"}
    os.makedirs(case.path("bin"))
    os.makedirs(case.path("home"), 0o700)
    with open(case.path("bin/sudo"), "w") as f:
        f.write('#!/bin/sh\nexec "$@"\n')
    os.chmod(case.path("bin/sudo"), 0o755)
    with open(case.path("home/.rpmmacros"), "w") as f:
        f.write(f"%_dbpath {case.path('rpmdb')}\n")
    case.on_exit(subprocess.run, ["gpgconf", "--homedir", case.path("home/.gnupg"), "--kill", "all"])

    def receive(change, block):
        """(exit status, what it said) of a block, with one thing changed."""
        copy = case.path("received")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        change(copy)
        done = subprocess.run(["bash", "-e", "-c", block], cwd=copy, env=receiver, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.returncode, done.stdout
    sums, rpm = blocks()
    status, said = receive(lambda copy: None, sums)
    assert status == 0 and "Good signature" in said and fingerprint in said.replace(" ", "") and said.count(": OK") == 2, said
    status, said = receive(lambda copy: None, rpm)
    assert status == 0 and "digests signatures OK" in said, said
    # One package of two is enough for who installs one.
    status, said = receive(lambda copy: os.unlink(glob.glob(copy + "/*.rpm")[0]), sums)
    assert status == 0 and said.count(": OK") == 1, said
    for name in ("*.deb", "*.rpm", "SHA256SUMS", "SHA256SUMS.asc"):
        status, said = receive(lambda copy: flip(glob.glob(f"{copy}/{name}")[0]), sums)
        assert status != 0, f"a byte of {name} was changed: {said}"
    # Of so small an rpm, the middle is space that is reserved for signatures.
    status, said = receive(lambda copy: flip(glob.glob(copy + "/*.rpm")[0], 0.95), rpm)
    assert status != 0 and "NOT OK" in said, said

    # Signed by somebody else, with the receiver's good key beside it.
    other_home, other, other_secret = key(case, "other")

    def resign(copy):
        shutil.copy(copy + "/steno-key.asc", case.path("good-key"))
        run(SIGN, "--key", other, "--homedir", other_home, "--passphrase-file", other_secret, *glob.glob(copy + "/*.deb"))
        shutil.copy(case.path("good-key"), copy + "/steno-key.asc")
    status, said = receive(resign, sums)
    assert status != 0 and "No public key" in said, said
    status, said = receive(lambda copy: run("rpmsign", "--delsign", *glob.glob(copy + "/*.rpm")), rpm)
    assert status != 0 and "NOT OK" in said, said
