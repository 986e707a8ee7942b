"""Two servers on loopback: one written here that misbehaves at will, one real with real weights."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from bench.catalogue import load_model

WEIGHTS = Path("kernels/decoder/weights").absolute()
OK = b"HTTP/1.1 200 OK\r\nServer: fake/1\r\nConnection: close\r\n\r\n"
START_S = 180.0

Body = dict[str, Any]
Answer = Callable[[str, Body], AsyncGenerator[bytes, None]]


@dataclass
class Fake:
    """An HTTP server in a thread; ``answer`` writes each reply as raw bytes."""

    answer: Answer
    port: int = 0
    asked: list[tuple[str, Body, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._reply(reader, writer)
        finally:
            writer.close()

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        size = [x for x in head.lower().splitlines() if x.startswith("content-length:")]
        body = json.loads(await reader.readexactly(int(size[0].split()[1]))) if size else {}
        self.asked.append((path, body, head))
        async with contextlib.aclosing(self.answer(path, body)) as parts:
            async for part in parts:
                writer.write(part)
                await writer.drain()

    async def live(self, ready: threading.Event, over: asyncio.Event) -> None:
        """Serve until it is over; then end what is still being answered."""
        listening = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        ready.set()
        async with listening:
            await over.wait()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def piece(text: str, **more: Any) -> bytes:
    return event({"choices": [{"index": 0, "text": text, "finish_reason": None}], **more})


def last(prompt: int, completion: int, finish: str | None = "length", **details: Any) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, **details}
    return event({"choices": [{"text": "", "finish_reason": finish}], "usage": usage})


MODELS = OK + json.dumps({"data": [{"id": "toy", "owned_by": "tests"}]}).encode()


async def good(path: str, body: Body) -> AsyncGenerator[bytes, None]:
    """An honest server: a token per piece, named after the prompt's first word."""
    if path.endswith("/models"):
        yield MODELS
        return
    yield OK
    prompt = body.get("prompt") or body["messages"][0]["content"]
    for _ in range(body["max_tokens"]):
        yield piece(f" {prompt[:3]}")
        await asyncio.sleep(0)
    yield last(2 * len(prompt.split()), body["max_tokens"]) + b"data: [DONE]\n\n"


@pytest.fixture
def fake() -> Iterator[Callable[[Answer], Fake]]:
    """Start a fake server that answers so."""
    started = []

    def start(answer: Answer = good) -> Fake:
        server, ready, loop = Fake(answer), threading.Event(), asyncio.new_event_loop()
        over = asyncio.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(server.live(ready, over),))
        thread.start()
        assert ready.wait(5.0)
        started.append((loop, over, thread))
        return server

    yield start
    for loop, over, thread in started:
        loop.call_soon_threadsafe(over.set)
        thread.join(5.0)
        loop.close()


@dataclass(frozen=True)
class Real:
    """Transformers' own server with our byte-level model."""

    url: str
    model: str
    pid: int


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """``transformers serve``, from a folder made of the shipped weights; no network is needed."""
    for needed in ("fastapi", "uvicorn", "openai", "accelerate"):
        pytest.importorskip(needed)
    place = tmp_path_factory.mktemp("served")
    write_model(place / "micro")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (place / "log").open("w")
    code = f"from transformers.cli.serve import Serve; Serve('./micro', device='cpu', port={port})"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=place,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(place)},
    )
    try:
        url = f"http://localhost:{port}"
        wait_for(f"{url}/health", process, place / "log")
        yield Real(url, "./micro", process.pid)
    finally:
        process.kill()
        process.wait()
        log.close()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1.0):
            return
        time.sleep(0.1)
    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")


def write_model(place: Path) -> None:
    """The shipped model as Hugging Face lays it out: a token is a byte, nothing is merged."""
    place.mkdir()
    tokenizer = Tokenizer(models.BPE(vocab=letters_of_bytes(), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(place / "tokenizer.json"))
    known = json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"})
    (place / "tokenizer_config.json").write_text(known)
    (place / "config.json").write_text(json.dumps(config(load_model("micro").config)))
    shutil.copy(WEIGHTS / "micro.safetensors", place / "model.safetensors")


def letters_of_bytes() -> dict[str, int]:
    """Every byte as byte-level tokenizers write it: printable ones as they are, others above."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }


def config(shape: dict[str, Any]) -> dict[str, Any]:
    """Our shape in the words of a Llama's config.json."""
    names = {
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "num_key_value_heads": "n_kv_heads",
        "head_dim": "head_dim",
        "intermediate_size": "d_ffn",
        "vocab_size": "vocab_size",
        "max_position_embeddings": "max_context",
        "rms_norm_eps": "norm_eps",
        "rope_theta": "rope_theta",
        "tie_word_embeddings": "tied_head",
    }
    fixed = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu"}
    tokens = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    return fixed | tokens | {theirs: shape[ours] for theirs, ours in names.items()}
