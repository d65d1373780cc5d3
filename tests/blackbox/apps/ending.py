"""Requests that do not end by themselves, each in another way; /notes tells what was cleaned up after them."""

import os
import socket
import threading
import time

from tricorn import RequestTimeout

NOTES = []


def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass  # <- spin


def doze(seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)


def sleep():
    time.sleep(60)  # <- sleep


def lock():
    taken = threading.Lock()
    taken.acquire()
    taken.acquire()  # <- lock


def receive():
    host, port = os.environ["SILENT"].split(":")
    with socket.create_connection((host, int(port))) as upstream:
        upstream.recv(1)  # <- receive


def catch_exceptions():
    while True:
        try:
            spin(60)
        except Exception:
            continue


def catch_everything():
    while True:
        try:
            spin(60)
        except BaseException:
            continue


def clean_up():
    try:
        spin(60)
    except RequestTimeout:
        NOTES.append("told")
        raise
    finally:
        NOTES.append("cleaned")


def stream():
    try:
        yield b"begun\n"
        spin(60)
    finally:
        NOTES.append("closed")


def app(environ, start_response):
    _, kind, *seconds = environ["PATH_INFO"].split("/")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if kind == "stream":
        return stream()
    if kind == "notes":
        return [" ".join(NOTES).encode()]
    if kind:
        globals()[kind](*map(float, seconds))
    return [b"done\n"]
