from django.contrib.auth import authenticate, login
from django.http import HttpResponse, HttpResponseForbidden
from rest_framework import generics, pagination, serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

from .models import Message


@api_view()
def whoami(request):
    return Response({"id": request.user.pk, "username": request.user.username})


def sign_in(request):
    """The site's own sign-in, which leaves a session cookie."""
    user = authenticate(request, username=request.POST.get("username"), password=request.POST.get("password"))
    if user is None:
        return HttpResponseForbidden()
    login(request, user)
    return HttpResponse()


class MessageSerializer(serializers.ModelSerializer):
    class Meta:
        model = Message
        fields = ["id", "text", "sender", "timestamp", "is_deleted"]


class Page(pagination.PageNumberPagination):
    page_size = 50


class Messages(generics.ListAPIView):
    serializer_class = MessageSerializer
    pagination_class = Page

    def get_queryset(self):
        of_user = Message.objects.filter(chat__members__user=self.request.user)
        return of_user.filter(chat=self.kwargs["chat_id"]).order_by("-timestamp")
