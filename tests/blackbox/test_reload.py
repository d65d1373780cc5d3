"""--reload: changed code is served, broken code shows why."""

import pytest

from blackbox.support.waiting import poll

APP = "import helper\ndef app(environ, start_response):\n    body = helper.text().encode()\n    start_response('200 OK', [('Content-Length', str(len(body)))])\n    return [body]\n"


@pytest.fixture
def site(serve, tmp_path):
    """Start a server with --reload on a folder of its own; give it and the folder."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "main.py").write_text(APP)
    (folder / "helper.py").write_text("def text(): return 'one'\n")
    (folder / "page.html").write_text("a")

    def start(*args):
        server = serve("main:app", "--reload", *args, cwd=folder, env={"PYTHONDONTWRITEBYTECODE": "1"})
        assert server.get("/").content == b"one"
        return server, folder

    return start


def serves(server, text):
    poll(lambda: text in server.get("/").body, 15, lambda: f"{text}\n{server.log}")


@pytest.mark.parametrize("engine", ["auto", "inotify", "poll"])
def test_a_changed_module_is_served(site, engine):
    server, folder = site("--reload-engine", engine)
    assert "Reloader is on. Use in development only!" in server.log
    (folder / "helper.py").write_text("def text(): return 'two, longer'\n")
    serves(server, b"two, longer")
    assert f"Worker reloading: {folder}/helper.py modified" in server.log
    assert "exited with code" not in server.log
    (folder / "helper.py").write_text("def text(): return 'three'\n")
    serves(server, b"three")


@pytest.mark.parametrize("engine", ["auto", "poll"])
@pytest.mark.parametrize(("broken", "shown"), [("def text( return 1\n", b"SyntaxError"), ("import nothing_like_it\n", b"ModuleNotFoundError: No module named 'nothing_like_it'"), ("1/0\n", b"ZeroDivisionError")])
def test_broken_code_shows_why_until_the_next_change(site, engine, broken, shown):
    server, folder = site("--reload-engine", engine)
    (folder / "helper.py").write_text(broken)
    serves(server, shown)
    answer = server.get("/")
    assert answer.status == 500 and answer["Content-Type"] == "text/plain" and b"helper.py" in answer.body
    assert shown.decode().split(":")[0] in server.log
    (folder / "helper.py").write_text("def text(): return 'whole again'\n")
    serves(server, b"whole again")


def test_code_that_is_broken_from_the_start(serve, tmp_path):
    (tmp_path / "main.py").write_text("1/0\n")
    server = serve("main:app", "--reload", cwd=tmp_path, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert b"ZeroDivisionError" in server.get("/").body
    (tmp_path / "main.py").write_text(APP.replace("import helper\n", "").replace("helper.text()", "'mended'"))
    serves(server, b"mended")


@pytest.mark.parametrize("extra", ["page.html", "*.html"])
def test_extra_files(site, extra):
    server, folder = site("--reload-extra-file", extra)
    (folder / "page.html").write_text("changed")
    server.wait_log(r"Worker reloading: \S*page\.html modified")
    server.wait_log("Booting worker", count=2)
    assert server.get("/").content == b"one"


def test_a_new_file_of_a_pattern_is_a_change(site):
    server, folder = site("--reload-extra-file", "*.html")
    (folder / "new.html").write_text("new")
    server.wait_log(r"Worker reloading: \S*new\.html modified")


def test_preload_gives_way(site):
    server, folder = site("--preload")
    assert "Setting preload_app does not act with reload" in server.log
    (folder / "helper.py").write_text("def text(): return 'two, longer'\n")
    serves(server, b"two, longer")


def test_worker_int_is_called(serve, tmp_path):
    (tmp_path / "main.py").write_text(APP.replace("import helper\n", "").replace("helper.text()", "'x'"))
    (tmp_path / "gunicorn.conf.py").write_text("reload = True\ndef worker_int(worker):\n    worker.log.info('told to leave: %s', worker.alive)\n")
    server = serve("main:app", cwd=tmp_path)
    server.get("/")
    (tmp_path / "main.py").write_text("# changed\n" + APP.replace("import helper\n", "").replace("helper.text()", "'x'"))
    server.wait_log("told to leave: False")
