"""`import gunicorn` without Gunicorn: configuration files, programs that bring their own application, the alias."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from blackbox.support.site import APPS, Site, clean_environment, free_port, run
from blackbox.support.waiting import poll

PROGRAM = '''
import os, sys
from gunicorn.app.base import BaseApplication

class StandaloneApplication(BaseApplication):
    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        config = {key: value for key, value in self.options.items() if key in self.cfg.settings and value is not None}
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self):
        return self.application

def made_here(environ, start_response):
    body = f"{sys.argv[1:]} {__name__} {os.environ.get('GREETING')}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

if __name__ == "__main__":
    StandaloneApplication(made_here, OPTIONS).run()
'''


@pytest.fixture
def program(tmp_path):
    """Start a program of the user's own; give its Site."""
    sites = []

    def start(text, *args, env=None):
        (tmp_path / "sitecustomize.py").write_text("from tricorn import compat\ncompat.activate()\n")  # what the alias does by a .pth file
        file = tmp_path / "serve.py"
        file.write_text(text)
        folder = tmp_path / f"site-{len(sites)}"
        folder.mkdir()
        site = Site.__new__(Site)
        site.port, site.log_path, site.out_path, site.report_path = PORT, folder / "stderr", folder / "stdout", folder / "report"
        site.command = [sys.executable, str(file), *args]
        environment = clean_environment({"PYTHONPATH": f"{tmp_path}:{APPS}", **(env or {})})
        with open(site.log_path, "wb") as log, open(site.out_path, "wb") as out:
            site.process = subprocess.Popen(site.command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd=tmp_path, env=environment, start_new_session=True)
        site.pid = site.process.pid
        sites.append(site)
        return site

    PORT = free_port()
    start.port = PORT
    yield start
    for site in sites:
        site.kill()


def test_a_program_serves_its_own_application(program):
    options = {"bind": f"127.0.0.1:{program.port}", "workers": 2, "raw_env": ["GREETING=hello"], "unknown": 1}
    site = program(PROGRAM.replace("OPTIONS", repr(options)), "--of", "the program", env={"GUNICORN_CMD_ARGS": "--workers 5"}).wait_listening()
    site.wait_log("Booting worker", count=2)
    assert site.get("/").content == b"['--of', 'the program'] __main__ hello"
    assert site.log.count("Booting worker") == 2, site.log
    site.send(1)  # HUP: the program is run again
    site.wait_log("Booting worker", count=4)
    assert site.get("/").content == b"['--of', 'the program'] __main__ hello"
    assert site.stop() == 0


def test_a_program_runs_once_and_again_for_each_reload(program, tmp_path):
    runs = tmp_path / "runs"
    text = f"import os\nwith open({str(runs)!r}, 'a') as file: file.write('run %d\\n' % os.getpid())\n"
    site = program(text + PROGRAM.replace("OPTIONS", repr({"bind": f"127.0.0.1:{program.port}"}))).wait_listening()
    assert site.get("/").status == 200
    assert runs.read_text().splitlines() == [f"run {site.pid}"]
    site.send(1)  # HUP
    site.wait_log("Booting worker", count=2)
    assert len(runs.read_text().splitlines()) == 2
    os.kill(site.spawner(), 9)
    site.wait_log("a new spawner is started")
    poll(lambda: len(runs.read_text().splitlines()) == 3, 10, runs.read_text)
    assert site.get("/").status == 200
    assert site.stop() == 0


def test_hooks_of_a_program(program):
    text = PROGRAM.replace("OPTIONS", '{"bind": "127.0.0.1:%d", "when_ready": lambda server: server.log.info("ready: %%s", server.app.application.__name__), "preload_app": True}' % program.port)
    site = program(text).wait_listening()
    site.wait_log("ready: made_here")
    assert site.get("/").status == 200
    assert site.stop() == 0


@pytest.mark.parametrize(("options", "message"), [
    ({"workers": -1}, "Error: Value must be positive: -1"), ({"timeout": "x"}, "invalid literal for int() with base 0: 'x'"), ({"when_ready": 5}, "Error: Value is not callable: 5"),
])
def test_a_program_with_a_wrong_setting_ends(program, options, message):
    site = program(PROGRAM.replace("OPTIONS", repr(options)))
    assert site.process.wait(20) == 1
    assert message in site.log


def test_wsgiapplication_reads_the_command_line(program):
    text = "from gunicorn.app.wsgiapp import run\nif __name__ == '__main__':\n    run()\n"
    site = program(text, "specs:application", "-b", f"127.0.0.1:{program.port}").wait_listening()
    assert site.get("/").content == b"application"
    assert site.stop() == 0


