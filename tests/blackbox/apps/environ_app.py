"""Says what environ it was given, as JSON: strings as they are, other things by their type."""

import json
import os


def app(environ, start_response):
    shown = {}
    for key, value in environ.items():
        shown[key] = value if isinstance(value, (str, bool, tuple)) else f"<{type(value).__module__}.{type(value).__qualname__}>"
    shown["process"] = {name: os.environ.get(name) for name in ("FIRST", "SECOND", "SERVER_SOFTWARE")}
    shown["cwd"] = os.getcwd()
    shown["pid"] = os.getpid()
    environ["wsgi.errors"].write("a word to wsgi.errors\n")
    environ["wsgi.errors"].flush()
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
