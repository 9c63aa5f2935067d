//! Recipes and evaluations that come with the program, so that they can be named without a copy of its source.

use std::path::Path;

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../", $folder, "/", $name, ".toml")))),+]
    };
}

/// Name and text of each recipe.
pub const RECIPES: &[(&str, &str)] = files!("recipes":
    "default-align",
    "default-tune",
    "default-tune-2",
    "default-tune-3",
    "default-tune-4",
    "phi-2-pretrain",
    "phi-2-align",
    "phi-2-tune",
    "tiny-pretrain",
    "tiny-align",
    "tiny-tune",
);

/// Name and text of each evaluation.
pub const EVALUATIONS: &[(&str, &str)] = files!("evaluations":
    "default-captions",
    "default-easy-vqa",
    "default-questions",
    "default-talk",
    "tiny-questions",
);

/// The text that `path` names when there is no such file.
pub(crate) fn text(path: &Path) -> Option<&'static str> {
    let all = RECIPES.iter().chain(EVALUATIONS);
    let found = all.filter(|(name, _)| path.as_os_str() == *name).map(|(_, text)| *text).next();
    found.filter(|_| !path.exists())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_two_folders_is_shipped() {
        for (folder, files) in [("recipes", RECIPES), ("evaluations", EVALUATIONS)] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
            let names = names.map(|name| name.into_string().unwrap());
            let lying: BTreeSet<String> =
                names.filter_map(|name| name.strip_suffix(".toml").map(str::to_owned)).collect();
            assert_eq!(lying, files.iter().map(|(name, _)| (*name).to_owned()).collect(), "{folder}");
        }
    }
}
