"""Shell completion of the names of clients: quick, and without a word where the database can't be asked."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from bridge.command.here import READY

if TYPE_CHECKING:
    from celery import Celery


def known_clients(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the clients whose ids begin like this; none where anything at all is wrong."""
    from bridge.operate.completing import names_of_clients  # only now: help and other completions need none of it

    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return [CompletionItem(name) for name in names_of_clients(_app(ctx), incomplete)]
    except (Exception, SystemExit):  # the person is typing: no error may get between
        return []
    finally:
        logging.disable(logging.NOTSET)


def _app(ctx: click.Context) -> Celery:
    """Return the app that the command line names; the root's callback has not run."""
    if (known := getattr(ctx.find_root().obj, "app", None)) is not None:
        found: Celery = known
        return found
    from bridge.command.project import named_app

    name = ctx.find_root().params.get("app") or os.environ.get("CELERY_APP") or READY
    return named_app(name) if isinstance(name, str) else name
