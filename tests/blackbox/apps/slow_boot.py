"""An application whose import takes as long as BOOT_SECONDS says."""

import os
import time

time.sleep(float(os.environ.get("BOOT_SECONDS", "60")))  # <- boot


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"late"]
