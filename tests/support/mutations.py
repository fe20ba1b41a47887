"""Inputs for fuzzing: what is good, damaged a little, by a seed that says how."""

import random

ODD = [b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n", b"\t", b" ", b"-", b"--", b"=", b"#", b"/",
       b"../", b"//", b"\\", b"'", b'"', b"{", b"}", b"[", b"]", b",", b":", b"%s", b"0", b"-1", b"1e999", b"NaN",
       b"9" * 25, b"1.5", b"null", b"true", b"\xc3\xa4", b"\xe2\x80\xa8", b"\x7f", b"\x1b[2J", b"A" * 300, b"[" * 2000,
       b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"]


def mutated(seeds: list[bytes], words: list[bytes], seed: int) -> bytes:
    """One of `seeds` after 1 to 8 changes; `words` are what the format knows, put in as ODD things are."""
    draw = random.Random(seed)
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        place, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
        end = min(end, place + draw.choice((1, 2, 4, 16, 200)))
        kind = draw.randrange(7)
        if kind == 0 and data:
            data[min(place, len(data) - 1)] ^= 1 << draw.randrange(8)
        elif kind == 1 and data:
            data[min(place, len(data) - 1)] = draw.randrange(256)
        elif kind == 2:
            del data[place:end]
        elif kind == 3:
            data[place:place] = data[place:end] * draw.choice((1, 2, 30))
        elif kind == 4:
            data[place:end] = draw.choice(ODD + words)
        elif kind == 5:
            other = draw.choice(seeds)
            data[place:] = other[draw.randrange(len(other) + 1):]
        elif draw.random() < 0.3:
            del data[place:]
    return bytes(data)
