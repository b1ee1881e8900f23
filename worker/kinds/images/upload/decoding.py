"""One image file, or one array, to uint8 pixels: limits before decoding, EXIF, alpha, 16 bit, size and channels.

Transparent images are laid on white. Of 16 bit the upper 8 are kept, rounded. Resizing scales the shorter side and cuts
out the middle, so that nothing is squeezed.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.kinds.images.upload.piece import refuse

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp")
UNREAD = (".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".svg", ".ico", ".ppm", ".pgm", ".dcm")
"""Images of forms that are not read, by which an upload is refused: leaving them out would lose them without a word."""
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
MOST_PIXELS = 50_000_000
"""Pixels of one image; a photograph has about half as many."""
MOST_BYTES = 100_000_000
"""Bytes of one image file."""
Channels = Literal["auto", "1", "3"]
_DAMAGE = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, IndexError, KeyError, struct.error, UnidentifiedImageError,
    MemoryError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    """What images are brought to: `side` of the square that is cut out, 0 to keep the size; `channels`."""

    side: int = 0
    channels: Channels = "auto"

    def file(self, data: bytes, name: str, meter: Meter) -> np.ndarray:
        """An image file as uint8 (h, w, 1 or 3). Raises `JobError` that names a file that cannot be read."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                return self._decoded(data, name, meter)
        except JobError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as bomb:
            raise _too_large(name, str(bomb)) from bomb
        except _DAMAGE as broken:
            why = "it is empty" if not data else str(broken)[:160] or type(broken).__name__
            if data and isinstance(broken, UnidentifiedImageError):
                why = "it is not PNG, JPEG, BMP or WebP, whatever its name"
            raise refuse(
                f"{name} is no image that can be read: {why}.",
                "Take the file out, or save it again as PNG or JPEG.",
            ) from broken

    def _decoded(self, data: bytes, name: str, meter: Meter) -> np.ndarray:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        wide, high = image.size
        if wide * high > MOST_PIXELS:
            raise _too_large(name, f"{wide:,} x {high:,} pixels")
        meter.promised(3 * wide * high, name)
        meter.decoded(3 * wide * high, name)
        if self.side:
            image.draft("RGB", (2 * self.side, 2 * self.side))  # a JPEG is decoded no larger than needed
        image.load()
        return self.array(_eight_bit(ImageOps.exif_transpose(image)))

    def array(self, pixels: np.ndarray) -> np.ndarray:
        """An image uint8 (h, w, 1, 3 or 4) in this form."""
        if pixels.shape[2] == 4:
            pixels = _on_white(pixels)
        if self.channels == "1" and pixels.shape[2] == 3:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
        if self.channels == "3" and pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        return self._cut(pixels)

    def _cut(self, pixels: np.ndarray) -> np.ndarray:
        high, wide, channels = pixels.shape
        if not self.side or (high, wide) == (self.side, self.side):
            return pixels
        image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        middle = min(high, wide)  # cut out first: of a strip, what is scaled would have no bounds
        left, top = (wide - middle) // 2, (high - middle) // 2
        scaled = image.resize(
            (self.side, self.side),
            Image.Resampling.BILINEAR,
            (left, top, left + middle, top + middle),
            reducing_gap=3.0,
        )
        return np.asarray(scaled).reshape(self.side, self.side, channels)


def _too_large(name: str, measured: str) -> JobError:
    return refuse(
        f"{name} is too large ({measured[:100]}); an image may have {MOST_PIXELS:,} pixels.",
        "Make it smaller before uploading.",
        code="decoded_too_large",
    )


def _eight_bit(image: Image.Image) -> np.ndarray:
    """Decoded pixels as uint8 (h, w, 1, 3 or 4)."""
    mode = image.mode
    if mode in ("P", "PA", "LA", "La", "RGBa") or (mode in ("L", "RGB") and "transparency" in image.info):
        image = image.convert("RGBA" if mode in ("PA", "LA", "La", "RGBa") or "transparency" in image.info else "RGB")
    elif mode == "1":
        image = image.convert("L")
    elif mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64).clip(0, 65_535)
        clear = image.info.get("transparency")
        wide[wide == (clear if isinstance(clear, int) else -1)] = 65_535
        return ((wide + 128) // 257).astype(np.uint8)[:, :, None]
    elif mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    grey = pixels.shape[2] == 4 and mode in ("L", "LA", "La")
    return _on_white(pixels)[:, :, :1] if grey else pixels


def _on_white(pixels: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 4) laid on white: uint8 (h, w, 3)."""
    alpha = pixels[:, :, 3:].astype(np.uint32)
    laid = pixels[:, :, :3].astype(np.uint32) * alpha + 255 * (255 - alpha)
    return ((laid + 127) // 255).astype(np.uint8)
