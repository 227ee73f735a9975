//! All of an answer that is not rooms.

use std::collections::BTreeMap;

use journal::{Seq, Stamp};
use ruma::OwnedRoomId;

use super::{Ask, request::Config, write};
use crate::{
    Cx, Stop, account, keys, policy, receipts,
    room::{basic_event, sent_event},
    sync::{
        Ephemeral, Token,
        scope::{Scope, device_lists_since},
    },
    tables, to_device,
};

/// Messages to the device in one answer at most.
const TO_DEVICE_MAX: usize = 250;

pub(super) fn collect(
    cx: &Cx<'_>,
    ask: &Ask<'_>,
    scope: &Scope,
    wanted: &BTreeMap<OwnedRoomId, Config>,
    ephemeral: &dyn Ephemeral,
    body: &mut write::Body,
) -> Result<(), Stop> {
    let extensions = &ask.request.extensions;
    if extensions.e2ee.enabled == Some(true) {
        e2ee(cx, ask, scope, body)?;
    }
    if extensions.to_device.enabled == Some(true) {
        to_device(cx, ask, body)?;
    }
    if extensions.account_data.enabled == Some(true) {
        account_data(cx, ask, scope, wanted, body)?;
    }
    if extensions.receipts.enabled == Some(true) {
        for room_id in wanted.keys() {
            receipts(cx, ask, scope, room_id, body)?;
        }
    }
    if extensions.typing.enabled == Some(true) {
        for (room_id, user_ids) in ephemeral.typing_since(scope.since.map(|token| token.ephemeral)) {
            if wanted.contains_key(&room_id) {
                let event = basic_event("m.typing", &serde_json::json!({ "user_ids": user_ids }));
                body.extensions.typing.insert(room_id, event);
            }
        }
    }
    Ok(())
}

fn e2ee(cx: &Cx<'_>, ask: &Ask<'_>, scope: &Scope, body: &mut write::Body) -> Result<(), Stop> {
    let Some(device_id) = ask.device_id else { return Ok(()) };
    let mut e2ee = write::E2ee {
        one_time_keys: keys::one_time_key_counts(cx, ask.user_id, device_id)?,
        unused_fallback: keys::unused_fallback_key_types(cx, ask.user_id, device_id)?,
        ..write::E2ee::default()
    };
    // Whoever comes or goes is in the change index as a device list.
    if let Some(token) = scope.since
        && scope.device_lists
    {
        e2ee.lists = device_lists_since(cx, ask.user_id, &token, Stamp::end_of(cx.view.seq()))?;
    }
    body.extensions.e2ee = Some(e2ee);
    Ok(())
}

fn to_device(cx: &Cx<'_>, ask: &Ask<'_>, body: &mut write::Body) -> Result<(), Stop> {
    let Some(device_id) = ask.device_id else { return Ok(()) };
    let asked = &ask.request.extensions.to_device;
    let since = asked.since.as_deref().map(Token::decode).transpose()?;
    let limit =
        asked.limit.map_or(TO_DEVICE_MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)).clamp(1, TO_DEVICE_MAX);
    let (from, to) = (since.map_or(Stamp::ZERO, |token| token.known()), Stamp::end_of(cx.view.seq()));
    let page = to_device::read(cx, ask.user_id, device_id, from, to, limit)?;
    let next = if page.more { page.next.next() } else { to.next() };
    let messages = page.messages.iter();
    body.extensions.to_device = Some(write::ToDevice {
        events: messages.map(|message| sent_event(&message.event_type, &message.sender, &message.content)).collect(),
        next_batch: Token::at(next, cx.now()).encode(),
    });
    Ok(())
}

fn account_data(
    cx: &Cx<'_>,
    ask: &Ask<'_>,
    scope: &Scope,
    wanted: &BTreeMap<OwnedRoomId, Config>,
    body: &mut write::Body,
) -> Result<(), Stop> {
    let user = cx.user(ask.user_id);
    let since = scope.since_stamp().map_or(Seq::ZERO, |since| since.seq);
    if let Some(state) = policy::chat_state(cx, ask.user_id)?
        && scope.is_new(state.since)
    {
        body.extensions.global_account_data.push(basic_event(policy::CHAT, &state.content()));
    }
    if scope.everything() || !scope.account_data.is_empty() {
        let mut has_rules = false;
        for found in tables::ACCOUNT_DATA.scan(cx.view, &(user,)) {
            let row = found?.1;
            has_rules |= row.value.event_type == "m.push_rules";
            if row.version >= since && (scope.since.is_some() || !account::is_deleted(&row.value.content)) {
                body.extensions.global_account_data.push(basic_event(&row.value.event_type, &row.value.content));
            }
        }
        if scope.since.is_none() && !has_rules {
            let rules = serde_json::json!({ "global": account::push_rules(cx, ask.user_id)? });
            body.extensions.global_account_data.push(basic_event("m.push_rules", &rules));
        }
    }
    for room_id in wanted.keys() {
        let known = ask.connection.rooms.contains_key(room_id);
        if known && !scope.everything() && !scope.room_account_data.contains_key(room_id) {
            continue;
        }
        let since = if known { since } else { Seq::ZERO };
        let mut events = Vec::new();
        for found in tables::ROOM_ACCOUNT_DATA.scan(cx.view, &(user, cx.room(room_id))) {
            let row = found?.1;
            if row.version >= since && (known || !account::is_deleted(&row.value.content)) {
                events.push(basic_event(&row.value.event_type, &row.value.content));
            }
        }
        if let Some((event_id, version)) = receipts::fully_read(cx, ask.user_id, room_id)?
            && version >= since
        {
            events.push(basic_event(receipts::FULLY_READ, &receipts::fully_read_content(&event_id)));
        }
        if !events.is_empty() {
            body.extensions.room_account_data.insert(room_id.clone(), events);
        }
    }
    Ok(())
}

fn receipts(cx: &Cx<'_>, ask: &Ask<'_>, scope: &Scope, room_id: &OwnedRoomId, body: &mut write::Body) -> Result<(), Stop> {
    let known = ask.connection.rooms.contains_key(room_id);
    if known && !scope.everything() && !scope.receipts.contains(room_id) {
        return Ok(());
    }
    let since = scope.since_stamp().filter(|_| known).map(|since| since.seq);
    // One event per room is all this form holds: of two receipts of a user on one event the unthreaded one comes first
    // (MSC4102).
    if let Some(event) = receipts::receipt_events(cx, room_id, ask.user_id, since)?.into_iter().next() {
        body.extensions.receipts.insert(room_id.clone(), event);
    }
    Ok(())
}
