"""The guides' files: nginx and HAProxy in front of Tricorn, the systemd unit."""

import contextlib
import json
import re
import socket
import subprocess
from pathlib import Path

import pytest

from blackbox.support.answer import Answer, read_all
from blackbox.support.site import Site, free_port, tool
from blackbox.support.waiting import poll

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"


def ask(port, path, *fields):
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: shop.example", "Connection: close", *fields, "", ""]).encode())
        return Answer(read_all(client))


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def proxy(*command):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def guide(name):
    """Give the file as the guide shows it: the page and the file are the same."""
    text = (GUIDE / name).read_text()
    pages = "".join(page.read_text() for page in GUIDE.glob("*.md"))
    assert text.strip() in pages, f"{name} is not what its page shows"
    return text


def test_behind_nginx(tmp_path):
    port, path = free_port(), tmp_path / "socket"
    tmp_path.chmod(0o755)
    site = Site(tmp_path, "environ_app:app", "--bind", f"unix:{path}", "--keep-alive", "75", bind=False)
    http = guide("nginx.conf").replace("unix:/run/orders/socket", f"unix:{path}").replace("listen 8080", f"listen 127.0.0.1:{port}")
    folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(f"daemon off; user root; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}{http}}}\n")
    try:
        poll(path.exists, 20, lambda: site.log)
        with proxy(tool("nginx"), "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)):
            poll(lambda: accepts(port), 10, lambda: (tmp_path / "error.log").read_text())
            for _ in range(20):
                answer = ask(port, "/a%20b?c", "X-Forwarded-For: 9.9.9.9")
                assert answer.status == 200
            environ = json.loads(answer.content)
            assert "HTTP_X_FORWARDED_FOR" in str(environ) and "shop.example" in str(environ)
            site.send(1)  # HUP under a proxy that keeps its connections
            poll(lambda: len(re.findall("Booting worker", site.log)) == 2, 10, lambda: site.log)
            for _ in range(20):
                assert ask(port, "/").status == 200
        assert site.stop() == 0
    finally:
        site.kill()


def test_behind_haproxy(tmp_path):
    port, own = free_port(), None
    site = Site(tmp_path, "environ_app:app", "--proxy-protocol", "v2", "--keep-alive", "15", "--access-logfile", "-")
    own = site.port
    text = guide("haproxy.cfg").replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("127.0.0.1:8000", f"127.0.0.1:{own}")
    (tmp_path / "haproxy.cfg").write_text(text)
    try:
        site.wait_listening()
        with proxy(tool("haproxy"), "-db", "-f", str(tmp_path / "haproxy.cfg")):
            poll(lambda: accepts(port) and ask(port, "/").status == 200, 20, lambda: site.log)
            assert ask(port, "/x").status == 200
            poll(lambda: '127.0.0.1 - - ' in site.out and '"GET /x HTTP/1.1" 200' in site.out, 10, lambda: site.out)
        assert site.stop() == 0
    finally:
        site.kill()


def test_the_systemd_unit_is_valid(tmp_path):
    unit = guide("orders.service").replace("/srv/orders/venv/bin/tricorn", "/bin/true").replace("WorkingDirectory=/srv/orders", "WorkingDirectory=/")
    (tmp_path / "orders.service").write_text(unit)
    done = subprocess.run([tool("systemd-analyze"), "verify", "--man=no", str(tmp_path / "orders.service")], capture_output=True, text=True, check=False)
    assert not [line for line in done.stderr.splitlines() if "orders.service" in line], done.stderr
    assert done.returncode == 0 or "orders.service" not in done.stderr


@pytest.mark.parametrize("name", ["app-service", "docker", "systemd", "heroku", "kubernetes", "nginx", "haproxy"])
def test_the_guides_use_options_that_exist(name):
    from tricorn import config

    flags = {flag for setting in config.make_settings().values() for flag in setting.cli or ()}
    text = (GUIDE / f"{name}.md").read_text()
    for line in re.findall(r"(?:tricorn|gunicorn) .*", text):
        if "tricornctl" in line or "pip install" in line:
            continue
        unknown = [flag for flag in re.findall(r"--[a-z][a-z-]+", line) if flag not in flags]
        assert not unknown, (line, unknown)
