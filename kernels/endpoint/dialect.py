"""How one server wants to be asked: which API, which model, which extensions it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Api = Literal["completions", "chat"]

EXTENSIONS: tuple[tuple[str, ...], ...] = (
    ("stream_options", "ignore_eos", "min_tokens"),
    ("stream_options", "ignore_eos"),
    ("stream_options",),
    (),
)
"""What to try, most wanted first: servers refuse fields that they do not know, or ignore them."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Requests of one kind: greedy, streamed, of so many tokens."""

    api: Api
    model: str
    known: tuple[str, ...] = EXTENSIONS[0]

    @property
    def path(self) -> str:
        """Where they go, below the base URL."""
        return "/chat/completions" if self.api == "chat" else "/completions"

    def body(self, prompt: str, output: int) -> dict[str, Any]:
        """A request for exactly ``output`` tokens where the server can promise that."""
        asked: dict[str, Any] = (
            {"messages": [{"role": "user", "content": prompt}]}
            if self.api == "chat"
            else {"prompt": prompt}
        )
        extensions = {
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
            "min_tokens": output,
        }
        return {
            "model": self.model,
            **asked,
            "max_tokens": output,
            "temperature": 0,
            "stream": True,
            **{name: extensions[name] for name in self.known},
        }
