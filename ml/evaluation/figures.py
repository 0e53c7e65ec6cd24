"""The figures of an evaluation as PNG, in colours that colour-blind eyes tell apart.

The palette is Okabe and Ito's (2008). Figures are made without pyplot, whose state is global.
"""

import io
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from ml.evaluation.baselines import MIX_UNOWNED
from ml.evaluation.evaluate import TWIN, Evaluation
from ml.evaluation.protocols import Protocol
from ml.measures.baselines import MIX

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
GREY, LIGHT, INK = "#9AA0A6", "#E4E6E8", "#24292F"
SERIES = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW)
_HIGHLIGHT = {TWIN: BLUE, MIX: ORANGE, MIX_UNOWNED: ORANGE}

_LEAST_FOR_TSNE = 100

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.prop_cycle": f"cycler('color', {list(SERIES)})",
    "figure.dpi": 200,
    "font.size": 8.5,
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def draw(evaluation: Evaluation) -> dict[str, bytes]:
    """Every figure there is something to draw for, PNG by name."""
    drawings: dict[str, Callable[[Evaluation], Figure]] = {
        "ranking": ranking,
        "reliability": reliability,
        "roc": roc,
        "confusion": confusion,
        "variety": variety,
        "embeddings": embeddings,
    }
    if any(run["epochs"] for run in evaluation.training):
        drawings["training"] = training
    with rc_context(_STYLE):
        return {name: _png(drawing(evaluation)) for name, drawing in drawings.items()}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def ranking(evaluation: Evaluation) -> Figure:
    """NDCG@10 of each scorer with its interval, a panel for each protocol."""
    protocols = list(dict.fromkeys(result.protocol for result in evaluation.results))
    names = list(dict.fromkeys(result.scorer for result in evaluation.results))
    figure = Figure(figsize=(2.4 + 2.0 * len(protocols), 2.9), layout="constrained")
    panels = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
    place = np.arange(len(names))
    for axes, protocol in zip(panels, protocols, strict=True):
        found = [evaluation.result(protocol, name) for name in names]
        scores = [result.metrics["ndcg@10"] for result in found]
        value = np.array([score.value for score in scores])
        error = np.array([[s.value - s.low for s in scores], [s.high - s.value for s in scores]])
        colours = [_HIGHLIGHT.get(name, GREY) for name in names]
        axes.barh(place, value, height=0.62, color=colours)
        axes.errorbar(
            value, place, xerr=error.clip(min=0), fmt="none", ecolor=INK, elinewidth=0.9, capsize=2
        )
        axes.set_title(PROTOCOL_TITLES[protocol])
        axes.grid(visible=False, axis="y")
        axes.set_xlim(left=0)
        axes.set_xlabel(f"NDCG@10, {found[0].investors:,} investors")
    panels[0].set_yticks(place, names)
    panels[0].invert_yaxis()
    return figure


