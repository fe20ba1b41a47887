"""Which files are pictures: by the name where it says so, otherwise by the first bytes, whatever the name."""

import os

# As kind() calls them; Pillow's names of the same are FORMATS.
READ = ("JPEG", "PNG", "WebP", "BMP", "TIFF", "GIF")
FORMATS = tuple(name.upper() for name in READ)
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
NAMED = ", ".join(READ[:-1]) + " or " + READ[-1]

# First bytes -> what a file is, whatever its name says.
_KINDS = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\0\0\1\0", "ICO"), (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"), (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"\x76\x2f\x31\x01", "OpenEXR"), (b"FUJIFILM", "raw camera file"),
)
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # lengths that the header of a bitmap has
_NO_PICTURES = ("text", "ZIP", "PDF", "video")


def kind(data: bytes) -> str | None:
    """What a file is by its first 64 bytes ("JPEG", "PNG", "WebP", "GIF", ..., "text"), or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if data[4:8] == b"ftyp":
        return {b"avif": "AVIF", b"avis": "AVIF"}.get(data[8:12], "HEIC" if data[8:11] in (b"hei", b"hev", b"mif")
                                                       else "video")
    found = next((name for start, name in _KINDS if data.startswith(start)), None)
    plain = data[:64].strip()
    return found or ("text" if plain and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in plain) else None)


def kind_of(path: str) -> str | None:
    """`kind` of a file; None also where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return kind(file.read(64))
    except OSError:
        return None


def is_picture(path: str) -> bool:
    """Whether a path is taken for a picture: a file that has the name or the first bytes of one, or a link to nowhere
    with such a name, which cannot be read; no folder, pipe or socket."""
    # os.path, which does not raise on a link that leads to itself.
    if path.lower().endswith(SUFFIXES):
        return os.path.isfile(path) or (os.path.islink(path) and not os.path.exists(path))
    return os.path.isfile(path) and kind_of(path) in READ


def other_picture(path: str) -> str | None:
    """The kind of a picture file that is not read (HEIC, AVIF, ...); None for other files."""
    found = kind_of(path) if os.path.isfile(path) else None
    return None if found in (None, *READ, *_NO_PICTURES) else found


def visible(name: str) -> bool:
    """Whether a name is no hidden one and none of macOS' archives."""
    return not name.startswith(".") and name != "__MACOSX"


def pictures_below(folder: str) -> int:
    """Pictures, by name, in a folder and the folders in it; links to folders are not followed."""
    return sum(visible(name) and name.lower().endswith(SUFFIXES)
               for _, _, names in os.walk(folder) for name in names)
