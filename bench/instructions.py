#!/usr/bin/env python3
"""Instructions per request, counted by valgrind's callgrind: a figure that no neighbour on the machine can move.

    instructions.py --peers-root build/peers                    # tricorn, the floor and the leanest peers
    instructions.py --servers tricorn --cases hello --keep /tmp/profile    # then callgrind_annotate /tmp/profile/many/*

Each server is started twice under callgrind and asked a few requests and many over one connection; the difference
of the two counts, divided by the difference of the requests, is what one request costs its worker in user space.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
APPS = HERE / "peers" / "apps"
PORT = 23911
GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:23911\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1:23911\r\nContent-Length: 10240\r\n\r\n" + b"x" * 10240
CASES = {"hello": ("raw_wsgi:app", GET), "post10k": ("raw_wsgi:app", POST), "flask": ("flask_wsgi:app", GET)}
# valgrind knows no clone(CLONE_FILES) without CLONE_VM: the worker is told that it has no keeper, which costs nothing
# between requests.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
long syscall(long number, long a, long b, long c, long d, long e, long f) {
  static long (*real)(long, long, long, long, long, long, long);
  if (number == SYS_clone && (a & CLONE_FILES)) { errno = ENOSYS; return -1; }
  if (!real) real = (long (*)(long, long, long, long, long, long, long))dlsym(RTLD_NEXT, "syscall");
  return real(number, a, b, c, d, e, f);
}
"""


def valgrind(out):
    return ["valgrind", "-q", "--tool=callgrind", "--trace-children=no", f"--callgrind-out-file={out}/%p"]


class Tricorn:
    """The worker under callgrind; arbiter and spawner start as usual."""

    end = signal.SIGTERM

    def __init__(self, opts, folder):
        self.opts, self.folder = opts, folder
        self.shim = folder / "shim.so"
        (folder / "shim.c").write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.shim, folder / "shim.c", "-ldl"], check=True)

    def command(self, app, out):
        python = self.folder / "python"
        interpreter = Path(self.opts.tricorn).resolve().parent / "python"
        words = " ".join([*valgrind(out), str(interpreter)])
        python.write_text(f'#!/bin/sh\nexport LD_PRELOAD={self.shim}\nexec {words} "$@"\n')
        python.chmod(0o755)
        code = "import tricorn, pathlib; print(pathlib.Path(tricorn.__file__).parent / 'bin')"
        binaries = os.environ.get("TRICORN_BIN") or subprocess.check_output([interpreter, "-c", code], text=True).strip()
        arguments = ["--keep-alive", "600", "--timeout", "0", "--log-level", "info"]
        return [f"{binaries}/tricorn-arbiter", app, "-b", f"127.0.0.1:{PORT}", *arguments], {"TRICORN_PYTHON": str(python)}

    def worker(self, log):
        return re.findall(r"Booting worker with pid: (\d+)", log)[-1]


class Floor:
    """The least that any WSGI server in CPython must do."""

    end = signal.SIGINT

    def __init__(self, opts, folder):
        self.root = Path(opts.peers_root).resolve()

    def command(self, app, out):
        site = next((self.root / "main" / "lib").glob("python3*/site-packages"))
        return [*valgrind(out), str(self.root / "floor" / "wsgi_floor"), str(PORT), app, "1"], {"PYTHONPATH": f"{APPS}:{site}"}

    def worker(self, log):
        return None


class Bjoern(Floor):
    """A lean peer."""

    name = "bjoern"

    def command(self, app, out):
        launch = [str(self.root / "main" / "bin" / "python"), str(APPS / "launch.py")]
        return [*valgrind(out), *launch, self.name, app, str(PORT), "1", "1"], {}


class Freastal(Bjoern):
    """Another one."""

    name = "freastal"
    end = signal.SIGTERM  # it does not end by SIGINT


SERVERS = {"tricorn": Tricorn, "floor: wsgi": Floor, "bjoern": Bjoern, "freastal": Freastal}


def connect(process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", PORT), 120)
        time.sleep(0.1)
    raise AssertionError("the server does not listen")


def receive(client):
    data = client.recv(65536)
    assert data, "the server closed the connection"
    return data


def ask(client, request, count):
    for _ in range(count):
        client.sendall(request)
        answer = receive(client)
        while b"\r\n\r\n" not in answer:
            answer += receive(client)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(body) < length:
            body += receive(client)


def count(server, app, request, requests, keep):
    """Instructions of the worker's whole life with so many requests."""
    with tempfile.TemporaryDirectory() as out:
        command, env = server.command(app, keep or out)
        with open(f"{out}/log", "w+") as log:
            process = subprocess.Popen(
                command, cwd=APPS, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "BENCH_FILE": __file__, **env})
            with connect(process) as client:
                ask(client, request, requests)
            process.send_signal(server.end)
            process.wait(120)
            log.seek(0)
            pid = server.worker(log.read()) or str(process.pid)
        text = (Path(keep or out) / pid).read_text(errors="replace")
        return int(re.search(r"^(?:totals|summary): (\d+)", text, re.M)[1])


def keep_in(opts, name):
    if opts.keep is None:
        return None
    folder = Path(opts.keep) / name
    shutil.rmtree(folder, ignore_errors=True)  # where.py takes the largest file: none of an earlier run
    folder.mkdir(parents=True)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tricorn", default=str(HERE.parent / ".venv" / "bin" / "tricorn"))
    parser.add_argument("--peers-root", default=str(HERE.parent / "build" / "peers"))
    parser.add_argument("--servers", nargs="*", default=list(SERVERS), choices=list(SERVERS))
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--few", type=int, default=300)
    parser.add_argument("--many", type=int, default=1300)
    parser.add_argument("--keep", help="folder for callgrind's files")
    opts = parser.parse_args()
    print("| server | " + " | ".join(opts.cases) + " |\n|---|" + "--:|" * len(opts.cases), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in opts.servers:
            server = SERVERS[name](opts, Path(folder))
            cells = []
            for case in opts.cases:
                app, request = CASES[case]
                few = count(server, app, request, opts.few, keep_in(opts, "few"))
                many = count(server, app, request, opts.many, keep_in(opts, "many"))
                cells.append(f"{(many - few) / (opts.many - opts.few):,.0f}")
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
