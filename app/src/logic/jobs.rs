//! Jobs in words, and what becomes of what they leave behind.

use jnana_api::jobs::{JobState, Product};

/// Where a job stands, for people.
#[must_use]
pub fn state(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Running => "running",
        JobState::Stopping => "stopping",
        JobState::Stopped => "stopped",
        JobState::Interrupted => "interrupted",
        JobState::Finished => "finished",
        JobState::Failed => "failed",
    }
}

/// The folder to load as a candidate: a whole model's own, or else the one that holds the projector or the adapter.
#[must_use]
pub fn candidate_folder(products: &[Product]) -> Option<&str> {
    let named = |kind: &str| {
        products.iter().find(|product| product.kind == kind).map(|product| product.path.as_str())
    };
    let parent =
        |path: &'static str| named(path).and_then(|path| path.rsplit_once('/')).map(|(folder, _)| folder);
    named("model").or_else(|| parent("projector")).or_else(|| parent("adapter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(kind: &str, path: &str) -> Product {
        Product { kind: kind.into(), path: path.into(), bytes: 1, sha256: String::new(), plugin: None }
    }

    #[test]
    fn a_model_is_a_candidate_itself_and_parts_are_by_their_folder() {
        let parts = [
            product("report", "/h/jobs/1/work/report.json"),
            product("projector", "/h/jobs/1/work/run/p.safetensors"),
        ];
        assert_eq!(candidate_folder(&parts), Some("/h/jobs/1/work/run"));
        assert_eq!(
            candidate_folder(&[product("adapter", "/h/jobs/2/work/run/adapter")]),
            Some("/h/jobs/2/work/run")
        );
        assert_eq!(
            candidate_folder(&[product("model", "/h/jobs/3/work/model")]),
            Some("/h/jobs/3/work/model")
        );
        assert_eq!(candidate_folder(&parts[..1]), None);
    }
}
