"""The parts of the OpenAPI document that the routes' signatures cannot say."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.answers.outputs import DICOM, JSON, NIFTI, OFFERED, PNG
from service.answers.parameters import Parameters
from service.api.problem import MEDIA_TYPE
from service.api.schemas import ProblemBody

Responses = dict[int | str, dict[str, Any]]
Json = dict[str, Any]
OFFERED_TEXT = ", ".join(OFFERED)


def problems(**descriptions: str) -> Responses:
    """Answers with a problem document: ``_404="..."`` says when."""
    return {int(status[1:]): {"model": ProblemBody, "description": text} for status, text in descriptions.items()}


LATER_PROBLEM = problems(_503="Still loading, or stopping; see Retry-After.")
NOT_FOUND_PROBLEM = problems(_404="No pipeline, version, stage or sample of that name.")
PROBLEMS = problems(
    _401="No key, or none of this service.",
    _403="Not straight from this computer.",
    _404="No pipeline, version or stage of that name.",
    _406="No format for what Accept names.",
    _408="The upload stopped half-way.",
    _413="More bytes or pixels than allowed.",
    _415="The content is of no format that is read here.",
    _422="A picture or parameter that cannot be used.",
    _429="The waiting line is full; see Retry-After.",
    _500="The service failed; the log knows the error_id.",
    _503="Still loading, or stopping; see Retry-After.",
)

KEY: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access key, as `breast-cascade keys add NAME` prints it; wanted from other computers.",
}
_TEXT = {"schema": {"type": "string"}}
FILE: Json = {"schema": {"type": "string", "format": "binary"}}
_HEADERS = {
    "Breast-Cascade-Status": {"description": "found, none_found or not_evaluated", **_TEXT},
    "Breast-Cascade-Pipeline": {"description": "name/version", **_TEXT},
    "Server-Timing": {"description": "queue, decode, stages, networks, encode, total in ms", **_TEXT},
}
# What other programs read has its shape from them.
OTHER_JSON = [
    {"type": kind, "description": "format=coco, cvat, label-studio or polygons"} for kind in ("object", "array")
]
SEGMENT_RESPONSES: Responses = {
    200: {
        "description": "The answer in the format asked for.",
        "content": dict.fromkeys((PNG, NIFTI, DICOM), FILE),
        "headers": _HEADERS,
    },
    204: {
        "description": "Nothing to segment: format=dicom-seg of an image in which nothing was found.",
        "headers": _HEADERS,
    },
}


def parameter_schemas() -> dict[str, Json]:
    """Of everything that may be asked for beside a picture, by name."""
    schemas: dict[str, Json] = Parameters.model_json_schema()["properties"]
    schemas["format"] = {**schemas["format"], "examples": [*OFFERED]}
    return schemas


def _query(name: str, schema: Json) -> Json:
    inner = {key: value for key, value in schema.items() if key not in ("description", "title", "default")}
    return {"name": name, "in": "query", "required": False, "description": schema["description"], "schema": inner}


def _body(parameters: dict[str, Json]) -> Json:
    picture = {
        "type": "string",
        "format": "binary",
        "description": "The picture or volume: PNG, JPEG, TIFF, BMP, WebP, DICOM, NIfTI, NRRD, or a zip of one series; "
        "the DICOM files of a series may come as several fields of this name.",
    }
    form = {"type": "object", "required": ["file"], "properties": {"file": picture, **parameters}}
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "image/*": FILE, "application/octet-stream": FILE},
    }


def parameter_queries(schemas: dict[str, Json]) -> list[Json]:
    """The same as they stand in the query."""
    return [_query(name, schema) for name, schema in schemas.items()]


_PARAMETERS = parameter_schemas()
SEGMENT_OPENAPI: Json = {
    "parameters": parameter_queries(_PARAMETERS),
    "requestBody": _body(_PARAMETERS),
}


def openapi_document(app: FastAPI) -> Json:
    """OpenAPI of all routes, with errors under their own media type and FastAPI's stock 422 left out."""
    document: Json = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for operation in (one for path in document["paths"].values() for one in path.values()):
        for status, response in operation["responses"].items():
            if int(status) >= 400 and "content" in response:
                response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    for stock in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(stock, None)
    document["components"]["securitySchemes"] = {"key": KEY}
    # From this computer itself nobody needs one.
    document["security"] = [{}, {"key": []}]
    answer = document["paths"]["/segment"]["post"]["responses"]["200"]["content"][JSON]
    answer["schema"] = {"anyOf": [answer["schema"], *OTHER_JSON]}
    return document
