"""What a trouble needs around it: peers that are silent, control groups, namespaces, disks. Each is a context manager that gives
what to start the server with (`Around`); what the machine cannot provide raises Missing, which is shown and counted.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from blackbox.support.cgroup import memory_group, remove
from blackbox.support.peers import full_backlog, silent_peer

MIB = 1 << 20
CGROUPS = Path("/sys/fs/cgroup")
CLONE_NEWNET = 0x40000000


class Missing(Exception):
    """This machine, or this user, cannot provide what the trouble needs."""


@dataclass
class Around:
    """How to start the server, and what must be named."""

    env: dict = field(default_factory=dict)
    prefix: list = field(default_factory=list)  # a command in front of the server's own
    cgroup: Path = None  # the whole server is in it
    stdout: int = None  # instead of a file
    peer: str = None  # what the report must call the peer; None: whatever the trouble says
    netns: str = None  # where the server listens
    start: object = None  # called with the site and its worker's pid when the worker has answered


def need_root():
    if os.geteuid() != 0:
        raise Missing("needs root")


def in_group(*groups):
    """Give the command that starts another one in these control groups; exec keeps the pid."""
    joins = "; ".join(f"echo $$ > {group}/cgroup.procs" for group in groups)
    return ["sh", "-c", joins + '; exec "$@"', "sh"]


@contextlib.contextmanager
def plain():
    yield Around()


# ---- peers


@contextlib.contextmanager
def silent():
    with silent_peer() as address:
        yield Around({"SILENT": address}, peer=address)


@contextlib.contextmanager
def silent_mysql():
    with silent_peer() as address:
        yield Around({"SILENT": address}, peer=f"{address} (MySQL)")


@contextlib.contextmanager
def silent_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{peer.getsockname()[1]}"
        yield Around({"SILENT_UDP": address}, peer=address)


@contextlib.contextmanager
def silent6():
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as why:
        raise Missing(f"no IPv6: {why}") from None
    with listener:
        address = f"[::1]:{listener.getsockname()[1]}"
        yield Around({"SILENT6": address}, peer=address)


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="tricorn-hangs-") as path:
        os.chmod(path, 0o777)
        yield Path(path)


@contextlib.contextmanager
def silent_unix():
    with folder() as place, socket.socket(socket.AF_UNIX) as listener:
        path = str(place / "upstream.sock")
        listener.bind(path)
        listener.listen()
        yield Around({"SILENT_UNIX": path}, peer=path)


@contextlib.contextmanager
def backlog():
    with full_backlog() as address:
        yield Around({"BACKLOG": address}, peer=address)


@contextlib.contextmanager
def slowish():
    """Answer each question after 50 ms."""

    def answer(listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with contextlib.suppress(OSError), client:
                    client.recv(10)
                    time.sleep(0.05)
                    client.sendall(b"answer")

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        for _ in range(4):
            threading.Thread(target=answer, args=(listener,), daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        yield Around({"SLOWISH": address}, peer=address)
        listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def postgresql(services):
    server = services.postgresql()
    yield Around({"PG_DSN": server.dsn, "PG_PEER": server.peer}, peer=f"{server.peer} (PostgreSQL)")


@contextlib.contextmanager
def redis(services):
    server = services.redis()
    yield Around({"REDIS_PORT": server.port}, peer=f"{server.peer} (Redis)")


# ---- network namespaces


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


def enter_netns(name):
    """Move the calling thread into the namespace; give the descriptor that leads back."""
    libc = ctypes.CDLL(None, use_errno=True)
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(there, CLONE_NEWNET) != 0:
            raise Missing("setns is not allowed")
    finally:
        os.close(there)
    return back


@contextlib.contextmanager
def inside(name):
    """Sockets made in here belong to the namespace."""
    if name is None:
        yield
        return
    back = enter_netns(name)
    try:
        yield
    finally:
        ctypes.CDLL(None).setns(back, CLONE_NEWNET)
        os.close(back)


COUNT = iter(range(10_000))


@contextlib.contextmanager
def netns():
    need_root()
    if not shutil.which("ip") or not shutil.which("nsenter"):
        raise Missing("needs ip and nsenter (Debian packages iproute2, util-linux)")
    name = f"tricorn-{os.getpid()}-{next(COUNT)}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield name, ["nsenter", f"--net=/run/netns/{name}", "--"]
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


@contextlib.contextmanager
def blackhole():
    """An address whose packets go nowhere: they leave by one end of a pair, and nobody listens at the other one."""
    with netns() as (name, prefix):
        run("ip", "-n", name, "link", "add", "hole", "type", "veth", "peer", "name", "end")
        run("ip", "-n", name, "address", "add", "10.9.0.1/24", "dev", "hole")
        run("ip", "-n", name, "link", "set", "hole", "up")
        run("ip", "-n", name, "link", "set", "end", "up")
        run("ip", "-n", name, "neighbour", "add", "10.9.0.2", "lladdr", "02:00:00:00:00:02", "dev", "hole")
        yield Around({"BLACKHOLE": "10.9.0.2:443"}, prefix=prefix, netns=name, peer="10.9.0.2:443")


@contextlib.contextmanager
def few_ports():
    with netns() as (name, prefix):
        with inside(name):
            Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40020")
            listener = socket.create_server(("127.0.0.1", 9100), backlog=64)
        with listener:
            yield Around({"SILENT": "127.0.0.1:9100"}, prefix=prefix, netns=name)


@contextlib.contextmanager
def mute_name_server():
    with netns() as (name, prefix), folder() as place, socket.socket() as _:
        with inside(name):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind(("127.0.0.1", 53))
        with server:
            conf = place / "resolv.conf"
            conf.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:3\n")
            switch = place / "nsswitch.conf"
            switch.write_text("hosts: files dns\n")
            mount = f"mount --bind {conf} /etc/resolv.conf && mount --bind {switch} /etc/nsswitch.conf && exec \"$@\""
            run("unshare", "-m", "sh", "-c", mount, "sh", "true")
            yield Around(prefix=[*prefix, "unshare", "-m", "sh", "-c", mount, "sh"], netns=name, peer="127.0.0.1:53")


# ---- files


@contextlib.contextmanager
def locked_file(lock, held_s=None):
    """A file that another process holds the lock on, for ever or until the request has run so long."""
    script = f"import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.{lock}(f, fcntl.LOCK_EX); print('ok', flush=True); sys.stdin.read()"
    with folder() as place:
        path = place / "job.lock"
        holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holder.stdout.readline()
        os.chmod(path, 0o666)
        try:
            release = held_s and (lambda site, pid: site.later(held_s, holder.kill))
            yield Around({"LOCK_FILE": str(path)}, peer=str(path), start=release)
        finally:
            holder.kill()
            holder.communicate()


@contextlib.contextmanager
def flocked():
    with locked_file("flock") as around:
        yield around


@contextlib.contextmanager
def flocked_then_silent():
    with locked_file("flock", held_s=1.85) as around, silent_peer() as address:
        around.env["SILENT"] = address
        yield around


@contextlib.contextmanager
def lockfed():
    with locked_file("lockf") as around:
        yield around


@contextlib.contextmanager
def locked_database():
    with folder() as place:
        path = place / "shop.db"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("CREATE TABLE orders (id int)")
            os.chmod(path, 0o666)
            holder.execute("BEGIN EXCLUSIVE")
            yield Around({"DATABASE": str(path)}, peer=str(path))


@contextlib.contextmanager
def fifo():
    with folder() as place:
        path = place / "orders.fifo"
        os.mkfifo(path)
        yield Around({"FIFO": str(path)}, peer=str(path))


@contextlib.contextmanager
def unread_stdout():
    """Nobody reads the server's stdout, as when a log collector has stopped."""
    end, start = os.pipe()
    try:
        yield Around(stdout=start)
    finally:
        os.close(end)
        os.close(start)


