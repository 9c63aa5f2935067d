//! llama.cpp's tensor names and layouts beside those of the Hugging Face checkpoints.

/// How the rows of a tensor in the file relate to those of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// The same.
    Same,
    /// A run of rows out of a fused tensor.
    Slice {
        /// First row.
        start: usize,
        /// How many.
        len: usize,
    },
    /// llama.cpp stores each query and key head with the two halves of its rotary pairs interleaved.
    Interleaved {
        /// Heads in the tensor.
        heads: usize,
    },
}

/// A checkpoint's tensor within a GGUF file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(super) rows: Rows,
}

/// Head counts and widths that the layouts depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) kv: usize,
    pub(crate) dim: usize,
}

const LLAMA: &[(&str, &str)] = &[
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

const PHI: &[(&str, &str)] = &[
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.dense", "attn_output"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
];

/// Architectures whose names are known, as in `general.architecture`.
pub(super) const ARCHITECTURES: &str = "llama or phi2";

/// Where `name` is in a file of `architecture`; `has` tells whether the file has a tensor of llama.cpp's name.
pub(super) fn place(
    architecture: &str,
    name: &str,
    heads: Heads,
    has: impl Fn(&str) -> bool,
) -> Option<Place> {
    let same = |name: String| Some(Place { name, rows: Rows::Same });
    let (stem, suffix) = name.rsplit_once('.')?;
    match stem {
        "model.embed_tokens" => return same(format!("token_embd.{suffix}")),
        "model.norm" | "model.final_layernorm" => return same(format!("output_norm.{suffix}")),
        "lm_head" => return same(format!("output.{suffix}")),
        "rope_freqs" => return same(name.to_owned()),
        _ => {}
    }
    let (layer, part) = stem.strip_prefix("model.layers.")?.split_once('.')?;
    let table = if architecture == "phi2" { PHI } else { LLAMA };
    let (_, theirs) = table.iter().find(|(ours, _)| *ours == part)?;
    let direct = format!("blk.{layer}.{theirs}.{suffix}");
    if architecture == "llama" {
        return Some(Place { name: direct, rows: llama_rows(theirs, heads) });
    }
    let fused = format!("blk.{layer}.attn_qkv.{suffix}");
    match phi_slice(theirs, heads) {
        Some(rows) if !has(&direct) && has(&fused) => Some(Place { name: fused, rows }),
        _ => same(direct),
    }
}

/// Where a checkpoint's tensor goes in a new file of `architecture`: queries, keys and values apart.
pub(crate) fn new_place(architecture: &str, name: &str, heads: Heads) -> Option<Place> {
    place(architecture, name, heads, |_| true)
}

fn llama_rows(theirs: &str, heads: Heads) -> Rows {
    match theirs {
        "attn_q" => Rows::Interleaved { heads: heads.query },
        "attn_k" => Rows::Interleaved { heads: heads.kv },
        _ => Rows::Same,
    }
}

fn phi_slice(theirs: &str, heads: Heads) -> Option<Rows> {
    let (query, kv) = (heads.query * heads.dim, heads.kv * heads.dim);
    match theirs {
        "attn_q" => Some(Rows::Slice { start: 0, len: query }),
        "attn_k" => Some(Rows::Slice { start: query, len: kv }),
        "attn_v" => Some(Rows::Slice { start: query + kv, len: kv }),
        _ => None,
    }
}

impl Rows {
    /// Rows of the checkpoint's tensor, out of `stored` rows in the file.
    pub(super) fn count(self, stored: usize) -> usize {
        match self {
            Self::Slice { len, .. } => len,
            Self::Same | Self::Interleaved { .. } => stored,
        }
    }

    /// The file's row that is row `row` of the checkpoint's tensor of `rows` rows.
    pub(super) fn source(self, row: usize, rows: usize) -> usize {
        match self {
            Self::Same => row,
            Self::Slice { start, .. } => start + row,
            Self::Interleaved { heads } => {
                let dim = rows / heads;
                let (head, within) = (row / dim, row % dim);
                let (half, pair) = (within / (dim / 2), within % (dim / 2));
                head * dim + pair * 2 + half
            }
        }
    }
}

impl Place {
    /// The checkpoint's row for each row of the file's tensor of `rows` rows; `None` where it is the same.
    pub(crate) fn order(&self, rows: usize) -> Option<Vec<u32>> {
        if !matches!(self.rows, Rows::Interleaved { .. }) {
            return None;
        }
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_unstable_by_key(|row| self.rows.source(*row as usize, rows));
        Some(order)
    }
}

/// The checkpoint's names of what a GGUF tensor holds: one, three for a fused one, none for tables without counterpart.
pub(super) fn checkpoint_names(architecture: &str, name: &str) -> Vec<String> {
    let Some((stem, suffix)) = name.rsplit_once('.') else { return Vec::new() };
    let norm = if architecture == "phi2" { "model.final_layernorm" } else { "model.norm" };
    match stem {
        "token_embd" => return vec![format!("model.embed_tokens.{suffix}")],
        "output_norm" => return vec![format!("{norm}.{suffix}")],
        "output" => return vec![format!("lm_head.{suffix}")],
        _ => {}
    }
    let Some((layer, part)) = stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
        return Vec::new();
    };
    let fused = part == "attn_qkv";
    let table = if architecture == "phi2" { PHI } else { LLAMA };
    let holds =
        |theirs: &str| if fused { ["attn_q", "attn_k", "attn_v"].contains(&theirs) } else { theirs == part };
    let ours = table.iter().filter(|(_, theirs)| holds(theirs));
    ours.map(|(ours, _)| format!("model.layers.{layer}.{ours}.{suffix}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: Heads = Heads { query: 4, kv: 2, dim: 8 };

    #[test]
    fn fused_rows_are_found_only_where_there_is_a_fused_tensor() {
        let name = "model.layers.3.self_attn.k_proj.weight";
        let fused = place("phi2", name, HEADS, |n| n == "blk.3.attn_qkv.weight").unwrap();
        assert_eq!(fused.name, "blk.3.attn_qkv.weight");
        assert_eq!(fused.rows, Rows::Slice { start: 32, len: 16 });
        let split = place("phi2", name, HEADS, |n| n == "blk.3.attn_k.weight").unwrap();
        assert_eq!(split, Place { name: "blk.3.attn_k.weight".into(), rows: Rows::Same });
    }

    #[test]
    fn interleaving_is_a_permutation_within_each_head() {
        let rows = Rows::Interleaved { heads: 2 };
        let sources: Vec<_> = (0..8).map(|row| rows.source(row, 8)).collect();
        assert_eq!(sources, [0, 2, 1, 3, 4, 6, 5, 7]);
    }

    #[test]
    fn writing_undoes_what_reading_does() {
        let place = new_place("llama", "model.layers.3.self_attn.k_proj.weight", HEADS).unwrap();
        assert_eq!(place.name, "blk.3.attn_k.weight");
        let order = place.order(16).unwrap();
        assert_eq!(order[..8], [0, 4, 1, 5, 2, 6, 3, 7]);
        (0..16).for_each(|row| assert_eq!(order[place.rows.source(row, 16)] as usize, row));
        assert_eq!(
            new_place("phi2", "model.layers.3.self_attn.k_proj.weight", HEADS).unwrap().order(16),
            None
        );
    }
}
