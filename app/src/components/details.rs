//! How an answer was made.

use jnana_api::conversations::{Details, PluginTime, WeightHashes};
use leptos::prelude::*;

use crate::logic::words;
use crate::store::{Store, use_store};

/// Digits of a hash that are shown: enough to tell weights apart.
const DIGITS: usize = 12;

/// Prompt parts, times and counts, folded away.
#[component]
pub(super) fn DetailsView(details: Details) -> impl IntoView {
    let store = use_store();
    let summary = format!(
        "{} · {}",
        words::duration(details.total_ms),
        words::count(details.prompt_positions, "position")
    );
    let prompt = details
        .prompt
        .iter()
        .map(|part| {
            let name = noun(store, part.source.clone());
            view! { <li><span>{name}</span><span>{words::count(part.positions, "position")}</span></li> }
        })
        .collect_view();
    let plugins = (!details.plugins.is_empty()).then(|| times(store, &details.plugins));
    let generation = (!details.generation.is_empty()).then(|| fact("Generation", details.generation.clone()));
    let weights = details.weights.as_ref().map(|weights| hashes(store, weights));
    let guesses = (details.proposed_tokens > 0).then(|| {
        fact("Guessed rightly", format!("{} of {}", details.accepted_tokens, details.proposed_tokens))
    });
    view! {
        <details class="details">
            <summary aria-label=format!("Details: {summary}")>{summary.clone()}</summary>
            <div class="details-body">
                <p class="details-title">"Prompt"</p>
                <ol class="prompt">{prompt}</ol>
                {plugins}
                <dl>
                    {fact("Positions in all", details.prompt_positions.to_string())}
                    {fact("Reused from before", details.reused_positions.to_string())}
                    {fact("Turns left out", details.dropped_turns.to_string())}
                    {fact("Tokens of the answer", details.answer_tokens.to_string())}
                    {guesses}
                    {fact("First token after", words::duration(details.first_token_ms))}
                    {fact("Whole answer after", words::duration(details.total_ms))}
                    {fact("Ended by", ending(&details.finish_reason).to_owned())}
                    {fact("Model", details.model)}
                    {generation}
                    {weights}
                </dl>
            </div>
        </details>
    }
}

fn fact(name: &'static str, value: String) -> impl IntoView {
    view! { <div><dt>{name}</dt><dd>{value}</dd></div> }
}

/// What people call a part of a prompt.
fn noun(store: Store, source: String) -> impl Fn() -> String + Send + 'static {
    move || match source.as_str() {
        "text" => "Text".to_owned(),
        plugin => store.descriptor(plugin).map_or_else(|| plugin.to_owned(), |ui| ui.noun),
    }
}

/// What each plugin took.
fn times(store: Store, plugins: &[PluginTime]) -> impl IntoView + use<> {
    let times = plugins.iter().map(|time| {
        let name = noun(store, time.plugin.clone());
        view! { <li><span>{name}</span><span>{words::duration(time.ms)}</span></li> }
    });
    view! {
        <p class="details-title">"Reading the inputs"</p>
        <ul class="prompt">{times.collect_view()}</ul>
    }
}

/// The weights that answered, by the first digits of their hashes; the whole hash is the tooltip.
fn hashes(store: Store, weights: &WeightHashes) -> impl IntoView + use<> {
    let core = [("Core".to_owned(), weights.core.clone())];
    let adapter = weights.adapter.clone().map(|hash| ("Adapter".to_owned(), hash));
    let projectors = weights.projectors.iter().map(|(plugin, hash)| {
        let name = noun(store, plugin.clone());
        (format!("Projector: {}", untrack(name)), hash.clone())
    });
    let all = core.into_iter().chain(adapter).chain(projectors);
    all.map(|(name, hash)| {
        let shown = hash.get(..DIGITS).unwrap_or(&hash).to_owned();
        view! { <div><dt>{name}</dt><dd><code title=hash>{shown}</code></dd></div> }
    })
    .collect_view()
}

fn ending(reason: &str) -> &str {
    match reason {
        "stop" => "itself",
        "length" => "the length limit",
        "cancelled" => "Stop",
        other => other,
    }
}
