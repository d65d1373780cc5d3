"""A WSGI application with one kind of trouble a path. The line that a report must name ends in `# <- path`.

Whom to wait for comes by the environment: SILENT, SILENT6, BACKLOG, BLACKHOLE (host:port), SILENT_UNIX, LOCK_FILE, FIFO, FROZEN,
BIG_FILE (paths), PG_DSN, REDIS_PORT.
"""

import asyncio
import concurrent.futures
import contextlib
import ctypes
import errno
import fcntl
import functools
import gc
import hashlib
import itertools
import json
import mmap
import multiprocessing
import multiprocessing.pool
import os
import queue
import re
import resource
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib

AGES = 60
own_port = None


def address_of(name):
    host, port = os.environ[name].rsplit(":", 1)
    return host.strip("[]"), int(port)


# ---- computing


def python_loop():
    n = 0
    while True: n += n % 7; n ^= 1; n %= 1_000_003  # <- python_loop


def empty_loop():
    while True: pass  # <- empty_loop


def python_recursion():
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)  # <- python_recursion

    fibonacci(60)


def python_under_library():
    functools.reduce(lambda total, n: total + n % 3, itertools.count())  # <- python_under_library


def regex():
    re.match(r"(a+)+$", "a" * 40 + "b")  # <- regex


def big_power():
    pow(3, 10**8)  # <- big_power


def big_sum():
    sum(range(10**12))  # <- big_sum


def huge_json():
    row = [1.5] * 1000
    json.dumps([row] * 100_000)  # <- huge_json


def huge_sort():
    numbers = list(range(6_000_000))
    while True:
        sorted(numbers, key=lambda_free)  # <- huge_sort


lambda_free = str


def key_stretching():
    hashlib.pbkdf2_hmac("sha256", b"password" * 8, b"salt", 10**9)  # <- key_stretching


