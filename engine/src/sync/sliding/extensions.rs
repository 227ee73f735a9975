//! All of an answer that is not rooms: typing, and what extensions have in common
//! ([MSC4508](https://github.com/matrix-org/matrix-spec-proposals/pull/4508)), messages to the device
//! ([MSC4538](https://github.com/matrix-org/matrix-spec-proposals/pull/4538)), encryption
//! ([MSC4543](https://github.com/matrix-org/matrix-spec-proposals/pull/4543)), account data
//! ([MSC4548](https://github.com/matrix-org/matrix-spec-proposals/pull/4548)) and receipts
//! ([MSC4551](https://github.com/matrix-org/matrix-spec-proposals/pull/4551)).

use std::collections::BTreeMap;

use journal::{Seq, Stamp};
use ruma::{OwnedRoomId, RoomId, events::room::member::MembershipState};
use serde_json::value::RawValue;

use super::{
    Ask, Connection, Seen,
    answer::{self, Answer},
    connection::Known,
    request::RoomScope,
};
use crate::{
    Cx, Stop, account, keys, policy, receipts,
    room::{basic_event, sent_event},
    sync::{
        Ephemeral, Token,
        scope::{Scope, device_lists_since},
    },
    tables::{self, ReceiptRow},
    to_device,
};

/// Messages to the device in one answer at most.
const TO_DEVICE_MAX: usize = 250;

/// What one answer gathers its extensions with.
pub(super) struct Collector<'a> {
    pub cx: &'a Cx<'a>,
    pub ask: &'a Ask<'a>,
    pub scope: &'a Scope,
    pub seen: &'a BTreeMap<OwnedRoomId, Seen<'a>>,
    /// Up to where the client is told.
    pub told: Token,
}

impl<'a> Collector<'a> {
    pub fn collect(&self, ephemeral: &dyn Ephemeral, answer: &mut Answer, next: &mut Connection) -> Result<(), Stop> {
        let extensions = &self.ask.request.extensions;
        if extensions.e2ee {
            answer.extensions.e2ee = self.e2ee()?;
        }
        answer.extensions.to_device = self.to_device()?;
        if let Some(rooms) = &extensions.account_data {
            answer.extensions.account_data.global = self.global_account_data()?;
            next.account_data = true;
            for (room_id, seen) in self.covered(rooms) {
                let events = self.room_account_data(room_id, seen)?;
                if !events.is_empty() {
                    answer.extensions.account_data.rooms.insert(room_id.clone(), events);
                }
                remember(next, room_id, |known| known.account_data = Some(self.told.position));
            }
        }
        if let Some(rooms) = &extensions.receipts {
            for (room_id, seen) in self.covered(rooms).filter(is_joined) {
                if let Some(content) = self.receipts(room_id, seen, answer.rooms.get(room_id))? {
                    answer.extensions.receipts.insert(room_id.clone(), content);
                }
                remember(next, room_id, |known| known.receipts = Some(self.told.position));
            }
        }
        self.typing(ephemeral, answer, next);
        Ok(())
    }

