"""HDF5 files of anybody: what in one would read another file, or fill the memory, is refused before it is read."""

import h5py

# Of stored weights, packed or not, none grows a hundred times; what is small may.
EXPANSION, FLOOR = 100, 2**26


def check(file: h5py.File) -> None:
    """A ValueError that names the first link out of an open file, or data set that lies elsewhere or is a bomb."""
    groups, seen = [file], set()
    while groups:
        group = groups.pop()
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{where} is a link to elsewhere")
            part = group[name]
            if isinstance(part, h5py.Dataset):
                _check_data(part, where)
            elif isinstance(part, h5py.Group) and (address := h5py.h5o.get_info(part.id).addr) not in seen:
                seen.add(address)  # a group may hold itself
                groups.append(part)


def _check_data(data, where):
    if data.external or data.is_virtual:
        raise ValueError(f"the data of {where} lies in another file")
    if (data.nbytes or 0) > max(EXPANSION * data.id.get_storage_size(), FLOOR):
        raise ValueError(f"{where} unpacks to {data.nbytes:,} bytes")
