"""Real S3 servers on loopback: versitygw (POSIX backend) and Ceph's radosgw; and the clients of others that read back."""
import atexit
import json
import os
import shutil
import socket
import subprocess
import tempfile
import uuid

from . import procs
from .case import Skip

ACCESS, SECRET = "AKSTENOTEST", "planted-s3-secret-of-the-tests"
REGION = "us-east-1"
VERSITYGW = os.environ.get("STENO_VERSITYGW") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "results",
                                                              "go", "versitygw")
RADOSGW_UP_S = 120


def _answers(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """What tests need of any S3 server: where it is, how to ask it as others do."""

    scheme, ca_file, region = "http", None, REGION
    access, secret = ACCESS, SECRET

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def environment(self, url=None):
        """For aws and rclone (its remote is called "S3")."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RCLONE_"))}
        env.update(AWS_ACCESS_KEY_ID=self.access, AWS_SECRET_ACCESS_KEY=self.secret, AWS_DEFAULT_REGION=self.region,
                   RCLONE_CONFIG="/dev/null", RCLONE_CONFIG_S3_TYPE="s3", RCLONE_CONFIG_S3_PROVIDER="Other",
                   RCLONE_CONFIG_S3_ENDPOINT=url or self.url, RCLONE_CONFIG_S3_ENV_AUTH="true",
                   RCLONE_CONFIG_S3_REGION=self.region)
        if self.ca_file:
            env["AWS_CA_BUNDLE"] = self.ca_file
        return env

    def aws(self, *argv, check=True):
        """`aws s3api …`; its JSON."""
        done = subprocess.run(["aws", "--endpoint-url", self.url, "s3api", *argv], env=self.environment(), text=True,
                              capture_output=True)
        if check:
            assert done.returncode == 0, f"aws {' '.join(argv)}: {done.stderr.strip()}"
        elif done.returncode:
            return None
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def rclone(self, *argv):
        done = subprocess.run(["rclone", *argv], env=self.environment(), capture_output=True)
        assert done.returncode == 0, f"rclone {' '.join(argv)}: {done.stderr.decode().strip()}"
        return done.stdout

    def make_bucket(self, name, *options):
        self.aws("create-bucket", "--bucket", name, *options)
        return name

    @property
    def client(self):
        """boto3's, which takes no second to start: for what is looked at a hundred times."""
        if not hasattr(self, "_client"):
            import boto3
            import botocore.config
            self._client = boto3.client("s3", endpoint_url=self.url, aws_access_key_id=self.access, aws_secret_access_key=self.secret,
                                        region_name=self.region, verify=self.ca_file or False,
                                        config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}))
        return self._client

    def keys(self, bucket, prefix=""):
        """{key: size} of all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}

    def uploads(self, bucket):
        """Keys of multipart uploads that were begun and neither completed nor aborted."""
        return [u["Key"] for u in self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]

    def get(self, bucket, key, path):
        self.client.download_file(bucket, key, path)
        return path

    def storage(self, bucket, name="primary", url=None, **settings):
        """An entry of `storages`; the caller adds access_key_file."""
        endpoint = url or self.url
        return {"name": name, "type": "s3", "endpoint": endpoint, "bucket": bucket, "region": self.region,
                **({"allow_http": True} if endpoint.startswith("http:") else {}),
                **({"ca_file": self.ca_file} if self.ca_file else {}), **settings}


class VersityGw(Server):
    """versitygw of a folder; starts and stops as often as a test likes, always on the same port."""

    name = "versitygw"

    def __init__(self, folder=None, certificate=None, options=()):
        self._own = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="steno-versitygw-")
        self.port = procs.free_ports(1)[0]
        self.options = list(options)
        self.process = None
        if certificate:
            self.scheme, self.ca_file = "https", certificate[0]
            self.options += ["--cert", certificate[0], "--key", certificate[1]]

    def start(self, *options):
        if not os.path.exists(VERSITYGW):
            raise Skip("versitygw is not there: it needs Go 1.25")
        os.makedirs(self.folder, exist_ok=True)
        env = {**os.environ, "ROOT_ACCESS_KEY": self.access, "ROOT_SECRET_KEY": self.secret}
        with open(self.folder.rstrip("/") + ".log", "ab") as log:
            self.process = procs.start([VERSITYGW, "--port", f"127.0.0.1:{self.port}", "--quiet", *self.options, *options, "posix",
                                        self.folder], env=env, stdout=log, stderr=log)
        procs.await_true(lambda: _answers(self.port), 20, "versitygw answers")
        return self

    def stop(self):
        if self.process:
            procs.stop(self.process)
            self.process = None

    def close(self):
        self.stop()
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)
            if os.path.exists(self.folder + ".log"):
                os.unlink(self.folder + ".log")


class RadosGw(Server):
    """One monitor, one OSD in memory, one radosgw."""

    name = "radosgw"

    def __init__(self):
        # Paths of Ceph's Unix sockets are short.
        self.folder = tempfile.mkdtemp(prefix="rgw-")
        self.monitor_port, self.port = procs.free_ports(2)
        self.config = os.path.join(self.folder, "ceph.conf")
        atexit.register(self.close)

    def _run(self, *argv, seconds=60):
        done = subprocess.run(argv, env={**os.environ, "CEPH_CONF": self.config}, text=True, capture_output=True, timeout=seconds)
        assert done.returncode == 0, f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()[-800:]}"
        return done.stdout

    def _daemon(self, *argv):
        with open(os.path.join(self.folder, "out.log"), "ab") as log:
            return procs.start([*argv, "-f"], env={**os.environ, "CEPH_CONF": self.config}, stdout=log, stderr=log)

    def admin(self, *argv):
        return json.loads(self._run("radosgw-admin", "-c", self.config, *argv) or "null")

    def start(self):
        d, keyring = self.folder, os.path.join(self.folder, "keyring")
        for name in ("mon", "osd", "rgw"):
            os.makedirs(os.path.join(d, name))
        monitor = f"[v2:127.0.0.1:{self.monitor_port}]"
        fsid = str(uuid.uuid4())
        with open(self.config, "w") as f:
            f.write(f"""[global]
