"""What Python's readers of archives, arrays and JSON raise on damaged files: more than their documentation names."""

import lzma
import struct
import zipfile
import zlib

DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError, MemoryError,
          ArithmeticError, SyntaxError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
