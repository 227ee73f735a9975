//! What a user's account data says of others who are gone.

use ruma::{RoomId, UserId, push::RuleKind};
use serde_json::{Map, Value, value::to_raw_value};

use super::{
    data::{NewAccountData, put_account_data},
    push_rules,
};
use crate::{Draft, Reject, Stop, tables};

/// Who or what is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gone<'a> {
    /// A room.
    Room(&'a RoomId),
    /// A user.
    User(&'a UserId),
}

/// Drafts that `m.direct`, `m.ignored_user_list` and the push rules of `user_id` no longer name what is gone
/// ([spec v1.19, § Direct Messaging](https://spec.matrix.org/v1.19/client-server-api/#direct-messaging), § Ignoring users, § Push rules).
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn forget(draft: &mut Draft<'_>, user_id: &UserId, gone: Gone<'_>) -> Result<(), Stop> {
    edit(draft, user_id, "m.direct", |content| match gone {
        Gone::User(other) => content.remove(other.as_str()).is_some(),
        Gone::Room(room_id) => {
            let mut changed = false;
            content.retain(|_, rooms| {
                let Value::Array(rooms) = rooms else { return true };
                let before = rooms.len();
                rooms.retain(|room| room.as_str() != Some(room_id.as_str()));
                changed |= rooms.len() != before;
                !rooms.is_empty()
            });
            changed
        }
    })?;
    if let Gone::User(other) = gone {
        edit(draft, user_id, "m.ignored_user_list", |content| {
            let ignored = content.get_mut("ignored_users").and_then(Value::as_object_mut);
            ignored.is_some_and(|ignored| ignored.remove(other.as_str()).is_some())
        })?;
    }
    forget_rules(draft, user_id, gone)
}

fn edit(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    event_type: &str,
    edit: impl FnOnce(&mut Map<String, Value>) -> bool,
) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.user(user_id), cx.name(event_type));
    let Some(row) = tables::ACCOUNT_DATA.get(cx.view, &key)? else { return Ok(()) };
    // A client may write what it likes into it: what is no object names nobody in a place that is known.
    let Ok(mut content) = serde_json::from_str::<Map<String, Value>>(row.value.content.get()) else { return Ok(()) };
    if !edit(&mut content) {
        return Ok(());
    }
    let content = to_raw_value(&content).map_err(|_| Reject::bad_json("this account data cannot be stored"))?;
    tables::ACCOUNT_DATA.require(&mut draft.batch, &key, Some(row.version));
    let data = NewAccountData { user_id: user_id.to_owned(), room_id: None, event_type: event_type.to_owned(), content };
    put_account_data(draft, &data);
    Ok(())
}

fn forget_rules(draft: &mut Draft<'_>, user_id: &UserId, gone: Gone<'_>) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.user(user_id), cx.name(push_rules::TYPE));
    let Some(row) = tables::ACCOUNT_DATA.get(cx.view, &key)? else { return Ok(()) };
    let mut rules = push_rules::push_rules(&cx, user_id)?;
    let (kind, rule_id) = match gone {
        Gone::Room(room_id) => (RuleKind::Room, room_id.as_str()),
        Gone::User(other) => (RuleKind::Sender, other.as_str()),
    };
    // Clients mute a room by an override rule that is named after it.
    let removed = [kind, RuleKind::Override].map(|kind| rules.remove(kind, rule_id).is_ok());
    if removed.contains(&true) {
        tables::ACCOUNT_DATA.require(&mut draft.batch, &key, Some(row.version));
        let content = push_rules::content(&rules);
        let event_type = push_rules::TYPE.to_owned();
        put_account_data(draft, &NewAccountData { user_id: user_id.to_owned(), room_id: None, event_type, content });
    }
    Ok(())
}
