//! Pushers: where a user wants to be notified
//! ([spec v1.19, § Push notifications](https://spec.matrix.org/v1.19/client-server-api/#push-notifications)).

use journal::{Name, ReadError, Timestamp};
use ruma::{
    DeviceId, OwnedDeviceId, UserId,
    api::client::push::{Pusher, PusherIds, PusherKind},
};
use serde::Deserialize;
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    Cx, Decided, Draft, Reject, Requester,
    tables::{self, PusherRow},
};

/// Pushers of one user.
const PUSHERS_MAX: u64 = 100;

/// Characters of an `app_id`.
const APP_ID_CHARS_MAX: usize = 64;

/// Bytes of a `pushkey`.
const PUSHKEY_BYTES_MAX: usize = 512;

/// Bytes of a pusher with all its data: an APNs payload has 4 KiB.
const PUSHER_BYTES_MAX: usize = 16 * 1024;

/// A user's pushers as they wrote them, each with the device that did.
pub type Pushers = Vec<(Option<OwnedDeviceId>, Box<RawValue>)>;

/// The user's pushers.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn pushers(cx: &Cx<'_>, user_id: &UserId) -> Result<Pushers, ReadError> {
    tables::PUSHERS
        .scan(cx.view, &(cx.user(user_id),))
        .map(|row| row.map(|(_, row)| (row.value.device_id, row.value.pusher)))
        .collect()
}

/// A pusher that calls a push gateway.
#[derive(Clone, Debug)]
pub(crate) struct HttpPusher {
    pub app_id: String,
    pub pushkey: String,
    pub url: String,
    /// All of its data but the URL.
    pub data: Map<String, Value>,
    pub updated: Timestamp,
}

/// The user's pushers that call a push gateway.
pub(crate) fn http_pushers(cx: &Cx<'_>, user_id: &UserId) -> Result<Vec<HttpPusher>, ReadError> {
    #[derive(Deserialize)]
    struct Stored {
        #[serde(flatten)]
        ids: PusherIds,
        data: Map<String, Value>,
    }
    let mut pushers = Vec::new();
    for found in tables::PUSHERS.scan(cx.view, &(cx.user(user_id),)) {
        let row = found?.1.value;
        let Ok(Stored { ids, mut data }) = serde_json::from_str(row.pusher.get()) else { continue };
        if let Some(Value::String(url)) = data.remove("url") {
            pushers.push(HttpPusher { app_id: ids.app_id, pushkey: ids.pushkey, url, data, updated: row.updated });
        }
    }
    Ok(pushers)
}

/// `POST /pushers/set`.
#[derive(Clone, Debug)]
pub struct SetPusher {
    /// Who asks; the pusher goes with their device.
    pub requester: Requester,
    /// Which application.
    pub app_id: String,
    /// Where in it.
    pub pushkey: String,
    /// The pusher; `None` deletes it.
    pub pusher: Option<Pusher>,
    /// Whether other users' pushers of the same application and key stay.
    pub append: bool,
}

fn pusher_name(cx: &Cx<'_>, app_id: &str, pushkey: &str) -> Name {
    cx.name(&format!("pusher {} {app_id} {pushkey}", app_id.len()))
}

