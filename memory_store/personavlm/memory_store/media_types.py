"""The types of media that are kept, and the extensions of their files."""

IMAGES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
RECORDINGS = {
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "audio/mp4": ".m4a",
    "audio/webm": ".weba",
}
EXTENSIONS = {**IMAGES, **RECORDINGS}
MEDIA_TYPES = {extension: media_type for media_type, extension in EXTENSIONS.items()}
