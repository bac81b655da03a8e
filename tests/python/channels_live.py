"""Tertulia beside the real channels_redis, on one Redis: channels_live.py path/to/tertulia

On both layers, plain and encrypted: a Python process tells our sockets something and hears our events, asks for
messages to be stored, and sends what nobody should; then a Django Channels consumer, served by uvicorn, shares a chat
with ours. TERTULIA_TEST_REDIS_URL names the Redis; without it a private one is started.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from websockets.asyncio.client import connect

HERE = os.path.dirname(os.path.abspath(__file__))
# Only a failure waits this long.
PATIENCE = 30
LAYERS = {"pubsub": RedisPubSubChannelLayer, "core": RedisChannelLayer}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(command, environment, is_up, log):
    process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=HERE, stdout=log, stderr=log)
    try:
        began = time.monotonic()
        while not is_up():
            assert process.poll() is None and time.monotonic() - began < PATIENCE, f"{command[0]} doesn't start"
            time.sleep(0.02)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def listens(port):
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return json.load(answer)["checks"]["layer"] == "ok"
    except OSError:
        return False


class Api:
    """REST, for one person."""

    def __init__(self, port, token=None):
        self.port, self.token = port, token

    def post(self, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def registers(self, name):
        account = {"username": name, "password": "correct horse 7"}
        user = self.post("/api/users/", account)
        return user["id"], Api(self.port, self.post("/api/token/", account)["access"])

    def phone(self, chat):
        uri = f"ws://127.0.0.1:{self.port}/ws/chat/{chat}/?token={self.token}"
        return connect(uri, ping_interval=None)


async def hears(socket, wanted):
    """The next frame that is wanted; others are presence and greetings."""
    while True:
        frame = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
        if wanted(frame):
            return frame


def is_type(*types):
    return lambda frame: frame.get("type") in types


async def peer(port, layer, chat, ids, anna):
    """Somebody with nothing but channels_redis."""
    (anna_id, _) = ids
    ours = await layer.new_channel()
    await layer.group_add(f"chat_{chat}", ours)
    async with anna.phone(chat) as phone:
        await hears(phone, is_type("connection_established"))

        # What it tells our clients comes as it is.
        event = {"type": "banner", "text": "Zażółć 👋🏽", "deep": {"list": [1, None, True, 1.5, {}]}, "big": 2**53}
        await layer.group_send("tertulia", {"type": "chat.event", "chat_id": chat, "event": event})
        assert await hears(phone, is_type("banner")) == event

        # What nobody should send harms nobody.
        for wrong in [
            {"type": "nonsense"},
            {"no": "type"},
            {"type": 5},
            {"type": "chat.send"},
            {"type": "chat.send", "chat_id": chat, "sender_id": anna_id, "text": "no key"},
            {"type": "chat.send", "chat_id": chat, "sender_id": 999, "text": "nobody", "client_id": "n"},
            {"type": "chat.send", "chat_id": 999, "sender_id": anna_id, "text": "nowhere", "client_id": "n"},
            {"type": "chat.send", "chat_id": chat, "sender_id": anna_id, "text": "", "client_id": "e"},
            {"type": "chat.event", "chat_id": chat, "event": "no object"},
            {"type": "chat.event", "chat_id": chat, "event": {"bytes": b"\xff"}},
            {"type": "chat.event", "chat_id": chat, "event": {"large": "x" * 100_000}},
            {"type": "tertulia.event", "node": "x", "event": {"chat": chat}},
        ]:
            await layer.group_send("tertulia", wrong)

        # What it asks for is stored once, however often it asks, and it hears of it as everybody does.
        key = str(uuid.uuid4())
        request = {"type": "chat.send", "chat_id": chat, "sender_id": anna_id, "text": "From Python", "client_id": key}
        for _ in range(3):
            await layer.group_send("tertulia", request)
        await layer.group_send("tertulia", {**request, "text": "And again", "client_id": key + "2"})
        for text in ["From Python", "And again"]:
            frame = await hears(phone, is_type("message", "banner"))
            assert frame["data"]["text"] == text and frame["client_id"].startswith(key), frame
            heard = await asyncio.wait_for(layer.receive(ours), PATIENCE)
            frame.pop("client_id")
            assert heard == {**frame, "type": "chat.message"}, (heard, frame)

        # What our client says, it hears; of what it isn't to be told, nothing.
        await phone.send(json.dumps({"type": "typing", "is_typing": True}))
        await phone.send(json.dumps({"text": "From a socket"}))
        heard = await asyncio.wait_for(layer.receive(ours), PATIENCE)
        assert (heard["type"], heard["data"]["text"]) == ("chat.message", "From a socket"), heard
        message = heard["data"]["id"]
        await phone.send(json.dumps({"type": "edit_message", "message_id": message, "text": "Edited"}))
        heard = await asyncio.wait_for(layer.receive(ours), PATIENCE)
        assert (heard["type"], heard["data"]["text"]) == ("chat.message_edited", "Edited"), heard
    await layer.group_discard(f"chat_{chat}", ours)


async def shared(port, django_port, chat, ids, anna):
    """A consumer of Django's and ours in one chat."""
    (_, boris_id) = ids
    uri = f"ws://127.0.0.1:{django_port}/ws/{chat}/{boris_id}/"
    async with anna.phone(chat) as phone, connect(uri, ping_interval=None) as theirs:
        await hears(phone, is_type("connection_established"))
        said = []
        for number in range(20):
            ours, other = f"ours {number}", f"theirs {number}"
            await phone.send(json.dumps({"text": ours}))
            await theirs.send(json.dumps({"text": other}))
            said += [ours, other]
        seen = [(await hears(phone, is_type("message")))["data"]["text"] for _ in said]
        frames = [json.loads(await asyncio.wait_for(theirs.recv(), PATIENCE)) for _ in said]
        assert sorted(seen) == sorted(said), "each once"
        assert [frame["text"] for frame in frames] == seen, "and in one order"
        # Nothing came twice: what comes next is what is said next.
        await theirs.send(json.dumps({"text": "The end"}))
        assert (await hears(phone, is_type("message")))["data"]["text"] == "The end"
        assert json.loads(await asyncio.wait_for(theirs.recv(), PATIENCE))["text"] == "The end"


