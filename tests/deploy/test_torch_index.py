"""Whether the installation takes torch from PyTorch's index of CPU wheels."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy import torch_index


class Index(BaseHTTPRequestHandler):
    """Has torch and nothing else; as a proxy, it has torch of every host."""

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path.endswith("/torch/") else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Index) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_index_that_has_torch_answers(index: str) -> None:
    assert torch_index.answers(f"{index}/torch/", {}, 10)


def test_the_index_is_asked_through_the_proxy_of_pip(index: str) -> None:
    assert torch_index.answers("http://index.invalid/torch/", {"proxy": index}, 10)


@pytest.mark.parametrize("path", ["/", "/numpy/"])
def test_an_index_without_torch_does_not_answer(index: str, path: str) -> None:
    assert not torch_index.answers(index + path, {}, 10)


def test_an_index_that_cannot_be_reached_does_not_answer() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        assert not torch_index.answers(f"http://127.0.0.1:{port}/torch/", {}, 10)
    assert not torch_index.answers("https://index.invalid/torch/", {"cert": "/nowhere"}, 10)


def test_an_index_that_says_nothing_is_waited_for_no_longer_than_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/torch/"
        began = time.monotonic()
        assert not torch_index.answers(url, {}, 0.2)
    assert time.monotonic() - began < 10


@pytest.mark.integration
def test_pip_is_asked_what_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "pip.conf"
    told.write_text("[global]\nindex-url = https://mirror.invalid/simple\n[install]\nproxy = p:1\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(told))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more.invalid/simple")
    found = torch_index.pip_options()
    assert found["index-url"] == "https://mirror.invalid/simple"
    assert found["extra-index-url"] == "https://more.invalid/simple"
    assert found["proxy"] == "p:1"


@pytest.mark.integration
def test_pip_that_was_told_where_to_look_is_left_alone() -> None:
    said = subprocess.run(
        [sys.executable, torch_index.__file__],
        env=os.environ | {"PIP_EXTRA_INDEX_URL": "https://more.invalid/simple"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert (said.stdout, said.stderr) == ("", "")
