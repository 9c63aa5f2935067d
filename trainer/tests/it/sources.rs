//! Files of every format, good and broken.

use std::collections::BTreeSet;
use std::path::Path;

use jnana_trainer::Error;
use jnana_trainer::data::coco::{self, CaptionedImage, Captions};
use jnana_trainer::data::record::{Content, Exchange, Record, pictures};
use jnana_trainer::data::source::{Records, Source, read};
use serde_json::json;

use crate::support::write_json;

fn source(toml: &str) -> Source {
    toml::from_str(&format!("name = \"s\"\nfolder = \".\"\n{toml}")).unwrap()
}

fn read_one(toml: &str, root: &Path) -> Records {
    read(&[source(toml)], root).unwrap()
}

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

fn exchanges(record: &Record) -> &[Exchange] {
    let Content::Conversation(exchanges) = &record.content else { panic!("{record:?}") };
    exchanges
}

/// Two pictures with two captions each, one picture without, and what can be wrong.
fn write_coco(folder: &Path) {
    let images = json!([
        {"id": 7, "file_name": "7.jpg", "height": 30, "width": 40}, {"id": 9, "file_name": "9.jpg"},
        {"id": 8, "file_name": "8.jpg"}, {"id": 1, "file_name": "../secret.jpg"}, {"id": "x"}
    ]);
    let annotations = json!([
        {"id": 1, "image_id": 9, "caption": " A dog.\n"}, {"id": 2, "image_id": 7, "caption": "A cat."},
        {"id": 3, "image_id": 9, "caption": "The dog."}, {"id": 4, "image_id": 5, "caption": "Nowhere."},
        {"id": 5, "image_id": 7, "caption": " "}, {"id": 6, "image_id": 7}, {"id": 7, "image_id": 7, "caption": "The cat."}
    ]);
    write_json(
        &folder.join("captions.json"),
        &json!({"info": {}, "images": images, "annotations": annotations}),
    );
}

#[test]
fn coco_gives_the_first_caption_or_all_and_names_what_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    write_coco(folder.path());
    let first = read_one("format = { kind = \"coco\" }\nmax_broken = 0.5", folder.path());
    assert_eq!(ids(&first.train), ["s/9.jpg#0", "s/7.jpg#0"]);
    let image = folder.path().join("./images/9.jpg");
    assert_eq!(first.train[0].content, Content::Caption { image, caption: "A dog.".into() });
    let all = read_one("format = { kind = \"coco\", captions = \"all\" }\nmax_broken = 0.5", folder.path());
    assert_eq!(ids(&all.train), ["s/9.jpg#0", "s/9.jpg#1", "s/7.jpg#0", "s/7.jpg#1"]);

    let faults: Vec<_> = all.faults.iter().map(|f| (f.what.as_str(), f.reason.as_str())).collect();
    assert_eq!(faults.len(), 5, "{faults:?}");
    assert!(faults[0].0 == "images[3]" && faults[0].1.contains("leads out"), "{faults:?}");
    assert!(faults[1].0 == "images[4]" && faults[1].1.contains("invalid type"), "{faults:?}");
    assert_eq!(faults[2], ("annotations[3]", "there is no image 5"));
    assert_eq!(faults[3], ("annotations[4]", "the caption is empty"));
    assert!(faults[4].1.contains("caption"), "{faults:?}");
}

#[test]
fn evaluation_gets_all_captions_of_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    write_coco(folder.path());
    let (images, _) = coco::read(&folder.path().join("captions.json"), Path::new("images"), 0.5).unwrap();
    let captioned = |image: &str, captions: [&str; 2]| CaptionedImage {
        image: Path::new("images").join(image),
        captions: captions.map(str::to_owned).to_vec(),
    };
    assert_eq!(
        images,
        [captioned("9.jpg", ["A dog.", "The dog."]), captioned("7.jpg", ["A cat.", "The cat."])]
    );
    assert_eq!(coco::records(images, Captions::First).len(), 2);
}

#[test]
fn too_many_broken_records_stop_the_run() {
    let folder = tempfile::tempdir().unwrap();
    write_coco(folder.path());
    // Five of twelve entries are broken.
    let strict = source("format = { kind = \"coco\" }\nmax_broken = 0.4");
    let error = read(&[strict], folder.path()).unwrap_err();
    assert!(matches!(error, Error::TooManyFaults { broken: 5, total: 12, .. }), "{error}");
    assert!(error.to_string().contains("annotations[3] (there is no image 5)"), "{error}");
}

