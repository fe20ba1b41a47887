"""Matplotlib figures as SVG text that takes its colours and its font from the page around it.

Figures are drawn through the object API alone: no pyplot, no global state, no display. Colours are written as CSS
variables with the light-page value as fallback, text and axes as `currentColor`, so one drawing fits light, dark and
paper. The same input gives the same bytes.
"""

import functools
import io
import re
from collections.abc import Callable

INK = "#010203"
WHITE = "#ffffff"
# Okabe and Ito's palette, told apart under every common colour-blindness.
COLOURS = {"all": INK, "many": "#0072b2", "medium": "#009e73", "few": "#d55e00", "heat": "#0b5f9e"}
_VARIABLES = {colour: f"var(--{name}, {colour})" for name, colour in COLOURS.items() if name != "all"}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_STYLE = {
    "svg.fonttype": "none", "svg.image_inline": True, "text.parse_math": False, "axes.unicode_minus": False,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "font.size": 10, "axes.labelsize": 10, "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "legend.fontsize": 9.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "axes.axisbelow": True,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "axes.grid": False, "grid.color": INK, "grid.alpha": 0.15, "grid.linewidth": 0.6, "legend.frameon": False,
}


def drawing(label: str, height: float = 3.0, width: float = 4.6) -> Callable:
    """Turns `draw(figure, ...)` into a function of the remaining arguments that returns the SVG as text.

    Args:
        label: what the drawing shows, read aloud by screen readers.
        height, width: inches; 4.6 fills a phone at reading size.
    """

    def decorate(draw: Callable) -> Callable:
        @functools.wraps(draw)
        def drawn(*args, **kwargs) -> str:
            # Imported here: reading or writing results must not cost a second of matplotlib.
            import matplotlib
            from matplotlib.figure import Figure

            with matplotlib.rc_context(_STYLE | {"svg.hashsalt": draw.__name__}):
                figure = Figure(figsize=(width, height), layout="constrained")
                draw(figure, *args, **kwargs)
                return _svg(figure, label)

        return drawn

    return decorate


def _svg(figure, label: str) -> str:
    import warnings

    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The page's fonts draw the text, so what matplotlib's own font lacks does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(buffer.getvalue(), label)


def _for_page(text: str, label: str) -> str:
    """Drops what a page must not inherit (ids, style rules, metadata, fixed size) and names the colours."""
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r' xmlns:xlink="[^"]*"', "", text).replace("xlink:href=", "href=")
    text = re.sub(r"font: ([^;\"]*?px) [^;\"]*", lambda size: f"font: {size[1]} {_FONT}", text)
    box = re.search(r'viewBox="[^"]*"', text)[0]
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{label}"'
    text = re.sub(r"<svg[^>]*>", f'{opening} style="stroke-linejoin: round">', text, count=1)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return re.sub(r"\n\s*\n", "\n", text.replace(INK, "currentColor"))


def one_line(text, limit: int = 16) -> str:
    """`text` fit for a label: one printable line of at most `limit` characters."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(str(text).split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"
