"""The console: one static page at `/` through which a person talks to the service and sees what it keeps.

The page is plain HTML, CSS and ES modules without a build step. It holds no data of its own: everything
comes from the HTTP API with the key that the visitor signs in with. Its Content-Security-Policy admits
nothing but the page's own files, and Trusted Types turn any attempt to parse data as HTML into an error.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

FOLDER = Path(__file__).parent

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def router() -> APIRouter:
    """Routes of the page: `/` and `/console/{name}` for its styles, scripts and icon."""
    files = {path.name: path for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES}
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page() -> FileResponse:
        return _respond(files["index.html"])

    @routes.get("/console/{name}")
    async def file(name: str) -> FileResponse:
        if name not in files:
            raise HTTPException(404, f"The console has no file named {name!r}.")
        return _respond(files[name])

    return routes


def _respond(path: Path) -> FileResponse:
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=HEADERS)