def tries(binary, redis_url, form, keys):
    name = form + (", encrypted" if keys else "")
    prefix = f"live-{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as place, open(os.path.join(place, "log"), "w+") as log:
        port, django_port = free_port(), free_port()
        tertulia = {
            "TERTULIA_BIND": f"127.0.0.1:{port}",
            "TERTULIA_DATA_DIR": os.path.join(place, "data"),
            "TERTULIA_SECRET_KEY": "a key of this test alone, of 32 bytes and more",
            "TERTULIA_PASSWORD_COST": "4",
            "TERTULIA_MESSAGES_PER_MINUTE": "0",
            "TERTULIA_LAYER_URL": redis_url.replace("redis://", f"redis+{form}://"),
            "TERTULIA_LAYER_PREFIX": prefix,
            "TERTULIA_LAYER_EVENTS": "message,message_edited",
            "TERTULIA_LAYER_ENCRYPTION_KEYS": ",".join(keys),
            "TERTULIA_DRAIN": "100ms",
        }
        django = {
            "SHARED_CHAT_FORM": form,
            "SHARED_CHAT_KEYS": json.dumps(keys),
            "SHARED_CHAT_REDIS": redis_url,
            "SHARED_CHAT_PREFIX": prefix,
        }
        # Without the edits, for which the consumer has no method.
        uvicorn = [sys.executable, "-m", "uvicorn", "shared_chat:application", "--port", str(django_port)]
        try:
            with running([binary], tertulia, lambda: is_ready(port), log):
                ids, chat, anna = people(port)
                host = {"address": redis_url, "socket_timeout": None}
                layer = LAYERS[form](hosts=[host], prefix=prefix, symmetric_encryption_keys=keys)
                asyncio.run(peer(port, layer, chat, ids, anna))
                with running(uvicorn, django, lambda: listens(django_port), log):
                    asyncio.run(shared(port, django_port, chat, ids, anna))
        except BaseException:
            log.seek(0)
            print(log.read(), file=sys.stderr)
            print(f"{name}: failed", file=sys.stderr)
            raise
    print(f"channels_redis, {name}: shared a chat")


def people(port):
    anna_id, anna = Api(port).registers("anna")
    boris_id, _ = Api(port).registers("boris")
    chat = anna.post("/api/chats/", {"kind": "group", "name": "trip", "members": [boris_id]})
    return (anna_id, boris_id), chat["id"], anna


@contextlib.contextmanager
def redis_server():
    given = os.environ.get("TERTULIA_TEST_REDIS_URL")
    if given:
        yield given
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as place, open(os.devnull, "w") as log:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", place]
        with running(command, {}, lambda: listens(port), log):
            yield f"redis://127.0.0.1:{port}/0"


if __name__ == "__main__":
    with redis_server() as url:
        for form in LAYERS:
            for keys in ([], ["the first key", "an older one"]):
                tries(os.path.abspath(sys.argv[1]), url, form, keys)