def training(evaluation: Evaluation) -> Figure:
    """Loss and validation NDCG@10 by epoch, a line for each seed."""
    figure = Figure(figsize=(10.4, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run in evaluation.training:
        epochs = [entry["epoch"] for entry in run["epochs"]]
        ndcg = [entry["metrics"].get("ndcg@10", np.nan) for entry in run["epochs"]]
        mark = "o" if len(epochs) < 3 else None
        left.plot(epochs, [entry["loss"] for entry in run["epochs"]], marker=mark)
        right.plot(epochs, ndcg, marker=mark, label=f"seed {run['seed']}")
    left.set_title("Loss")
    right.set_title("Validation NDCG@10")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    right.legend()
    return figure


def roc(evaluation: Evaluation) -> Figure:
    """The receiver's operating characteristic of the affinity."""
    figure, axes = _axes(3.4, 3.2)
    curve = evaluation.calibration["roc"]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.fill_between(curve["false_positive"], curve["true_positive"], color=BLUE, alpha=0.08)
    axes.plot(curve["false_positive"], curve["true_positive"], color=BLUE)
    axes.set_title(f"ROC: area {evaluation.calibration['auc']:.3f}")
    axes.set_xlabel("share of other properties above the threshold")
    axes.set_ylabel("share of approvals above it")
    _unit_square(axes)
    return figure


def reliability(evaluation: Evaluation) -> Figure:
    """How often properties of an affinity were approved of."""
    figure, axes = _axes(3.4, 3.2)
    bins = evaluation.calibration["reliability"]
    pairs = np.array(bins["pairs"])
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(bins["affinity"], bins["share"], color=BLUE, alpha=0.5, linewidth=1.2)
    axes.scatter(bins["affinity"], bins["share"], s=12 + 150 * pairs / pairs.max(), color=BLUE)
    axes.set_title(f"Reliability: error {evaluation.calibration['calibration_error']:.3f}")
    axes.set_xlabel("affinity said")
    axes.set_ylabel("share approved of")
    _unit_square(axes)
    return figure


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_aspect("equal")


def confusion(evaluation: Evaluation) -> Figure:
    """What the affinity said at one half against what happened."""
    figure, axes = _axes(3.4, 3.2)
    table = np.array(evaluation.calibration["confusion"])
    share = table / table.sum(axis=1, keepdims=True).clip(min=1)
    shades = LinearSegmentedColormap.from_list("blues", ["#FFFFFF", BLUE])
    axes.imshow(share, cmap=shades, vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        axes.text(
            column,
            row,
            f"{share[row, column]:.0%}\n{table[row, column]:,}",
            ha="center",
            va="center",
            fontsize=11,
            color="white" if share[row, column] > 0.6 else INK,
        )
    axes.set_xticks([0, 1], ["said yes", "said no"])
    axes.set_yticks([0, 1], ["approved\nof later", "other"])
    axes.set_title("Affinity of one half or more")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure


def variety(evaluation: Evaluation) -> Figure:
    """Quality against likeness and coverage of the first ten as diversity grows."""
    figure = Figure(figsize=(10.4, 3.0), layout="constrained")
    panels = figure.subplots(1, 3)
    level = [point.diversity for point in evaluation.variety]
    ndcg = [point.ndcg for point in evaluation.variety]
    for axes, title, values, colour in (
        (panels[0], "NDCG@10", [interval.value for interval in ndcg], BLUE),
        (panels[1], "Likeness of the first ten", [p.cosine for p in evaluation.variety], ORANGE),
        (panels[2], "Share of properties shown", [p.coverage for p in evaluation.variety], GREEN),
    ):
        axes.plot(level, values, color=colour, marker="o", markersize=4)
        axes.set_title(title)
        axes.set_xlabel("diversity")
        axes.set_ylim(min(0, *values), 1.2 * max(*values, 0.01))
    low, high = [interval.low for interval in ndcg], [interval.high for interval in ndcg]
    panels[0].fill_between(level, low, high, color=BLUE, alpha=0.12, linewidth=0)
    panels[0].set_ylim(0, 1.1 * max(*high, 0.01))
    return figure


def embeddings(evaluation: Evaluation) -> Figure:
    """The embeddings on a plane, coloured by the most frequent labels."""
    figure, axes = _axes(10.4, 6.2)
    drawn = evaluation.embeddings
    frequent = [label for label, _ in Counter(filter(None, drawn.label)).most_common(len(SERIES))]
    colours: list[tuple[str | None, str]] = [
        (None, "#D0D3D6"),
        *zip(frequent, SERIES, strict=False),
    ]
    x, y = _plane(np.array(drawn.vectors)).T
    for name, colour in colours:
        mine = [label == name if name else label not in frequent for label in drawn.label]
        if any(mine):
            axes.scatter(x[mine], y[mine], s=7, color=colour, linewidths=0, label=name or "other")
    axes.set_title(f"{len(x):,} properties by {drawn.coloured_by}")
    drawn_first, names = axes.get_legend_handles_labels()
    other = int("other" in names)
    axes.legend(
        drawn_first[other:] + drawn_first[:other],
        names[other:] + names[:other],
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        markerscale=2.2,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return figure


def layout_method(evaluation: Evaluation) -> str:
    """How the embeddings are laid out on a plane, for people."""
    enough = len(evaluation.embeddings.vectors) > _LEAST_FOR_TSNE
    return "t-SNE" if enough else "principal components"


def _plane(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """t-SNE (van der Maaten and Hinton 2008); PCA where there are too few for it: (n, 2)."""
    if len(vectors) <= _LEAST_FOR_TSNE:
        return np.asarray(PCA(2, random_state=0).fit_transform(vectors))
    # Threads that wait for a busy core make it many times slower.
    with threadpool_limits(1):
        return np.asarray(TSNE(init="pca", random_state=0).fit_transform(vectors))


PROTOCOL_TITLES = {
    Protocol.ALL: "All properties",
    Protocol.NEIGHBOURHOOD: "Same neighbourhood",
    Protocol.NEW_LISTINGS: "New listings",
    Protocol.NEW_SITE: "New site",
}
"""What the protocols are called before people."""
