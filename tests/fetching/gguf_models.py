"""A small GGUF file of the Llama architecture, in a package on a package index of this machine."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from tokenizers import pre_tokenizers

from core.fetching.catalogue import SMOLLM2, Source

D_MODEL, N_LAYERS, N_HEADS, N_KV, FF = 64, 2, 4, 2, 96
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_gguf(path: Path) -> Path:
    """Random weights: Q4_1, Q8_0 and F32 as in the real file; a vocabulary of bytes and a few merges."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("h", "e"), ("t", "he"), ("Ġ", "the"), ("Ġ", "Ġ"), ("Ċ", "Ċ")]
    tokens = [*MARKS, *letters, *("".join(pair) for pair in merges)]
    tokens += [f"<unused{i}>" for i in range(-len(tokens) % 32)]
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(N_LAYERS)
    writer.add_context_length(256)
    writer.add_embedding_length(D_MODEL)
    writer.add_feed_forward_length(FF)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_KV)
    writer.add_rope_dimension_count(D_MODEL // N_HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(MARKS) + [1] * (len(tokens) - len(MARKS)))
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    random = np.random.default_rng(0)

    def put(name: str, *shape: int, kind: GGMLQuantizationType = GGMLQuantizationType.F32) -> None:
        values = (0.1 * random.standard_normal(shape)).astype(np.float32)
        data = values if kind == GGMLQuantizationType.F32 else quantize(values, kind)
        writer.add_tensor(name, data, raw_dtype=kind)

    put("token_embd.weight", len(tokens), D_MODEL, kind=GGMLQuantizationType.Q8_0)
    put("output_norm.weight", D_MODEL)
    kv = D_MODEL * N_KV // N_HEADS
    for i in range(N_LAYERS):
        put(f"blk.{i}.attn_norm.weight", D_MODEL)
        put(f"blk.{i}.ffn_norm.weight", D_MODEL)
        for part, shape in {
            "attn_q": (D_MODEL, D_MODEL),
            "attn_k": (kv, D_MODEL),
            "attn_v": (kv, D_MODEL),
            "attn_output": (D_MODEL, D_MODEL),
            "ffn_gate": (FF, D_MODEL),
            "ffn_up": (FF, D_MODEL),
            "ffn_down": (D_MODEL, FF),
        }.items():
            put(f"blk.{i}.{part}.weight", *shape, kind=GGMLQuantizationType.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def package(tmp_path: Path) -> tuple[Source, Path]:
    """A package with such a file in it, and its source."""
    source = replace(SMOLLM2, name="tiny-gguf", title="Tiny", package="tiny-gguf-model", version="1.0")
    source = replace(source, wheel="tiny_gguf_model-1.0-py3-none-any.whl", member="tiny/model.gguf")
    wheel, info = tmp_path / source.wheel, "tiny_gguf_model-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.write(write_gguf(tmp_path / "made.gguf"), source.member)
        file.writestr("tiny/filler", bytes(np.random.default_rng(1).bytes(600_000)))
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-gguf-model\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    data = wheel.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return replace(source, sha256=digest, wheel_bytes=len(data), model_bytes=2_000_000), wheel


class Index:
    """A package index: what it was asked for, and how it treats who asks."""

    def __init__(self, source: Source, data: bytes) -> None:
        self.source, self.data = source, data
        self.cut_after: int | None = None
        self.ranges: list[str] = []
        self.knows_ranges = True
        self.says_digest = True

    @contextmanager
    def served(self) -> Iterator[str]:
        """While open, it answers at the address that is given."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/simple"
        finally:
            server.shutdown()
            server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                if self.path.endswith(".whl"):
                    self._file()
                elif index.source.package in self.path:
                    mark = f"#sha256={index.source.sha256}" if index.says_digest else ""
                    page = f'<a href="/files/{index.source.wheel}{mark}">{index.source.wheel}</a>'
                    self._send(f"<!DOCTYPE html><html><body>{page}</body></html>".encode(), "text/html")
                else:
                    self.send_error(404)

            def _send(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _file(self) -> None:
                asked = self.headers.get("Range", "")
                index.ranges.append(asked)
                start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and index.knows_ranges else 0
                body = index.data[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if index.cut_after is None else body[: index.cut_after])
                self.close_connection = True

        return Handler
