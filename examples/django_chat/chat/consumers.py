from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import get_user_model
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from .models import ChatUser, Message


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.group = None
        header = dict(self.scope["headers"]).get(b"authorization", b"").decode()
        self.chat_id = self.scope["url_route"]["kwargs"]["chat_id"]
        self.user = await self.find_user(header.removeprefix("Bearer "))
        if self.user is None:
            return await self.close()
        self.group = f"chat_{self.chat_id}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        await self.send_json({
            "type": "connection_established",
            "message": "Successfully connected to chat",
            "chat_id": self.chat_id,
        })

    async def disconnect(self, code):
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content):
        who = {"user_id": self.user.pk, "username": self.user.username}
        match content.get("type"):
            case "message":
                data = await self.store(content["text"].strip())
                await self.tell({"type": "message", "data": data})
            case "typing":
                await self.tell({"type": "typing", **who, "is_typing": content["is_typing"]})
            case "read_messages":
                await self.read()
                await self.tell({"type": "messages_read", **who})
            case other:
                await self.send_json({"type": "error", "message": f"Unknown message type: {other}"})

    async def tell(self, frame):
        await self.channel_layer.group_send(self.group, {"type": "chat.frame", "frame": frame})

    async def chat_frame(self, event):
        await self.send_json(event["frame"])

    @database_sync_to_async
    def find_user(self, token):
        try:
            user_id = AccessToken(token)["user_id"]
        except TokenError:
            return None
        is_member = ChatUser.objects.filter(chat=self.chat_id, user=user_id).exists()
        return get_user_model().objects.filter(pk=user_id).first() if is_member else None

    @database_sync_to_async
    def store(self, text):
        message = Message.objects.create(chat_id=self.chat_id, sender=self.user, text=text)
        user = self.user
        return {
            "id": message.pk,
            "text": message.text,
            "sender": {
                "id": user.pk,
                "username": user.username,
                "first_name": user.first_name,
                "last_name": user.last_name,
            },
            "timestamp": message.timestamp.isoformat().replace("+00:00", "Z"),
            "is_edited": False,
            "is_deleted": False,
        }

    @database_sync_to_async
    def read(self):
        ChatUser.objects.filter(chat=self.chat_id, user=self.user).update(last_read_at=timezone.now())