fn human(value: &str) -> serde_json::Value {
    json!({"from": "human", "value": value})
}

fn gpt(value: &str) -> serde_json::Value {
    json!({"from": "gpt", "value": value})
}

#[test]
fn llavas_picture_may_stand_anywhere_and_conversations_can_be_broken_up() {
    let folder = tempfile::tempdir().unwrap();
    let records = json!([
        {"id": "a", "image": "a.jpg", "conversations": [
            human("What is\n<image>\nthis?"), gpt("A cat."), human("Where?"), gpt(" On a mat. ")]},
        {"id": "two", "image": ["b.jpg", "c.jpg"], "conversations": [
            human("<image>"), gpt("A dog."), human("And <image>"), gpt("A cat.")]},
        {"image": "d.jpg", "conversations": [human("Is it red?"), gpt("No.")]},
        {"id": 31, "conversations": [{"from": "user", "value": "Hi"}, {"from": "assistant", "value": "Hello"}]},
    ]);
    write_json(&folder.path().join("conversations.json"), &records);
    let whole = read_one("format = { kind = \"llava\", conversations = \"whole\" }", folder.path()).train;
    // The third has no id of its own, but its number in the list is 2.
    assert_eq!(ids(&whole), ["s/a", "s/two", "s/2", "s/31"]);
    let shown = |exchange: &Exchange| {
        exchange.images.iter().map(|i| i.file_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = exchanges(&whole[0]);
    assert_eq!((first[0].question.as_str(), first[0].answer.as_str()), ("What is this?", "A cat."));
    assert_eq!((first[1].question.as_str(), first[1].answer.as_str()), ("Where?", "On a mat."));
    assert_eq!((shown(&first[0]), shown(&first[1])), (vec!["a.jpg".into()], vec![]));
    let second = exchanges(&whole[1]);
    assert_eq!((shown(&second[0]), shown(&second[1])), (vec!["b.jpg".into()], vec!["c.jpg".into()]));
    assert_eq!((second[0].question.as_str(), second[1].question.as_str()), ("", "And"));
    assert_eq!(shown(&exchanges(&whole[2])[0]), ["d.jpg"], "a picture without its mark stands first");
    assert!(whole[3].images().is_empty());

    let pairs = read_one("format = { kind = \"llava\" }", folder.path()).train;
    assert_eq!(ids(&pairs), ["s/a#0", "s/a#1", "s/two#0", "s/two#1", "s/2#0", "s/31#0"]);
    let later = &exchanges(&pairs[1])[0];
    assert_eq!((later.question.as_str(), shown(later)), ("Where?", vec!["a.jpg".into()]));
    assert_eq!(shown(&exchanges(&pairs[3])[0]), ["b.jpg", "c.jpg"]);
    assert_eq!(pictures(&pairs).len(), 4);
}

#[test]
fn broken_conversations_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (json!([human("Hi")]), "1 turns"),
        (json!([]), "0 turns"),
        (json!([gpt("Hi"), gpt("Hello")]), "where a human's was expected"),
        (json!([human("Hi"), human("Hello")]), "where an answer was expected"),
        (json!([human("Hi"), gpt(" ")]), "an answer is empty"),
        (json!([human("<image> <image>"), gpt("Two.")]), "2 times <image> with 1 pictures left"),
        (json!([human("<image>"), gpt("One."), human(" "), gpt("Why?")]), "a question is empty"),
        (json!("no list"), "invalid type"),
    ];
    let records: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(i, (turns, _))| json!({"id": i.to_string(), "image": "a.jpg", "conversations": turns}))
        .collect();
    write_json(&folder.path().join("conversations.json"), &json!(records));
    let read = read_one("format = { kind = \"llava\" }\nmax_broken = 1.0", folder.path());
    assert!(read.train.is_empty());
    assert_eq!(read.faults.len(), cases.len());
    for (fault, (turns, words)) in read.faults.iter().zip(&cases) {
        assert!(fault.reason.contains(words), "{turns}: {fault:?}");
    }
}

