"""Flask behind real clients: requests, httpx, curl, wrk, ab."""

import concurrent.futures
import hashlib
import os
import re
import subprocess

import httpx
import pytest
import requests

from blackbox.support.site import MODES, tool

MIB = 1 << 20


@pytest.fixture(params=MODES)
def site(request, serve):
    return serve("flask_site:app", *MODES[request.param])


def test_pages_forms_json_redirects_and_errors(site):
    with requests.Session() as client:
        assert client.get(f"{site.url}/").text == "Hello, World!"
        assert client.get(f"{site.url}/users/7").text == "<h1>User 7</h1>"
        assert client.post(f"{site.url}/form", data={"name": "Änne", "age": "4"}).json() == {"name": "Änne", "age": "4"}
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = client.request(method, f"{site.url}/json", json={"a": [1, None]})
            assert answer.json() == {"method": method, "body": {"a": [1, None]}}
        moved = client.get(f"{site.url}/old")
        assert moved.status_code == 200 and [step.status_code for step in moved.history] == [301]
        assert client.get(f"{site.url}/missing").status_code == 404
        assert client.get(f"{site.url}/no/such/page").status_code == 404
        assert client.post(f"{site.url}/").status_code == 405
        assert client.head(f"{site.url}/").headers["Content-Length"] == "13"
        assert set(client.options(f"{site.url}/").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_a_view_that_fails_is_a_500_and_costs_nothing_else(site):
    with requests.Session() as client:
        assert client.get(f"{site.url}/broken").status_code == 500
        assert client.get(f"{site.url}/").status_code == 200
    assert "ValueError: a view that fails" in site.log
    assert site.incidents(0) == []


def test_cookies_and_sessions(site):
    with requests.Session() as client:
        assert [client.get(f"{site.url}/visits").text for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("library", [requests.Session, httpx.Client])
def test_a_session_keeps_its_connection(site, library):
    with library() as client:
        peers = {client.get(f"{site.url}/peer").text for _ in range(20)}
        assert len(peers) == 1, peers
        client.post(f"{site.url}/upload", data=b"x" * 100_000) if library is requests.Session else client.post(
            f"{site.url}/upload", content=b"x" * 100_000)
        assert client.get(f"{site.url}/peer").text in peers


def test_uploads_of_10_mib_in_one_piece_in_chunks_and_as_a_form(site):
    body = os.urandom(10 * MIB)
    expected = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    with requests.Session() as client:
        assert client.post(f"{site.url}/upload", data=body).json() == expected
        pieces = (body[at:at + 70_001] for at in range(0, len(body), 70_001))
        assert client.post(f"{site.url}/upload", data=pieces).json() == expected
        assert client.post(f"{site.url}/upload", files={"file": ("a.bin", body)}).json() == expected
    with httpx.Client(timeout=30) as client:
        assert client.put(f"{site.url}/upload", content=body).json() == expected


def test_downloads_of_10_mib_and_of_a_file(site):
    with httpx.Client(timeout=30) as client:
        assert client.get(f"{site.url}/download/{10 * MIB}").content == bytes(range(256)) * (10 * MIB // 256)
        whole = client.get(f"{site.url}/file")
        assert b"def hello()" in whole.content and int(whole.headers["Content-Length"]) == len(whole.content)
        part = client.get(f"{site.url}/file", headers={"Range": "bytes=5-14"})
        assert part.status_code == 206 and part.content == whole.content[5:15]
        assert client.get(f"{site.url}/file", headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


def test_a_stream_arrives_in_chunks(site):
    with httpx.Client() as client, client.stream("GET", f"{site.url}/stream") as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert "".join(answer.iter_text()) == "".join(f"part {n} of /stream\n" for n in range(5))


def curl(*args):
    return subprocess.run([tool("curl"), "-sS", "--max-time", "30", *args], capture_output=True, check=True).stdout


def test_curl_with_everything(site, tmp_path):
    file = tmp_path / "10mib"
    file.write_bytes(os.urandom(10 * MIB))
    digest = hashlib.sha256(file.read_bytes()).hexdigest().encode()
    assert curl(f"{site.url}/") == b"Hello, World!"
    assert curl("--http1.0", f"{site.url}/") == b"Hello, World!"
    assert b"HTTP/1.1 200 OK" in curl("-I", f"{site.url}/")
    assert digest in curl("-T", str(file), f"{site.url}/upload")
    assert digest in curl("-T", str(file), "-H", "Transfer-Encoding: chunked", f"{site.url}/upload")
    assert digest in curl("-T", str(file), "-H", "Expect: 100-continue", f"{site.url}/upload")
    assert digest in curl("-F", f"file=@{file}", f"{site.url}/upload")
    assert hashlib.sha256(curl(f"{site.url}/download/{10 * MIB}")).digest() == hashlib.sha256(bytes(range(256)) * (10 * MIB // 256)).digest()
    two = curl("-v", "--stderr", "-", f"{site.url}/peer", f"{site.url}/peer")
    assert b"Re-using existing connection" in two, two


@pytest.mark.parametrize("options", [("-c", "1"), ("-c", "50")], ids=["one connection", "50 connections"])
@pytest.mark.alone
def test_wrk_meets_no_error(site, options):
    out = subprocess.run(
        [tool("wrk"), "-t", "1", "-d", "2s", *options, f"{site.url}/"], capture_output=True, text=True, check=True).stdout
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    assert int(re.search(r"(\d+) requests in", out)[1]) > 100


@pytest.mark.parametrize("options", [(), ("-k",)], ids=["close", "keep-alive"])
@pytest.mark.alone
def test_ab_meets_no_error(site, options):
    out = subprocess.run(
        [tool("ab"), "-q", "-n", "1000", "-c", "20", *options, f"{site.url}/"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"Failed requests: +0\n", out) and "Non-2xx" not in out, out
    assert re.search(r"Complete requests: +1000\n", out)
    if options:
        assert re.search(r"Keep-Alive requests: +1000\n", out), out


@pytest.mark.alone
def test_ab_posts_without_an_error(site, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(os.urandom(10_240))
    out = subprocess.run(
        [tool("ab"), "-q", "-n", "500", "-c", "10", "-k", "-p", str(body), "-T", "application/octet-stream", f"{site.url}/upload"],
        capture_output=True, text=True, check=True).stdout
    assert re.search(r"Failed requests: +0\n", out) and "Non-2xx" not in out, out


def test_clients_in_many_threads(site):
    def visit(number):
        with requests.Session() as client:
            return [client.get(f"{site.url}/users/{number}").text for _ in range(20)]

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        for number, pages in enumerate(clients.map(visit, range(8))):
            assert pages == [f"<h1>User {number}</h1>"] * 20
