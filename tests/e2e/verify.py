"""
docs/VERIFY.md's blocks, run as they are written: they find a recording to be what it is, and every bit that was changed.
`steno verify` finds the same, on this disk and in a bucket.
"""
import contextlib
import json
import os
import re
import shutil
import subprocess

from steno_test import captures, s3, steno

LIGHT = 10
ACCESS_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
CODES = steno.exit_codes()


def blocks():
    """{heading: [text of each sh block]}"""
    with open(os.path.join(steno.TOP, "docs/VERIFY.md")) as f:
        text = f.read()
    sections = re.split(r"^## (.*)\n", text, flags=re.M)
    return {sections[i]: re.findall(r"^```sh\n(.*?)^```", sections[i + 1], re.M | re.S) for i in range(1, len(sections), 2)}


def shell(folder, *texts, code=0):
    """Blocks in one bash, in folder; the first one that fails ends it."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(texts)], cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == (code == 0), f"exit {done.returncode}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout + done.stderr


def authority(case, signature, answer):
    """What a time stamping authority would say of a file, and its certificate authority."""
    work = case.path("tsa")
    os.makedirs(work)
    with open(os.path.join(work, "ts.cnf"), "w") as f:
        f.write("[tsa]\ndefault_tsa = t\n[t]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\nsigner_digest = sha256\n"
                "default_policy = 1.2.3.4.1\ndigests = sha256\ness_cert_id_alg = sha256\n"
                "[ext]\nextendedKeyUsage = critical,timeStamping\n")
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    shell(work, f"openssl req -x509 {new_key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
          f"openssl req {new_key} -keyout tsa.key -out tsa.csr -subj /CN=tsa",
          "openssl x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tsa.pem -days 2 -extfile ts.cnf -extensions ext",
          "echo 01 >serial", f"openssl ts -query -data {signature} -sha256 -cert -out query",
          f"openssl ts -reply -config ts.cnf -queryfile query -out {answer}")
    return os.path.join(work, "ca.pem")


@contextlib.contextmanager
def flipped(path, at=None):
    """One bit of the file is another meanwhile."""
    with open(path, "rb") as f:
        data = f.read()
    at = len(data) // 2 if at is None else at
    with open(path, "wb") as f:
        f.write(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    try:
        yield
    finally:
        with open(path, "wb") as f:
            f.write(data)


def assemble(case, *where):
    """A signed recording of a real room; what `steno assemble` prints."""
    capture = case.path("capture")
    if not os.path.exists(capture):
        shutil.copytree(captures.make(case), capture)
    done = steno.run("assemble", capture, "--signing-key", case.path("signing/key.pem"), *where, cwd=case.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def verify(case, what, *more, code="", environment=None):
    """`steno verify`, its faults: {file: [message]}."""
    done = steno.run("verify", what, "--json", "--config", case.path("none.conf"), *more, cwd=case.folder,
                     env={**{k: v for k, v in os.environ.items() if k not in ACCESS_VARIABLES}, **(environment or {})})
    assert done.returncode == CODES.get(code, 0), f"exit {done.returncode}, not {code or 0}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    found = {}
    for line in done.stdout.splitlines():
        fault = json.loads(line).get("fault")
        if fault:
            found.setdefault(fault["file"], []).append(fault["message"])
    return found


def test_document(case):
    made = assemble(case, "--output", case.path("root"))
    work, folder = case.path("work"), case.path("work/recording")
    shutil.copytree(made, folder)
    shutil.copy(case.path("signing/public.pem"), work)
    manifest, signature = os.path.join(folder, "manifest.json"), os.path.join(folder, "manifest.json.sig")
    shutil.copy(authority(case, signature, manifest + ".tsr"), os.path.join(work, "tsa-ca.pem"))
    told = blocks()
    (fingerprint,) = told["What is needed"]
    enter, foreign = told["1. The files are those of the manifest"]
    one_key, several_keys = told["2. The manifest is the server's"]
    (stamp,) = told["3. The signature is that old"]
    (summary,) = told["What this proves, and what not"]
    cd = "cd recording"
    media = json.load(open(manifest))["outputs"][0]["file"]

    out = shell(work, fingerprint, enter, foreign, one_key, several_keys, stamp, summary)
    assert f"{media}: OK" in out and "Signature Verified Successfully" in out and "Verification: OK" in out, out
    assert shell(work, cd, foreign) == ""
    assert re.search(r"Time stamp: .*20\d\d", out), out
    keys = ("--key", os.path.join(work, "public.pem"), "--timestamp-ca", os.path.join(work, "tsa-ca.pem"))
    assert verify(case, folder, *keys) == {}

    # A later key first: the one of this recording is still found.
    os.rename(case.path("signing/key.pem"), case.path("earlier.pem"))
    shutil.rmtree(case.path("root"))
    assemble(case, "--output", case.path("root"))
    shutil.copy(case.path("signing/public.pem"), work)
    shell(work, cd, one_key, code=1)
    shell(work, cd, several_keys)
    assert verify(case, folder, *keys) == {}
    only_new = os.path.join(work, "key-1.pem")
    assert list(verify(case, folder, "--key", only_new, code="signature")) == ["manifest.json.sig"]

    with flipped(os.path.join(folder, media)):
        shell(work, enter, code=1)
        shell(work, cd, several_keys, stamp)
        assert media in verify(case, folder, *keys, code="verify-failed")
    with open(manifest, "rb") as f:
        digit = f.read().index(b'"duration_us":') + len(b'"duration_us": ')
    with flipped(manifest, digit):
        shell(work, cd, several_keys, code=1)
        assert list(verify(case, folder, *keys, code="signature")) == ["manifest.json.sig"]
    with flipped(signature):
        shell(work, cd, several_keys, code=1)
        shell(work, cd, stamp, code=1)
        assert set(verify(case, folder, *keys, code="signature")) == {"manifest.json.sig", "manifest.json.tsr"}
    with flipped(manifest + ".tsr"):
        shell(work, cd, stamp, code=1)
        assert set(verify(case, folder, *keys, code="signature")) == {"manifest.json.tsr"}
    with open(os.path.join(folder, "another.webm"), "w"):
        assert shell(work, cd, foreign) == "another.webm\n"
    os.unlink(os.path.join(folder, "another.webm"))

    # Signature and timestamp that are wanted must be there.
    os.rename(signature, os.path.join(work, "sig"))
    assert set(verify(case, folder, "--key", keys[1], code="signature")) >= {"manifest.json.sig"}
    os.rename(os.path.join(work, "sig"), signature)
    os.unlink(manifest + ".tsr")
    assert verify(case, folder, *keys[:2]) == {}
    assert set(verify(case, folder, *keys, code="signature")) == {"manifest.json.tsr"}
    case.figure(f"{sum(map(len, told.values()))} blocks")


def test_bucket(case):
    server = s3.VersityGw().start()
    case.on_exit(server.close)
    bucket = server.make_bucket("ward-recordings")
    access = steno.secret_file(case.folder, "access", f"{server.access}\n{server.secret}")
    with open(case.path("steno.conf"), "w") as f:
        f.write(f'state_dir = "{case.folder}";\nstorages = ({{ name = "archive"; type = "s3"; bucket = "{bucket}"; '
                f'endpoint = "{server.url}"; allow_http = true; access_key_file = "{access}"; }});\n')
    uri = assemble(case, "--storage", "archive", "--config", case.path("steno.conf"))
    assert uri.startswith(f"s3://{bucket}/"), uri
    folder = os.path.join(server.folder, uri[len("s3://"):].rstrip("/"))
    media = json.load(open(os.path.join(folder, "manifest.json")))["outputs"][0]["file"]

    # By the configuration, whose key is found beside its journal; and by nothing but what is given.
    done = steno.run("verify", uri, "--config", case.path("steno.conf"), cwd=case.folder)
    assert done.returncode == 0 and "manifest.json.sig: is good" in done.stdout, done.stdout + done.stderr
    given = ("--key", case.path("signing/public.pem"), "--endpoint", server.url, "--allow-http")
    environment = dict(zip(ACCESS_VARIABLES, (server.access, server.secret)))

    def bucket_verify(code="", **more):
        done = steno.run("verify", uri, "--json", *given, cwd=case.folder, env={**os.environ, **environment, **more})
        assert done.returncode == CODES.get(code, 0), f"exit {done.returncode}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return {f["file"]: f["message"] for f in (json.loads(line).get("fault") for line in done.stdout.splitlines()) if f}

    assert bucket_verify() == {}
    with flipped(os.path.join(folder, media)):
        assert "its contents were changed" in bucket_verify("verify-failed")[media]
    with flipped(os.path.join(folder, "manifest.json.sig")):
        assert list(bucket_verify("signature")) == ["manifest.json.sig"]
    os.rename(os.path.join(folder, media), case.path("away"))
    assert bucket_verify("verify-failed") == {media: "is missing"}
    shutil.copy(case.path("away"), os.path.join(folder, media))
    os.truncate(os.path.join(folder, media), 10)
    assert "has 10 bytes" in bucket_verify("verify-failed")[media]
    shutil.copy(case.path("away"), os.path.join(folder, media))
    shutil.copy(case.path("away"), os.path.join(folder, "foreign.webm"))
    assert bucket_verify("verify-failed") == {"foreign.webm": "no manifest tells of it"}
    os.unlink(os.path.join(folder, "foreign.webm"))
    bucket_verify("storage-denied", AWS_SECRET_ACCESS_KEY="wrong")
    done = steno.run("verify", f"s3://{bucket}/none", *given, cwd=case.folder, env={**os.environ, **environment})
    assert done.returncode == CODES["not-found"], done.stderr
    # A copy on this disk, with rclone: the same, with the media opened.
    server.rclone("copy", f"S3:{uri[len('s3://'):]}", case.path("copy"))
    assert verify(case, case.path("copy"), "--key", case.path("signing/public.pem")) == {}
