"""What the signatures of the routes of jobs cannot say in the OpenAPI document."""

from __future__ import annotations

from service.answers.outputs import DICOM, JSON, NIFTI, PNG
from service.api.contract import FILE, OFFERED_TEXT, Json, Responses, parameter_queries, parameter_schemas, problems

_ACCESS = problems(
    _401="No key, or none of this service.", _403="Not straight from this computer.", _503="Not now; see Retry-After."
)
_UNKNOWN = problems(_404="No job or item of yours of this id.", _422="A parameter that cannot be used.")
_EARLY = problems(_409="Not ended yet, or ended without what was asked for.", _410="Its time is over: erased.")

LIST_PROBLEMS: Responses = {**_ACCESS, **problems(_422="A parameter that cannot be used.")}
JOB_PROBLEMS: Responses = {**_ACCESS, **_UNKNOWN}
CANCEL_PROBLEMS: Responses = {**JOB_PROBLEMS, **problems(_409="The job has ended already.")}
SUBMIT_PROBLEMS: Responses = {
    202: {
        "description": "Accepted: all of it is on disk.",
        "headers": {"Location": {"description": "Where the job is", "schema": {"type": "string"}}},
        "links": {
            name: {"operationId": name, "parameters": {"job_id": "$response.body#/id"}}
            for name in ("show_job", "follow_job", "fetch_results", "fetch_answer", "cancel_job", "erase_job")
        },
    },
    **_ACCESS,
    **problems(
        _404="No pipeline or version of that name.",
        _408="The upload stopped half-way.",
        _409="An earlier request with this Idempotency-Key is still being received.",
        _413="More bytes or files than allowed.",
        _415="No multipart form.",
        _422="A form or parameter that cannot be used, or an Idempotency-Key with other content.",
        _429="Too many items wait; see Retry-After.",
        _500="The service failed; the log knows the error_id.",
        _507="No room on the disk; see Retry-After.",
    ),
}

_HEADERS = {
    "Breast-Cascade-Status": {"description": "found, none_found or not_evaluated", "schema": {"type": "string"}}
}
RESULTS: Responses = {200: {"description": "The zip.", "content": {"application/zip": FILE}}, **_EARLY}
ITEM: Responses = {
    200: {
        "description": "The answer in the format asked for.",
        "content": {kind: {"schema": {}} for kind in (JSON, PNG, NIFTI, DICOM)},
        "headers": _HEADERS,
    },
    204: {"description": "This format has nothing to say: a DICOM segmentation of nothing.", "headers": _HEADERS},
    **_EARLY,
}
_EVENT: Json = {
    "type": "object",
    "required": ["id", "data"],
    "properties": {"id": {"type": "string", "pattern": "^[0-9]+$"}, "data": {"type": "string"}},
}
EVENTS: Responses = {
    200: {
        "description": "Events with `id` (the row's `seq`) and `data` (the job without its items); comments between.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
    204: {"description": "The job has ended, and its last event was seen."},
}

_OUTPUTS: Json = {
    "type": "string",
    "description": f"Formats of each item's answer, with commas between them or repeated; json when left out. "
    f"Of: {OFFERED_TEXT}.",
    "examples": ["json,mask", "overlay"],
}
_PARAMETERS = {name: schema for name, schema in parameter_schemas().items() if name != "format"} | {"outputs": _OUTPUTS}


def _form() -> Json:
    files = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "description": "Pictures, volumes, DICOM files and zips of them; slices of one series become one volume.",
    }
    form = {"type": "object", "required": ["files"], "properties": {"files": files, **_PARAMETERS}}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


SUBMIT_OPENAPI: Json = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same request under the same key makes one job.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        },
        *parameter_queries(_PARAMETERS),
    ],
    "requestBody": _form(),
}
