//! Identities for hosts and invitees whom a call makes.

use std::collections::BTreeMap;

use engine::account::{PROVISIONED_NAME_LENGTH, Secret};
use engine::platform::NewcomerRecords;
use ruma::{OwnedUserId, UserId};

use super::schema::Handed;
use crate::app::App;
use crate::http::ApiError;
use crate::newcomer;

/// Identities that have been made and are waiting for a use, and the keys to those in use.
#[derive(Debug, Default)]
pub struct Newcomers {
    waiting: Vec<(OwnedUserId, NewcomerRecords)>,
    recovery_keys: BTreeMap<OwnedUserId, Secret>,
}

impl Newcomers {
    /// Makes `count` of them. Their names tell nothing but what they are.
    pub async fn make(app: &App, prefix: &str, count: usize) -> Result<Self, ApiError> {
        let mut user_ids = Vec::new();
        for _ in 0..count {
            let localpart = format!("{prefix}{}", app.entropy.id(PROVISIONED_NAME_LENGTH));
            user_ids.push(UserId::parse_with_server_name(localpart, &app.server.name).map_err(ApiError::internal)?);
        }
        let mut newcomers = Self::default();
        for (user_id, made) in user_ids.clone().into_iter().zip(newcomer::provision_all(app, user_ids).await?) {
            newcomers.recovery_keys.insert(user_id.clone(), made.recovery_key);
            newcomers.waiting.push((user_id, made.records));
        }
        Ok(newcomers)
    }

    /// One that nobody has.
    pub fn take(&mut self) -> Option<(OwnedUserId, NewcomerRecords)> {
        self.waiting.pop()
    }

    /// The recovery key of a user, if this call made them.
    pub fn recovery_key(&self, user_id: &UserId, made: bool) -> Option<Handed> {
        self.recovery_keys.get(user_id).filter(|_| made).cloned().map(Handed)
    }
}
