#!/usr/bin/env python3
"""Keep-alive load on Tricorn while its workers are killed and requests hang. Who gets no answer?

Many clients ask a Flask application for some minutes. Now and then a random worker gets SIGKILL, and now and then a
request sleeps or computes longer than --timeout. Prints one summary. Exit status 1 when a request was lost without an
answer, when an answer was wrong or was cut though its worker lived, or when a 500 had no reference.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
START = (
    "{tricorn} -k {worker_class} --threads {threads} -w {workers} --timeout {timeout} --keep-alive 75 "
    "--worker-connections 4000 --report {report} -b 127.0.0.1:{port} soak_app:app"
)
BODY = b"x" * 10240
STREAM = b"".join(b"%04d\n" % i for i in range(100))
SAMPLES = 40  # lost requests that are described one by one


class Lost(Exception):
    """No answer: str() says how it ended."""


class Cut(Exception):
    """The connection ended in the middle of an answer."""


# ---- the server's processes ----------------------------------------------------------------------------------------


def parents() -> dict[int, tuple[int, str]]:
    """Of every process: pid -> (parent, state)."""
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                table[int(entry)] = (int(stat[1]), stat[0])
    return table


def descendants(root: int) -> dict[int, str]:
    """Of every process below root: pid -> state."""
    table, mine = parents(), {root}
    while more := {pid for pid, (parent, _) in table.items() if parent in mine} - mine:
        mine |= more
    return {pid: table[pid][1] for pid in mine - {root} if pid in table}


def size(pid: int) -> tuple[int, int]:
    """Of one process: RSS in KiB, open descriptors."""
    with contextlib.suppress(OSError):
        rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return rss // 1024, len(os.listdir(f"/proc/{pid}/fd"))
    return 0, 0


# ---- one run -------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    opts: argparse.Namespace
    server: int = 0  # pid
    end: float = 0.0
    counts: Counter = field(default_factory=Counter)
    sent: Counter = field(default_factory=Counter)
    statuses: Counter = field(default_factory=Counter)
    lost: Counter = field(default_factory=Counter)
    samples: list = field(default_factory=list)
    references: dict = field(default_factory=dict)  # reference -> how many got it
    serving: dict = field(default_factory=dict)  # pid -> when it last answered
    kills: deque = field(default_factory=lambda: deque(maxlen=8))  # (when, pid)
    slowest: float = 0.0
    last_answer: float = 0.0
    longest_silence: float = 0.0
    shares: list = field(default_factory=list)  # each second: the part of the connections that one worker has
    hangs_due: list = field(default_factory=list)  # paths the next clients are to ask for


class Client:
    """One keep-alive connection at a time, one request after the other."""

    def __init__(self, run: Run, number: int) -> None:
        self.run, self.number, self.asked = run, number, 0
        self.rng = random.Random(f"{run.opts.seed}-{number}")
        self.reader = self.writer = None
        self.used = 0  # answers on this connection
        self.pid = "?"  # who gave the last of them

    async def live(self) -> None:
        while time.monotonic() < self.run.end:
            await asyncio.sleep(self.pause())
            if self.writer and self.reader.at_eof():
                self.run.counts["idle connections closed by the server"] += 1
                self.hang_up()
            path = self.choose()
            began = time.monotonic()
            self.run.sent[path.split("/")[1] or "hello"] += 1
            try:
                async with asyncio.timeout(self.run.opts.patience):
                    await self.ask(path)
            except TimeoutError:
                self.note_loss(path, f"no answer in {self.run.opts.patience:g} s", began)
            except Lost as e:
                self.note_loss(path, str(e), began)
            except Cut as e:
                self.note_cut(path, str(e))
            except OSError as e:
                self.note_loss(path, type(e).__name__, began)
            if self.writer and self.rng.random() < 1 / self.run.opts.per_connection:
                self.hang_up()
        self.hang_up()

    def pause(self) -> float:
        if self.rng.random() < 0.01:
            return self.rng.uniform(1, 10)  # an idle connection
        return self.rng.expovariate(1 / self.run.opts.think)

    def choose(self) -> str:
        if self.run.hangs_due:
            return self.run.hangs_due.pop()
        dice = self.rng.random()
        if dice < 0.05:
            return "/echo"
        if dice < 0.08:
            return "/stream"
        if dice < 0.09:
            return f"/sleep/{self.rng.uniform(0.01, 0.3):.2f}"
        return "/"

    def hang_up(self) -> None:
        if self.writer:
            self.writer.transport.abort() if self.reader.at_eof() else self.writer.close()
        self.reader = self.writer = None

    async def ask(self, path: str) -> None:
        if not self.writer:
            try:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.run.opts.port)
            except OSError as e:
                raise Lost(f"connect: {type(e).__name__}") from e
            self.used, self.pid = 0, "?"
            self.run.counts["connections"] += 1
        self.asked += 1
        token = f"{self.number}-{self.asked}"
        head = f"{'POST' if path == '/echo' else 'GET'} {path} HTTP/1.1\r\nHost: soak\r\nX-Request: {token}\r\n"
        began = time.monotonic()
        if path == "/echo":
            self.writer.write(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode())
            if self.rng.random() < 0.2:  # the body comes later, in two parts
                await asyncio.sleep(self.rng.uniform(0, 0.05))
                self.writer.write(BODY[:5000])
                await asyncio.sleep(self.rng.uniform(0, 0.05))
                self.writer.write(BODY[5000:])
            else:
                self.writer.write(BODY)
        else:
            self.writer.write(f"{head}\r\n".encode())
        status, headers, body = await self.answer()
        self.judge(path, token, status, headers, body)
        now = time.monotonic()
        self.run.longest_silence = max(self.run.longest_silence, now - self.run.last_answer)
        self.run.last_answer = now
        self.run.slowest = max(self.run.slowest, now - began)
        self.used += 1
        if headers.get("connection", "").lower() == "close":
            self.hang_up()

    async def answer(self) -> tuple[int, dict, bytes]:
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as e:
            raise Lost("EOF in the head" if e.partial else "EOF without an answer") from e
        except ConnectionError as e:
            raise Lost(f"{type(e).__name__} without an answer") from e
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        self.pid = headers.get("x-pid", self.pid)
        try:
            if headers.get("transfer-encoding") == "chunked":
                body = b""
                while length := int(await self.reader.readline(), 16):
                    body += (await self.reader.readexactly(length + 2))[:-2]
                await self.reader.readexactly(2)
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = await self.reader.read()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as e:
            raise Cut(f"cut in the body: {type(e).__name__}") from e
        return int(first.split()[1]), headers, body

    def judge(self, path: str, token: str, status: int, headers: dict, body: bytes) -> None:
        run = self.run
        run.statuses[status] += 1
        if "x-pid" in headers:
            run.serving[int(self.pid)] = time.monotonic()
        if status >= 500:  # noqa: PLR2004
            if reference := headers.get("x-reference-id"):
                run.references[reference] = run.references.get(reference, 0) + 1
                run.counts["answers 5xx with a reference"] += 1
            else:
                run.counts["answers 5xx without a reference"] += 1
                self.sample(path, f"status {status} without a reference: {body[-80:]!r}")
            return
        wanted = {"/": b"Hello, World!", "/echo": b"%d" % len(BODY), "/stream": STREAM}.get(path)
        if status != 200 or headers.get("x-request") != token or (wanted is not None and body != wanted):  # noqa: PLR2004
            run.counts["answers wrong"] += 1
            self.sample(path, f"wrong: {status}, for {headers.get('x-request')} instead of {token}, {body[:60]!r}")
            return
        run.counts["answers 200, right"] += 1

    def note_cut(self, path: str, how: str) -> None:
        """No server can repair an answer of which a part was sent; but only a kill may cut one."""
        killed = self.pid in {str(pid) for _, pid in self.run.kills}
        self.run.counts["answers cut, their worker was killed" if killed else "answers cut, their worker lived"] += 1
        if not killed:
            self.sample(path, how)
        self.writer.transport.abort()
        self.reader = self.writer = None

    def note_loss(self, path: str, how: str, began: float) -> None:
        self.run.lost[how, "reused connection" if self.used else "new connection"] += 1
        self.sample(path, f"{how} after {time.monotonic() - began:.3f} s")
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None

    def sample(self, path: str, what: str) -> None:
        if len(self.run.samples) < SAMPLES:
            now = time.monotonic()
            kills = ", ".join(f"{pid} {now - when:.3f} s ago" for when, pid in list(self.run.kills)[-3:])
            self.run.samples.append(
                f"{time.strftime('%H:%M:%S')} {path}: {what}; answers before on this connection: {self.used}, "
                f"the last by {self.pid}; kills: {kills or 'none'}"
            )


async def kill_workers(run: Run) -> None:
    rng = random.Random(f"{run.opts.seed}-kill")
    while run.opts.kill_every:
        await asyncio.sleep(rng.expovariate(1 / run.opts.kill_every))
        alive = descendants(run.server)
        run.serving = {pid: when for pid, when in run.serving.items() if alive.get(pid, "Z") != "Z"}
        workers = sorted(run.serving)
        for pid in rng.sample(workers, min(len(workers), 2 if rng.random() < run.opts.pairs else 1)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                run.kills.append((time.monotonic(), pid))
                run.counts["workers killed"] += 1
            await asyncio.sleep(rng.uniform(0, 0.03))  # the second of a pair holds what the first left it


async def hang_requests(run: Run) -> None:
    rng = random.Random(f"{run.opts.seed}-hang")
    while run.opts.hang_every:
        await asyncio.sleep(rng.expovariate(1 / run.opts.hang_every))
        run.hangs_due.append(rng.choice(["/sleep/60.0", "/compute/60.0"]))


async def watch_shares(run: Run, clients: list[Client]) -> None:
    while True:
        await asyncio.sleep(1)
        owners = Counter(c.pid for c in clients if c.writer and c.used)
        if owners:
            run.shares.append(max(owners.values()) / owners.total())


async def load(run: Run) -> None:
    run.last_answer = time.monotonic()
    run.end = run.last_answer + run.opts.minutes * 60
    clients = [Client(run, n) for n in range(run.opts.clients)]
    tasks = [asyncio.create_task(job) for job in (kill_workers(run), hang_requests(run), watch_shares(run, clients))]
    await asyncio.gather(*(client.live() for client in clients))
    for task in tasks:
        task.cancel()


# ---- the summary ---------------------------------------------------------------------------------------------------


def incidents(report: Path) -> list[dict]:
    return [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []


def summary(run: Run, before: tuple, after: tuple, found: list[dict], ending: str) -> str:
    lost = sum(run.lost.values())
    lines = [f"requests            {sum(run.sent.values())}: " + ", ".join(f"{k} {v}" for k, v in run.sent.most_common())]
    lines += [f"answers             {sum(run.statuses.values())}: " + ", ".join(f"{k}: {v}" for k, v in sorted(run.statuses.items()))]
    lines += [f"  {name:<40}{number}" for name, number in sorted(run.counts.items())]
    lines += [f"LOST WITHOUT ANSWER {lost}"]
    lines += [f"  {how} ({where}): {number}" for (how, where), number in run.lost.most_common()]
    known = {incident.get("ref") for incident in found}
    unknown = [r for r in run.references if r not in known]
    lines += [f"references          {len(run.references)} different, {len(unknown)} not in the report {' '.join(unknown[:5])}"]
    classes = Counter(incident["class"] for incident in found)
    lines += [f"incidents           {len(found)}: " + ", ".join(f"{k} {v}" for k, v in classes.most_common())]
    lines += [f"slowest answer      {run.slowest:.2f} s; longest time without any answer {run.longest_silence:.2f} s"]
    if run.shares:
        mean = sum(run.shares) / len(run.shares)
        lines += [f"busiest worker      had {mean:.0%} of the connections (mean), {max(run.shares):.0%} at most"]
    lines += [f"main process        RSS {before[0]} -> {after[0]} KiB, descriptors {before[1]} -> {after[1]}"]
    lines += [f"end                 {ending}"]
    return "\n".join(lines + [f"  {sample}" for sample in run.samples])


def start(opts: argparse.Namespace, report: Path, log: Path) -> subprocess.Popen:
    command = shlex.split((opts.command or START).format(**vars(opts), report=report))
    print("soak: " + shlex.join(command), flush=True)
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=HERE, start_new_session=True)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", opts.port), 1) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")
            if s.recv(12) == b"HTTP/1.1 200":
                return server
        time.sleep(0.05)
    server.kill()
    sys.exit(f"soak: the server did not start: {log.read_text()[-500:]}")


def stop(server: subprocess.Popen) -> str:
    if server.poll() is not None:
        return f"the server had ended before, status {server.returncode}"
    family = descendants(server.pid)
    zombies = sum(state == "Z" for state in family.values())
    began = time.monotonic()
    server.terminate()
    try:
        status = server.wait(40)
    except subprocess.TimeoutExpired:
        server.kill()
        return "the server did not end within 40 s of SIGTERM"
    time.sleep(0.2)
    left = [pid for pid, (_, state) in parents().items() if pid in family and state != "Z"]
    for pid in left:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return (
        f"{len(family)} processes below the main one, {zombies} of them zombies; SIGTERM: status {status} "
        f"in {time.monotonic() - began:.1f} s, {len(left)} processes left behind"
    )


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--tricorn", default=os.environ.get("TRICORN") or Path(sys.executable).parent / "tricorn")
    parser.add_argument("--command", help="another start command, with {port}, {workers}, {report} and the like")
    parser.add_argument("-k", "--worker-class", default="sync")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-w", "--workers", type=int, default=4)
    parser.add_argument("--timeout", type=int, default=2)
    parser.add_argument("--port", type=int, default=21900)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--think", type=float, default=0.1, help="mean seconds between a client's requests")
    parser.add_argument("--per-connection", type=float, default=200, help="mean requests on one connection")
    parser.add_argument("--pairs", type=float, default=0.1, help="share of kills that take a second worker 0 to 30 ms later")
    parser.add_argument("--kill-every", type=float, default=2, help="mean seconds between SIGKILLs, 0 never")
    parser.add_argument("--hang-every", type=float, default=10, help="mean seconds between requests that hang, 0 never")
    parser.add_argument("--patience", type=float, default=30, help="seconds a client waits for its answer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the server's log and report")
    return parser.parse_args()


def main() -> int:
    opts = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="soak-") as tmp:
        folder = opts.keep or Path(tmp)
        folder.mkdir(parents=True, exist_ok=True)
        report = folder / "report.jsonl"
        report.unlink(missing_ok=True)
        server = start(opts, report, folder / "server.log")
        run = Run(opts, server.pid)
        before = after = size(server.pid)
        try:
            asyncio.run(load(run))
            after = size(server.pid)
        finally:
            ending = stop(server)
        print(summary(run, before, after, incidents(report), ending))
    bad = ("answers wrong", "answers 5xx without a reference", "answers cut, their worker lived")
    return 1 if run.lost or any(run.counts[name] for name in bad) or not run.statuses else 0


if __name__ == "__main__":
    sys.exit(main())
