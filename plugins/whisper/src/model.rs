//! From the `model` setting to a file that whisper.cpp can load.

use std::path::{Path, PathBuf};

use jnana_plugin_sdk::{Code, Error};

use crate::{check, import};

/// The ggml file that `model` stands for: itself, the one in it, or the one made of the CTranslate2 model in it and kept in
/// `cache`. The file was checked.
pub(crate) fn resolve(model: &Path, cache: &Path) -> Result<(PathBuf, check::Sizes), Error> {
    let file = if model.is_file() {
        model.to_owned()
    } else if let Some(file) = ggml_in(model) {
        file
    } else if !import::model_files(model).is_empty() {
        import::cached(model, cache)
            .map_err(|error| resource(format!("importing the Whisper model {}: {error}", model.display())))?
    } else {
        let text = format!(
            "no Whisper model at {}: expected a ggml file, a folder with ggml-*.bin, or a CTranslate2 folder with model.bin, \
             config.json and vocabulary.txt or vocabulary.json; `jnana models pull` fetches one",
            model.display()
        );
        return Err(resource(text));
    };
    let sizes = check::check(&file).map_err(|error| {
        resource(format!("the Whisper model {} is damaged or something else: {error}", file.display()))
    })?;
    Ok((file, sizes))
}

/// The first `ggml-*.bin` of a folder, by name.
fn ggml_in(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.file_name());
    let mut names: Vec<_> = names
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("ggml-") && name.ends_with(".bin")
        })
        .collect();
    names.sort();
    names.first().map(|name| folder.join(name))
}

fn resource(message: String) -> Error {
    Error::new(Code::Resource, message)
}
