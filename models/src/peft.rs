//! Adapters as PEFT keeps them: a folder with `adapter_config.json` and `adapter_model.safetensors`
//! (<https://huggingface.co/docs/peft/developer_guides/checkpoint>).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device};
use serde_json::{Value as Json, json};

use crate::adapter::Adapter;
use crate::export::write_json;
use crate::lora::LoraConfig;
use crate::weights::SafetensorsWriter;
use crate::{Error, Result};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Fields of what cannot be done here, which have to be off: absent, null, false, `none` or empty.
const UNSUPPORTED: [&str; 17] = [
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "bias",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "modules_to_save",
    "monteclora_config",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "use_rslora",
];

/// Ways to begin that leave the base as it is; others (`pissa`, `olora`, `loftq`, …) change it.
const BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

impl Adapter {
    /// Reads an adapter that PEFT or [`save`](Self::save) wrote, in f32 onto `device`.
    ///
    /// # Errors
    /// When a file is missing or damaged, the adapter is no LoRA on linears, or has a feature that is not known here.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let path = folder.join(CONFIG);
        let json = read_config(&path)?;
        refuse_unsupported(&json, &path)?;
        let config: LoraConfig = serde_json::from_value(json).map_err(Error::json(&path))?;
        let path = folder.join(WEIGHTS);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, device)
            .map_err(|error| Error::Corrupt { path: path.clone(), reason: error.to_string() })?;
        let in_f32 = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F32)?)));
        let tensors = in_f32.collect::<candle_core::Result<HashMap<_, _>>>();
        let tensors = tensors.map_err(Error::compute(format!("read {}", path.display())))?;
        Self::from_tensors(config, &tensors, &path)
    }

    /// What PEFT loads the base model of an adapter from; empty where its configuration does not say.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub fn base_of(folder: &Path) -> Result<String> {
        let base = read_config(&folder.join(CONFIG))?["base_model_name_or_path"].take();
        Ok(base.as_str().unwrap_or_default().to_owned())
    }

    /// Writes the folder, numbers as `dtype`; each file is replaced in one step. `base` is what PEFT loads the base model
    /// from: a folder, or a name on a hub.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path, base: &str, dtype: DType) -> Result<()> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let entries = self.named().map(|(name, tensor)| (name, dtype, tensor.dims().to_vec())).collect();
        let mut writer = SafetensorsWriter::create(&folder.join(WEIGHTS), entries)?;
        for (_, tensor) in self.named() {
            writer.write(tensor)?;
        }
        writer.finish()?;
        let mut json = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "inference_mode": true,
            "init_lora_weights": true,
            "bias": "none",
            "fan_in_fan_out": false,
            "modules_to_save": null,
            "use_dora": false,
            "use_rslora": false,
        });
        if let (Json::Object(all), Json::Object(own)) = (&mut json, json!(self.config())) {
            all.extend(own);
        }
        write_json(&folder.join(CONFIG), &json)
    }
}

fn read_config(path: &Path) -> Result<Json> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(Error::json(path))
}

fn refuse_unsupported(json: &Json, path: &Path) -> Result<()> {
    let refused = |key: &str, expected: &str| {
        let got = json[key].to_string();
        Err(Error::Field { path: path.to_owned(), key: key.into(), expected: expected.into(), got })
    };
    if json["peft_type"] != "LORA" {
        return refused("peft_type", "LORA");
    }
    if !json["target_modules"].is_array() {
        return refused("target_modules", "a list of names");
    }
    if let Some(key) = UNSUPPORTED.iter().find(|key| !is_off(&json[**key])) {
        return refused(key, "nothing (a feature that is not supported)");
    }
    match json["init_lora_weights"].as_str() {
        Some(beginning) if !BEGINNINGS.contains(&beginning) => {
            refused("init_lora_weights", "a way that leaves the base as it is")
        }
        _ => Ok(()),
    }
}

fn is_off(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::String(text) => text == "none",
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_that_are_on_are_refused_by_name() {
        let plain = json!({
            "peft_type": "LORA", "target_modules": ["q_proj"], "bias": "none", "rank_pattern": {}, "use_dora": false,
            "init_lora_weights": true, "modules_to_save": null, "something_new": 1,
        });
        let path = Path::new(CONFIG);
        refuse_unsupported(&plain, path).unwrap();
        let changes = [
            ("peft_type", json!("IA3")),
            ("target_modules", json!("all-linear")),
            ("bias", json!("all")),
            ("rank_pattern", json!({ "q_proj": 4 })),
            ("modules_to_save", json!(["lm_head"])),
            ("use_dora", json!(true)),
            ("use_rslora", json!(true)),
            ("init_lora_weights", json!("pissa_niter_4")),
        ];
        for (key, value) in changes {
            let mut json = plain.clone();
            json[key] = value;
            let error = refuse_unsupported(&json, path).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
