"""Times llama.cpp beside a fused session: one row, weights of the same shape and bytes.

    python tests/speed/compare_llama.py PYTHON [--model 1b] [--rounds 5] [--steps 4] [--threads 2]

PYTHON is an interpreter that has llama-cpp-python and gguf, which we neither ship nor need. It
writes a GGUF file of constant-free noise in a temporary folder and holds llama.cpp in a process of
its own; both programs take turns, and the table has medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import tomllib
from pathlib import Path

import bench.profiles

CONTEXT = 16

THEIRS = """
import json, sys, time
import numpy as np
import gguf
from llama_cpp import Llama

shape, path, threads, steps, context = json.loads(sys.argv[1])
noise = np.random.default_rng(0).uniform(-1e-3, 1e-3, 1 << 22).astype(np.float16)
writer = gguf.GGUFWriter(path, "llama")
writer.add_vocab_size(shape["vocab_size"])
writer.add_context_length(4096)
writer.add_embedding_length(shape["d_model"])
writer.add_block_count(shape["n_layers"])
writer.add_feed_forward_length(shape["d_ffn"])
writer.add_head_count(shape["n_heads"])
writer.add_head_count_kv(shape["n_kv_heads"])
writer.add_key_length(shape["head_dim"])
writer.add_value_length(shape["head_dim"])
writer.add_rope_dimension_count(shape["head_dim"])
writer.add_rope_freq_base(shape["rope_theta"])
writer.add_layer_norm_rms_eps(shape["norm_eps"])
writer.add_file_type(1)
writer.add_tokenizer_model("no_vocab")
d, f = shape["d_model"], shape["d_ffn"]
q, kv = shape["n_heads"] * shape["head_dim"], shape["n_kv_heads"] * shape["head_dim"]
def add(name, rows, columns):
    writer.add_tensor(name, np.resize(noise, rows * columns).reshape(rows, columns))
add("token_embd.weight", shape["vocab_size"], d)
for i in range(shape["n_layers"]):
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(d, np.float32))
    parts = {"attn_q": (q, d), "attn_k": (kv, d), "attn_v": (kv, d), "attn_output": (d, q)}
    parts |= {"ffn_gate": (f, d), "ffn_up": (f, d), "ffn_down": (d, f)}
    for name, (rows, columns) in parts.items():
        add(f"blk.{i}.{name}.weight", rows, columns)
writer.add_tensor("output_norm.weight", np.ones(d, np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
model = Llama(path, n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False)
model.eval(list(range(1, context + 1)))
print("ready", flush=True)
for _ in sys.stdin:
    model.n_tokens = context
    began_s = time.perf_counter()
    for _ in range(steps):
        model.eval([7])
    print((time.perf_counter() - began_s) / steps, flush=True)
"""


def main() -> None:
    """Read the options, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("python", metavar="PYTHON")
    parser.add_argument("--model", default="1b")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    from bench.kernels.decoder import weights
    from bench.kernels.decoder.config import ModelConfig
    from bench.kernels.decoder.loops import Session
    from bench.kernels.decoder.model import Decoder

    torch.set_num_threads(options.threads)
    file = Path(bench.profiles.__file__).parent / "models" / f"{options.model}.toml"
    config = tomllib.loads(file.read_text(encoding="utf-8"))["config"]
    with tempfile.TemporaryDirectory() as folder:
        asked = [config, f"{folder}/noise.gguf", options.threads, options.steps, CONTEXT]
        other = subprocess.Popen(
            [options.python, "-c", THEIRS, json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert other.stdin is not None
        assert other.stdout is not None
        if other.stdout.readline().strip() != "ready":
            raise SystemExit(f"{options.python}: no llama_cpp and gguf, or they refuse the file")
        decoder = Decoder(ModelConfig.from_mapping(config), torch.device("cpu"), torch.bfloat16)
        weights.initialise(decoder.named_weights(), decoder.config.n_layers, 0, "uniform1e-3")
        session = Session(decoder, 1, CONTEXT + options.steps, route="fused")
        session.prefill([list(range(1, CONTEXT + 1))])
        pairs = []
        for _ in range(options.rounds):
            other.stdin.write("go\n")
            other.stdin.flush()
            theirs_s = float(other.stdout.readline())
            session.rewind()
            began_s = time.perf_counter()
            for _ in range(options.steps):
                session.step()
            pairs.append((theirs_s, (time.perf_counter() - began_s) / options.steps))
        other.kill()
        other.wait()
    theirs_s, own_s = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(theirs / own for theirs, own in pairs)
    print(f"load average at the end {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
    print(f"{options.model}, one row, 2 bytes a weight, medians of {options.rounds}")
    print(f"llama.cpp fp16 {1e3 * theirs_s:.0f} ms a step on {options.threads} threads")
    print(
        f"fused bf16 {1e3 * own_s:.0f} ms on {session.facts()['threads']}: {ratio:.2f} × its speed"
    )


if __name__ == "__main__":
    main()
