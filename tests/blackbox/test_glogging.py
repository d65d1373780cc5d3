"""The module that becomes `gunicorn.glogging`, without a server."""

import datetime
import logging
import os
import types

import pytest

from tricorn.compat import glogging

ENVIRON = {
    "REQUEST_METHOD": "GET", "RAW_URI": "/a%20b?q=1", "SERVER_PROTOCOL": "HTTP/1.1", "PATH_INFO": "/a b", "QUERY_STRING": "q=1",
    "REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": "Basic dXNlcjpwYXNz", "HTTP_USER_AGENT": 'say "hi"', "wsgi.multithread": True,
}
RESPONSE = types.SimpleNamespace(status="404 Not Found", headers=[("X-Answer", "42")], sent=7)
REQUEST = types.SimpleNamespace(headers=[("X-ASKED", "yes")])
TOOK = datetime.timedelta(seconds=2, microseconds=3456)


def settings(**changed):
    """Give a configuration with Gunicorn's defaults."""
    plain = {
        "loglevel": "info", "capture_output": False, "errorlog": "-", "accesslog": None, "syslog": False, "syslog_prefix": None,
        "syslog_facility": "user", "syslog_addr": "udp://localhost:514", "disable_redirect_access_to_syslog": False, "proc_name": "app:app",
        "logconfig": None, "logconfig_dict": {}, "logconfig_json": None, "user": None, "group": None, "access_log_format": "%(s)s %(a)s",
    }
    return types.SimpleNamespace(**{**plain, **changed})


@pytest.fixture(autouse=True)
def own_loggers():
    """Leave no handler behind."""
    yield
    for name in (glogging.ERROR_LOGGER, glogging.ACCESS_LOGGER):
        for handler in logging.getLogger(name).handlers[:]:
            handler.close()
            logging.getLogger(name).removeHandler(handler)


def test_atoms_have_gunicorns_values():
    atoms = glogging.Logger(settings()).atoms(RESPONSE, REQUEST, ENVIRON, TOOK)
    expected = {
        "h": "192.0.2.1", "l": "-", "u": "user", "r": "GET /a%20b?q=1 HTTP/1.1", "s": "404", "m": "GET", "U": "/a b", "q": "q=1", "H": "HTTP/1.1",
        "b": "7", "B": 7, "f": "-", "T": 2, "M": 2003, "D": 2003456, "L": "2.003456", "p": f"<{os.getpid()}>", "{x-asked}i": "yes",
        "{x-answer}o": "42", "{wsgi.multithread}e": True,
    }
    assert {name: atoms[name] for name in expected} == expected


def test_a_quote_is_escaped_and_what_is_missing_is_a_dash():
    atoms = glogging.SafeAtoms({"a": 'say "hi"', "{x}i": "y", "B": 3})
    assert "%(a)s %({X}i)s %({nothing}o)s %(zzz)s %(B)d" % atoms == r"say \"hi\" y - - 3"


@pytest.mark.parametrize("credentials", ["Bearer dXNlcg==", "Basic", "Basic ====", "Basic /w=="])
def test_credentials_that_name_nobody(credentials):
    environ = {**ENVIRON, "HTTP_AUTHORIZATION": credentials}
    assert glogging.Logger(settings()).atoms(RESPONSE, REQUEST, environ, TOOK)["u"] == "-"


def test_set_up_again_writes_each_line_once_and_reopens(tmp_path):
    error, access = tmp_path / "error", tmp_path / "access"
    cfg = settings(errorlog=str(error), accesslog=str(access))
    logger = glogging.Logger(cfg)
    logger.setup(cfg)
    logger.info("one %s", 1)
    logger.access(RESPONSE, REQUEST, ENVIRON, TOOK)
    assert error.read_text().endswith(f" [{os.getpid()}] [INFO] one 1\n") and error.read_text().count("\n") == 1
    assert access.read_text() == '404 say \\"hi\\"\n'
    error.rename(tmp_path / "error.1")
    logger.reopen_files()
    logger.warning("two")
    assert error.read_text().endswith("[WARNING] two\n") and (tmp_path / "error.1").read_text().count("\n") == 1


def test_a_dictionary_changes_the_defaults_and_its_faults_are_told():
    logger = glogging.Logger(settings(logconfig_dict={"loggers": {"gunicorn.error": {"level": "ERROR", "propagate": True}}}))
    assert logger.error_log.level == logging.ERROR and logger.error_log.propagate and logger.access_log_enabled
    with pytest.raises(RuntimeError, match="Unable to configure"):
        glogging.Logger(settings(logconfig_dict={"root": {"handlers": ["missing"]}}))


def test_faults_that_end_the_start(tmp_path):
    with pytest.raises(RuntimeError, match="log config '/nowhere' not found"):
        glogging.Logger(settings(logconfig="/nowhere"))
    with pytest.raises(RuntimeError, match="isn't writable"):
        glogging.Logger(settings(errorlog=str(tmp_path / "no" / "folder")))
    with pytest.raises(RuntimeError, match="unknown facility name"):
        glogging.Logger(settings(syslog=True, syslog_facility="zork"))


@pytest.mark.parametrize(("text", "expected"), [
    ("udp://localhost:514", ("DGRAM", ("localhost", 514))), ("udp://", ("DGRAM", ("localhost", 514))), ("tcp://[::1]:601", ("STREAM", ("::1", 601))),
    ("unix:///dev/log", (None, "/dev/log")), ("unix:///x#dgram", ("DGRAM", "/x")), ("unix:///x#stream", (None, "/x")),
])
def test_syslog_addresses(text, expected):
    kind, address = glogging.parse_syslog_address(text)
    assert (kind and kind.name.removeprefix("SOCK_"), address) == expected


@pytest.mark.parametrize("text", ["zork", "udp:host", "udp://host:port", "http://x"])
def test_no_syslog_addresses(text):
    with pytest.raises(RuntimeError):
        glogging.parse_syslog_address(text)


@pytest.mark.parametrize("args", [[], ["--preload"]], ids=["plain", "preload"])
def test_an_application_shares_the_servers_handlers(serve, args):
    site = serve("shared_handlers:app", *args)
    assert site.get("/").status == 200
    worker = site.workers()[0]
    site.wait_log(rf"\[{worker}\] \[INFO\] order 7 taken\n\[[^]]*\] \[{worker}\] \[ERROR\] order lost\nTraceback [^\0]*ValueError: no stock\n")
    assert "not asked for" not in site.log
