"""Peers that never answer."""

import contextlib
import errno
import select
import socket


@contextlib.contextmanager
def silent_peer():
    """Listen, let the kernel take connections, and never say a word. Gives "host:port"."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def full_backlog():
    """Listen with a backlog that is full: the kernel drops further SYNs, as a firewall would. Gives "host:port"."""
    with contextlib.ExitStack() as kept:
        listener = kept.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            client = kept.enter_context(socket.socket())
            client.setblocking(False)
            code = client.connect_ex(listener.getsockname())
            assert code in (0, errno.EINPROGRESS), errno.errorcode[code]
            if not select.select([], [client], [], 0.3)[1]:
                break
        yield f"127.0.0.1:{listener.getsockname()[1]}"
