"""Many keep-alive clients at once, counting what became of each request."""

import collections
import http.client
import threading
import time


class Load:
    """Clients in threads that send GETs over connections they keep, until stopped."""

    def __init__(self, server, path="/", clients=8):
        self.server = server
        self.path = path
        self.lock = threading.Lock()
        self.outcomes = collections.Counter()
        self.answers = []  # (status, reference, body) of everything but 200
        self.broken = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._client) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failure):
        self.stopping.set()
        for thread in self.threads:
            thread.join(40)
        assert not any(thread.is_alive() for thread in self.threads), "a client still waits for its answer"

    def _client(self):
        connection = None
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
                connection.request("GET", self.path)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as why:
                connection = None
                with self.lock:
                    self.outcomes["broken"] += 1
                    self.broken.append(f"{type(why).__name__}: {why} after {time.monotonic() - began:.3f} s")
                continue
            with self.lock:
                self.outcomes[response.status] += 1
                if response.status != 200:
                    self.answers.append((response.status, response.getheader("X-Reference-Id"), body))
