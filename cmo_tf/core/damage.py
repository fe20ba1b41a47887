"""What Python's readers of archives, arrays and JSON raise on damaged files: more than their documentation names."""

import lzma
import struct
import tokenize
import zipfile
import zlib

DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError, MemoryError,
          ArithmeticError, SyntaxError, struct.error, tokenize.TokenError, zlib.error, lzma.LZMAError,
          zipfile.BadZipFile)
