//! Agents: who is signed in, who is on duty.

use rusqlite::{OptionalExtension as _, params};

use super::Desk;
use crate::{
    clock::{Millis, now_ms},
    database::StoreError,
};

/// A working day. Signing out ends a session before.
const SESSION_MS: Millis = 12 * 3600 * 1000;
/// The name of an agent, at most, in characters.
pub const AGENT_CHARS_MAX: usize = 60;

/// An agent who is signed in.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Agent {
    /// The name people see.
    pub name: String,
    /// Whether chats may come.
    pub on_duty: bool,
}

fn hash(token: &str) -> Vec<u8> {
    blake3::hash(token.as_bytes()).as_bytes().to_vec()
}

impl Desk {
    /// Starts a session: `token` is what the cookie holds.
    pub async fn sign_in(&self, token: String, name: String) -> Result<(), StoreError> {
        let now = now_ms();
        self.database
            .run(move |t, _| {
                t.execute("DELETE FROM session WHERE expires_ms <= ?1", [now])?;
                t.execute(
                    "INSERT INTO session (hash, agent, expires_ms) VALUES (?1, ?2, ?3)",
                    params![hash(&token), name, now + SESSION_MS],
                )?;
                t.execute(
                    "INSERT INTO agent (name, seen_ms) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET seen_ms = ?2",
                    params![name, now],
                )?;
                Ok(())
            })
            .await
    }

    /// Ends a session; its agent goes off duty.
    pub async fn sign_out(&self, token: String) -> Result<(), StoreError> {
        self.database
            .run(move |t, _| {
                let query = "UPDATE agent SET on_duty = 0 WHERE name = (SELECT agent FROM session WHERE hash = ?1)";
                t.execute(query, [hash(&token)])?;
                t.execute("DELETE FROM session WHERE hash = ?1", [hash(&token)])?;
                Ok(())
            })
            .await?;
        self.bridge.notify_one();
        Ok(())
    }

    /// Whose session it is.
    pub async fn agent_of(&self, token: String) -> Result<Option<Agent>, StoreError> {
        let now = now_ms();
        self.database
            .run(move |t, _| {
                let query = "SELECT agent.name, agent.on_duty FROM session JOIN agent ON agent.name = session.agent
                             WHERE hash = ?1 AND expires_ms > ?2";
                let agent = t.query_row(query, params![hash(&token), now], |row| {
                    Ok(Agent { name: row.get(0)?, on_duty: row.get(1)? })
                });
                Ok(agent.optional()?)
            })
            .await
    }

    /// Goes on or off duty.
    pub async fn set_duty(&self, name: String, on_duty: bool) -> Result<(), StoreError> {
        let now = now_ms();
        self.database
            .run(move |t, _| {
                t.execute("UPDATE agent SET on_duty = ?2, seen_ms = ?3 WHERE name = ?1", params![name, on_duty, now])?;
                Ok(())
            })
            .await?;
        self.bridge.notify_one();
        self.changed();
        Ok(())
    }

    /// An agent's page is still there.
    pub async fn agent_seen(&self, name: String) -> Result<(), StoreError> {
        let now = now_ms();
        self.database
            .run(move |t, _| {
                t.execute("UPDATE agent SET seen_ms = ?2 WHERE name = ?1", params![name, now])?;
                Ok(())
            })
            .await
    }
}
