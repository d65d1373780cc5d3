#!/usr/bin/env python3
"""Measures WSGI/ASGI servers side by side on the loopback interface. See README.md."""
import argparse
import contextlib
import fcntl
import http.client
import json
import os
import platform
import re
import shlex
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    what: str
    app: str = "raw"             # raw_wsgi/raw_asgi, or the framework's module
    path: str = "/"
    conns: int = 64
    args: tuple = ()             # for wrk.lua
    size: int | None = None      # expected body length
    body: int = 0                # POST body length
    threads: int = 4             # for servers that take a thread count
    only: str = ""               # interface the case is limited to
    mode: str = ""               # "tls" or "h2": also the servers.toml key of the needed arguments
    kind: str = "wrk"            # wrk | idle | silent | mixed | ws | h2
    rounds: int = 0              # 0: --rounds
    seconds: int = 0             # 0: --seconds


CASES = {
    "hello": Case("hello, keep-alive, 64 connections", size=13),
    "close": Case("hello, Connection: close", size=13, args=("close",)),
    "pipeline": Case("hello, 16 requests pipelined", size=13, args=("pipeline=16",)),
    "json": Case("JSON of about 1 KiB", path="/json"),
    "post10k": Case("POST 10 KiB, read by the application", path="/echo", body=10240, args=("body=10240",)),
    "post1m": Case("POST 1 MiB, read by the application", path="/echo", body=MIB, args=(f"body={MIB}",), conns=16),
    "big": Case("1 MiB body from memory", path="/big", size=MIB, conns=16),
    "file": Case("1 MiB file (wsgi.file_wrapper; ASGI: chunks)", path="/file", size=MIB, conns=16),
    "flask": Case("Flask hello", app="flask_wsgi", size=13, only="wsgi"),
    "django": Case("Django hello", app="django_wsgi", size=13, only="wsgi"),
    "falcon": Case("Falcon hello", app="falcon_wsgi", size=13, only="wsgi"),
    "fastapi": Case("FastAPI hello", app="fastapi_asgi", size=13, only="asgi"),
    "starlette": Case("Starlette hello", app="starlette_asgi", size=13, only="asgi"),
    "sleep": Case("20 ms sleep in the handler, 32 threads", path="/sleep", size=13, threads=32),
    "mixed": Case("fast requests while one 2 s request starts each second, 32 threads", size=13, conns=16, threads=32,
                  kind="mixed", rounds=1, seconds=5),
    "idle": Case("64 busy connections beside 1,000 idle keep-alive ones", size=13, kind="idle", rounds=1),
    "silent": Case("64 busy connections beside 1,000 that never sent a byte", size=13, kind="silent", rounds=1),
    "ws": Case("websocket echo, 16 connections, 8 in flight each", only="asgi", kind="ws"),
    "h2": Case("HTTP/2 cleartext hello, 16 connections x 16 streams", mode="h2", kind="h2"),
    "tls": Case("hello over TLS, keep-alive, 64 connections", size=13, mode="tls"),
}


def run(cmd, timeout, **kw):
    return subprocess.run(cmd, capture_output=True, text=True, timeout=timeout, **kw)


# ---- processes -------------------------------------------------------------------------------------------------

def process_table():
    """pid -> (parent, session)"""
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                table[int(entry)] = (int(fields[1]), int(fields[3]))
    return table


def cpu_ns(schedstat):
    """CPU time of one thread; none of one that has just ended."""
    with contextlib.suppress(OSError):
        return int(schedstat.read_text().split()[0])
    return 0


