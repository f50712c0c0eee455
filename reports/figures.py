"""Line charts as inline SVG, made by hand: labelled axes with units, a legend, faults shaded and named, hover titles.

No script and no library: a figure is text that any browser shows offline. Colours are CSS variables of the page, so one
figure serves light and dark; lines differ in dash as well as in colour. Everything that comes from data is escaped.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape

from reports.frames import Window
from reports.statistics import Floats

WIDTH, HEIGHT = 560, 255
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 34, 52
_PLOT_W, _PLOT_H = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM


@dataclass(frozen=True)
class Line:
    """One line. Args: colour: CSS class of the page, such as "c1" or "p95". NaN and infinity are gaps."""

    label: str
    x: Floats
    y: Floats
    colour: str
    dashed: bool = False
    stepped: bool = False
    gap: float | None = None  # an x distance above which two points are not joined
    only_hover: bool = False  # said in the hover titles, not drawn


@dataclass(frozen=True)
class Level:
    """A horizontal mark, such as a capacity or a target."""

    label: str
    y: float


@dataclass
class Chart:
    """A chart in the making; `svg()` draws it.

    Args: unit: of the y axis, shown beside it. show: how a y value reads in ticks and hover titles. logarithmic: for
    values over several orders of magnitude; needs positive ones. x_range: the ends of the x axis. y_top: the end of the
    y axis, None: from the data.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    show: Callable[[float], str]
    x_range: tuple[float, float]
    x_title: str = "time in the run"
    x_show: Callable[[float], str] = field(default=lambda seconds: clock(seconds))  # noqa: PLW0108 - clock is below
    logarithmic: bool = False
    y_top: float | None = None
    faults: Sequence[Window] = ()
    levels: Sequence[Level] = ()
    hover_step: float = 1.0

    def svg(self) -> Markup:
        """The figure, or a sentence when there is nothing to draw."""
        drawn = [line for line in self.lines if not line.only_hover]
        finite = [line.y[np.isfinite(line.y)] for line in drawn]
        values = np.concatenate(finite) if finite else np.empty(0)
        values = values[values > 0] if self.logarithmic else values
        if not len(values):
            return Markup('<p class="nothing">No samples.</p>')
        self._scale_y(values)
        parts = [
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" preserveAspectRatio="xMidYMid meet">',
            f"<title>{escape(self.title)}</title>",
            self._faults(),
            self._grid(),
            self._levels(),
            *(self._path(line) for line in drawn),
            self._hover(),
            "</svg>",
        ]
        return Markup("".join(parts)) + self._legend()

    # Axes.

    def _scale_y(self, values: Floats) -> None:
        levels = [level.y for level in self.levels if math.isfinite(level.y)]
        top = max(float(values.max()), *levels, 0.0) if levels else float(values.max())
        if self.logarithmic:
            self._ticks = log_ticks(float(values.min()), top)
            self._low, self._high = math.log10(self._ticks[0]), math.log10(self._ticks[-1])
        else:
            self._ticks = nice_ticks(0.0, self.y_top if self.y_top is not None else top or 1.0)
            self._low, self._high = 0.0, self._ticks[-1]

    def _x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + _PLOT_W * (value - low) / ((high - low) or 1.0)

    def _y(self, value: float) -> float:
        place = math.log10(max(value, 1e-12)) if self.logarithmic else value
        share = (place - self._low) / ((self._high - self._low) or 1.0)
        return _TOP + _PLOT_H * (1 - min(1.0, max(0.0, share)))

    def _grid(self) -> str:
        out = [_text("axis unit", 2, _TOP - 17, self.unit)]
        for tick in self._ticks:
            y = self._y(tick)
            out.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
            out.append(_text("axis", _LEFT - 6, y + 4, self.show(tick), "end"))
        base = _TOP + _PLOT_H
        for tick in nice_ticks(*self.x_range, most=7, time=self.x_title.startswith("time in")):
            if self.x_range[0] <= tick <= self.x_range[1]:
                x = self._x(tick)
                out.append(f'<path class="tick" d="M{x:.1f} {base}v4"/>')
                out.append(_text("axis", x, base + 17, self.x_show(tick), "middle"))
        out.append(f'<path class="base" d="M{_LEFT} {base}H{WIDTH - _RIGHT}"/>')
        middle = _LEFT + _PLOT_W / 2
        out.append(_text("axis", middle, base + 35, self.x_title, "middle"))
        return "".join(out)

    # What happened, and what was measured.

    def _faults(self) -> str:
        """Shaded windows, each with its name above it; names that would collide take the row above."""
        out, taken = [], [_LEFT + 6.0 * len(self.unit) - 40, -1.0]
        for fault in sorted(self.faults, key=lambda each: each.start_s):
            start, end = max(fault.start_s, self.x_range[0]), min(fault.end_s, self.x_range[1])
            if end < start:
                continue
            x, width = self._x(start), max(1.5, self._x(end) - self._x(start))
            length = 5.6 * len(fault.name)
            text_x = min(x + 3, WIDTH - _RIGHT - length)
            row = 0 if text_x >= taken[0] else 1
            taken[row] = text_x + length + 6
            title = f"{fault.name} on {fault.kind}, {self.x_show(start)} to {self.x_show(end)} {fault.detail}".strip()
            out.append(f"<g><title>{escape(title)}</title>")
            out.append(f'<rect class="fault" x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{_PLOT_H}"/>')
            out.append(f'<path class="fault-edge" d="M{x:.1f} {_TOP}v{_PLOT_H}"/>')
            out.append(_text("fault-name", text_x, _TOP - 5 - 12 * row, fault.name) + "</g>")
        return "".join(out)

    def _levels(self) -> str:
        out = []
        for level in self.levels:
            y = self._y(level.y)
            out.append(f'<path class="level" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
            out.append(_text("level-name", WIDTH - _RIGHT - 3, y - 4, level.label, "end"))
        return "".join(out)

    def _path(self, line: Line) -> str:
        steps: list[str] = []
        last: tuple[float, float] | None = None
        alone = 0
        dots: list[str] = []
        for value_x, value_y in zip(line.x.tolist(), line.y.tolist(), strict=True):
            outside = not self.x_range[0] <= value_x <= self.x_range[1]
            if outside or not math.isfinite(value_y) or (self.logarithmic and value_y <= 0):
                last = None
                continue
            x, y = self._x(value_x), self._y(value_y)
            joined = last is not None and (line.gap is None or value_x - last[0] <= line.gap)
            if not joined:
                if alone == 1:
                    dots.append(steps[-1])
                steps.append(f"M{x:.1f} {y:.1f}")
                alone = 1
            else:
                steps.append(f"H{x:.1f}V{y:.1f}" if line.stepped else f"L{x:.1f} {y:.1f}")
                alone += 1
            last = (value_x, value_y)
        if alone == 1:
            dots.append(steps[-1])
        points = "".join(f"{dot}h0.01" for dot in dots)
        dash = " dashed" if line.dashed else ""
        return f'<path class="line {line.colour}{dash}" d="{"".join(steps)}{points}"/>'

    def _hover(self) -> str:
        """Invisible columns with what every line says there, as the browser's own tooltip."""
        low, high = self.x_range
        step = max(self.hover_step, (high - low) / 240)
        # Every line's points by column, so that drawing stays linear in their number.
        columns: dict[int, list[str]] = {}
        for line in self.lines:
            seen: set[int] = set()
            for value_x, value_y in zip(line.x.tolist(), line.y.tolist(), strict=True):
                column = int((value_x - low) / step + 1e-9)
                if math.isfinite(value_y) and column not in seen:
                    seen.add(column)
                    columns.setdefault(column, []).append(f"{line.label}: {self.show(value_y)}")
        out = []
        width = _PLOT_W * step / ((high - low) or 1.0)
        for column in sorted(columns):
            x = self._x(low + column * step)
            if x > WIDTH - _RIGHT:
                continue
            text = "\n".join([self.x_show(low + column * step), *columns[column]])
            out.append(
                f'<rect class="hover" x="{x:.1f}" y="{_TOP}" width="{max(width, 1):.1f}" height="{_PLOT_H}">'
                f"<title>{escape(text)}</title></rect>"
            )
        return "".join(out)

    def _legend(self) -> Markup:
        key = (
            '<span class="key"><svg viewBox="0 0 22 8" aria-hidden="true">'
            '<path class="line {}{}" d="M1 4H21"/></svg>{}</span>'
        )
        items = [
            Markup(key).format(line.colour, " dashed" if line.dashed else "", line.label)
            for line in self.lines
            if not line.only_hover
        ]
        return Markup('<div class="legend">{}</div>').format(Markup("").join(items))


def _text(kind: str, x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def nice_ticks(low: float, high: float, most: int = 5, *, time: bool = False) -> list[float]:
    """Round numbers from below `low` to above `high`, `most` + 1 of them at the most."""
    span = (high - low) or 1.0
    raw = span / most
    if time and raw > 20:
        step = next(
            (float(each) for each in (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400) if each >= raw), 86400.0
        )
    else:
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis that encloses both: 1, 2, 5 of each decade, or the decades of a long one."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max(index for index, step in enumerate(steps) if step <= low * 1.0001)
    last = max(first + 1, min(index for index, step in enumerate(steps) if step >= high * 0.9999))
    ticks = steps[first : last + 1]
    if len(ticks) <= 8:
        return ticks
    # The ends stay: they are the ends of the axis.
    inner = [tick for tick in ticks[1:-1] if math.isclose(math.log10(tick), round(math.log10(tick)))]
    near = [tick for tick in inner if tick >= ticks[0] * 2.1 and tick <= ticks[-1] / 2.1]
    return [ticks[0], *near, ticks[-1]]


def clock(seconds: float) -> str:
    """A time in the run: `45 s`, `2:05`, `1:02:05`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def milliseconds(value: float) -> str:
    """A time given in ms, for ticks and hover titles: `12 ms`, `1.5 s`."""
    if value >= 1000:
        return f"{value / 1000:.3g} s"
    return f"{value:.3g} ms"


def number(value: float) -> str:
    """A plain number: `0.25`, `12`, `16,000`."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
