"""Archives as the packages of public data sets are."""

import io
import tarfile


def tar(files, folder, mode):
    """Bytes of an archive with `files` (name -> bytes) in a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
