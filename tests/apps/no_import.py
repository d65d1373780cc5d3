"""An application that cannot be imported."""

import a_module_that_is_not_there  # noqa: F401  # <- here


def app(environ, start_response):
    raise NotImplementedError
