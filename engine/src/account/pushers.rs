//! Pushers: where a user wants to be notified
//! ([spec v1.19, § Push notifications](https://spec.matrix.org/v1.19/client-server-api/#push-notifications)).

use journal::ReadError;
use ruma::{DeviceId, OwnedDeviceId, UserId, api::client::push::Pusher};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    Cx, Decided, Draft, Reject, Requester,
    tables::{self, PusherRow},
};

/// Pushers of one user.
const PUSHERS_MAX: u64 = 100;

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

/// Sets or deletes a pusher.
///
/// # Errors
/// `M_FORBIDDEN` past a hundred pushers.
pub fn set_pusher(cx: &Cx<'_>, command: &SetPusher) -> Decided<()> {
    let user_id = &command.requester.user_id;
    let user = cx.user(user_id);
    let name = cx.name(&format!("pusher {} {} {}", command.app_id.len(), command.app_id, command.pushkey));
    let mut draft = Draft::new(*cx);
    let Some(pusher) = &command.pusher else {
        tables::PUSHERS.delete(&mut draft.batch, &(user, name));
        tables::PUSHER_USERS.delete(&mut draft.batch, &(name, user));
        return Ok(draft.commit(()));
    };
    if !tables::PUSHERS.exists(cx.view, &(user, name))? && tables::PUSHERS.count(cx.view, &(user,))? >= PUSHERS_MAX {
        return Err(Reject::forbidden("you have 100 pushers; delete one first").into());
    }
    if !command.append {
        for found in tables::PUSHER_USERS.scan(cx.view, &(name,)) {
            let ((_, other), _) = found?;
            tables::PUSHERS.delete(&mut draft.batch, &(other, name));
            tables::PUSHER_USERS.delete(&mut draft.batch, &(name, other));
        }
    }
    let pusher = to_raw_value(pusher).map_err(|_| Reject::bad_json("this pusher cannot be stored"))?;
    let row = PusherRow { device_id: command.requester.device_id.clone(), pusher };
    tables::PUSHERS.put(&mut draft.batch, &(user, name), &row);
    tables::PUSHER_USERS.put(&mut draft.batch, &(name, user), user_id);
    Ok(draft.commit(()))
}

/// Drafts the end of a device's pushers.
pub(super) fn delete_of_device(draft: &mut Draft<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<(), ReadError> {
    let cx = draft.cx();
    for found in tables::PUSHERS.scan(cx.view, &(cx.user(user_id),)) {
        let ((user, name), row) = found?;
        if row.value.device_id.as_deref() == Some(device_id) {
            tables::PUSHERS.delete(&mut draft.batch, &(user, name));
            tables::PUSHER_USERS.delete(&mut draft.batch, &(name, user));
        }
    }
    Ok(())
}
