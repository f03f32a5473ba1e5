"""One picture from a file: every format to bytes of RGB or grey, and no file trusted before it is looked at."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dltrain.errors import DataError

Color = Literal["rgb", "grey"]
PILLOWS = 178_000_000  # pixels; beyond about that Pillow itself refuses
Pixels = Annotated[int, Field(ge=1, le=PILLOWS)]

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
EXTENSIONS = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".webp")
MOST = 64_000_000  # pixels of a picture, where nothing is said
WIDEST = 8  # bytes of a pixel, at most: RGB and alpha of 16 bits each
READS = 10_000  # of a header, at most; an honest one takes some dozens
TURNED = (5, 6, 7, 8)  # orientations that exchange height and width
ORIENTATION = 0x0112  # the tag of EXIF
WAY_OUT = "mend the file, leave it out, or say on_error: skip"


def read_image(path: Path | str, color: Color = "rgb", most: int = MOST, least: tuple[int, int] | None = None) -> Any:
    """A picture as bytes, (C, H, W), channels R, G, B or one of grey; DataError says what is wrong with the file.

    grey    Y = 0.299 R + 0.587 G + 0.114 B        16 bits to 8    y = round(x / 257)

    A JPEG may come at 1/2, 1/4 or 1/8 of its size, with both sides at least `least` (height, width).  The camera's turn (EXIF)
    is undone; of several frames the first counts; transparency is left out: the colours beneath it stay.
    """
    x = decoded(path, most, lambda image: pixels(image, color, least))
    return x.transpose(2, 0, 1) if x.ndim == 3 else x[None]


def read_labels(path: Path | str, most: int = MOST) -> Any:
    """The whole numbers of a label image, (H, W): of a palette image its indices, of another its grey values, up to 16 bits."""
    return decoded(path, most, numbers)


def read_size(path: Path | str, most: int = MOST) -> tuple[int, int]:
    """(height, width) of a picture as read_image gives it in full, from its header alone."""

    def size(image: Any) -> tuple[int, int]:
        width, height = image.size
        return (width, height) if image.format != "TIFF" and orientation(image) in TURNED else (height, width)

    found: tuple[int, int] = decoded(path, most, size)
    return found


class Limited(io.BufferedReader):
    """A file from which so many pieces may be taken: no header makes its reader go on forever."""

    left = READS

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise ValueError("it has too many parts")
        return super().read(size)


def decoded(path: Path | str, most: int, make: Any) -> Any:
    """What `make` makes of a picture whose header has been checked."""
    pillow = quiet_pillow()
    try:
        with opened(path, most * WIDEST + (1 << 20)) as file, pillow.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height <= most:
                file.left = READS + os.fstat(file.fileno()).st_size // 64
                return make(image)
    except DataError as error:
        raise DataError(f"{path}: {error}; {WAY_OUT}") from None
    except pillow.DecompressionBombError:
        pass
    except pillow.UnidentifiedImageError:
        raise DataError(f"{path}: is no picture in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; {WAY_OUT}") from None
    except Exception as error:  # a foreign file can make its reader raise anything
        words = str(error).partition("\n")[0][:100] or type(error).__name__
        raise DataError(f"{path}: is damaged or cut short ({words}); {WAY_OUT}") from None
    raise DataError(f"{path}: says that it has more than {most:,} pixels; leave the file out, or raise max_pixels")


def opened(path: Path | str, largest: int) -> Limited:
    """A file of at most so many bytes, and of one at least."""
    if not os.path.isfile(path):
        raise DataError("there is no such file")
    try:
        file = io.FileIO(path)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})") from None
    size = os.fstat(file.fileno()).st_size
    if not 0 < size <= largest:
        file.close()
        raise DataError(f"has {size:,} bytes, more than a picture may have" if size else "is empty")
    return Limited(file)


def quiet_pillow() -> Any:
    """Pillow's module Image; what it warns of, we say ourselves or not at all."""
    try:
        from PIL import Image
    except ImportError:
        raise DataError("pictures need Pillow, which is not installed: pip install 'dltrain[images]'") from None
    if not any(getattr(module, "pattern", "") == r"PIL\." for _, _, _, module, _ in warnings.filters):
        warnings.filterwarnings("ignore", module=r"PIL\.")  # for good: catch_warnings is not for threads
        logging.getLogger("PIL").addHandler(logging.NullHandler())
        libraries = ctypes.CDLL(vars(Image)["core"].__file__)
        if hasattr(libraries, "TIFFSetErrorHandler"):  # libtiff would write to stderr itself
            libraries.TIFFSetErrorHandler(None)
    return Image


def pixels(image: Any, color: Color, least: tuple[int, int] | None) -> Any:
    """The pixels of a picture as bytes, (H, W, 3) or (H, W), upright."""
    mode = "L" if color == "grey" else "RGB"
    if image.format in ("JPEG", "MPO"):
        smallest = image.size if least is None else least if orientation(image) in TURNED else least[::-1]  # width, height
        image.draft(mode, smallest)
    image.load()
    image.info.pop("transparency", None)
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int32)
        if wide.min() < 0 or wide.max() > 65535:
            raise DataError("has more than 16 bits a channel")
        grey = ((wide + 128) // 257).astype(np.uint8)
        x = grey if color == "grey" else np.broadcast_to(grey[..., None], (*grey.shape, 3))
    elif image.mode == "F":
        raise DataError("has fractions for pixels")
    else:
        x = np.asarray(image if image.mode == mode else image.convert(mode))
    return upright(x, orientation(image))


def numbers(image: Any) -> Any:
    """The pixels of a label image as they are stored, upright."""
    image.load()
    if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
        raise DataError(f"is no label image but of mode {image.mode}; labels are grey or palette images")
    x = np.asarray(image).astype(np.int32)
    if image.mode == "I" and (x.min() < 0 or x.max() > 65535):
        raise DataError("has more than 16 bits a channel")
    return upright(x, orientation(image))


def orientation(image: Any) -> int:
    """How the camera was held, 1 (upright) to 8; where that cannot be read, upright."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a picture is good without its EXIF
        return 1


def upright(x: Any, turn: int) -> Any:
    """(H, W, …) as it was seen, from how it is stored.  EXIF 2.3, table 4.6.4."""
    if turn in TURNED:
        x = x.swapaxes(0, 1)  # 5 is just that
    rows = -1 if turn in (3, 4, 7, 8) else 1
    columns = -1 if turn in (2, 3, 6, 7) else 1
    return x[::rows, ::columns]
