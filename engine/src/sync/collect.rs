//! Gathering what has changed.

use std::collections::BTreeSet;

use journal::{Seq, Stamp};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{
    Collected, DeviceKeyCounts, Ephemeral, JoinedRoom, LeftRoom, SyncRequest, Timeline, Token,
    room::{Rooms, Side},
    scope::{Scope, device_lists_since, is_left},
    window::Audience,
};
use crate::{
    Cx, Stop, account, keys, policy, push, receipts,
    room::{ClientEvent, basic_event, ignored_users, joined_members, joined_rooms, sent_event, shares_room},
    tables, to_device,
};

/// Messages to a device in one answer: the rest follows in the next, at once.
const TO_DEVICE_MAX: usize = 250;

/// Up to so many users whose presence changed are asked one by one whether they share a room with the reader.
const PRESENCE_ONE_BY_ONE: usize = 4;

/// All that has changed for a user and device since the request's token.
///
/// # Errors
/// When the store cannot be read.
pub fn collect(cx: &Cx<'_>, request: &SyncRequest<'_>, ephemeral: &dyn Ephemeral) -> Result<Collected, Stop> {
    // Before anything else is read: what changes while this runs is news for the next sync.
    let version = ephemeral.version();
    let scope = Scope::new(cx, request)?;
    let ignored = ignored_users(cx, request.user_id)?;
    let device = request.device_id.map(|device_id| cx.device(device_id));
    let audience = Audience { device, ignored: &ignored, form: request.filter.event_form() };
    let rooms = Rooms { cx, request, scope: &scope, audience };
    let mut collected = Collected::new(Token::after(cx.view.seq(), cx.now(), version));
    let mut side = Side::default();
    rooms.collect(&mut collected, &mut side)?;
    typing(cx, request, &scope, ephemeral, &mut collected)?;
    presence(cx, request, &scope, ephemeral, &side, &mut collected)?;
    account_data(cx, request, &scope, &mut collected)?;
    encryption(cx, request, &scope, &side, &mut collected)?;
    Ok(collected)
}

impl Collected {
    fn new(next: Token) -> Self {
        Self {
            next,
            join: Default::default(),
            invite: Default::default(),
            knock: Default::default(),
            leave: Default::default(),
            account_data: Vec::new(),
            presence: Vec::new(),
            to_device: Vec::new(),
            device_lists: Default::default(),
            keys: DeviceKeyCounts::default(),
        }
    }
}

impl Rooms<'_> {
    fn collect(&self, collected: &mut Collected, side: &mut Side) -> Result<(), Stop> {
        for (stamp, row) in self.scope.rooms(self.cx, self.request)? {
            let (room_id, new) = (row.room_id, self.scope.is_new(stamp));
            match row.membership {
                MembershipState::Join => {
                    if let Some(room) = self.joined(&room_id, stamp, side)? {
                        collected.join.insert(room_id, room);
                    }
                }
                MembershipState::Invite if new && !self.audience.ignored.contains(&row.sender) => {
                    side.members_moved |= self.scope.since.is_some();
                    collected.invite.insert(room_id, row.stripped_state);
                }
                MembershipState::Knock if new => {
                    collected.knock.insert(room_id, row.stripped_state);
                }
                ref membership if is_left(membership) && self.tells_of_leaving(new) => {
                    let room = self.left(&room_id, stamp, side)?;
                    collected.leave.insert(room_id, room);
                }
                _ => {}
            }
        }
        for (stamp, row) in self.scope.departures(self.cx, self.request)? {
            if self.tells_of_leaving(self.scope.is_new(stamp)) {
                side.members_moved |= self.scope.since.is_some();
                let events = vec![ClientEvent::new(&row.pdu).to_raw()];
                let timeline = Timeline { events, limited: false, prev_batch: None };
                collected.leave.insert(row.room_id, LeftRoom { timeline, ..LeftRoom::default() });
            }
        }
        Ok(())
    }

    /// Rooms that were left are told of once; in a first sync only if they are asked for.
    fn tells_of_leaving(&self, new: bool) -> bool {
        match self.scope.since {
            Some(_) => new,
            None => self.request.filter.room.include_leave,
        }
    }
}

fn typing(
    cx: &Cx<'_>,
    request: &SyncRequest<'_>,
    scope: &Scope,
    ephemeral: &dyn Ephemeral,
    collected: &mut Collected,
) -> Result<(), Stop> {
    let filter = &request.filter.room.ephemeral;
    if filter.is_shut() || !filter.includes_type("m.typing") {
        return Ok(());
    }
    for (room_id, mut user_ids) in ephemeral.typing_since(scope.since.map(|token| token.ephemeral)) {
        let key = (cx.user(request.user_id), cx.room(&room_id));
        let joined =
            tables::MEMBERSHIPS.get(cx.view, &key)?.is_some_and(|row| row.value.membership == MembershipState::Join);
        if !joined || !request.filter.room.includes(&room_id) || !filter.includes_room(&room_id) {
            continue;
        }
        user_ids.retain(|user_id| filter.includes_sender(user_id));
        let room = match collected.join.entry(room_id) {
            std::collections::btree_map::Entry::Occupied(room) => room.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let unread = receipts::unread(cx, request.user_id, place.key())?;
                let mut room = JoinedRoom { unread, ..JoinedRoom::default() };
                room.timeline.prev_batch = Some(collected.next);
                place.insert(room)
            }
        };
        room.ephemeral.push(basic_event("m.typing", &serde_json::json!({ "user_ids": user_ids })));
    }
    Ok(())
}

