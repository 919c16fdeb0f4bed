"""A server that speaks OpenAI's endpoint for transcriptions: it "hears" the file's name and length."""

from __future__ import annotations

import asyncio
from email import message_from_bytes

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

router = APIRouter()
LONG = 16_000
"""Recordings of so many bytes are heard for as long as anybody waits."""


@router.post("/v1/audio/transcriptions", response_model=None)
async def transcriptions(request: Request) -> Response:
    """The model "broken" fails, "deaf" hears nothing."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = {
        str(part.get_param("name", header="content-disposition")): part
        for part in message_from_bytes(head + await request.body()).walk()
    }
    file, model = parts["file"], parts["model"].get_payload(decode=True)
    data = file.get_payload(decode=True)
    assert isinstance(data, bytes)
    if model == b"broken":
        return JSONResponse({"error": {"message": "no memory left"}}, status_code=400)
    while len(data) >= LONG and not await request.is_disconnected():
        await asyncio.sleep(0.02)
    words = "" if model == b"deaf" else f"{file.get_filename()} has {len(data)} bytes."
    return JSONResponse({"text": f" {words}\n"})
