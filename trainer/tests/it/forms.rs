//! What the program says to whoever starts it from a form.

use serde_json::{Value, json};

use crate::runs::Rig;

fn check(rig: &Rig, arguments: &[&str]) -> Value {
    let all = [&["check", arguments[0], "--json"], &arguments[1..]].concat();
    serde_json::from_str(&rig.succeeds(&all)).unwrap()
}

#[test]
fn a_recipe_is_looked_at_before_it_is_carried_out() {
    let rig = Rig::new();
    let recipe = rig.recipe("align");
    let recipe = recipe.to_str().unwrap();
    let found = check(&rig, &[recipe]);
    assert_eq!(found.get("refusal"), None, "{found}");
    let counts = &found["findings"]["counts"];
    assert!(
        counts["records to learn from"].as_u64().unwrap() > 0
            && counts["records held out"].as_u64().unwrap() > 0
    );
    assert_eq!(counts["pictures"], 12);
    assert!(found["findings"]["samples"][0].as_str().unwrap().starts_with("drawn/"), "{found}");
    assert_eq!(found["findings"]["errors"], json!([]));
    let estimate = &found["estimate"];
    assert!(
        estimate["memory"].as_u64().unwrap() > 10_000 && estimate["seconds"].as_f64().unwrap() > 0.,
        "{estimate}"
    );
    let longer = check(&rig, &[recipe, "--set", "steps=60000"]);
    let seconds = |found: &Value| found["estimate"]["seconds"].as_f64().unwrap();
    assert!(seconds(&longer) > 50. * seconds(&found), "{longer}");
}

#[test]
fn what_is_broken_or_missing_is_named() {
    let rig = Rig::new();
    let recipe = rig.recipe("align");
    let recipe = recipe.to_str().unwrap();
    std::fs::write(rig.path("data/drawn/images").join(first_picture(&rig)), "no picture").unwrap();
    let found = check(&rig, &[recipe]);
    assert!(found["findings"]["errors"][0].as_str().unwrap().contains(&first_picture(&rig)), "{found}");
    for (change, word) in [
        ("data.0.folder=nowhere", "nowhere"),
        ("decoder.model=nothing", "nothing"),
        ("vision.encoder=blind", "blind"),
        ("vision.projector=never", "never"),
        ("steps=0", "steps"),
    ] {
        let refusal = check(&rig, &[recipe, "--set", change])["refusal"].clone();
        assert!(refusal.as_str().is_some_and(|words| words.contains(word)), "{change}: {refusal}");
    }
}

fn first_picture(rig: &Rig) -> String {
    let entries = std::fs::read_dir(rig.path("data/drawn/images")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).min().unwrap()
}

#[test]
fn work_of_one_step_tells_how_it_ended() {
    let rig = Rig::new();
    let out = rig.succeeds(&["export", "models/phi", "--format", "f32", "--out", "out", "--json"]);
    let end: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(end, json!({ "event": "end", "step": 1, "reason": "finished" }));
    let mut refused = rig.command(&["export", "models/none", "--out", "other", "--json"]);
    let output = refused.output().unwrap();
    let end: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&end["reason"], output.status.success()), (&json!("failed"), false));
    assert!(end["message"].as_str().unwrap().contains("none"), "{end}");
}

#[test]
fn a_recipe_that_comes_with_the_program_needs_no_file() {
    let rig = Rig::new();
    let found = check(&rig, &["tiny-align", "--set", "decoder.model=phi", "--set", "vision.encoder=clip"]);
    assert_eq!(found.get("refusal"), None, "{found}");
    let forms: Value = serde_json::from_str(&rig.succeeds(&["forms"])).unwrap();
    let kinds: Vec<&str> =
        forms.as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["align", "tune", "merge", "export", "eval"]);
    assert_eq!(forms[0]["schema"]["properties"]["data.0.folder"]["enum"], json!(["drawn"]));
}
