"""Loggers of an imaginary shop, as logger_class and logconfig name them."""

import json
import logging

from gunicorn import glogging


class ShopLogger(glogging.Logger):
    error_fmt = "SHOP %(process)d %(levelname)s %(message)s"

    def access(self, resp, req, environ, request_time):
        super().access(resp, req, environ, request_time)
        self.info("served %s %s in %s: %s", req.method, environ["PATH_INFO"], type(request_time).__name__, resp.status)

    def now(self):
        return "[whenever]"


class PlainLogger(glogging.Logger):
    pass


class JsonFormatter(logging.Formatter):
    def format(self, record):
        return json.dumps({"logger": record.name, "level": record.levelname, "pid": record.process, "text": record.getMessage()})
