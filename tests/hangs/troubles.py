"""The table: which trouble, what is true of it, and what it needs. One row is one kind; most run under sync and under gthread."""

from dataclasses import dataclass

from hangs import surroundings as s

ANSWERED, CUT, UNHARMED, TOO_SLOW, NONE = "answered", "cut", "unharmed", "too slow", "none"


@dataclass(frozen=True)
class Trouble:
    """What happens and what must be said of it."""

    path: str
    cause: str
    around: object = s.plain
    place: str = None  # mark of the line; None: the path's own; "": none is asked for
    peer: str = None  # part of what must be named; None: what the surroundings say; "": none is asked for
    answer: str = ANSWERED
    alone: bool = False  # measures CPU or fills the machine: nothing runs beside it
    client: str = "get"
    options: tuple = ()
    modes: tuple = ("sync", "gthread")
    app: str = "hangs.app:application"
    boots: bool = True  # False: the worker never gets ready
    back_s: float = 3.0  # the service must answer again within this; 0: not while the trouble lasts
    short: bool = False  # of the representative part that `make test` runs
    named: bool = True  # the request must be
    said: str = ""  # must be in the log line too
    code: str = ""  # file whose machine code runs, as the line must say where the kernel lets it be seen

    @property
    def name(self):
        """Return what it is called in the table."""
        return self.path


def cpu(path, cause, **more):
    return Trouble(path, cause, alone=True, **more)


def wait(path, cause, around=s.plain, **more):
    return Trouble(path, cause, around, **more)


def boot(module, cause, **more):
    return Trouble(module, cause, app=f"hangs.{module}:application", boots=False, answer=NONE, modes=("sync",), **more)