    /// The rooms that are looked at and that an extension is wanted for.
    fn covered(&self, rooms: &'a RoomScope) -> impl Iterator<Item = (&'a OwnedRoomId, &'a Seen<'a>)> + use<'a> {
        self.seen.iter().filter(move |(room_id, seen)| rooms.covers(room_id, &seen.wanted))
    }

    fn e2ee(&self) -> Result<Option<answer::E2ee>, Stop> {
        let (cx, user_id) = (self.cx, self.ask.user_id);
        let Some(device_id) = self.ask.device_id else { return Ok(None) };
        let mut e2ee = answer::E2ee {
            one_time_keys: keys::one_time_key_counts(cx, user_id, device_id)?,
            unused_fallback: keys::unused_fallback_key_types(cx, user_id, device_id)?,
            ..answer::E2ee::default()
        };
        // Whoever comes or goes is in the change index as a device list.
        if let Some(token) = self.scope.since
            && self.scope.device_lists
        {
            e2ee.lists = device_lists_since(cx, user_id, &token, Stamp::end_of(cx.view.seq()))?;
        }
        Ok(Some(e2ee))
    }

    fn to_device(&self) -> Result<Option<answer::ToDevice>, Stop> {
        let (cx, user_id) = (self.cx, self.ask.user_id);
        let (Some(asked), Some(device_id)) = (&self.ask.request.extensions.to_device, self.ask.device_id) else {
            return Ok(None);
        };
        let (from, to) = (asked.since.map_or(Stamp::ZERO, |token| token.known()), Stamp::end_of(cx.view.seq()));
        let page = to_device::read(cx, user_id, device_id, from, to, asked.limit.clamp(1, TO_DEVICE_MAX))?;
        let next = if page.more { page.next.next() } else { to.next() };
        let messages = page.messages.iter();
        Ok(Some(answer::ToDevice {
            events: messages.map(|message| sent_event(&message.event_type, &message.sender, &message.content)).collect(),
            next_batch: Token::at(next, cx.now()).encode(),
        }))
    }

    /// All of it when the client asks for the first time on its connection, then what has changed.
    fn global_account_data(&self) -> Result<Vec<Box<RawValue>>, Stop> {
        let (cx, user_id) = (self.cx, self.ask.user_id);
        let first = !self.ask.connection.account_data || self.scope.since.is_none();
        let since = self.scope.since_stamp().filter(|_| !first).map_or(Seq::ZERO, |since| since.seq);
        let mut events = Vec::new();
        if let Some(state) = policy::chat_state(cx, user_id)?
            && (first || self.scope.is_new(state.since))
        {
            events.push(basic_event(policy::CHAT, &state.content()));
        }
        if !first && !self.scope.everything() && self.scope.account_data.is_empty() {
            return Ok(events);
        }
        let mut has_rules = false;
        for found in tables::ACCOUNT_DATA.scan(cx.view, &(cx.user(user_id),)) {
            let row = found?.1;
            has_rules |= row.value.event_type == "m.push_rules";
            if row.version >= since && (!first || !account::is_deleted(&row.value.content)) {
                events.push(basic_event(&row.value.event_type, &row.value.content));
            }
        }
        if first && !has_rules {
            let rules = serde_json::json!({ "global": account::push_rules(cx, user_id)? });
            events.push(basic_event("m.push_rules", &rules));
        }
        Ok(events)
    }

    /// All of it when the room is told of for the first time, then what has changed since it was told of last.
    fn room_account_data(&self, room_id: &RoomId, seen: &Seen<'_>) -> Result<Vec<Box<RawValue>>, Stop> {
        let (cx, user_id) = (self.cx, self.ask.user_id);
        let told = seen.known.and_then(|known| known.account_data);
        if self.knows_all(told) && !self.scope.room_account_data.contains_key(room_id) {
            return Ok(Vec::new());
        }
        let since = told.map_or(Seq::ZERO, |told| told.seq);
        let mut events = Vec::new();
        for found in tables::ROOM_ACCOUNT_DATA.scan(cx.view, &(cx.user(user_id), cx.room(room_id))) {
            let row = found?.1;
            if row.version >= since && (told.is_some() || !account::is_deleted(&row.value.content)) {
                events.push(basic_event(&row.value.event_type, &row.value.content));
            }
        }
        if let Some((event_id, version)) = receipts::fully_read(cx, user_id, room_id)?
            && version >= since
        {
            events.push(basic_event(receipts::FULLY_READ, &receipts::fully_read_content(&event_id)));
        }
        Ok(events)
    }

    /// The user's own, and those on events that the client is just told of; then what has changed.
    fn receipts(
        &self,
        room_id: &RoomId,
        seen: &Seen<'_>,
        room: Option<&answer::Room>,
    ) -> Result<Option<Box<RawValue>>, Stop> {
        let told = seen.known.and_then(|known| known.receipts);
        let fresh = room.filter(|room| told.is_none() || room.before.is_none() || room.events.expanded);
        if self.knows_all(told) && fresh.is_none() && !self.scope.receipts.contains(room_id) {
            return Ok(None);
        }
        let includes = |row: &ReceiptRow, version: Seq| {
            let news = match told {
                Some(told) => version >= told.seq,
                None => row.user_id == self.ask.user_id,
            };
            news || fresh.is_some_and(|room| room.events.shown.contains(&row.event_id))
        };
        Ok(receipts::receipts_content(self.cx, room_id, self.ask.user_id, includes)?)
    }

    /// Whether a client that has been told up to `told` needs to hear no more than what the change index names.
    fn knows_all(&self, told: Option<Stamp>) -> bool {
        told.is_some() && told == self.scope.since_stamp() && !self.scope.everything()
    }

    /// Who types where that has changed, and in rooms that the client was not told of last time.
    fn typing(&self, ephemeral: &dyn Ephemeral, answer: &mut Answer, next: &mut Connection) {
        let mut rooms: BTreeMap<&OwnedRoomId, &Seen<'_>> = BTreeMap::new();
        if let Some(scope) = &self.ask.request.extensions.typing {
            rooms.extend(self.covered(scope).filter(is_joined));
        }
        for (room_id, known) in &mut next.rooms {
            known.typing = rooms.contains_key(room_id);
        }
        let typing = &mut answer.extensions.typing;
        if rooms.values().any(|seen| !hears_typing(seen)) {
            let now = ephemeral.typing_since(None).into_iter();
            typing.extend(now.filter(|(room_id, _)| rooms.get(room_id).is_some_and(|seen| !hears_typing(seen))));
        }
        if let Some(since) = self.scope.since
            && rooms.values().any(|seen| hears_typing(seen))
        {
            let changed = ephemeral.typing_since(Some(since.ephemeral)).into_iter();
            typing.extend(changed.filter(|(room_id, _)| rooms.get(room_id).is_some_and(|seen| hears_typing(seen))));
        }
    }
}

fn is_joined((_, seen): &(&OwnedRoomId, &Seen<'_>)) -> bool {
    seen.room.membership == MembershipState::Join
}

/// Whether the client was told last time who types there.
fn hears_typing(seen: &Seen<'_>) -> bool {
    seen.known.is_some_and(|known| known.typing)
}

fn remember(next: &mut Connection, room_id: &RoomId, change: impl FnOnce(&mut Known)) {
    if let Some(known) = next.rooms.get_mut(room_id) {
        change(known);
    }
}
