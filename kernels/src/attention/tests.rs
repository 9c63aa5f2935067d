use super::*;

/// Numbers between -1 and 1 that come again only after a while.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001. - 1.).collect()
}

struct Sequence {
    keys: Vec<f32>,
    values: Vec<f32>,
    past: usize,
    rows: usize,
}

impl Sequence {
    fn new(heads: Heads, past: usize, rows: usize, seed: usize) -> Self {
        let count = heads.kv_heads * (past + rows + 3) * heads.dim;
        let keys = numbers(count, seed).into_iter().map(|x| 3. * x).collect();
        Self { keys, values: numbers(count, seed + 1), past, rows }
    }

    fn cached(&self) -> Cached<'_> {
        let slabs = Slabs::F32 { keys: &self.keys, values: &self.values };
        Cached { slabs, past: self.past, rows: self.rows }
    }

    /// The same, one row at a time.
    fn row(&self, row: usize) -> Cached<'_> {
        Cached { past: self.past + row, rows: 1, ..self.cached() }
    }
}

/// One row in f64.
fn plain(q: &[f32], sequence: &Sequence, row: usize, Heads { heads, kv_heads, dim }: Heads) -> Vec<f64> {
    let capacity = sequence.keys.len() / kv_heads / dim;
    let mut out = Vec::new();
    for head in 0..heads {
        let first = head / (heads / kv_heads) * capacity;
        let at = |position: usize, d: usize| (first + position) * dim + d;
        let score = |position: usize| -> f64 {
            let products =
                (0..dim).map(|d| f64::from(q[head * dim + d]) * f64::from(sequence.keys[at(position, d)]));
            (products.sum::<f64>() / (dim as f64).sqrt()).exp()
        };
        let weights: Vec<f64> = (0..=sequence.past + row).map(score).collect();
        let total: f64 = weights.iter().sum();
        out.extend((0..dim).map(|d| {
            let mixed = weights.iter().enumerate().map(|(p, w)| w * f64::from(sequence.values[at(p, d)]));
            mixed.sum::<f64>() / total
        }));
    }
    out
}

const SHAPES: [Heads; 5] = [
    Heads { heads: 9, kv_heads: 3, dim: 64 },
    Heads { heads: 2, kv_heads: 2, dim: 80 },
    Heads { heads: 4, kv_heads: 1, dim: 128 },
    Heads { heads: 4, kv_heads: 2, dim: 8 },
    Heads { heads: 1, kv_heads: 1, dim: 20 },
];

/// Sequences that begin, go on, and have one row, below, at and above the ends of chunks.
fn sequences(heads: Heads) -> Vec<Sequence> {
    let sizes = [(0, 1), (0, 19), (63, 1), (64, 1), (200, 1), (60, 9), (130, 3), (5, 0)];
    (0..).zip(sizes).map(|(seed, (past, rows))| Sequence::new(heads, past, rows, 7 * seed)).collect()
}

fn queries(sequences: &[Sequence], heads: Heads) -> Vec<f32> {
    numbers(sequences.iter().map(|sequence| sequence.rows).sum::<usize>() * heads.heads * heads.dim, 3)
}

#[test]
fn equals_plain_loops_and_itself_on_every_instruction_set() {
    for heads in SHAPES {
        let sequences = sequences(heads);
        let q = queries(&sequences, heads);
        let cached: Vec<Cached<'_>> = sequences.iter().map(Sequence::cached).collect();
        let all: Vec<Vec<f32>> =
            Isa::available().into_iter().map(|isa| attend(isa, &q, &cached, heads)).collect();
        let width = heads.heads * heads.dim;
        let rows = sequences.iter().flat_map(|sequence| (0..sequence.rows).map(move |row| (sequence, row)));
        for ((q, got), (sequence, row)) in q.chunks(width).zip(all[0].chunks(width)).zip(rows) {
            for (got, want) in got.iter().zip(plain(q, sequence, row, heads)) {
                assert!((f64::from(*got) - want).abs() < 5e-6, "{heads:?}: {got}, {want}");
            }
        }
        assert!(all.iter().all(|other| *other == all[0]), "{heads:?}");
    }
}

#[test]
fn a_row_alone_gets_the_same_bits_as_among_others() {
    for heads in SHAPES {
        let sequences = sequences(heads);
        let q = queries(&sequences, heads);
        let cached: Vec<Cached<'_>> = sequences.iter().map(Sequence::cached).collect();
        let width = heads.heads * heads.dim;
        for isa in Isa::available() {
            let together = attend(isa, &q, &cached, heads);
            let rows = sequences.iter().flat_map(|it| (0..it.rows).map(move |row| it.row(row)));
            for ((q, together), row) in q.chunks(width).zip(together.chunks(width)).zip(rows) {
                assert_eq!(attend(isa, q, &[row], heads), together, "{heads:?} {isa:?}");
            }
        }
    }
}

#[test]
fn halves_are_read_as_what_they_are() {
    let heads = SHAPES[0];
    let bits: Vec<u16> = (0..heads.kv_heads * 90 * heads.dim).map(|i| (i * 31 % 0x3c00) as u16).collect();
    let signed: Vec<u16> =
        bits.iter().enumerate().map(|(i, bits)| bits | ((i % 3 / 2) as u16) << 15).collect();
    let floats = |bits: &[u16]| -> Vec<f32> { bits.iter().map(|bits| crate::math::half(*bits)).collect() };
    let (keys, values) = (floats(&signed), floats(&bits));
    for (past, rows) in [(80, 1), (70, 20)] {
        let q = numbers(rows * heads.heads * heads.dim, 5);
        let full = Slabs::F32 { keys: &keys, values: &values };
        let half = Slabs::F16 { keys: &signed, values: &bits };
        for isa in Isa::available() {
            let [full, half] =
                [full, half].map(|slabs| attend(isa, &q, &[Cached { slabs, past, rows }], heads));
            assert_eq!(full, half);
        }
    }
}

#[test]
fn large_scores_stay_finite() {
    let heads = Heads { heads: 1, kv_heads: 1, dim: 16 };
    let (keys, values) = (vec![1e4; 100 * 16], numbers(100 * 16, 1));
    let slabs = Slabs::F32 { keys: &keys, values: &values };
    let out = cached_attention(&[1e4; 16], &[Cached { slabs, past: 99, rows: 1 }], heads);
    assert!(out.iter().all(|x| x.abs() <= 1.));
}

#[test]
#[should_panic(expected = "3 + 2 positions of 4")]
fn rows_need_room_in_their_cache() {
    let heads = Heads { heads: 1, kv_heads: 1, dim: 8 };
    let slabs = Slabs::F32 { keys: &[0.; 32], values: &[0.; 32] };
    let _ = cached_attention(&[0.; 16], &[Cached { slabs, past: 3, rows: 2 }], heads);
}
