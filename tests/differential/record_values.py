"""Records what Gunicorn's validators make of values: run with the Python Gunicorn 27.0.1 is installed for.

python tests/differential/record_values.py >src/config/testdata/gunicorn_values.txt
"""

import json
import os
import sys
import warnings

from gunicorn import __version__, config

WORDS = ["", " x ", "5", "-1", "+7", "0x10", "010", "1_000", "true", " FALSE ", "yes", "none", "a,b", " a , ,b,", "*"]
OTHERS = [None, True, False, 0, 1, 5, -1, 1.5, 2**31 - 1, [], ["a"], [" a ", "b"], ["a", 1], [None], {}, {"a": "b"}, {"a": 1}]
SPECIAL = {
    "backlog": ["0b101", "0o17", "--1", "1__0", "99", 16383],
    "bind": ["127.0.0.1:8000,[::1]:80", "unix:/tmp/x"],
    "reload_extra_files": ["*.py", "no-such-file", ["no-such-file", "*"], "/", ["/", "/dev/null"]],
    "reload_engine": ["auto", "poll", "inotify", "AUTO", " poll"],
    "forwarded_allow_ips": ["127.0.0.1", "10.0.0.0/8,::1", "10.0.0.1/8", "1.2.3", "::1/129", "fe80::/10", "1.2.3.4/255.255.0.0", "localhost"],
    "user": ["root", "nobody", "no-such-user", "0", "65534", "4294967295"],
    "group": ["root", "nogroup", "no-such-group", "0"],
    "chdir": ["/", "/tmp/", "/tmp/..", "no/such", "/dev/null"],
    "statsd_host": ["localhost", "localhost:8125", "localhost:x", "unix:///tmp/s", "unix:123", "[::1]:8125", "a:b:c", ":1"],
    "header_map": ["drop", " Refuse", "DANGEROUS", "keep"],
    "proxy_protocol": ["off", "v1", "V2 ", "auto", "v3", "none", "0", "1"],
    "http_protocols": ["h1", "h2", " H2,h1 ", "h1,h1", "h3", ","],
    "http2_cleartext": ["off", "prior-knowledge", "Upgrade ", "both", "on"],
    "http2_max_concurrent_streams": ["0", 0, "1"],
    "http2_initial_window_size": [2**31, "0", "2147483648"],
    "http2_max_frame_size": [16384, 16777215, 16777216, "16384", "0x4000"],
    "asgi_loop": ["auto", "ASYNCIO ", "uvloop", "trio"],
    "asgi_lifespan": ["auto", "On ", "off", "maybe"],
    "http_parser": ["auto", "fast ", "Python", "slow"],
    "umask": ["022", "0o22", "18", "0777"],
}
# One setting for each validator; settings_test.cc holds every setting to its validator.
SETTINGS = ["backlog", "preload_app", "pidfile", "bind", "reload_extra_files", "forwarder_headers", "forwarded_allow_ips", "logger_class", "user", "group", "chdir",
            "logconfig_dict", "statsd_host", "reload_engine", "proxy_protocol", "http_protocols", "http2_cleartext", "http2_max_concurrent_streams",
            "http2_initial_window_size", "http2_max_frame_size", "header_map", "asgi_loop", "asgi_lifespan", "http_parser", "umask"]


def outcome(name, value):
    """Give what a configuration file's `name = value` comes to."""
    settings = config.make_settings()
    try:
        settings[name].set(value)
    except Exception as problem:
        return "!" + str(problem)
    return json.dumps(settings[name].get())


def main():
    """Print a line for each value."""
    warnings.simplefilter("ignore")
    os.chdir("/")
    os.environ.pop("PWD", None)
    assert __version__ == "27.0.1", __version__
    print("# What Gunicorn 27.0.1 makes of values in a configuration file, made by tests/differential/record_values.py.")
    print("# setting | value as JSON | value it becomes, or ! and the error's words")
    for name in SETTINGS:
        for value in [*OTHERS, *WORDS, *SPECIAL.get(name, [])]:
            if name in ("user", "group") and value is None:
                continue  # whoever runs this
            result = outcome(name, value)
            assert "\n" not in result, (name, value, result)
            print(f"{name} | {json.dumps(value)} | {result}")


if __name__ == "__main__":
    sys.exit(main())
