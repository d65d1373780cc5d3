"""Django with a PostgreSQL database: migrations, models, transactions, sessions, load, and a query that hangs."""

import concurrent.futures
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from blackbox.support.site import APPS, MODES, clean_environment, tool

SETTINGS = {"DJANGO_SETTINGS_MODULE": "django_site.settings"}


def django(port, *command):
    subprocess.run(
        [sys.executable, "-m", "django", *command], cwd=APPS, env=clean_environment({**SETTINGS, "PG_PORT": port, "PYTHONPATH": APPS}),
        check=True, capture_output=True, text=True,
    )


@pytest.fixture(scope="module")
def database(postgresql):
    django(postgresql.port, "migrate", "--noinput")
    django(postgresql.port, "shell", "-c",
           "from django.contrib.auth.models import User; User.objects.filter(username='kim').exists() or User.objects.create_user('kim', password='pw')")
    return postgresql


def serve_django(serve, database, *args):
    return serve("django_site.wsgi", "-w", "2", *args, env={"PG_PORT": database.port})


@pytest.fixture(params=MODES)
def site(request, serve, database):
    return serve_django(serve, database, *MODES[request.param])


def test_models_are_written_and_read(site, request):
    name = request.node.name
    with requests.Session() as client:
        made = client.post(f"{site.url}/orders/", json={"customer": name, "items": [["tea", 250], ["Käse", 990]]})
        assert made.status_code == 201
        listed = client.get(f"{site.url}/orders/", params={"customer": name}).json()["orders"]
        assert [(order["item"], order["cents"]) for order in listed] == [("tea", 250), ("Käse", 990)]
        assert client.get(f"{site.url}/orders/{made.json()['made'][1]}/").json() == {"item": "Käse", "cents": 990}
        assert client.get(f"{site.url}/orders/999999999/").status_code == 404
        assert f"<li>Käse for {name.replace('[', '[')}</li>" in client.get(f"{site.url}/").text
        row = next(row for row in client.get(f"{site.url}/report/").json()["customers"] if row["name"] == name)
        assert (row["count"], row["cents"]) == (2, 1240)


def test_a_transaction_that_fails_is_rolled_back(site, request):
    name = request.node.name
    with requests.Session() as client:
        wanted = {"customer": name, "items": [["tea", 1]], "fail": True}
        assert client.post(f"{site.url}/orders/", json=wanted).status_code == 500
        assert client.get(f"{site.url}/orders/", params={"customer": name}).json() == {"orders": []}
    assert site.incidents(0) == []


def test_users_sign_in(site):
    with requests.Session() as client:
        assert client.get(f"{site.url}/me/").text == "nobody"
        assert client.post(f"{site.url}/login/", data={"name": "kim", "password": "wrong"}).status_code == 403
        assert client.post(f"{site.url}/login/", data={"name": "kim", "password": "pw"}).text == "yes"
        assert [client.get(f"{site.url}/me/").text for _ in range(5)] == ["kim"] * 5


@pytest.mark.alone
def test_wrk_on_a_view_with_queries_meets_no_error(site):
    requests.post(f"{site.url}/orders/", json={"customer": "wrk", "items": [["tea", 1]]}, timeout=10)
    out = subprocess.run(
        [tool("wrk"), "-t", "1", "-c", "16", "-d", "3s", f"{site.url}/orders/?customer=wrk"], capture_output=True, text=True, check=True).stdout
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    assert int(re.search(r"(\d+) requests in", out)[1]) > 50
    assert site.incidents(0) == []


def test_orders_placed_at_the_same_time_are_all_there(site, request):
    name = request.node.name

    def place(number):
        return requests.post(f"{site.url}/orders/", json={"customer": name, "items": [[f"item {number}", number]]}, timeout=30).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        assert set(clients.map(place, range(80))) == {201}
    listed = requests.get(f"{site.url}/orders/", params={"customer": name}, timeout=10).json()["orders"]
    assert sorted(order["cents"] for order in listed) == list(range(80))


@pytest.mark.parametrize("mode", MODES)
def test_a_query_that_hangs_is_named_with_its_view_and_its_database(serve, database, mode):
    site = serve_django(serve, database, "--timeout", "3", "--boot-timeout", "30", *MODES[mode])
    site.wait_log("Booting worker", count=2)
    answer = site.get("/wait/")
    assert answer.status == 500
    incident, = site.incidents()
    views = (APPS / "django_site/orders/views.py").read_text().splitlines()
    line = next(number for number, text in enumerate(views, 1) if text.endswith("# <- wait"))
    assert incident["class"] == "wait.database"
    assert incident["peer"] == f"{database.peer} (PostgreSQL)"
    assert incident["place"].endswith(f"views.py:{line}"), incident["place"]
    assert incident["function"] == "wait"
    assert incident["ref"] == answer.reference
    assert "secret" not in site.log
    assert site.get("/report/").status == 200
    assert "out of memory" not in site.log.lower()


def test_preloaded_django_serves_as_well(serve, database):
    site = serve("django_site.wsgi", "--preload", "-w", "2", env={"PG_PORT": database.port})
    assert [site.get("/report/").status for _ in range(6)] == [200] * 6
    assert Path(f"/proc/{site.workers()[0]}").exists()
