"""A person at the admin pages, through Django's test client."""

from __future__ import annotations

import html
import re
from typing import Any

HIDDEN = re.compile(r'<input type="hidden" name="(?P<name>[^"]+)" value="(?P<value>[^"]*)">')

MESSAGES = re.compile(r'<ul class="messagelist">(.*?)</ul>', re.DOTALL)
MESSAGE = re.compile(r"<li[^>]*>(.*?)</li>", re.DOTALL)


def browser(*permissions: str, superuser: bool = False, **options: Any) -> Any:
    """Log in somebody of the staff with these permissions, or a superuser."""
    from django.contrib.auth.models import Permission, User
    from django.test import Client

    name = "root" if superuser else "-".join(permissions) or "nobody"
    user, _ = User.objects.get_or_create(username=name, is_staff=True, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(**options)
    client.force_login(user)
    return client


def choose(client: Any, action: str, *ids: str, page: str = "parkedevent", **more: str) -> Any:
    """Select rows of a page and an action; what comes back asks, or says why it does not."""
    data = {"action": action, "_selected_action": list(ids), **more}
    return client.post(_at(page), data, follow=True)


def confirm(client: Any, asked: Any, *, page: str = "parkedevent", **more: str) -> Any:
    """Press the button of the page that asks."""
    data: dict[str, Any] = {}
    for field in HIDDEN.finditer(asked.content.decode()):
        data.setdefault(field["name"], []).append(html.unescape(field["value"]))
    assert data.get("confirmed") == ["yes"], "nothing was asked"
    return client.post(_at(page), {**data, **more}, follow=True)


def act(client: Any, action: str, *ids: str, page: str = "parkedevent", **more: str) -> Any:
    """Select rows and an action, and say yes."""
    return confirm(client, choose(client, action, *ids, page=page), page=page, **more)


def said(answer: Any) -> list[str]:
    """Return the messages on a page, without the capital letter that Django gives each."""
    (found,) = MESSAGES.findall(answer.content.decode()) or [""]
    return [html.unescape(message[:1].lower() + message[1:]) for message in MESSAGE.findall(found)]


def _at(page: str) -> str:
    """Return the address of a page, with the filters that follow its name."""
    name, _, filters = page.partition("?")
    return f"/admin/event_bridge/{name}/?{filters}"
