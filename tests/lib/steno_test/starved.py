"""How much of the processor a test was given: a machine that stands still breaks what measures time."""
import re
import threading
import time

TICK = 0.02  # s
STOOD_STILL = 0.4  # s in which not even a thread that does nothing was run
STOLEN = 0.25  # of the time that was wanted, by other machines of the same host
# What no machine is to blame for.
NO_EXCUSE = re.compile(r"Sanitizer|runtime error:|signal \d|SIGSEGV|SIGABRT|core dumped|leaked:")


def excuses(starvation, failure):
    """May it have been the machine? starvation: Watch.end(); failure: what the test said."""
    return bool(starvation) and not NO_EXCUSE.search(failure)


def _processor():
    """(busy, stolen) so far, in ticks of the kernel's clock (proc_stat(5))."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq, steal = (int(v) for v in f.readline().split()[1:9])
    return user + nice + system + irq + softirq, steal


class Watch:
    """From its making on until it is asked."""

    def __init__(self):
        self.longest = 0.0
        self._before = _processor()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while not self._over.is_set():
            start = time.monotonic()
            self._over.wait(TICK)
            self.longest = max(self.longest, time.monotonic() - start - TICK)

    def end(self):
        """What was taken away, in words; None where nobody could tell."""
        self._over.set()
        self._thread.join()
        busy, stolen = (now - before for now, before in zip(_processor(), self._before))
        share = stolen / (busy + stolen) if busy + stolen else 0
        if self.longest < STOOD_STILL and share < STOLEN:
            return None
        return f"this machine stood still for {self.longest:.1f} s, and {100 * share:.0f} % of its processors' time was taken away"
