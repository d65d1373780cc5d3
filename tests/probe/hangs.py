"""Real hangs for the reader: writes its layout into the page it is given, then hangs as told.

Started by look_probe: hangs.py CASE PAGE_FD LAYOUT_AT STATE_AT SLOT_TID_AT SLOT_TSTATE_AT
"""
import asyncio
import concurrent.futures
import gc
import hashlib
import itertools
import mmap
import os
import queue
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import layout_module


def sleep():
    time.sleep(60)  # LINE sleep


def python_loop():
    n = 0
    while True:
        n += 1  # LINE python_loop


def empty_loop():
    while True: pass  # noqa: E701  # LINE empty_loop


def native_gil():
    sum(itertools.repeat(1))  # LINE native_gil


def native_regex():
    re.match(r"(a+)+$", "a" * 64 + "b")  # LINE native_regex


def native_nogil():
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2_000_000_000)  # LINE native_nogil


def recv():
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    client.recv(1)  # LINE recv


def recv_ipv6():
    server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    client = socket.create_connection(server.getsockname()[:2])
    client.recv(1)  # LINE recv_ipv6


def recv_timeout():
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    client.settimeout(60)
    client.recv(1)  # LINE recv_timeout


def recv_unix():
    path = f"/tmp/probe-{os.getpid()}.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    accepted = server.accept()  # noqa: F841  (kept open)
    os.unlink(path)
    client.recv(1)  # LINE recv_unix


def connect():
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    keep = []
    while True:
        client = socket.socket()
        keep.append(client)
        client.settimeout(0.05 if len(keep) < 4 else None)
        try:
            client.connect(server.getsockname())  # LINE connect
        except OSError:
            pass


def lock():
    held = threading.Lock()
    threading.Thread(target=lambda: (held.acquire(), time.sleep(60)), daemon=True).start()
    time.sleep(0.05)
    held.acquire()  # LINE lock


def deadlock():
    held = threading.Lock()
    held.acquire()
    held.acquire()  # LINE deadlock


async def awaited():
    await asyncio.sleep(60)  # LINE awaited


def run_sleep():
    async def outer():
        async with asyncio.Lock():
            await awaited()

    asyncio.run(outer())


def run_limited():
    asyncio.run(asyncio.wait_for(awaited(), 60))


def run_steps():
    async def steps():
        await awaited()
        yield

    async def each():
        return [step async for step in steps()]

    asyncio.run(each())


async def read_silence():
    server = socket.create_server(("127.0.0.1", 0))
    reader, _ = await asyncio.open_connection(*server.getsockname())
    await reader.read(1)  # LINE run_read


def run_read():
    asyncio.run(read_silence())


async def sleep_beside_a_socket():
    server = socket.create_server(("127.0.0.1", 0))
    _kept = await asyncio.open_connection(*server.getsockname())
    await asyncio.sleep(60)  # LINE run_idle


def run_idle():
    asyncio.run(sleep_beside_a_socket())


def run_lock():
    async def twice():
        held = asyncio.Lock()
        await held.acquire()
        await held.acquire()  # LINE run_lock

    asyncio.run(twice())


def run_queue():
    async def get():
        await asyncio.Queue().get()  # LINE run_queue

    asyncio.run(get())


def run_thread():
    async def other():
        threading.Thread(target=noise, daemon=True).start()
        await asyncio.get_running_loop().run_in_executor(None, sleep)  # LINE run_thread_itself

    asyncio.run(other())


def run_thread_of_two():
    async def other():
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
        await asyncio.get_running_loop().run_in_executor(None, sleep)  # LINE run_thread_of_two_itself

    asyncio.run(other())


def run_gather():
    async def both():
        await asyncio.gather(awaited(), awaited())

    asyncio.run(both())


def run_gather_threads():
    async def both():
        await asyncio.gather(asyncio.to_thread(sleep), asyncio.to_thread(sleep))  # LINE run_gather_threads_itself

    asyncio.run(both())


def run_wait():
    async def both():
        await asyncio.wait([asyncio.ensure_future(awaited()), asyncio.ensure_future(awaited())])

    asyncio.run(both())


def run_as_completed():
    async def both():
        for one in asyncio.as_completed([awaited(), awaited()]):
            await one

    asyncio.run(both())


def pooled():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, awaited()).result()  # LINE pooled_itself


def threadsafe():
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(read_silence(), loop)
    asyncio.run_coroutine_threadsafe(awaited(), loop).result()  # LINE threadsafe_itself


def noise():
    while True:
        time.sleep(0.1)


def circle():
    left, right, taken = threading.RLock(), threading.RLock(), threading.Event()

    def other():
        with right:
            taken.set()
            with left:
                pass

    threading.Thread(target=noise, daemon=True).start()
    with left:
        threading.Thread(target=other, daemon=True).start()
        taken.wait()
        with right:  # LINE circle
            pass


def joined():
    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()
    thread.join()  # LINE joined_itself


def simple_queue():
    queue.SimpleQueue().get()  # LINE simple_queue


def wait_queue():
    queue.Queue().get()  # LINE wait_queue


def wait_gil():
    threading.Thread(target=native_gil, daemon=True).start()
    while True:
        time.sleep(0)  # LINE wait_gil


def child():
    subprocess.run(["sleep", "60"], check=True)  # LINE child


def child_output():
    subprocess.run(["sleep", "60"], check=True, capture_output=True)  # LINE child_output


def pipe_write():
    _, end = os.pipe()
    while True:
        os.write(end, b"x" * 65536)  # LINE pipe_write


def file_lock():
    import fcntl

    path = f"/tmp/probe-{os.getpid()}.lock"
    first, second = open(path, "w"), open(path, "w")
    os.unlink(path)
    fcntl.flock(first, fcntl.LOCK_EX)
    fcntl.flock(second, fcntl.LOCK_EX)  # LINE file_lock


def collector():
    gc.disable()
    head = [[] for _ in range(1_000_000)]  # noqa: F841  (what the collector walks)
    while True:
        gc.collect()  # LINE collector


def stopped():
    os.kill(os.getpid(), 19)  # LINE stopped


def names():
    unicode_näme = lambda: time.sleep(60)  # LINE names
    unicode_näme()


def die_exit():
    time.sleep(1.5)
    os._exit(7)  # LINE die_exit


def die_kill():
    time.sleep(1.5)
    os.kill(os.getpid(), 9)


def die_oom():
    group = "/sys/fs/cgroup/memory/probe-oom"  # v1; needs root
    os.makedirs(group, exist_ok=True)
    with open(group + "/memory.limit_in_bytes", "w") as limit:
        limit.write(str(64 << 20))
    with open(group + "/cgroup.procs", "w") as procs:
        procs.write(str(os.getpid()))
    time.sleep(1.2)
    hoard = []
    while True:
        hoard.append(b"x" * (1 << 20))
        time.sleep(0.01)


def enter(case, fd, layout_at, state_at, tid_at, tstate_at):
    page = mmap.mmap(int(fd), 0)
    layout = layout_module.fill()
    if layout is None:
        sys.exit("this interpreter cannot be read")
    at = int(layout_at)
    page[at:at + len(layout)] = layout
    struct.pack_into("<i", page, int(tid_at), threading.get_native_id())
    struct.pack_into("<Q", page, int(tstate_at), layout_module.tstate())
    struct.pack_into("<I", page, int(state_at), 1)
    globals()[case]()


if __name__ == "__main__":
    enter(*sys.argv[1:])
