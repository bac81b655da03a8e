"""A Django Channels project in one file, served by uvicorn: its clients share a chat with Tertulia's.

What its clients say is stored by Tertulia; what is said there, by whomever, they hear as `chat.message`.
"""

import json
import os
import uuid

import django
from django.conf import settings

FORM = os.environ["SHARED_CHAT_FORM"]
KEYS = json.loads(os.environ["SHARED_CHAT_KEYS"])
BACKENDS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}
# The core layer waits 5 s for a message, as long as redis-py 8 waits for an answer by default.
HOST = {"address": os.environ["SHARED_CHAT_REDIS"], "socket_timeout": None}

settings.configure(
    SECRET_KEY="of the Django project",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": BACKENDS[FORM],
            "CONFIG": {
                "hosts": [HOST],
                "prefix": os.environ["SHARED_CHAT_PREFIX"],
                "symmetric_encryption_keys": KEYS,
            },
        }
    },
)
django.setup()

from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.chat = self.scope["url_route"]["kwargs"]["chat"]
        self.sender = self.scope["url_route"]["kwargs"]["sender"]
        await self.channel_layer.group_add(f"chat_{self.chat}", self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(f"chat_{self.chat}", self.channel_name)

    async def receive_json(self, content):
        request = {
            "type": "chat.send",
            "chat_id": self.chat,
            "sender_id": self.sender,
            "text": content["text"],
            "client_id": str(uuid.uuid4()),
        }
        await self.channel_layer.group_send("tertulia", request)

    async def chat_message(self, event):
        await self.send_json({"text": event["data"]["text"], "seq": event["seq"]})


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("ws/<int:chat>/<int:sender>/", ChatConsumer.as_asgi())]),
    }
)
