//! Calls for administration. The browser sends the session's cookie along; what changes something brings its proof.

use jnana_api::admin::{ModelsOverview, PluginReport, Session, SignIn};

use super::{Call, Result, json, send, to_json};

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
    send(Call { proof: Some(&session.csrf), ..Call::post("/api/admin/sign-out", "{}") }).await.map(drop)
}

/// What is loaded.
pub(crate) async fn models() -> Result<ModelsOverview> {
    json(Call::get("/api/admin/models")).await
}

/// What is installed.
pub(crate) async fn plugins() -> Result<Vec<PluginReport>> {
    json(Call::get("/api/admin/plugins")).await
}
