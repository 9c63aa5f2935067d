//! Drawn data: the same on every machine, and true. The checks read the English again and look at the scene themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jnana_trainer::draw::dataset::{self, Plan};
use jnana_trainer::draw::scene::{Cell, Colour, Scene, Shape, Size, Thing};
use jnana_trainer::draw::{Question, QuestionKind, Sample, passage, render, sample};
use serde_json::Value;
use sha2::{Digest, Sha256};

const NUMBERS: [&str; 3] = ["zero", "one", "two"];

/// Lower-case words without punctuation.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// The things that have every size, colour and shape that the words name; plurals count.
fn named<'a>(words: &[String], scene: &'a Scene) -> Vec<&'a Thing> {
    let said =
        |name: &str| words.iter().any(|w| w == name || *w == format!("{name}s") || *w == format!("{name}es"));
    let fits = |thing: &&Thing| {
        Size::ALL.iter().all(|size| !said(size.name()) || *size == thing.size)
            && Colour::ALL.iter().all(|colour| !said(colour.name()) || *colour == thing.colour)
            && Shape::ALL.iter().all(|shape| !said(shape.name()) || *shape == thing.shape)
    };
    scene.things.iter().filter(fits).collect()
}

/// The cell that the text names.
fn said_cell(text: &str) -> Option<Cell> {
    let (_, rest) = text.split_once("at the ")?;
    let rest = rest.trim_end_matches(['?', '.']);
    Cell::all().find(|cell| cell.name() == rest)
}

/// Answers a question by looking at the scene.
fn look(question: &Question, scene: &Scene) -> String {
    let words = words(&question.text);
    let fitting = named(&words, scene);
    match question.kind {
        QuestionKind::Exists => if fitting.is_empty() { "no" } else { "yes" }.to_owned(),
        QuestionKind::Count => NUMBERS[fitting.len()].to_owned(),
        kind => {
            assert_eq!(fitting.len(), 1, "{} is ambiguous in {:?}", question.text, scene.things);
            match kind {
                QuestionKind::Colour => fitting[0].colour.name().to_owned(),
                _ => fitting[0].shape.name().to_owned(),
            }
        }
    }
}

fn samples(seed: u64, count: u64) -> Vec<Sample> {
    (0..count).map(|index| sample(seed, index)).collect()
}

#[test]
fn answers_agree_with_the_scene() {
    let mut asked = [0; 4];
    for sample in samples(1, 2000) {
        for question in &sample.questions {
            assert_eq!(
                question.answer,
                look(question, &sample.scene),
                "{} {:?}",
                question.text,
                sample.scene.things
            );
            asked[question.kind as usize] += 1;
        }
    }
    assert_eq!(asked[QuestionKind::Exists as usize], 2000);
    assert_eq!(asked[QuestionKind::Count as usize], 2000);
    assert!(asked.iter().all(|&count| count > 1500), "{asked:?}");
}

#[test]
fn yes_and_no_are_balanced_whatever_the_wording() {
    let samples = samples(2, 4000);
    let exists = || {
        let questions = samples.iter().flat_map(|sample| &sample.questions);
        questions.filter(|question| question.kind == QuestionKind::Exists)
    };
    let yes = |limit: usize| exists().take(limit).filter(|question| question.answer == "yes").count();
    assert_eq!(yes(2000), 1000);
    assert!((3..=7).contains(&yes(10)), "a short set is balanced too");
    // A model that reads the question alone must not beat chance by any word that may differ.
    let named = Colour::ALL.map(Colour::name).into_iter().chain(Shape::ALL.map(Shape::name));
    for word in named.chain(["small", "large", "thing"]) {
        let with = exists().filter(|question| words(&question.text).iter().any(|w| w == word));
        let (yes, no): (Vec<_>, Vec<_>) = with.partition(|question| question.answer == "yes");
        let (yes, all) = (yes.len() as f64, (yes.len() + no.len()) as f64);
        // Three standard deviations of a fair coin.
        assert!((yes / all - 0.5).abs() < 1.5 / all.sqrt(), "{word}: {yes} of {all} are yes");
    }
}

#[test]
fn answers_vary() {
    let samples = samples(3, 2000);
    for (kind, different) in [
        (QuestionKind::Colour, Colour::ALL.len()),
        (QuestionKind::Shape, Shape::ALL.len()),
        (QuestionKind::Count, NUMBERS.len()),
    ] {
        let answers: Vec<_> = samples
            .iter()
            .flat_map(|s| &s.questions)
            .filter(|q| q.kind == kind)
            .map(|q| q.answer.as_str())
            .collect();
        let distinct: BTreeSet<_> = answers.iter().collect();
        assert_eq!(distinct.len(), different, "{kind:?}");
        let most = distinct.iter().map(|a| answers.iter().filter(|b| *b == *a).count()).max().unwrap();
        assert!(most * 2 < answers.len(), "{kind:?}: one answer is right for {most} of {}", answers.len());
    }
}

/// Whether what a phrase says is so: a relation of two, one thing at a place, or a number of things.
fn holds(phrase: &str, scene: &Scene) -> bool {
    type Lies = fn(Cell, Cell) -> bool;
    let relations: [(&str, Lies); 4] = [
        (" above ", |a, b| a.row < b.row),
        (" below ", |a, b| a.row > b.row),
        (" to the left of ", |a, b| a.column < b.column),
        (" to the right of ", |a, b| a.column > b.column),
    ];
    for (relation, lies) in relations {
        if let Some((first, second)) = phrase.split_once(relation) {
            let (first, second) = (named(&words(first), scene), named(&words(second), scene));
            return first.iter().any(|a| second.iter().any(|b| lies(a.cell, b.cell)));
        }
    }
    let things = named(&words(phrase), scene);
    if let Some(cell) = said_cell(phrase) {
        return things.iter().any(|thing| thing.cell == cell);
    }
    let count =
        words(phrase).iter().find_map(|word| NUMBERS.iter().position(|number| number == word)).unwrap_or(1);
    things.len() == count
}

