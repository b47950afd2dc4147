"""Traces by OpenTelemetry: a span for each submission, run, hook and step, in the caller's trace where there is one.

The SDK's own plugin carries the context in Temporal headers (the same in all SDKs, so hook workflows in other languages
find it there) and makes span ids that are the same on every replay; the spans themselves are ours, with dbt's names.
Loaded only where tracing is on: its packages are the extra `otel`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import workflow
from temporalio.contrib.opentelemetry import OpenTelemetryPlugin, create_tracer_provider
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    StartChildWorkflowInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from dbt_temporal.adapters.temporal.telemetry.tracing_settings import TracingSettings

SERVICE = "dbt-temporal"
CLOSE_SECS = 5.0
"""A collector that is down must not hold up the end of a worker."""
_SCOPE = "dbt_temporal"
_TRACES_PATH = "/v1/traces"


class Tracing:
    """What a traced process has: a plugin for its client, an interceptor for its worker, spans of its own work."""

    def __init__(self, settings: TracingSettings) -> None:
        exporter = _exporter(settings)
        self._provider = create_tracer_provider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(self._provider)
        self.plugin = OpenTelemetryPlugin()
        self.interceptor = RunSpans()

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, str | int]) -> Iterator[Mapping[str, str | int]]:
        """A span around an activity or a submission; yields what its log lines carry of it."""
        with _tracer().start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            ids = span.get_span_context()
            try:
                yield {"trace_id": trace.format_trace_id(ids.trace_id), "span_id": trace.format_span_id(ids.span_id)}
            except Exception as error:
                _failed(span, error)
                raise

    @contextmanager
    def continuing(self, environ: Mapping[str, str]) -> Iterator[None]:
        """Lets spans go on in the trace of whoever started this program and says so in TRACEPARENT.

        The rule is OpenTelemetry's ("Environment Variables as Context Propagation Carriers").
        """
        names = ("traceparent", "tracestate")
        carrier = {name: environ[name.upper()] for name in names if name.upper() in environ}
        token = context.attach(TraceContextTextMapPropagator().extract(carrier))
        try:
            yield
        finally:
            context.detach(token)

    async def close(self) -> None:
        """Exports what is left, as far as the collector takes it in time."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # too late: the loop has ended
                loop.call_soon_threadsafe(done.set)

        # A thread of asyncio's own would hold the process until it ends; an exporter tries again for long.
        Thread(target=shut_down, daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECS):
                await done.wait()


class RunSpans(Interceptor):
    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        del input
        return _RunSpan


class _RunSpan(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_HookSpans(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        info = workflow.info()
        command = _command(input.args)
        with _tracer().start_as_current_span(
            f"dbt {command}",
            attributes={
                "command": command,
                "invocation_id": info.first_execution_run_id,
                "workflow_id": info.workflow_id,
                "run_id": info.run_id,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await super().execute_workflow(input)
            except (Exception, asyncio.CancelledError) as error:
                _failed(span, error)
                raise


class _HookSpans(WorkflowOutboundInterceptor):
    async def start_child_workflow(self, input: StartChildWorkflowInput) -> workflow.ChildWorkflowHandle[Any, Any]:
        span = _tracer().start_span(
            f"hook {input.workflow}", attributes={"workflow_id": input.id, "task_queue": input.task_queue or ""}
        )
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                # The SDK's own interceptor, which comes after this one, puts the current span into the headers.
                handle = await super().start_child_workflow(input)
            except (Exception, asyncio.CancelledError) as error:
                _failed(span, error)
                span.end()
                raise
        if input.parent_close_policy == workflow.ParentClosePolicy.ABANDON:
            # Nobody waits for it: its own worker knows when it ends.
            span.end()
        else:
            handle.add_done_callback(lambda ended: _end(span, ended))
        return handle


def _end(span: Span, ended: asyncio.Task[Any]) -> None:
    if ended.cancelled():
        span.set_status(Status(StatusCode.ERROR, "cancelled"))
    elif (error := ended.exception()) is not None:
        _failed(span, error)
    span.end()


def _failed(span: Span, error: BaseException) -> None:
    span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))


def _tracer() -> trace.Tracer:
    return trace.get_tracer(_SCOPE)


def _command(args: Any) -> str:
    command = args[0].get("command") if args and isinstance(args[0], Mapping) else None
    return command if isinstance(command, str) else "build"


def _resource() -> Resource:
    """As OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, with our name where they give none."""
    resource = Resource.create()
    if not str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return resource
    return resource.merge(Resource({SERVICE_NAME: SERVICE}))


def _exporter(settings: TracingSettings) -> SpanExporter:
    # Headers, time limits and certificates the exporters read themselves, from OTEL_EXPORTER_OTLP_*.
    if settings.exporter == "console":
        # Standard output is the command's own: a listing, or a workflow id, for a pipe.
        return ConsoleSpanExporter(out=sys.stderr)
    if settings.protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

        base = settings.endpoint.rstrip("/") + _TRACES_PATH if settings.endpoint else None
        return HttpExporter(endpoint=settings.traces_endpoint or base)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

    return GrpcExporter(endpoint=settings.traces_endpoint or settings.endpoint)
