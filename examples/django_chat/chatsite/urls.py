from django.urls import path
from rest_framework_simplejwt import views as tokens

from chat import views

urlpatterns = [
    path("api/token/", tokens.TokenObtainPairView.as_view()),
    path("api/token/refresh/", tokens.TokenRefreshView.as_view()),
    path("api/token/verify/", tokens.TokenVerifyView.as_view()),
    path("api/token/blacklist/", tokens.TokenBlacklistView.as_view()),
    path("api/whoami/", views.whoami),
    path("api/chats/<int:chat_id>/messages/", views.Messages.as_view()),
    path("login/", views.sign_in),
]
