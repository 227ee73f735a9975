//! Where configuration comes from: a file in TOML, and environment variables over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use serde::{Serialize, de::DeserializeOwned};

/// Why the configuration cannot be used. Its text is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("there is no configuration file at {0}: make one with `vestibule config example > {0}`")]
    Missing(PathBuf),
    /// A key is unknown, missing, or of the wrong form.
    #[error("{0}")]
    Form(String),
    /// The keys are well-formed but don't fit together.
    #[error("{key}: {problem}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// Environment variables `<PREFIX><SECTION>__<KEY>`, as pairs, so that they come in as an argument.
#[derive(Clone, Debug, Default)]
pub struct Vars {
    values: BTreeMap<String, String>,
}

impl Vars {
    /// Those of `vars` that start with `prefix` and name a section and a key.
    pub fn new(prefix: &str, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        let values = vars
            .into_iter()
            .filter_map(|(name, value)| {
                let path = name.strip_prefix(prefix)?;
                path.contains("__").then(|| (path.to_ascii_lowercase().replace("__", "."), value))
            })
            .collect();
        Self { values }
    }

    /// The process's own, with `prefix`.
    #[must_use]
    pub fn of_process(prefix: &str) -> Self {
        // Not `vars`: a variable that is not UTF-8 is none of ours, and no reason to stop.
        let vars =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::new(prefix, vars)
    }

    /// Without those whose section starts with `section`.
    #[must_use]
    pub fn without(mut self, section: &str) -> Self {
        self.values.retain(|path, _| !path.starts_with(section));
        self
    }
}

impl Provider for Vars {
    fn metadata(&self) -> Metadata {
        Metadata::named("the environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut data = Dict::new();
        for (path, text) in &self.values {
            let value: Value = text.parse().unwrap_or_else(|_| Value::from(text.as_str()));
            if let Some(nested) = figment::util::nest(path, value).into_dict() {
                merge(&mut data, nested);
            }
        }
        Ok(Map::from([(Profile::Default, data)]))
    }
}

fn merge(into: &mut Dict, from: Dict) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Dict(_, into)), Value::Dict(_, from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Reads `C` from `file` (if one is named, it must exist) and `vars` over it; what neither has is `C::default()`.
///
/// # Errors
/// [`ConfigError`] when the file is missing, or a key is unknown or of the wrong form.
pub fn read<C: Default + Serialize + DeserializeOwned>(file: Option<&Path>, vars: Vars) -> Result<C, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(C::default()));
    if let Some(file) = file {
        if !file.is_file() {
            return Err(ConfigError::Missing(file.to_owned()));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    figment.merge(vars).extract().map_err(|error| ConfigError::Form(sentences(error)))
}

/// Every complaint on a line of its own: what is wrong, at which key, in which file.
fn sentences(error: Error) -> String {
    let lines = error.into_iter().map(|error| {
        let key = error.path.join(".");
        let place = error.metadata.as_ref().map(|metadata| match &metadata.source {
            Some(source) => format!(" (in {source})"),
            None => format!(" (in {})", metadata.name),
        });
        let place = place.unwrap_or_default();
        if key.is_empty() { format!("{}{place}", error.kind) } else { format!("{key}: {}{place}", error.kind) }
    });
    lines.collect::<Vec<_>>().join("\n")
}
