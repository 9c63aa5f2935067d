//! Calls for administration. The browser sends the session's cookie along; what changes something brings its proof.

use jnana_api::admin::{ModelsOverview, PluginReport, Session, SignIn};
use jnana_api::generations::{Candidate, Generations, NewCandidate, Trial, TrialEvent};
use jnana_api::jobs::{Job, NewJob, NumberedEvent, OfferedKind, Preview};
use web_sys::AbortSignal;

use super::{Call, EventStream, Result, encode, json, send, stream, text, to_json};

/// Exchanges the admin token for a session.
pub(crate) async fn sign_in(token: String) -> Result<Session> {
    json(Call::post("/api/admin/sign-in", &to_json(&SignIn { token })?)).await
}

/// The session that this browser has.
pub(crate) async fn session() -> Result<Session> {
    json(Call::get("/api/admin/session")).await
}

/// Ends the session.
pub(crate) async fn sign_out(session: &Session) -> Result<()> {
    send(change(session, "/api/admin/sign-out", "{}")).await.map(drop)
}

/// What is loaded.
pub(crate) async fn models() -> Result<ModelsOverview> {
    json(Call::get("/api/admin/models")).await
}

/// What is installed.
pub(crate) async fn plugins() -> Result<Vec<PluginReport>> {
    json(Call::get("/api/admin/plugins")).await
}

/// What serves, and what served before.
pub(crate) async fn generations() -> Result<Generations> {
    json(Call::get("/api/admin/generations")).await
}

/// Goes back to what served before.
pub(crate) async fn roll_back(session: Session) -> Result<Generations> {
    json(change(&session, "/api/admin/generations/rollback", "{}")).await
}

/// What is loaded beside what serves.
pub(crate) async fn candidates() -> Result<Vec<Candidate>> {
    json(Call::get("/api/admin/candidates")).await
}

/// Loads a folder of the server beside what serves.
pub(crate) async fn load_candidate(session: Session, path: String) -> Result<Candidate> {
    json(change(&session, "/api/admin/candidates", &to_json(&NewCandidate { path })?)).await
}

/// Lets a candidate go.
pub(crate) async fn drop_candidate(session: Session, id: String) -> Result<()> {
    send(Call { method: "DELETE", ..change(&session, &candidate_path(&id), "{}") }).await.map(drop)
}

/// Lets a candidate serve.
pub(crate) async fn promote(session: Session, id: String) -> Result<Generations> {
    json(change(&session, &format!("{}/promote", candidate_path(&id)), "{}")).await
}

/// Asks what serves and a candidate the same.
pub(crate) async fn try_candidate(
    session: &Session,
    id: &str,
    trial: &Trial,
    signal: &AbortSignal,
) -> Result<EventStream<TrialEvent>> {
    let path = format!("{}/try", candidate_path(id));
    stream(Call { signal: Some(signal), ..change(session, &path, &to_json(trial)?) }).await
}

/// The kinds of job that plugins offer.
pub(crate) async fn job_kinds() -> Result<Vec<OfferedKind>> {
    json(Call::get("/api/admin/job-kinds")).await
}

/// What would become of a job.
pub(crate) async fn check_job(session: Session, job: NewJob) -> Result<Preview> {
    json(change(&session, "/api/admin/jobs/check", &to_json(&job)?)).await
}

/// Puts a job into the queue.
pub(crate) async fn start_job(session: Session, job: NewJob) -> Result<Job> {
    json(change(&session, "/api/admin/jobs", &to_json(&job)?)).await
}

/// All jobs, the newest first.
pub(crate) async fn jobs() -> Result<Vec<Job>> {
    json(Call::get("/api/admin/jobs")).await
}

/// The end of what a job's process wrote.
pub(crate) async fn job_log(id: &str) -> Result<String> {
    text(&send(Call::get(&format!("{}/log", job_path(id)))).await?).await
}

/// Opens the events of a job from number `after` + 1 on.
pub(crate) async fn job_events(
    id: &str,
    after: u64,
    signal: &AbortSignal,
) -> Result<EventStream<NumberedEvent>> {
    let path = format!("{}/events?after={after}", job_path(id));
    stream(Call { signal: Some(signal), ..Call::get(&path) }).await
}

/// Asks a job's process to end.
pub(crate) async fn stop_job(session: Session, id: String) -> Result<Job> {
    json(change(&session, &format!("{}/stop", job_path(&id)), "{}")).await
}

/// Puts a job into the queue again.
pub(crate) async fn resume_job(session: Session, id: String) -> Result<Job> {
    json(change(&session, &format!("{}/resume", job_path(&id)), "{}")).await
}

/// Deletes a job with all that it left behind.
pub(crate) async fn delete_job(session: Session, id: String) -> Result<()> {
    send(Call { method: "DELETE", ..change(&session, &job_path(&id), "{}") }).await.map(drop)
}

fn job_path(id: &str) -> String {
    format!("/api/admin/jobs/{}", encode(id))
}

fn candidate_path(id: &str) -> String {
    format!("/api/admin/candidates/{}", encode(id))
}

/// A call that changes something, with the proof that it comes from the session's page.
fn change<'a>(session: &'a Session, path: &'a str, json: &str) -> Call<'a> {
    Call { proof: Some(&session.csrf), ..Call::post(path, json) }
}
