"""README's first two commands. All its other blocks are run by packages.py, where Steno is installed."""
import os
import re
import shutil
import subprocess

from steno_test import check, readme, steno

LIGHT = 30


def test_two_commands(case):
    """The one makes a real recording; the other is what runs this test."""
    (text,) = readme.of("Two commands", "sh")
    first, second = [line.split("#")[0].strip() for line in text.strip().splitlines()]
    assert (first, second) == ("packaging/quickstart", "tests/run"), text
    done = subprocess.run(["bash", "-c", first], cwd=steno.TOP, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    made = re.search(r"^The recording is in (.*):$", done.stdout, re.M).group(1)
    case.on_exit(shutil.rmtree, made)
    check.verified(made)
    files = check.files(made)
    assert len(files) == 2, files
    for path in files:
        check.clean(path)


def test_no_other_blocks(case):
    """Whatever stands in a block is run: here, by packages.py, or is what a program tells."""
    with open(os.path.join(steno.TOP, "README.md")) as f:
        text = f.read()
    fences = re.findall(r"^```(.*)$", text, re.M)
    assert set(fences[0::2]) <= {"sh", "conf", "cron", "text"} and set(fences[1::2]) == {""}, fences
    with_blocks = {heading for heading in re.findall(r"^## (.*)$", text, re.M) if {found for found, _ in readme.blocks(heading)} - {"text"}}
    assert with_blocks == {"Two commands", "Recording in the foreground", "As a service", "Encrypted channels"}, with_blocks
