"""An application that cannot be imported."""


def connect():
    raise RuntimeError("no configuration here")  # <- boot


connect()
