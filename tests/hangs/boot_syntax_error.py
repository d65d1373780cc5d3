"""Is no Python."""


def application(environ, start_response):
    return [b"a"   # <- boot_syntax_error
