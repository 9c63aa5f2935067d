//! `GET /api/admin/models`.

use axum::Json;
use axum::extract::State;
use jnana_api::admin::{MemoryFigures, ModelsOverview, RequestFigures};
use jnana_api::openai::ErrorBody;
use jnana_core::Stats;
use jnana_kernels::usage;

use crate::error::ApiError;
use crate::settings::Settings;
use crate::state::App;

/// The serving model, what it takes and what it has done.
#[utoipa::path(get, path = "/api/admin/models", tag = "admin", responses(
    (status = 200, body = ModelsOverview), (status = 401, body = ErrorBody),
    (status = 503, description = "the model is being loaded", body = ErrorBody)))]
pub(super) async fn overview(State(app): State<App>) -> Result<Json<ModelsOverview>, ApiError> {
    let assistant = app.assistant()?;
    let model = &assistant.model;
    let stats = model.engine.stats();
    Ok(Json(ModelsOverview {
        model: model.info.clone(),
        files: model.sources.shown(),
        parameters: model.parameters,
        memory: MemoryFigures {
            weights: model.weight_bytes,
            live_caches: stats.live_cache_bytes as u64,
            kept_caches: stats.reusable_cache_bytes as u64,
            cache_limit: app.settings.cache_bytes as u64,
            process: usage::memory("self", "VmRSS"),
        },
        requests: requests(&stats, &app.settings),
    }))
}

fn requests(stats: &Stats, settings: &Settings) -> RequestFigures {
    RequestFigures {
        live: stats.live as u64,
        live_limit: settings.max_batch as u64,
        queued: stats.queued as u64,
        queue_limit: settings.queue as u64,
        finished: stats.finished,
        cancelled: stats.cancelled,
        failed: stats.failed,
        refused: stats.refused,
        prompt_positions: stats.prompt_positions,
        reused_positions: stats.reused_positions,
        answer_tokens: stats.completion_tokens,
        mean_ms: (stats.mean_request_seconds * 1000.0).round() as u64,
    }
}
