"""A throwaway Redis, that tests may kill, freeze and empty."""

import signal
import socket

from .process import Process, free_port


class Redis:
    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.process = None
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        self.process = Process(["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "",
                                "--appendonly", "no", "--dir", self.folder], self.folder / "redis.log")
        self.process.await_port(self.port)

    def call(self, *words):
        """One command by RESP; the raw first line of the answer, or the bytes of a bulk answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
            s.sendall(b"*%d\r\n" % len(words) + b"".join(
                b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words))
            f = s.makefile("rb")
            head = f.readline().rstrip()
            if head.startswith(b"$") and head != b"$-1":
                return f.read(int(head[1:]))
            return head

    def keys(self):
        return int(self.call("DBSIZE")[1:])

    def freeze(self):
        self.process.signal(signal.SIGSTOP)

    def thaw(self):
        self.process.signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()

    def stop(self):
        if self.process is not None:
            self.process.kill()
