"""A store alone, driven by store-tool: what stenod does with a storage, without a recording around it."""
import hashlib
import json
import os
import subprocess

from . import procs, s3, steno
from .stenod import Stenod

TOOL = os.path.join(steno.BUILD, "bin", "store-tool")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def random_file(path, size):
    """Contents that nobody compresses, and that differ in each block."""
    with open(path, "wb") as f:
        while size > 0:
            f.write(os.urandom(min(size, 1 << 20)))
            size -= 1 << 20
    return path


class Store:
    """One storage of a configuration of its own."""

    def __init__(self, case, entry, name="store", environment=None):
        self.config = Stenod(case, name)
        self.name = entry["name"]
        if entry["type"] == "s3" and "access_key_file" not in entry and "credentials" not in entry:
            entry = {**entry, "access_key_file": self.config.secret("s3-key", f"{s3.ACCESS}\n{s3.SECRET}\n")}
        self.entry = entry
        self.environment = environment or {}
        self.memo = os.path.join(self.config.folder, "memo")
        os.makedirs(self.memo, exist_ok=True)
        self.configure()

    def configure(self, **settings):
        self.entry = {k: v for k, v in {**self.entry, **settings}.items() if v is not None}
        self.config.storages = [self.entry]
        self.config.configure()

    def argv(self, *words):
        return [TOOL, self.config.config, self.name, *map(str, words)]

    def start(self, *words):
        env = {**{k: v for k, v in os.environ.items() if not k.startswith("AWS_")}, **self.environment}
        return procs.start(self.argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

    def run(self, *words, seconds=300):
        """Its answer: {"ok", "error", …}."""
        process = self.start(*words)
        out, err = process.communicate(timeout=seconds)
        assert process.returncode in (0, 1), f"store-tool {words}: ended with {process.returncode}: {err[-2000:]}"
        assert s3.SECRET not in out + err, "the secret was told"
        return json.loads(out.strip().splitlines()[-1])

    def must(self, *words, seconds=300):
        said = self.run(*words, seconds=seconds)
        assert said["ok"], f"store-tool {' '.join(map(str, words))}: {said['error']}"
        return said

    def refused(self, code, *words, seconds=300):
        """Fails with this error; its message."""
        said = self.run(*words, seconds=seconds)
        assert not said["ok"], f"store-tool {' '.join(map(str, words))} succeeded"
        assert said["error"]["code"] == code, f"store-tool {' '.join(map(str, words))}: {said['error']}, not {code}"
        return said["error"]["message"]