#[test]
fn captions_are_true_and_differ() {
    for sample in samples(4, 1000) {
        assert_eq!(sample.captions.len(), 5);
        for caption in &sample.captions {
            for phrase in caption.split(", ").flat_map(|part| part.split(" and ")) {
                assert!(holds(phrase, &sample.scene), "{caption} of {:?}", sample.scene.things);
            }
            assert!(caption.starts_with(char::is_uppercase) && caption.ends_with('.'), "{caption}");
        }
        let different: BTreeSet<_> = sample.captions.iter().collect();
        assert!(different.len() >= 4, "{:?}", sample.captions);
    }
}

#[test]
fn a_passage_says_nothing_that_its_first_sentence_denies() {
    let names = |text: &str, name: &str| words(text).iter().any(|word| word == name);
    for index in 0..500 {
        let text = passage(5, index);
        let (first, rest) = text.split_once('.').unwrap();
        for statement in
            rest.trim_start_matches("caption image:").split(". ").filter(|statement| !statement.contains('?'))
        {
            for name in Colour::ALL.map(Colour::name) {
                assert!(names(first, name) || !names(statement, name), "{text}");
            }
        }
        assert!(!text.contains('\n'));
    }
}

#[test]
fn the_vocabulary_is_small() {
    let mut vocabulary = BTreeSet::new();
    for (index, sample) in (0..).zip(samples(6, 1000)) {
        vocabulary.extend(sample.captions.iter().flat_map(|caption| words(caption)));
        vocabulary.extend(sample.questions.iter().flat_map(|q| words(&format!("{} {}", q.text, q.answer))));
        vocabulary.extend(words(&passage(6, index)));
    }
    assert!(vocabulary.len() < 100, "{}: {vocabulary:?}", vocabulary.len());
}

#[test]
fn a_seed_and_an_index_decide_everything() {
    assert_eq!(samples(7, 20), samples(7, 20));
    assert_eq!(sample(7, 19), samples(7, 20)[19]);
    assert_ne!(sample(7, 0).scene, sample(8, 0).scene);
    assert_ne!(sample(7, 0).scene, sample(7, 1).scene);
    assert_eq!(passage(7, 3), passage(7, 3));
    assert_ne!(passage(7, 3), passage(8, 3));
}

/// Whoever changes what is drawn or said changes this sum and with it every set that was ever drawn; no machine does.
#[test]
fn every_machine_draws_the_same() {
    let mut sum = Sha256::new();
    for (index, sample) in (0..).zip(samples(9, 8)) {
        sum.update(render(&sample.scene, 96).as_raw());
        sum.update(sample.captions.join("\n"));
        for question in &sample.questions {
            sum.update(format!("{} {}\n", question.text, question.answer));
        }
        sum.update(passage(9, index));
    }
    let sum: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sum, "385db8ce1d3e0d3c0172bdbcec00d4573a1b7a8a45f7de07c349e264ee0f4b8c");
}

/// Paths below the folder and what they hold, in order.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for below in ["", "images"] {
        for entry in fs::read_dir(folder.join(below)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_folder_holds_pictures_and_what_is_said_of_them() {
    let plan = Plan { seed: 10, pictures: 12, side: 48, passages: 7 };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        dataset::write(folder.path(), &plan).unwrap();
    }
    let files = contents(folders[0].path());
    assert!(files == contents(folders[1].path()), "the same seed gives the same bytes");
    assert_eq!(files.len(), 12 + 4);

    let read = |name: &str| fs::read(folders[0].path().join(name)).unwrap();
    let json = |name: &str| serde_json::from_slice::<Value>(&read(name)).unwrap();
    let captions = json("captions.json");
    assert_eq!(captions["images"].as_array().unwrap().len(), 12);
    assert_eq!(captions["annotations"].as_array().unwrap().len(), 12 * 5);
    assert_eq!(captions["images"][3]["file_name"], "000003.png");
    let of_third = captions["annotations"].as_array().unwrap().iter().filter(|a| a["image_id"] == 3);
    let of_third: Vec<_> = of_third.map(|a| a["caption"].as_str().unwrap()).collect();
    assert_eq!(of_third, sample(10, 3).captions);

    let third = sample(10, 3);
    let picture = image::load_from_memory(&read("images/000003.png")).unwrap().to_rgb8();
    assert_eq!(picture, render(&third.scene, 48));

    let conversation = &json("conversations.json")[3];
    assert_eq!(conversation["image"], "000003.png");
    let turns = conversation["conversations"].as_array().unwrap();
    assert_eq!(turns.len(), 2 + 2 * third.questions.len());
    assert!(turns[0]["value"].as_str().unwrap().starts_with("<image>\n"));
    assert_eq!((&turns[0]["from"], &turns[1]["from"]), (&Value::from("human"), &Value::from("gpt")));
    assert_eq!(turns[3]["value"], third.questions[0].answer.as_str());

    let questions = json("questions.json");
    let asked: usize = samples(10, 12).iter().map(|sample| sample.questions.len()).sum();
    assert_eq!(questions.as_array().unwrap().len(), asked);
    assert_eq!(questions[0]["question"], sample(10, 0).questions[0].text.as_str());

    let text = String::from_utf8(read("text.txt")).unwrap();
    let passages: Vec<_> = (0..7).map(|index| passage(10, index)).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), passages);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = dataset::write(&file, &Plan::default()).unwrap_err();
    assert!(error.to_string().contains("file/images"), "{error}");
}
