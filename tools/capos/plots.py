# SPDX-License-Identifier: MIT
"""The report's figures, drawn by matplotlib: rows of a data set in, a figure out. Systems differ by colour (Okabe and Ito's, which
colour-blind people tell apart) and by the shape of their marks."""
import io
import statistics

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot, ticker  # noqa: E402

WIDTH = 7.6         # inches
INK, FAINT, BAND = "#222222", "#8a8a8a", "#e4e4e4"
OURS, LINUX, NATIVE = "#0072b2", "#d55e00", "#009e73"
LOOK = {"capOS": (OURS, "o"), "Linux guest": (LINUX, "s"), "Linux native": (NATIVE, "D")}

matplotlib.rcParams.update({
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT,
    "xtick.color": INK, "ytick.color": INK, "axes.titlesize": 9, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "grid.color": "#eeeeee", "legend.frameon": False,
    "figure.facecolor": "white", "figure.constrained_layout.use": True, "svg.hashsalt": "capOS", "svg.fonttype": "path",
})


def canvas(height, columns=1, rows=1, **more):
    figure, axes = pyplot.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False, **more)
    return figure, axes


def lines_down(axis, labels):
    """A line for each label, from the top down."""
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.grid(False, axis="y")
    axis.tick_params(axis="y", length=0)


def legend(figure, axis):
    """One line above all axes, capOS first."""
    marks, labels = axis.get_legend_handles_labels()
    found = sorted(zip(labels, marks), key=lambda pair: not pair[0].startswith("capOS"))
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.27 / figure.get_figheight()))
    figure.legend([m for _, m in found], [label for label, _ in found], loc="upper left", borderaxespad=0.2, ncols=len(found), handletextpad=0.4, columnspacing=1.6)


def scale_lines(rows):
    """Labels of (workers, span), in order."""
    keys = sorted({(int(r["workers"]), r["span"]) for r in rows}, key=lambda k: (k[0], k[1] != "work"))
    return keys, [f"{w} worker{'s' if w > 1 else ''}, {span}" for w, span in keys]


def panels(rows):
    return sorted({r["slots"] for r in rows}, key=lambda s: s != "padded")


def scaling(rows, host_cpus):
    """Speedups of many workers over one, by system."""
    keys, labels = scale_lines(rows)
    figure, axes = canvas(0.9 + 0.46 * len(keys), len(panels(rows)), sharey=True, sharex=True)
    systems = [s for s in LOOK if any(r["system"] == s for r in rows)]
    for axis, slots in zip(axes[0], panels(rows)):
        lines_down(axis, labels)
        axis.axvline(host_cpus, color=FAINT, linewidth=1, linestyle="--")
        for i, system in enumerate(systems):
            found = [r for r in rows if r["system"] == system and r["slots"] == slots]
            x = [r["speedup"] for r in found]
            y = [keys.index((r["workers"], r["span"])) + (i - (len(systems) - 1) / 2) * 0.24 for r in found]
            ends = [[abs(r["speedup"] - r["interval"][side]) for r in found] for side in (0, 1)]
            colour, mark = LOOK[system]
            axis.errorbar(x, y, xerr=ends, fmt=mark, color=colour, markersize=5, linewidth=1.2, label=system)
        axis.set_title(f"{slots} result slots")
        axis.set_xlabel("speedup over one worker (times)")
    axes[0][-1].set_xlim(0.95, host_cpus + 0.15)
    legend(figure, axes[0][0])
    return figure


