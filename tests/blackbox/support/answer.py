"""HTTP answers taken apart without trusting them."""

import contextlib


def read_all(client):
    """Read until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 18):
            parts.append(part)
    return b"".join(parts)


class Answer:
    """One answer, with whatever followed it on the connection."""

    def __init__(self, raw):
        self.raw = raw
        self.head, _, self.body = raw.partition(b"\r\n\r\n")
        self.status_line, *fields = self.head.decode("latin-1").split("\r\n")
        words = self.status_line.split(" ", 2)
        self.status = int(words[1]) if len(words) > 1 and words[1].isdigit() else None
        self.fields = [tuple(part.strip() for part in field.partition(":")[::2]) for field in fields]

    def all(self, name):
        """Give all values of a field."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def __getitem__(self, name):
        """Return the one value of a field, None without it."""
        values = self.all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None

    @property
    def reference(self):
        """Return the id of the incident the answer names, None without it."""
        return self["X-Reference-Id"]

    @property
    def content(self):
        """Return the body with the chunks taken off; fails when it is cut short or followed by anything."""
        if self["Transfer-Encoding"] == "chunked":
            return unchunk(self.body)
        if self["Content-Length"] is not None:
            assert len(self.body) == int(self["Content-Length"]), (self.head, len(self.body))
        return self.body

    def __repr__(self):
        return f"<{self.raw[:600]!r}>"


def unchunk(data):
    """Decode a chunked body; fails when it is incomplete or followed by anything."""
    parts, at = [], 0
    while True:
        end = data.find(b"\r\n", at)
        assert end >= 0, "chunked body cut short"
        size = int(data[at:end], 16)
        parts.append(data[end + 2:end + 2 + size])
        at = end + 2 + size + 2
        assert data[at - 2:at] == b"\r\n", "chunk without its end"
        if size == 0:
            assert at == len(data), data[at:]
            return b"".join(parts)


def read_answer(client):
    """Read one answer with a Content-Length off a connection that stays open; give it taken apart."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65536)
        assert part, data
        data += part
    answer = Answer(data)
    wanted = len(answer.head) + 4 + int(answer["Content-Length"] or 0)
    while len(data) < wanted:
        part = client.recv(65536)
        assert part, data
        data += part
    assert len(data) == wanted, data
    return Answer(data)
