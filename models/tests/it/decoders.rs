//! Forwards: equal to transformers, and to each other however the rows are fed.

use candle_core::{DType, Device, Tensor};
use jnana_models::decoder::{SequenceCache, Span};

use crate::support::{
    NETWORKS, assert_close, cache, expected, full_logits, load, load_for_training, network, step,
};

#[test]
fn logits_equal_transformers() {
    for name in NETWORKS {
        let (ids, logits) = expected(name);
        assert_close(&full_logits(load(&network(name)).as_ref(), &ids, None), &logits, 1e-4, name);
        let training = load_for_training(&network(name));
        assert_close(
            &full_logits(training.as_ref(), &ids, None),
            &logits,
            1e-4,
            &format!("{name}, training"),
        );
    }
}

#[test]
fn cached_steps_of_any_size_equal_the_full_forward() {
    for name in NETWORKS {
        let decoder = load(&network(name));
        let (ids, logits) = expected(name);
        let (row, want) = (ids.get(0).unwrap(), logits.get(0).unwrap());
        let mut cache = cache(decoder.as_ref(), 23);
        let mut parts = Vec::new();
        let mut at = 0;
        for size in [5, 1, 1, 9, 2, 5] {
            parts.push(step(decoder.as_ref(), &row.narrow(0, at, size).unwrap(), &mut cache));
            at += size;
            assert_eq!(cache.len(), at);
        }
        assert_close(&Tensor::cat(&parts, 0).unwrap(), &want, 1e-4, name);
    }
}

#[test]
fn sequences_share_a_step_without_seeing_each_other() {
    for name in NETWORKS {
        let decoder = load(&network(name));
        let (ids, logits) = expected(name);
        let mut caches: Vec<_> = (0..3).map(|_| cache(decoder.as_ref(), 40)).collect();
        // The rows that each of three sequences (of the texts 0, 1, 0) gets in each step.
        let steps: [[usize; 3]; 5] = [[4, 0, 1], [1, 7, 1], [1, 1, 12], [10, 1, 1], [0, 14, 1]];
        for sizes in steps {
            let starts: Vec<_> = caches.iter().map(SequenceCache::len).collect();
            let part = |tensor: &Tensor, i: usize| {
                tensor.get(i % 2).unwrap().narrow(0, starts[i], sizes[i]).unwrap()
            };
            let rows = Tensor::cat(&[part(&ids, 0), part(&ids, 1), part(&ids, 2)], 0).unwrap();
            let want = Tensor::cat(&[part(&logits, 0), part(&logits, 1), part(&logits, 2)], 0).unwrap();
            let mut spans: Vec<_> =
                caches.iter_mut().zip(sizes).map(|(cache, rows)| Span { cache, rows }).collect();
            let hidden = decoder.forward_ragged(&decoder.embed(&rows).unwrap(), &mut spans).unwrap();
            assert_close(&decoder.logits(&hidden).unwrap(), &want, 1e-4, name);
        }
        assert_eq!(caches.iter().map(SequenceCache::len).collect::<Vec<_>>(), [16, 23, 16]);
    }
}

#[test]
fn long_prompts_are_split_into_blocks_without_a_seam() {
    let decoder = load(&network("llama_tied"));
    let ids = Tensor::arange(0u32, 300, &Device::Cpu).unwrap();
    let ids = (ids.to_dtype(DType::F32).unwrap() * 7.).unwrap().to_vec1::<f32>().unwrap();
    let ids: Vec<u32> = ids.iter().map(|id| *id as u32 % 72).collect();
    let ids = Tensor::new(ids, &Device::Cpu).unwrap();
    let want = full_logits(decoder.as_ref(), &ids.unsqueeze(0).unwrap(), None).squeeze(0).unwrap();
    let mut cache = cache(decoder.as_ref(), 300);
    let first = step(decoder.as_ref(), &ids.narrow(0, 0, 17).unwrap(), &mut cache);
    let rest = step(decoder.as_ref(), &ids.narrow(0, 17, 283).unwrap(), &mut cache);
    assert_close(&Tensor::cat(&[first, rest], 0).unwrap(), &want, 1e-4, "blocks");
}

#[test]
fn padding_on_either_side_changes_nothing() {
    for name in NETWORKS {
        for decoder in [load(&network(name)), load_for_training(&network(name))] {
            let (ids, logits) = expected(name);
            let (short, long) = (ids.get(0).unwrap().narrow(0, 0, 15).unwrap(), ids.get(1).unwrap());
            let padding = Tensor::full(71u32, 8, &Device::Cpu).unwrap();
            let real = Tensor::ones(15, DType::U8, &Device::Cpu).unwrap();
            let hidden = Tensor::zeros(8, DType::U8, &Device::Cpu).unwrap();
            for left in [true, false] {
                let join = |real: &Tensor, padding: &Tensor| {
                    let parts = if left { [padding, real] } else { [real, padding] };
                    Tensor::cat(&parts, 0).unwrap()
                };
                let batch = Tensor::stack(&[join(&short, &padding), long.clone()], 0).unwrap();
                let whole = Tensor::ones(23, DType::U8, &Device::Cpu).unwrap();
                let mask = Tensor::stack(&[join(&real, &hidden), whole], 0).unwrap();
                let got = full_logits(decoder.as_ref(), &batch, Some(&mask));
                let start = if left { 8 } else { 0 };
                let side = format!("{name}, left {left}");
                let got_short = got.get(0).unwrap().narrow(0, start, 15).unwrap();
                assert_close(&got_short, &logits.get(0).unwrap().narrow(0, 0, 15).unwrap(), 1e-4, &side);
                assert_close(&got.get(1).unwrap(), &logits.get(1).unwrap(), 1e-4, &side);
            }
        }
    }
}

