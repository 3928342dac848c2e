import base64
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mtcnn_tf.datasets import annotation_lists
from mtcnn_tf.images import image_files


@pytest.fixture
def photo():
    """A smooth image, so that compression changes little: red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, 90), np.linspace(0, 255, 60))
    return np.stack([x, y, np.full_like(x, 40)], axis=-1).astype(np.uint8)


def encoded(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_rgb_comes_back_as_rgb(photo, file_format):
    decoded = image_files.decode(encoded(Image.fromarray(photo), file_format))
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - photo).mean() < 4


def test_grey_cmyk_and_alpha_become_rgb(photo):
    image = Image.fromarray(photo)
    grey = image_files.decode(encoded(image.convert("L"), "JPEG"))
    assert grey.shape == photo.shape and (grey[..., 0] == grey[..., 2]).all()
    cmyk = image_files.decode(encoded(image.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(cmyk.astype(int) - photo).mean() < 6
    transparent = np.dstack([photo, np.zeros(photo.shape[:2], np.uint8)])
    np.testing.assert_array_equal(image_files.decode(encoded(Image.fromarray(transparent), "PNG")), photo)


def test_sixteen_bits_become_eight(photo):
    sixteen = cv2.imencode(".png", photo[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_allclose(image_files.decode(sixteen), photo, atol=1)


def test_a_map_of_numbers_is_no_image():
    with pytest.raises(ValueError, match="got an unreadable one"):
        image_files.as_rgb(b"Pf\n4 4\n-1.0\n" + bytes(4 * 4 * 4))


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
def test_what_a_format_can_not_hold_is_said(tmp_path, ending):
    image = np.zeros((1, 66_000, 3), np.uint8)
    if ending == ".png":
        image_files.write(tmp_path / "a.png", image)
        return
    with pytest.raises(ValueError, match="can hold, got one of .1, 66000, 3.; shrink it"):
        image_files.write(tmp_path / f"a{ending}", image)
    assert not list(tmp_path.iterdir())


def test_exif_orientation_is_respected(photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn clockwise to look at it
    turned = image_files.decode(encoded(Image.fromarray(photo), "JPEG", exif=exif, quality=95))
    assert np.abs(turned.astype(int) - np.rot90(photo, -1)).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_avif_is_respected_and_opencv_not_needed(photo, no_decoder, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = image_files.as_rgb(Image.open(io.BytesIO(encoded(Image.fromarray(photo), "PNG", exif=exif))))
    contents = encoded(Image.fromarray(photo), "AVIF", exif=exif, quality=95)  # which takes it out of `exif`
    assert (expected.shape == photo.shape) == (orientation < 5)
    decoded = image_files.decode(contents)
    assert decoded.dtype == np.uint8 and decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).mean() < 4
    assert not image_files.is_plain(contents)
    with pytest.raises(ValueError, match="cut.avif"):
        image_files.decode(contents[: len(contents) // 2], "cut.avif")


def test_plain_files_are_those_that_every_decoder_takes_alike(photo):
    image = Image.fromarray(photo)
    exif = Image.Exif()
    for orientation in (1, 6):
        exif[0x0112] = orientation
        for file_format in ("JPEG", "PNG"):
            contents = encoded(image, file_format, exif=exif)
            assert image_files.is_plain(contents) == (orientation == 1)
    assert image_files.is_plain(encoded(image.convert("L"), "PNG"))
    for file_format, mode in (("WEBP", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16")):
        converted = Image.new("I;16", (8, 8)) if mode == "I;16" else image.convert(mode)
        assert not image_files.is_plain(encoded(converted, file_format))
    assert not image_files.is_plain(b"") and not image_files.is_plain(b"no image")


@pytest.mark.parametrize(("longest_side", "shape"), [(None, (60, 90)), (90, (60, 90)), (45, (30, 45)), (32, (21, 32))])
def test_shrinking_keeps_proportions_and_never_enlarges(photo, longest_side, shape):
    shrunk = image_files.shrink(photo, longest_side)
    assert shrunk.shape == (*shape, 3) and (shrunk is photo) == (shape == (60, 90))
    assert abs(shrunk.mean() - photo.mean()) < 1
    line = np.zeros((1, 400, 3), np.uint8)
    assert image_files.shrink(line, 100).shape == (1, 100, 3)


def test_a_jpeg_comes_back_as_rgb_and_too_large_ones_are_refused(photo):
    contents = image_files.encode_jpeg(photo)
    assert image_files.is_plain(contents) and np.abs(image_files.decode(contents).astype(int) - photo).mean() < 4
    with pytest.raises(ValueError, match="65,500"):
        image_files.encode_jpeg(np.zeros((1, 66_000, 3), np.uint8))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("fraction", [0, 0.01, 0.5, 0.95])
def test_truncated_images_are_refused(photo, file_format, fraction):
    noisy = np.random.default_rng(0).integers(0, 256, photo.shape, dtype=np.uint8)
    whole = encoded(Image.fromarray(noisy), file_format)
    with pytest.raises(ValueError, match="cut.jpg"):
        image_files.decode(whole[: int(len(whole) * fraction)], "cut.jpg")


@pytest.fixture
def no_decoder(monkeypatch):
    """Nothing is decoded."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("OpenCV was called"))


FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")


@pytest.mark.parametrize("file_format", FORMATS)
def test_as_many_pixels_as_allowed_are_decoded(photo, file_format):
    contents = encoded(Image.fromarray(photo), file_format)
    assert image_files.decode(contents, max_pixels=90 * 60).shape == photo.shape


@pytest.mark.parametrize("file_format", FORMATS)
def test_of_more_pixels_than_allowed_the_header_alone_is_read(photo, file_format, no_decoder):
    contents = encoded(Image.fromarray(photo), file_format)
    with pytest.raises(ValueError, match=r"at most 5,399 pixels, got 90 × 60: 'a.x'; make it smaller"):
        image_files.decode(contents, "a.x", max_pixels=90 * 60 - 1)


def png_chunk(name, content, length=None):
    length = len(content) if length is None else length
    return struct.pack(">I", length) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, *others):
    rows = zlib.compress(bytes((1 + 3 * 8) * 8))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(others) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def test_a_decompression_bomb_is_not_decoded(tmp_path, no_decoder):
    (tmp_path / "bomb.png").write_bytes(png(30_000, 30_000))
    for image in (tmp_path / "bomb.png", png(30_000, 30_000)):
        with pytest.raises(ValueError, match="at most 89,478,485 pixels, got 30,000 × 30,000"):
            image_files.as_rgb(image)


@pytest.mark.parametrize("length", [2**32 - 1, 2**31 - 1, 40])
def test_a_png_does_not_get_the_memory_that_it_asks_for(length, no_decoder):
    with pytest.raises(ValueError, match="unreadable one"):
        image_files.decode(png(8, 8, png_chunk(b"teXt", b"short", length)))


def test_a_png_may_be_followed_by_anything_and_hold_chunks_that_nobody_knows():
    assert image_files.decode(png(8, 8, png_chunk(b"unKn", b"content")) + b"\xff\xff\xff\xff more").shape == (8, 8, 3)


def test_every_ending_that_data_sets_take_for_a_image_is_read(photo):
    for ending in annotation_lists.IMAGE_SUFFIXES:
        if ending in (".heic", ".heif"):  # which Pillow alone doesn't write
            continue
        mode = "L" if ending == ".pgm" else "RGB"
        file_format = Image.registered_extensions()[ending]
        assert image_files.decode(encoded(Image.fromarray(photo).convert(mode), file_format)).shape == photo.shape


def test_files(photo, tmp_path):
    path = tmp_path / "photo with späces.png"
    image_files.write(path, photo)
    np.testing.assert_array_equal(image_files.read(path), photo)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with pytest.raises(FileNotFoundError, match="nothing.jpg"):
        image_files.read(tmp_path / "nothing.jpg")
    with pytest.raises(ValueError, match="photo.txt"):
        image_files.write(tmp_path / "photo.txt", photo)
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match="text.jpg"):
        image_files.read(tmp_path / "text.jpg")


def test_arrays_of_many_sorts_are_the_same_image():
    image = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    for same in (
        image,
        tf.constant(image),
        np.concatenate([image, image[..., :1]], axis=2),
        image.astype(np.uint16) * 257,
        image.astype(">u2") * 257,
        image / 255,
        (image / 255).astype(np.float32),
        image[:, ::-1][:, ::-1],
    ):
        np.testing.assert_array_equal(image_files.as_rgb(same), image)
    for same in (image[..., ::-1], np.concatenate([image[..., ::-1], image[..., :1]], axis=2)):
        np.testing.assert_array_equal(image_files.as_rgb(same, color="bgr"), image)
    grey = image[..., 0]
    for same in (grey, grey[..., None]):
        np.testing.assert_array_equal(image_files.as_rgb(same), np.stack([grey] * 3, axis=2))
    assert image_files.as_rgb(np.array([[0, 128, 129, 65535]], np.uint16))[0, :, 0].tolist() == [0, 0, 1, 255]


