//! One room of an answer.

use std::collections::BTreeSet;

use journal::Stamp;
use ruma::{
    OwnedRoomId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use super::{Ask, connection::Known, lists::Rooms, request::Config, write};
use crate::{
    Cx, Stop, receipts,
    room::{self, ClientEvent, Pdu, Viewer},
    sync::{
        EventFilter, Token,
        scope::{Scope, is_left},
        state::stamped_state_at,
        summary::summary,
        window::{Audience, Window},
    },
    tables,
};

/// What one answer reads its rooms with.
pub(super) struct Reader<'a> {
    pub cx: &'a Cx<'a>,
    pub ask: &'a Ask<'a>,
    pub scope: &'a Scope,
    pub audience: Audience<'a>,
}

impl Reader<'_> {
    /// The room, if the client does not know all of it.
    pub fn room(&self, found: &Rooms, room_id: &OwnedRoomId, config: &Config) -> Result<Option<write::Room>, Stop> {
        let Some(room) = found.by_id.get(room_id) else { return Ok(None) };
        // A room that was left and entered again is told of from the start.
        let entered =
            self.scope.since_stamp().is_some_and(|since| room.since >= since && room.membership == MembershipState::Join)
                && self.was_out(room_id)?;
        let known = self.ask.connection.rooms.get(room_id).filter(|_| !entered);
        let grown = known.is_some_and(|known| config.timeline_limit > known.config.timeline_limit);
        let required: Config = match known {
            Some(known) => Config {
                required: config.required.difference(&known.config.required).cloned().collect(),
                timeline_limit: config.timeline_limit,
            },
            None => config.clone(),
        };
        let news =
            known.is_none_or(|known| known.stale) || self.scope.touches(room_id) || grown || !required.required.is_empty();
        if !news {
            return Ok(None);
        }
        let mut told = match room.membership {
            MembershipState::Invite | MembershipState::Knock => self.stripped(room_id, room.stripped.clone())?,
            _ => self.whole(room_id, room.since, config, known, &required, grown)?,
        };
        told.initial = known.is_none();
        told.is_dm = found.direct.contains(room_id);
        told.bump_stamp = room.bump.seq.as_u64();
        Ok(Some(told))
    }

    fn was_out(&self, room_id: &OwnedRoomId) -> Result<bool, Stop> {
        let Some(since) = self.scope.since_stamp() else { return Ok(true) };
        let viewer = Viewer::new(self.cx, room_id, self.ask.user_id)?;
        Ok(viewer.membership_before(self.cx, since)? != MembershipState::Join)
    }

    fn stripped(&self, room_id: &OwnedRoomId, events: Vec<Box<RawValue>>) -> Result<write::Room, Stop> {
        let mut told = write::Room { invite_state: Some(events), ..write::Room::default() };
        self.name(room_id, &mut told)?;
        Ok(told)
    }

    fn whole(
        &self,
        room_id: &OwnedRoomId,
        since: Stamp,
        config: &Config,
        known: Option<&Known>,
        added: &Config,
        grown: bool,
    ) -> Result<write::Room, Stop> {
        let cx = self.cx;
        let viewer = Viewer::new(cx, room_id, self.ask.user_id)?;
        let end = if is_left(&viewer.membership) { since } else { Stamp::MAX };
        let position = known.map(|known| known.position);
        let from = position.filter(|_| !grown).unwrap_or(Stamp::ZERO);
        let window = Window::read(cx, &viewer, (from, end), &EventFilter::default(), config.timeline_limit, &self.audience)?;
        let live = self.scope.since_stamp().map_or(0, |since| window.shown().filter(|(stamp, _)| *stamp >= since).count());
        let unread = receipts::unread(cx, self.ask.user_id, room_id)?.total();
        let mut told = write::Room {
            timeline: window.render(cx, &viewer, &self.audience)?,
            limited: window.limited,
            expanded_timeline: grown,
            num_live: Some(u64::try_from(live).unwrap_or(u64::MAX)),
            prev_batch: Some(Token::at(window.first(), cx.now()).encode()),
            required_state: self.required_state(&viewer, &window, config, added, position)?,
            notification_count: unread.notification_count,
            highlight_count: unread.highlight_count,
            ..write::Room::default()
        };
        if viewer.membership == MembershipState::Join {
            self.name(room_id, &mut told)?;
        }
        Ok(told)
    }

    /// State that is wanted and new: what changed since the client was told, and all of what it has not asked for before.
    fn required_state(
        &self,
        viewer: &Viewer,
        window: &Window,
        config: &Config,
        added: &Config,
        position: Option<Stamp>,
    ) -> Result<Vec<Box<RawValue>>, Stop> {
        let (cx, me) = (self.cx, self.ask.user_id);
        let at = Some(viewer.end()).filter(|end| *end != Stamp::MAX);
        if at.is_some() && !viewer.may_read(cx)? {
            return Ok(Vec::new());
        }
        let mut state: Vec<(Stamp, Pdu)> = Vec::new();
        let quiet = position.is_some() && !self.scope.everything() && added.required.is_empty() && !window.limited;
        // Without a gap all that changed is in the timeline.
        if !quiet || window.rows.iter().any(|(_, row)| row.pdu.state_key.is_some()) {
            for (stamp, pdu) in room::whole_state(cx, &viewer.room.room_id, at)? {
                let (event_type, key) = (room::type_name(&pdu.event_type), pdu.state_key.as_deref().unwrap_or_default());
                let changed = position.is_none_or(|position| stamp >= position) && config.requires(me, &event_type, key);
                if changed || added.requires(me, &event_type, key) {
                    state.push((stamp, pdu));
                }
            }
        }
        if config.is_lazy() {
            let mut seen: BTreeSet<String> = window.shown().map(|(_, row)| row.pdu.sender.to_string()).collect();
            for (_, pdu) in &state {
                if pdu.event_type == ruma::events::TimelineEventType::RoomMember {
                    seen.remove(pdu.state_key.as_deref().unwrap_or_default());
                }
            }
            let end = at.unwrap_or(Stamp::MAX);
            for user_id in seen {
                state.extend(stamped_state_at(cx, viewer.room.name, &StateEventType::RoomMember, &user_id, end)?);
            }
        }
        state.sort_unstable_by_key(|(stamp, _)| *stamp);
        Ok(state.iter().map(|(_, pdu)| ClientEvent::new(pdu).to_raw()).collect())
    }

    fn name(&self, room_id: &OwnedRoomId, told: &mut write::Room) -> Result<(), Stop> {
        let cx = self.cx;
        let state = |event_type: StateEventType| room::state_event(cx, room_id, &event_type, "");
        let text = |pdu: Option<Pdu>, field: &str| {
            pdu.and_then(|pdu| pdu.content_field::<String>(field)).filter(|text| !text.is_empty())
        };
        told.name = text(state(StateEventType::RoomName)?, "name");
        told.avatar = text(state(StateEventType::RoomAvatar)?, "url");
        let summary = summary(cx, &room::get_room(cx, room_id)?, self.ask.user_id)?;
        (told.joined_count, told.invited_count) = (Some(summary.joined), Some(summary.invited));
        for user_id in summary.heroes.into_iter().flatten() {
            let row = tables::MEMBERS.get(cx.view, &(cx.room(room_id), cx.user(&user_id)))?;
            let (displayname, avatar_url) =
                row.map(|row| (row.value.display_name, row.value.avatar_url)).unwrap_or_default();
            told.heroes.get_or_insert_default().push(write::Hero { user_id, displayname, avatar_url });
        }
        Ok(())
    }
}
