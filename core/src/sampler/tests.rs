use super::*;

fn hot(change: impl FnOnce(&mut Sampling)) -> Sampling {
    let mut settings = Sampling { temperature: 1.0, seed: 7, ..Sampling::default() };
    change(&mut settings);
    settings
}

/// How often each token comes in `n` draws.
fn counts(settings: Sampling, logits: &[f32], n: usize) -> Vec<usize> {
    let mut sampler = Sampler::new(settings, []);
    let mut counts = vec![0; logits.len()];
    for _ in 0..n {
        counts[sampler.sample(&mut logits.to_vec()).unwrap() as usize] += 1;
    }
    counts
}

/// Pearson's statistic against the expected probabilities.
fn chi_squared(counts: &[usize], expected: &[f64]) -> f64 {
    let n = counts.iter().sum::<usize>() as f64;
    counts.iter().zip(expected).map(|(&c, p)| (c as f64 - n * p).powi(2) / (n * p)).sum()
}

fn logs(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln()).collect()
}

#[test]
fn greedy_takes_the_first_of_the_best() {
    let mut sampler = Sampler::new(Sampling::default(), []);
    assert_eq!(sampler.sample(&mut [1.0, 3.0, 3.0, -2.0]), Ok(1));
    assert_eq!(sampler.sample(&mut [0.5; 9]), Ok(0));
    assert_eq!(sampler.sample(&mut [f32::NEG_INFINITY, -7.0]), Ok(1));
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = logs(&[0.5, 0.3, 0.15, 0.05]);
    // 16.3 is the 99.9th percentile of chi squared with three degrees of freedom.
    assert!(chi_squared(&counts(hot(|_| ()), &logits, 20_000), &[0.5, 0.3, 0.15, 0.05]) < 16.3);
}

#[test]
fn temperature_sharpens_and_flattens() {
    let logits = logs(&[0.8, 0.2]);
    let share = |t| counts(hot(|s| s.temperature = t), &logits, 20_000)[0] as f64 / 20_000.0;
    // p^(1/t) normalised: 0.64/0.68 and sqrt(0.8)/(sqrt(0.8) + sqrt(0.2)).
    assert!((share(0.5) - 0.9412).abs() < 0.01);
    assert!((share(2.0) - 0.6667).abs() < 0.012);
}

#[test]
fn equal_logits_are_equally_likely_under_every_filter() {
    let expected = [0.1; 10];
    // 27.9 is the 99.9th percentile with nine degrees of freedom.
    assert!(chi_squared(&counts(hot(|_| ()), &[2.0; 10], 20_000), &expected) < 27.9);
    assert!(chi_squared(&counts(hot(|s| s.min_p = 1.0), &[2.0; 10], 20_000), &expected) < 27.9);
    let three = counts(hot(|s| s.top_k = 3), &[2.0; 10], 3_000);
    assert!(three[..3].iter().all(|&c| c > 850) && three[3..].iter().all(|&c| c == 0), "{three:?}");
    let half = counts(hot(|s| s.top_p = 0.45), &[2.0; 10], 5_000);
    assert!(half[..5].iter().all(|&c| c > 850) && half[5..].iter().all(|&c| c == 0), "{half:?}");
}

#[test]
fn filters_keep_what_they_promise() {
    let logits = logs(&[0.1, 0.4, 0.2, 0.25, 0.05]);
    let kept = |s: Sampling| counts(s, &logits, 4_000).iter().map(|&c| c > 0).collect::<Vec<_>>();
    assert_eq!(kept(hot(|s| s.top_k = 2)), [false, true, false, true, false]);
    assert_eq!(kept(hot(|s| s.top_p = 0.6)), [false, true, false, true, false]);
    assert_eq!(kept(hot(|s| s.top_p = 0.0)), [false, true, false, false, false]);
    assert_eq!(kept(hot(|s| s.min_p = 0.45)), [false, true, true, true, false]);
    // Top-p counts the mass that top-k left: 0.4 of 0.65 reaches 0.6.
    assert_eq!(kept(hot(|s| (s.top_k, s.top_p) = (2, 0.6))), [false, true, false, false, false]);
}

