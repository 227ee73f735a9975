//! One room of an answer.

use journal::{ReadError, Stamp};
use ruma::{
    RoomId,
    events::{StateEventType, room::member::MembershipState},
};

use super::{
    Ask, Seen,
    answer::{self, Events, Facts, Hero},
    connection::Known,
    lists::{self, Rooms},
};
use crate::{
    Cx, Stop,
    receipts::{self, Counts},
    room::{self, ClientEvent, Pdu, Viewer, stripped},
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
    pub found: &'a Rooms,
}

impl<'a> Reader<'a> {
    /// What the client knows of a room; `None`: it is told of it from the start.
    pub fn known(&self, room_id: &RoomId, room: &lists::Room) -> Option<&'a Known> {
        self.ask.connection.rooms.get(room_id).filter(|known| known.goes_on(&room.membership))
    }

    /// The room, if the client does not know all of it.
    pub fn room(&self, room_id: &RoomId, seen: &Seen<'_>) -> Result<Option<answer::Room>, Stop> {
        if seen.known.is_some_and(|known| !self.may_have_news(room_id, seen, known)) {
            return Ok(None);
        }
        let room = match (&seen.room.farewell, &seen.room.membership) {
            (Some(farewell), _) => self.erased(room_id, seen, farewell),
            (None, MembershipState::Invite | MembershipState::Knock) => self.stripped(room_id, seen)?,
            (None, _) => self.whole(room_id, seen)?,
        };
        // An invitation that is given again says the same, and is news.
        let again = room.stripped_state.is_some() && seen.known.is_some_and(|known| seen.room.since >= known.position);
        Ok(Some(room).filter(|room| again || !room.is_empty()))
    }

    fn may_have_news(&self, room_id: &RoomId, seen: &Seen<'_>, known: &Known) -> bool {
        let config = &seen.wanted.config;
        let touched = if is_left(&seen.room.membership) {
            seen.room.since >= known.position
        } else {
            known.stale || self.scope.touches(room_id)
        };
        touched
            || config.timeline_limit > known.timeline_limit
            || !known.has_asked(config)
            || known.facts.is_dm != self.found.direct.contains(room_id)
    }

    fn answer(&self, seen: &Seen<'_>, facts: Facts) -> answer::Room {
        answer::Room {
            lists: seen.wanted.lists.clone(),
            facts,
            before: seen.known.map(|known| known.facts.clone()),
            stripped_state: None,
            events: Events::default(),
        }
    }

    /// Nothing is left of it but that the user left it.
    fn erased(&self, room_id: &RoomId, seen: &Seen<'_>, farewell: &Pdu) -> answer::Room {
        let before = seen.known.map(|known| known.facts.clone());
        let is_dm = self.found.direct.contains(room_id);
        let facts = Facts { membership: MembershipState::Leave, is_dm, ..before.unwrap_or_else(|| nothing(seen)) };
        let mut told = self.answer(seen, facts);
        if seen.known.is_none_or(|known| seen.room.since >= known.position) {
            told.events.timeline = vec![ClientEvent::new(farewell).to_raw()];
            told.events.shown.insert(farewell.event_id.clone());
            told.events.num_live = Some(1);
        }
        told
    }

    fn stripped(&self, room_id: &RoomId, seen: &Seen<'_>) -> Result<answer::Room, Stop> {
        let mut told = self.answer(seen, self.facts(room_id, seen, Stamp::MAX)?);
        told.stripped_state = Some(seen.room.stripped.clone());
        Ok(told)
    }

    fn whole(&self, room_id: &RoomId, seen: &Seen<'_>) -> Result<answer::Room, Stop> {
        let (cx, config) = (self.cx, &seen.wanted.config);
        let viewer = Viewer::new(cx, room_id, self.ask.user_id)?;
        let left = is_left(&viewer.membership);
        let end = if left { seen.room.since } else { Stamp::MAX };
        let position = seen.known.map(|known| known.position);
        let grown = seen.known.is_some_and(|known| config.timeline_limit > known.timeline_limit);
        let from = position.filter(|_| !grown).unwrap_or(Stamp::ZERO);
        let window = Window::read(cx, &viewer, (from, end), &EventFilter::default(), config.timeline_limit, &self.audience)?;
        let live = self.scope.since_stamp().map_or(0, |since| window.shown().filter(|(stamp, _)| *stamp >= since).count());
        let earlier = |(stamp, _): &(Stamp, tables::TimelineRow)| position.is_some_and(|position| *stamp < position);
        let mut told = self.answer(seen, self.facts(room_id, seen, end)?);
        told.events = Events {
            timeline: window.render(cx, &viewer, &self.audience)?,
            shown: window.shown().map(|(_, row)| row.pdu.event_id.clone()).collect(),
            limited: window.limited,
            expanded: grown && window.shown().any(earlier),
            num_live: Some(u64::try_from(live).unwrap_or(u64::MAX)),
            prev_batch: Some(Token::at(window.first(), cx.now()).encode()),
            ..Events::default()
        };
        self.require_state(&viewer, &window, seen, &mut told.events)?;
        if left && !viewer.has_been_in(cx)? {
            let own = room::state_event(cx, room_id, &StateEventType::RoomMember, self.ask.user_id.as_str())?;
            told.stripped_state = Some(own.iter().map(stripped).collect());
        }
        Ok(told)
    }

    /// What the room is, to somebody who sees it as it was at `end`: of a room that was left, no more than the client knows.
    fn facts(&self, room_id: &RoomId, seen: &Seen<'_>, end: Stamp) -> Result<Facts, Stop> {
        let cx = self.cx;
        let is_dm = self.found.direct.contains(room_id);
        let mut facts = Facts { is_dm, ..nothing(seen) };
        if is_left(&facts.membership) {
            if let Some(known) = seen.known {
                return Ok(Facts { membership: facts.membership, is_dm, bump: facts.bump, ..known.facts.clone() });
            }
            if !Viewer::new(cx, room_id, self.ask.user_id)?.may_read(cx)? {
                return Ok(facts);
            }
        }
        facts.name = self.text(room_id, &StateEventType::RoomName, "name", end)?;
        facts.avatar = self.text(room_id, &StateEventType::RoomAvatar, "url", end)?;
        if is_left(&facts.membership) {
            return Ok(facts);
        }
        let summary = summary(cx, &room::get_room(cx, room_id)?, self.ask.user_id)?;
        (facts.joined, facts.invited) = (Some(summary.joined), Some(summary.invited));
        for user_id in summary.heroes.into_iter().flatten() {
            let row = tables::MEMBERS.get(cx.view, &(cx.room(room_id), cx.user(&user_id)))?;
            let (displayname, avatar_url) =
                row.map(|row| (row.value.display_name, row.value.avatar_url)).unwrap_or_default();
            facts.heroes.get_or_insert_default().push(Hero { avatar_url, displayname, user_id });
        }
        if self.ask.request.counts && facts.membership == MembershipState::Join {
            facts.unread = receipts::unread(cx, self.ask.user_id, room_id)?.total();
        }
        Ok(facts)
    }

    /// A text that a state event held at `end`; an empty one is none.
    fn text(
        &self,
        room_id: &RoomId,
        event_type: &StateEventType,
        field: &str,
        end: Stamp,
    ) -> Result<Option<String>, ReadError> {
        let found = stamped_state_at(self.cx, self.cx.room(room_id), event_type, "", end)?;
        Ok(found.and_then(|(_, pdu)| pdu.content_field::<String>(field)).filter(|text| !text.is_empty()))
    }
}

/// A room of which nothing is known but that the user has to do with it.
fn nothing(seen: &Seen<'_>) -> Facts {
    Facts {
        membership: seen.room.membership.clone(),
        name: None,
        avatar: None,
        heroes: None,
        is_dm: false,
        bump: seen.room.activity.bump.seq.as_u64(),
        joined: None,
        invited: None,
        unread: Counts::default(),
    }
}
