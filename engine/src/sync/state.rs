//! The state of a room, as far as the timeline sent beside it does not tell of it.

use std::collections::BTreeMap;

use journal::{Name, ReadError, Stamp};
use ruma::{
    OwnedUserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;

use super::{EventFilter, event_form::EventForm, window::Window};
use crate::{
    Cx,
    room::{self, ClientEvent, Pdu, Room},
    tables,
};

/// What state is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct StateRequest<'a> {
    /// The room.
    pub room: &'a Room,
    /// The timeline beside it.
    pub window: &'a Window,
    /// State set before this is known.
    pub since: Option<Stamp>,
    /// The moment the timeline ends at; `None`: now.
    pub end: Option<Stamp>,
    /// State up to the end of the timeline, not to its start.
    pub after: bool,
    /// What is left out.
    pub filter: &'a EventFilter,
    /// How they are written.
    pub form: EventForm<'a>,
    /// Members that are sent whoever is seen in the timeline, if members are loaded lazily.
    pub members: &'a [OwnedUserId],
}

/// The state events.
pub(super) fn state_events(cx: &Cx<'_>, request: &StateRequest<'_>) -> Result<Vec<Box<RawValue>>, ReadError> {
    if request.filter.is_shut() || !request.filter.includes_room(&request.room.room_id) {
        return Ok(Vec::new());
    }
    let mut state = if request.needs_all() { request.changed(cx)? } else { request.of_window(cx)? };
    if request.filter.lazy_load_members {
        request.load_lazily(cx, &mut state)?;
    }
    let passing = state.into_values().filter(|pdu| request.filter.includes(pdu));
    Ok(passing.map(|pdu| request.form.write(ClientEvent::new(&pdu), &pdu)).collect())
}

impl StateRequest<'_> {
    /// Whether state may have changed that the rows of the window don't show.
    fn needs_all(&self) -> bool {
        self.since.is_none() || self.window.limited
    }

    /// All state that changed, by the stamps of its events.
    fn changed(&self, cx: &Cx<'_>) -> Result<BTreeMap<Stamp, Pdu>, ReadError> {
        let since = self.since.unwrap_or(Stamp::ZERO);
        let mut state = BTreeMap::new();
        for (stamp, pdu) in room::whole_state(cx, &self.room.room_id, self.end)? {
            if stamp >= since {
                self.add(cx, &mut state, stamp, pdu)?;
            }
        }
        Ok(state)
    }

    /// The state events of the window that it does not show, or all of them if state is asked for up to its end.
    fn of_window(&self, cx: &Cx<'_>) -> Result<BTreeMap<Stamp, Pdu>, ReadError> {
        let mut state = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for (stamp, row) in self.window.rows.iter().rev() {
            let Some(state_key) = &row.pdu.state_key else { continue };
            if seen.insert((row.pdu.event_type.to_string(), state_key)) {
                self.add(cx, &mut state, *stamp, row.pdu.clone())?;
            }
        }
        Ok(state)
    }

    /// Adds a state event, or what was in its place when the window began if the window shows it.
    fn add(&self, cx: &Cx<'_>, state: &mut BTreeMap<Stamp, Pdu>, stamp: Stamp, pdu: Pdu) -> Result<(), ReadError> {
        if self.after || !self.window.shows(stamp) {
            state.insert(stamp, pdu);
            return Ok(());
        }
        let Some(state_key) = &pdu.state_key else { return Ok(()) };
        let event_type = StateEventType::from(pdu.event_type.to_string());
        let before = super::Token::at(self.window.first(), cx.now()).known();
        if let Some((earlier, pdu)) = stamped_state_at(cx, self.room.name, &event_type, state_key, before)?
            && self.since.is_none_or(|since| earlier >= since)
        {
            state.insert(earlier, pdu);
        }
        Ok(())
    }

    /// Leaves only the members who are seen in the timeline, and adds those among them who are missing.
    fn load_lazily(&self, cx: &Cx<'_>, state: &mut BTreeMap<Stamp, Pdu>) -> Result<(), ReadError> {
        let mut wanted: std::collections::BTreeSet<&str> = self.members.iter().map(|user_id| user_id.as_str()).collect();
        wanted.extend(self.window.shown().map(|(_, row)| row.pdu.sender.as_str()));
        // In what has changed, who came and who left is news whoever is seen.
        if self.since.is_none() {
            state.retain(|_, pdu| {
                pdu.event_type != TimelineEventType::RoomMember
                    || pdu.state_key.as_deref().is_some_and(|user_id| wanted.contains(user_id))
            });
        }
        for (_, row) in self.window.shown() {
            if row.pdu.event_type == TimelineEventType::RoomMember && !self.after {
                wanted.remove(row.pdu.state_key.as_deref().unwrap_or_default());
            }
        }
        for pdu in state.values().filter(|pdu| pdu.event_type == TimelineEventType::RoomMember) {
            wanted.remove(pdu.state_key.as_deref().unwrap_or_default());
        }
        let at = self.end.unwrap_or(Stamp::MAX);
        for user_id in wanted {
            let member = stamped_state_at(cx, self.room.name, &StateEventType::RoomMember, user_id, at)?;
            state.extend(member);
        }
        Ok(())
    }
}

/// The state event at a key as it was once everything up to and with `at` had happened, and since when.
pub(super) fn stamped_state_at(
    cx: &Cx<'_>,
    room: Name,
    event_type: &StateEventType,
    state_key: &str,
    at: Stamp,
) -> Result<Option<(Stamp, Pdu)>, ReadError> {
    let key = (room, cx.name(&event_type.to_string()), cx.name(state_key));
    let Some(current) = tables::STATE.get(cx.view, &key)? else { return Ok(None) };
    let stamp = current.value.stamp(current.version);
    if stamp <= at {
        return Ok(Some((stamp, current.value.pdu)));
    }
    let mut earlier = tables::STATE_HISTORY.scan_back_from(cx.view, &key, &(key.0, key.1, key.2, at));
    earlier.next().map(|found| found.map(|((_, _, _, stamp), row)| (stamp, row.value))).transpose()
}