fsid = {fsid}
mon host = {monitor}
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {keyring}
run dir = {d}
admin socket = {d}/$name.asok
log file = {d}/$name.log
pid file = {d}/$name.pid
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
ms bind msgr1 = false
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
mon data avail crit = 0
[mon.a]
mon data = {d}/mon
public addr = 127.0.0.1
[osd.0]
osd data = {d}/osd
osd objectstore = memstore
memstore device bytes = 12884901888
[client.rgw]
rgw data = {d}/rgw
rgw frontends = beast endpoint=127.0.0.1:{self.port}
rgw dns name = localhost
rgw crypt require ssl = false
""")
        for owner, caps in (("mon.", ["mon", "allow *"]),
                            ("client.admin", ["mon", "allow *", "osd", "allow *", "mgr", "allow *"]),
                            ("client.rgw", ["mon", "allow rw", "osd", "allow rwx"]), ("osd.0", ["mon", "allow profile osd"] +
                                                                                      ["osd", "allow *"])):
            made = [] if os.path.exists(keyring) else ["--create-keyring"]
            granted = [word for i in range(0, len(caps), 2) for word in ("--cap", caps[i], caps[i + 1])]
            self._run("ceph-authtool", *made, keyring, "--gen-key", "-n", owner, *granted)
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitor, os.path.join(d, "monmap"))
        self._run("ceph-mon", "-c", self.config, "-i", "a", "--mkfs", "--monmap", os.path.join(d, "monmap"), "--keyring", keyring)
        self.processes = [self._daemon("ceph-mon", "-c", self.config, "-i", "a")]
        self._run("ceph", "-c", self.config, "-s", seconds=RADOSGW_UP_S)
        osd = str(uuid.uuid4())
        self._run("ceph", "-c", self.config, "osd", "new", osd)
        shutil.copy(keyring, os.path.join(d, "osd", "keyring"))
        self._run("ceph-osd", "-c", self.config, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.processes.append(self._daemon("ceph-osd", "-c", self.config, "-i", "0"))
        self.processes.append(self._daemon("radosgw", "-c", self.config, "-n", "client.rgw"))
        procs.await_true(lambda: _answers(self.port), RADOSGW_UP_S, "radosgw answers", interval=0.3)
        self.admin("user", "create", "--uid=steno", "--display-name=steno", f"--access-key={self.access}",
                   f"--secret-key={self.secret}")
        return self

    def close(self):
        for process in reversed(getattr(self, "processes", [])):
            procs.stop(process, seconds=0.5)
        shutil.rmtree(self.folder, ignore_errors=True)


_radosgw = []


def radosgw():
    """One for all tests of a file: it takes its time to come up."""
    if not _radosgw:
        _radosgw.append(RadosGw().start())
    return _radosgw[0]


def versitygw(case, **settings):
    server = VersityGw(**settings)
    case.on_exit(server.close)
    return server.start()


def both(case):
    return [versitygw(case), radosgw()]
