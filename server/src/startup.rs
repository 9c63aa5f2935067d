//! From settings to a serving program. Tests start it the same way, on port 0.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum_server::Handle;
use tokio::task::JoinHandle;

use crate::admin::Admin;
use crate::cli::shown_host;
use crate::http::{own_names, tls};
use crate::routes;
use crate::secret::Secret;
use crate::serving;
use crate::settings::Settings;
use crate::state::App;
use crate::storage::Store;

/// Blobs are looked through this often.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// A program that listens. Its model may still be loading.
#[derive(Debug)]
pub struct Server {
    app: App,
    fresh_admin_token: Option<Secret>,
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    serving: JoinHandle<std::io::Result<()>>,
    loading: JoinHandle<Result<()>>,
}

impl Server {
    /// Opens the store, listens, and starts loading the model.
    ///
    /// # Errors
    /// When the home folder, the address or the certificate cannot be used.
    pub async fn start(settings: Settings) -> Result<Self> {
        let store = Store::open(&settings.home)
            .with_context(|| format!("opening the conversations in {}", settings.home.display()))?;
        let listener = TcpListener::bind(settings.address).with_context(|| {
            format!("listening on {}; is another server running there?", settings.address)
        })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let certificate = match settings.tls {
            true => Some(tls::config(&settings.home, &certificate_names(&settings)).await?),
            false => None,
        };
        // Behind everything that can fail: a token that was made has to be shown.
        let (admin, fresh_admin_token) =
            Admin::open(&settings.home).context("opening the files of administration")?;
        let app = App::new(settings, store, admin);
        let handle = Handle::new();
        let service = routes::router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let serving = match certificate {
            Some(certificate) => {
                let server = axum_server::from_tcp_rustls(listener, certificate)?.handle(handle.clone());
                tokio::spawn(server.serve(service))
            }
            None => tokio::spawn(axum_server::from_tcp(listener)?.handle(handle.clone()).serve(service)),
        };
        let loading = tokio::spawn(load(app.clone()));
        tokio::spawn(sweep(app.clone()));
        Ok(Self { app, fresh_admin_token, address, handle, serving, loading })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a person opens it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.app.settings.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", shown_host(self.address.ip()), self.address.port())
    }

    /// The admin token, when this start made one: to be shown this once.
    #[must_use]
    pub fn fresh_admin_token(&self) -> Option<&Secret> {
        self.fresh_admin_token.as_ref()
    }

    /// The running program.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Waits until the model is loaded.
    ///
    /// # Errors
    /// When it cannot be.
    pub async fn ready(&mut self) -> Result<()> {
        (&mut self.loading).await.context("the loading task ended early")?
    }

    /// Stops listening, lets running answers end within the settings' limit, and frees everything.
    ///
    /// # Errors
    /// When the listener had failed.
    pub async fn shutdown(self) -> Result<()> {
        let limit = self.app.settings.shutdown;
        tracing::info!(seconds = limit.as_secs(), "ending: running answers may finish");
        self.handle.graceful_shutdown(Some(limit));
        self.app.generations.drain(limit).await;
        self.serving.await.context("the listener ended early")??;
        let app = self.app;
        tokio::task::spawn_blocking(move || app.serving.end()).await.context("the engines' end")
    }
}

/// Loads model and plugins on a thread of its own: minutes, when the model is large or has to be fetched.
async fn load(app: App) -> Result<()> {
    let work = move || {
        let start = Instant::now();
        serving::open(&app)?;
        let assistant = app.assistant()?;
        tracing::info!(
            model = assistant.model.info.id,
            dtype = assistant.model.info.dtype,
            seconds = start.elapsed().as_secs_f64(),
            "the model is loaded"
        );
        Ok(())
    };
    tokio::task::spawn_blocking(work).await.context("the loading thread ended early")?
}

async fn sweep(app: App) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        match app.store.sweep(app.settings.retention_days.clone()).await {
            Ok(swept) => tracing::info!(swept.unused, swept.expired, "looked through the blobs"),
            Err(error) => tracing::warn!(%error, "the blobs could not be looked through"),
        }
    }
}

/// What the certificate stands for: this machine by its usual names, and every address it listens on.
fn certificate_names(settings: &Settings) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let ip = settings.address.ip();
    if ip.is_unspecified() {
        names.extend(own_names::find());
    } else if !ip.is_loopback() {
        names.push(ip.to_string());
    }
    names.extend(settings.allowed_hosts.iter().cloned());
    names
}