#[test]
fn rows_that_see_nothing_are_numbers() {
    for decoder in [load(&network("phi")), load_for_training(&network("phi"))] {
        let (ids, logits) = expected("phi");
        let mask = Tensor::cat(
            &[
                Tensor::zeros((1, 23), DType::U32, &Device::Cpu).unwrap(),
                Tensor::ones((1, 23), DType::U32, &Device::Cpu).unwrap(),
            ],
            0,
        );
        let got = full_logits(decoder.as_ref(), &ids, Some(&mask.unwrap()));
        assert!(got.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|value| value.is_finite()));
        assert_close(&got.get(1).unwrap(), &logits.get(1).unwrap(), 1e-4, "the other row");
    }
}

#[test]
fn a_forked_a_resized_and_a_truncated_cache_go_on_as_if_alone() {
    let decoder = load(&network("llama_untied"));
    let (ids, logits) = expected("llama_untied");
    let (row, want) = (ids.get(0).unwrap(), logits.get(0).unwrap());
    let mut first = cache(decoder.as_ref(), 30);
    step(decoder.as_ref(), &row.narrow(0, 0, 10).unwrap(), &mut first);
    let mut fork = first.fork(8, 23).unwrap();
    let mut resized = first.fork(10, 11).unwrap().resized(9, 23).unwrap();
    assert_eq!((resized.len(), resized.capacity()), (9, 23));
    step(decoder.as_ref(), &ids.get(1).unwrap().narrow(0, 0, 13).unwrap(), &mut first);
    first.truncate(10);
    for (cache, start) in [(&mut fork, 8), (&mut resized, 9), (&mut first, 10)] {
        let got = step(decoder.as_ref(), &row.narrow(0, start, 23 - start).unwrap(), cache);
        assert_close(&got, &want.narrow(0, start, 23 - start).unwrap(), 1e-4, "continued");
    }
}

#[test]
fn a_half_precision_cache_stays_close() {
    let decoder = load(&network("llama_tied"));
    let (ids, logits) = expected("llama_tied");
    let shape = decoder.shape();
    let mut cache = SequenceCache::new(shape, 23, DType::F16, &Device::Cpu).unwrap();
    let row = ids.get(0).unwrap();
    let first = step(decoder.as_ref(), &row.narrow(0, 0, 20).unwrap(), &mut cache);
    let rest: Vec<_> =
        (20..23).map(|i| step(decoder.as_ref(), &row.narrow(0, i, 1).unwrap(), &mut cache)).collect();
    let got = Tensor::cat(&[&[first], rest.as_slice()].concat(), 0).unwrap();
    let scale = logits.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert_close(&got, &logits.get(0).unwrap(), 0.01 * scale, "f16 cache");
}

#[test]
fn a_full_cache_and_a_wrong_count_are_refused_and_leave_the_caches_alone() {
    let decoder = load(&network("phi"));
    let (ids, _) = expected("phi");
    let rows = decoder.embed(&ids.get(0).unwrap()).unwrap();
    let (mut large, mut small) = (cache(decoder.as_ref(), 40), cache(decoder.as_ref(), 10));
    let spans = &mut [Span { cache: &mut large, rows: 12 }, Span { cache: &mut small, rows: 11 }];
    let message = decoder.forward_ragged(&rows, spans).unwrap_err().to_string();
    assert!(message.contains("10 positions is full"), "{message}");
    let spans = &mut [Span { cache: &mut large, rows: 12 }];
    let message = decoder.forward_ragged(&rows, spans).unwrap_err().to_string();
    assert!(message.contains("23 rows given, the spans have 12"), "{message}");
    assert_eq!((large.len(), small.len()), (0, 0));
}

#[test]
fn an_id_outside_the_vocabulary_is_refused() {
    for name in NETWORKS {
        let decoder = load(&network(name));
        let message =
            decoder.embed(&Tensor::new(&[3u32, 72], &Device::Cpu).unwrap()).unwrap_err().to_string();
        assert!(message.contains("id 72 is outside the vocabulary of 72"), "{message}");
    }
}

/// Two answers to one beginning, side by side in one row, get the logits that each would get alone.
#[test]
fn branches_equal_rows_of_their_own() {
    for name in NETWORKS {
        let ids = expected(name).0.get(0).unwrap();
        let part = |start, len| ids.narrow(0, start, len).unwrap();
        let marks = [vec![1u8; 9], vec![2; 6], vec![3; 8]].concat();
        let marks = Tensor::from_vec(marks, (1, 23), &Device::Cpu).unwrap();
        for decoder in [load(&network(name)), load_for_training(&network(name))] {
            let together =
                full_logits(decoder.as_ref(), &ids.unsqueeze(0).unwrap(), Some(&marks)).get(0).unwrap();
            for (start, len) in [(9, 6), (15, 8)] {
                let alone = Tensor::cat(&[part(0, 9), part(start, len)], 0).unwrap().unsqueeze(0).unwrap();
                let alone = full_logits(decoder.as_ref(), &alone, None).get(0).unwrap();
                let got = together.narrow(0, start, len).unwrap();
                assert_close(&got, &alone.narrow(0, 9, len).unwrap(), 1e-4, name);
            }
        }
    }
}
