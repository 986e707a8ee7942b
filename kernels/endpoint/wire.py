"""What a server sends, believed in nothing: bounded server-sent events, checked JSON, clean text.

Whatever is wrong becomes a ``WireError`` with a name; nothing else is ever raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

LINE_BYTES = 1 << 20
TEXT_CHARACTERS = 200
MOST_TOKENS = 10**9
DONE = "[DONE]"

FaultKind = Literal[
    "unreachable",  # nobody answers, or the connection broke before an answer
    "refused",  # an HTTP status of 400 … 499: the server does not want such a request
    "failing",  # any other status that is no success, or an error in place of an answer
    "redirect",  # it points elsewhere, and there it may be another machine
    "malformed",  # no events, no JSON, or JSON of another shape
    "usage",  # token counts that cannot be
    "truncated",  # the stream ended before the answer did
    "endless",  # more bytes than the tokens asked for can need
    "timeout",  # silence for too long
]


class WireError(Exception):
    """A request that gave no whole answer: its kind and one clean line."""

    def __init__(self, kind: FaultKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by the server's count; ``cached`` of the prompt's, None where it does not say."""

    prompt: int
    completion: int
    cached: int | None


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a streamed answer; any part may be missing."""

    text: str
    finish: str | None
    usage: Usage | None
    model: str | None


class Events:
    """Cuts an event stream into its data, keeping at most a line and ``limit`` bytes in all."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._rest = b""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The data of every event that ``chunk`` completes; WireError when it is too much."""
        self._left -= len(chunk)
        if self._left < 0:
            raise WireError("endless", "the answer goes on beyond what was asked for")
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if max(map(len, (*lines, self._rest))) > LINE_BYTES:
            raise WireError("endless", f"a line of more than {LINE_BYTES} bytes")
        for line in lines:
            if event := self._line(line.removesuffix(b"\r")):
                yield event

    def _line(self, line: bytes) -> str | None:
        if not line:
            event, self._data = "\n".join(self._data), []
            return event
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
        return None


def read_piece(data: str) -> Piece:
    """An event's data as a piece of an answer, of /completions or of /chat/completions."""
    parsed = read_json(data)
    if not isinstance(parsed, dict):
        raise WireError("malformed", f"an event holds no object: {plain(data, 80)}")
    if parsed.get("error") is not None:
        raise WireError("failing", f"the server reports: {said(parsed)}")
    choices = parsed.get("choices")
    if not isinstance(choices, list | None):
        raise WireError("malformed", f"choices is no list: {plain(data, 80)}")
    choice = choices[0] if choices else {}
    if not isinstance(choice, dict):
        raise WireError("malformed", f"a choice is no object: {plain(data, 80)}")
    finish, model = choice.get("finish_reason"), parsed.get("model")
    return Piece(
        text=_text(choice),
        finish=plain(finish) if isinstance(finish, str) else None,
        usage=None if parsed.get("usage") is None else read_usage(parsed["usage"]),
        model=plain(model) if isinstance(model, str) else None,
    )


def read_usage(said: Any) -> Usage:
    """The token counts of an answer; WireError when they cannot be counts."""
    if not isinstance(said, dict):
        raise WireError("usage", "usage is no object")
    details = said.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    prompt, completion = (_count(said, key) for key in ("prompt_tokens", "completion_tokens"))
    if cached is not None:
        cached = _count({"cached_tokens": cached}, "cached_tokens")
        if cached > prompt:
            raise WireError("usage", f"{cached} cached tokens of a prompt of {prompt}")
    return Usage(prompt, completion, cached)


def read_json(text: str | bytes) -> Any:
    """JSON as the standard has it (no NaN); WireError for anything else, however deep or long."""
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    try:
        return STRICT.decode(shown)
    except (ValueError, RecursionError):
        raise WireError("malformed", f"no JSON: {plain(shown, 80)}") from None


def said(parsed: Any) -> str:
    """The message in a server's error, as clean as any text of a server."""
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    for key in ("message", "detail"):
        if isinstance(error, dict) and error.get(key):
            error = error[key]
    return plain(str(error))


def plain(text: str, most: int = TEXT_CHARACTERS) -> str:
    """Text of a server for people and files: one line, printable, not long."""
    cut = text[: 4 * most]
    clean = " ".join("".join(c if c.isprintable() else " " for c in cut).split())
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"


def _text(choice: dict[str, Any]) -> str:
    """The text of a choice, thoughts included: a model's reasoning is generated tokens too."""
    delta = choice.get("delta")
    holder, keys = (
        (delta, ("reasoning_content", "reasoning", "content"))
        if isinstance(delta, dict)
        else (choice, ("text",))
    )
    return "".join(holder[key] for key in keys if isinstance(holder.get(key), str))


def _count(said: dict[str, Any], key: str) -> int:
    value = said.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_TOKENS:
        raise WireError("usage", f"{key} is {plain(repr(value), 40)}, which counts nothing")
    return value


def _no_number(name: str) -> float:
    raise ValueError(name)


STRICT = json.JSONDecoder(parse_constant=_no_number)