def compress():
    # Pages that were never written take no memory, and there is enough for minutes.
    zeros = mmap.mmap(-1, 64 << 30, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    zlib.compress(zeros, 9)  # <- compress


def collect_garbage():
    gc.disable()
    kept = [[] for _ in range(3_000_000)]
    while kept:
        gc.collect()  # <- collect_garbage


def gil_hog():
    threading.Thread(target=hog, daemon=True).start()
    while True:
        time.sleep(0)


def hog():
    time.sleep(0.2)
    sum(itertools.repeat(1))  # <- gil_hog


# ---- waiting for others


def sleep():
    time.sleep(AGES)  # <- sleep


def sleep_in_steps():
    while True:
        time.sleep(0.2)  # <- sleep_in_steps


def sleep_async():
    asyncio.run(asyncio.sleep(AGES))  # <- sleep_async


def receive():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.recv(1)  # <- receive


def receive_with_timeout():
    with socket.create_connection(address_of("SILENT"), timeout=AGES) as upstream:
        upstream.recv(1)  # <- receive_with_timeout


def receive_ipv6():
    with socket.create_connection(address_of("SILENT6")) as upstream:
        upstream.recv(1)  # <- receive_ipv6


def receive_unix():
    with socket.socket(socket.AF_UNIX) as upstream:
        upstream.connect(os.environ["SILENT_UNIX"])
        upstream.recv(1)  # <- receive_unix


def receive_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.connect(address_of("SILENT_UDP"))
        upstream.send(b"ask")
        upstream.recv(1)  # <- receive_udp


def connect_refused():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens there
        while True:
            try:
                return socket.create_connection(closed.getsockname())
            except ConnectionRefusedError:
                time.sleep(0.2)  # <- connect_refused


def call_oneself():
    urllib.request.urlopen(f"http://127.0.0.1:{own_port}/pid", timeout=AGES)  # <- call_oneself


def call_own_listener():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        peer.recv(100)  # <- call_own_listener


def accept_nobody():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.accept()  # <- accept_nobody


def receive_from_anybody():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.recvfrom(1)  # <- receive_from_anybody


def select_two():
    with socket.create_connection(address_of("SILENT")) as first, socket.create_connection(address_of("SILENT")) as second:
        select.select([first, second], [], [first, second], AGES)  # <- select_two


def select_beside_own_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as wakes:
        woken, _ = listener.accept()  # as event loops have it
        with woken, socket.create_connection(address_of("SILENT")) as upstream:
            select.select([wakes, woken, upstream], [], [], AGES)  # <- select_beside_own_pair


def send_unread():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.sendall(b"x" * (64 << 20))  # <- send_unread


def call_urllib():
    urllib.request.urlopen("http://{}:{}/".format(*address_of("SILENT")), timeout=AGES)  # <- call_urllib


def call_requests():
    import requests

    requests.get("http://{}:{}/".format(*address_of("SILENT")), timeout=AGES)  # <- call_requests


def call_httpx():
    import httpx

    httpx.get("http://{}:{}/".format(*address_of("SILENT")), timeout=AGES)  # <- call_httpx


async def read_one():
    reader, _ = await asyncio.open_connection(*address_of("SILENT"))
    await reader.read(1)  # <- receive_async


def receive_async():
    asyncio.run(read_one())


def as_async_view(view):
    """Run a coroutine as Flask and Django do for an `async def` view."""
    from asgiref.sync import async_to_sync

    async_to_sync(view)()


async def doze():
    await asyncio.sleep(AGES)  # <- async_view_sleeps


def async_view_sleeps():
    async def view():
        # What else the loop watches is not what is waited for.
        _kept = await asyncio.open_connection(*address_of("SILENT"))
        await doze()

    as_async_view(view)


def async_view_receives():
    async def view():
        reader, _ = await asyncio.open_connection(*address_of("SILENT"))
        await reader.read(1)  # <- async_view_receives

    as_async_view(view)


def async_view_blocks():
    async def view():
        time.sleep(AGES)  # <- async_view_blocks

    as_async_view(view)


def async_view_in_thread():
    async def view():
        await asyncio.to_thread(time.sleep, AGES)  # <- async_view_in_thread

    as_async_view(view)


def async_view_sends_back():
    from asgiref.sync import sync_to_async

    async def view():
        await sync_to_async(time.sleep)(AGES)  # <- async_view_sends_back

    as_async_view(view)


def async_view_shields():
    from asgiref.sync import sync_to_async

    async def view():
        await sync_to_async(read_shielded, thread_sensitive=False)()

    as_async_view(view)


def read_shielded():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.recv(1)  # <- async_view_shields


def other_loop():
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def ask():
        reader, _ = await asyncio.open_connection(*address_of("SILENT"))
        await reader.read(1)  # <- other_loop

    asyncio.run_coroutine_threadsafe(doze(), loop)
    asyncio.run_coroutine_threadsafe(ask(), loop).result()


def receive_nested():
    class Client:
        def call(self, way):
            return way(lambda: self.read())

        def read(self):
            with socket.create_connection(address_of("SILENT")) as upstream:
                return upstream.makefile("rb").readline()  # <- receive_nested

    Client().call(lambda read: list(map(lambda _: read(), [1])))


def receive_in_pool():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pool.submit(read_pooled).result()


def read_pooled():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.recv(1)  # <- receive_in_pool


def read_as_completed():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.recv(1)  # <- futures_as_completed


def futures_as_completed():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for future in concurrent.futures.as_completed([pool.submit(read_as_completed) for _ in range(2)]):
            future.result()


def thread_pool_map():
    with multiprocessing.pool.ThreadPool(2) as pool:
        pool.map(time.sleep, [AGES] * 2)  # <- thread_pool_map


def thread_pool_join():
    pool = multiprocessing.pool.ThreadPool(2)
    pool.apply_async(read_for_pool)
    pool.close()
    pool.join()


def read_for_pool():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.recv(1)  # <- thread_pool_join


async def read_gathered():
    reader, _ = await asyncio.open_connection(*address_of("SILENT"))
    await reader.read(1)  # <- gather


def gather():
    async def view():
        await asyncio.gather(read_gathered(), read_gathered())

    asyncio.run(view())


def gather_threads():
    async def view():
        await asyncio.gather(asyncio.to_thread(read_in_thread), asyncio.to_thread(read_in_thread))

    asyncio.run(view())


def read_in_thread():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.recv(1)  # <- gather_threads


def connect_backlog():
    with socket.socket() as upstream:
        upstream.connect(address_of("BACKLOG"))  # <- connect_backlog


def connect_blackhole():
    with socket.socket() as upstream:
        upstream.connect(address_of("BLACKHOLE"))  # <- connect_blackhole


def connect_with_timeout():
    socket.create_connection(address_of("BLACKHOLE"), timeout=AGES)  # <- connect_with_timeout


def resolve():
    socket.getaddrinfo("upstream.example.org", 443)  # <- resolve


def resolve_deeper():
    urllib.request.urlopen("http://upstream.example.org/", timeout=AGES)  # <- resolve_deeper


def query_psycopg2():
    import psycopg2

    with psycopg2.connect(os.environ["PG_DSN"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")  # <- query_psycopg2


def row_lock_psycopg2():
    import psycopg2

    first, second = psycopg2.connect(os.environ["PG_DSN"]), psycopg2.connect(os.environ["PG_DSN"])
    table = f"accounts_{os.getpid()}"
    with first.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (id int, sum int)")
        cursor.execute(f"INSERT INTO {table} VALUES (1, 0)")
    first.commit()
    first.cursor().execute(f"UPDATE {table} SET sum = 1 WHERE id = 1")
    second.cursor().execute(f"UPDATE {table} SET sum = 2 WHERE id = 1")  # <- row_lock_psycopg2


def query_psycopg3():
    import psycopg

    with psycopg.connect(os.environ["PG_DSN"]) as connection:
        connection.execute("SELECT pg_sleep(60)")  # <- query_psycopg3


def row_lock_pg8000():
    import pg8000.native

    host, port = os.environ["PG_PEER"].rsplit(":", 1)
    first, second = (pg8000.native.Connection("tricorn", host=host, port=int(port), database="postgres") for _ in range(2))
    first.run(f"SELECT pg_advisory_lock({os.getpid()})")
    second.run(f"SELECT pg_advisory_lock({os.getpid()})")  # <- row_lock_pg8000


async def ask_asyncpg():
    import asyncpg

    connection = await asyncpg.connect("postgresql://tricorn@{}/postgres".format(os.environ["PG_PEER"]))
    await connection.execute("SELECT pg_sleep(60)")  # <- query_asyncpg


def query_asyncpg():
    asyncio.run(ask_asyncpg())


def pop_redis():
    import redis

    redis.Redis(port=int(os.environ["REDIS_PORT"])).blpop("nothing-ever-comes", timeout=AGES)  # <- pop_redis


def lock_redis():
    import redis

    client = redis.Redis(port=int(os.environ["REDIS_PORT"]))
    name = f"lock-{os.getpid()}"
    client.lock(name).acquire()
    client.lock(name).acquire()  # <- lock_redis


def query_mysql():
    import pymysql

    host, port = address_of("SILENT")
    pymysql.connect(host=host, port=port, user="tricorn", read_timeout=AGES)  # <- query_mysql


# ---- waiting for threads

held = threading.Lock()
left, right = threading.RLock(), threading.RLock()


def hold():
    with held:
        time.sleep(AGES)  # <- lock_holder


def until(condition):
    while not condition():
        time.sleep(0.005)


def lock():
    if not held.locked():
        threading.Thread(target=hold, daemon=True).start()
        until(held.locked)
    with held:  # <- lock
        pass


def lock_with_timeout():
    if not held.locked():
        threading.Thread(target=hold, daemon=True).start()
        until(held.locked)
    held.acquire(timeout=AGES)  # <- lock_with_timeout


def lock_twice():
    mine = threading.Lock()
    mine.acquire()
    mine.acquire()  # <- lock_twice


def take_right_then_left(taken):
    with right:
        taken.set()
        with left:
            pass


def deadlock():
    taken = threading.Event()
    with left:
        threading.Thread(target=take_right_then_left, args=(taken,), daemon=True).start()
        taken.wait()
        with right:  # <- deadlock
            pass


def noise():
    while True:
        time.sleep(0.1)


def deadlock_beside_others():
    threading.Thread(target=noise, daemon=True).start()
    first, second, taken = threading.Lock(), threading.Lock(), threading.Event()

    def other():
        with second:
            taken.set()
            with first:
                pass

    with first:
        threading.Thread(target=other, daemon=True).start()
        taken.wait()
        with second:  # <- deadlock_beside_others
            pass


def queue_get():
    queue.Queue().get()  # <- queue_get


def queue_put():
    full = queue.Queue(1)
    full.put(1)
    full.put(2, timeout=AGES)  # <- queue_put


def queue_served():
    answers = queue.Queue()

    def work():
        time.sleep(AGES)
        answers.put(1)

    threading.Thread(target=work, daemon=True).start()
    answers.get()  # <- queue_served


def connection_pool():
    import urllib3

    pool = urllib3.HTTPConnectionPool(*address_of("SILENT"), maxsize=1, block=True)
    threading.Thread(target=pool.request, args=("GET", "/"), daemon=True).start()
    until(lambda: pool.num_connections)
    pool.request("GET", "/")  # <- connection_pool


def connection_pool_async():
    import httpx

    async def view():
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=1), timeout=AGES) as client:
            _kept = asyncio.create_task(client.get("http://{}:{}/".format(*address_of("SILENT"))))
            await asyncio.sleep(0.1)
            await client.get("http://{}:{}/".format(*address_of("SILENT")))  # <- connection_pool_async

    asyncio.run(view())


def simple_queue_get():
    queue.SimpleQueue().get()  # <- simple_queue_get


def condition_wait():
    condition = threading.Condition()
    with condition:
        condition.wait()  # <- condition_wait


def event_wait():
    threading.Event().wait()  # <- event_wait


def semaphore():
    pool = threading.BoundedSemaphore(1)
    pool.acquire()
    pool.acquire()  # <- semaphore


def import_lock():
    threading.Thread(target=__import__, args=("hangs.slow_import",), daemon=True).start()
    until(lambda: "hangs.slow_import" in sys.modules)
    import hangs.slow_import  # noqa: F401  # <- import_lock


def compute_then_receive():
    end = time.monotonic() + 1.3
    n = 0
    while time.monotonic() < end:
        n += 1
    receive()


def retry():
    while True:
        with contextlib.suppress(TimeoutError), socket.create_connection(address_of("SILENT"), timeout=0.4) as upstream:
            upstream.recv(1)  # <- retry
        time.sleep(0.2)


def query_loop():
    import psycopg2

    with psycopg2.connect(os.environ["PG_DSN"]) as connection, connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_sleep(0.004)"); sum(range(60_000))  # <- query_loop


def lock_then_receive():
    with open(os.environ["LOCK_FILE"], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # <- lock_then_receive
    receive()


def join_thread():
    thread = threading.Thread(target=read_joined, daemon=True)
    thread.start()
    thread.join()


def read_joined():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.recv(1)  # <- join_thread


# ---- waiting for processes, files, pipes


def run_child():
    subprocess.run(["sleep", "60"], check=True)  # <- run_child


def communicate():
    subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE).communicate()  # <- communicate


def system():
    os.system("sleep 60")  # <- system


def left_running():
    subprocess.run("sleep 60 &", shell=True, capture_output=True)  # <- left_running


def join_process():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(AGES,))
    child.start()
    child.join()  # <- join_process


