"""``POST /segment``: one picture in, one answer out, without the event loop ever waiting for pixels."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from service.answers.outputs import wanted_format
from service.answers.parameters import read_parameters
from service.answers.schemas import AnswerBody
from service.answers.work import Order, Product, produce
from service.api.contract import PROBLEMS, SEGMENT_OPENAPI, SEGMENT_RESPONSES
from service.api.limits import receive
from service.api.state import Service, service_of

router = APIRouter(tags=["segment"])
Result = TypeVar("Result")


@router.post(
    "/segment",
    summary="Segment one picture",
    response_model=AnswerBody,
    responses={**PROBLEMS, **SEGMENT_RESPONSES},
    openapi_extra=SEGMENT_OPENAPI,
)
@router.post("/v1/segment", response_model=AnswerBody, include_in_schema=False)
async def segment(request: Request) -> Response:
    """One picture in, one answer out: as JSON, or as a mask, an overlay or another format.

    Send the file as the multipart field `file`, or as the raw body with its content type. Parameters may stand in the
    query or in the form. Research use only: not a medical device.
    """
    service = service_of(request)
    engine = service.engine
    service.runner.check_room()
    order = await _order(request, service)
    product = await while_connected(request, service.runner.run(lambda ticket: produce(engine, order, ticket.check)))
    service.metrics.segmented(product.clock)
    return _response(product)


async def _order(request: Request, service: Service) -> Order:
    settings = service.settings
    # Whatever the query says wrong is said before the upload is waited for.
    query = request.query_params.multi_items()
    read_parameters(query)
    upload = await receive(request, settings.max_bytes, settings.receive_timeout)
    parameters = read_parameters([*query, *upload.fields])
    wanted = wanted_format(parameters.format, request.headers.get("accept"), parameters.seg_type)
    return Order(upload.content, parameters, wanted, service.limits, service.decoders.read)


def _response(product: Product) -> Response:
    if not product.content:
        return Response(status_code=204, headers=product.headers)
    return Response(product.content, headers=product.headers, media_type=product.format.media_type)


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of ``work``, which is cancelled when the client goes away. Raises ClientDisconnect then.

    The request's body must have been read.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
