"""Every kind of image file gives the picture that was put in, as dark or bright as it is."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
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


def white_is_zero(tiff: bytes) -> bytes:
    """The same file with another PhotometricInterpretation."""
    before, after = (struct.pack("<HHIHH", 262, 3, 1, colors, 0) for colors in (1, 0))
    assert tiff.count(before) == 1
    return tiff.replace(before, after)


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    return png[:33] + png_chunk(name, content) + png[33:]


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


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
    "WhiteIsZero lzw.tif": white_is_zero(encoded(".tif", 4095 - deep(12))),
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
    "jpeg inside.tif": by_pillow(PILLOW, "TIFF", compression="jpeg", quality=100),
    "colour jpeg inside.tif": by_pillow(PILLOW.convert("RGB"), "TIFF", compression="jpeg", quality=100),
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
    tolerance = {"4 bits.tif": 16, "6 bits.pgm": 4, "high saturation.IMG": 6}.get(name, 3)
    lossy = name.endswith((".jpg", ".webp")) or "jpeg" in name
    difference = np.abs(seen.astype(int) - GREY)
    assert np.quantile(difference, 0.99 if lossy or "hot" in name else 1.0) <= tolerance, difference.max()
    assert len(said) <= 1


def test_the_flight_reader_gives_the_same_of_what_it_reads_and_leaves_the_rest(tmp_path: Path) -> None:
    read = left = 0
    for name, data in KINDS.items():
        path = tmp_path / name
        path.write_bytes(data)
        ours = read_samples(ImageItem(path))
        said = ""
        try:
            samples = flight_images.read_samples(ImageItem(path))
        except OtherFormatError as error:
            said = str(error)
        if said:
            left += 1
            assert said.startswith(f"{path}: ")
            assert "`hil segment` reads " in said
            continue
        read += 1
        assert np.array_equal(samples.values, ours.values), name
        assert samples.full_scale == ours.full_scale, name
    assert read >= 18
    assert left >= 30


def test_pages_are_images_of_their_own_and_thumbnails_are_not(tmp_path: Path) -> None:
    from astropy.io import fits as astropy_fits

    pages = [GREY, GREY[::-1], GREY[:, ::-1]]
    stack = tmp_path / "stack.tif"
    with tifffile.TiffWriter(stack) as writer:
        for page in pages:
            writer.write(page, contiguous=False)
        writer.write(GREY[::4, ::4], subfiletype=1)
    animation = tmp_path / "film.gif"
    Image.fromarray(pages[0]).save(animation, save_all=True, append_images=[Image.fromarray(p) for p in pages[1:]])
    cube, extensions = tmp_path / "cube.fits", tmp_path / "extensions.fits"
    astropy_fits.PrimaryHDU(np.stack(pages)).writeto(cube)
    units = [astropy_fits.PrimaryHDU(), *(astropy_fits.ImageHDU(page, name=f"SCI{n}") for n, page in enumerate(pages))]
    units += [astropy_fits.ImageHDU(GREY.astype(np.float32), name="ERR")]
    astropy_fits.HDUList(units).writeto(extensions)
    for path in (stack, animation, cube, extensions):
        items = list_pages(path)
        assert len(items) == 3, path
        for item, page in zip(items, pages, strict=True):
            assert np.abs(read_samples(item).values.astype(int) - page).max() <= 1, item
        assert str(items[1]) == f"{path}, page 2 of 3"


def test_pixels_that_a_mask_or_blank_marks_are_black(tmp_path: Path) -> None:
    from astropy.io import fits as astropy_fits

    path = tmp_path / "masked.fits"
    mask = np.zeros(GREY.shape, dtype=np.uint8)
    mask[40:60, 40:60] = 4
    units = [astropy_fits.PrimaryHDU(deep(12).astype(np.int16)), astropy_fits.ImageHDU(mask, name="DQ")]
    astropy_fits.HDUList(units).writeto(path)
    (item,) = list_pages(path)
    samples = read_samples(item)
    seen = scale_to_grey(samples, 4095.0)
    assert not seen[40:60, 40:60].any()
    assert np.abs(np.where(mask > 0, 0, GREY).astype(int) - seen).max() <= 1
    blank = tmp_path / "blank.fits"
    unit = astropy_fits.PrimaryHDU(np.where(mask > 0, -32768, deep(12)).astype(np.int16))
    unit.header["BLANK"] = -32768
    unit.writeto(blank)
    assert np.array_equal(scale_to_grey(read_samples(ImageItem(blank)), 4095.0), seen)


PDS4_LABEL = """<?xml version="1.0" encoding="UTF-8"?>
<Product_Observational xmlns="http://pds.nasa.gov/pds4/pds/v1"><Identification_Area>
<logical_identifier>urn:nasa:pds:a:b:c</logical_identifier><version_id>1.0</version_id><title>t</title>
<information_model_version>1.11.0.0</information_model_version><product_class>Product_Observational</product_class>
</Identification_Area><File_Area_Observational><File><file_name>frame.img</file_name></File>
<Array_2D_Image><local_identifier>image</local_identifier><offset unit="byte">0</offset><axes>2</axes>
<axis_index_order>Last Index Fastest</axis_index_order><Element_Array><data_type>UnsignedMSB2</data_type>
<scaling_factor>2.0</scaling_factor><value_offset>0.0</value_offset></Element_Array>
<Axis_Array><axis_name>Line</axis_name><elements>{rows}</elements><sequence_number>1</sequence_number></Axis_Array>
<Axis_Array><axis_name>Sample</axis_name><elements>{columns}</elements><sequence_number>2</sequence_number></Axis_Array>
<Special_Constants><missing_constant>65535</missing_constant><valid_maximum>4095</valid_maximum></Special_Constants>
</Array_2D_Image></File_Area_Observational></Product_Observational>
"""


@pytest.mark.parametrize("named", ["frame.xml", "frame.img"])
def test_a_pds4_product_is_read_by_its_label_or_its_data(named: str, tmp_path: Path) -> None:
    hole = np.zeros(GREY.shape, dtype=bool)
    hole[:5] = True
    (tmp_path / "frame.img").write_bytes(np.where(hole, 65535, deep(12)).astype(">u2").tobytes())
    rows, columns = GREY.shape
    (tmp_path / "frame.xml").write_text(PDS4_LABEL.format(rows=rows, columns=columns))
    (item,) = list_pages(tmp_path / named)
    samples = read_samples(item)
    assert samples.full_scale == 2 * 4095.0
    seen = scale_to_grey(samples, samples.full_scale)
    assert np.abs(np.where(hole, 0, GREY).astype(int) - seen).max() <= 1


@pytest.mark.parametrize("named", ["frame.LBL", "frame.IMG"])
def test_a_pds3_image_with_a_detached_label_is_read_by_either(named: str, tmp_path: Path) -> None:
    whole = pds3(deep(12).astype("<u2"), "LSB_UNSIGNED_INTEGER", 16, "  SCALING_FACTOR = 0.5", "  OFFSET = 10.0")
    label, _, rest = whole.partition(b"END\r\n")
    pixels = deep(12).astype("<u2").tobytes()
    assert rest.endswith(pixels)
    (tmp_path / "frame.IMG").write_bytes(pixels)
    (tmp_path / "frame.LBL").write_bytes(
        b"\r\n".join(
            b'^IMAGE = "FRAME.IMG"' if line.startswith(b"^IMAGE") else line
            for line in label.split(b"\r\n")
            if not line.startswith(b"LABEL_RECORDS")
        )
        + b"END\r\n"
    )
    (item,) = list_pages(tmp_path / named)
    values = read_samples(item).values
    assert np.allclose(values, deep(12) * 0.5 + 10.0)


CUT = ("8 bits.png", "12 bits.png", "grey.jpg", "lzw 12 bits.tif", "packed 12 bits.tif", "grey.bmp", "12 bits.pgm")
CUT += ("grey.webp", "grey.gif", "grey.jp2", "real 0..1.tif", "BZERO.fits", "16 bits.IMG", "cmyk.jpg", "BigTIFF.tif")


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_off_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    for kept in (0.0, 0.002, 0.5, 0.8):
        path.write_bytes(KINDS[name][: int(len(KINDS[name]) * kept)])
        with pytest.raises(ImageError) as raised:
            read_samples(list_pages(path)[0])
        assert str(raised.value).startswith(f"{path}: ")
        assert "\n" not in str(raised.value)
    # A disk that fills, or a card pulled out, often leaves the length and zeros.
    if name.endswith((".png", ".jpg")):
        half = len(KINDS[name]) // 2
        path.write_bytes(KINDS[name][:half] + bytes(len(KINDS[name]) - half))
        with pytest.raises(ImageError, match="damaged or cut off"):
            read_samples(ImageItem(path))


def test_more_pixels_than_are_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99))))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))
    with pytest.raises(ImageError, match=r"wide\.png: more pixels than can be read; crop or bin the image"):
        read_samples(ImageItem(path))
    large = tmp_path / "large.png"
    cv2.imwrite(str(large), np.zeros((20, 5000), dtype=np.uint8))
    with pytest.raises(ImageError, match=r"large\.png: expected 16\.\.4096 px a side, got 5000 x 20"):
        open_images([large]).frame(0)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("BZERO.fits", "astropy", "planetary"), ("16 bits.IMG", "pdr", "planetary"), ("real 0..1.tif", "tifffile", "hil")],
)
def test_a_missing_reader_is_one_line_that_says_what_to_install(
    name: str, package: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(KINDS[name])
    program = f"""
import runpy, sys
sys.modules[{package!r}] = None
sys.argv = ["hil", "stream", "--source", {str(tmp_path)!r}, "--endpoint", "ipc://{tmp_path}/none"]
runpy.run_module("hil.cli", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("hil stream: ")
    assert done.stderr.endswith(f"pip install 'rubblemap[{extra}]'\n")
    assert done.stderr.count("\n") == 1