/// Sets or deletes a pusher.
///
/// # Errors
/// `M_FORBIDDEN` past a hundred pushers; `M_INVALID_PARAM` for one of another kind than `http`, or too long.
pub fn set_pusher(cx: &Cx<'_>, command: &SetPusher) -> Decided<()> {
    let user_id = &command.requester.user_id;
    let (user, name) = (cx.user(user_id), pusher_name(cx, &command.app_id, &command.pushkey));
    let mut draft = Draft::new(*cx);
    let Some(pusher) = &command.pusher else {
        tables::PUSHERS.delete(&mut draft.batch, &(user, name));
        tables::PUSHER_USERS.delete(&mut draft.batch, &(name, user));
        return Ok(draft.commit(()));
    };
    let row = PusherRow { device_id: command.requester.device_id.clone(), updated: cx.now(), pusher: check(pusher)? };
    if !tables::PUSHERS.exists(cx.view, &(user, name))? && tables::PUSHERS.count(cx.view, &(user,))? >= PUSHERS_MAX {
        return Err(Reject::forbidden("you have 100 pushers; delete one first").into());
    }
    if !command.append {
        delete_named(&mut draft, name, |_| true)?;
    }
    tables::PUSHERS.put(&mut draft.batch, &(user, name), &row);
    tables::PUSHER_USERS.put(&mut draft.batch, &(name, user), user_id);
    Ok(draft.commit(()))
}

/// That a pusher is one that can be served, and its form in the store.
fn check(pusher: &Pusher) -> Result<Box<RawValue>, Reject> {
    if !matches!(pusher.kind, PusherKind::Http(_)) {
        return Err(Reject::invalid_param("this server notifies by push gateways only: `kind` is \"http\""));
    }
    if pusher.ids.app_id.is_empty() || pusher.ids.app_id.chars().count() > APP_ID_CHARS_MAX {
        return Err(Reject::invalid_param("an `app_id` has between 1 and 64 characters"));
    }
    if pusher.ids.pushkey.is_empty() || pusher.ids.pushkey.len() > PUSHKEY_BYTES_MAX {
        return Err(Reject::invalid_param("a `pushkey` has between 1 and 512 bytes"));
    }
    let stored = to_raw_value(pusher).map_err(|_| Reject::bad_json("this pusher cannot be stored"))?;
    if stored.get().len() > PUSHER_BYTES_MAX {
        return Err(Reject::TooLarge("a pusher has at most 16 KiB".into()));
    }
    Ok(stored)
}

/// Drafts the end of everybody's pushers of a name that `ends` says yes to.
fn delete_named(draft: &mut Draft<'_>, name: Name, ends: impl Fn(&PusherRow) -> bool) -> Result<(), ReadError> {
    let cx = draft.cx();
    for found in tables::PUSHER_USERS.scan(cx.view, &(name,)) {
        let ((_, user), _) = found?;
        let Some(row) = tables::PUSHERS.get(cx.view, &(user, name))? else { continue };
        if ends(&row.value) {
            // One that has been set again meanwhile stays.
            tables::PUSHERS.require(&mut draft.batch, &(user, name), Some(row.version));
            tables::PUSHERS.delete(&mut draft.batch, &(user, name));
            tables::PUSHER_USERS.delete(&mut draft.batch, &(name, user));
        }
    }
    Ok(())
}

/// Drafts the end of all pushers of an application and key that call `url`: the gateway has rejected the key.
pub(crate) fn delete_rejected(draft: &mut Draft<'_>, app_id: &str, pushkey: &str, url: &str) -> Result<(), ReadError> {
    #[derive(Deserialize)]
    struct Stored {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        url: String,
    }
    let name = pusher_name(&draft.cx(), app_id, pushkey);
    delete_named(draft, name, |row| {
        serde_json::from_str::<Stored>(row.pusher.get()).is_ok_and(|stored| stored.data.url == url)
    })
}

/// Drafts the end of a device's pushers; without a device, of all the user has.
pub(super) fn delete_of(draft: &mut Draft<'_>, user_id: &UserId, device_id: Option<&DeviceId>) -> Result<(), ReadError> {
    let cx = draft.cx();
    for found in tables::PUSHERS.scan(cx.view, &(cx.user(user_id),)) {
        let ((user, name), row) = found?;
        if device_id.is_none() || row.value.device_id.as_deref() == device_id {
            tables::PUSHERS.delete(&mut draft.batch, &(user, name));
            tables::PUSHER_USERS.delete(&mut draft.batch, &(name, user));
        }
    }
    Ok(())
}
