"""The stateless random draws of TensorFlow in numpy, bit for bit: `tf.random.stateless_uniform` and its relatives.

With them a batch is the same function of (seed, step) where there is no TensorFlow. A seed is a pair of int64; every
function takes many seeds at once, int64 (..., 2), and draws for all of them together.

Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), Philox4x32 with 10 rounds; the layout of
seeds, keys and counters is TensorFlow's default generator on CPU and GPU.
"""

import numpy as np

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.uint64)
SCRAMBLE = np.array([0x3EC8F720, 0x02461E29], np.uint32)
ROUNDS = 10


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Philox4x32-10: uint32 (..., 4) counters under uint32 (..., 2) keys -> uint32 (..., 4) random words."""
    c0, c1, c2, c3 = np.moveaxis(counter, -1, 0)
    for number in range(ROUNDS):
        k0, k1 = _low(np.moveaxis(key + number * WEYL, -1, 0))
        first, second = MULTIPLIERS[0] * c0.astype(np.uint64), MULTIPLIERS[1] * c2.astype(np.uint64)
        c0, c1, c2, c3 = _high(second) ^ c1 ^ k0, _low(second), _high(first) ^ c3 ^ k1, _low(first)
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1)


def words(seed: np.ndarray, number: int) -> np.ndarray:
    """The first `number` random words of seeds (..., 2): uint32 (..., number)."""
    seed = np.ascontiguousarray(seed, dtype=np.int64)
    mixed = philox(seed.view(np.uint32), SCRAMBLE)
    key, counter = mixed[..., :2], mixed[..., 2:]
    groups = -(-number // 4)
    blocks = np.empty((*seed.shape[:-1], groups, 4), np.uint32)
    blocks[..., 0], blocks[..., 1] = np.arange(groups, dtype=np.uint32), 0
    blocks[..., 2:] = counter[..., None, :]
    return philox(blocks, key[..., None, :]).reshape(*seed.shape[:-1], groups * 4)[..., :number]


def integers(seed: np.ndarray, number: int) -> np.ndarray:
    """`stateless_uniform(dtype=int64, minval=None, maxval=None)`: all bits random, int64 (..., number)."""
    return np.ascontiguousarray(words(seed, 2 * number)).view(np.int64)


def uniform(seed: np.ndarray, number: int) -> np.ndarray:
    """`stateless_uniform(dtype=float64)`: 52 random bits in [0, 1), float64 (..., number)."""
    pairs = words(seed, 2 * number).reshape(*np.shape(seed)[:-1], number, 2).astype(np.uint64)
    bits = (pairs[..., 0] & np.uint64(0xFFFFF)) << np.uint64(32) | pairs[..., 1]
    return bits.astype(np.float64) * 2.0**-52


def uniform32(seed: np.ndarray, number: int) -> np.ndarray:
    """`stateless_uniform(dtype=float32)`: 23 random bits in [0, 1), float32 (..., number)."""
    return (words(seed, number) & np.uint32(0x7FFFFF)).astype(np.float32) * np.float32(2.0**-23)


def fold_in(seed: np.ndarray, data: np.ndarray) -> np.ndarray:
    """`stateless_fold_in`: seeds (..., 2) of integers `data` (...) folded into one seed (2,) or seeds (..., 2)."""
    first = integers(seed, 1)[..., 0]
    return np.stack(np.broadcast_arrays(first, np.asarray(data, np.int64)), axis=-1)


def split(seed: np.ndarray, number: int) -> np.ndarray:
    """`stateless_split`: `number` seeds of each seed, int64 (..., number, 2)."""
    return integers(seed, 2 * number).reshape(*np.shape(seed)[:-1], number, 2)


def permutation(size: int, seed: np.ndarray) -> np.ndarray:
    """`stateless_shuffle(range(size))` for a seed (2,): int64 (size,), by Fisher and Yates' exchanges."""
    order = list(range(size))
    offsets = words(seed, max(size - 1, 0)) % np.arange(size, 1, -1, dtype=np.uint32)
    for place, offset in enumerate(offsets.tolist()):
        other = place + offset
        order[place], order[other] = order[other], order[place]
    return np.array(order, np.int64)


def _high(product):
    return (product >> np.uint64(32)).astype(np.uint32)


def _low(product):
    return product.astype(np.uint32)
