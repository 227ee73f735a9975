//! Identities for hosts and invitees whom a call makes: made here, or given by the platform.

use std::collections::BTreeMap;

use engine::Reject;
use engine::account::Secret;
use engine::keys::{self, PutDehydratedDevice};
use engine::platform::{NewUser, NewcomerRecords};
use identity::{DehydratedDevice, Identity, Object, Role};
use ruma::serde::Raw;
use ruma::{OwnedOneTimeKeyId, OwnedUserId, UserId};
use serde_json::value::{RawValue, to_raw_value};

use super::schema::Handed;
use crate::app::App;
use crate::http::ApiError;

/// What everybody sees the waiting device called.
const DEVICE_NAME: &str = "Waiting room";

/// Identities that have been made here and are waiting for a use, and the keys to those in use.
#[derive(Debug, Default)]
pub struct Newcomers {
    waiting: Vec<NewUser>,
    recovery_keys: BTreeMap<OwnedUserId, Secret>,
}

impl Newcomers {
    /// Makes `count` of them, off the async threads: each takes about half a millisecond. Their names tell nothing but what they are.
    pub async fn make(app: &App, role: Role, count: usize) -> Result<Self, ApiError> {
        let server = app.server.name.clone();
        let make = move |_| Identity::make(&identity::new_user_id(role, server.as_str()));
        let made = tokio::task::spawn_blocking(move || (0..count).map(make).collect::<Result<Vec<_>, _>>());
        let mut newcomers = Self::default();
        for (identity, recovery_key) in made.await.map_err(ApiError::internal)?.map_err(ApiError::internal)? {
            let new = new_user(&identity, false).map_err(ApiError::internal)?;
            newcomers.recovery_keys.insert(new.user_id.clone(), Secret::new(recovery_key.expose().to_owned()));
            newcomers.waiting.push(new);
        }
        Ok(newcomers)
    }

    /// One that nobody has.
    pub fn take(&mut self) -> Option<NewUser> {
        self.waiting.pop()
    }

    /// The recovery key of a user, if this call made both.
    pub fn recovery_key(&self, user_id: &UserId, made: bool) -> Option<Handed> {
        self.recovery_keys.get(user_id).filter(|_| made).cloned().map(Handed)
    }
}

/// Somebody with the identity that the platform made. Its key is the platform's, and never seen here.
pub fn given(identity: &Identity) -> Result<NewUser, Reject> {
    new_user(identity, true)
}

fn new_user(identity: &Identity, by_platform: bool) -> Result<NewUser, Reject> {
    let user_id = OwnedUserId::try_from(identity.user_id.as_str())
        .map_err(|_| Reject::invalid_param("`identity.user_id` is not a user id"))?;
    let DehydratedDevice { device_id, device_data, device_keys, fallback_keys } = &identity.dehydrated_device;
    let fallback_keys = fallback_keys.iter().map(|(key_id, key)| {
        let key_id = OwnedOneTimeKeyId::try_from(key_id.as_str());
        let key_id = key_id.map_err(|_| Reject::invalid_param("a fallback key is named by its algorithm and id"))?;
        Ok::<_, Reject>((key_id, typed(key)?))
    });
    let account_data = identity.account_data.iter();
    let account_data = account_data.map(|(event_type, content)| Ok::<_, Reject>((event_type.clone(), raw(content)?)));
    let records = NewcomerRecords {
        identity: keys::Identity {
            master_key: typed(&identity.master_key)?,
            self_signing_key: typed(&identity.self_signing_key)?,
            user_signing_key: typed(&identity.user_signing_key)?,
            dehydrated_device: PutDehydratedDevice {
                user_id: user_id.clone(),
                device_id: device_id.as_str().into(),
                display_name: Some(DEVICE_NAME.to_owned()),
                device_data: raw(device_data)?,
                device_keys: typed(device_keys)?,
                one_time_keys: BTreeMap::new(),
                fallback_keys: fallback_keys.collect::<Result<_, _>>()?,
            },
        },
        account_data: account_data.collect::<Result<_, _>>()?,
    };
    Ok(NewUser { user_id, records, by_platform })
}

fn raw(object: &Object) -> Result<Box<RawValue>, Reject> {
    to_raw_value(object).map_err(|_| Reject::bad_json("a record of this identity cannot be stored"))
}

fn typed<T>(object: &Object) -> Result<Raw<T>, Reject> {
    raw(object).map(Raw::from_json)
}
