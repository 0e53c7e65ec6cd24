"""One page that shows an evaluation to people: images inside, nothing loaded from elsewhere."""

import base64
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

from ml.evaluation.baselines import MIX_UNOWNED
from ml.evaluation.evaluate import NAIVE, TWIN, Evaluation
from ml.evaluation.figures import PROTOCOL_TITLES, draw, layout_method
from ml.evaluation.measure import Result
from ml.evaluation.metrics import METRICS
from ml.evaluation.protocols import Protocol
from ml.measures.baselines import MIX
from ml.measures.intervals import Interval

_ASKED = {
    Protocol.ALL: "Every property but those the investor had acted on before.",
    Protocol.NEIGHBOURHOOD: (
        "The properties of one neighbourhood, once for each in which the investor bought: "
        "knowing where somebody looks is no help here."
    ),
    Protocol.NEW_LISTINGS: "Only properties that nobody owned when time was cut.",
    Protocol.NEW_SITE: (
        "Only properties over 300 m from everything the investor owned: no other flat of the same "
        "building, the easiest of guesses."
    ),
}

_METRIC_NOTES = {
    "NDCG@10": "how high in the first ten the later acquisitions stand; 1 is perfect.",
    "over mix": (
        "NDCG@10 over that of the mix, on the same investors. If the interval holds 1, the two "
        "cannot be told apart."
    ),
    "HR@10, precision@10": "whether the first ten hold an acquisition; what share of them are.",
    "MRR": "one over the place of the first acquisition.",
    "recall@100": "the share of the acquisitions found in the first hundred.",
    "AUC": "the chance that an acquisition is ranked above another property.",
    "gain": "like NDCG, but over the whole list.",
    "coverage": "the share of the properties that are in the first ten of anybody.",
}

_TITLES = {"hr@10": "HR@10", "mrr": "MRR", "auc": "AUC"}

_SCORER_NOTES = {
    TWIN: "the model under test.",
    "popularity": "the same list for everybody, by what was done with each property.",
    "content cosine": "the most like anything owned, by attributes without the place.",
    "nearest-owned": "the nearest to anything owned.",
    MIX: "nearness to something owned plus likeness to it; no training.",
    MIX_UNOWNED: "the mix, with what somebody owns already put last.",
    NAIVE: "features scaled by constants, a learned vector for each investor.",
}


