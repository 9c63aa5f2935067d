//! `jnana ask`: one question from a terminal, answered here or by a running server.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jnana_api::openai::{ChatChunk, ErrorBody};
use jnana_core::prompt::Role;
use jnana_core::request::{Event, Sampling, Usage};
use jnana_plugin_host::CancelFlag;
use serde_json::{Value, json};

use crate::assistant::{Ask, AskTurn, Assistant, InputPiece, Note, Piece, Target};
use crate::catalog::Catalog;
use crate::cli;
use crate::settings::Settings;

pub(super) fn run(ask: &cli::Ask) -> Result<()> {
    if ask.question.trim().is_empty() && ask.image.is_empty() && ask.audio.is_empty() {
        bail!("nothing to ask: give a question, --image or --audio");
    }
    let settings = ask.given.clone().resolve()?;
    match &ask.url {
        Some(url) => ask_server(url, ask, &settings),
        None => super::runtime()?.block_on(ask_here(ask, &settings)),
    }
}

async fn ask_here(ask: &cli::Ask, settings: &Settings) -> Result<()> {
    let library = super::library(settings);
    let assistant = Arc::new(Assistant::load(settings, &Catalog::built_in()?, &library, Arc::default())?);
    let mut pieces = Vec::new();
    for (files, modality) in [(&ask.image, "image"), (&ask.audio, "audio")] {
        for file in files {
            let (target, bytes) = (Target::Modality(modality), read(file)?);
            pieces.push(Piece::Input(InputPiece { target, mime: String::new(), bytes, text: None }));
        }
    }
    if !ask.question.trim().is_empty() {
        pieces.push(Piece::Text(ask.question.clone()));
    }
    let stop = assistant.model.stop(ask.max_tokens, Vec::new());
    let turns = vec![AskTurn { role: Role::User, pieces }];
    let wanted = Ask { system: ask.system.clone(), turns, max_tokens: stop.max_tokens };
    let asked = Instant::now();
    let prepared = assistant.prepare(wanted, CancelFlag::new(), |note| {
        if let Note::Text { text, .. } = note {
            eprintln!("> {text}");
        }
    });
    let prepared = prepared.await?;
    let mut answer = assistant.submit(&prepared, Sampling::default(), stop)?;
    let (mut first_token, mut used) = (None, Usage::default());
    while let Some(event) = answer.events.recv().await {
        first_token.get_or_insert_with(|| asked.elapsed());
        match event {
            Event::Text(text) => print(&text)?,
            Event::Finished { usage, .. } => {
                used = usage;
                break;
            }
            Event::Failed(words) => bail!(words),
        }
    }
    print("\n")?;
    if ask.stats {
        let stats = json!({
            "first_token_ms": first_token.unwrap_or_default().as_secs_f64() * 1e3,
            "total_ms": asked.elapsed().as_secs_f64() * 1e3,
            "prompt_positions": prepared.prompt.positions,
            "reused_positions": used.reused_positions,
            "answer_tokens": used.completion_tokens,
            "proposed_tokens": used.proposed_tokens,
            "accepted_tokens": used.accepted_tokens,
        });
        eprintln!("{stats}");
    }
    Ok(())
}

fn ask_server(url: &str, ask: &cli::Ask, settings: &Settings) -> Result<()> {
    let url = format!("{}/v1/chat/completions", url.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.post(&url);
    if let Some(token) = &settings.token {
        request = request.header("authorization", format!("Bearer {}", token.secret));
    }
    let response = request.send_json(body(ask)?).with_context(|| format!("asking {url}"))?;
    let good = response.status().is_success();
    let mut lines = BufReader::new(response.into_body().into_reader()).lines();
    if !good {
        let text = lines.collect::<Result<Vec<_>, _>>()?.join("\n");
        bail!(serde_json::from_str::<ErrorBody>(&text).map_or(text, |body| body.error.message));
    }
    while let Some(line) = lines.next().transpose()? {
        let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") else { continue };
        if let Ok(failed) = serde_json::from_str::<ErrorBody>(data) {
            bail!(failed.error.message);
        }
        let chunk: ChatChunk = serde_json::from_str(data).context("an event of the server")?;
        let text = chunk.choices.into_iter().filter_map(|choice| choice.delta.content);
        print(&text.collect::<String>())?;
    }
    print("\n")
}

fn body(ask: &cli::Ask) -> Result<Value> {
    let mut parts = Vec::new();
    for file in &ask.image {
        let url = format!("data:;base64,{}", STANDARD.encode(read(file)?));
        parts.push(json!({ "type": "image_url", "image_url": { "url": url } }));
    }
    for file in &ask.audio {
        parts.push(json!({ "type": "input_audio", "input_audio": { "data": STANDARD.encode(read(file)?) } }));
    }
    if !ask.question.trim().is_empty() {
        parts.push(json!({ "type": "text", "text": ask.question }));
    }
    let mut messages = vec![json!({ "role": "user", "content": parts })];
    if let Some(system) = &ask.system {
        messages.insert(0, json!({ "role": "system", "content": system }));
    }
    let mut body = json!({ "messages": messages, "stream": true });
    if let Some(max_tokens) = ask.max_tokens {
        body["max_tokens"] = max_tokens.into();
    }
    Ok(body)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| file.display().to_string())
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
