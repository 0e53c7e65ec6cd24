"""What CRMs, portals and RESO call the acts of investors."""

import pytest

from domain.contract.vocabulary import InteractionKind
from domain.core.canonical import word
from domain.interactions.words import INTERACTION_KINDS


def test_keys_are_canonical() -> None:
    assert [key for key in INTERACTION_KINDS if word(key) != key or not key] == []


def test_every_value_has_words() -> None:
    assert set(INTERACTION_KINDS.values()) == set(InteractionKind)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("VIEW", "Viewed|Property View|Viewed Property|Detailed View|DetailedView|Photo Gallery"),
        ("SAVE", "Saved|Saved Property|Favorited|Favorite|property_saved|Bookmarked|Shortlisted"),
        (
            "OUTREACH",
            "Called|Call|Email sent|EMAIL|Text|SMS|Contacted|Property Inquiry|Offer made|"
            "Submission of Lead Form|SubmissionOfLeadForm|Showing Requested|Left Voicemail",
        ),
        ("DEAL", "Purchased|Closed|Closed Won|closedwon|Bought|Acquired"),
        ("THUMBS_UP", "Liked|Like|Thumbs Up|thumbs_up|Loved"),
        ("THUMBS_DOWN", "Disliked|Dislike|Thumbs-down"),
        ("DISMISS", "Hidden|Archived|Discard|Dismissed|X-Out|Skipped"),
    ],
)
def test_interaction_kinds(value: str, texts: str) -> None:
    assert {INTERACTION_KINDS[word(text)] for text in texts.split("|")} == {value}


@pytest.mark.parametrize(
    "text",
    [
        "Search", "Saved Search", "Saved Property Search", "Note", "Registration", "Share", "Maybe",
        "Printed", "Non-Detailed View", "Exit Detailed View", "Email Opened", "Interested",
        "Not Interested", "Under Contract", "Offer Accepted", "Unsubscribed", "Viewed Page",
        "Visited Website", "Sold", "Object Modified", "Comments", "Task",
    ],
)  # fmt: skip
def test_words_that_do_not_say_a_kind_are_unknown(text: str) -> None:
    assert word(text) not in INTERACTION_KINDS