fn presence(
    cx: &Cx<'_>,
    request: &SyncRequest<'_>,
    scope: &Scope,
    ephemeral: &dyn Ephemeral,
    side: &Side,
    collected: &mut Collected,
) -> Result<(), Stop> {
    let filter = &request.filter.presence;
    if filter.is_shut() || !filter.includes_type("m.presence") {
        return Ok(());
    }
    let mut user_ids = side.met.clone();
    let news = ephemeral.presence_since(scope.since.map(|token| token.ephemeral));
    // One look at everybody the user shares a room with, or one for each who changed: whichever is less.
    let near = if news.len() > PRESENCE_ONE_BY_ONE { Some(neighbours(cx, request.user_id)?) } else { None };
    for user_id in news {
        let seen = match &near {
            Some(near) => near.contains(&user_id),
            None => user_id == request.user_id || shares_room(cx, request.user_id, &user_id, false)?,
        };
        if seen {
            user_ids.insert(user_id);
        }
    }
    user_ids.retain(|user_id| filter.includes_sender(user_id));
    collected.presence = user_ids.iter().filter_map(|user_id| ephemeral.presence_of(user_id)).collect();
    Ok(())
}

/// The user, and everybody who is in a room with them.
fn neighbours(cx: &Cx<'_>, user_id: &UserId) -> Result<BTreeSet<OwnedUserId>, Stop> {
    let mut near = BTreeSet::from([user_id.to_owned()]);
    for room_id in joined_rooms(cx, user_id)? {
        near.extend(joined_members(cx, &room_id)?.into_iter().map(|member| member.user_id));
    }
    Ok(near)
}

fn account_data(cx: &Cx<'_>, request: &SyncRequest<'_>, scope: &Scope, collected: &mut Collected) -> Result<(), Stop> {
    let filter = &request.filter.account_data;
    if !filter.is_shut()
        && filter.includes_type(policy::CHAT)
        && let Some(state) = policy::chat_state(cx, request.user_id)?
        && scope.is_new(state.since)
    {
        collected.account_data.push(basic_event(policy::CHAT, &state.content()));
    }
    if filter.is_shut() || (!scope.everything() && scope.account_data.is_empty()) {
        return Ok(());
    }
    let user = cx.user(request.user_id);
    let since = scope.since_stamp().map_or(Seq::ZERO, |since: Stamp| since.seq);
    let mut has_rules = false;
    for found in tables::ACCOUNT_DATA.scan(cx.view, &(user,)) {
        let row = found?.1;
        let data = row.value;
        has_rules |= data.event_type == "m.push_rules";
        let new = row.version >= since && (scope.everything() || scope.account_data.contains(&data.event_type));
        // What is gone is news only to who may have had it.
        let told = new && (scope.since.is_some() || !account::is_deleted(&data.content));
        if told && filter.includes_type(&data.event_type) {
            collected.account_data.push(basic_event(&data.event_type, &data.content));
        }
    }
    if scope.since.is_none() && !has_rules && filter.includes_type("m.push_rules") {
        let rules = serde_json::json!({ "global": push::default_ruleset(request.user_id) });
        collected.account_data.push(basic_event("m.push_rules", &rules));
    }
    Ok(())
}

fn encryption(
    cx: &Cx<'_>,
    request: &SyncRequest<'_>,
    scope: &Scope,
    side: &Side,
    collected: &mut Collected,
) -> Result<(), Stop> {
    let Some(device_id) = request.device_id else { return Ok(()) };
    let to = Stamp::end_of(cx.view.seq());
    if let Some(token) = scope.since
        && (scope.device_lists || side.members_moved)
    {
        collected.device_lists = device_lists_since(cx, request.user_id, &token, to)?;
    }
    let from = scope.since.map_or(Stamp::ZERO, |token| token.to_device.unwrap_or_else(|| token.known()));
    let page = to_device::read(cx, request.user_id, device_id, from, to, TO_DEVICE_MAX)?;
    collected.next.to_device = page.more.then_some(page.next);
    let messages = page.messages.iter();
    collected.to_device =
        messages.map(|message| sent_event(&message.event_type, &message.sender, &message.content)).collect();
    collected.keys = DeviceKeyCounts {
        one_time: keys::one_time_key_counts(cx, request.user_id, device_id)?,
        unused_fallback: keys::unused_fallback_key_types(cx, request.user_id, device_id)?,
    };
    Ok(())
}
