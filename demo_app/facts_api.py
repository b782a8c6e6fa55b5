"""GET /facts: what is served here, on what; POST /latency: how fast one of it runs."""

from __future__ import annotations

import functools
import threading
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from demo_app.decoding import ready_made_grammars
from demo_app.engine_cache import EngineCache
from demo_app.settings import Settings
from demo_app.workers import Workers
from edge_runtime import __version__
from edge_runtime.bench import Case, Measurement, choose_cases, measure_case
from edge_runtime.bundle import Bundle, ModelFile
from edge_runtime.device import Device, read_device
from edge_runtime.engines import FORMAT_OF_ENGINE, open_engine
from edge_runtime.errors import SettingError, TiedgeError

BYTES_PER_GB = 10**9
MIN_RUNS = 10
"""Runs behind each row of the latency table, however slow they are."""


class LatencyQuestion(BaseModel):
    """The row of the latency table that is to be measured."""

    model_config = ConfigDict(extra="forbid", strict=True)

    bundle: str
    engine: str
    precision: str
    depth: int | None = None
    """None where there is no dial."""


def facts_routes(cache: EngineCache, workers: Workers, settings: Settings) -> APIRouter:
    """Return the routes GET /facts, POST /latency and GET /health."""
    routes = APIRouter()

    @functools.cache
    def facts() -> dict[str, Any]:
        return {
            "version": __version__,
            "device": device_facts(read_device()),
            "limits": {
                "body_bytes": settings.max_body_bytes,
                "message_bytes": settings.max_message_bytes,
                "picture_px": settings.max_picture_px,
            },
            "engines": [engine_facts(name, cache) for name in FORMAT_OF_ENGINE],
            "grammars": list(ready_made_grammars()),
            "bundles": [bundle_facts(bundle) for bundle in cache.bundles.values()],
        }

    @routes.get("/facts")
    async def give_facts() -> JSONResponse:
        return JSONResponse(await workers.at_once(facts))

    measuring = threading.Lock()

    def latency(question: LatencyQuestion) -> dict[str, Any]:
        case = find_case(cache, question)
        with measuring:
            return latency_row(measure_case(case, MIN_RUNS, settings.bench_s))

    @routes.post("/latency")
    async def measure_latency(
        request: Request, question: LatencyQuestion
    ) -> JSONResponse:
        measured = functools.partial(latency, question)
        return JSONResponse(await workers.in_turn(request, measured))

    @routes.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return routes


def device_facts(device: Device) -> dict[str, str]:
    """Return what the machine says about itself, as it is shown."""
    memory = device.memory_bytes
    facts = {
        "Device": device.model,
        "Instruction set": device.machine,
        "Cores": device.n_cores,
        "Memory": None if memory is None else f"{memory / BYTES_PER_GB:.1f} GB",
        "Kernel": device.kernel,
        "Governor": device.governor,
    }
    return {name: str(fact) for name, fact in facts.items() if fact is not None}


def find_case(cache: EngineCache, question: LatencyQuestion) -> Case:
    """Return what a question asks to measure; raises SettingError for nothing."""
    cases = choose_cases(
        cache.bundle(question.bundle),
        [name for name in FORMAT_OF_ENGINE if name == question.engine],
        question.precision,
        question.depth,
        cache.threads,
    )
    if not cases:
        raise SettingError(
            f"{question.bundle}: no {question.precision} file at depth"
            f" {question.depth} for {question.engine}; see /facts for what there is"
        )
    return cases[-1]


def latency_row(measured: Measurement) -> dict[str, Any]:
    """Return one row of the latency table, with the conditions it holds under."""
    case, latency = measured.case, measured.latency
    return {
        "bundle": case.bundle.name,
        "engine": case.engine,
        "engine_version": measured.engine_version,
        "precision": case.model.precision,
        "depth": case.signature.depth,
        "threads": case.threads,
        "input_shape": case.signature.inputs[0].shape,
        "n_warmup": latency.n_warmup,
        "n_runs": latency.n_runs,
        "short_run": latency.is_short,
        "p50_ms": latency.p50_ms,
        "p90_ms": latency.p90_ms,
        "p99_ms": latency.p99_ms,
        "load_ms": measured.first.load_ms,
        "peak_rss_bytes": measured.first.peak_rss_bytes,
        "packed_bytes": measured.first.packed_bytes,
        "real_time_factor": measured.real_time_factor,
    }


def engine_facts(name: str, cache: EngineCache) -> dict[str, Any]:
    """Return name, format and version of an engine, and why it is missing if it is.

    An engine is there if it loads the smallest file on offer: nothing less shows it.
    """
    model_format = FORMAT_OF_ENGINE[name]
    found = {"name": name, "format": model_format, "version": None, "missing": None}
    models = [
        model
        for bundle in cache.bundles.values()
        for model in bundle.models
        if model.format == model_format
    ]
    if not models:
        return found | {"missing": f"no bundle here holds a .{model_format} file"}
    try:
        with open_engine(name, min(models, key=lambda model: model.bytes)) as engine:
            return found | {"version": engine.version}
    except TiedgeError as error:
        return found | {"missing": cache.public(error)}


def bundle_facts(bundle: Bundle) -> dict[str, Any]:
    """Return what bundle.json says and the page shows."""
    picture, speech = bundle.picture, bundle.speech
    return {
        "name": bundle.name,
        "task": bundle.task,
        "summary": bundle.summary,
        "unique_parameters": bundle.source.unique_parameters,
        "depths": bundle.depths,
        "picture": asdict(picture) if picture else None,
        "sample_rate_hz": speech.sample_rate_hz if speech else None,
        "vocabulary": speech.vocabulary if speech else (),
        "models": [model_facts(model) for model in bundle.models],
        "metrics": [asdict(metric) for metric in bundle.metrics],
        "licence": asdict(bundle.licence),
        "training_data": bundle.training_data,
    }


def model_facts(model: ModelFile) -> dict[str, Any]:
    """Return one model file's facts, among them its sharing report."""
    return {
        "file": model.path.name,
        "format": model.format,
        "precision": model.precision,
        "quantization": model.quantization,
        "bytes": model.bytes,
        "loop": asdict(model.loop) if model.loop else None,
        "sharing": asdict(model.sharing),
        "parity": [asdict(parity) for parity in model.parity],
        "metrics": [asdict(metric) for metric in model.metrics],
    }
