"""Every intended difference from Gunicorn that the scenarios meet: docs/differences.md is made from this table."""

import dataclasses

from tricorn.config import make_settings


@dataclasses.dataclass(frozen=True)
class Difference:
    """What Gunicorn does, what Tricorn does, why.

    gunicorn, tricorn: substitutions that make the texts of both the same.
    shows: for what cannot be the same, (label, what Gunicorn's must match, what Tricorn's must match).
    """

    theirs: str
    ours: str
    why: str
    gunicorn: tuple = ()
    tricorn: tuple = ()
    shows: tuple = ()
    sometimes: bool = False  # depends on who is faster


OWN_SETTINGS = "|".join(setting.name for setting in make_settings().values() if setting.section == "Tricorn")
LINE = r"(?m)^\[<TIME>\] \[[^]]*\] \[[A-Z]+\] "
EXITS = (LINE + r"Worker exiting \(pid: <PID 1>\)\n", "")  # before or after its successor boots

DIFFERENCES = {
    "product-name": Difference(
        "calls itself gunicorn", "calls itself tricorn, with a version of its own", "an operator must see which one runs",
        gunicorn=((r"gunicorn 27\.0\.1", "SERVER VERSION"), (r"gunicorn \(version 27\.0\.1\)", "SERVER (version N)"), (r"gunicorn/27\.0\.1", "SERVER/VERSION"),
                  (r"gunicorn\.errors\.", "SERVER.errors."), (r"(?m)^(Server: |usage: |)gunicorn\b", r"\1SERVER")),
        tricorn=((r"tricorn \d+\.\d+\.\d+", "SERVER VERSION"), (r"tricorn \(version \d+\.\d+\.\d+\)", "SERVER (version N)"), (r"tricorn/\d+\.\d+\.\d+", "SERVER/VERSION"),
                 (r"tricorn\.apps\.", "SERVER.errors."), (r"(?m)^(Server: |usage: |)tricorn\b", r"\1SERVER")),
    ),
    "usage": Difference(
        "a usage error lists every flag first", "a usage error begins with one line of usage", "the error is the last of 90 lines otherwise",
        gunicorn=((r"(?s)usage: .*?\nSERVER: error", "SERVER: error"),), tricorn=((r"(?s)usage: .*?\nSERVER: error", "SERVER: error"),),
    ),
    "names-the-setting": Difference(
        "a bad value on the command line is reported without its flag", "`Invalid value for SETTING: VALUE` comes first, as for the configuration file", "the operator need not guess which of ten numbers was negative",
        tricorn=((r"Invalid value for \w+: [^\n]*\n\n(?=\nError: )", ""), ("GUNICORN_CMD_ARGS: ", "")),
    ),
    "environment-is-checked": Difference(
        "WEB_CONCURRENCY that is no number ends in Python's traceback, an empty one too", "is reported as a bad value; an empty one is none", "bad input is no crash",
        shows=(("stderr", "Traceback", "^(Invalid value for workers: many|$)"), ("stdout", "^$", "^($|access_log_format)"), ("exit code", "1", "0|1")),
    ),
    "log-file-errors": Difference(
        "a log file that cannot be written: `Error: Error: 'PATH' isn't writable [FileNotFoundError(…)]`", "`Error: 'PATH' isn't writable: No such file or directory`", "once is enough",
        gunicorn=((r"Error: Error: ('\S+ isn't writable) \[.*\]\n", r"Error: \1"),), tricorn=((r"(isn't writable): .*", r"\1"),),
    ),
    "utf-8-paths": Difference(
        "%(U)s of a path with UTF-8 is written as if its bytes were Latin-1", "as it is", "it can be read",
        gunicorn=(("Ã©", "é"),),
    ),
    "print-config": Difference(
        "--print-config has Gunicorn's 120 settings", "and Tricorn's own; the path of the control socket and three defaults show what really holds", "what is printed is what acts",
        gunicorn=((r"(?m)^(control_socket|sendfile|ssl_version|default_proc_name) +=.*\n", ""),),
        tricorn=((rf"(?m)^({OWN_SETTINGS}|control_socket|sendfile|ssl_version|default_proc_name) +=.*\n", ""),),
    ),
    "worker-class-is-checked": Difference(
        "an unknown worker class passes --check-config", "is refused there, with what to use instead", "a check must find what the start will find",
        gunicorn=((r"(?s)^0$", "1"),), tricorn=((r"(?s)Invalid value for worker_class.*", ""),),
    ),
    "paste": Difference(
        "loads PasteDeploy files", "refuses --paste", "PasteDeploy is not maintained; name the application instead",
        shows=(("stderr", "Error: |Traceback", "Error: paste: a PasteDeploy file cannot be loaded; name the application as MODULE:CALLABLE"),),
    ),
    "explained-exit": Difference(
        "`Worker (pid:N) exited with code C.` and `… was sent SIGX!`", "the same, then why: the exception, the line of code, who sent the signal, a reference", "that is what Tricorn is for",
        tricorn=((r"(exited with code \d+\.|was sent SIG[A-Z]+!) [^\n]*", r"\1"),),
    ),
    "told-to-leave-from-outside": Difference(
        "a worker that leaves because somebody sent it TERM, INT or QUIT leaves without a word of the arbiter", "who sent the signal is a WARNING with a reference", "nobody else can find out afterwards",
        tricorn=((LINE + r"Worker \(pid:<PID \d+>\) exited with code 0\. Told to leave by a signal of [^\n]*\n", ""),),
    ),
    "no-false-out-of-memory": Difference(
        "`Worker (pid:N) was sent SIGKILL! Perhaps out of memory?` after every SIGKILL", "who sent it; out of memory only when the kernel says so", "the guess is wrong more often than right",
        gunicorn=((r" Perhaps out of memory\?", ""),), tricorn=((r"(was sent SIGKILL!) [^\n]*", r"\1"), (r"<PID 3>", "<PID 2>")),
    ),
    "no-false-sigterm": Difference(
        "a worker that leaves is told TERM again and again, and may be reported as `was sent SIGTERM!`", "is told once", "nobody sent it anything",
        gunicorn=((LINE + r"Worker \(pid:<PID \d+>\) was sent SIGTERM!\n", ""),), sometimes=True,
    ),
    "client-is-answered": Difference(
        "the client of a worker that dies gets nothing", "gets a 500 with a reference", "a load balancer reports a reset as its own failure",
        tricorn=((r"(?s)^HTTP/1\.1 500 Internal Server Error.*$", ""),),
    ),
    "exit-status-while-serving": Difference(
        "a worker that leaves with status 3 or 4 while it serves stops the whole server", "is replaced", "one request must not end the service; the statuses mean a failed boot",
        shows=(("exit code", "^[34]$", "^0$"), ("stderr", "Reason: (Worker failed to boot|App failed to load)", "Booting worker with pid: <PID 2>"), ("answer 1", "^$", "^HTTP/1.1 500 ")),
    ),
    "system-exit-costs-a-request": Difference(
        "sys.exit() in an application ends a gthread worker without an answer", "costs that request: traceback, 500", "a library's sys.exit() must not cost its neighbours",
        shows=(("answer 1", "^$", "^HTTP/1.1 500 "), ("stdout", "^$", " 500 0 0 "), ("stderr", "Worker exiting", "Error handling request GET /leaving\nTraceback")),
    ),
    "error-pages-have-a-date": Difference(
        "error pages have no Date", "have one", "RFC 9110 6.6.1",
        tricorn=((r"(HTTP/1\.1 [45]\d\d [^\r\n]*\r\nConnection: close\r\n)Date: <TIME>\r\n", r"\1"),),
    ),
    "full-access-line-of-errors": Difference(
        "the access line of a failed request has no user, path, query, referer or agent", "has them", "failed requests are the ones that are looked for",
        gunicorn=((r"(?m)^(\S+) - - (\"[A-Z]+ /\S* HTTP/1\.1\") ([A-Z]+) None .* (500|400|417) 0 0 .*$", r"\1 \2 \3 \4"),),
        tricorn=((r"(?m)^(\S+) - \S+ (\"[A-Z]+ /\S* HTTP/1\.1\") ([A-Z]+) /\S* .* (500|400|417) 0 0 .*$", r"\1 \2 \3 \4"),),
    ),
    "begun-response-names-its-request": Difference(
        "an error in the middle of a response is `Error handling request`", "names method and path", "one must know which request it was",
        tricorn=((r"Error handling request GET \S+ \(response had begun\)", "Error handling request"),),
    ),
    "known-length": Difference(
        "a list of parts is sent in chunks", "with Content-Length: the sum is known; it stands at the end of the fields", "fewer bytes, and clients can tell a cut answer",
        gunicorn=((r"Transfer-Encoding: chunked\r\n", ""), (r"(?s)4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n", "one two three"), (r"Content-Length: \d+\r\n", "")),
        tricorn=((r"Content-Length: \d+\r\n", ""),),
    ),
    "start-response-twice": Difference(
        "start_response with exc_info adds the new fields to the old ones", "replaces them", "PEP 3333: the earlier call is superseded",
        gunicorn=((r"Content-Type: text/plain\r\nContent-Type: text/plain", "Content-Type: text/plain"),),
    ),
    "bad-response-fields": Difference(
        "a bad response field raises gunicorn.http.errors.InvalidResponseHeader", "raises ValueError", "applications cannot know our classes",
        gunicorn=((r"gunicorn\.http\.errors\.InvalidResponseHeader\S* .*|SERVER\.http\.errors\.Inv.*", "BAD FIELD"), (r"(?m)^gunicorn\.http\.errors\..*$", "BAD FIELD")), tricorn=((r"ValueError: Invalid header .*", "BAD FIELD"),),
    ),
    "sendfile-bytes": Difference(
        "the access line of a file sent by the kernel says 0 bytes", "says how many", "they were sent",
        gunicorn=((r"200 0 0 ", "200 N N "),), tricorn=((r"200 (\d+) \1 ", "200 N N "),),
    ),
    "keep-alive-is-not-said": Difference(
        "HTTP/1.1 responses say Connection: keep-alive", "only those to HTTP/1.0 do", "RFC 9112 9.3: it is the default",
        gunicorn=((r"Connection: keep-alive\r\n", ""),),
    ),
    "head-body": Difference(
        "a HEAD whose application gives a body is warned about, without the log's prefix", "is normal", "frameworks answer HEAD as GET; only a body with 204 or 304 is a mistake",
        gunicorn=((r"WSGI app sent body bytes on a no-body response.*\n", ""),),
    ),
    "whole-request-line-counted": Difference(
        "the error of a line that is too long counts what had arrived so far", "counts the line", "the same request gives the same message",
        gunicorn=((r"too large \(\d+", "too large (N"),), tricorn=((r"too large \(\d+", "too large (N"),),
    ),
    "bad-framing": Difference(
        "two lengths or an unknown coding: an access line, or 501 `Bad Request`", "400 by RFC 9112 6.3, no access line: nobody was asked anything", "docs/http-differences.md",
        gunicorn=((r"(?s)HTTP/1\.1 (400|501).*</html>\n", "REFUSED"), (r"(?m)^.*\"POST / HTTP/1\.1\".*\n", ""), (LINE + "Invalid request.*", "REFUSED")),
        tricorn=((r"(?s)HTTP/1\.1 (400|501).*</html>\n", "REFUSED"), (LINE + "Invalid request.*", "REFUSED")),
    ),
    "contradiction-is-logged": Difference(
        "a request with contradictory scheme fields has no access line", "has one: it came as far as the application's door", "its client got an answer",
        tricorn=((r"(?m)^.* 400 0 0 .*\n", ""),),
    ),
    "no-answer-without-status": Difference(
        "an application that never calls start_response is answered with `HTTP/1.1 None`", "with 500, and an error line", "that is no HTTP",
        shows=(("answer 1", "^HTTP/1.1 None\r", "^HTTP/1.1 500 "), ("stdout", " None 17 17 ", " 500 0 0 "), ("stderr", "Worker exiting", "Error handling request GET /never_started")),
    ),
    "no-needless-continue": Difference(
        "100 Continue is sent even when the body has arrived", "only when it is waited for", "RFC 9110 10.1.1: it may be omitted",
        gunicorn=((r"HTTP/1\.1 100 Continue\r\n\r\n", ""),),
    ),
    "script-name-mismatch": Difference(
        "a path outside SCRIPT_NAME: `500 Bad Request`", "`500 Internal Server Error`", "the reason belongs to the status",
        gunicorn=((r"(?s)HTTP/1\.1 500 .*</html>\n", "PAGE"), (r" '/mounted'", "")), tricorn=((r"(?s)HTTP/1\.1 500 .*</html>\n", "PAGE"),),
    ),
    "unix-client-dash": Difference(
        "%(h)s of a unix socket's client is empty, so the line begins with a blank", "is -", "an empty field shifts all others",
        gunicorn=((r"(?m)^ - - ", "- - - "),),
    ),
    "no-useless-retries": Difference(
        "every failed bind is tried five times", "only an address in use", "a wrong address stays wrong",
        gunicorn=((r"(?m)((?:^\[.*\] Invalid address: .*\n)?^\[.*\] connection to .*\n)\1+", r"\1"),),
    ),
    "socket-addresses": Difference(
        "an address no socket can have ends in Python's traceback or words", "in a line that names it", "bad input is no crash",
        shows=(("stderr", "Traceback|Error: |connection to  failed", "not a valid port|connection to .* failed: "),),
    ),
    "hook-does-not-end-the-server": Difference(
        "child_exit that raises while serving ends the server, and its workers with it", "is logged, and the server goes on", "one bad hook must not cost the service",
        shows=(("exit code", "^(-15|255)$", "^0$"), ("stderr", "Unhandled exception in main loop\nTraceback", r"(?s)Hook child_exit: Traceback.*Booting worker with pid: <PID 2>")),
    ),
    "no-context-of-exit": Difference(
        "tracebacks of hooks at the end carry the SystemExit or StopIteration that ends the process", "begin with the hook's own", "the exit is not the fault",
        gunicorn=((r"Traceback \(most recent call last\):\n(SystemExit: 0|StopIteration)\n\nDuring handling of the above exception, another exception occurred:\n\n", ""),),
    ),
    "hooks-run-beside-the-arbiter": Difference(
        "server hooks run in the arbiter: os.getpid() == server.pid", "in the spawner, a process of its own; server.pid is the arbiter's", "user code cannot hang or crash the process that supervises",
        gunicorn=((r"(?m)^on_starting True", "on_starting arbiter"),),
    ),
    "orderly-failure": Difference(
        "an exception of pre_fork leaves without `Shutting down`", "shuts down as always", "the log tells the end",
        tricorn=((LINE + r"Shutting down: Master\n", ""),),
    ),
    "timeout-explained": Difference(
        "`WORKER TIMEOUT (pid:N)`", "the same, then why", "that is what Tricorn is for",
        gunicorn=((r"(?s)HTTP/1\.1 500.*?</html>\n", "PAGE"), (r"(?s)Traceback.*?SystemExit: 1\n", ""), EXITS),
        tricorn=((r"(?s)HTTP/1\.1 500.*?</html>\n", "PAGE"), (r"(WORKER TIMEOUT \(pid:<PID 1>\)) .*", r"\1"), (r"(?s)Traceback.*?(?=\[<TIME>\])", ""), (r"/slow\n", "/slow?30\n"), EXITS, (r"<PID 3>", "<PID 2>"),
                 (LINE + r"Worker \(pid:<PID 1>\) was sent SIGKILL! By this server.*\n", "")),
    ),
    "cut-requests-answered": Difference(
        "a request that outlives --graceful-timeout is cut without an answer or a line", "its client gets a 503 and its line is logged", "lost requests must not be silent",
        gunicorn=((LINE + r"Worker \(pid:<PID 1>\) was sent SIGKILL!.*\n", ""),),  # at times
        tricorn=((r"(?s)^HTTP/1\.1 503.*$", ""), (LINE + r"Worker \(pid:<PID 1>\) cut at shutdown.*\n", ""), (LINE + r"Worker \(pid:<PID 1>\) was sent SIGKILL!.*\n", "")),
    ),
    "transactional-reload": Difference(
        "HUP tells the old workers to leave at once", "when the new ones serve", "there is no moment without a worker, and a broken change costs nothing",
        gunicorn=((LINE + r"Worker exiting \(pid: <PID 1>\)\n", ""), (r"<PID 3>", "<PID 2>")), tricorn=((LINE + r"Worker exiting \(pid: <PID 1>\)\n", ""), (r"<PID 3>", "<PID 2>")),
    ),
    "debug-lines": Difference(
        "debug lines tell of Gunicorn's insides", "of ours", "they are for its developers",
        shows=(("stderr", "DEBUG. Current configuration", "DEBUG. GET /failing"),),
    ),
    "python-logger-order": Difference(
        "arbiter and workers call one logger, so lines come in their order",
        "with `logger_class` or `logconfig*` the arbiter's lines pass through a process of their own and may come a moment later than a worker's",
        "a logger that hangs holds up no arbiter: docs/decisions/0012",
        gunicorn=((r"(?m)^.*Handling signal: term\n", ""),),
        tricorn=((r"(?m)^.*Handling signal: term\n", ""),),
    ),
}
