//! The state of a room in an answer.

use std::collections::{BTreeMap, BTreeSet};

use journal::{ReadError, Stamp};
use ruma::events::{StateEventType, TimelineEventType};

use super::{Seen, answer::Events, room::Reader};
use crate::{
    Stop,
    room::{self, ClientEvent, Pdu, Viewer},
    sync::{state::stamped_state_at, window::Window},
};

/// Pieces of state that are looked up one by one; past it, one way through the room's state is shorter.
const NAMED_MAX: usize = 16;

/// Members of one room who are remembered as told of, 16 bytes each; past it, the client is told of them again.
const MEMBERS_MAX: usize = 200;

impl Reader<'_> {
    /// State that is wanted and new: what changed since the client was told, all of what it has not asked for before, and
    /// members as the timeline shows them.
    ///
    /// A current state event is only ever replaced by another, even by an empty one: with one homeserver there is nothing that
    /// state resolution could take back. So there is always an event to tell of, and never a deletion.
    pub(super) fn require_state(
        &self,
        viewer: &Viewer,
        window: &Window,
        seen: &Seen<'_>,
        events: &mut Events,
    ) -> Result<(), Stop> {
        let (cx, config, known) = (self.cx, &seen.wanted.config, seen.known);
        let at = Some(viewer.end()).filter(|end| *end != Stamp::MAX);
        if at.is_some() && !viewer.may_read(cx)? {
            return Ok(());
        }
        let mut state: BTreeMap<Stamp, Pdu> = BTreeMap::new();
        // Without a gap all that changed is in the timeline.
        let quiet = known.is_some_and(|known| known.has_asked(config)) && !self.scope.everything() && !window.limited;
        if !quiet || window.rows.iter().any(|(_, row)| row.pdu.state_key.is_some()) {
            for (stamp, pdu) in self.candidates(viewer, seen, at)? {
                let (event_type, key) = (room::type_name(&pdu.event_type), pdu.state_key.as_deref().unwrap_or_default());
                let told = known.and_then(|known| known.told_of(&event_type, key));
                if config.includes(&event_type, key) && told.is_none_or(|told| stamp >= told) {
                    state.insert(stamp, pdu);
                }
            }
        }
        // Across a gap clients forget whom they know.
        let kept = known.filter(|_| !window.limited);
        events.members = kept.map(|known| known.members.clone()).unwrap_or_default();
        if config.is_lazy() {
            let mut wanted = self.seen_members(window, seen, &events.members);
            for pdu in state.values().filter(|pdu| pdu.event_type == TimelineEventType::RoomMember) {
                wanted.remove(pdu.state_key.as_deref().unwrap_or_default());
            }
            let end = at.unwrap_or(Stamp::MAX);
            for user_id in wanted {
                state.extend(stamped_state_at(cx, viewer.room.name, &StateEventType::RoomMember, user_id, end)?);
            }
        }
        events.members.extend(state.values().filter_map(target).map(|user_id| cx.name(user_id)));
        if events.members.len() > MEMBERS_MAX {
            events.members.clear();
        }
        events.required_state = state.values().map(|pdu| ClientEvent::new(pdu).to_raw()).collect();
        Ok(())
    }

    /// The room's state as it was at `at`: of what is wanted all, of the rest perhaps.
    fn candidates(&self, viewer: &Viewer, seen: &Seen<'_>, at: Option<Stamp>) -> Result<Vec<(Stamp, Pdu)>, ReadError> {
        let Some(named) = seen.wanted.config.named().filter(|named| named.len() <= NAMED_MAX) else {
            return room::whole_state(self.cx, &viewer.room.room_id, at);
        };
        let end = at.unwrap_or(Stamp::MAX);
        let found = named.into_iter().map(|(event_type, state_key)| {
            stamped_state_at(self.cx, viewer.room.name, &StateEventType::from(event_type), state_key, end)
        });
        found.filter_map(Result::transpose).collect()
    }

    /// Whose member events belong to the timeline
    /// ([MSC4186 § Lazy loaded memberships](https://github.com/matrix-org/matrix-spec-proposals/pull/4186)):
    /// senders and those whom member events are about, as far as the client does not know them; and, without a gap, everybody
    /// whose membership has changed.
    fn seen_members<'w>(&self, window: &'w Window, seen: &Seen<'_>, known: &BTreeSet<journal::Name>) -> BTreeSet<&'w str> {
        let shown = window.shown().flat_map(|(_, row)| target(&row.pdu).into_iter().chain([row.pdu.sender.as_str()]));
        let mut members: BTreeSet<&str> = shown.filter(|user_id| !known.contains(&self.cx.name(user_id))).collect();
        if let Some(position) = seen.known.map(|known| known.position)
            && !window.limited
        {
            let news = window.rows.iter().filter(|(stamp, _)| *stamp >= position);
            members.extend(news.filter_map(|(_, row)| target(&row.pdu)));
        }
        members
    }
}

/// Whom a member event is about.
fn target(pdu: &Pdu) -> Option<&str> {
    pdu.state_key.as_deref().filter(|_| pdu.event_type == TimelineEventType::RoomMember)
}
