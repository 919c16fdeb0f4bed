"""Which images come in: whole PNG, JPEG and WebP of limited size; remote ones only by permission."""

from __future__ import annotations

import asyncio
import base64
import http.server
import io
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from personavlm.deployments.images import ImagePolicy
from personavlm.platform.errors import RequestError

POLICY = ImagePolicy(max_bytes=100_000, allow_remote=False)


def encoded(kind: str, size: tuple[int, int] = (30, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 40, 40)).save(buffer, kind)
    return buffer.getvalue()


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def refusal(policy: ImagePolicy, url: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        asyncio.run(policy.read(url, "image"))
    assert caught.value.param == "image"
    return caught.value


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_bytes_decide_the_media_type(kind: str) -> None:
    image = asyncio.run(POLICY.read(data_url(encoded(kind), "image/whatever"), "image"))
    assert (image.media_type, image.width, image.height) == (f"image/{kind.lower()}", 30, 20)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(kind: str) -> None:
    assert refusal(POLICY, data_url(encoded(kind))).code == "invalid_image"


def test_a_torn_image_is_refused() -> None:
    data = encoded("PNG", (300, 300))
    assert refusal(POLICY, data_url(data[: len(data) // 2])).code == "invalid_image"


@given(st.binary(max_size=300))
def test_noise_is_refused(data: bytes) -> None:
    assert refusal(POLICY, data_url(data)).code == "invalid_image"


@given(
    st.text(max_size=60)
    | st.tuples(st.sampled_from(["data:", "HTTP://", "https://"]), st.text()).map("".join)
)
def test_no_text_gets_in_as_a_url(url: str) -> None:
    remote = url.lower().startswith(("http://", "https://"))
    refused = {"remote_image_refused"} if remote else {"invalid_image_url", "invalid_image"}
    assert refusal(POLICY, url).code in refused


def test_an_image_that_declares_too_many_pixels_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    policy = ImagePolicy(max_bytes=10_000_000, allow_remote=False)
    assert refusal(policy, data_url(buffer.getvalue())).code in ("image_too_large", "invalid_image")


@pytest.fixture
def picture_server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = encoded("PNG") if self.path == "/a.png" else b"x" * 300_000
            self.send_response(404 if self.path == "/none" else 200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_remote_images_are_fetched_by_permission_only(picture_server: str) -> None:
    allowed = ImagePolicy(max_bytes=100_000, allow_remote=True)
    assert refusal(POLICY, f"{picture_server}/a.png").code == "remote_image_refused"
    assert asyncio.run(allowed.read(f"{picture_server}/a.png", "image")).width == 30
    assert refusal(allowed, f"{picture_server}/none").code == "image_unreachable"
    assert refusal(allowed, f"{picture_server}/big").code == "image_too_large"
    assert refusal(allowed, "http://127.0.0.1:1/a.png").code == "image_unreachable"
