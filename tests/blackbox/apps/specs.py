"""Callables for the ways an application can be named."""

nothing = None
not_callable = 5


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"application"]


def factory(word="factory", *, times=1):
    def made(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [(word * times).encode()]

    return made


def failing_factory():
    raise RuntimeError("the factory is on strike")


class Holder:
    app = staticmethod(application)


holder = Holder()
