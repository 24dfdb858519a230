"""tests/run behind its installation step: builds, runs what was asked for, prints each result and the sum."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree

from . import e2e, starved

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
RESULTS = os.path.join(TOP, "tests", "results")
JOBS = str(min(2, os.cpu_count() or 1))
CI = os.environ.get("CI") == "true"

PARTS = {"asan": "unit tests and corpora, with ASan and UBSan", "shipped": "those of them that see more without",
         "fuzz-short": "each fuzzer for 2 s", "e2e": "real Janus, real Chromium, the real command", "unit": "unit tests and corpora, optimised",
         "fuzz": "each fuzzer for 60 s, with its speed", "bench": "density, join time, the API", "long": "hundreds of kills"}
DEFAULT = ["asan", "shipped", "fuzz-short", "e2e"]
NEEDS = {"asan": "clang", "fuzz-short": "clang", "fuzz": "clang", "e2e": "peers", "long": "peers", "bench": "peers benches"}
FUZZ_EXECS_MIN = 1000  # a second, each fuzzer


class Sum:
    """Results as they come."""

    def __init__(self):
        self.counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}
        self.failed = []
        self._lock = threading.Lock()

    def add(self, result, name, seconds=None, reason="", figures=(), processor=None):
        if result == "SKIP" and CI:
            result, reason = "FAIL", f"skipped where nothing may be: {reason}"
        with self._lock:
            self.counts[result] += 1
            took = f" ({seconds:.1f} s{'' if processor is None else f', {processor:.1f} s of processor'})" if seconds is not None else ""
            print(f"{result} {name}{took}" + (": " + reason.strip().replace("\n", "\n     ") if reason else ""), flush=True)
            for figure in figures:
                print(f"     {figure}", flush=True)
            if result == "FAIL":
                self.failed.append(name)

    def end(self):
        if self.failed:
            print("failed: " + ", ".join(self.failed))
        c = self.counts
        print(f"{c['PASS']} passed, {c['FAIL']} failed" + (f", {c['SKIP']} skipped" if c["SKIP"] else ""))
        return 1 if c["FAIL"] or not c["PASS"] else 0


def _tail(text, lines=40):
    return "\n".join(text.strip().splitlines()[-lines:])


class Builds:
    """Each preset is configured once a run, and each of its parts built once."""

    def __init__(self, total):
        self.total = total
        self.done = {}

    def get(self, preset, part=""):
        """The build folder, or None (and a failed result) when it does not build. part: how the names of targets begin."""
        if (preset, part) not in self.done:
            start = time.monotonic()
            folder = os.path.join(TOP, "build", preset)
            self.done[preset, part] = folder
            done = subprocess.run(["cmake", "--preset", preset], cwd=TOP, capture_output=True, text=True)
            if done.returncode == 0:
                wanted = _targets(folder, part) if part else []
                done = subprocess.run(["ninja", "-C", folder, "-j", JOBS, *wanted], capture_output=True, text=True)
            if done.returncode:
                self.total.add("FAIL", f"build {preset}", time.monotonic() - start, _tail(done.stdout + done.stderr))
                self.done[preset, part] = None
            else:
                print(f"built {preset} {part} ({time.monotonic() - start:.0f} s)", flush=True)
        return self.done[preset, part]


def _targets(folder, part):
    """The programs of a build below a folder of it."""
    done = subprocess.run(["ninja", "-C", folder, "-t", "targets", "all"], capture_output=True, text=True)
    return sorted(set(re.findall(rf"^({part}\w[\w.-]*):", done.stdout, re.M)))


def _ctest(folder, report, *arguments):
    """The test cases of its report, or what it said instead of one."""
    env = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1", "G_SLICE": "always-malloc"}
    if os.path.exists(report):
        os.unlink(report)
    done = subprocess.run(["ctest", "--test-dir", folder, "--output-junit", report, "--no-tests=ignore", *arguments],
                          env=env, capture_output=True, text=True)
    if not os.path.exists(report):
        return [], _tail(done.stdout + done.stderr)
    return list(ElementTree.parse(report).getroot().iter("testcase")), ""


def _again(folder, part, name):
    """A test that failed while the machine stood still has one attempt more, alone."""
    cases, _ = _ctest(folder, os.path.join(RESULTS, f"{part}-again.xml"), "-R", f"^{re.escape(name)}$")
    return cases[0] if cases else None


def run_ctest(total, builds, preset, part, pattern=None, targets=""):
    folder = builds.get(preset, targets)
    if not folder:
        return 0
    # Some wait more than they compute.
    argv = ["-j", str(2 * int(JOBS)), *(["-R", pattern] if pattern else []), *(["-L", part] if targets else [])]
    watch = starved.Watch()
    cases, words = _ctest(folder, os.path.join(RESULTS, f"{part}.xml"), *argv)
    starvation = watch.end()
    if words:
        total.add("FAIL", part, reason=words)
        return 1
    for test in cases:
        figures, output = [], test.findtext("system-out") or ""
        if test.get("status") == "fail" and starved.excuses(starvation, output):
            figures = [f"attempt 1 was spoiled: {starvation}; {_tail(output)}"]
            test = _again(folder, part, test.get("name")) or test
        status = test.get("status")
        result = {"run": "PASS", "fail": "FAIL"}.get(status, "SKIP")
        total.add(result, f"{part} {test.get('name')}", float(test.get("time") or 0),
                  _tail(test.findtext("system-out") or "") if result == "FAIL" else "" if result == "PASS" else status or "not run",
                  figures)
    return len(cases)


def _fuzz_one(program, seconds):
    """(result, reason, figures) of one fuzzer; what it finds is left in tests/results."""
    name = os.path.basename(program)[len("fuzz_"):]
    seeds = [os.path.join(path, name) for path, folders, _ in os.walk(os.path.join(TOP, "tests", "fuzz"))
             if os.path.basename(path) == "corpus" and name in folders]
    corpus = tempfile.mkdtemp(prefix="steno-fuzz-")
    found = os.path.join(RESULTS, f"fuzz-{name}-")
    try:
        done = subprocess.run([program, f"-max_total_time={seconds}", "-print_final_stats=1", "-timeout=10",
                               "-rss_limit_mb=2048", f"-artifact_prefix={found}", corpus, *seeds],
                              capture_output=True, text=True, errors="replace", timeout=seconds + 120)
    except subprocess.TimeoutExpired:
        return "FAIL", f"does not end after {seconds} s", []
    finally:
        shutil.rmtree(corpus, ignore_errors=True)
    speed = re.search(r"stat::average_exec_per_sec:\s*(\d+)", done.stderr)
    speed = int(speed.group(1)) if speed else 0
    if done.returncode:
        return "FAIL", _tail(done.stderr, 60), []
    if seconds >= 60 and speed < FUZZ_EXECS_MIN:
        return "FAIL", f"{speed} executions a second, wanted {FUZZ_EXECS_MIN}", []
    return "PASS", "", [f"{speed} executions a second"]


def run_fuzz(total, builds, part, only=None):
    """For a moment: those of the build that the unit tests use. For long, and to tell how fast they are: optimised ones."""
    preset, seconds = ("fuzz", 60) if part == "fuzz" else ("asan", 2)
    folder = builds.get(preset, "fuzz/fuzz_")
    if not folder:
        return
    programs = [os.path.join(folder, t) for t in _targets(folder, "fuzz/fuzz_") if only is None or t == f"fuzz/fuzz_{only}"]
    if not programs:
        total.add("FAIL", part, reason="no fuzzer was built")

    def one(program):
        start = time.monotonic()
        result, reason, figures = _fuzz_one(program, seconds)
        total.add(result, f"{part} {os.path.basename(program)[5:]}", time.monotonic() - start, reason, figures)
    with concurrent.futures.ThreadPoolExecutor(int(JOBS)) as pool:
        list(pool.map(one, programs))


def e2e_files():
    folder = os.path.join(TOP, "tests", "e2e")
    return [os.path.join(folder, f) for f in sorted(os.listdir(folder)) if f.endswith(".py")] if os.path.isdir(folder) else []


def _run_e2e_file(total, path, wanted, env, most_s):
    """The tests of one file, in a process of their own."""
    stem, seen, errors = os.path.basename(path)[:-3], set(), []
    if not wanted:
        return
    process = subprocess.Popen([sys.executable, "-m", "steno_test.e2e", path, *wanted], env=env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
    reader.start()
    watchdog = threading.Timer(most_s, process.kill)
    watchdog.start()
    for line in process.stdout:
        try:
            r = json.loads(line)
        except ValueError:
            continue
        seen.add(r["name"])
        total.add(r["result"], f"e2e {stem}.{r['name']}", r["seconds"], r["reason"], r["figures"], r["processor"])
    process.wait()
    watchdog.cancel()
    reader.join()
    for name in wanted:
        if name not in seen:
            total.add("FAIL", f"e2e {stem}.{name}", reason="did not run to its end: " + _tail(errors[0], 15))


def _how(path):
    """(LIGHT, ALONE) of an end-to-end file."""
    with open(path) as f:
        text = f.read()
    seconds, apart = re.search(r"^LIGHT = (\d+)$", text, re.M), re.search(r'^ALONE = "(.*)"$', text, re.M)
    return int(seconds.group(1)) if seconds else 0, apart.group(1).split() if apart else []


def run_e2e(total, builds, files, prefix="test_", only=None):
    """
    Files that say LIGHT = SECONDS (about what they take) wait more than they compute, and measure nothing that others
    beside them would spoil, but for what they say in ALONE = "NAME NAME…": they go some at a time, the longest first.
    The others go alone.
    """
    folder = builds.get("release", "bin/")
    if not folder:
        return
    env = {**os.environ, "STENO_BUILD": folder, "PYTHONPATH": os.path.join(TOP, "tests", "lib")}
    most_s = 4 * 3600 if prefix == "long_" else 2400
    beside, alone = [], []
    for path in files:
        seconds, apart = _how(path)
        names = [n for n in e2e.names(path, prefix) if only is None or n == only]
        if seconds:
            beside.append((seconds, path, [n for n in names if n not in apart]))
        alone.append((path, [n for n in names if not seconds or n in apart]))
    with concurrent.futures.ThreadPoolExecutor(int(JOBS) + 1) as pool:
        list(pool.map(lambda work: _run_e2e_file(total, *work[1:], env, most_s), sorted(beside, reverse=True)))
    for path, names in alone:
        _run_e2e_file(total, path, names, env, most_s)


def benches():
    folder = os.path.join(TOP, "tests", "bench")
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, f) for f in sorted(os.listdir(folder))
            if os.path.isfile(os.path.join(folder, f)) and os.access(os.path.join(folder, f), os.X_OK)]


def run_bench(total, builds, programs):
    folder = builds.get("release", "bin/")
    if not folder:
        return
    env = {**os.environ, "STENO_BUILD": folder, "PYTHONPATH": os.path.join(TOP, "tests", "lib")}
    for program in programs:
        start = time.monotonic()
        code = subprocess.run([program], env=env, cwd=TOP).returncode
        total.add("FAIL" if code else "PASS", f"bench {os.path.basename(program)}", time.monotonic() - start,
                  f"exit code {code}" if code else "")


def run_part(total, builds, part):
    if part == "unit":
        run_ctest(total, builds, "release", "unit")
    elif part == "asan":
        run_ctest(total, builds, "asan", "asan")
    elif part == "shipped":
        run_ctest(total, builds, "release", "shipped", targets="shipped_")
    elif part in ("fuzz", "fuzz-short"):
        run_fuzz(total, builds, part)
    elif part == "e2e":
        run_e2e(total, builds, e2e_files())
    elif part == "long":
        run_e2e(total, builds, e2e_files(), "long_")
    elif part == "bench":
        run_bench(total, builds, benches())


def run_name(total, builds, name):
    """One e2e file, one test of it, one bench or fuzzer, or the unit tests whose name begins so."""
    for path in e2e_files():
        stem = os.path.basename(path)[:-3]
        if name == stem:
            return run_e2e(total, builds, [path])
        for prefix in ("test_", "long_"):
            for test in e2e.names(path, prefix):
                if name in (test, f"{stem}.{test}"):
                    return run_e2e(total, builds, [path], prefix, test)
    for program in benches():
        if name == os.path.basename(program):
            return run_bench(total, builds, [program])
    if name.startswith("fuzz_"):
        return run_fuzz(total, builds, "fuzz", name[len("fuzz_"):])
    if not run_ctest(total, builds, "release", "unit", "^" + re.escape(name)):
        total.add("FAIL", name, reason="no part or test has this name (tests/run --list)")


def listing():
    for part, words in PARTS.items():
        print(f"{part:12} {words}")
    for path in e2e_files():
        for prefix, part in (("test_", "e2e"), ("long_", "long")):
            for name in e2e.names(path, prefix):
                print(f"  {part:10} {os.path.basename(path)[:-3]}.{name}")
    for program in benches():
        print(f"  bench      {os.path.basename(program)}")


def needs(names):
    wanted = set()
    for name in names:
        if name in PARTS:
            wanted |= set(NEEDS.get(name, "").split())
        elif name.startswith("fuzz_"):
            wanted.add("clang")
        elif any(name.split(".")[0] in [os.path.basename(p)[:-3], *e2e.names(p), *e2e.names(p, "long_")] for p in e2e_files()):
            wanted.add("peers")
        elif any(name == os.path.basename(p) for p in benches()):
            wanted |= {"peers", "benches"}
    print(" ".join(sorted(wanted)))


def main(argv):
    names = [a for a in argv if not a.startswith("--")] or DEFAULT
    if "--list" in argv:
        return listing()
    if "--needs" in argv:
        return needs(names)
    os.makedirs(RESULTS, exist_ok=True)
    total = Sum()
    builds = Builds(total)
    for name in names:
        if name in PARTS:
            run_part(total, builds, name)
        else:
            run_name(total, builds, name)
    return total.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
