//! `/api/conversations` and `/api/blobs`.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::{Caller, MODEL, TestApp, fixture, good, id, refused, text_of};

#[tokio::test]
async fn a_conversation_is_made_named_found_exported_and_removed() {
    let app = TestApp::start().await;
    let caller = &app.caller;
    let conversation = caller.conversation().await;
    let answer = caller.exchange(&conversation, None, "What is the capital of France?").await;
    assert!(text_of(&answer).contains("Paris"), "{answer}");
    assert_eq!(answer["state"], "done");
    let details = &answer["details"];
    assert_eq!(details["model"], MODEL);
    assert_eq!(details["finish_reason"], "stop");
    let positions: u64 =
        details["prompt"].as_array().unwrap().iter().map(|part| part["positions"].as_u64().unwrap()).sum();
    assert_eq!(details["prompt_positions"], positions);

    let titles = async |query: &str| -> Vec<String> {
        let found = caller.json(&format!("/api/conversations?query={query}")).await;
        found.as_array().unwrap().iter().map(|row| row["title"].as_str().unwrap().to_owned()).collect()
    };
    let title = "What is the capital of France?";
    assert_eq!(titles("").await, [title]);
    assert_eq!(titles("CAPITAL").await, [title]);
    assert_eq!(titles("paris").await, [title]);
    assert_eq!(titles("london%25").await, Vec::<String>::new());

    let path = format!("/api/conversations/{conversation}");
    let patch = json!({ "title": "Géographie: Geography" });
    let renamed = good(caller.request(Method::PATCH, &path).json(&patch).send().await.unwrap()).await;
    assert_eq!(renamed["title"], "Géographie: Geography");
    assert_eq!(titles("gÉOGRAPHIE").await, ["Géographie: Geography"]);
    caller.exchange(&conversation, Some(id(&answer)), "And of Spain?").await;
    assert_eq!(caller.json(&path).await["title"], "Géographie: Geography");

    let export = caller.get(&format!("{path}/export?format=markdown")).await;
    assert_eq!(export.headers()["content-disposition"], "attachment; filename=\"g-ographie-geography.md\"");
    let markdown = export.text().await.unwrap();
    let at = |words: &str| markdown.find(words).unwrap_or_else(|| panic!("no {words:?} in {markdown}"));
    assert!(at("# Géographie: Geography") < at("## You") && at("capital of France") < at("And of Spain?"));
    let exported = caller.json(&format!("{path}/export?format=json")).await;
    assert_eq!(exported, caller.json(&path).await);

    let removed = caller.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    refused(caller.get(&path).await, StatusCode::NOT_FOUND).await;
    assert_eq!(titles("").await, Vec::<String>::new());
}

#[tokio::test]
async fn branches_stay_and_the_shown_one_can_be_chosen() {
    let caller = Caller::shared();
    let conversation = caller.conversation().await;
    let first = caller.exchange(&conversation, None, "Say hello.").await;
    let path = format!("/api/conversations/{conversation}");
    let again =
        good(caller.post(&format!("{path}/messages/{}/regenerate", id(&first)), &json!({})).await).await;
    let second = again["answer"].clone();
    assert_eq!(second["parent"], first["parent"]);
    assert_ne!(second["id"], first["id"]);
    caller.events(&conversation, id(&second), 0).await;
    // An edited question is a sibling of the first one.
    let edited = caller.exchange(&conversation, None, "Say goodbye.").await;

    let whole = caller.json(&path).await;
    assert_eq!(whole["messages"].as_array().unwrap().len(), 5);
    assert_eq!(whole["active_leaf"], edited["id"]);
    let patch = json!({ "active_leaf": first["id"] });
    good(caller.request(Method::PATCH, &path).json(&patch).send().await.unwrap()).await;
    assert_eq!(caller.json(&path).await["active_leaf"], first["id"]);

    let question = first["parent"].as_str().unwrap();
    let response = caller.post(&format!("{path}/messages/{question}/regenerate"), &json!({})).await;
    refused(response, StatusCode::BAD_REQUEST).await;
    let follow = json!({ "parent": question, "parts": [{ "type": "text", "text": "x" }] });
    refused(caller.post(&format!("{path}/messages"), &follow).await, StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn a_later_turn_reuses_the_earlier_ones() {
    // On a server of its own: what is kept for reuse is shared by all callers.
    let app = TestApp::start().await;
    let caller = &app.caller;
    let conversation = caller.conversation().await;
    let first = caller.exchange(&conversation, None, "What is the capital of France?").await;
    let second = caller.exchange(&conversation, Some(id(&first)), "And of Spain?").await;
    let reused = second["details"]["reused_positions"].as_u64().unwrap();
    assert!(reused >= first["details"]["prompt_positions"].as_u64().unwrap(), "{second}");
    let count = |name: &str| second["details"][name].as_u64().unwrap();
    assert!(count("accepted_tokens") <= count("proposed_tokens"), "{second}");
}

#[tokio::test]
async fn blobs_are_kept_by_content_and_can_run_nothing() {
    let caller = Caller::shared();
    let upload = async |bytes: Vec<u8>, kind: &str| -> Value {
        let request = caller.request(Method::POST, "/api/blobs").header("content-type", kind).body(bytes);
        good(request.send().await.unwrap()).await
    };
    let picture = fixture("media/tests/fixtures/landscape.png");
    let blob = upload(picture.clone(), "text/html").await;
    assert_eq!(blob["mime"], "image/png");
    assert_eq!(blob["bytes"], picture.len());
    assert_eq!(upload(picture.clone(), "").await, blob);

    let response = caller.get(&format!("/api/blobs/{}", blob["hash"].as_str().unwrap())).await;
    let headers = response.headers().clone();
    assert!(headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert!(headers["content-security-policy"].to_str().unwrap().contains("sandbox"));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(response.bytes().await.unwrap(), picture);

    for declared in ["image/svg+xml", "text/html", "text/javascript", ""] {
        let page = upload(format!("<script>alert({declared:?})</script>").into_bytes(), declared).await;
        assert_eq!(page["mime"], "application/octet-stream", "{declared}");
        let read = caller.get(&format!("/api/blobs/{}", page["hash"].as_str().unwrap())).await;
        assert_eq!(read.headers()["content-type"], "application/octet-stream");
    }
    refused(caller.get(&format!("/api/blobs/{}", "0".repeat(64))).await, StatusCode::NOT_FOUND).await;
    refused(caller.get("/api/blobs/..%2f..%2fjnana.db").await, StatusCode::NOT_FOUND).await;
    let huge = caller.request(Method::POST, "/api/blobs").body(vec![0; (20 << 20) + 1]).send().await.unwrap();
    refused(huge, StatusCode::PAYLOAD_TOO_LARGE).await;
    let empty = caller.request(Method::POST, "/api/blobs").send().await.unwrap();
    refused(empty, StatusCode::BAD_REQUEST).await;
}
