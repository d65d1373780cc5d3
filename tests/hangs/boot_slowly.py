"""Takes longer to import than --timeout."""

import os
import time

time.sleep(float(os.environ["BOOT_SECONDS"]))  # <- boot_slowly


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"late"]
