//! `/api/admin/jobs`: long work that plugins offer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use jnana_api::jobs::{Job, NewJob, NumberedEvent, OfferedKind, Preview};
use jnana_api::openai::ErrorBody;

use crate::assistant::CancelOnDrop;
use crate::error::ApiError;
use crate::http::extract::{ApiJson, ApiQuery};
use crate::jobs::{Jobs, Line, Planner, Tail, preview};
use crate::routes::messages::{After, last_seen};
use crate::routes::sse;
use crate::state::App;

/// Most of a log that is shown, in bytes.
const MAX_LOG: u64 = 64 << 10;
/// How often a reader that waits for events is looked after.
const LOOK: Duration = Duration::from_millis(250);

/// What there is to do.
#[utoipa::path(get, path = "/api/admin/job-kinds", tag = "admin", responses(
    (status = 200, body = Vec<OfferedKind>), (status = 401, body = ErrorBody),
    (status = 502, description = "a plugin failed", body = ErrorBody),
    (status = 503, description = "the model is being loaded, or a plugin lacks something", body = ErrorBody)))]
pub(super) async fn kinds(State(app): State<App>) -> Result<Json<Vec<OfferedKind>>, ApiError> {
    planned(app, Planner::kinds).await.map(Json)
}

/// Looks at a filled form and the data that it names; starts nothing.
#[utoipa::path(post, path = "/api/admin/jobs/check", tag = "admin", request_body = NewJob, responses(
    (status = 200, body = Preview), (status = "4XX", body = ErrorBody)))]
pub(super) async fn check(
    State(app): State<App>,
    ApiJson(new): ApiJson<NewJob>,
) -> Result<Json<Preview>, ApiError> {
    let look = |planner: &Planner| {
        let new = planner.check(new)?;
        let draft = planner.app.jobs.draft()?;
        planner.plan(&new, &draft.work()).map(preview)
    };
    planned(app, look).await.map(Json)
}

/// Puts a job into the queue.
#[utoipa::path(post, path = "/api/admin/jobs", tag = "admin", request_body = NewJob, responses(
    (status = 201, body = Job), (status = 422, description = "the plugin refuses, in its words", body = ErrorBody),
    (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    State(app): State<App>,
    ApiJson(new): ApiJson<NewJob>,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    let make = |planner: &Planner| {
        let new = planner.check(new)?;
        let draft = planner.app.jobs.draft()?;
        let plan = planner.plan(&new, &draft.work())?;
        planner.app.jobs.enqueue(draft, new, plan)
    };
    Ok((StatusCode::CREATED, Json(planned(app, make).await?)))
}

/// All jobs, the newest first.
#[utoipa::path(get, path = "/api/admin/jobs", tag = "admin", responses(
    (status = 200, body = Vec<Job>), (status = 401, body = ErrorBody)))]
pub(super) async fn list(State(app): State<App>) -> Json<Vec<Job>> {
    Json(app.jobs.list())
}

/// A job.
#[utoipa::path(get, path = "/api/admin/jobs/{id}", tag = "admin", params(("id" = String, Path, description = "job id")),
    responses((status = 200, body = Job), (status = 404, body = ErrorBody)))]
pub(super) async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Job>, ApiError> {
    Ok(Json(app.jobs.get(&id)?))
}

/// Removes a job that is over, with all that it left behind.
#[utoipa::path(delete, path = "/api/admin/jobs/{id}", tag = "admin", params(("id" = String, Path, description = "job id")),
    responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn remove(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    blocking(app, move |jobs| jobs.remove(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a job to end in good order; after a minute it is ended.
#[utoipa::path(post, path = "/api/admin/jobs/{id}/stop", tag = "admin",
    params(("id" = String, Path, description = "job id")), responses(
    (status = 200, body = Job), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn stop(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Job>, ApiError> {
    blocking(app, move |jobs| jobs.stop(&id)).await.map(Json)
}

/// Puts a job that ended before its time into the queue again.
#[utoipa::path(post, path = "/api/admin/jobs/{id}/resume", tag = "admin",
    params(("id" = String, Path, description = "job id")), responses(
    (status = 200, body = Job), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn resume(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Job>, ApiError> {
    blocking(app, move |jobs| jobs.resume(&id)).await.map(Json)
}

/// The end of what a job's process said on standard error.
#[utoipa::path(get, path = "/api/admin/jobs/{id}/log", tag = "admin",
    params(("id" = String, Path, description = "job id")), responses(
    (status = 200, content_type = "text/plain", body = String), (status = 404, body = ErrorBody)))]
pub(super) async fn log(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let text = blocking(app, move |jobs| jobs.log(&id, MAX_LOG)).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// The events of a job: those behind `after`, then those to come, until it is neither waiting nor running.
#[utoipa::path(get, path = "/api/admin/jobs/{id}/events", tag = "admin",
    params(("id" = String, Path, description = "job id"), After), responses(
    (status = 200, content_type = "text/event-stream", body = NumberedEvent), (status = 404, body = ErrorBody)))]
pub(super) async fn events(
    State(app): State<App>,
    Path(id): Path<String>,
    ApiQuery(after): ApiQuery<After>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.jobs.get(&id)?;
    Ok(sse::response(follow(app.jobs.clone(), id, last_seen(&headers, &after))))
}

/// A reader of a job's events.
struct Reader {
    jobs: Arc<Jobs>,
    id: String,
    tail: Tail,
    /// Read, and not sent yet.
    lines: VecDeque<Line>,
}

fn follow(
    jobs: Arc<Jobs>,
    id: String,
    after: u64,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let reader = Reader { tail: jobs.tail(&id), jobs, id, lines: VecDeque::new() };
    unfold(reader, move |mut reader| async move {
        loop {
            while let Some(line) = reader.lines.pop_front() {
                if line.seq > after {
                    let number = line.seq.to_string();
                    return Some((Ok(sse::json(&line.into_json()).id(number)), reader));
                }
            }
            let is_over;
            (reader, is_over) = tokio::task::spawn_blocking(move || look(reader)).await.ok()?;
            match (reader.lines.is_empty(), is_over) {
                (true, true) => return None,
                (true, false) => tokio::time::sleep(LOOK).await,
                (false, _) => {}
            }
        }
    })
}

/// Reads on, and says whether no more will come: asked first, so that the last event is among those that are read.
fn look(mut reader: Reader) -> (Reader, bool) {
    let is_over = reader.jobs.get(&reader.id).map_or(true, |job| !job.state.is_active());
    match reader.tail.read() {
        Ok(lines) => reader.lines.extend(lines),
        Err(error) => tracing::warn!(%error, job = reader.id, "a job's events cannot be read"),
    }
    (reader, is_over)
}

/// Asks the plugins, until whoever called goes away.
async fn planned<T: Send + 'static>(
    app: App,
    ask: impl FnOnce(&Planner) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let assistant = app.assistant()?.clone();
    let gone = CancelOnDrop::default();
    let cancel = gone.0.clone();
    let work = move || ask(&Planner { app, assistant, cancel });
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}

/// Off the async threads.
async fn blocking<T: Send + 'static>(
    app: App,
    work: impl FnOnce(&Jobs) -> Result<T, crate::jobs::Error> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(move || work(&app.jobs)).await;
    Ok(done.map_err(ApiError::internal)??)
}