def ratios(rows):
    """capOS to Linux, against what Linux differs from itself."""
    rows = [r for r in rows if r["span"] != "setup"]
    keys, labels = scale_lines(rows)
    figure, axes = canvas(0.9 + 0.32 * len(keys), len(panels(rows)), sharey=True, sharex=True)
    for axis, slots in zip(axes[0], panels(rows)):
        lines_down(axis, labels)
        axis.axvline(1, color=FAINT, linewidth=1)
        found = [r for r in rows if r["slots"] == slots]
        y = [keys.index((int(r["workers"]), r["span"])) for r in found]
        low, high = ([r["linux_interval"][side] for r in found] for side in (0, 1))
        axis.barh(y, [b - a for a, b in zip(low, high)], left=low, height=0.62, color="#f6d3b8", label="Linux A ÷ Linux B, 95 %")
        axis.plot([r["linux_ratio"] for r in found], y, "|", color=LINUX, markersize=13, label="median of it")
        ends = [[abs(r["ratio"] - r["ratio_interval"][side]) for r in found] for side in (0, 1)]
        axis.errorbar([r["ratio"] for r in found], y, xerr=ends, fmt="o", color=OURS, markersize=5, linewidth=1.2,
                      label="capOS ÷ Linux, 95 %")
        axis.set_title(f"{slots} result slots")
        axis.set_xlabel("ratio of times (below 1: faster)")
    legend(figure, axes[0][0])
    return figure


def powers(axis):
    """Plain numbers along a logarithmic axis."""
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1,) if high > 100 * low else (1, 2, 5)))
    axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:,.0f}" if v >= 1 else f"{v:g}"))


def factor(value):
    """In short: "26x", "2.5x", "0.4x"."""
    return f"{value:.0f}x" if value >= 10 else f"{value:.1f}x" if value >= 1 else f"{value:.1g}x"


