//! One room of a sync.

use std::collections::BTreeSet;

use journal::{Seq, Stamp};
use ruma::{
    OwnedUserId, RoomId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use super::{
    JoinedRoom, LeftRoom, SyncRequest, Timeline, Token,
    scope::Scope,
    state::{StateRequest, stamped_state_at, state_events},
    summary::summary,
    window::{Audience, Window},
};
use crate::{
    Cx, Stop, account, receipts,
    room::{self, Viewer, basic_event},
    tables,
};

/// What one sync reads its rooms with.
pub(super) struct Rooms<'a> {
    pub cx: &'a Cx<'a>,
    pub request: &'a SyncRequest<'a>,
    pub scope: &'a Scope,
    pub audience: Audience<'a>,
}

/// What a room adds to the rest of a sync.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Somebody may have come or gone: device lists have to be looked at.
    pub members_moved: bool,
    /// Users who are news to the reader: their presence is told.
    pub met: BTreeSet<OwnedUserId>,
}

impl Rooms<'_> {
    /// A room the user is in; `None` when nothing of it is new.
    pub fn joined(&self, room_id: &RoomId, joined: Stamp, side: &mut Side) -> Result<Option<JoinedRoom>, Stop> {
        let (cx, request) = (self.cx, self.request);
        let viewer = Viewer::new(cx, room_id, request.user_id)?;
        let newly_joined = self.is_newly_joined(&viewer, joined)?;
        let since = self.scope.since_stamp().filter(|_| !newly_joined);
        let whole = since.is_none() || request.full_state;

        let window = self.window(&viewer, since, Stamp::MAX)?;
        let moved = whole || window.limited || has_members(&window);
        side.members_moved |= moved && self.scope.since.is_some();
        self.meet(&viewer, &window, since, side)?;
        let summary = if moved { Some(summary(cx, &viewer.room, request.user_id)?) } else { None };

        let mut members: Vec<_> = summary.iter().flat_map(|summary| summary.heroes.iter().flatten().cloned()).collect();
        members.extend(whole.then(|| request.user_id.to_owned()));
        let state = StateRequest {
            room: &viewer.room,
            window: &window,
            since: since.filter(|_| !request.full_state),
            end: None,
            after: request.state_after,
            filter: &request.filter.room.state,
            form: self.audience.form,
            members: &members,
        };
        let state = state_events(cx, &state)?;
        let room = JoinedRoom {
            timeline: self.timeline(&viewer, &window, newly_joined && self.scope.since.is_some())?,
            state,
            summary,
            ephemeral: self.receipts(room_id, since)?,
            account_data: self.account_data(room_id, since)?,
            unread: receipts::unread(cx, request.user_id, room_id)?,
        };
        let quiet = room.timeline.events.is_empty()
            && !room.timeline.limited
            && room.state.is_empty()
            && room.ephemeral.is_empty()
            && room.account_data.is_empty();
        // Receipts of one's own are news even when they are of another kind than the filter lets pass: counts changed. Past what the
        // change index reaches back to, they may have (D7).
        let counted = self.scope.slow || self.scope.receipts.contains(room_id);
        Ok((whole || !quiet || counted).then_some(room))
    }

    /// A room the user has left, from its last moment with them in it.
    pub fn left(&self, room_id: &RoomId, left: Stamp, side: &mut Side) -> Result<LeftRoom, Stop> {
        let (cx, request) = (self.cx, self.request);
        let viewer = Viewer::new(cx, room_id, request.user_id)?;
        side.members_moved |= self.scope.since.is_some();
        let since = match self.scope.since {
            // Whoever never was in the room has no past in it: an invitation or a knock that ends is only that end.
            Some(token) if self.was_in(&viewer, token.known())? || !viewer.may_read(cx)? => Some(token.position),
            _ => None,
        };
        let window = self.window(&viewer, since, left)?;
        // Whoever never was in the room is told of their own part in it, and nothing else.
        let state = if viewer.may_read(cx)? {
            let state = StateRequest {
                room: &viewer.room,
                window: &window,
                since: since.filter(|_| !request.full_state),
                end: Some(left),
                after: request.state_after,
                filter: &request.filter.room.state,
                form: self.audience.form,
                members: &[],
            };
            state_events(cx, &state)?
        } else {
            Vec::new()
        };
        let timeline = self.timeline(&viewer, &window, false)?;
        Ok(LeftRoom { timeline, state, account_data: self.account_data(room_id, since)? })
    }

    /// Whether the user has come into the room since the last sync; when that can no longer be known, they have.
    fn is_newly_joined(&self, viewer: &Viewer, joined: Stamp) -> Result<bool, Stop> {
        match self.scope.since {
            Some(token) if self.scope.is_new(joined) => Ok(!self.was_in(viewer, token.known())?),
            _ => Ok(false),
        }
    }

    fn was_in(&self, viewer: &Viewer, at: Stamp) -> Result<bool, Stop> {
        Ok(viewer.membership_before(self.cx, at.next())? == MembershipState::Join)
    }

    fn window(&self, viewer: &Viewer, since: Option<Stamp>, end: Stamp) -> Result<Window, Stop> {
        let filter = &self.request.filter.room.timeline;
        let from = since.unwrap_or(Stamp::ZERO);
        let shut = filter.is_shut() || !filter.includes_room(&viewer.room.room_id);
        let limit = if shut { 0 } else { filter.timeline_limit() };
        if since.is_some() && !self.scope.has_events(&viewer.room.room_id) {
            // Nothing has been sent: the change index would name the room.
            let (rows, shown) = (Vec::new(), Vec::new());
            return Ok(Window { rows, shown, limited: false, start: from });
        }
        let mut window = Window::read(self.cx, viewer, (from, end), filter, limit, &self.audience)?;
        // Something was sent and may have expired unseen, also between what is kept for longer: there is a gap, and an end of the room
        // that is not its beginning.
        if self.scope.slow && since.is_some() && self.has_moved(viewer, from)? {
            window.limited = true;
            window.start = window.first();
        }
        Ok(window)
    }

    /// Whether anything at all was sent since `from`, expired or not.
    fn has_moved(&self, viewer: &Viewer, from: Stamp) -> Result<bool, Stop> {
        let newest = tables::EXTREMITIES.scan_back(self.cx.view, &(viewer.room.name,)).next().transpose()?;
        Ok(newest.is_some_and(|(_, row)| row.version >= from.seq))
    }

    fn timeline(&self, viewer: &Viewer, window: &Window, newly_joined: bool) -> Result<Timeline, Stop> {
        let events = window.render(self.cx, viewer, &self.audience)?;
        let prev_batch = Some(Token::at(window.first(), self.cx.now()));
        Ok(Timeline { events, limited: window.limited || newly_joined, prev_batch })
    }

    fn receipts(&self, room_id: &RoomId, since: Option<Stamp>) -> Result<Vec<Box<RawValue>>, Stop> {
        let filter = &self.request.filter.room.ephemeral;
        let new = since.is_none() || self.scope.everything() || self.scope.receipts.contains(room_id);
        if !new || filter.is_shut() || !filter.includes_type("m.receipt") || !filter.includes_room(room_id) {
            return Ok(Vec::new());
        }
        let since: Option<Seq> = since.map(|since| since.seq);
        Ok(receipts::receipt_events(self.cx, room_id, self.request.user_id, since)?)
    }

    fn account_data(&self, room_id: &RoomId, since: Option<Stamp>) -> Result<Vec<Box<RawValue>>, Stop> {
        let (cx, user_id) = (self.cx, self.request.user_id);
        let filter = &self.request.filter.room.account_data;
        let named = self.scope.room_account_data.get(room_id);
        let compare = since.is_none() || self.scope.everything();
        if filter.is_shut() || !filter.includes_room(room_id) || (!compare && named.is_none()) {
            return Ok(Vec::new());
        }
        let first = since.is_none();
        let since = since.map_or(Seq::ZERO, |since| since.seq);
        let mut events = Vec::new();
        for found in tables::ROOM_ACCOUNT_DATA.scan(cx.view, &(cx.user(user_id), cx.room(room_id))) {
            let row = found?.1;
            let data = row.value;
            let new = row.version >= since && (compare || named.is_some_and(|named| named.contains(&data.event_type)));
            let told = new && !(first && account::is_deleted(&data.content));
            if told && filter.includes_type(&data.event_type) {
                events.push(basic_event(&data.event_type, &data.content));
            }
        }
        if let Some((event_id, version)) = receipts::fully_read(cx, user_id, room_id)?
            && version >= since
            && filter.includes_type(receipts::FULLY_READ)
        {
            events.push(basic_event(receipts::FULLY_READ, &receipts::fully_read_content(&event_id)));
        }
        Ok(events)
    }

    /// Who is news to the reader: everybody in a room they have just come into, and whoever has come into one they are in.
    fn meet(&self, viewer: &Viewer, window: &Window, since: Option<Stamp>, side: &mut Side) -> Result<(), Stop> {
        let (cx, room_id) = (self.cx, &viewer.room.room_id);
        if self.scope.since.is_none() {
            return Ok(());
        }
        if since.is_none() || window.limited {
            side.met.extend(room::joined_members(cx, room_id)?.into_iter().map(|member| member.user_id));
            return Ok(());
        }
        for (stamp, row) in &window.rows {
            let Some(user_id) = member_of(&row.pdu) else { continue };
            let before = super::Token::at(*stamp, cx.now()).known();
            let joins = row.pdu.content_field::<MembershipState>("membership") == Some(MembershipState::Join);
            let earlier = stamped_state_at(cx, viewer.room.name, &StateEventType::RoomMember, user_id.as_str(), before)?;
            let was_in = earlier
                .and_then(|(_, pdu)| pdu.content_field::<MembershipState>("membership"))
                .is_some_and(|membership| membership == MembershipState::Join);
            if joins && !was_in {
                side.met.insert(user_id);
            }
        }
        Ok(())
    }
}

fn has_members(window: &Window) -> bool {
    window.rows.iter().any(|(_, row)| row.pdu.event_type == TimelineEventType::RoomMember)
}

fn member_of(pdu: &room::Pdu) -> Option<OwnedUserId> {
    if pdu.event_type != TimelineEventType::RoomMember {
        return None;
    }
    pdu.state_key.as_deref().and_then(|user_id| OwnedUserId::try_from(user_id).ok())
}
