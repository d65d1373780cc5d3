"""Datagrams between the arbiter and the spawner: one JSON object each, descriptors ride along."""

from __future__ import annotations

import json
import socket

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from typing import Any

_BYTES_MAX = 256 * 1024
_FDS_MAX = 64


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Wait for the next request; None when the arbiter is gone."""
    try:
        data, fds, _, _ = socket.recv_fds(channel, _BYTES_MAX, _FDS_MAX)
    except ConnectionResetError:  # it left answers of ours unread
        return None
    if not data:
        return None
    return json.loads(data), list(fds)


def reply(channel: socket.socket, answer: dict[str, Any]) -> None:
    """Answer the request that was received last."""
    # A traceback may quote bytes that are no UTF-8, which the arbiter's JSON does not take.
    channel.send(json.dumps(answer, ensure_ascii=False).encode(errors="replace"))
