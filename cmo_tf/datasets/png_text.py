"""PNGs whose comments or colour profile are larger than Pillow allows, which says nothing against their pixels."""

TEXT = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")


def reading(data: bytes, use):
    """`use(data)`; where Pillow refuses a PNG for the size of its text or profile, `use` of it without them."""
    try:
        return use(data)
    except ValueError as error:
        if "MAX_TEXT" not in str(error):
            raise
        return use(without_text(data))


def without_text(data: bytes) -> bytes:
    """The PNG without its chunks of text and its colour profile."""
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        after = at + 12 + int.from_bytes(data[at:at + 4], "big")
        if data[at + 4:at + 8] not in TEXT:
            kept.append(data[at:after])
        at = after
    return b"".join(kept)