@contextlib.contextmanager
def frozen_disk():
    need_root()
    with folder() as place:
        image, mount = place / "image", place / "disk"
        mount.mkdir()
        with open(image, "wb") as file:
            file.truncate(32 * MIB)
        run("mkfs.ext4", "-q", str(image))
        run("mount", "-o", "loop", str(image), str(mount))
        try:
            os.chmod(mount, 0o777)
            run("fsfreeze", "--freeze", str(mount))
            try:
                yield Around({"FROZEN": str(mount / "orders.dat")}, peer=str(mount))
            finally:
                run("fsfreeze", "--unfreeze", str(mount))
        finally:
            for _ in range(50):
                if subprocess.run(["umount", str(mount)], capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.1)


# ---- control groups


@contextlib.contextmanager
def group(controller):
    """Make a control group of v1's `controller`, or of v2 with it."""
    need_root()
    parent = CGROUPS / controller if (CGROUPS / controller / "cgroup.procs").exists() else CGROUPS
    if not (parent / "cgroup.procs").exists():
        raise Missing("no control groups here")
    if parent == CGROUPS:
        with contextlib.suppress(OSError):
            (CGROUPS / "cgroup.subtree_control").write_text(f"+{controller}")
    made = parent / f"tricorn-hangs-{os.getpid()}-{next(COUNT)}"
    try:
        made.mkdir()
    except OSError as why:
        raise Missing(f"no control group can be made: {why}") from None
    try:
        yield made, parent == CGROUPS
    finally:
        remove(made)


def quota(made, unified, share):
    period = 100_000
    if unified:
        (made / "cpu.max").write_text(f"{int(share * period)} {period}")
    else:
        (made / "cpu.cfs_period_us").write_text(str(period))
        (made / "cpu.cfs_quota_us").write_text(str(int(share * period)))


