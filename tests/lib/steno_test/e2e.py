"""Runs the tests of one file of tests/e2e: python3 -m steno_test.e2e FILE [TEST…]. A line of JSON a result."""
import importlib.util
import json
import os
import re
import resource
import signal
import sys
import time
import traceback

from . import starved
from .case import Case, Skip, Unfit

ATTEMPTS = 3  # of a test whose input was spoiled
LONGEST = 900  # s that a test may take which is not a long one, with its waiting for packages and machines


def load(path):
    spec = importlib.util.spec_from_file_location("e2e_" + os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(path, prefix="test_"):
    """The tests of a file, without importing it."""
    with open(path) as f:
        return re.findall(rf"^def {prefix}(\w+)\(case", f.read(), re.M)


def run(function, name):
    """Runs a test, again when its input was spoiled; the last attempt counts, and the others are told."""
    spoiled = []
    for attempt in range(1, ATTEMPTS + 1):
        done = attempt_once(function, name, attempt == ATTEMPTS)
        if done["result"] != "UNFIT":
            done["figures"] = spoiled + done["figures"]
            return done
        spoiled.append(f"attempt {attempt} was spoiled: {done['reason']}")


def processor_s():
    """What this process and those that it waited for have taken."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


class TooLong(BaseException):
    """Nothing that a test may take for an answer of what it asks."""


def on_too_long(_number, _frame):
    raise TooLong(f"it takes longer than {LONGEST} s")


def attempt_once(function, name, last):
    case = Case(name)
    case.last_attempt = last
    start, processor = time.monotonic(), processor_s()
    watch = starved.Watch()
    result, reason = "PASS", ""
    signal.alarm(0 if function.__name__.startswith("long_") else LONGEST)
    try:
        function(case)
    except Skip as skip:
        result, reason = "SKIP", str(skip)
    except Unfit as unfit:
        result, reason = "FAIL" if last else "UNFIT", str(unfit)
    except AssertionError as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        result, reason = "FAIL", f"{error or where.line} ({os.path.basename(where.filename)}:{where.lineno})"
    except Exception:
        result, reason = "FAIL", traceback.format_exc()
    except TooLong:
        last, result, reason = True, "FAIL", traceback.format_exc()
    signal.alarm(0)
    starvation = watch.end()
    if result == "FAIL" and starved.excuses(starvation, reason):
        result, reason = result if last else "UNFIT", f"{starvation}; {reason}"
    if result == "FAIL":
        reason += f"\nleft in {case.folder}"
    try:
        case.close(keep=result == "FAIL")
    except Exception:
        reason += "\nwhile closing: " + traceback.format_exc()
        result = "FAIL"
    return {"name": name, "result": result, "reason": reason, "figures": case.figures,
            "seconds": round(time.monotonic() - start, 1), "processor": round(processor_s() - processor, 1)}


def main(path, wanted):
    module = load(path)
    signal.signal(signal.SIGALRM, on_too_long)
    for name in wanted:
        function = getattr(module, "test_" + name, None) or getattr(module, "long_" + name)
        print(json.dumps(run(function, name)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