TROUBLES = [
    # computing
    cpu("python_loop", "cpu.python", short=True),
    cpu("empty_loop", "cpu.python"),
    cpu("python_recursion", "cpu.python"),
    cpu("python_under_library", "cpu.python"),
    cpu("regex", "cpu.native_gil", code="(lib)?python3", short=True),
    cpu("big_power", "cpu.native_gil"),
    cpu("big_sum", "cpu.native_gil"),
    cpu("huge_json", "cpu.native_gil"),
    cpu("huge_sort", "cpu.native_gil"),
    cpu("key_stretching", "cpu.native_nogil", code="(libcrypto|_hashlib|(lib)?python3)"),
    cpu("compress", "cpu.native_nogil", code="(libz|zlib|(lib)?python3)"),
    cpu("collect_garbage", "gc.pause", short=True),
    cpu("gil_hog", "wait.gil", short=True),
    cpu("python_loop", "cpu.throttled", around=s.throttled_worker, short=True),
    cpu("big_sum", "cpu.throttled", around=s.throttled_server),
    cpu("python_loop", "cpu.starved", around=s.starved, short=True, back_s=0),
    # sleeping, peers
    wait("sleep", "wait.sleep"),
    wait("sleep_in_steps", "wait.sleep"),
    wait("sleep_async", "wait.sleep", short=True),
    wait("receive", "wait.network", s.silent),
    wait("receive_with_timeout", "wait.network", s.silent),
    wait("receive_ipv6", "wait.network", s.silent6, short=True),
    wait("receive_unix", "wait.network", s.silent_unix, short=True),
    wait("receive_udp", "wait.network", s.silent_udp),
    wait("accept_nobody", "wait.network", said="somebody to connect to 127"),
    wait("receive_from_anybody", "wait.network", said="datagram on its own UDP port", short=True),
    wait("select_two", "wait.network", s.silent, said="and 1 other to answer"),
    wait("select_beside_own_pair", "wait.network", s.silent, short=True, said="to answer at"),
    wait("send_unread", "wait.network", s.silent),
    wait("call_urllib", "wait.network", s.silent),
    wait("call_requests", "wait.network", s.silent),
    wait("call_httpx", "wait.network", s.silent),
    wait("receive_async", "wait.network", s.silent, short=True),
    wait("receive_nested", "wait.network", s.silent),
    wait("receive_in_pool", "wait.network", s.silent, short=True),
    wait("join_thread", "wait.network", s.silent),
    wait("futures_as_completed", "wait.network", s.silent, short=True, said=r"\(in thread \d+, which it waits for\)"),
    wait("thread_pool_map", "wait.sleep", said=r"\(in thread \d+, which it waits for\)"),
    wait("thread_pool_join", "wait.network", s.silent),
    wait("gather", "wait.network", s.silent, short=True, said="and 1 other to answer"),
    wait("gather_threads", "wait.network", s.silent),
    wait("async_view_sleeps", "wait.sleep", s.silent, peer="", short=True, said=r"asyncio\.sleep\) \(in thread \d+, which it waits for\)"),
    wait("async_view_receives", "wait.network", s.silent, short=True),
    wait("async_view_blocks", "wait.sleep"),
    wait("async_view_in_thread", "wait.sleep"),
    wait("async_view_sends_back", "wait.sleep", short=True),
    wait("async_view_shields", "wait.network", s.silent),
    wait("other_loop", "wait.network", s.silent),
    wait("call_oneself", "wait.network", modes=("sync",), options=("--timeout", "1"), said="which is this server itself .its only thread is busy", short=True),
    wait("call_own_listener", "wait.network", modes=("sync",), said=r"for 127\.0\.0\.1:\d+ to answer"),
    wait("connect_refused", "wait.sleep", said=r"about \d+ times a second, while it handles ConnectionRefusedError", short=True),
    wait("connect_backlog", "wait.connect", s.backlog),
    wait("connect_blackhole", "wait.connect", s.blackhole, short=True),
    wait("connect_with_timeout", "wait.connect", s.blackhole),
    wait("resolve", "wait.dns", s.mute_name_server, short=True),
    wait("resolve_deeper", "wait.dns", s.mute_name_server),
    wait("query_psycopg2", "wait.database", s.postgresql, said="pg_stat_activity"),
    wait("row_lock_psycopg2", "wait.database", s.postgresql, short=True, said="pg_stat_activity"),
    wait("query_psycopg3", "wait.database", s.postgresql),
    wait("row_lock_pg8000", "wait.database", s.postgresql, short=True),
    wait("query_asyncpg", "wait.database", s.postgresql, short=True),
    wait("pop_redis", "wait.database", s.redis),
    wait("lock_redis", "wait.lock", s.redis, peer="", said="a lock in Redis, which it asks for again and again", short=True),
    wait("query_mysql", "wait.database", s.silent_mysql),
    # threads
    wait("lock", "wait.lock", said="held by thread", short=True),
    wait("lock_with_timeout", "wait.lock"),
    wait("lock_twice", "wait.deadlock"),
    wait("deadlock", "wait.deadlock", short=True),
    wait("deadlock_beside_others", "wait.deadlock", short=True),
    wait("queue_get", "wait.queue", said="an item of an empty queue"),
    wait("queue_put", "wait.queue", said="room in a full queue"),
    wait("queue_served", "wait.queue", said=r"the only other thread in the application's code: thread \d+ at \S*app.py:\d+ in \S*work, which sleeps"),
    wait("connection_pool", "wait.queue", s.silent, peer="", said=r"a connection of its pool \(urllib3\), which has none free"),
    wait("connection_pool_async", "wait.queue", s.silent, peer="", said=r"a connection of its pool \(HTTPX\), which has none free"),
    wait("simple_queue_get", "wait.queue", short=True),
    wait("condition_wait", "wait.lock"),
    wait("event_wait", "wait.lock"),
    wait("semaphore", "wait.lock"),
    wait("import_lock", "wait.lock", said="import"),
    # processes, files, pipes
    wait("run_child", "wait.subprocess", peer="sleep"),
    wait("communicate", "wait.subprocess", peer="sleep"),
    wait("system", "wait.subprocess", peer="sh", short=True),
    wait("left_running", "wait.subprocess", peer="sleep", short=True),
    wait("join_process", "wait.subprocess", peer="pid"),
    wait("flock", "wait.file_lock", s.flocked, said="held by pid"),
    wait("flock_polled", "wait.file_lock", s.flocked, said="asked for the lock on", short=True),
    wait("lockf", "wait.file_lock", s.lockfed, short=True, said="held by pid"),
    wait("sqlite", "wait.file_lock", s.locked_database, said="held by pid", short=True),
    wait("sqlite_in_thread", "wait.file_lock", s.locked_database, said="held by pid"),
    wait("pipe_write", "wait.pipe", peer="pipe:"),
    wait("pipe_read", "wait.pipe", peer="pipe:"),
    wait("fifo", "wait.pipe", s.fifo, short=True),
    wait("fifo_read", "wait.pipe", s.fifo),
    wait("fifo_write", "wait.pipe", s.fifo, short=True),
    wait("read_child", "wait.pipe", peer="pipe:", said="whose writer is sort", short=True),
    wait("event_descriptor", "wait.lock", said="eventfd"),
    wait("stdout_unread", "wait.pipe", s.unread_stdout, short=True, said="stdout"),
    wait("write_frozen", "wait.disk", s.frozen_disk, short=True),
    # one after the other
    wait("compute_then_receive", "wait.network", s.silent, place="receive", alone=True, short=True,
         said=r"; before that 1\.[0-3] s (in cpu\.python|computing) at \S*app\.py:\d+ in compute_then_receive; not memory;"),
    wait("lock_then_receive", "wait.file_lock", s.flocked_then_silent, short=True, said=r"; then 0\.\d s in wait\.network at \S*app\.py:"),
    # again and again
    wait("retry", "wait.network", s.silent, short=True),
    wait("query_loop", "timeout.too_short", s.postgresql, alone=True, said=r"was advancing: \d+ waits of [\d.]+ ms on average, "),
    # limits
    wait("descriptors", "fd.exhaustion", s.descriptor_limit, short=True),
    wait("ports", "net.port_exhaustion", s.few_ports, peer="127.0.0.1:9100", short=True),
    wait("threads", "pids.exhaustion", s.few_processes, short=True),
    wait("memory_limit", "memory.limit", short=True),
    wait("memory_limit_retried", "memory.limit", alone=True),
    wait("memory_pressure", "memory.pressure", s.thrashing, alone=True),
    wait("hoard", "memory.oom_kill", s.small_memory, place="", short=True, options=("--timeout", "20")),
    # stopped
    wait("stop_oneself", "signal.stopped"),
    wait("sleep", "signal.stopped", s.signalled(19), short=True),
    wait("sleep", "signal.stopped", s.freezer, said="frozen", short=True),
    wait("sleep", "signal.stopped", s.unified_freezer, said="frozen", short=True),
    wait("sleep", "signal.stopped", s.traced, said="pid", short=True),
    # deaths
    wait("sleep", "signal.external_kill", s.signalled(9), short=True),
    wait("sleep", "signal.external_kill", s.signalled(14)),
    wait("shortly", "signal.external_kill", s.signalled(15), answer=UNHARMED, place="", named=False, said="pid", short=True),
    wait("alarm", "signal.external_kill", said="own timer"),
    wait("kill_oneself", "signal.external_kill", place="", said="or the application itself"),
    cpu("cpu_limit", "signal.external_kill", place="", said="ulimit -t"),
    wait("file_limit", "signal.external_kill", place="", said="ulimit -f", short=True),
    wait("segv", "crash.segv"),
    wait("segv_in_thread", "crash.segv", short=True),
    wait("abort", "crash.abort"),
    wait("overflow_stack", "crash.stack_overflow", place="run_machine_code", short=True),
    wait("divide_by_zero", "crash.fpe", place="run_machine_code", short=True),
    wait("illegal_instruction", "crash.ill", place="run_machine_code"),
    wait("bus_error", "crash.bus"),
    wait("exit_hard", "exit.code", said="code 7"),
    wait("exit_c", "exit.code", place="", said="code 9", short=True),
    wait("recurse", "app.recursion", short=True),
    # boots
    boot("boot_import_error", "boot.failure"),
    boot("boot_syntax_error", "boot.failure", short=True),
    boot("boot_exits", "boot.failure", place=""),
    Trouble("boot_slowly", "boot.slow", app="hangs.boot_slowly:application", boots=False, answer=UNHARMED, modes=("sync",)),
    # clients, load
    wait("pid", "client.slow_upload", client="slow_upload", answer=TOO_SLOW, place="", options=("--body-timeout", "1")),
    wait("pid", "client.slow_headers", client="slow_headers", answer=TOO_SLOW, place="", options=("--header-timeout", "1"), short=True),
    wait("big_answer", "client.slow_read", client="slow_read", answer=CUT, place="", options=("--write-timeout", "1"), short=True),
    wait("stream_big", "client.slow_read", client="slow_read", answer=CUT, place="", said=r"the last 2\.\d s ago; ", short=True),
    wait("sleep_3", "overload.queue", client="crowd", named=False, answer=UNHARMED, place="", options=("--timeout", "10"), short=True),
    wait("stream_on", "timeout.too_short", answer=CUT, short=True),
    wait("many_calls", "timeout.too_short", s.slowish, short=True),
    wait("half", "wait.sleep", answer=CUT, short=True),
    # what no rule knows
    wait("message_queue", "unknown"),
    # healthy
    wait("pid", "", answer=UNHARMED),
    wait("shortly", "", answer=UNHARMED),
    cpu("computing_shortly", "", answer=UNHARMED),
    wait("stream_shortly", "", answer=UNHARMED),
    wait("failing", "", answer=NONE),
    wait("exit_in_thread", "", answer=UNHARMED),
    wait("pid", "", client="upload", answer=UNHARMED),
    wait("pid", "", client="burst", answer=UNHARMED),
]

KNOWN_MISSES = {}
