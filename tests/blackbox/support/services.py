"""Real PostgreSQL and Redis servers, each on a free port in a folder of its own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from blackbox.support.site import free_port
from blackbox.support.waiting import poll


def postgresql_tools():
    """Return the folder of initdb and pg_ctl; Debian keeps them off PATH."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and not places:
        pytest.skip("SKIPPED LOUDLY: no PostgreSQL server here (Debian package postgresql)")
    return Path(found or places[-1]).parent


def unprivileged():
    """Return how subprocess becomes somebody else: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class PostgreSQL:
    """A cluster made for this run."""

    def __enter__(self):
        self.tools = postgresql_tools()
        self.folder = Path(tempfile.mkdtemp(prefix="tricorn-postgresql-"))
        self.port = free_port()
        self.user = unprivileged()
        if self.user:
            os.chown(self.folder, self.user["user"], self.user["group"])
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "tricorn", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-h 127.0.0.1 -p {self.port} -k '' -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-o", options, "-l", str(self.folder / "log"), "-w", "start")
        return self

    def __exit__(self, *failure):
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, tool, *args):
        with tempfile.TemporaryFile() as errors:  # no pipe: the server that pg_ctl starts would hold it open
            code = subprocess.run(
                [str(self.tools / tool), *args], **self.user, cwd="/", env={**os.environ, "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, check=False).returncode
            errors.seek(0)
            assert code == 0, errors.read().decode()

    @property
    def peer(self):
        """Return the server as a report names it."""
        return f"127.0.0.1:{self.port}"

    @property
    def dsn(self):
        """Return the connection string for libpq."""
        return f"host=127.0.0.1 port={self.port} user=tricorn dbname=postgres"


class Redis:
    """A Redis that keeps nothing on disk."""

    def __enter__(self):
        program = shutil.which("redis-server")
        if not program:
            pytest.skip("SKIPPED LOUDLY: no Redis server here (Debian package redis-server)")
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="tricorn-redis-")
        self.process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        poll(self._answers, 10, "Redis answering")
        return self

    def __exit__(self, *failure):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self):
        import redis

        try:
            return redis.Redis(port=self.port).ping()
        except redis.ConnectionError:
            return False

    @property
    def peer(self):
        """Return the server as a report names it."""
        return f"127.0.0.1:{self.port}"
