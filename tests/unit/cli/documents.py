"""Completion in bash, zsh and fish, and the manual pages: what shells and readers are told is what the programs take."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

STENO, STENOD = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
MAN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/man")


def output(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60, **more).stdout


def help_options(text):
    return set(re.findall(r"(?:^|[ ,])--([a-z][a-z-]*)", text, re.M))


class Shells(unittest.TestCase):
    # What is typed, and what is among the offers.
    CASES = [
        ("steno st", {"start", "stop"}),
        ("steno key ", {"add", "list", "revoke"}),
        ("steno start --unl", {"--unless-running"}),
        ("steno key add --ro", {"--role"}),
        ("steno completion f", {"fish"}),
    ]

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="steno-shells-")
        os.symlink(STENO, os.path.join(self.folder.name, "steno"))
        self.environment = {**os.environ, "PATH": self.folder.name + ":" + os.environ["PATH"],
                            "HOME": self.folder.name, "STENO_SOCKET": "/nonexistent"}

    def tearDown(self):
        self.folder.cleanup()

    def script(self, shell):
        path = os.path.join(self.folder.name, "_steno")
        with open(path, "w") as f:
            f.write(output(STENO, "completion", shell))
        return path

    def need(self, shell):
        if not shutil.which(shell):
            self.skipTest(f"{shell} is not installed")

    def bash(self, line):
        # As readline does: "=" breaks words.
        words = re.findall(r"=|[^ =]+", line) + ([""] if line.endswith((" ", "=")) else [])
        quoted = " ".join(f"'{w}'" for w in words)
        script = (f"source {self.script('bash')}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _steno; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        return set(output("bash", "-c", script, env=self.environment, cwd=self.folder.name).split())

    def test_bash(self):
        for line, offers in self.CASES + [("steno list --state=rec", {"recording", "reconnecting"}),
                                          ("steno list --state ", {"recording", "failed"}),
                                          ("steno verify ", set())]:
            self.assertLessEqual(offers, self.bash(line), line)
        self.assertNotIn("--role", self.bash("steno start --"))

    def test_fish(self):
        self.need("fish")
        for line, offers in self.CASES + [("steno list --state ", {"recording", "failed"})]:
            told = output("fish", "-c", f"source {self.script('fish')}; complete -C '{line}'", env=self.environment)
            self.assertLessEqual(offers, {one.split("\t")[0] for one in told.splitlines()}, line)

    def test_zsh(self):
        self.need("zsh")
        # What would be handed to zsh's completion, which needs a terminal.
        for line, offers in self.CASES:
            words = line.split() + ([""] if line.endswith(" ") else [])
            quoted = " ".join(f"'{w}'" for w in words)
            told = output("zsh", "-f", "-c", "compadd() print -l -- $@; _arguments() print -l -- $@; "
                          f"words=({quoted}); CURRENT={len(words)}; source {self.script('zsh')}", env=self.environment)
            told = set(re.findall(r"[a-z-]+", told))
            self.assertLessEqual(offers, told, line)


class Pages(unittest.TestCase):
    def read(self, name):
        with open(os.path.join(MAN, name)) as f:
            return f.read()

    def test_stenod(self):
        """stenod.8 is written by hand: it must have what stenod --help has, and nothing more."""
        page, told = self.read("stenod.8"), output(STENOD, "--help", env={**os.environ, "LC_ALL": "C.UTF-8"})
        self.assertEqual(set(re.findall(r"Fl -([a-z-]+)", page)), help_options(told.split("Example:")[0]))
        self.assertLessEqual(set(re.findall(r"SIG[A-Z]+", told)), set(re.findall(r"SIG[A-Z]+", page)))
        codes = set(re.findall(r"\b\d+\b", told.split("Exit codes:")[1]))
        self.assertEqual(set(re.findall(r"\d+", " ".join(re.findall(r"^\.It (\d.*)$", page, re.M)))), codes)

    def test_steno(self):
        page = self.read("steno.1")
        for name in re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", output(STENO, "--help"), re.M):
            self.assertIn(f"\n.Ss steno {name}", page)
            for option in help_options(output(STENO, *name.split(), "--help").split("Example:")[0]):
                self.assertIn(f"Fl -{option}", page)

    def test_form(self):
        """mandoc finds nothing, but that pages are not installed here."""
        if not shutil.which("mandoc"):
            self.skipTest("mandoc is not installed")
        for name in os.listdir(MAN):
            done = subprocess.run(["mandoc", "-Tlint", os.path.join(MAN, name)], capture_output=True, text=True)
            faults = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
            self.assertEqual(faults, [], name)


if __name__ == "__main__":
    unittest.main(verbosity=1)