def flock():
    with open(os.environ["LOCK_FILE"], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # <- flock


def lockf():
    with open(os.environ["LOCK_FILE"], "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # <- lockf


def flock_polled():
    with open(os.environ["LOCK_FILE"], "w") as file:
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.1)  # <- flock_polled


def sqlite():
    sqlite3.connect(os.environ["DATABASE"], timeout=AGES).execute("SELECT * FROM orders")  # <- sqlite


def sqlite_in_thread():
    thread = threading.Thread(target=read_database, daemon=True)
    thread.start()
    thread.join()


def read_database():
    sqlite3.connect(os.environ["DATABASE"], timeout=AGES).execute("SELECT * FROM orders")  # <- sqlite_in_thread


def pipe_write():
    _, end = os.pipe()
    os.write(end, b"x" * (1 << 20))  # <- pipe_write


def pipe_read():
    end, _kept = os.pipe()
    os.read(end, 1)  # <- pipe_read


def fifo():
    open(os.environ["FIFO"])  # <- fifo


def fifo_read():
    os.read(os.open(os.environ["FIFO"], os.O_RDWR), 1)  # <- fifo_read


def fifo_write():
    os.write(os.open(os.environ["FIFO"], os.O_RDWR), b"x" * (1 << 20))  # <- fifo_write


def read_child():
    child = subprocess.Popen(["sort"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.read()  # <- read_child


def event_descriptor():
    os.read(os.eventfd(0), 8)  # <- event_descriptor


def stdout_unread():
    while True:
        print("x" * 65536, flush=True)  # <- stdout_unread


def write_frozen():
    with open(os.environ["FROZEN"], "wb") as file:  # <- write_frozen
        file.write(b"x" * 65536)


# ---- limits


def message_queue():
    library = ctypes.CDLL("librt.so.1", use_errno=True)
    name = f"/tricorn-{os.getpid()}-{threading.get_ident()}".encode()
    one = library.mq_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, None)
    assert one >= 0, os.strerror(ctypes.get_errno())
    library.mq_unlink(name)  # it goes with us
    message = ctypes.create_string_buffer(8192)
    library.mq_receive(one, message, ctypes.c_size_t(len(message)), None)  # <- message_queue


def descriptors():
    kept = []
    while True:
        try:
            kept.append(open("/dev/null"))
        except OSError as why:
            assert why.errno == errno.EMFILE
            time.sleep(0.1)  # <- descriptors


def ports():
    kept = []
    while True:
        try:
            kept.append(socket.create_connection(address_of("SILENT")))
        except OSError as why:
            assert why.errno == errno.EADDRNOTAVAIL, why
            time.sleep(0.1)  # <- ports


def threads():
    while True:
        try:
            threading.Thread(target=noise, daemon=True).start()
        except RuntimeError:
            time.sleep(0.1)  # <- threads


def memory_limit():
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
    try:
        return bytes(16 << 30)  # <- memory_limit
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def memory_limit_retried():
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, resource.RLIM_INFINITY))
    kept = []
    while True:
        try:
            kept.append(mmap.mmap(-1, 64 << 20))
        except (MemoryError, OSError):
            time.sleep(0.1)  # <- memory_limit_retried


