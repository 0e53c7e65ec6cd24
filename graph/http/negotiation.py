"""Which media type an answer has."""

from graph.errors import RequestErrorCode, TransportError

RESPONSE_TYPE = "application/graphql-response+json"
"""The media type under which a request that is refused as a whole has no status 200."""

JSON_TYPE = "application/json"


def response_type(accept: str) -> str:
    """The media type to answer with, by an ``Accept`` header; JSON for who accepts anything.

    Raises:
        TransportError: 406, nothing that this server speaks is accepted.
    """
    if not accept or accept == "*/*":
        return JSON_TYPE
    best, best_quality = None, 0.0
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        offered = JSON_TYPE if name in ("*/*", "application/*") else name
        if offered not in (JSON_TYPE, RESPONSE_TYPE) or not _utf8(parameters):
            continue
        quality = _quality(parameters)
        # Of two that are equally welcome, the one that says more by its status.
        if quality > best_quality or (quality == best_quality > 0 and offered == RESPONSE_TYPE):
            best, best_quality = offered, quality
    if best is None:
        raise _not_acceptable(accept)
    return best


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def _utf8(parameters: list[str]) -> bool:
    return all(
        value.strip('"') in ("utf-8", "utf8")
        for name, _, value in (parameter.partition("=") for parameter in parameters)
        if name == "charset"
    )


def _not_acceptable(accept: str) -> TransportError:
    return TransportError(
        f"Accept {accept[:100]!r}: this server answers with {RESPONSE_TYPE} or {JSON_TYPE}",
        RequestErrorCode.NOT_ACCEPTABLE,
        status=406,
    )
