"""Recordings and videos made on the spot."""

from __future__ import annotations

import io
import math
import struct
import wave

from PIL import Image


def tone(seconds: float = 0.25, rate: int = 8000) -> bytes:
    """A WAV with a hum."""
    samples = (round(9000 * math.sin(i * 440 * math.tau / rate)) for i in range(round(seconds * rate)))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return buffer.getvalue()


def video(
    colours: list[str], form: str = "mp4", codec: str = "mpeg4", size: tuple[int, int] = (64, 48)
) -> bytes:
    """A second of each colour at eight frames a second. Needs PyAV."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream = container.add_stream(codec, rate=8)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for colour in colours:
            for _ in range(8):
                frame = av.VideoFrame.from_image(Image.new("RGB", size, colour))
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()
