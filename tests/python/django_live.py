"""A real Django project, before Tertulia and beside it: tokens, passwords, sessions, the blacklist, and the import.

django_live.py BINARY sqlite|postgres://user@host:port
"""

import json
import os
import re
import socket as socketlib
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "examples"
BINARY, PROJECT = sys.argv[1:]
PLACE = tempfile.TemporaryDirectory(prefix="tertulia-django-")
SECRET = "the secret that both have, of many more than 32 bytes"
PASSWORD = "quiet harbour 1987"
PATIENCE = 40

os.environ.update(DJANGO_SETTINGS_MODULE="chatsite.settings", SECRET_KEY=SECRET)
if PROJECT == "sqlite":
    os.environ["SQLITE"] = str(Path(PLACE.name, "project.sqlite3"))
    URL = f"sqlite://{os.environ['SQLITE']}"
else:
    import psycopg

    server = urlsplit(PROJECT)
    name = f"tertulia_live_{os.getpid()}"
    with psycopg.connect(f"{PROJECT}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    os.environ.update(
        PGHOST=server.hostname, PGPORT=str(server.port), PGUSER=server.username or "postgres", PGDATABASE=name
    )
    URL = f"{PROJECT}/{name}"
sys.path.insert(0, str(EXAMPLES / "django_chat"))

import django  # noqa: E402

django.setup()

import websockets.sync.client  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model  # noqa: E402
from django.contrib.sessions.backends import signed_cookies  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.utils import timezone  # noqa: E402
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

call_command("migrate", verbosity=0)

from chat.models import Chat, ChatUser, Message  # noqa: E402
from rooms.models import Message as RoomMessage, Room  # noqa: E402

User = get_user_model()


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


site = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
threading.Thread(target=site.serve_forever, daemon=True).start()
SITE = f"http://127.0.0.1:{site.server_port}"


