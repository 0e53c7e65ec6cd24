"""What is wrong before GraphQL: the paths and methods that are not served."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from domain.core.errors import ErrorCode
from graph.core.errors import RequestErrorCode

_CODES: dict[int, str] = {
    404: ErrorCode.NOT_FOUND,
    405: RequestErrorCode.METHOD_NOT_ALLOWED,
}


async def answer_http_exception(_: Request, error: Exception) -> JSONResponse:
    """Answer Starlette's HTTPException in the shape of all other refusals."""
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, RequestErrorCode.BAD_REQUEST)
    body = {"errors": [{"message": error.detail, "extensions": {"code": code}}]}
    return JSONResponse(body, error.status_code, error.headers)
