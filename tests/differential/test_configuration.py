"""Where settings come from, what is wrong with them, and how both say so."""

import pytest

from blackbox.support.answer import Answer

# ---- command line ----


@pytest.mark.parametrize("args", [
    ("--version",), ("-v",), (), ("--nosuch",), ("--workers",), ("--workers", "abc", "app:app"), ("--worker-cl", "sync", "--check-config", "app:app"),
    ("--w", "1", "app:app"), ("-w", "1", "app:app", "--print-confi"), ("app:app", "--check-config", "--umask", "zz"),
    ("--check-config", "--check-config=1", "app:app"),
], ids=lambda args: " ".join(args) or "nothing")
def test_command_line(both, args):
    names = {("--nosuch",): ("usage",), ("--workers",): ("usage",), ("-w", "1", "app:app", "--print-confi"): ("print-config",),
             ("--workers", "abc", "app:app"): ("usage",), ("app:app", "--check-config", "--umask", "zz"): ("usage",), ("--check-config", "--check-config=1", "app:app"): ("usage",)}
    both(lambda server: server.run(*args), *names.get(args, ()))


# ---- one bad value for each kind of validator, in the configuration file ----

BAD = {
    "pos_int": "workers = -1", "pos_int-text": "workers = 'x'", "pos_int-float": "timeout = 1.5", "pos_int-octal": "backlog = '010'", "pos_int-none": "threads = None",
    "bool": "preload_app = 'perhaps'", "bool-number": "reload = 5", "string": "pidfile = 5", "list_string": "bind = [5]", "list-number": "bind = 5",
    "string_to_list": "forwarder_headers = ['A']", "addr_list": "forwarded_allow_ips = '10.0.0.1/8'", "addr_list-word": "proxy_allow_ips = 'localhost'",
    "dict": "secure_scheme_headers = 5", "dict-list": "logconfig_dict = []", "user": "user = 'nobody-here'", "group": "group = 'nobody-here'",
    "chdir": "chdir = 'no/such/folder'", "statsd": "statsd_host = 'a:b'", "header_map": "header_map = 'keep'", "proxy_protocol": "proxy_protocol = 'v3'",
    "http_protocols": "http_protocols = 'h3'", "http_protocols-twice": "http_protocols = 'h1,h1'", "http2_cleartext": "http2_cleartext = 'maybe'",
    "asgi_loop": "asgi_loop = 'trio'", "asgi_lifespan": "asgi_lifespan = 'maybe'", "http_parser": "http_parser = 'slow'",
    "stream_limit": "http2_max_concurrent_streams = 0", "frame_size": "http2_max_frame_size = 1", "window_size": "http2_initial_window_size = 2**31",
    "reload_engine": "reload_engine = 'magic'", "reload_extra_files": "reload_extra_files = ['no-such-file']",
    "hook": "when_ready = 5", "hook-arity": "def when_ready(a, b): pass", "hook-import": "when_ready = 'no_such_module.hook'", "post_request-arity": "def post_request(a): pass",
    "worker_class": "worker_class = 'zork'", "worker_class-number": "worker_class = 5", "logger_class": "logger_class = 'no_such_module.Logger'",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_value(both, kind):
    both(lambda server: server.run("--check-config", "app:app", conf=BAD[kind] + "\n"), *(["worker-class-is-checked"] if kind == "worker_class" else []))


BAD_FLAGS = (("-t", "x"), ("-w", "-3"), ("-k", "zork"), ("--chdir", "no/such"), ("-u", "nobody-here"), ("--header-map", "keep"), ("--statsd-host", "a:b"), ("--forwarded-allow-ips", "x"),
             ("--reload-engine", "magic"), ("--proxy-protocol", "v9"), ("--log-level", "nonsense"), ("--graceful-timeout", "1.5"))


@pytest.mark.parametrize("args", BAD_FLAGS, ids=" ".join)
def test_bad_flag(both, args):
    names = {"-k": ["worker-class-is-checked"], "-t": ["usage"], "--graceful-timeout": ["usage"], "--log-level": []}
    both(lambda server: server.run("--check-config", "app:app", *args), *names.get(args[0], ["names-the-setting"]))


# ---- configuration files ----

@pytest.mark.parametrize("conf", ["workers = = 2", "raise RuntimeError('no')", "import a_module_that_is_missing", "1/0", "import sys; sys.exit(5)"])
def test_broken_conf(both, conf):
    both(lambda server: server.run("app:app", conf=conf + "\n"))


@pytest.mark.parametrize("args", [("-c", "nothing.py"), ("-c", "file:nothing.py"), ("-c", "python:nothing")], ids=" ".join)
def test_missing_conf(both, args):
    both(lambda server: server.run(*args, "app:app"))


def test_conf_without_extension_warns(both):
    both(lambda server: server.run("--check-config", "-c", server.file("conf.txt", "workers = 2\n"), "app:app"))


def test_conf_as_module(both):
    def scenario(server):
        server.file("settings_module.py", "workers = 3\nproc_name = 'by-module'\n")
        server.run("--print-config", "-c", "python:settings_module", "app:app", cwd=server.folder, env={"PYTHONPATH": server.folder})
    both(scenario, "print-config")


def test_default_conf_of_the_working_directory(both):
    def scenario(server):
        server.file("gunicorn.conf.py", "workers = 2\nUnknown = 1\nthreadz = 7\nimport os\nproc_name = os.path.basename(__file__)\n")
        server.file("here.py", "def application(e, s): s('200 OK', [('Content-Length', '0')]); return []\n")
        server.start("here", cwd=server.folder, booted=2)
        server.get("/")
    both(scenario)


# ---- precedence ----

SOURCES = {
    "default": ({}, "", ()), "WEB_CONCURRENCY": ({"WEB_CONCURRENCY": "2"}, "", ()), "file over WEB_CONCURRENCY": ({"WEB_CONCURRENCY": "3"}, "workers = 2", ()),
    "variable over file": ({"GUNICORN_CMD_ARGS": "--workers=2"}, "workers = 3", ()), "command line over all": ({"GUNICORN_CMD_ARGS": "-w 4", "WEB_CONCURRENCY": "5"}, "workers = 3", ("-w", "2")),
    "bad WEB_CONCURRENCY": ({"WEB_CONCURRENCY": "many"}, "", ()), "empty WEB_CONCURRENCY": ({"WEB_CONCURRENCY": ""}, "", ()),
    "PORT": ({"PORT": "8123"}, "", ()), "lists replace": ({"GUNICORN_CMD_ARGS": "-e A=1 -e B=2"}, "raw_env = ['C=3']", ()), "FORWARDED_ALLOW_IPS": ({"FORWARDED_ALLOW_IPS": "10.0.0.1"}, "", ()),
    "bad FORWARDED_ALLOW_IPS": ({"FORWARDED_ALLOW_IPS": "x"}, "", ()), "quotes in the variable": ({"GUNICORN_CMD_ARGS": "--name='a b' -e 'X=1 2'"}, "", ()),
    "positional in the variable": ({"GUNICORN_CMD_ARGS": "-w 2 other:app"}, "", ()), "unknown flag in the variable": ({"GUNICORN_CMD_ARGS": "--nosuch 2"}, "", ()),
    "open quote in the variable": ({"GUNICORN_CMD_ARGS": "--name 'a"}, "", ()), "conf in the variable": ({"GUNICORN_CMD_ARGS": "-c nothing.py"}, None, ()),
}


@pytest.mark.parametrize("name", SOURCES)
def test_source(both, name):
    env, conf, args = SOURCES[name]
    fails = {"bad WEB_CONCURRENCY": "environment-is-checked", "empty WEB_CONCURRENCY": "environment-is-checked", "bad FORWARDED_ALLOW_IPS": "names-the-setting",
             "unknown flag in the variable": "usage", "open quote in the variable": "names-the-setting", "conf in the variable": ""}
    both(lambda server: server.run("--print-config", *args, "app:app", conf=conf, env=env), *filter(None, [fails.get(name, "print-config")]))


def test_all_settings_printed(both):
    conf = """
worker_class = 'gthread'
threads = 4
bind = ['127.0.0.1:1', 'unix:/tmp/x']
def when_ready(server): pass
pre_fork = lambda server, worker: None
umask = 0o22
raw_env = ['A=1']
logconfig_dict = {'version': 1}
secure_scheme_headers = {'X-A': 'b'}
forwarded_allow_ips = '*'
forwarder_headers = 'A,B'
"""
    both(lambda server: server.run("--print-config", "app:app", conf=conf), "print-config")


# ---- the application ----

SPECS = ("app", "app:", "app:factory()", "app:factory('ab', times=2)", "app:missing_name", "app:holder.app", "app:nothing", "app:not_callable", "app:factory(1, 2, 3)", "app:factory(os.environ)",
         "app:app.x()", "app:1+", "no_such_module:app", "broken:app", "syntax:app", "importing:app", "app.py", "app.py:app", "package.none:app", ":app")


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("how", ["serve", "preload", "check"])
def test_spec(both, spec, how):
    def scenario(server):
        if how == "check":
            server.run("--check-config", spec)
            return
        server.start(spec, *(["--preload"] if how == "preload" else []))
        if "factory(" in spec and "os" not in spec and "1, 2" not in spec or spec == "app":
            server.get("/")
            server.stop()
        server.wait()
    serves = spec in ("app", "app:factory()", "app:factory('ab', times=2)")
    both(scenario, *(["explained-exit"] if how == "serve" and not serves else []))


def test_wsgi_app_of_the_file(both):
    def scenario(server):
        server.start(conf="wsgi_app = 'app:app'")
        server.get("/")
    both(scenario)


def test_paste_is_refused(both):
    both(lambda server: server.run("--paste", server.file("site.ini", "[app:main]\n")), "paste")


# ---- where it runs ----

def test_chdir_env_and_pythonpath(both):
    def scenario(server):
        server.file("lib/extra_module.py", "VALUE = 1\n")
        server.start("app:app", "--chdir", server.folder.parent, "--pythonpath", f"{server.folder / 'lib'},{server.folder}", "-e", "ONE=1", "-e", "TWO=a=b", env={"PYTHONPATH": __file__.rsplit("/", 1)[0] + "/apps"})
        Answer(server.get("/process"))
    both(scenario)


def test_conf_sees_chdir_of_the_command_line(both):
    def scenario(server):
        server.file("site/gunicorn.conf.py", "import os\nproc_name = os.path.basename(os.getcwd())\n")
        server.run("--print-config", "--chdir", server.folder / "site", "app:app", env={"PYTHONPATH": __file__.rsplit("/", 1)[0] + "/apps"})
    both(scenario, "print-config")
