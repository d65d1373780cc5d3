"""What diagnosis costs: CPU of the arbiter for idle workers and for a late request, and how long its looks take.

    .venv/bin/python tests/hangs/cost.py [--workers 16] [--seconds 60]

CPU is the kernel's count (schedstat), so neighbours add to it only what they drive out of the caches; the looks' times are by the clock.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from blackbox.support.waiting import poll  # noqa: E402
from hangs import surroundings, trial  # noqa: E402


def cpu_ns(pid):
    """Return the CPU time of all threads of a process."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def at_rest(pids):
    """Whether none of them computes for a second."""
    before = sum(map(cpu_ns, pids))
    time.sleep(1)
    return sum(map(cpu_ns, pids)) == before


def idle(workers, seconds):
    """Print the share of a CPU that the arbiter and its idle workers take."""
    with tempfile.TemporaryDirectory() as folder:
        server = trial.Server(Path(folder), "hangs.app:application", "-w", str(workers), around=surroundings.Around())
        try:
            poll(lambda: len(server.workers()) == workers and server.wait_listening(), 60, "all workers")
            pids = {"arbiter": [server.pid], "workers": server.workers()}
            poll(lambda: at_rest(pids["workers"]), 60, "idle workers")  # what booting leaves behind is not idling
            before = {name: sum(map(cpu_ns, them)) for name, them in pids.items()}
            time.sleep(seconds)
            for name, them in pids.items():
                share = (sum(map(cpu_ns, them)) - before[name]) / seconds / 1e9
                print(f"{workers} idle workers, {seconds} s: {name:8} {share * 100:.4f} % of a CPU")
        finally:
            server.kill()


def looks():
    """Print how long the looks at late requests took, as the reports have it."""
    took = {"samples": [], "looks": []}
    used_ms = []
    for path, mode in (("sleep", ("-k", "sync")), ("lock", ("-k", "gthread", "--threads", "4")), ("sleep_async", ("-k", "sync"))):
        with tempfile.TemporaryDirectory() as folder:
            server = trial.Server(Path(folder), "hangs.app:application", "--timeout", "2", *mode, around=surroundings.Around())
            try:
                server.wait_listening()
                before = cpu_ns(server.pid)
                trial.get(server, path)
                used_ms.append((cpu_ns(server.pid) - before) / 1e6)
                for incident in trial.incidents_of(server):
                    for kind, times in took.items():
                        times += [look["took_us"] for look in incident["evidence"][kind]]
            finally:
                server.kill()
    for kind, times in took.items():
        times.sort()
        print(f"{len(times)} {kind}: shortest {times[0]} us, median {statistics.median(times):.0f} us, "
              f"nine of ten below {times[len(times) * 9 // 10]} us, longest {times[-1]} us")
    print("CPU of the arbiter for a request of 2 s until its client is answered: " + ", ".join(f"{ms:.1f} ms" for ms in used_ms))


def main():
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    idle(given.workers, given.seconds)
    looks()


if __name__ == "__main__":
    main()
