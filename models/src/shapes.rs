//! Names and shapes of all tensors that a configuration's checkpoint has.

use crate::config::Config;
use crate::{llama, phi};

/// Every tensor of the checkpoint, in the order of the network.
#[must_use]
pub fn checkpoint_shapes(config: &Config) -> Vec<(String, Vec<usize>)> {
    match config {
        Config::Phi(config) => phi_shapes(config),
        Config::Llama(config) => llama_shapes(config),
    }
}

/// True for the tensors with one row for each word of the vocabulary.
#[must_use]
pub fn has_vocabulary_rows(name: &str) -> bool {
    matches!(name, "model.embed_tokens.weight" | "lm_head.weight" | "lm_head.bias")
}

#[derive(Default)]
struct List(Vec<(String, Vec<usize>)>);

impl List {
    fn vector(&mut self, name: &str, len: usize) {
        self.0.push((name.to_owned(), vec![len]));
    }

    fn norm(&mut self, name: &str, width: usize, bias: bool) {
        self.vector(&format!("{name}.weight"), width);
        if bias {
            self.vector(&format!("{name}.bias"), width);
        }
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize, bias: bool) {
        self.0.push((format!("{name}.weight"), vec![outputs, inputs]));
        if bias {
            self.vector(&format!("{name}.bias"), outputs);
        }
    }
}

fn phi_shapes(config: &phi::Config) -> Vec<(String, Vec<usize>)> {
    let (width, inner, heads) = (config.hidden_size, config.intermediate_size, config.heads());
    let (query, kv) = (heads.heads * heads.dim, heads.kv_heads * heads.dim);
    let mut list = List::default();
    list.linear("model.embed_tokens", width, config.vocab_size, false);
    for layer in 0..config.num_hidden_layers {
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        list.norm(&at("input_layernorm"), width, true);
        list.linear(&at("self_attn.q_proj"), width, query, true);
        list.linear(&at("self_attn.k_proj"), width, kv, true);
        list.linear(&at("self_attn.v_proj"), width, kv, true);
        list.linear(&at("self_attn.dense"), query, width, true);
        if config.qk_layernorm {
            list.norm(&at("self_attn.q_layernorm"), heads.dim, true);
            list.norm(&at("self_attn.k_layernorm"), heads.dim, true);
        }
        list.linear(&at("mlp.fc1"), width, inner, true);
        list.linear(&at("mlp.fc2"), inner, width, true);
    }
    list.norm("model.final_layernorm", width, true);
    if config.tie_word_embeddings {
        list.vector("lm_head.bias", config.vocab_size);
    } else {
        list.linear("lm_head", width, config.vocab_size, true);
    }
    list.0
}

fn llama_shapes(config: &llama::Config) -> Vec<(String, Vec<usize>)> {
    let (width, inner, heads) = (config.hidden_size, config.intermediate_size, config.heads());
    let (query, kv) = (heads.heads * heads.dim, heads.kv_heads * heads.dim);
    let (attention_bias, mlp_bias) = (config.attention_bias, config.mlp_bias);
    let mut list = List::default();
    list.linear("model.embed_tokens", width, config.vocab_size, false);
    for layer in 0..config.num_hidden_layers {
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        list.norm(&at("input_layernorm"), width, false);
        list.linear(&at("self_attn.q_proj"), width, query, attention_bias);
        list.linear(&at("self_attn.k_proj"), width, kv, attention_bias);
        list.linear(&at("self_attn.v_proj"), width, kv, attention_bias);
        list.linear(&at("self_attn.o_proj"), query, width, attention_bias);
        list.norm(&at("post_attention_layernorm"), width, false);
        list.linear(&at("mlp.gate_proj"), width, inner, mlp_bias);
        list.linear(&at("mlp.up_proj"), width, inner, mlp_bias);
        list.linear(&at("mlp.down_proj"), inner, width, mlp_bias);
    }
    list.norm("model.norm", width, false);
    if !config.tie_word_embeddings {
        list.linear("lm_head", width, config.vocab_size, false);
    }
    list.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phi_2_has_its_published_number_of_parameters() {
        let count = |vocab_size| -> usize {
            let config = Config::Phi(phi::Config { vocab_size, ..phi::Config::phi2() });
            checkpoint_shapes(&config).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        assert_eq!(count(51_200), 2_779_683_840);
        // The recipe's total of 2,869,421,175 is this and the 94,371,840 of its LoRA.
        assert_eq!(count(50_295), 2_869_421_175 - 94_371_840);
    }
}
