"""Pixels on disk, written as they come and mapped when they are read: more of them than memory holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_BLOCK = 4096


class PixelFile:
    """An npy file of uint8 (n, h, w, c) that images are appended to; `close` writes how many there are."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path, self.shape, self.count = path, shape, 0
        self._file = path.open("wb")
        self._header()

    def append(self, pixels: np.ndarray) -> None:
        """Images uint8 (b, h, w, c) of this file's shape."""
        if pixels.shape[1:] != self.shape or pixels.dtype != np.uint8:
            raise ValueError(f"images of {pixels.shape[1:]} {pixels.dtype} do not go into a file of {self.shape}")
        self._file.write(np.ascontiguousarray(pixels).tobytes())
        self.count += len(pixels)

    def close(self) -> None:
        """Write the number of images, in the room that numpy leaves in a header for a number that grows."""
        self._file.seek(0)
        self._header()
        self._file.close()

    def coloured(self) -> PixelFile:
        """The same grey images in three channels, as a file of the same path that goes on."""
        self.close()
        grey = mapped(self.path)
        aside = self.path.with_suffix(".colour")
        found = PixelFile(aside, (*self.shape[:2], 3))
        for start in range(0, len(grey), _BLOCK):
            found.append(np.repeat(grey[start : start + _BLOCK], 3, axis=3))
        found._file.flush()
        aside.rename(self.path)
        found.path = self.path
        return found

    def _header(self) -> None:
        about = {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(self._file, about)


def mapped(path: Path) -> np.ndarray:
    """The pixels of a file, mapped: uint8 (n, h, w, c)."""
    return np.load(path, mmap_mode="r", allow_pickle=False)