def ask(base, path, body=None, token=None, form=None, method=None):
    """Status, JSON and headers of an answer."""
    request = Request(base + path, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if form is not None:
        request.data = urlencode(form).encode()
    elif body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urlopen(request, timeout=PATIENCE) as reply:
            status, text, headers = reply.status, reply.read(), reply.headers
    except HTTPError as reply:
        status, text, headers = reply.code, reply.read(), reply.headers
    try:
        return status, json.loads(text or "null"), headers
    except ValueError:
        return status, text, headers


def gets(status, answer):
    assert answer[0] == status, answer[:2]
    return answer[1]


def signs_in(base, name, password=PASSWORD):
    return gets(200, ask(base, "/api/token/", {"username": name, "password": password}))


@contextmanager
def serves(name, **settings):
    """Tertulia on a data directory of its own, or on that of an import."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TERTULIA_")}
    defaults = {"SECRET_KEY": SECRET, "BIND": "127.0.0.1:0", "DATA_DIR": str(Path(PLACE.name, name)), "DRAIN": "100ms"}
    environment |= {f"TERTULIA_{key}": value for key, value in (defaults | settings).items()}
    process = subprocess.Popen([BINARY], env=environment, cwd=PLACE.name, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines, base = [], None
    for line in process.stdout:
        lines.append(line)
        if found := re.search(r"listening on (http://[0-9.:]+)", line):
            base = found[1]
            break
    assert base, "".join(lines)
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    try:
        yield base
    except BaseException:
        print("".join(lines), file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait(PATIENCE)


def imports(name, mapping=None, into=None):
    """Copies the project, into the database of that name or that URL."""
    command = [BINARY, "import", "django", "--from", URL, "--data-dir", str(Path(PLACE.name, name))]
    if mapping:
        command += ["--mapping", str(EXAMPLES / "import" / mapping)]
    if into:
        command += ["--database-url", into]
    return subprocess.run(command, cwd=PLACE.name, check=True, capture_output=True, text=True).stdout


def socket(base, path, token=None, **headers):
    address = base.replace("http", "ws", 1) + path
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return websockets.sync.client.connect(
        address, additional_headers=headers, origin=headers.pop("Origin", None), proxy=None
    )


def hears(connection, kind):
    """The next frame of a kind."""
    while True:
        frame = json.loads(connection.recv(PATIENCE))
        if frame["type"] == kind:
            return frame


def closed_with(connection):
    try:
        while True:
            connection.recv(PATIENCE)
    except ConnectionClosed as closed:
        return closed.rcvd.code


def within(seconds, what, is_so):
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def told(story):
    print(f"ok: {story} ({PROJECT.split(':')[0]})", flush=True)


# The project's people and chats, as they are before anybody moves.
anna, boris, vera = (
    User.objects.create_user(name, f"{name}@example.org", PASSWORD) for name in ["anna", "boris", "vera"]
)
chat = Chat.objects.create(name="Trip", is_group=True, owner=anna)
for user in [anna, boris]:
    ChatUser.objects.create(chat=chat, user=user)
for number in range(1, 8):
    Message.objects.create(chat=chat, sender=[anna, boris][number % 2], text=f"message {number}")
room = Room.objects.create(name="General")
for number in range(1, 4):
    RoomMessage.objects.create(room=room, author=anna, content=f"room {number}")


def tokens_both_ways():
    imports("own", "chats.toml")
    with serves("own") as here:
        django_made, ours = signs_in(SITE, "anna"), signs_in(here, "anna")
        for access in [django_made["access"], ours["access"]]:
            assert gets(200, ask(here, "/api/users/me/", token=access))["id"] == anna.pk
            assert gets(200, ask(SITE, "/api/whoami/", token=access))["username"] == "anna"
            with socket(here, f"/ws/chat/{chat.pk}/", access) as connection:
                hears(connection, "connection_established")
        for pair, other in [(django_made, here), (ours, SITE)]:
            refreshed = gets(200, ask(other, "/api/token/refresh/", {"refresh": pair["refresh"]}))
            gets(200, ask(SITE, "/api/whoami/", token=refreshed["access"]))
            gets(200, ask(here, "/api/users/me/", token=refreshed["access"]))
            assert gets(200, ask(other, "/api/token/verify/", {"token": pair["access"]})) == {}
        integer = AccessToken.for_user(anna)
        integer["user_id"] = anna.pk
        gets(200, ask(here, "/api/users/me/", token=str(integer)))
        old = AccessToken.for_user(anna)
        old.set_exp(from_time=timezone.now() - timedelta(days=1))
        theirs, own = (ask(base, path, token=str(old))[1] for base, path in [(SITE, "/api/whoami/"), (here, "/api/users/me/")])
        assert theirs == own and own["messages"][0]["message"] == "Token is expired", (theirs, own)
    told("tokens both ways")


def import_and_go_on():
    report = imports("own", "chats.toml")
    assert "7 read, 0 copied, 7 here already" in report, report
    imports("rooms", "rooms.toml")
    with serves("own") as here:
        pair = signs_in(here, "boris")
        page = gets(200, ask(here, f"/api/chats/{chat.pk}/messages/", token=pair["access"]))
        before = gets(200, ask(SITE, f"/api/chats/{chat.pk}/messages/", token=pair["access"]))
        for one, other in zip(page["results"], before["results"], strict=True):
            assert (one["text"], one["timestamp"]) == (other["text"], other["timestamp"]), (one, other)
        with socket(here, f"/ws/chat/{chat.pk}/", pair["access"]) as connection:
            hears(connection, "connection_established")
            connection.send(json.dumps({"type": "message", "text": "we have moved"}))
            assert hears(connection, "message")["data"]["sender"]["username"] == "boris"
    with serves("rooms") as here:
        pair = signs_in(here, "anna")
        chats = gets(200, ask(here, "/api/chats/", token=pair["access"]))["results"]
        assert [(it["name"], it["last_seq"]) for it in chats] == [("General", 3)], chats
        with socket(here, "/ws/chat/General/", pair["access"]):
            pass
    told("an import, after which sign-in and history go on")


def free_port():
    with socketlib.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def front_end(port, token):
    """What the old front-end logs: the client class of the protocol's document, word for word."""
    script = HERE.parent / "seed_client" / "run.mjs"
    environment = os.environ | {"ADDRESS": f"127.0.0.1:{port}", "CHAT": str(chat.pk), "TOKEN": token}
    run = subprocess.run(["node", script], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def the_front_end_changes_nothing():
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "chatsite.asgi:application", "--port", str(port), "--log-level", "error"]
    channels = subprocess.Popen(command, cwd=EXAMPLES / "django_chat")
    token = signs_in(SITE, "anna")["access"]
    try:
        within(PATIENCE, "Channels to listen", lambda: is_listening(port))
        before = front_end(port, token)
    finally:
        channels.terminate()
        channels.wait(PATIENCE)
    report = imports("moved", "chats.toml")
    assert "8 read, 8 copied" in report, report
    with serves("moved", BIND=f"127.0.0.1:{port}"):
        after = front_end(port, token)
    assert [line[0] for line in before] == [line[0] for line in after], (before, after)
    shape = lambda lines: [sorted(line[1]) for line in lines if isinstance(line[1:] and line[1], dict)]  # noqa: E731
    for old, new in zip(shape(before), shape(after), strict=True):
        assert set(old) <= set(new), (old, new)
    told(f"the old front-end, unchanged at the same address: {[line[0] for line in after]}")


def is_listening(port):
    try:
        socketlib.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def every_stored_password():
    vectors = json.loads((HERE.parent / "vectors" / "password_hashes.json").read_text())["vectors"]
    for number, vector in enumerate(vectors):
        User.objects.create(username=f"vector{number}", password=vector["encoded"])
    imports("passwords")
    trimmed = lambda text: text == text.strip() and text != "" and "\0" not in text  # noqa: E731
    checked = 0
    with serves("passwords", SIGNIN_FAILURES="0", PASSWORD_COST="4") as here:
        for number, vector in enumerate(vectors):
            if trimmed(vector["password"]):
                signs_in(here, f"vector{number}", vector["password"])
                # Stored anew by now, and still the same password.
                signs_in(here, f"vector{number}", vector["password"])
                checked += 1
    assert checked > len(vectors) // 2, checked
    User.objects.filter(username__startswith="vector").delete()
    told(f"{checked} stored passwords of every form")


def beside_in_one_database():
    # The chats are copied from Django's tables into those that stand beside them.
    report = imports("one", "chats.toml", into=URL)
    assert "8 read, 8 copied" in report, report
    report = imports("one", "chats.toml", into=URL)
    assert "8 read, 0 copied, 8 here already" in report, report
    with serves("one", USERS="django", DATABASE_URL=URL, PASSWORD_HASHER="pbkdf2_sha256") as here:
        access = signs_in(SITE, "anna")["access"]
        path = f"/api/chats/{chat.pk}/messages/"
        pages = [gets(200, ask(base, path, token=access))["results"] for base in [here, SITE]]
        for one, other in zip(*pages, strict=True):
            assert (one["text"], one["timestamp"]) == (other["text"], other["timestamp"]), (one, other)
        with socket(here, f"/ws/chat/{chat.pk}/", access) as connection:
            hears(connection, "connection_established")
            connection.send(json.dumps({"type": "message", "text": "beside your tables"}))
            said = hears(connection, "message")["data"]
        gets(200, ask(here, f"{path}{said['id']}/", token=access))
        assert not Message.objects.filter(text=said["text"]).exists(), "Django's own chat stays as it was"
        told("one database: a copy of the chats, and life after it")
        beside(here, "one database", "frida", "gustav")
    call_command("migrate", check_unapplied=True, verbosity=0)


def beside_with_a_database_of_its_own():
    with serves("beside", USERS="django", DJANGO_DATABASE_URL=URL, PASSWORD_HASHER="pbkdf2_sha256") as here:
        beside(here, "two databases", "dora", "emil")


def beside(here, manner, dora, emil):
    """What holds for accounts that both have, wherever Tertulia keeps its own tables."""
    anna_here = signs_in(here, "anna")
    made = User.objects.create_user(dora, "", PASSWORD)
    assert gets(200, ask(here, "/api/users/me/", token=signs_in(here, dora)["access"]))["id"] == made.pk
    stored = User.objects.get(pk=made.pk).password
    assert stored == made.password, "Django's own form stays"
    told(f"{manner}: who signs up there signs in here")

    new = {"username": emil, "password": PASSWORD, "email": f"{emil}@example.org", "first_name": "Emil"}
    joined = gets(201, ask(here, "/api/users/", new))
    row = User.objects.get(username=emil)
    assert (row.pk, row.first_name, row.is_active, row.is_staff) == (joined["id"], "Emil", True, False)
    signs_in(SITE, emil)
    assert ask(here, "/api/users/", new)[0] == 400
    assert User.objects.get(username=emil).password == row.password, "no form is stored in turns"
    told(f"{manner}: who signs up here signs in there")

    emil_here = signs_in(here, emil)
    passwords = {"old_password": PASSWORD, "new_password": "another harbour 1988"}
    changed = ask(here, "/api/users/me/password/", passwords, token=emil_here["access"])
    assert changed[0] < 300, changed
    signs_in(SITE, emil, "another harbour 1988")
    gets(401, ask(SITE, "/api/token/", {"username": emil, "password": PASSWORD}))
    told(f"{manner}: a password that is changed here is changed there")

    # The session cookie, of the database and of signed cookies.
    status, _, headers = ask(SITE, "/login/", form={"username": "boris", "password": PASSWORD})
    assert status == 200
    cookie = headers["Set-Cookie"].split(";")[0]
    signed = signed_cookies.SessionStore()
    signed.update({
        SESSION_KEY: str(boris.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: boris.get_session_auth_hash(),
    })
    signed.save()
    in_cookie = f"sessionid={signed.session_key}"
    for value in [cookie, in_cookie, f"csrftoken=x; {cookie}"]:
        with socket(here, "/ws/chats/", Cookie=value) as connection:
            assert hears(connection, "connection_established")["username"] == "boris"
    with socket(here, "/ws/chats/", Cookie=cookie, Origin=here) as connection:
        hears(connection, "connection_established")
    for value in ["sessionid=abc", cookie[:-1], in_cookie[:-3]]:
        with socket(here, "/ws/chats/", Cookie=value) as connection:
            assert closed_with(connection) == 4001, value
    told(f"{manner}: the session cookie signs a socket in")

    # The blacklist, both ways.
    theirs, ours = str(RefreshToken.for_user(anna)), anna_here["refresh"]
    gets(200, ask(here, "/api/token/refresh/", {"refresh": theirs}))
    gets(200, ask(SITE, "/api/token/blacklist/", {"refresh": theirs}))
    refused = {"detail": "Token is blacklisted", "code": "token_not_valid"}
    assert gets(401, ask(here, "/api/token/refresh/", {"refresh": theirs})) == refused
    gets(200, ask(here, "/api/token/blacklist/", {"refresh": ours}))
    assert gets(401, ask(SITE, "/api/token/refresh/", {"refresh": ours})) == refused
    told(f"{manner}: the blacklist is one")

    # What Django changes takes effect within half a minute, on sockets too.
    vera_here = signs_in(here, "vera")
    by_django = AccessToken.for_user(vera)
    with (
        socket(here, "/ws/chats/", vera_here["access"]) as one,
        socket(here, "/ws/chats/", str(by_django)) as other,
        socket(here, "/ws/chats/", Cookie=cookie) as by_cookie,
    ):
        for connection in [one, other, by_cookie]:
            hears(connection, "connection_established")
        began = time.monotonic()
        vera.set_password("a third harbour 1989")
        vera.save()
        User.objects.filter(pk=boris.pk).update(is_active=False)
        assert [closed_with(one), closed_with(other), closed_with(by_cookie)] == [4001] * 3
        took = time.monotonic() - began
    assert took < 31, took
    gets(401, ask(here, "/api/token/", {"username": "boris", "password": PASSWORD}))
    signs_in(here, "vera", "a third harbour 1989")
    User.objects.filter(pk=boris.pk).update(is_active=True)
    signs_in(here, "boris")
    told(f"{manner}: another password and a deactivation there end sockets here, after {took:.1f} s")

    # Names and rights follow; who is deleted is gone.
    User.objects.filter(pk=made.pk).update(first_name="Theodora", is_staff=True)
    dora_here = signs_in(here, dora)
    me = gets(200, ask(here, "/api/users/me/", token=dora_here["access"]))
    assert (me["first_name"], me["is_staff"]) == ("Theodora", True), me
    group = {"kind": "group", "name": "all", "members": [anna.pk, joined["id"]]}
    gets(201, ask(here, "/api/chats/", group, token=dora_here["access"]))
    User.objects.filter(pk=made.pk).delete()
    within(31, "the deleted account to be gone", lambda: ask(here, "/api/users/me/", token=dora_here["access"])[0] == 401)
    told(f"{manner}: names, rights and deletions follow")
    vera.set_password(PASSWORD)
    vera.save()


try:
    tokens_both_ways()
    import_and_go_on()
    the_front_end_changes_nothing()
    every_stored_password()
    beside_with_a_database_of_its_own()
    beside_in_one_database()
finally:
    site.shutdown()
    django.db.connections.close_all()
    if PROJECT != "sqlite":
        with psycopg.connect(f"{PROJECT}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    PLACE.cleanup()