#[test]
fn easy_vqa_is_read_as_its_package_ships_it() {
    let folder = tempfile::tempdir().unwrap();
    let questions =
        json!([["what color is the shape?", "gray", 17], ["is there a circle?", "no", 17], ["what?", "", 3]]);
    write_json(&folder.path().join("questions.json"), &questions);
    let read = read_one("format = { kind = \"easy-vqa\" }\nmax_broken = 0.4", folder.path());
    assert_eq!(ids(&read.train), ["s/17#0", "s/17#1"]);
    let exchange = &exchanges(&read.train[0])[0];
    assert_eq!(exchange.images, [folder.path().join("./images/17.png")]);
    assert_eq!((exchange.question.as_str(), exchange.answer.as_str()), ("what color is the shape?", "gray"));
    assert_eq!(read.faults[0].what, "question 2");
}

#[test]
fn chats_and_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"turns\": [\"Hi\", \"Hello\", \"Bye\"]}\n\n{\"turns\": [\"Hi\"]}\nnonsense\n";
    std::fs::write(folder.path().join("chat.jsonl"), lines).unwrap();
    let chats =
        read_one("format = { kind = \"chat\", file = \"chat.jsonl\" }\nmax_broken = 0.7", folder.path());
    assert_eq!(ids(&chats.train), ["s/1"]);
    assert_eq!(exchanges(&chats.train[0]).len(), 1, "a last question without an answer is dropped");
    assert_eq!(chats.faults.iter().map(|f| f.what.as_str()).collect::<Vec<_>>(), ["line 3", "line 4"]);

    std::fs::write(folder.path().join("text.txt"), "one\ntwo\n\nthree\n").unwrap();
    let text = |documents: &str| {
        let format =
            format!("format = {{ kind = \"text\", file = \"text.txt\", documents = \"{documents}\" }}");
        read_one(&format, folder.path()).train.into_iter().map(|record| record.content).collect::<Vec<_>>()
    };
    let part = |text: &str| Content::Text { text: text.into(), ends: true };
    assert_eq!(text("lines"), [part("one"), part("two"), part("three")]);
    assert_eq!(text("file"), [part("one\ntwo\n\nthree")]);
}

/// 200 pictures with two captions each.
fn write_many(folder: &Path) {
    let images: Vec<_> = (0..200).map(|i| json!({"id": i, "file_name": format!("{i}.jpg")})).collect();
    let annotations: Vec<_> =
        (0..400).map(|i| json!({"id": i, "image_id": i / 2, "caption": format!("Picture {i}.")})).collect();
    write_json(&folder.join("captions.json"), &json!({"images": images, "annotations": annotations}));
}

#[test]
fn splits_come_from_their_file() {
    let folder = tempfile::tempdir().unwrap();
    write_many(folder.path());
    let split = |i: usize| ["train", "dev", "extra"][i % 3];
    let splits: serde_json::Map<_, _> = (0..150).map(|i| (format!("{i}.jpg"), json!(split(i)))).collect();
    write_json(&folder.path().join("splits.json"), &json!(splits));
    let toml = "format = { kind = \"coco\" }\nsplits = {}\nweight = 2.5\nlimit = 20";
    let records = read_one(toml, folder.path());
    assert_eq!((records.train.len(), records.held_out.len()), (20, 50));
    assert!(records.train.iter().all(|record| record.weight == 2.5));
    let number = |record: &Record| record.group().trim_end_matches(".jpg").parse::<usize>().unwrap();
    assert!(records.train.iter().all(|record| split(number(record)) == "train"));
    assert!(records.held_out.iter().all(|record| split(number(record)) == "dev"));
}

#[test]
fn a_share_is_held_out_by_picture_and_always_the_same() {
    let folder = tempfile::tempdir().unwrap();
    write_many(folder.path());
    let toml = "format = { kind = \"coco\", captions = \"all\" }\nheld_out_share = 0.2";
    let records = read_one(toml, folder.path());
    let groups = |records: &[Record]| records.iter().map(Record::group).collect::<BTreeSet<_>>();
    let (train, held_out) = (groups(&records.train), groups(&records.held_out));
    assert!(train.is_disjoint(&held_out));
    assert_eq!(train.len() + held_out.len(), 200);
    assert!((25..55).contains(&held_out.len()), "{}", held_out.len());
    assert_eq!(read_one(toml, folder.path()).held_out, records.held_out);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_many(folder.path());
    for wrong in ["weight = 0.0", "weight = inf", "held_out_share = 1.5", "max_broken = -0.1"] {
        let toml = format!("format = {{ kind = \"coco\" }}\n{wrong}");
        let error = read(&[source(&toml)], folder.path()).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }), "{wrong}: {error}");
    }
}
