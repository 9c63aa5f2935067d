//! A caller of `/v1/chat/completions`, which both servers offer: streamed, with the time of the first word.

use std::io::{BufRead, BufReader};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

/// A streamed answer.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    /// From the call to the first text.
    pub first_token: Duration,
    /// Its text.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub tokens: u64,
}

/// Asks the server at `url` to continue a conversation, greedily.
pub fn ask(url: &str, messages: &[Value], max_tokens: usize) -> Result<Answer> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let body = json!({
        "messages": messages, "max_tokens": max_tokens, "temperature": 0,
        "stream": true, "stream_options": { "include_usage": true },
    });
    let route = format!("{url}/v1/chat/completions");
    let asked = Instant::now();
    let response = agent.post(&route).send_json(&body).with_context(|| format!("asking {route}"))?;
    let status = response.status();
    let reader = BufReader::new(response.into_body().into_reader());
    if !status.is_success() {
        let text = reader.lines().collect::<Result<Vec<_>, _>>()?.join("\n");
        bail!("{url} answered {status}: {text}");
    }
    read(reader, || asked.elapsed())
}

/// Puts an answer together from a server's events; `elapsed` tells the time since the call.
fn read(events: impl BufRead, elapsed: impl Fn() -> Duration) -> Result<Answer> {
    let mut answer = Answer::default();
    for line in events.lines() {
        let line = line?;
        let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") else { continue };
        let event: Value = serde_json::from_str(data).with_context(|| format!("an event says {data}"))?;
        if let Some(error) = event.get("error") {
            bail!("the server failed: {error}");
        }
        if let Some(text) = event["choices"][0]["delta"]["content"].as_str().filter(|text| !text.is_empty()) {
            if answer.text.is_empty() {
                answer.first_token = elapsed();
            }
            answer.text.push_str(text);
        }
        if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
            answer.tokens = usage["completion_tokens"].as_u64().unwrap_or_default();
            answer.prompt_tokens = usage["prompt_tokens"].as_u64().unwrap_or_default();
        }
    }
    if answer.text.is_empty() || answer.tokens == 0 {
        bail!("the server gave an answer without text or without its number of tokens: {answer:?}");
    }
    Ok(answer)
}

/// Asks everything at once; the time is until the last answer has ended.
pub fn ask_together(
    url: &str,
    conversations: &[Vec<Value>],
    max_tokens: usize,
) -> Result<(Duration, Vec<Answer>)> {
    let start = Barrier::new(conversations.len() + 1);
    std::thread::scope(|scope| {
        let callers = conversations.iter().map(|messages| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                ask(url, messages, max_tokens)
            })
        });
        // All threads are there before the first is waited for.
        let callers: Vec<_> = callers.collect();
        start.wait();
        let started = Instant::now();
        let answers = callers
            .into_iter()
            .map(|caller| caller.join().unwrap_or_else(|_| Err(anyhow!("a caller panicked"))));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        Ok((started.elapsed(), answers))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// As our server sends it: the role first, the usage in an event without choices, comments to keep the line open.
    const OURS: &str = r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}

: keep-alive

data: {"choices":[{"index":0,"delta":{"content":"Once "}}]}

data: {"choices":[{"index":0,"delta":{"content":"upon"},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}

data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}

data: [DONE]

"#;

    #[test]
    fn the_first_text_counts_as_the_first_token() {
        let clock = Cell::new(0);
        let tick = || {
            clock.set(clock.get() + 1);
            Duration::from_secs(clock.get())
        };
        let answer = read(OURS.as_bytes(), tick).unwrap();
        let expected = Answer {
            first_token: Duration::from_secs(1),
            text: "Once upon".to_owned(),
            prompt_tokens: 9,
            tokens: 2,
        };
        assert_eq!(answer, expected);
        assert_eq!(clock.get(), 1);
    }

    #[test]
    fn llama_servers_null_content_and_its_usage_are_understood() {
        let events = r#"data: {"choices":[{"delta":{"role":"assistant","content":null}}]}
data: {"choices":[{"delta":{"content":"Hi"}}],"usage":null}
data: {"choices":[],"usage":{"completion_tokens":1,"prompt_tokens":3},"timings":{"prompt_n":3}}
data: [DONE]"#;
        let answer = read(events.as_bytes(), || Duration::ZERO).unwrap();
        assert_eq!((answer.text.as_str(), answer.tokens, answer.prompt_tokens), ("Hi", 1, 3));
    }

    #[test]
    fn a_failure_in_the_stream_is_a_failure() {
        let read = |events: &str| read(events.as_bytes(), || Duration::ZERO).unwrap_err().to_string();
        assert!(read("data: {\"error\":{\"message\":\"no memory\"}}\n").contains("no memory"));
        assert!(read("data: [DONE]\n").contains("without text"));
    }
}