def dumbbells(rows, label):
    """A line per row {name, ours, linux, target, missed}: both systems and the target on a logarithmic axis; at the right how many times
    ours Linux's is, and whether the target is missed."""
    figure, axes = canvas(0.95 + 0.25 * len(rows))
    axis = axes[0][0]
    lines_down(axis, [r["name"] for r in rows])
    axis.set_xscale("log")
    for y, r in enumerate(rows):
        if r["linux"]:
            axis.plot([r["ours"], r["linux"]], [y, y], color=BAND, linewidth=2.5, zorder=1)
    compared = [(y, r) for y, r in enumerate(rows) if r["linux"]]
    aimed = [(y, r) for y, r in enumerate(rows) if r["target"]]
    axis.plot([r["ours"] for r in rows], range(len(rows)), "o", color=OURS, markersize=5.5, label="capOS")
    axis.plot([r["linux"] for _, r in compared], [y for y, _ in compared], "s", color=LINUX, markersize=5, label="Linux guest")
    axis.plot([r["target"] for _, r in aimed], [y for y, _ in aimed], "|", color=INK, markersize=12, markeredgewidth=1.3, label="target: at most")
    powers(axis)
    axis.set_xlabel(label)
    side = axis.twinx()
    lines_down(side, [factor(r["linux"] / r["ours"]) if r["linux"] else "" for r in rows])
    for y, r in enumerate(rows):
        if r["missed"]:
            side.annotate("missed", (1, y), xytext=(41, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center", color="#b03000")
    side.annotate("Linux ÷ capOS", (1, 1), xytext=(3, 4), xycoords="axes fraction", textcoords="offset points", va="bottom")
    side.spines[["left", "right"]].set_visible(False)
    legend(figure, axis)
    return figure


QUANTILES = (("median", {"markersize": 6}), ("99 %", {"markersize": 3.5}), ("99.9 %", {"markersize": 4.5, "markerfacecolor": "white"}),
             ("worst", {"marker": "|", "markersize": 9, "markeredgewidth": 1.4}))


def quantiles(rows, label):
    """A line per row {name, found: [(system, [median, 99 %, 99.9 %, worst])]} and system, on a logarithmic axis."""
    figure, axes = canvas(0.95 + 0.42 * len(rows))
    axis = axes[0][0]
    lines_down(axis, [r["name"] for r in rows])
    axis.set_xscale("log")
    seen = {}
    for y, r in enumerate(rows):
        for i, (system, values) in enumerate(r["found"]):
            colour, mark = LOOK[system]
            at = y + (i - (len(r["found"]) - 1) / 2) * 0.34
            axis.plot([values[0], values[-1]], [at, at], color=colour, linewidth=1, alpha=0.5, zorder=1)
            for value, (name, look) in zip(values, QUANTILES):
                drawn, = axis.plot([value], [at], linestyle="none", color=colour, **{"marker": mark, **look})
                seen.setdefault(system if name == "median" else None, drawn)
    for name, look in QUANTILES:
        seen[name], = axis.plot([], [], linestyle="none", color=FAINT, **{"marker": "o", **look})
    seen.pop(None, None)
    for name, drawn in seen.items():
        drawn.set_label(name)
    powers(axis)
    axis.set_xlabel(label)
    legend(figure, axis)
    return figure


POLICIES = {"eevdf": ("EEVDF", OURS, "o"), "wfq": ("WFQ", "#aa4499", "^")}


def strips(rows, measures):
    """Panels side by side, one per measure (field, label, factor); in each a line per count of CPUs and policy: a dot for each seed, a
    stroke for their median."""
    counts = sorted({int(r["cpus"]) for r in rows})
    figure, axes = canvas(0.95 + 0.5 * len(counts), len(measures), sharey=True)
    for axis, (name, label, unit) in zip(axes[0], measures):
        lines_down(axis, [f"{n} CPU{'s' if n > 1 else ''}" for n in counts])
        for i, (policy, (title, colour, mark)) in enumerate(POLICIES.items()):
            for y, cpus in enumerate(counts):
                values = [r[name] * unit for r in rows if r["policy"] == policy and r["cpus"] == cpus]
                at = y + (i - 0.5) * 0.4
                axis.plot(values, [at] * len(values), mark, color=colour, markersize=4, alpha=0.55, markeredgewidth=0,
                          label=title if y == 0 and values else None)
                if values:
                    axis.plot([statistics.median(values)], [at], "|", color=INK, markersize=11, markeredgewidth=1.4)
        axis.set_xlim(left=0)
        axis.set_xlabel(label)
        axis.xaxis.set_major_locator(ticker.MaxNLocator(4))
    legend(figure, axes[0][0])
    return figure


def growth(rows, operations, label):
    """Cost over the number of threads, one panel per policy. A straight line is growth by the logarithm. operations: {field: title}."""
    policies = [p for p in POLICIES if any(r["policy"] == p for r in rows)]
    figure, axes = canvas(2.9, len(policies), sharey=True)
    colours, marks = (OURS, LINUX, NATIVE, "#cc79a7", "#e69f00"), "osD^v"
    for axis, policy in zip(axes[0], policies):
        found = sorted((r for r in rows if r["policy"] == policy), key=lambda r: r["threads"])
        for (field, title), colour, mark in zip(operations.items(), colours, marks):
            axis.plot([r["threads"] for r in found], [r[field] for r in found], mark + "-", color=colour, markersize=4, linewidth=1.2, label=title)
        axis.set_xscale("log")
        powers(axis)
        axis.set_ylim(bottom=0)
        axis.set_title(POLICIES[policy][0])
        axis.set_xlabel("threads on the queue (logarithmic)")
    axes[0][0].set_ylabel(label)
    legend(figure, axes[0][0])
    return figure


def queue(rows, label):
    """Instructions of an operation over the number queued, a line per kind of parameters; strokes: what it may cost."""
    figure, axes = canvas(2.9)
    axis = axes[0][0]
    for params, colour, mark in zip(sorted({r["params"] for r in rows}), (OURS, LINUX, NATIVE), "osD"):
        found = sorted((r for r in rows if r["params"] == params), key=lambda r: r["queued"])
        axis.plot([r["queued"] for r in found], [r["mean"] for r in found], mark + "-", color=colour, markersize=4, linewidth=1.2, label=params)
    aimed = {r["queued"]: r["target"] for r in rows if r["target"]}
    axis.plot(list(aimed), list(aimed.values()), "_", color=INK, markersize=16, markeredgewidth=1.4, label="target: at most")
    axis.set_xscale("log")
    powers(axis)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("threads on the queue (logarithmic)")
    axis.set_ylabel(label)
    legend(figure, axis)
    return figure


def svg(figure):
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def png(figure, file, source):
    """A picture for the README, with a line on where its data come from; few colours, so that it is small."""
    from PIL import Image
    text = figure.supxlabel(source, fontsize=6.5, color=FAINT, x=0.005, ha="left")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=150)
    text.remove()
    Image.open(out).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)
