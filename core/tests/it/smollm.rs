//! What the default model is made of, itself.

use candle_core::Device;
use jnana_core::request::{FinishReason, Request, Sampling};
use jnana_core::{Engine, EngineConfig, ModelCard, Turn, prompt};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::{LoadOptions, load_decoder};

use crate::prompts::models;
use crate::rig::collect;

const QUESTIONS: [&str; 8] = [
    "What is the capital of France? Answer with one word.",
    "Count from one to five.",
    "Name a colour of the rainbow.",
    "Write one sentence about sheep.",
    "What is two plus two?",
    "Say hello in Spanish.",
    "Which animal says meow?",
    "Finish the sentence: The sun rises in the",
];

struct Base {
    engine: Engine,
    tokenizer: Tokenizer,
    card: ModelCard,
}

impl Base {
    fn load() -> Self {
        Self::load_with(EngineConfig::default())
    }

    fn load_with(config: EngineConfig) -> Self {
        let path = models().join("smollm2-135m-instruct");
        let loaded = load_decoder(&path, &LoadOptions::new(Device::Cpu)).unwrap();
        let tokenizer = loaded.tokenizer.unwrap();
        let shape = loaded.decoder.shape().clone();
        let card = ModelCard::load(&path, &loaded.info.name, &shape, &tokenizer).unwrap();
        let config = EngineConfig { context: card.context, ..config };
        Self { engine: Engine::start(loaded.decoder, tokenizer.clone(), config), tokenizer, card }
    }

    fn request(&self, turns: &[Turn], max_tokens: usize) -> Request {
        let context = self.engine.config().context;
        let prompt =
            prompt::build(&self.card.template, &self.tokenizer, None, turns, context, max_tokens).unwrap();
        Request { prompt: prompt.parts, sampling: Sampling::default(), stop: self.card.stop(max_tokens) }
    }
}

#[test]
fn eight_people_get_the_answers_that_each_would_get_alone() {
    let model = Base::load();
    assert_eq!(model.card.template.name, "smollm2");
    let ask = |question: &str| model.engine.submit(model.request(&[Turn::user(question)], 24)).unwrap();
    let alone: Vec<_> = QUESTIONS.iter().map(|question| collect(ask(question))).collect();
    assert!(alone[0].text.contains("Paris"), "{:?}", alone[0]);
    assert_eq!(alone[0].reason(), FinishReason::Stop);

    let crowded = Base::load();
    let answers: Vec<_> = QUESTIONS
        .iter()
        .map(|question| crowded.engine.submit(crowded.request(&[Turn::user(*question)], 24)).unwrap())
        .collect();
    let together: Vec<String> = answers.into_iter().map(|answer| collect(answer).text).collect();
    assert_eq!(together, alone.into_iter().map(|outcome| outcome.text).collect::<Vec<_>>());
}

#[test]
fn guesses_change_how_soon_an_answer_is_there_and_not_what_it_says() {
    let question =
        "Write this sentence three times: The old lighthouse keeper counts seven white ships at dawn.";
    let answer = |guess_rows| {
        let model = Base::load_with(EngineConfig { guess_rows, ..EngineConfig::default() });
        collect(model.engine.submit(model.request(&[Turn::user(question)], 64)).unwrap())
    };
    let (plain, guessed) = (answer(0), answer(8));
    assert_eq!(guessed.text, plain.text);
    assert_eq!(plain.usage().proposed_tokens, 0);
    assert!(guessed.usage().accepted_tokens > 0, "{guessed:?}");
}

#[test]
fn a_conversation_goes_on_from_what_was_computed() {
    let model = Base::load();
    let question = Turn::user("What is the capital of France? Answer with one word.");
    let first = collect(model.engine.submit(model.request(std::slice::from_ref(&question), 24)).unwrap());
    let turns = [question, Turn::assistant(first.text.clone()), Turn::user("And of Italy?")];
    let second = collect(model.engine.submit(model.request(&turns, 24)).unwrap());
    assert!(second.text.contains("Rome"), "{second:?}");
    let known = first.usage().prompt_positions + first.usage().completion_tokens;
    assert!(second.usage().reused_positions + 1 >= known, "{:?} after {:?}", second.usage(), first.usage());
}