def test_a_subclass_of_application_reads_the_command_line(program):
    text = """
from gunicorn.app.base import Application
class Mine(Application):
    def init(self, parser, opts, args):
        self.word = args[0]
        return {"proc_name": "mine"}
    def load(self):
        def app(environ, start_response):
            start_response("200 OK", [("Content-Length", str(len(self.word)))])
            return [self.word.encode()]
        return app
if __name__ == "__main__":
    Mine("%(prog)s [OPTIONS] WORD").run()
"""
    site = program(text, "a-word", "-b", f"127.0.0.1:{program.port}", "-w", "2").wait_listening()
    site.wait_log("Booting worker", count=2)
    assert site.get("/").content == b"a-word"
    assert site.stop() == 0


def test_a_configuration_file_may_import_gunicorn(serve, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text("""
import gunicorn
from gunicorn import glogging, util
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.errors import AppImportError, ConfigError, HaltServer
from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker
assert gunicorn.version_info >= (20,) and gunicorn.__version__ == "27.0.1"
assert util.load_class("gunicorn.glogging.Logger") is glogging.Logger
try:
    util.load_class("gunicorn.nowhere.Logger")
except RuntimeError as problem:
    assert str(problem).startswith("class uri 'gunicorn.nowhere.Logger' invalid or not found: No module named"), problem
assert glogging.Logger.error and util.parse_address("[::1]:80") == ("::1", 80)
worker_class = ThreadWorker
threads = 3
def post_fork(server, worker):
    assert isinstance(server, Arbiter) and isinstance(worker, Worker) and isinstance(server.cfg, Config)
    assert server.cfg.settings["threads"].get() == 3 and server.cfg.worker_class_str == "gthread"
    server.log.info("all of it is there")
""")
    server = serve("specs", "-c", conf)
    server.wait_log("all of it is there")
    server.wait_log("Using worker: gthread")
    assert server.get("/").status == 200


@pytest.mark.parametrize(("name", "words"), [
    ("gevent", "use gthread with --threads N"), ("eventlet", "use gthread with --threads N"), ("meinheld.gmeinheld.MeinheldWorker", "use gthread with --threads N"),
    ("tornado", "use gthread with --threads N"), ("uvicorn.workers.UvicornWorker", "ASGI applications are not served"), ("mine.Worker", "worker_class must be sync or gthread"),
])
def test_other_worker_classes_are_refused_with_what_to_use(name, words):
    code, _, err = run("specs", "-k", name)
    assert code == 1 and f"class uri '{name}' invalid or not found: " in err and words in err


def test_ssl_context_is_refused(tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text("def ssl_context(config, default): return default()\n")
    code, _, err = run("specs", "-c", str(conf), "--check-config")
    assert code == 1 and "Invalid value for ssl_context" in err and "TLS" in err


# ---- the alias ----

@pytest.fixture
def environment(tmp_path):
    """Make a virtual environment that shares this one's packages, with Tricorn's commands in it."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    packages = next((home / "lib").glob("python*")) / "site-packages"
    (packages / "shared.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")) + "\n")
    (home / "bin" / "tricorn").write_text(f"#!/bin/sh\nexec {home}/bin/python -m tricorn \"$@\"\n")
    (home / "bin" / "tricorn").chmod(0o755)
    return home


def alias(home, *words):
    done = subprocess.run([home / "bin" / "python", "-m", "tricorn.alias", *words], capture_output=True, text=True, check=False, env=clean_environment())
    return done.returncode, done.stdout + done.stderr


def test_the_alias_starts_tricorn_and_goes_again(environment):
    command = environment / "bin" / "gunicorn"
    assert alias(environment, "status") == (0, f"{command} does not exist\n")
    assert alias(environment, "install") == (0, f"{command} starts Tricorn\n")
    assert alias(environment, "install")[0] == 0
    code, said = alias(environment, "status", "--json")
    assert (code, json.loads(said)) == (0, {"command": str(command), "tricorn": True, "text": f"{command} starts Tricorn"})
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, env=clean_environment()).stdout
    assert shown.startswith("tricorn (version ")
    code = "import gunicorn, gunicorn.app.base; print(gunicorn.__version__, gunicorn.SERVER)"
    shown = subprocess.run([environment / "bin" / "python", "-c", code], capture_output=True, text=True, check=True, env=clean_environment()).stdout
    assert shown == "27.0.1 tricorn\n"
    assert alias(environment, "remove") == (0, f"{command} is gone\n")
    assert not command.exists() and alias(environment, "remove")[0] == 0
    done = subprocess.run([environment / "bin" / "python", "-c", "import gunicorn"], capture_output=True, text=True, check=False, env=clean_environment())
    assert "ModuleNotFoundError" in done.stderr


def test_the_alias_keeps_the_real_command(environment):
    command = environment / "bin" / "gunicorn"
    command.write_text("#!/bin/sh\necho the real one\n")
    command.chmod(0o755)
    code, said = alias(environment, "install")
    assert code == 1 and "--force" in said and "the real one" in command.read_text()
    assert alias(environment, "install", "--force")[0] == 0
    assert command.is_symlink()
    assert alias(environment, "remove") == (0, f"{command} is what it was before\n")
    assert "the real one" in command.read_text()


def test_the_alias_leaves_a_command_that_came_later(environment):
    command = environment / "bin" / "gunicorn"
    assert alias(environment, "install")[0] == 0
    command.unlink()
    command.write_text("installed by pip\n")
    assert alias(environment, "remove") == (0, f"{command} is not ours and stays\n")
    assert command.read_text() == "installed by pip\n"


def test_the_alias_says_how_it_is_used(environment):
    assert alias(environment, "what")[0] == 2
    code, said = alias(environment, "--help")
    assert code == 0 and said.startswith("usage: tricornctl alias")


def test_app_services_start_up_command(environment, tmp_path):
    """`gunicorn --timeout 600 --access-logfile '-' --error-logfile '-' -c /opt/startup/gunicorn.conf.py --chdir=/tmp/<id> wsgi:callable`."""
    assert alias(environment, "install")[0] == 0
    site, conf = tmp_path / "8dc1f2", tmp_path / "gunicorn.conf.py"
    site.mkdir()
    (site / "wsgi.py").write_text("import json, os\ndef callable(e, s):\n    body = json.dumps([os.getcwd(), os.environ['PORT']]).encode()\n    s('200 OK', [('Content-Length', str(len(body)))])\n    return [body]\n")
    conf.write_text("import multiprocessing\nworkers = min(multiprocessing.cpu_count() * 2 + 1, 2)\n")
    port = free_port()
    command = [environment / "bin" / "gunicorn", "--timeout", "600", "--access-logfile", "-", "--error-logfile", "-", "-c", conf, f"--chdir={site}", "wsgi:callable"]
    with open(tmp_path / "out", "wb") as out, open(tmp_path / "err", "wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=clean_environment({"PORT": port}), start_new_session=True)
    server = Site.__new__(Site)
    server.port, server.process, server.pid, server.log_path = port, process, process.pid, tmp_path / "err"
    try:
        server.wait_listening()
        assert json.loads(server.get("/").content) == [str(site), str(port)]
        poll(lambda: '"GET / HTTP/1.1" 200' in Path(tmp_path / "out").read_text(), 10, "an access line")
        assert server.stop() == 0
        assert f"Listening at: http://0.0.0.0:{port}" in server.log and os.path.exists(conf)
    finally:
        server.kill()


@pytest.mark.parametrize(("shim", "expected"), [(None, "the real one"), ("always", "27.0.1"), ("never", "the real one")])
def test_the_real_package_is_found_first_unless_asked(serve, tmp_path, shim, expected):
    (tmp_path / "gunicorn").mkdir()
    (tmp_path / "gunicorn" / "__init__.py").write_text("__version__ = 'the real one'\n")
    (tmp_path / "gunicorn" / "own.py").write_text("")
    (tmp_path / "conf.py").write_text("import gunicorn\ndef when_ready(server): server.log.info('found %s', gunicorn.__version__)\n"
                                      "try:\n    import gunicorn.glogging\nexcept ImportError as why:\n    print(type(why).__name__, flush=True)\n")
    server = serve("specs", "-c", tmp_path / "conf.py", env={"PYTHONPATH": tmp_path, **({"TRICORN_SHIM": shim} if shim else {})})
    server.wait_log(f"found {expected}")
    assert server.out == ("" if shim == "always" else "ModuleNotFoundError\n"), "the two are never mixed"


def test_without_the_stand_in_gunicorn_is_not_there(tmp_path):
    (tmp_path / "conf.py").write_text("import gunicorn\n")
    code, _, err = run("specs", "-c", str(tmp_path / "conf.py"), "--check-config", env={"TRICORN_SHIM": "never"})
    assert code == 1 and "ModuleNotFoundError: No module named 'gunicorn'" in err


def test_settings_that_do_not_act_say_so(serve):
    server = serve("specs", "--spew")
    server.wait_log("Setting spew does not act: executed lines are not printed")
