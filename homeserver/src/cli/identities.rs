//! `vestibule identity`: identities that the platform makes itself, where no server runs.

use std::io::Write as _;

use ::identity::{Identity, Role, new_user_id};
use anyhow::Context as _;
use clap::{Args, value_parser};
use ruma::OwnedServerName;
use serde_json::json;

/// Identities that one call makes at most: a session has 200 invitees.
const COUNT_MAX: i64 = 10_000;

/// `vestibule identity`
#[derive(Debug, Args)]
pub struct Identities {
    /// The homeserver's name, `server.name` of its configuration: what user ids end with.
    #[arg(long, value_parser = server_name)]
    server_name: OwnedServerName,
    #[command(flatten)]
    whom: Whom,
    /// How many, each for somebody else.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=COUNT_MAX))]
    count: u32,
}

/// Whom they are for: exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// For people invited to sessions.
    #[arg(long)]
    participant: bool,
    /// For hosts.
    #[arg(long)]
    host: bool,
}

fn server_name(text: &str) -> Result<OwnedServerName, String> {
    OwnedServerName::try_from(text).map_err(|_| "write it as in user ids, such as chat.example.org".to_owned())
}

impl Identities {
    /// Makes and prints them, one line of JSON each.
    pub fn print(&self) -> anyhow::Result<()> {
        let role = if self.whom.host { Role::Host } else { Role::Participant };
        let mut out = std::io::stdout().lock();
        for _ in 0..self.count {
            let user_id = new_user_id(role, self.server_name.as_str());
            let (identity, recovery_key) = Identity::make(&user_id)?;
            let made = json!({ "user_id": user_id, "recovery_key": recovery_key.expose(), "identity": identity });
            writeln!(out, "{made}").context("what was made could not be printed")?;
        }
        Ok(())
    }
}
