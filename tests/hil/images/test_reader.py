"""Every kind of image file gives the picture that was put in, as dark or bright as it is."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from flight.client import images as flight_images
from flight.client.bit_depth import scale_to_grey
from flight.client.images import ImageError, ImageItem, ImageSequence, OtherFormatError
from hil.images.folder import open_images
from hil.images.reader import list_pages, read_samples

ROOT = Path(__file__).parents[3]
GREY = cv2.imread(str(ROOT / "hil" / "flyby" / "frames" / "030.png"), cv2.IMREAD_GRAYSCALE)
# Not square, so that a turned one is noticed; its brightest pixel is white, so that every rule finds full scale.
GREY = np.rint(GREY[:, 8:120] * (255.0 / GREY[:, 8:120].max())).astype(np.uint8)


def deep(bits: int) -> np.ndarray:
    return np.rint(GREY / 255.0 * (2**bits - 1)).astype(np.uint16)


def encoded(suffix: str, array: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, array, options)
    assert done
    return data.tobytes()


def by_pillow(image: Image.Image, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def by_tifffile(array: np.ndarray, **options: object) -> bytes:
    sink = io.BytesIO()
    tifffile.imwrite(sink, array, **options)
    return sink.getvalue()


def packed(array: np.ndarray, bits: int) -> bytes:
    """Rows of numbers of so many bits, most significant first."""
    planes = (array[:, :, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint16)) & 1
    return np.packbits(planes.astype(np.uint8).reshape(array.shape[0], -1), axis=1).tobytes()


def plain_tiff(pixels: bytes, bits: int, order: str = "<", **more: int) -> bytes:
    """A TIFF of one strip without compression; more: further tags, as t339=2."""
    tags = {256: GREY.shape[1], 257: GREY.shape[0], 258: bits, 259: 1, 262: 1, 277: 1, 278: GREY.shape[0]}
    tags |= {279: len(pixels)} | {int(name[1:]): value for name, value in more.items()}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    short = {258, 259, 262, 274, 277, 339, 266, 281}
    directory = b""
    for tag, value in sorted(tags.items()):
        content = struct.pack(f"{order}H", value).ljust(4, b"\0") if tag in short else struct.pack(f"{order}I", value)
        directory += struct.pack(f"{order}HHI", tag, 3 if tag in short else 4, 1) + content
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return start + directory + bytes(4) + pixels


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    import zlib

    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return png[:33] + chunk + png[33:]


def pds3(pixels: np.ndarray, kind: str, bits: int, *more: str) -> bytes:
    rows, columns = pixels.shape
    record = pixels.dtype.itemsize * columns
    labels = -(-2048 // record)
    label = ["PDS_VERSION_ID = PDS3", "RECORD_TYPE = FIXED_LENGTH", f"RECORD_BYTES = {record}"]
    label += [f"FILE_RECORDS = {rows + labels}", f"LABEL_RECORDS = {labels}", f"^IMAGE = {labels + 1}"]
    label += ["OBJECT = IMAGE", f"  LINES = {rows}", f"  LINE_SAMPLES = {columns}", f"  SAMPLE_TYPE = {kind}"]
    label += [f"  SAMPLE_BITS = {bits}", *more, "END_OBJECT = IMAGE", "END", ""]
    return "\r\n".join(label).encode().ljust(labels * record) + pixels.tobytes()


def fits(array: np.ndarray, **keys: object) -> bytes:
    from astropy.io import fits as astropy_fits

    unit = astropy_fits.PrimaryHDU(array)
    unit.header.update(keys)
    sink = io.BytesIO()
    unit.writeto(sink)
    return sink.getvalue()


RGB = cv2.merge([GREY] * 3)
PILLOW = Image.fromarray(GREY)
CURVE = np.rint(GREY / 255.0 * 4095).astype(np.float32)
INT16 = (np.rint(GREY * (4095 / 255.0)) - 3).astype("<i2")
KINDS = {
    "8 bits.png": encoded(".png", GREY),
    "16 bits.png": encoded(".png", deep(16)),
    "14 bits.png": encoded(".png", deep(14)),
    "12 bits.png": encoded(".png", deep(12)),
    "10 bits.png": encoded(".png", deep(10)),
    "sBIT, as it is.png": with_chunk(encoded(".png", deep(12)), b"sBIT", b"\x0c"),
    "sBIT, scaled up.png": with_chunk(encoded(".png", deep(16)), b"sBIT", b"\x0c"),
    "colour of 12 bits.png": encoded(".png", cv2.merge([deep(12)] * 3)),
    "palette.png": by_pillow(PILLOW.convert("RGB").quantize(256), "PNG"),
    "opaque alpha.png": encoded(".png", cv2.merge([GREY, GREY, GREY, np.full_like(GREY, 255)])),
    "white under alpha.png": encoded(".png", cv2.merge([np.full_like(GREY, 255)] * 3 + [GREY])),
    "turned.png": by_pillow(Image.fromarray(np.rot90(GREY)), "PNG", exif=b"Exif\0\0" + plain_tiff(b"", 8, t274=6)),
    "grey.jpg": encoded(".jpg", GREY, cv2.IMWRITE_JPEG_QUALITY, 100),
    "turned.jpg": by_pillow(
        Image.fromarray(np.rot90(GREY)), "JPEG", quality=100, exif=b"Exif\0\0" + plain_tiff(b"", 8, t274=6)
    ),
    "cmyk.jpg": by_pillow(PILLOW.convert("RGB").convert("CMYK"), "JPEG", quality=100),
    "a png.jpg": encoded(".png", GREY),
    "lzw 12 bits.tif": encoded(".tif", deep(12)),
    "big-endian.tif": plain_tiff(deep(12).astype(">u2").tobytes(), 16, ">"),
    "packed 12 bits.tif": plain_tiff(packed(deep(12), 12), 12),
    "packed 10 bits, big-endian.tif": plain_tiff(packed(deep(10), 10), 10, ">"),
    "packed 14 bits.tif": plain_tiff(packed(deep(14), 14), 14),
    "4 bits.tif": plain_tiff(packed((GREY // 17).astype(np.uint16), 4), 4),
    "MaxSampleValue.tif": plain_tiff(deep(12).tobytes(), 16, t281=4095),
    "WhiteIsZero.tif": by_tifffile(255 - GREY, photometric="miniswhite"),
    "WhiteIsZero 12 bits.tif": by_tifffile(4095 - deep(12), photometric="miniswhite"),
    "WhiteIsZero lzw.tif": encoded(".tif", 4095 - deep(12)).replace(b"\x06\x01\x03\0\x01\0\0\0\x01", b"\x06\x01\x03\0\x01\0\0\0\0"),
    "real 0..1.tif": by_tifffile((GREY / 255.0).astype(np.float32)),
    "real, a hot pixel.tif": by_tifffile(np.where(np.arange(GREY.size).reshape(GREY.shape) == 99, 1e6, GREY / 255.0)),
    "real 0..4095.tif": by_tifffile(CURVE),
    "real, dark.tif": by_tifffile((GREY / 255.0 / 16).astype(np.float32)),
    "real lzw.tif": by_pillow(Image.fromarray(CURVE), "TIFF", compression="tiff_lzw"),
    "float64.tif": by_tifffile(GREY / 255.0),
    "half.tif": by_tifffile((GREY / 255.0).astype(np.float16)),
    "with NaN.tif": by_tifffile(np.where(GREY == 0, np.nan, GREY / 255.0).astype(np.float32)),
    "int16.tif": plain_tiff(INT16.tobytes(), 16, t339=2),
    "uint32.tif": by_tifffile(deep(12).astype(np.uint32)),
    "deflate.tif": by_tifffile(deep(12), compression="zlib", predictor=True),
    "tiles.tif": by_tifffile(deep(12), tile=(32, 32)),
    "BigTIFF.tif": by_tifffile(deep(12), bigtiff=True),
    "planes.tif": by_tifffile(np.stack([deep(12)] * 3), planarconfig="separate", photometric="rgb"),
    "palette.tif": by_pillow(PILLOW.convert("RGB").quantize(256), "TIFF"),
    "cmyk.tif": by_pillow(PILLOW.convert("RGB").convert("CMYK"), "TIFF"),
    "turned.tif": plain_tiff(GREY[::-1, ::-1].tobytes(), 8, t274=3),
    "turned real.tif": plain_tiff((GREY / 255.0)[::-1, ::-1].astype("<f4").tobytes(), 32, t274=3, t339=3),
    "SignificantBits.ome.tif": by_tifffile(deep(12), description='<OME><Pixels SignificantBits="12"/></OME>'),
    "grey.bmp": encoded(".bmp", GREY),
    "12 bits.pgm": b"P5\n# a camera's\n%d %d\n4095\n" % GREY.shape[::-1] + deep(12).astype(">u2").tobytes(),
    "6 bits.pgm": b"P5 %d %d 63\n" % GREY.shape[::-1] + (GREY // 4).tobytes(),
    "grey.webp": encoded(".webp", RGB, cv2.IMWRITE_WEBP_QUALITY, 101),
    "grey.gif": by_pillow(PILLOW, "GIF"),
    "grey.jp2": by_pillow(PILLOW, "JPEG2000"),
    "BZERO.fits": fits(deep(16)),
    "12 bits.fits": fits(deep(12), BITDEPTH=12),
    "int16.fits": fits(INT16.astype(">i2")),
    "real.fits": fits((GREY / 255.0).astype(">f4")),
    "scaled.fits": fits(np.rint(GREY / 255.0 * 4095).astype(np.float32) * 2.0, SATURATE=8190.0),
    "16 bits.IMG": pds3(deep(16).astype(">u2"), "MSB_UNSIGNED_INTEGER", 16),
    "8 bits.img": pds3(GREY, "UNSIGNED_INTEGER", 8),
    "bit mask.IMG": pds3(deep(12).astype("<u2"), "LSB_UNSIGNED_INTEGER", 16, "  SAMPLE_BIT_MASK = 2#0000111111111111#"),
    "real.IMG": pds3((GREY / 255.0).astype("<f4"), "PC_REAL", 32),
    "missing.IMG": pds3(
        np.where(GREY == 0, -32768, deep(12)).astype(">i2"), "MSB_INTEGER", 16, "  MISSING_CONSTANT = -32768"
    ),
    "high saturation.IMG": pds3(
        np.where(GREY >= 250, 32767, deep(12)).astype(">i2"),
        "MSB_INTEGER",
        16,
        "  SAMPLE_BIT_MASK = 16#0FFF#",
        "  HIGH_INSTR_SATURATION = 32767",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_gives_the_picture(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(KINDS[name])
    (item,) = list_pages(path)
    said: list[str] = []
    samples, full_scale = ImageSequence([item], read_samples, warn=said.append).samples(0)
    seen = scale_to_grey(samples, full_scale)
    assert seen.shape == GREY.shape
    tolerance = {"4 bits.tif": 9, "6 bits.pgm": 4, "high saturation.IMG": 6}.get(name, 3)
    lossy = name.endswith((".jpg", ".webp"))
    difference = np.abs(seen.astype(int) - GREY)
    assert np.quantile(difference, 0.99 if lossy or "hot" in name else 1.0) <= tolerance, difference.max()
    assert len(said) <= 1
