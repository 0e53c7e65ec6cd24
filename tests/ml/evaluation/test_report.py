import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ml.evaluation.evaluate import Evaluation
from ml.evaluation.figures import draw
from ml.evaluation.report import page, write

# Drawing takes its time.
pytestmark = pytest.mark.slow

FIGURES = {"ranking", "training", "roc", "reliability", "confusion", "embeddings", "variety"}


@pytest.fixture(scope="module")
def images(evaluation: Evaluation) -> dict[str, bytes]:
    return draw(evaluation)


@pytest.fixture(scope="module")
def shown(evaluation: Evaluation, images: dict[str, bytes]) -> str:
    return page(evaluation, images, "A & <b>")


class References(HTMLParser):
    """Collects what a page would fetch, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [v or "" for name, v in attrs if name in {"src", "href", "srcset"}]
        if tag not in {"meta", "img", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_elsewhere(shown: str) -> None:
    parser = References()
    parser.feed(shown)
    parser.close()
    assert parser.open == []
    assert len(parser.references) == len(FIGURES)
    assert all(one.startswith("data:image/png;base64,") for one in parser.references)
    assert not {"script", "link", "iframe"} & parser.tags
    assert not re.search(r"https?:|@import|url\(", shown)


def test_every_figure_is_an_image_of_its_own(images: dict[str, bytes]) -> None:
    assert images.keys() == FIGURES
    assert all(image.startswith(b"\x89PNG\r\n") and len(image) > 5_000 for image in images.values())
    assert len(set(images.values())) == len(FIGURES)


def test_the_page_tells_figures_with_their_intervals(evaluation: Evaluation, shown: str) -> None:
    for result in evaluation.results:
        ndcg = result.metrics["ndcg@10"]
        cell = f"<td>{ndcg.value:.3f}<small>{ndcg.low:.3f}&ndash;{ndcg.high:.3f}</small></td>"
        assert cell in shown
    assert "Seeds: 0, 1." in shown
    assert evaluation.made_at[:10] in shown
    assert "&quot;epochs&quot;: 3" in shown


def test_names_are_shown_as_they_are_written(shown: str) -> None:
    assert "<em>A &amp; &lt;b&gt;</em>" in shown
    assert "<b>&quot;" not in shown


def test_simulated_investors_are_called_so(
    evaluation: Evaluation, images: dict[str, bytes], shown: str
) -> None:
    assert "Simulated investors" not in shown
    invented = page(replace(evaluation, simulated=True), images, "sample")
    assert "Simulated investors" in invented


def test_everything_is_written(evaluation: Evaluation, tmp_path: Path) -> None:
    silent = [run | {"epochs": []} for run in evaluation.training]
    written = write(replace(evaluation, training=silent), tmp_path / "new" / "folder", "sample")
    assert written[0].name == "report.html"
    assert {path.stem for path in written if path.suffix == ".png"} == FIGURES - {"training"}
    assert all(path.exists() for path in written)
    stored = json.loads((tmp_path / "new" / "folder" / "evaluation.json").read_text())
    assert stored["properties"] == 300
