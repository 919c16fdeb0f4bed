"""Talk to a service whose model is a talking checkpoint."""

from __future__ import annotations

from typing import Any

from tests.integration.conftest import Service

PATIENCE_S = 240


def ask(service: Service, user: str, content: Any = "hello", **options: Any) -> Any:  # noqa: ANN401
    client = service.openai().with_options(timeout=PATIENCE_S)
    options = {"model": "talker", "metadata": {"trace": "true", "reasoning": "true"}} | options
    return client.chat.completions.create(
        user=user, messages=[{"role": "user", "content": content}], **options
    )


def spoken(text: str) -> set[str]:
    """The first letters of the words that were said."""
    return {word[0] for word in text.split()}


def turns(service: Service, user: str) -> list[dict[str, Any]]:
    with service.http() as client:
        entries = client.get(f"/v1/users/{user}/timeline", params={"limit": 100}).json()["data"]
    return [entry for entry in entries if entry["kind"] == "turn"]