class Server:
    """One running server: a session of its own, so that all its processes can be found and ended."""

    next_port = 22000

    def __init__(self, spec, app, workers, case, opts):
        self.spec, self.name, self.workers, self.opts, self.mode = spec, spec["name"], workers, opts, case.mode
        self.module = {"raw": "raw_" + spec["interface"]}.get(app, app)
        self.threads = case.threads
        self.parked = self.needs_parking = False

    @classmethod
    def free_port(cls):
        """Give the next port at which nobody listens, with SO_REUSEPORT neither."""
        while True:
            port, cls.next_port = cls.next_port, 22000 + (cls.next_port - 22000 + 1) % 1000
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    return port

    def start(self):
        self.port = Server.free_port()
        o = self.opts
        values = dict(bin=o.peers_root / "main/bin", floor=o.peers_root / "floor", here=HERE,
                      site=next((o.peers_root / "main/lib").glob("python3*/site-packages")), port=self.port,
                      workers=self.workers, threads=self.threads, module=self.module, app=f"{self.module}:app",
                      cert=o.tmp / "cert.pem", key=o.tmp / "key.pem", tmp=o.tmp, tricorn=o.tricorn)
        cmd = self.spec["start"] + (" " + self.spec[self.mode] if self.mode else "")
        cmd = shlex.split(cmd.format(**values))
        if self.workers == 1:
            cmd = ["taskset", "-c", "0"] + cmd
        env = dict(os.environ, PYTHONPATH=f"{HERE}/apps", BENCH_FILE=str(o.tmp / "file.bin"), PYTHONDONTWRITEBYTECODE="1")
        self.log = open(o.tmp / f"{re.sub(r'[^a-z0-9]+', '-', self.name)}-{self.port}.log", "w")
        began = time.perf_counter()
        self.proc = subprocess.Popen(cmd, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                     start_new_session=True, env=env, cwd=HERE / "apps")
        while not self.ready():
            if self.proc.poll() is not None or time.perf_counter() - began > 20:
                self.stop()
                raise RuntimeError(f"did not start: {self.last_words()}")
            time.sleep(0.005)
        self.ready_s = round(time.perf_counter() - began, 3)

    def last_words(self):
        return Path(self.log.name).read_text()[-300:].strip() + f" (exit status {self.proc.poll()})"

    def ready(self):
        try:
            if self.mode == "h2":  # may refuse HTTP/1.1: an accepted connection has to do
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            return self.ask("/", timeout=3)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, path, body=0, timeout=10):
        if self.mode == "tls":
            context = ssl._create_unverified_context()
            conn = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)
        else:
            conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(conn):
            conn.request("POST" if body else "GET", path, b"x" * body if body else None)
            response = conn.getresponse()
            return response.status, response.read()

    def pids(self):
        table = process_table()
        mine = {self.proc.pid} | {p for p, (_, session) in table.items() if session == self.proc.pid}
        while more := {p for p, (parent, _) in table.items() if parent in mine} - mine:
            mine |= more
        return {p for p in mine if p in table}

    def cpu_seconds(self):
        """In nanoseconds as the scheduler counts them: ticks sample, and are wrong by half on a busy machine."""
        return sum(sum(map(cpu_ns, Path(f"/proc/{pid}/task").glob("*/schedstat"))) for pid in self.pids()) / 1e9

    def memory(self):
        """(processes, PSS in MiB of all of them, RSS in MiB of the largest one)"""
        pss, largest, count = 0, 0, 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
                largest = max(largest, int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1]))
                count += 1
        return count, round(pss / 1024, 1), round(largest / 1024, 1)

    def signal_all(self, number):
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    @contextlib.contextmanager
    def awake(self):
        """Servers that burn CPU while idle are stopped between their turns."""
        if self.parked:
            self.signal_all(signal.SIGCONT)
            self.parked = False
        try:
            yield
        finally:
            self.park()

    def park(self):
        if self.needs_parking:
            self.signal_all(signal.SIGSTOP)
            self.parked = True

    def stop(self):
        with self.awake():
            everyone = self.pids()
        self.signal_all(signal.SIGCONT)
        with contextlib.suppress(OSError):
            self.proc.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.proc.wait(2)
        for pid in self.pids() | everyone:
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self.proc.pid:
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.proc.wait(2)
        self.log.close()


# ---- measuring -------------------------------------------------------------------------------------------------

def check(server, case):
    """Is the answer right? Returns a complaint, or ''."""
    if case.kind in ("ws", "h2"):
        return ""
    try:
        status, body = server.ask(case.path, case.body)
    except (OSError, http.client.HTTPException) as e:
        return f"{type(e).__name__}: {e}"
    if status != 200:
        return f"status {status}"
    if case.body and body != b"%d" % case.body:
        return f"echoed length {body[:20]!r}"
    if case.size is not None and len(body) != case.size:
        return f"body of {len(body)} bytes, expected {case.size}"
    if case.path == "/" and body != b"Hello, World!":
        return f"body {body[:20]!r}"
    if case.path == "/json" and len(json.loads(body)["items"]) != 18:
        return "wrong JSON"
    return ""


