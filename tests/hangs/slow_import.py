"""Takes its time: whoever imports it too must wait for the import lock."""

import time

time.sleep(60)
