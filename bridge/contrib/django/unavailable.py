"""Say in words why a page can't be shown: the log's database is away, has no schema, or does not let Django look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from bridge.contrib.django.database import alias
from bridge.store.callers import sqlstate_of
from bridge.wording import one_line

FORBIDDEN = "42501"
MISSING = ("42P01", "3F000", "42703", "42883")  # table, schema, column, function
TOO_LONG = "57014"
MIGRATE = "`manage.py migrate` makes it, or brings it up to date"


def shown_or_why_not(model_admin: Any, view: Callable[[], HttpResponse], request: HttpRequest) -> HttpResponse:
    """Return what a view returns, with all that it asks the database for; else a page that says why there is none."""
    try:
        response = view()
        if isinstance(response, TemplateResponse):
            response.render()  # a list asks for its rows only now
        return response
    except (DatabaseError, InterfaceError) as error:
        why = why_not(error)
        if why is None:
            raise
        site = model_admin.admin_site
        context = {"title": "This can't be shown", "why": why, "opts": model_admin.model._meta}
        context |= {"site_header": site.site_header, "site_title": site.site_title}
        return TemplateResponse(request, "admin/event_bridge/unavailable.html", context, status=503)


def why_not(error: Exception) -> str | None:
    """Return what an error says about the log's database; None for one that is nobody's but ours."""
    state, said = sqlstate_of(error), one_line(error)
    if state == FORBIDDEN:
        return f"the role that Django has at database {alias()!r} may not look at this: {said}; grant it fq_monitor"
    if state in MISSING:
        return f"the schema fq of database {alias()!r} is not there, or not as this code knows it: {said}; {MIGRATE}"
    if state == TOO_LONG:
        return f"database {alias()!r} has taken too long: {said}"
    if isinstance(error, OperationalError | InterfaceError):
        return f"database {alias()!r}, which holds the log, can't be asked: {said}"
    return None
