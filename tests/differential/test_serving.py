"""Requests and answers: the bytes, the error log and the access log."""

import pytest

FORMAT = '%(h)s %(l)s %(u)s "%(r)s" %(m)s %(U)s %(q)s %(H)s %(s)s %(b)s %(B)s "%(f)s" "%(a)s" %({x-one}i)s %({content-type}o)s %({request_method}e)s %(p)s %(nothing)s'
LOGGED = ("--access-logfile", "-", "--access-logformat", FORMAT)
PAGES = ("", "missing", "failing", "failing_late", "failing_after_start", "replaced", "never_started", "started_twice", "leaving", "environment?a=b&c=%20d", "keys", "process", "lines",
         "generated", "written", "empty", "not_modified", "hop", "cookies", "too_long", "bad_header", "bad_header_name", "printing", "file")

FAILED = ("error-pages-have-a-date", "full-access-line-of-errors")
OF_PAGES = {
    "failing": FAILED, "failing_after_start": FAILED, "started_twice": FAILED, "leaving sync": FAILED, "leaving gthread": ("system-exit-costs-a-request",),
    "failing_late": ("begun-response-names-its-request",), "lines": ("known-length",), "cookies": ("known-length",), "replaced": ("start-response-twice",),
    "never_started": ("no-answer-without-status",), "bad_header": ("bad-response-fields", *FAILED), "bad_header_name": ("bad-response-fields", *FAILED), "file": ("sendfile-bytes",),
}


@pytest.mark.parametrize("worker", ["sync", "gthread"])
@pytest.mark.parametrize("page", PAGES)
def test_page(both, page, worker):
    def scenario(server):
        server.start("app:app", "-k", worker, *LOGGED)
        server.get(f"/{page}", "X-One: 1", "User-Agent: it's \"me\"", "Referer: http://a/?b", "Authorization: Basic a2ltOnB3")
    both(scenario, *OF_PAGES.get(f"{page} {worker}", OF_PAGES.get(page, ())))


REQUESTS = {
    "HEAD": "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "1.0": "GET / HTTP/1.0\r\n\r\n", "1.0 keep-alive": "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "generated 1.0": "GET /generated HTTP/1.0\r\n\r\n", "POST": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    "chunks": "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "percent": "GET /environment/a%2Fb%20c?x=%2F HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "utf-8": "GET /environment/%C3%A9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "many fields": "GET /environment HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nX_B: 3\r\nCookie: a=1\r\nCookie: b=2\r\nConnection: close\r\n\r\n",
    "bad line": "GET /\r\n\r\n", "bad method": "get / HTTP/1.1\r\nHost: a\r\n\r\n", "bad version": "GET / HTTP/3.1\r\nHost: a\r\n\r\n", "bad field": "GET / HTTP/1.1\r\nHost: a\r\nbad field\r\n\r\n",
    "long line": f"GET /{'x' * 5000} HTTP/1.1\r\nHost: a\r\n\r\n", "long field": f"GET / HTTP/1.1\r\nHost: a\r\nX: {'x' * 9000}\r\n\r\n", "too many fields": f"GET / HTTP/1.1\r\nHost: a\r\n{'X: 1' + chr(13) + chr(10)}" + "X: 1\r\n" * 101 + "\r\n",
    "two lengths": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "unknown coding": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: zip\r\n\r\n",
    "forwarded": "GET /environment HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\nSCRIPT_NAME: /environment\r\nConnection: close\r\n\r\n",
    "contradiction": "GET /environment HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\nConnection: close\r\n\r\n",
    "expect": "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", "bad expect": "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 0\r\n\r\n",
    "nothing": "",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_request(both, name):
    def scenario(server):
        server.start("app:app", "-k", "gthread", *LOGGED)
        server.raw(REQUESTS[name].encode()) if REQUESTS[name] else server.connect().close()
        server.get("/")
    date = "error-pages-have-a-date"
    names = {
        "HEAD": ("keep-alive-is-not-said", "head-body"), "bad line": (date,), "bad method": (date,), "bad version": (date,), "bad field": (date,), "long line": (date, "whole-request-line-counted"),
        "long field": (date,), "too many fields": (date,), "two lengths": ("bad-framing",), "unknown coding": ("bad-framing",), 
        "contradiction": (date, "contradiction-is-logged"), "expect": ("no-needless-continue",), "utf-8": ("utf-8-paths",), "bad expect": (date,),
    }
    both(scenario, *names.get(name, ()))


def test_default_access_format(both):
    def scenario(server):
        server.start("app:app", "--access-logfile", "-")
        server.get("/x?y", "User-Agent: test")
    both(scenario)


def test_logs_in_files(both):
    def scenario(server):
        files = server.folder / "error.log", server.folder / "access.log"
        server.launch("app:app", "--no-control-socket", "--error-logfile", files[0], "--access-logfile", files[1])
        server.wait_log("Booting worker", path=files[0])
        server.get("/")
        server.stop()
        for file in files:
            server.note(file.name, file.read_text())
    both(scenario)


@pytest.mark.parametrize("level", ["debug", "warning", "error", "critical", "nonsense"])
def test_log_level(both, level):
    def scenario(server):
        server.launch("app:app", "--no-control-socket", "--log-level", level)
        while True:
            try:
                server.get("/failing")
                break
            except ConnectionRefusedError:
                pass
        server.stop()
    both(scenario, "error-pages-have-a-date", *(["debug-lines"] if level == "debug" else []))


def test_script_name_of_the_environment(both):
    def scenario(server):
        server.start("app:app", env={"SCRIPT_NAME": "/mounted"})
        server.get("/mounted/environment")
        server.get("/elsewhere")
    both(scenario, "script-name-mismatch")


@pytest.mark.parametrize("mask", ["0", "0o77", "022", "7"])
def test_unix_socket(both, mask):
    def scenario(server):
        path = server.folder / "socket"
        server.start("app:app", "-b", f"unix:{path}", "-m", mask, "--access-logfile", "-", bind=False)
        import socket
        import stat

        from blackbox.support.answer import read_all
        server.note("mode", oct(stat.S_IMODE(path.stat().st_mode)))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /environment HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            server.note("answer", read_all(client).decode())
        server.stop()
        server.note("left behind", path.exists())
    both(scenario, "unix-client-dash")


def test_two_addresses(both):
    def scenario(server):
        from blackbox.support.site import free_port
        other = free_port()
        server.start("app:app", "-b", f"127.0.0.1:{other}", "-b", f"unix:{server.folder / 'socket'}")
        server.get("/")
        server.stop()
        server.note("listening", server.log.replace(str(other), "<OTHER>"))
        server.err_path.write_text("")
    both(scenario)
