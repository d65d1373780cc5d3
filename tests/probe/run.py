"""Runs every hang of hangs.py on every Python given and checks class and line: `make probe`.

run.py --probe build/dev/src/look_probe --include src PYTHON...   (each PYTHON needs its headers and a C compiler)
"""
import argparse
import concurrent.futures
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
EXPECTED = {
    "sleep": "wait.sleep", "names": "wait.sleep", "python_loop": "cpu.python", "empty_loop": "cpu.python",
    "native_gil": "cpu.native_gil", "native_regex": "cpu.native_gil", "native_nogil": "cpu.native_nogil",
    "recv": "wait.network", "recv_ipv6": "wait.network", "recv_timeout": "wait.network",
    "recv_unix": "wait.network", "connect": "wait.connect", "lock": "wait.lock",
    "deadlock": "wait.deadlock", "circle": "wait.deadlock", "joined": "wait.sleep",
    "run_sleep": "wait.sleep", "run_limited": "wait.sleep", "run_steps": "wait.sleep",
    "run_read": "wait.network", "run_idle": "wait.sleep", "run_lock": "wait.lock", "run_queue": "wait.queue",
    "run_thread": "wait.sleep", "run_thread_of_two": "wait.sleep", "pooled": "wait.sleep", "threadsafe": "wait.sleep",
    "run_gather": "wait.sleep", "run_gather_threads": "wait.sleep", "run_wait": "wait.sleep",
    "run_as_completed": "wait.sleep",
    "simple_queue": "wait.queue", "wait_queue": "wait.queue", "wait_gil": "wait.gil",
    "child": "wait.subprocess", "child_output": "wait.subprocess", "pipe_write": "wait.pipe",
    "file_lock": "wait.file_lock", "collector": "gc.pause", "stopped": "signal.stopped",
}
# The request waits for another thread there: that thread's line is the place.
PLACE_OF = {
    "wait_gil": "native_gil", "joined": "sleep", "run_sleep": "awaited", "run_limited": "awaited", "run_steps": "awaited",
    "run_thread": "sleep", "run_thread_of_two": "sleep", "pooled": "awaited", "threadsafe": "awaited",
    "run_gather": "awaited", "run_gather_threads": "sleep", "run_wait": "awaited",
    "run_as_completed": "awaited",
}
# Python 3.10 has no thread's waits for a lock in its frames, and no thread's kernel id: what is said there instead, and of which line.
ON_3_10 = {"circle": ("wait.lock", "circle")} | {
    case: ("wait.lock", f"{case}_itself") for case in ("joined", "run_thread", "run_thread_of_two", "run_gather_threads", "pooled", "threadsafe")
}


def expected_of(python, case):
    """The class and the marked line."""
    usual = EXPECTED[case], PLACE_OF.get(case, case)
    return ON_3_10.get(case, usual) if "/3.10." in python else usual


def line_of(mark):
    mark = f"# LINE {mark}"
    lines = (HERE / "hangs.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(mark))


def build_module(python, include, folder):
    headers = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])"], text=True).strip()
    sources = [str(include / "pyapi" / "layout.c"), str(HERE / "layout_module.c")]
    subprocess.run(["cc", "-std=gnu11", "-O2", "-fPIC", "-shared", "-I", str(include), "-isystem", headers,
                    *sources, "-o", str(folder / "layout_module.so")], check=True)


def look(probe, python, folder, case):
    out = subprocess.run([probe, python, str(HERE / "hangs.py"), case], check=True, capture_output=True,
                         text=True, env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}).stdout
    text, report = out.splitlines()[:2]
    return text, json.loads(report)


def judge(probe, python, folder, case):
    text, report = look(probe, python, folder, case)
    cause, mark = expected_of(python, case)
    expected = (cause, f"hangs.py:{line_of(mark)}")
    right = (report["class"], report["place"]) == expected
    micros = max(look["took_us"] for look in report["evidence"]["looks"])
    row = f"{'ok   ' if right else 'WRONG'} {python.split('/')[-3]} {case} {micros} us"
    sys.stdout.write(f"{row}\n" if right else f"{row}: expected {expected}: {text}\n")
    return right


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--probe", required=True)
    parser.add_argument("--include", type=pathlib.Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(EXPECTED))
    parser.add_argument("pythons", nargs="+")
    arguments = parser.parse_args()
    right = []
    with contextlib.ExitStack() as stack:
        folders = {}
        for python in arguments.pythons:
            folders[python] = stack.enter_context(tempfile.TemporaryDirectory())
            build_module(python, arguments.include, pathlib.Path(folders[python]))
        cases = [(python, case) for case in arguments.only for python in arguments.pythons]
        # What waits needs no CPU; what computes gets one to itself, or it would be called starved.
        waiting = [each for each in cases if EXPECTED[each[1]].startswith("wait.")]
        for together, threads in ((waiting, 16), ([each for each in cases if each not in waiting], 1)):
            with concurrent.futures.ThreadPoolExecutor(threads) as pool:
                right += pool.map(lambda each: judge(arguments.probe, each[0], folders[each[0]], each[1]), together)
    print(f"{right.count(False)} wrong of {len(right)}")
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