def write(evaluation: Evaluation, directory: Path, tenant: str) -> list[Path]:
    """Write report.html, evaluation.json and the figures; return the paths, the page first.

    The folder is made if need be. Files of the same name are replaced.
    """
    directory.mkdir(parents=True, exist_ok=True)
    images = draw(evaluation)
    files: dict[str, bytes] = {
        "report.html": page(evaluation, images, tenant).encode(),
        "evaluation.json": json.dumps(evaluation.to_json(), indent=1).encode() + b"\n",
        **{f"{name}.png": image for name, image in images.items()},
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return [directory / name for name in files]


def page(evaluation: Evaluation, images: Mapping[str, bytes], tenant: str) -> str:
    """The page as HTML; ``images`` as ``ml.evaluation.figures.draw`` gives them."""
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    body = "\n".join(
        (
            _header(evaluation, tenant),
            _ranking(evaluation, images),
            _affinity(evaluation, images),
            _behaviour(evaluation, images),
            _model(evaluation, images),
            _method(evaluation),
        )
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Portfolio twin: {escape(tenant)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _header(evaluation: Evaluation, tenant: str) -> str:
    first = evaluation.results[0]
    simulated = (
        '<p class="simulated"><strong>Simulated investors.</strong> What was done with these '
        "properties was invented by a simulation. The figures below say how well the twin learns "
        "from such a simulation, and nothing about real investors.</p>"
        if evaluation.simulated
        else ""
    )
    return f"""<header>
<h1>What the twin of <em>{escape(tenant)}</em> foresees</h1>
<p>The twin saw {evaluation.learned_from:,} interactions with {evaluation.properties:,} properties,
up to {evaluation.cut[:10]}, and ranked properties for {first.investors:,} investors. What they
acquired or approved of later is what it should have put on top.</p>
{simulated}</header>
{_key_figures(evaluation, first.protocol)}"""


def _key_figures(evaluation: Evaluation, protocol: Protocol) -> str:
    twin = evaluation.result(protocol, TWIN)
    ndcg, auc = twin.metrics["ndcg@10"], evaluation.calibration["auc"]
    boxes = [
        (
            f"{ndcg.value:.3f}",
            f"NDCG@10, {PROTOCOL_TITLES[protocol].lower()} (95%: {_range(ndcg)})",
        ),
    ]
    for baseline, versus in twin.against.items():
        if versus.ratio:
            text = f"that of &ldquo;{baseline}&rdquo; (95%: {_range(versus.ratio, 2)})"
            boxes.append((f"{versus.ratio.value:.2f}&thinsp;&times;", text))
    boxes += [
        (f"{twin.metrics['hr@10'].value:.0%}", "of the investors find one of theirs in ten"),
        (f"{auc:.3f}", "AUC of the affinity on held-out pairs"),
    ]
    cells = "".join(f"<div><b>{number}</b><span>{text}</span></div>" for number, text in boxes)
    return f'<div class="key">{cells}</div>'


def _ranking(evaluation: Evaluation, images: Mapping[str, bytes]) -> str:
    tables = []
    for protocol in dict.fromkeys(result.protocol for result in evaluation.results):
        results = [one for one in evaluation.results if one.protocol == protocol]
        tables.append(
            f"<h3>{PROTOCOL_TITLES[protocol]}</h3>"
            f'<p class="note">{_ASKED[protocol]} {results[0].investors:,} investors.</p>'
            f"{_ranking_table(results)}"
        )
    caption = (
        "Quality of the first ten. Whiskers are 95% intervals over investors; blue is the twin, "
        "orange are the two mixes, the strongest that need no training."
    )
    return f"""<section><h2>Ranking</h2>
<p>Every scorer ranks the same properties for the same investors. A gain over a baseline counts
where the interval of the ratio leaves out 1.</p>
{_figure(images, "ranking", caption)}{"".join(tables)}</section>"""


def _ranking_table(results: list[Result]) -> str:
    titles = ("NDCG@10", *(f"over {name}" for name in (MIX, MIX_UNOWNED)))
    titles += (*(_TITLES.get(name, name) for name in METRICS[1:]), "coverage")
    head = "".join(f"<th>{title}</th>" for title in titles)
    rows = []
    for result in results:
        cells = [
            _cell(result.metrics["ndcg@10"]),
            *(_cell(_ratio(result, baseline), 2) for baseline in (MIX, MIX_UNOWNED)),
            *(_cell(result.metrics[name]) for name in METRICS[1:]),
            f"{result.coverage:.1%}",
        ]
        kind = ' class="twin"' if result.scorer == TWIN else ""
        data = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f"<tr{kind}><th>{result.scorer}</th>{data}</tr>")
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _ratio(result: Result, baseline: str) -> Interval | None:
    versus = result.against.get(baseline)
    return versus.ratio if versus else None


def _affinity(evaluation: Evaluation, images: Mapping[str, bytes]) -> str:
    measured = evaluation.calibration
    figures = "".join(_figure(images, name, "") for name in ("reliability", "roc", "confusion"))
    names = ("auc", "accuracy", "f1", "precision", "recall", "calibration_error")
    titles = ("AUC", "accuracy", "F1", "precision", "recall", "calibration error")
    head = "".join(f"<th>{title}</th>" for title in ("pairs", *titles))
    cells = "".join(f"<td>{measured[name]:.3f}</td>" for name in names)
    return f"""<section><h2>Affinity</h2>
<p>The affinity is a probability: among one later acquisition and one other property drawn at
random, that this is the acquisition. If it is honest, the dots lie on the diagonal.</p>
<div class="row">{figures}</div>
<div class="wide"><table><thead><tr>{head}</tr></thead>
<tbody><tr><td>{measured["pairs"]:,}</td>{cells}</tr></tbody></table></div></section>"""


def _behaviour(evaluation: Evaluation, images: Mapping[str, bytes]) -> str:
    told = evaluation.responsiveness
    feedback = ""
    if told:
        feedback = (
            f"<p>The property in tenth place got a thumb from {told.investors:,} investors each. "
            "In the very next list, the 50 properties most like it rose by "
            f"{_places(told.up)} places after a thumb up, and by {_places(told.down)} after a "
            "thumb down; below 0 they fell.</p>"
        )
    caption = (
        "What a list gains in variety, and what it costs, as the diversity asked for grows. "
        "Likeness is the mean cosine between two of the first ten."
    )
    return (
        f"<section><h2>Feedback and variety</h2>{feedback}"
        f"{_figure(images, 'variety', caption)}</section>"
    )


def _model(evaluation: Evaluation, images: Mapping[str, bytes]) -> str:
    caption = (
        f"The 16 dimensions of the twin on a plane ({layout_method(evaluation)}). Properties "
        "that lie near each other are alike to the twin; the axes have no meaning."
    )
    seconds = ", ".join(f"{run['seconds']:.0f} s" for run in evaluation.training if run["seconds"])
    took = f'<p class="note">Fitting took {seconds}.</p>' if seconds else ""
    curves = "Each line is one seed. The best epoch by validation is kept."
    return (
        f"<section><h2>Inside the twin</h2>{_figure(images, 'embeddings', caption)}"
        f"{_figure(images, 'training', curves)}{took}</section>"
    )


def _method(evaluation: Evaluation) -> str:
    def definitions(notes: Mapping[str, str]) -> str:
        return "".join(f"<dt>{name}</dt><dd>{note}</dd>" for name, note in notes.items())

    seeds = ", ".join(map(str, evaluation.seeds))
    config = escape(json.dumps(evaluation.config, indent=1))
    held_out = evaluation.interactions - evaluation.learned_from
    return f"""<section><h2>How it was measured</h2>
<p>Time was cut once, at {evaluation.cut[:16].replace("T", " ")} UTC: {evaluation.learned_from:,}
interactions before it, {held_out:,} after. Everything a scorer sees was known at the cut. Asked
about are the investors with at least two approvals before and a new one after it. Intervals are
95%, from 2,000 bootstrap samples of the investors; seeds ({seeds}) are averaged first, and so are
the rankings of one investor. Equal scores are ordered by lot; what a scorer does not rank comes
last.</p>
<h3>Scorers</h3><dl>{definitions(_SCORER_NOTES)}</dl>
<h3>Figures</h3><dl>{definitions(_METRIC_NOTES)}</dl>
<h3>Configuration</h3><pre>{config}</pre></section>
<footer>Measured {evaluation.made_at[:16].replace("T", " ")} UTC. Seeds: {seeds}.</footer>"""


def _figure(images: Mapping[str, bytes], name: str, caption: str) -> str:
    if name not in images:
        return ""
    data = base64.b64encode(images[name]).decode()
    under = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure><img alt="{name}" src="data:image/png;base64,{data}">{under}</figure>'


def _cell(interval: Interval | None, digits: int = 3) -> str:
    if interval is None:
        return "&ndash;"
    return f"{interval.value:.{digits}f}<small>{_range(interval, digits)}</small>"


def _places(interval: Interval) -> str:
    return f"{interval.value:.1f} ({interval.low:.1f} to {interval.high:.1f})"


def _range(interval: Interval, digits: int = 3) -> str:
    return f"{interval.low:.{digits}f}&ndash;{interval.high:.{digits}f}"