def test_files_bytes_and_pillow_images_are_the_same_image(photo, tmp_path):
    path = tmp_path / "photo.png"
    image_files.write(path, photo)
    contents = path.read_bytes()
    image = Image.fromarray(photo)
    for same in (str(path), path, contents, bytearray(contents), memoryview(contents), image, Image.open(path)):
        for color in image_files.COLORS:  # is asked of arrays alone
            np.testing.assert_array_equal(image_files.as_rgb(same, color), photo)
    transparent = image.copy()
    transparent.putalpha(0)
    np.testing.assert_array_equal(image_files.as_rgb(transparent), photo)
    np.testing.assert_array_equal(image_files.as_rgb(image.convert("P")), np.array(image.convert("P").convert("RGB")))
    np.testing.assert_array_equal(image_files.as_rgb(image.convert("L"))[..., 1], np.array(image.convert("L")))


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bits_of_pillow_are_not_cut_off(mode):
    deep = np.array([[0, 257, 65535]], "<u2" if mode == "I;16" else ">u2")
    image = Image.frombytes(mode, (3, 1), deep.tobytes())
    assert image_files.as_rgb(image)[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_respected_by_files_and_pillow(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    contents = encoded(Image.fromarray(photo), "JPEG", exif=exif, quality=95)
    upright = {1: photo, 2: photo[:, ::-1], 3: np.rot90(photo, 2), 4: photo[::-1]}
    upright |= {5: photo.transpose(1, 0, 2), 6: np.rot90(photo, -1)}
    upright |= {7: np.rot90(photo, 2).transpose(1, 0, 2), 8: np.rot90(photo)}
    for same in (contents, Image.open(io.BytesIO(contents))):
        assert np.abs(image_files.as_rgb(same).astype(int) - upright[orientation]).mean() < 4


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), "at least one pixel"),
        (np.zeros((5, 5, 2), np.uint8), r"got \(5, 5, 2\)"),
        (np.zeros((1, 5, 5, 3), np.uint8), r"\[H, W, 3\]"),
        (np.zeros((5, 5, 3), np.int64), "got int64"),
        (np.full((5, 5, 3), 255.0), "0–1"),
        (np.full((5, 5, 3), np.nan), "0–1"),
        (None, r"got \(\)"),
        (b"", "whole JPEG"),
        (b"no image", "whole JPEG"),
        (Image.new("RGB", (0, 5)), "at least one pixel"),
        (Image.new("F", (5, 5), 255), "0–1"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        image_files.as_rgb(image)


def test_a_truncated_file_in_pillow_is_refused(photo):
    contents = encoded(Image.fromarray(photo), "PNG")
    with pytest.raises(ValueError, match="whole image"):
        image_files.as_rgb(Image.open(io.BytesIO(contents[: len(contents) // 2])))


def test_a_file_that_is_damaged_in_any_way_in_pillow_is_refused():
    half = png(8, 8).split(b"IDAT")[0][:-4] + png_chunk(b"IDAT", zlib.compress(bytes(200))[:6])
    image = Image.open(io.BytesIO(half + png_chunk(b"m\xfc\xbb\x08", b"no such chunk")))
    with pytest.raises(ValueError, match="whole image.*broken PNG file"):  # from a SyntaxError
        image_files.as_rgb(image)


def test_what_is_no_path_is_said_without_being_printed_whole(tmp_path):
    encoded = base64.b64encode(bytes(range(256)) * 20).decode()
    for text in (encoded, f"data:image/jpeg;base64,{encoded}"):
        with pytest.raises(ValueError, match="got what looks like Base64, .* give base64.b64decode of it$") as error:
            image_files.as_rgb(text)
        assert len(str(error.value)) < 200
    with pytest.raises(ValueError, match="got the address 'https://a.example/b.jpg'; fetch it and give its bytes"):
        image_files.as_rgb("https://a.example/b.jpg")
    with pytest.raises(FileNotFoundError, match="found no file") as error:
        image_files.as_rgb("no such.file/" * 2000)
    assert len(str(error.value)) < 300
    (tmp_path / "photo.txt").write_text("text")
    with open(tmp_path / "photo.txt") as file, pytest.raises(ValueError, match="opened for bytes, .* got str of it"):
        image_files.as_rgb(file)


@pytest.mark.parametrize("file_format", ["AVIF", "WEBP", "PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_file_is_turned_as_pillow_turns_it(photo, file_format, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(photo).save(file, file_format, exif=exif)
    wanted = image_files.as_rgb(Image.open(io.BytesIO(file.getvalue())))
    assert wanted.shape == ((90, 60, 3) if orientation > 4 else (60, 90, 3)) or photo.shape[0] == photo.shape[1]
    (tmp_path / "photo").write_bytes(file.getvalue())
    for found in (image_files.as_rgb(file.getvalue()), image_files.as_rgb(tmp_path / "photo")):
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted).mean() < 2


@pytest.mark.parametrize("is_turned", [False, True])
def test_heic_is_read_where_there_is_something_that_reads_it(photo, is_turned):
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6 if is_turned else 1
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(photo)).save(file, exif=exif.tobytes(), quality=95)
    found = image_files.decode(file.getvalue())
    wanted = np.rot90(photo, -1) if is_turned else photo
    assert found.shape == wanted.shape and np.abs(found.astype(int) - wanted).mean() < 10
    with pytest.raises(ValueError, match="at most 99 pixels"):
        image_files.decode(file.getvalue(), max_pixels=99)


def test_without_it_the_error_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(image_files, "HeifImageFile", None)
    monkeypatch.setattr(image_files, "_HEADERS", image_files._HEADERS[:9])
    with pytest.raises(ValueError, match="unreadable one: 'a.heic'; HEIC is read where pillow-heif is installed"):
        image_files.decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a.heic")
