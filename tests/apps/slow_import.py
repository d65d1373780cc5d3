"""An application whose import does not end."""

import time

time.sleep(60)  # <- here


def app(environ, start_response):
    raise NotImplementedError