def memory_pressure():
    with open(os.environ["BIG_FILE"], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
        while True:
            for at in range(0, len(pages), 1 << 16):
                pages[at]  # <- memory_pressure


def hoard():
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 16) * 16))
        time.sleep(0.01)  # <- hoard


# ---- stops and deaths


def stop_oneself():
    os.kill(os.getpid(), signal.SIGSTOP)  # <- stop_oneself


def alarm():
    signal.alarm(1)
    time.sleep(AGES)  # <- alarm


def kill_oneself():
    os.kill(os.getpid(), signal.SIGKILL)


def cpu_limit():
    resource.setrlimit(resource.RLIMIT_CPU, (1, 100))
    python_loop()


def file_limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"x" * 1000)
        file.write(b"x")


def segv():
    ctypes.string_at(0)  # <- segv


def segv_in_thread():
    threading.Thread(target=segv_later, daemon=True).start()
    time.sleep(AGES)


def segv_later():
    time.sleep(0.3)
    ctypes.string_at(0)  # <- segv_in_thread


def abort():
    os.abort()  # <- abort


def run_machine_code(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()  # <- run_machine_code


def divide_by_zero():
    run_machine_code(bytes.fromhex("31c931c0f7f1c3"))


def illegal_instruction():
    run_machine_code(bytes.fromhex("0f0bc3"))


def bus_error():
    with tempfile.TemporaryFile() as file:
        file.truncate(4096)
        pages = mmap.mmap(file.fileno(), 4096)
        file.truncate(0)
        return pages[0]  # <- bus_error


def overflow_stack():
    # A C function that calls itself: call the next instruction, which jumps back to the call.
    run_machine_code(bytes.fromhex("50e8fafffffff4"))


def exit_hard():
    os._exit(7)  # <- exit_hard


def exit_c():
    ctypes.CDLL(None)._exit(9)  # <- exit_c


def exit_in_request():
    sys.exit(5)


def exit_in_thread():
    threading.Thread(target=sys.exit, args=(5,)).start()
    time.sleep(0.2)


def recurse():
    return recurse()  # <- recurse


# ---- clients, load, time-outs that are too short


def stream_on():
    def parts():
        for _ in range(100):
            time.sleep(0.3)  # <- stream_on
            yield b"x" * 1000

    return parts()


def sleep_3():
    time.sleep(3)


def stream_big():
    while True:
        yield b"x" * (1 << 20)


def big_answer():
    return [b"x" * (64 << 20)]


def many_calls():
    while True:
        with socket.create_connection(address_of("SLOWISH")) as upstream:
            upstream.sendall(b"ask")
            upstream.recv(10)  # <- many_calls


def half():
    def parts():
        yield b"x" * 1000
        time.sleep(AGES)  # <- half

    return parts()


# ---- healthy


def pid():
    return [str(os.getpid()).encode()]


def shortly():
    time.sleep(1.0)


def computing_shortly():
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        pass


def stream_shortly():
    for _ in range(5):
        time.sleep(0.2)
        yield b"x"


def failing():
    raise ValueError("as applications do")


def application(environ, start_response):
    global own_port
    own_port = environ["SERVER_PORT"]
    path = environ["PATH_INFO"].strip("/") or "pid"
    if environ["REQUEST_METHOD"] == "POST":
        while environ["wsgi.input"].read(65536):
            pass
    answer = globals()[path]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return answer if answer is not None else [b"done"]