def client(server, cmd):
    return (["taskset", "-c", "1"] if server.workers == 1 else []) + cmd


def wrk(server, case, seconds, conns=None):
    scheme = "https" if case.mode == "tls" else "http"
    out = run(client(server, ["wrk", "-t1", f"-c{conns or case.conns}", f"-d{seconds}s", "--timeout", "4s", "-s",
                              str(HERE / "wrk.lua"), f"{scheme}://127.0.0.1:{server.port}{case.path}", "--", *case.args]),
              timeout=seconds + 20).stdout
    found = re.search(r"^JSON (.*)$", out, re.M)
    if not found:
        raise RuntimeError("wrk printed no result")
    r = json.loads(found[1])
    r["rps"] = r["requests"] / r["seconds"]
    if r["requests"] and case.size and r["bytes"] / r["requests"] < case.size:
        r["short_bodies"] = True
    return r


def ws(server, seconds):
    p = run(client(server, [sys.executable, str(HERE / "ws_load.py"), str(server.port), f"{seconds:g}"]), seconds + 20)
    if p.returncode:
        raise RuntimeError(p.stderr.strip()[-200:])
    return {"rps": float(p.stdout), "requests": float(p.stdout) * seconds}


def h2load(server, seconds):
    out = run(client(server, ["h2load", "-t1", "-c16", "-m16", f"-D{seconds:g}", f"http://127.0.0.1:{server.port}/"]),
              seconds + 20).stdout
    ok, bad = map(int, re.search(r"status codes: (\d+) 2xx, .*?(\d+) 5xx", out).groups())
    failed = int(re.search(r"(\d+) failed", out)[1])
    if not ok:
        raise RuntimeError("no answer over HTTP/2")
    mean = re.search(r"time for request:.*?(\S+)\s+\S+\s+\S+%", out)
    return {"rps": ok / seconds, "requests": ok, "non2xx": bad, "read": failed, "mean": mean[1] if mean else None}


def hold_open(port, count, talk):
    """Opens connections that then stay idle, after one answered request each if talk is set."""
    held, answered, deadline = [], 0, time.monotonic() + 8
    for _ in range(count):
        try:
            s = socket.create_connection(("127.0.0.1", port), 1)
            held.append(s)
            if talk and time.monotonic() < deadline:
                s.settimeout(1)
                s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                answered += s.recv(4096).startswith(b"HTTP/1.1 200")
        except OSError:
            pass
    return held, answered


def still_open(held):
    alive = 0
    for s in held:
        s.setblocking(False)
        try:
            while data := s.recv(65536):
                pass
            alive += bool(data)
        except BlockingIOError:
            alive += 1
        except OSError:
            pass
    return alive


def beside_idle(server, case, seconds):
    held, answered = hold_open(server.port, 1000, talk=case.kind == "idle")
    try:
        before = still_open(held)
        cpu = server.cpu_seconds()
        r = wrk(server, case, seconds)
        r["cpu_s"] = server.cpu_seconds() - cpu  # without the opening of the 1,000
        r.update(opened=len(held), answered=answered, open_before=before, open_after=still_open(held))
    finally:
        for s in held:
            s.close()
    return r


def mixed(server, case, seconds):
    slow, threads = [], []

    def one():
        began = time.perf_counter()
        with contextlib.suppress(OSError, http.client.HTTPException):
            if server.ask("/slow", timeout=12)[0] == 200:
                slow.append(time.perf_counter() - began)

    def every_second():
        for _ in range(int(seconds)):
            threads.append(threading.Thread(target=one))
            threads[-1].start()
            time.sleep(1)

    starter = threading.Thread(target=every_second)
    starter.start()
    time.sleep(0.2)
    r = wrk(server, case, seconds - 1)
    starter.join()
    for t in threads:
        t.join()
    r.update(slow_done=len(slow), slow_asked=int(seconds), slow_median_s=round(statistics.median(slow), 2) if slow else None)
    return r


