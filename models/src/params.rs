//! How many parameters a decoder and its adapter have, counted as PEFT counts, from shapes alone.

use std::fmt;

use crate::Result;
use crate::config::Config;
use crate::lora::LoraConfig;
use crate::shapes::checkpoint_shapes;

/// Parameters of a decoder with its adapter. Displayed as the line that PEFT prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Those of the adapter.
    pub trainable: usize,
    /// Those of base and adapter.
    pub all: usize,
}

impl Parameters {
    /// Counts those of `network` (see [`Config::cut`] for fewer rows than its checkpoint has) with an adapter.
    ///
    /// # Errors
    /// When the adapter names a module that the network's layers do not have.
    pub fn count(network: &Config, adapter: &LoraConfig) -> Result<Self> {
        let modules = adapter.modules(network)?;
        let trainable = modules.iter().map(|module| adapter.r * (module.inputs + module.outputs)).sum();
        let shapes = checkpoint_shapes(network);
        let base: usize = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        Ok(Self { trainable, all: base + trainable })
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = 100. * self.trainable as f64 / self.all as f64;
        let (trainable, all) = (grouped(self.trainable), grouped(self.all));
        write!(f, "trainable params: {trainable} || all params: {all} || trainable%: {share:.4}")
    }
}

/// Digits in groups of three.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phi;

    #[test]
    fn phi_2_prints_the_published_line() {
        let network = Config::Phi(phi::Config::phi2()).cut(Some(50_295)).unwrap();
        let targets = ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"];
        let adapter = LoraConfig {
            r: 64,
            lora_alpha: 16.,
            lora_dropout: 0.,
            target_modules: targets.map(str::to_owned).to_vec(),
        };
        let line = Parameters::count(&network, &adapter).unwrap().to_string();
        let want = "trainable params: 94,371,840 || all params: 2,869,421,175 || trainable%: 3.2889";
        assert_eq!(line, want);
        let unknown = LoraConfig { target_modules: vec!["q_proj".into(), "lm_head".into()], ..adapter };
        let error = Parameters::count(&network, &unknown).unwrap_err().to_string();
        assert!(error.contains("target module lm_head"), "{error}");
    }

    #[test]
    fn digits_stand_in_groups() {
        assert_eq!([0, 12, 123, 1234, 1_234_567].map(grouped).join(" "), "0 12 123 1,234 1,234,567");
    }
}
