//! The log and the witness over HTTP.
//!
//! Invariant: serves what is public and nothing else; the only thing a stranger can change is
//! which checkpoint of a known log we cosigned last, and only forwards.
//! Refs: C2SP tlog-tiles, tlog-witness.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tlog::{REQUEST_BYTES_MAX, Resource};
use tokio::net::TcpStream;
use vocab::Digest;

use super::files::Files;
use super::witness::WitnessKeeper;
use crate::clock;
use crate::listen::{Stop, stopped};

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one connection may last; whoever reads the whole log comes again.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How long a request that has begun may go on after that, or after a stop.
const GOODBYE: Duration = Duration::from_secs(5);

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Public {
    pub(crate) files: Files,
    pub(crate) witness: Arc<WitnessKeeper>,
}

/// `/checkpoint`, `/tile/…`, `/openings/…`, `/witness/add-checkpoint`, `/witness/<origin>/checkpoint`.
pub(crate) fn router(public: Public) -> Router {
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*rest}", get(tile))
        .route("/openings/{file}", get(opening))
        .route("/witness/add-checkpoint", post(add_checkpoint))
        .route("/witness/{origin}/checkpoint", get(witnessed))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(public)
}

/// Serves one connection to its end, which a stop brings nearer.
pub(crate) async fn serve(stream: TcpStream, router: Router, stop: Stop) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        // What a stranger's connection died of is of no interest.
        _ = connection.as_mut() => return,
        () = stopped(stop) => {}
        () = tokio::time::sleep(CONNECTION_TIMEOUT) => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(tokio::time::timeout(GOODBYE, connection).await);
}

async fn checkpoint(State(public): State<Public>) -> Response {
    file(&public.files, &Resource::Checkpoint)
}

async fn tile(State(public): State<Public>, Path(rest): Path<String>) -> Response {
    // Parsing is what keeps a request inside the log's folder: no resource prints as `..`.
    match format!("tile/{rest}").parse::<Resource>() {
        // A tile that a crash left behind is not the log's until a checkpoint covers it.
        Ok(resource) if resource.within(public.files.published()) => file(&public.files, &resource),
        Ok(_) | Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn file(files: &Files, resource: &Resource) -> Response {
    let cache = match resource {
        Resource::Checkpoint => "no-cache",
        Resource::Tile { .. } | Resource::Entries { .. } => "public, max-age=31536000, immutable",
    };
    let headers = [(header::CONTENT_TYPE, resource.content_type()), (header::CACHE_CONTROL, cache)];
    match files.read(resource) {
        Ok(Some(octets)) => (headers, octets).into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, "a file of the log could not be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn opening(State(public): State<Public>, Path(file): Path<String>) -> Response {
    let index = file.strip_suffix(".json").and_then(|index| index.parse::<u64>().ok());
    match index.map(|index| public.files.opening(index)) {
        Some(Ok(Some(octets))) => {
            ([(header::CONTENT_TYPE, "application/json")], octets).into_response()
        }
        Some(Ok(None)) | None => StatusCode::NOT_FOUND.into_response(),
        Some(Err(error)) => {
            tracing::error!(%error, "an opening could not be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn add_checkpoint(State(public): State<Public>, body: Bytes) -> Response {
    let judged =
        tokio::task::spawn_blocking(move || public.witness.add_checkpoint(&body, clock::now()));
    match judged.await {
        Ok(Ok(answer)) => {
            let status =
                StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the witness could not store its record");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn witnessed(State(public): State<Public>, Path(origin): Path<String>) -> Response {
    let note = digest(&origin).and_then(|origin| public.witness.checkpoint(&origin));
    match note {
        Some(note) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn digest(text: &str) -> Option<Digest> {
    custody::hex::decode_array(text).map(Digest)
}
