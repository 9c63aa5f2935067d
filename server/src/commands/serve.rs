//! `jnana serve`.

use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::Settings;
use crate::startup::Server;
use crate::telemetry;

pub(super) fn run(settings: Settings) -> Result<()> {
    telemetry::start(settings.log_format);
    let runtime = super::runtime()?;
    let ended = runtime.block_on(serve(settings));
    // A model that is still being loaded is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(settings: Settings) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let fresh = settings.token.clone().filter(|token| token.fresh);
    let mut server = Server::start(settings).await?;
    if let Some(token) = fresh {
        // The one place where a token is shown: on the terminal of who started the server, the first time.
        eprintln!("Token (shown once, kept in the home folder): {}", token.secret);
        eprintln!("In a browser open {}/auth?token={}", server.url(), token.secret);
    }
    eprintln!("Jnana is starting on {}", server.url());
    if let Some(token) = server.fresh_admin_token() {
        eprintln!("Admin token for {}/admin (shown once): {}", server.url(), token.reveal());
    }
    tokio::select! {
        ready = server.ready() => ready?,
        _ = terminate.recv() => return server.shutdown().await,
        _ = interrupt.recv() => return server.shutdown().await,
    }
    eprintln!("Jnana is ready on {}", server.url());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.shutdown().await
}
