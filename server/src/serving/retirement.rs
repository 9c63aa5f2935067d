//! The end of weights that nobody will ask any more.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::home_of;
use crate::assistant::Assistant;
use crate::state::App;

/// How often a leaving model is looked at. Its memory can wait so long.
const POLL: Duration = Duration::from_millis(100);

/// Lets a model go once its last answer has ended, on a thread of its own: freeing gigabytes and ending workers takes time that
/// no answer should wait for. Its files go with it, unless something else uses them.
pub(super) fn retire(app: &App, assistant: Arc<Assistant>) {
    let app = app.clone();
    let work = move || {
        while Arc::strong_count(&assistant) > 1 {
            thread::sleep(POLL);
        }
        let id = assistant.identity.as_ref().map(|identity| identity.id.clone()).unwrap_or_default();
        app.serving.count_ended(&assistant.model.engine.stats());
        drop(assistant);
        let _turn = app.serving.turn();
        discard(&app, &id);
        tracing::info!(id, "weights that nobody asks any more are gone from memory");
    };
    if let Err(error) = thread::Builder::new().name("retirement".to_owned()).spawn(work) {
        tracing::warn!(%error, "no thread to let weights go on; they go with the last answer that holds them");
    }
}

/// Removes the files of a generation, unless something else uses them. For whoever has the turn.
pub(super) fn discard(app: &App, id: &str) {
    let folder = home_of(&app.settings).join(id);
    if !id.is_empty() && !app.serving.uses(&folder) {
        // The configured model has none, and what cannot be removed goes at the next start.
        let _ = std::fs::remove_dir_all(folder);
    }
}
