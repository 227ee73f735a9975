//! Registrations of application services
//! ([spec v1.19, Application Service API § Registration](https://spec.matrix.org/v1.19/application-service-api/#registration)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Appservice, Interest};
use regex::Regex;
use ruma::api::appservice::{Namespace, Registration};
use ruma::{OwnedUserId, RoomId, ServerName, UserId};
use serde::Deserialize;

/// A registration file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("application service registration {path}: {problem}")]
pub struct RegistrationError {
    path: PathBuf,
    problem: String,
}

/// Reads all registrations.
///
/// # Errors
/// [`RegistrationError`] for a file that is missing, malformed or in conflict with another one.
pub fn load(files: &[PathBuf], server: &ServerName) -> Result<BTreeMap<String, Appservice>, RegistrationError> {
    let mut appservices: BTreeMap<String, Appservice> = BTreeMap::new();
    for file in files {
        let wrong = |problem: String| RegistrationError { path: file.clone(), problem };
        let appservice = read(file, server).map_err(wrong)?;
        let registration = &appservice.registration;
        if registration.as_token.is_empty() || registration.hs_token.is_empty() {
            return Err(wrong("as_token and hs_token must not be empty".to_owned()));
        }
        if appservices.values().any(|other| other.registration.as_token == registration.as_token) {
            return Err(wrong("its as_token is another application service's".to_owned()));
        }
        if appservices.insert(registration.id.clone(), appservice).is_some() {
            return Err(wrong("its id is another application service's".to_owned()));
        }
    }
    Ok(appservices)
}

/// What registrations had before the specification took it over.
#[derive(Deserialize)]
struct OlderNames {
    #[serde(default, rename = "de.sorunome.msc2409.push_ephemeral")]
    push_ephemeral: bool,
}

fn read(file: &Path, server: &ServerName) -> Result<Appservice, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    // The YAML library quotes what it read: a token could be in it, so only the place is told.
    let not_a_registration = |error: serde_yaml_ng::Error| match error.location() {
        Some(place) => format!("not a registration (line {})", place.line()),
        None => "not a registration: id, url, as_token, hs_token, sender_localpart and namespaces are needed".to_owned(),
    };
    let mut registration: Registration = serde_yaml_ng::from_str(&text).map_err(not_a_registration)?;
    let older: OlderNames = serde_yaml_ng::from_str(&text).map_err(not_a_registration)?;
    registration.receive_ephemeral |= older.push_ephemeral;
    let user_id = UserId::parse_with_server_name(registration.sender_localpart.as_str(), server)
        .map_err(|_| "sender_localpart is not the first part of a user id".to_owned())?;
    let namespaces = &registration.namespaces;
    let interest = Namespaces {
        sender: user_id.clone(),
        users: compile(&namespaces.users)?,
        aliases: compile(&namespaces.aliases)?,
        rooms: compile(&namespaces.rooms)?,
    };
    Ok(Appservice { registration, user_id, older_ephemeral: older.push_ephemeral, interest: Arc::new(interest) })
}

fn compile(namespaces: &[Namespace]) -> Result<Vec<Pattern>, String> {
    let compile = |namespace: &Namespace| {
        // The whole name has to match: a pattern without anchors must not claim names that merely contain it.
        Regex::new(&format!("^(?:{})$", namespace.regex))
            .map(|regex| Pattern { regex, exclusive: namespace.exclusive })
            .map_err(|error| format!("the namespace {} is not a regular expression: {error}", namespace.regex))
    };
    namespaces.iter().map(compile).collect()
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    exclusive: bool,
}

/// The compiled namespaces of an application service.
#[derive(Debug)]
struct Namespaces {
    sender: OwnedUserId,
    users: Vec<Pattern>,
    aliases: Vec<Pattern>,
    rooms: Vec<Pattern>,
}

fn any(patterns: &[Pattern], name: &str, exclusive: bool) -> bool {
    patterns.iter().any(|pattern| (pattern.exclusive || !exclusive) && pattern.regex.is_match(name))
}

impl Interest for Namespaces {
    fn user(&self, user_id: &UserId) -> bool {
        *user_id == self.sender || any(&self.users, user_id.as_str(), false)
    }

    fn user_exclusive(&self, user_id: &UserId) -> bool {
        *user_id == self.sender || any(&self.users, user_id.as_str(), true)
    }

    fn alias(&self, alias: &str) -> bool {
        any(&self.aliases, alias, false)
    }

    fn alias_exclusive(&self, alias: &str) -> bool {
        any(&self.aliases, alias, true)
    }

    fn room(&self, room_id: &RoomId) -> bool {
        any(&self.rooms, room_id.as_str(), false)
    }
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, server_name, user_id};

    use super::*;

    const SUPPORT: &str = r#"
id: support
url: "http://127.0.0.1:9000"
as_token: as-secret
hs_token: hs-secret
sender_localpart: support
rate_limited: false
namespaces:
  users:
    - {exclusive: true, regex: "@desk_.*:localhost"}
    - {exclusive: false, regex: "@guest.*"}
  aliases: []
  rooms:
    - {exclusive: false, regex: "!watched"}
"#;

    fn loaded(texts: &[&str]) -> Result<BTreeMap<String, Appservice>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let files: Vec<PathBuf> = (0..texts.len()).map(|number| folder.path().join(format!("{number}.yaml"))).collect();
        for (file, text) in files.iter().zip(texts) {
            std::fs::write(file, text).expect("a file");
        }
        load(&files, server_name!("localhost")).map_err(|error| error.to_string())
    }

    #[test]
    fn namespaces_match_whole_names() {
        let appservices = loaded(&[SUPPORT]).expect("loads");
        let support = &appservices["support"];
        assert_eq!(support.user_id, "@support:localhost");
        let interest = &support.interest;
        assert!(interest.user(user_id!("@support:localhost")) && interest.user_exclusive(user_id!("@support:localhost")));
        assert!(interest.user_exclusive(user_id!("@desk_1:localhost")));
        assert!(interest.user(user_id!("@guest1:localhost")) && !interest.user_exclusive(user_id!("@guest1:localhost")));
        assert!(!interest.user(user_id!("@not_desk_1:localhost")));
        assert!(interest.room(room_id!("!watched")) && !interest.room(room_id!("!watched2:localhost")));
    }

    #[test]
    fn receipts_and_messages_to_devices_are_asked_for_under_the_old_name_too() {
        let asks = |text: &str| loaded(&[text]).expect("loads")["support"].registration.receive_ephemeral;
        assert!(!asks(SUPPORT));
        assert!(asks(&format!("{SUPPORT}receive_ephemeral: true\n")));
        assert!(asks(&format!("{SUPPORT}de.sorunome.msc2409.push_ephemeral: true\n")));
    }

    #[test]
    fn conflicts_and_mistakes_are_told_without_secrets() {
        assert!(loaded(&[SUPPORT, SUPPORT]).expect_err("twice").contains("as_token"));
        let other = SUPPORT.replace("as-secret", "another");
        assert!(loaded(&[SUPPORT, &other]).expect_err("same id").contains("its id"));
        let error = loaded(&["id: [as-secret"]).expect_err("not YAML");
        assert!(!error.contains("as-secret"), "{error}");
        assert!(loaded(&[&SUPPORT.replace("@guest.*", "(")]).expect_err("pattern").contains("regular expression"));
    }
}