def machine_cpu():
    """(busy, stolen, this program's and its load generators') CPU seconds so far"""
    f = [int(x) / TICK for x in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return f[0] + f[1] + f[2] + f[5] + f[6], f[7], sum(os.times()[:4])


def measure(server, case, seconds):
    before, (busy, stolen, load), began = server.cpu_seconds(), machine_cpu(), time.monotonic()
    if case.kind == "ws":
        r = ws(server, seconds)
    elif case.kind == "h2":
        r = h2load(server, seconds)
    elif case.kind in ("idle", "silent"):
        r = beside_idle(server, case, seconds)
    elif case.kind == "mixed":
        r = mixed(server, case, seconds)
    else:
        r = wrk(server, case, seconds)
    # What a server that ended had used went with it.
    used, (busy2, stolen2, load2), wall = max(0, server.cpu_seconds() - before), machine_cpu(), time.monotonic() - began
    r["foreign"] = max(0, busy2 - busy - used - (load2 - load)) / wall  # cores that other programs took meanwhile
    r["stolen"] = (stolen2 - stolen) / wall  # cores that the hypervisor took
    cpu = r.pop("cpu_s", None) or used
    r["server_cores"] = used / wall
    r["cpu_s_per_1000"] = cpu / r["requests"] * 1000 if cpu and r["requests"] else None
    r["processes"], r["pss_mib"], r["rss_mib"] = server.memory()
    return r


ERRORS = ("connect", "read", "write", "timeout", "non2xx")
QUIET = 0.1  # cores that others may take


def disturbed(r):
    return (r.get("foreign") or 0) + (r.get("stolen") or 0) > QUIET


def wait_quiet(seconds):
    """Waits until others leave the machine alone for half a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        (busy, stolen, _), began = machine_cpu(), time.monotonic()
        time.sleep(0.5)
        busy2, stolen2, _ = machine_cpu()
        if (busy2 - busy + stolen2 - stolen) / (time.monotonic() - began) <= QUIET:
            return


def measure_undisturbed(server, case, seconds, opts):
    """Repeats a disturbed measurement, whatever its result was; errors of those thrown away are kept."""
    thrown_away = []
    while True:
        wait_quiet(opts.wait_quiet)
        r = measure(server, case, seconds)
        if not disturbed(r) or len(thrown_away) == opts.repeats:
            for key in ERRORS:
                if any(key in other for other in (r, *thrown_away)):
                    r[key] = sum(other.get(key) or 0 for other in (r, *thrown_away))
            r["thrown_away"] = len(thrown_away)
            return r
        thrown_away.append(r)


def median_of(rounds):
    row = {}
    clean = [r for r in rounds if not disturbed(r)]
    for key in rounds[0]:
        values = [r[key] for r in (rounds if key in ERRORS else clean or rounds) if isinstance(r.get(key), (int, float)) and not isinstance(r[key], bool)]
        if key in ERRORS:
            row[key] = sum(values)
        elif values:
            row[key] = statistics.median(values)
    rates = [r["rps"] for r in clean or rounds]
    row["clean_rounds"] = len(clean)
    row["spread"] = (max(rates) - min(rates)) / row["rps"] if row.get("rps") else None
    if any(r.get("short_bodies") for r in rounds):
        row["problem"] = "short bodies"
    return row


class Lock:
    """Held for one server's turn at a time, so that other work on the machine can have turns too."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.file = open(self.path, "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()
        time.sleep(0.02)  # lets a waiter have it: taking it again at once would always win


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def start_all(specs, case, workers, opts, results):
    """Starts one server after the other; those that burn CPU while idle are parked."""
    running = []
    for spec in specs:
        server = Server(spec, case.app, workers, case, opts)
        try:
            server.start()
        except Exception as e:
            say(f"{server.name}: {e}")
            results["failures"].append(dict(server=server.name, app=case.app, mode=case.mode, workers=workers, why=str(e)))
            continue
        running.append(server)
        time.sleep(0.1)
        count, pss, rss = server.memory()
        row = dict(server=server.name, interface=spec["interface"], app=case.app, mode=case.mode, workers=workers,
                   threads=case.threads, ready_s=server.ready_s, processes=count, pss_mib=pss, rss_mib=rss)
        results["starts"].append(row)
        before = server.cpu_seconds()
        time.sleep(0.4)
        row["idle_cpu"] = round((server.cpu_seconds() - before) / 0.4, 2)
        server.needs_parking = row["idle_cpu"] > 0.05
        server.park()
    return running


def take_turn(server, n, names, rows, complaints, opts):
    """Round n of all the cases on one server."""
    for name in names:
        case = CASES[name]
        key = (server.name, name)
        rounds = case.rounds or opts.rounds
        if n >= rounds or complaints.get(key) or not wanted(server.spec, name):
            continue
        try:
            with server.awake():
                if n == 0:
                    complaints[key] = check(server, case)
                    if complaints[key]:
                        continue
                    if case.kind == "wrk":
                        wrk(server, case, opts.warmup)
                rows.setdefault(key, []).append(measure_undisturbed(server, case, case.seconds or opts.seconds, opts))
                if n == rounds - 1 and (after := check(server, case)):
                    rows[key][-1]["after"] = after
        except Exception as e:
            complaints[key] = f"{type(e).__name__}: {e}"[:300]
        if server.proc.poll() is not None:
            complaints[key] = complaints.get(key) or "the server process ended: " + server.last_words()
        if complaints.get(key):
            say(f"{name} {server.name}: {complaints[key]}")
            with contextlib.suppress(Exception):  # a fresh one for the next case
                server.stop()
                server.start()


def record(results, names, running, rows, complaints, opts):
    for name in names:
        for server in running:
            if (server.name, name) not in rows and not complaints.get((server.name, name)):
                continue
            key = dict(case=name, server=server.name, interface=server.spec["interface"], workers=server.workers)
            row = dict(key, threads=CASES[name].threads)
            if rounds := rows.get((server.name, name)):
                row.update(median_of(rounds), rounds=[round(r["rps"], 1) for r in rounds])
                if rounds[-1].get("after"):
                    row["problem"] = "afterwards: " + rounds[-1]["after"]
            if complaints.get((server.name, name)):
                row["problem"] = complaints[server.name, name]
            results["rows"] = [r for r in results["rows"] if any(r[k] != key[k] for k in key)] + [row]
    opts.out.write_text(json.dumps(results, indent=1) + "\n")


def run_cases(names, running, opts, results):
    """Interleaved rounds: each server in turn does its round of all the cases, under one hold of the lock."""
    rows, complaints = {}, {}
    for n in range(max(CASES[name].rounds or opts.rounds for name in names)):
        for server in running:
            with Lock(opts.lock):
                take_turn(server, n, names, rows, complaints, opts)
            record(results, names, running, rows, complaints, opts)
        say(f"round {n + 1} of {','.join(names)} done")


# ---- tables ----------------------------------------------------------------------------------------------------

def number(x, form="{:,.0f}"):
    return "–" if x is None else form.format(x)


def tables(results, baseline, only=None):
    lines = []
    rows = [r for r in results["rows"] if not only or r["case"] in only]
    for case in [c for c in CASES if any(r["case"] == c for r in rows)]:
        for interface in ("wsgi", "asgi"):
            for workers in sorted({r["workers"] for r in rows}):
                group = [r for r in rows if (r["case"], r["interface"], r["workers"]) == (case, interface, workers)]
                if not group:
                    continue
                rate = {r["server"]: r.get("rps") for r in group}
                base, floor = rate.get(baseline[interface]), rate.get("floor: wsgi")
                lines += [f"\n### {case} · {interface} · {workers} worker{'s' * (workers > 1)}: {CASES[case].what}\n",
                          "| server | req/s | × baseline | × floor | p50 ms | p99 ms | max ms | CPU s/1000 | PSS MiB | bad | notes |",
                          "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|"]
                for r in sorted(group, key=lambda r: -(r.get("rps") or 0)):
                    rps = r.get("rps")
                    bad = sum(r.get(k) or 0 for k in ("connect", "read", "write", "timeout", "non2xx"))
                    notes = [r["problem"]] if r.get("problem") else []
                    if bad:
                        notes.append(", ".join(f"{k} {r[k]:.0f}" for k in ("connect", "read", "write", "timeout", "non2xx") if r.get(k)))
                    if r.get("opened") is not None:
                        notes.append(f"idle: {r['answered']:.0f} answered, {r['open_before']:.0f} open before, {r['open_after']:.0f} after")
                    if r.get("slow_asked"):
                        notes.append(f"slow: {r['slow_done']:.0f} of {r['slow_asked']:.0f} done, median {r.get('slow_median_s')} s")
                    if 0 < r.get("clean_rounds", 0) < len(r["rounds"]):
                        notes.append(f"{r['clean_rounds']} of {len(r['rounds'])} rounds undisturbed, only they count")
                    if disturbed(r):
                        notes.append(f"disturbed: others took {r['foreign']:.1f} cores, hypervisor {r['stolen']:.1f}")
                    if (r.get("spread") or 0) > 0.15:
                        notes.append(f"spread {r['spread']:.0%}")
                    lines.append("| " + " | ".join([
                        r["server"], number(rps), number(rps / base if rps and base else None, "{:.2f}"),
                        number(rps / floor if rps and floor else None, "{:.2f}"), number(r.get("p50_ms"), "{:.2f}"),
                        number(r.get("p99_ms"), "{:.2f}"), number(r.get("max_ms"), "{:.1f}"),
                        number(r.get("cpu_s_per_1000"), "{:.4f}"), number(r.get("pss_mib"), "{:.1f}"), f"{bad:.0f}",
                        "; ".join(notes).replace("|", "/").replace("\n", " ")]) + " |")
    return "\n".join(lines)


def matrix(results, interface, workers, cell):
    """Servers x cases; cell(row) gives a text."""
    rows = [r for r in results["rows"] if r["interface"] == interface and r["workers"] == workers]
    cases = [c for c in CASES if any(r["case"] == c for r in rows)]
    found = {(r["server"], r["case"]): cell(r) for r in rows}
    lines = ["| server | " + " | ".join(cases) + " |", "|---|" + "--:|" * len(cases)]
    for name in dict.fromkeys(r["server"] for r in rows):
        lines.append(f"| {name} | " + " | ".join(found.get((name, case), "–") for case in cases) + " |")
    return "\n".join(lines)


def rate_cell(r):
    return number(r.get("rps")) + ("*" if r.get("problem") or r.get("timeout") or r.get("non2xx") else "")


def cpu_cell(r):
    return number(r["cpu_s_per_1000"] * 1000 if r.get("cpu_s_per_1000") else None, "{:,.1f}")


def leaders(results, baseline):
    """Per case the three fastest without errors, beside gunicorn and the floor."""
    lines = ["| case | workers | first | second | third | baseline | first ÷ baseline | floor: wsgi | first ÷ floor |",
             "|---|--:|---|---|---|--:|--:|--:|--:|"]
    for interface in ("wsgi", "asgi"):
        for workers in sorted({r["workers"] for r in results["rows"]}):
            for case in CASES:
                rows = [r for r in results["rows"] if (r["case"], r["interface"], r["workers"]) == (case, interface, workers)]
                clean = sorted((r for r in rows if r.get("rps") and not r.get("problem") and not r.get("timeout") and not r.get("non2xx")
                                and not r["server"].startswith("floor")), key=lambda r: -r["rps"])
                if not clean:
                    continue
                rate = {r["server"]: r.get("rps") for r in rows}
                base, floor, top = rate.get(baseline[interface]), rate.get("floor: wsgi"), clean[0]["rps"]
                best = [f"{r['server']} {r['rps']:,.0f}" for r in clean[:3]] + ["–"] * (3 - len(clean[:3]))
                lines.append(f"| {case} ({interface}) | {workers} | " + " | ".join(best) + f" | {number(base)} | "
                             f"{number(top / base if base else None, '{:.1f}')} | {number(floor)} | {number(top / floor if floor else None, '{:.2f}')} |")
    return "\n".join(lines)


def starts_table(results):
    lines = ["| server | app | workers | ready after s | processes | PSS MiB, all | RSS MiB, largest |", "|---|---|--:|--:|--:|--:|--:|"]
    for s in results["starts"]:
        if s["mode"] == "" and s["threads"] == 4:
            lines.append(f"| {s['server']} | {s['app']} | {s['workers']} | {s['ready_s']:.2f} | {s['processes']} | {s['pss_mib']} | {s['rss_mib']} |")
    return "\n".join(lines)


def report(results, baseline, only=None):
    parts = ["# Servers side by side", "", "```", json.dumps(results["machine"]), "```"]
    parts += ["", "## Leaders: requests per second, rows with errors left out", "", leaders(results, baseline)]
    for interface in ("wsgi", "asgi"):
        for workers in sorted({r["workers"] for r in results["rows"]}):
            if any((r["interface"], r["workers"]) == (interface, workers) for r in results["rows"]):
                title = f"## {interface.upper()}, {workers} worker{'s' * (workers > 1)}: "
                parts += ["", title + "requests per second (* with errors)", "", matrix(results, interface, workers, rate_cell)]
                parts += ["", title + "server CPU, µs per answer", "", matrix(results, interface, workers, cpu_cell)]
    parts += ["", "## Start and memory when ready", "", starts_table(results)]
    burners = {f"{s['server']} ({s['app']}, {s['workers']} workers)": s["idle_cpu"] for s in results["starts"] if s["idle_cpu"] > 0.05}
    if burners:
        parts += ["", "CPU seconds burnt per idle second: " + ", ".join(f"{k}: {v}" for k, v in burners.items())]
    if results["failures"]:
        parts += ["", "Did not start: " + "; ".join(f"{f['server']} ({f['app']} {f['mode']} w{f['workers']}: {f['why'][-120:]!r})" for f in results["failures"])]
    return "\n".join(parts) + "\n\n## Cases\n" + tables(results, baseline, only) + "\n"


# ---- command line ----------------------------------------------------------------------------------------------

def prepare(tmp):
    (tmp / "file.bin").write_bytes(b"f" * MIB)
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-keyout", str(tmp / "key.pem"), "-out", str(tmp / "cert.pem")], 30, check=True)
    for p in (tmp, *tmp.iterdir()):
        p.chmod(0o755)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-root", type=Path, default=os.environ.get("PEERS_ROOT"), help="folder with main/bin and floor/ (default: $PEERS_ROOT)")
    parser.add_argument("--tricorn", default=os.environ.get("TRICORN") or Path(sys.executable).parent / "tricorn",
                        help="the tricorn to measure (default: $TRICORN, else the one beside this Python)")
    parser.add_argument("--servers", default=".", help="regular expression: only servers whose name it matches")
    parser.add_argument("--cases", default="all", help="comma-separated, in this order: " + ",".join(CASES))
    parser.add_argument("--workers", default="1", help="comma-separated worker counts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--wait-quiet", type=float, default=0, help="before each measurement, seconds to wait at most for a quiet machine")
    parser.add_argument("--repeats", type=int, default=0, help="how often a disturbed measurement is repeated")
    parser.add_argument("--baseline", default="wsgi=gunicorn-sync,asgi=gunicorn-asgi")
    parser.add_argument("--lock", default="/tmp/cpu.lock")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / f"peers-{time.strftime('%Y-%m-%d')}.json", help="results are merged into this file")
    parser.add_argument("--report", action="store_true", help="only print the tables of --out")
    opts = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped
    baseline = dict(item.split("=") for item in opts.baseline.split(","))
    results = {"machine": {}, "rows": [], "starts": [], "failures": []}
    if opts.out.exists():
        results = json.loads(opts.out.read_text())
    if opts.report:
        print(report(results, baseline))
        return
    if not opts.peers_root:
        parser.error("--peers-root or PEERS_ROOT is needed")
    opts.peers_root = opts.peers_root.resolve()  # the servers start elsewhere
    names = list(CASES) if opts.cases == "all" else opts.cases.split(",")
    specs = [s for s in tomllib.loads((HERE / "servers.toml").read_text())["server"] if re.search(opts.servers, s["name"])]
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    results["machine"] = dict(cpu=cpu, cores=os.cpu_count(), kernel=platform.release(), when=time.strftime("%Y-%m-%d %H:%M"),
                              python=run([str(opts.peers_root / "main/bin/python"), "-V"], 9).stdout.strip())
    with tempfile.TemporaryDirectory(prefix="peers-") as tmp:
        opts.tmp = Path(tmp)
        prepare(opts.tmp)
        for workers in map(int, opts.workers.split(",")):
            groups = {}  # cases that can share running servers, in the order asked for
            for name in names:
                c = CASES[name]
                groups.setdefault((c.app, c.threads, c.mode, c.only), []).append(name)
            for group in groups.values():
                case = CASES[group[0]]
                fit = [s for s in specs if case.only in ("", s["interface"]) and s.get("max_workers", 99) >= workers
                       and (not case.mode or case.mode in s) and any(wanted(s, n) for n in group)]
                with Lock(opts.lock):
                    running = start_all(fit, case, workers, opts, results)
                try:
                    say(f"{','.join(group)}: {workers} worker(s), {len(running)} servers")
                    run_cases(group, running, opts, results)
                finally:
                    for server in running:
                        server.stop()
    print(report(results, baseline, names))


def wanted(spec, name):
    return name not in spec.get("skip", ()) and name in spec.get("cases", CASES)


if __name__ == "__main__":
    main()
