"""Tell which serializers a consumer accepts: what it does not, Celery drops without a callback."""

from __future__ import annotations

from collections.abc import Collection

from kombu.serialization import registry


def accepts(accept_content: Collection[str] | None, serializer: str) -> bool:
    """Tell whether a consumer with this `accept_content` takes messages of this serializer.

    Args:
        accept_content: Names of serializers, or content types; None: what kombu takes then, which runs no code.
        serializer: Its name; one that kombu does not know is accepted by nobody.
    """
    if accept_content is None:
        return serializer == "json"
    accepted = {it if "/" in it else registry.name_to_type.get(it) for it in accept_content}
    return is_known(serializer) and registry.name_to_type[serializer] in accepted


def is_known(serializer: str) -> bool:
    """Tell whether kombu knows a serializer in this process."""
    return serializer in registry.name_to_type
