"""How far sharpness-aware minimisation climbs, rho, as a pure function of the 0-indexed epoch (no keras)."""

from cmo_tf.core.errors import UserError


def parse_steps(text: str | None) -> list[tuple[int, float]]:
    """`"5:0.1,60:0.5"` -> [(5, 0.1), (60, 0.5)]: epochs from which rho is another.

    Raises:
        UserError: no such text, epochs that do not rise, a rho that is negative or not finite.

    Examples:
        >>> parse_steps("5:0.1,60:0.5")
        [(5, 0.1), (60, 0.5)]
    """
    steps = []
    for part in text.split(",") if text else ():
        epoch, _, rho = part.partition(":")
        try:
            steps.append((int(epoch), float(rho)))
        except ValueError:
            raise UserError(f"--sam_steps={text}: {part!r} is not EPOCH:RHO; write 5:0.1,60:0.5") from None
    epochs = [epoch for epoch, _ in steps]
    if epochs != sorted(set(epochs)) or min(epochs, default=1) < 1:
        raise UserError(f"--sam_steps={text}: epochs must rise from 1 on; the first epochs have --sam_rho")
    if not all(0 <= rho < float("inf") for _, rho in steps):
        raise UserError(f"--sam_steps={text}: rho must be at least 0 and finite")
    return steps


def rho_at(epoch: int, rho: float, steps: list[tuple[int, float]] = ()) -> float:
    """rho of an epoch: that of the last step at or before it, `rho` before the first.

    Examples:
        >>> [rho_at(epoch, 0.05, [(5, 0.1), (60, 0.5)]) for epoch in (0, 4, 5, 59, 60)]
        [0.05, 0.05, 0.1, 0.1, 0.5]
    """
    return next((value for first, value in reversed(steps) if epoch >= first), rho)
