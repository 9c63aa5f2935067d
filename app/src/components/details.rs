//! How an answer was made.

use jnana_api::conversations::Details;
use leptos::prelude::*;

use crate::logic::words;
use crate::store::use_store;

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
            let source = part.source.clone();
            let name = move || {
                if source == "text" {
                    "Text".to_owned()
                } else {
                    store.descriptor(&source).map_or_else(|| source.clone(), |ui| ui.noun)
                }
            };
            view! { <li><span>{name}</span><span>{words::count(part.positions, "position")}</span></li> }
        })
        .collect_view();
    let guesses = (details.proposed_tokens > 0).then(|| {
        fact("Guessed rightly", format!("{} of {}", details.accepted_tokens, details.proposed_tokens))
    });
    view! {
        <details class="details">
            <summary aria-label=format!("Details: {summary}")>{summary.clone()}</summary>
            <div class="details-body">
                <p class="details-title">"Prompt"</p>
                <ol class="prompt">{prompt}</ol>
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
                </dl>
            </div>
        </details>
    }
}

fn fact(name: &'static str, value: String) -> impl IntoView {
    view! { <div><dt>{name}</dt><dd>{value}</dd></div> }
}

fn ending(reason: &str) -> &str {
    match reason {
        "stop" => "itself",
        "length" => "the length limit",
        "cancelled" => "Stop",
        other => other,
    }
}
