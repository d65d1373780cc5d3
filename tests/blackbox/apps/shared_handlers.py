"""The recipe that Flask applications use: the server's handlers and level are theirs."""

import logging

SERVER = logging.getLogger("gunicorn.error")
SHOP = logging.getLogger("shop")
SHOP.handlers = SERVER.handlers
SHOP.setLevel(SERVER.level)


def app(environ, start_response):
    SHOP.debug("not asked for")
    SHOP.info("order %s taken", 7)
    try:
        raise ValueError("no stock")
    except ValueError:
        SERVER.exception("order lost")
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]