@contextlib.contextmanager
def throttled_worker():
    with group("cpu") as (made, unified):
        quota(made, unified, 0.05)
        yield Around(start=lambda site, pid: (made / "cgroup.procs").write_text(str(pid)))


@contextlib.contextmanager
def throttled_server():
    """The quota comes when the worker has booted: with it, booting alone would take half a minute."""
    with group("cpu") as (made, unified):
        yield Around(prefix=in_group(made), start=lambda site, pid: quota(made, unified, 0.15))


def set_priority(pid, nice):
    """Set a server's weight: sessions are scheduled as groups where autogroups are on, else processes. Source: sched(7)"""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)


@contextlib.contextmanager
def starved():
    """Six others that are more important want the worker's only CPU."""
    need_root()
    cpu = sorted(os.sched_getaffinity(0))[-1]
    burners = []

    def start(site, pid):
        set_priority(site.pid, 19)
        for tid in map(int, os.listdir(f"/proc/{pid}/task")):
            os.sched_setaffinity(tid, {cpu})
            os.setpriority(os.PRIO_PROCESS, tid, 19)
        for _ in range(6):
            burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            burners.append(burner)
            os.sched_setaffinity(burner.pid, {cpu})
            os.setpriority(os.PRIO_PROCESS, burner.pid, -10)

    try:
        yield Around(start=start)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextlib.contextmanager
def small_memory():
    need_root()
    try:
        with memory_group(128 * MIB) as made:
            yield Around(cgroup=made)
    except BaseException as why:
        if type(why).__name__ == "Skipped":
            raise Missing(str(why)) from None
        raise


@contextlib.contextmanager
def thrashing():
    """A file three times as big as what the server may keep of it in memory."""
    big = Path("/var/tmp") / f"tricorn-hangs-{os.getpid()}-{next(COUNT)}"
    with small_memory() as around:
        with open(big, "wb") as file:
            for _ in range(384):
                file.write(os.urandom(MIB))
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            around.env["BIG_FILE"] = str(big)
            # Somebody in the group has read it before: its memory is full.
            fill = in_group(around.cgroup)
            around.start = lambda site, pid: subprocess.run([*fill, "cat", str(big)], stdout=subprocess.DEVNULL, check=True)
            yield around
        finally:
            big.unlink()


@contextlib.contextmanager
def few_processes():
    with group("pids") as (made, _):
        (made / "pids.max").write_text("40")
        yield Around(prefix=in_group(made))


@contextlib.contextmanager
def freezer():
    with group("freezer") as (made, unified):
        if unified:
            freeze, thaw = (made / "cgroup.freeze", "1"), (made / "cgroup.freeze", "0")
        else:
            freeze, thaw = (made / "freezer.state", "FROZEN"), (made / "freezer.state", "THAWED")

        def start(site, pid):
            (made / "cgroup.procs").write_text(str(pid))
            site.later(0.7, lambda: freeze[0].write_text(freeze[1]))

        try:
            yield Around(start=start)
        finally:
            thaw[0].write_text(thaw[1])


@contextlib.contextmanager
def unified_freezer():
    """Version 2's freezer, also where version 1's controllers are mounted (hybrid)."""
    need_root()
    root = next((path for path in (CGROUPS / "unified", CGROUPS) if (path / "cgroup.controllers").exists()), None)
    if root is None:
        raise Missing("no cgroup v2 here")
    made = root / f"tricorn-hangs-{os.getpid()}-{next(COUNT)}"
    made.mkdir()

    def start(site, pid):
        (made / "cgroup.procs").write_text(str(pid))
        site.later(0.7, lambda: (made / "cgroup.freeze").write_text("1"))

    try:
        yield Around(start=start)
    finally:
        (made / "cgroup.freeze").write_text("0")
        remove(made)


# ---- signals


def signalled(number):
    """Send the worker a signal from outside, 0.7 s into the request."""

    @contextlib.contextmanager
    def around():
        yield Around(start=lambda site, pid: site.later(0.7, lambda: os.kill(pid, number)))

    return around


@contextlib.contextmanager
def traced():
    """A debugger stops all threads of the worker and keeps them."""
    script = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
for tid in map(int, os.listdir(f"/proc/{sys.argv[1]}/task")):
    if libc.ptrace(16, tid, None, None) != 0: sys.exit(1)
print("ok", flush=True)
sys.stdin.read()
"""
    tracers = []

    def attach(pid):
        tracers.append(subprocess.Popen([sys.executable, "-c", script, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE))

    try:
        yield Around(start=lambda site, pid: site.later(0.7, lambda: attach(pid)))
    finally:
        for tracer in tracers:
            tracer.kill()
            tracer.communicate()


@contextlib.contextmanager
def descriptor_limit():
    yield Around(prefix=["sh", "-c", 'ulimit -S -n 256; ulimit -H -n 256; exec "$@"', "sh"])