#[test]
fn top_p_of_a_flat_distribution_goes_beyond_the_first_block() {
    let logits: Vec<f32> = (0..5_000).map(|i| -(i as f32) * 1e-4).collect();
    let sampler = Sampler::new(hot(|_| ()), []);
    let mut candidates = sampler.candidates(&logits, 0.0);
    let all = total(&candidates);
    candidates.reverse();
    keep_top_p(&mut candidates, 0.5);
    let kept = total(&candidates);
    let last = f64::from(candidates[candidates.len() - 1].weight);
    assert!(candidates.iter().zip(0..).all(|(c, token)| c.token == token));
    assert!(kept >= all / 2.0 && kept - last < all / 2.0);
}

#[test]
fn repetition_penalty_counts_prompt_and_answer() {
    let settings = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
    let mut sampler = Sampler::new(settings, [0]);
    // Token 0 falls from 3 to 1.5; then token 1 from 2 to 1; then a negative logit falls further down.
    assert_eq!(sampler.sample(&mut [3.0, 2.0, 1.2]), Ok(1));
    assert_eq!(sampler.sample(&mut [2.2, 2.0, 1.2]), Ok(2));
    assert_eq!(sampler.sample(&mut [-1.0, -3.0, -0.9]), Ok(2));
}

#[test]
fn the_seed_decides_alone() {
    let logits: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin()).collect();
    let draw = |seed| {
        let mut sampler = Sampler::new(hot(|s| s.seed = seed), []);
        (0..50).map(|_| sampler.sample(&mut logits.clone()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

/// Rounding differs with the shapes that were multiplied; the tail of 5,000 improbable tokens must not feel it.
#[test]
fn rounding_does_not_change_what_is_drawn() {
    let logits: Vec<f32> = (0..5_000).map(|i| (i as f32 * 0.7).sin()).collect();
    let rounded: Vec<f32> =
        logits.iter().zip(0..).map(|(l, i)| l * (1. + 1e-6 * ((i % 3) as f32 - 1.))).collect();
    let draw = |logits: &[f32]| {
        let mut sampler = Sampler::new(hot(|_| ()), []);
        (0..200).map(|_| sampler.sample(&mut logits.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(draw(&logits), draw(&rounded));
}

#[test]
fn an_excluded_token_is_never_drawn() {
    let counts =
        counts(hot(|s| s.temperature = 100.0), &[f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, 0.1], 2_000);
    assert_eq!((counts[0], counts[2]), (0, 0));
    assert!(counts[1] > 800 && counts[3] > 800);
}

#[test]
fn a_tiny_temperature_is_greedy_and_not_nan() {
    assert_eq!(counts(hot(|s| s.temperature = 1e-30), &[1.0, 2.0, 1.5], 10), [0, 10, 0]);
}

#[test]
fn nonsense_logits_are_errors() {
    let mut sampler = Sampler::new(hot(|_| ()), []);
    assert!(matches!(sampler.sample(&mut [0.0, f32::NAN]), Err(SampleError::NotANumber { token: 1, .. })));
    assert!(matches!(sampler.sample(&mut [f32::INFINITY]), Err(SampleError::NotANumber { token: 0, .. })));
    assert_eq!(sampler.sample(&mut [f32::NEG_INFINITY; 3]), Err(SampleError::NoCandidate { vocab: 3 }));
    assert_eq!(sampler.sample(&mut []), Err(SampleError::NoCandidate { vocab: 0 }));
}

#[test]
fn settings_out_of_range_are_named() {
    let name = |s: Sampling| s.validate().unwrap_err().setting;
    assert_eq!(hot(|_| ()).validate(), Ok(()));
    assert_eq!(name(hot(|s| s.temperature = -0.1)), "temperature");
    assert_eq!(name(hot(|s| s.temperature = f32::NAN)), "temperature");
    assert_eq!(name(hot(|s| s.top_p = 1.1)), "top_p");
    assert_eq!(name(hot(|s| s.min_p = -1.0)), "min_p");
    assert_eq!(name(hot(|s| s.repetition_penalty = 0.0)), "repetition_penalty");
}
