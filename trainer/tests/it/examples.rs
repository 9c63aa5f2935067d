//! Records as tokens, with the targets that count.

use std::path::{Path, PathBuf};

use jnana_core::prompt::Target;
use jnana_trainer::Error;
use jnana_trainer::data::example::{Example, Renderer, Slot, Unusable};
use jnana_trainer::data::record::{Content, Exchange, Record};

use crate::support::{END_OF_TEXT, card, tokenizer};

const PICTURE: u32 = 5;

fn renderer(context: usize) -> Renderer {
    Renderer::new(&card(context), tokenizer(), None, 49).unwrap()
}

fn exchange(image: bool, question: &str, answer: &str) -> Exchange {
    let images = if image { vec![PathBuf::from("1.jpg")] } else { Vec::new() };
    Exchange { images, question: question.into(), answer: answer.into() }
}

fn render(content: Content) -> Vec<Example> {
    renderer(200).render(&Record::new("r", content), |_: &Path| Some(PICTURE)).unwrap()
}

fn one(content: Content) -> Example {
    let mut examples = render(content);
    assert_eq!(examples.len(), 1);
    examples.remove(0)
}

fn ids(text: &str) -> Vec<u32> {
    tokenizer().encode_text(text).unwrap()
}

fn learned(example: &Example) -> Vec<u32> {
    example.targets.iter().map(|target| target.token).collect()
}

#[test]
fn a_question_with_a_picture_counts_only_in_its_answer() {
    let example = one(Content::Conversation(vec![exchange(true, "the cat", "a dog")]));
    let text = [ids("caption image:"), ids("the cat"), ids("end of question:"), ids("a dog")].concat();
    assert_eq!(example.ids[49..], text);
    assert_eq!(example.slots, [Slot { position: 0, picture: PICTURE }]);
    let first = 49 + 4 + 2 + 4 - 1;
    let target = |position, token| Target { position, token };
    let answer = ids("a dog");
    assert_eq!(
        example.targets,
        [target(first, answer[0]), target(first + 1, answer[1]), target(first + 2, END_OF_TEXT)]
    );
    assert_eq!(example.answer_tokens, 2);
}

#[test]
fn every_answer_of_a_conversation_counts() {
    let turns = vec![exchange(true, "a", "the cat"), exchange(true, "", "dog"), exchange(false, "the", "a")];
    let example = one(Content::Conversation(turns));
    let end = vec![END_OF_TEXT];
    let answers = [ids("the cat"), end.clone(), ids("dog"), end.clone(), ids("a"), end].concat();
    assert_eq!(learned(&example), answers);
    assert_eq!(example.answer_tokens, 4);
    let second = 49 + 4 + 1 + 4 + 2 + 1;
    assert_eq!(example.slots.iter().map(|slot| slot.position).collect::<Vec<_>>(), [0, second]);
    for target in &example.targets[..5] {
        assert_eq!(example.ids[target.position + 1], target.token);
    }
}

#[test]
fn a_caption_follows_its_picture() {
    let example = one(Content::Caption { image: "1.jpg".into(), caption: "a cat".into() });
    assert_eq!(example.ids[49..], [ids("caption image:"), ids("a cat")].concat());
    assert_eq!(learned(&example), [ids("a cat"), vec![END_OF_TEXT]].concat());
    assert_eq!(example.targets[0].position, 49 + 3);
}

#[test]
fn each_token_of_a_text_is_predicted_once() {
    let text = "the cat".to_owned() + &" cat".repeat(448);
    let record = |ends| Record::new("t", Content::Text { text: text.clone(), ends });
    for (ends, lengths) in [(true, vec![200, 200, 50]), (false, vec![200, 200, 49])] {
        let examples = renderer(200).render(&record(ends), |_: &Path| None).unwrap();
        assert_eq!(examples.iter().map(|e| e.ids.len()).collect::<Vec<_>>(), lengths);
        let read: Vec<u32> = examples.iter().flat_map(|example| example.ids.clone()).collect();
        let predicted: Vec<u32> = examples.iter().flat_map(learned).collect();
        assert_eq!(read[1..], predicted[..predicted.len() - 1]);
        assert_eq!(predicted.last() == Some(&END_OF_TEXT), ends);
        assert!(examples.iter().all(|e| e.targets.iter().enumerate().all(|(i, t)| t.position == i)));
    }
}

#[test]
fn what_cannot_be_used_says_why() {
    let renderer = renderer(60);
    let record = |question: &str, answer: &str| {
        Record::new("r", Content::Conversation(vec![exchange(true, question, answer)]))
    };
    assert_eq!(renderer.render(&record("", "a a"), |_: &Path| Some(1)).unwrap()[0].ids.len(), 59);
    let long = renderer.render(&record("the", "a a a"), |_: &Path| Some(1)).unwrap_err();
    assert!(matches!(long, Unusable::TooLong { positions: 61, context: 60 }), "{long}");
    let lost = renderer.render(&record("", "a"), |_: &Path| None).unwrap_err();
    assert!(matches!(lost, Unusable::WithoutPicture(_)), "{lost}");
}

#[test]
fn broken_records_count_and_long_ones_do_not() {
    let record = |id: usize| {
        let (image, question, answer) = match id {
            3 => (false, " ".to_owned(), "a"),
            5 => (true, "a ".repeat(300), "a"),
            _ => (true, "the cat".to_owned(), "a dog"),
        };
        Record::new(id.to_string(), Content::Conversation(vec![exchange(image, &question, answer)]))
    };
    let records: Vec<Record> = (0..10).map(record).collect();
    let picture = |_: &Path| Some(1);
    let examples = renderer(200).render_all(&records, picture, 0.1).unwrap();
    let used: Vec<_> = examples.list.iter().map(|example| example.record.as_str()).collect();
    assert_eq!(used, ["0", "1", "2", "4", "6", "7", "8", "9"]);
    assert_eq!((examples.left_out.len(), examples.left_out[0].what.as_str()), (1, "5"));
    assert_eq!((examples.faults.len(), examples.faults[0].what.as_str()), (1, "3"));
    let error = renderer(200).render_all(&records, picture, 0.05).unwrap_err();
    assert!(matches!(error, Error::TooManyFaults { broken: 1, total: 10, .. }), "{error}");
}
