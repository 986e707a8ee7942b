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
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.catalogue import load_model
from bench.kernels.decoder import weights

OK = b"HTTP/1.1 200 OK\r\nServer: fake/1\r\nConnection: close\r\n\r\n"
START_S = 60.0

Body = dict[str, Any]
Answer = Callable[[str, Body], AsyncIterator[bytes]]


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
        with contextlib.suppress(ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            size = [x for x in head.lower().splitlines() if x.startswith("content-length:")]
            body = json.loads(await reader.readexactly(int(size[0].split()[1]))) if size else {}
            self.asked.append((path, body, head))
            async for part in self.answer(path, body):
                writer.write(part)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def piece(text: str, **more: Any) -> bytes:
    return event({"choices": [{"index": 0, "text": text, "finish_reason": None}], **more})


def last(prompt: int, completion: int, finish: str | None = "length", **details: Any) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, **details}
    return event({"choices": [{"text": "", "finish_reason": finish}], "usage": usage})


MODELS = OK + json.dumps({"data": [{"id": "toy", "owned_by": "tests"}]}).encode()


async def good(path: str, body: Body) -> AsyncIterator[bytes]:
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
    loops = []

    def start(answer: Answer = good) -> Fake:
        server, ready = Fake(answer), threading.Event()
        loop = asyncio.new_event_loop()

        async def listen() -> None:
            listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
            server.port = listening.sockets[0].getsockname()[1]
            ready.set()

        def live() -> None:
            loop.run_until_complete(listen())
            loop.run_forever()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

        thread = threading.Thread(target=live)
        thread.start()
        assert ready.wait(5.0)
        loops.append((loop, thread))
        return server

    yield start
    for loop, thread in loops:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5.0)


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
    command = ["-m", "transformers.cli.transformers", "serve", "./micro", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, *command, "--dtype", "float32", "--port", str(port)],
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
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    shape = load_model("micro").config
    letters = {letter: byte for byte, letter in bytes_to_unicode().items()}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(place)
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        hidden_size=shape["d_model"],
        num_hidden_layers=shape["n_layers"],
        num_attention_heads=shape["n_heads"],
        num_key_value_heads=shape["n_kv_heads"],
        head_dim=shape["head_dim"],
        intermediate_size=shape["d_ffn"],
        vocab_size=shape["vocab_size"],
        max_position_embeddings=shape["max_context"],
        rms_norm_eps=shape["norm_eps"],
        tie_word_embeddings=shape["tied_head"],
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    ).save_pretrained(place)
    shutil.copy(weights.resolve("shipped:micro"), place / "model.safetensors")
