#!/usr/bin/env python3
"""Talks in one chat: prints what happens in it, says every line of the standard input. Who comes and goes isn't shown.

    python3 examples/talk.py URL TOKEN [--frames N]

It ends when the input has ended and all that was said has come back, which is when it is stored;
or after N frames. Python alone is needed: the few rules of RFC 6455 that a client needs stand below.
"""

import argparse
import base64
import json
import os
import socket
import struct
import sys
import threading
import uuid
from urllib.parse import urlsplit

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
UNSHOWN = {"pong", "presence", "user_online", "user_offline"}


class WebSocket:
    def __init__(self, url, token):
        place = urlsplit(url)
        self.stream = socket.create_connection((place.hostname, place.port or 80))
        self.bytes = self.stream.makefile("rb")
        target = place.path + (f"?{place.query}" if place.query else "")
        request = [
            f"GET {target} HTTP/1.1",
            f"Host: {place.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            f"Authorization: Bearer {token}",
        ]
        self.stream.sendall("\r\n".join([*request, "", ""]).encode())
        status = self.bytes.readline().decode()
        while self.bytes.readline().strip():
            pass
        if " 101 " not in status:
            sys.exit(f"refused: {status.strip()}")

    def send(self, payload, opcode=TEXT):
        mask = os.urandom(4)
        size = len(payload)
        header = bytes([0x80 | opcode])
        if size < 126:
            header += bytes([0x80 | size])
        else:
            header += bytes([0x80 | 126]) + struct.pack("!H", size)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.stream.sendall(header + mask + masked)

    def frames(self):
        """Every text that comes, until the server closes."""
        while head := self.bytes.read(2):
            opcode, size = head[0] & 0x0F, head[1]
            if size == 126:
                (size,) = struct.unpack("!H", self.bytes.read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self.bytes.read(8))
            payload = self.bytes.read(size)
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == CLOSE:
                self.send(payload[:2], CLOSE)
                code, reason = struct.unpack("!H", payload[:2])[0], payload[2:].decode()
                print(f"closed: {code} {reason}", flush=True)
                return
            elif opcode == TEXT:
                yield payload.decode()


class Talk:
    def __init__(self, arguments):
        self.socket = WebSocket(arguments.url, arguments.token)
        self.frames_max = arguments.frames
        self.unheard = set()
        self.is_said = False

    def say(self):
        for line in sys.stdin:
            if line.strip():
                client_id = uuid.uuid4().hex
                self.unheard.add(client_id)
                self.send(type="message", text=line.strip(), client_id=client_id)
        self.is_said = True
        self.send(type="ping")

    def send(self, **frame):
        self.socket.send(json.dumps(frame).encode())

    def listen(self):
        threading.Thread(target=self.say, daemon=True).start()
        printed = 0
        for text in self.socket.frames():
            frame = json.loads(text)
            self.unheard.discard(frame.get("client_id"))
            if frame["type"] not in UNSHOWN:
                print(text, flush=True)
                printed += 1
            is_done = self.is_said and not self.unheard
            if printed == self.frames_max or (self.frames_max is None and is_done):
                self.socket.send(struct.pack("!H", 1000), CLOSE)
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="ws://127.0.0.1:8000/ws/chat/1/")
    parser.add_argument("token", help="an access token")
    parser.add_argument("--frames", type=int, help="leave after so many frames")
    Talk(parser.parse_args()).listen()
