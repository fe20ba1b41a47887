"""What a field of Config says of its flag."""

import dataclasses


def flag(default, text, *, choices=None, low=None, high=None, kind=None, above=None, replay=True, methods=None):
    """A field of Config: default and help text, its choices or range (`above` excludes the bound), whether it is part
    of what `flags.cfg` replays, and the methods that it is for, if not for all."""
    return dataclasses.field(default=default, metadata=dict(
        help=text, choices=choices, low=low, high=high, above=above, replay=replay, kind=kind, methods=methods))
