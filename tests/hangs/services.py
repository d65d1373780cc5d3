"""Databases for a whole run, started when the first trouble asks for them."""

from blackbox.support.services import PostgreSQL, Redis


class Services:
    """Starts each kind once; the stack ends them."""

    def __init__(self, stack):
        self.stack = stack
        self.running = {}

    def _get(self, kind):
        if kind not in self.running:
            self.running[kind] = self.stack.enter_context(kind())
        return self.running[kind]

    def postgresql(self):
        """Give a PostgreSQL server of this run's own."""
        return self._get(PostgreSQL)

    def redis(self):
        """Give a Redis server of this run's own."""
        return self._get(Redis)
