//! One user reading one room: what they may see, and how it is written for them.

use std::collections::BTreeSet;

use journal::{ReadError, Stamp};
use ruma::{OwnedUserId, RoomId, events::StateEventType};
use serde_json::value::RawValue;

use super::aggregate::{self, Stored};
use crate::{
    Cx, Reject, Requester, Stop,
    room::{self, ClientEvent, Pdu, Viewer, ignored_users},
    sync::EventFilter,
    tables::{self, TimelineRow},
};

/// A user reading a room.
#[derive(Debug)]
pub struct Reading {
    /// Who sees what.
    pub viewer: Viewer,
    device: Option<journal::Name>,
    ignored: BTreeSet<OwnedUserId>,
}

impl Reading {
    /// Of a room that the requester may read.
    ///
    /// # Errors
    /// `M_FORBIDDEN` when they may not.
    pub fn new(cx: &Cx<'_>, requester: &Requester, room_id: &RoomId) -> Result<Self, Stop> {
        let viewer = Viewer::reader(cx, room_id, &requester.user_id)?;
        let device = requester.device_id.as_deref().map(|device_id| cx.device(device_id));
        Ok(Self { viewer, device, ignored: ignored_users(cx, &requester.user_id)? })
    }

    /// Whether the event is shown to the user, as far as the user's own choices and the room's history go.
    pub(super) fn shows(&self, cx: &Cx<'_>, stamp: Stamp, pdu: &Pdu) -> Result<bool, ReadError> {
        let ignored = pdu.state_key.is_none() && self.ignored.contains(&pdu.sender);
        Ok(!ignored && self.viewer.sees(cx, stamp, pdu)?)
    }

    /// Whether the filter lets the event pass, its room and relations included.
    pub(super) fn passes(&self, cx: &Cx<'_>, filter: &EventFilter, pdu: &Pdu) -> Result<bool, ReadError> {
        if !filter.includes_room(&self.viewer.room.room_id) || !filter.includes(pdu) {
            return Ok(false);
        }
        if filter.related_by_rel_types.is_none() && filter.related_by_senders.is_none() {
            return Ok(true);
        }
        for found in tables::RELATIONS.scan(cx.view, &(self.viewer.room.name, cx.event(&pdu.event_id))) {
            let child = found?.1.value;
            let kind = filter.related_by_rel_types.as_ref().is_none_or(|kinds| kinds.contains(&child.rel_type));
            let sender = filter.related_by_senders.as_ref().is_none_or(|senders| senders.contains(&child.sender));
            if kind && sender {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The event in full client form, with what relates to it.
    pub(super) fn render(&self, cx: &Cx<'_>, stamp: Stamp, row: &TimelineRow) -> Result<Box<RawValue>, ReadError> {
        let room_id = &*self.viewer.room.room_id;
        let reader = aggregate::Reader {
            user_id: &self.viewer.user_id,
            ignored: &self.ignored,
            room_id: Some(room_id),
            now: cx.now(),
        };
        let stored = Stored { cx, viewer: &self.viewer };
        let row = &*self.viewer.served(cx, stamp, row)?;
        let mut event = ClientEvent::of_row(row, cx.now()).in_room(room_id);
        let unsigned = event.unsigned();
        unsigned.membership = Some(self.viewer.membership_at(cx, stamp, &row.pdu)?);
        unsigned.relations = aggregate::bundle(&stored, &row.pdu, &reader)?;
        unsigned.transaction_id =
            row.transaction.as_ref().filter(|sent| Some(sent.device) == self.device).map(|sent| sent.txn_id.as_str());
        Ok(event.to_raw())
    }

    /// The event of that id in full client form.
    ///
    /// # Errors
    /// `M_NOT_FOUND` when there is none, any more, or the user may not see it: the same answer for all.
    pub(super) fn find(&self, cx: &Cx<'_>, event_id: &ruma::EventId) -> Result<(Stamp, TimelineRow), Stop> {
        let found = room::get_event(cx, &self.viewer.room.room_id, event_id)?;
        if let Some(event) = found
            && let Some(stamp) = event.stamp
            && self.shows(cx, stamp, &event.row.pdu)?
        {
            return Ok((stamp, event.row));
        }
        Err(Reject::not_found("there is no such event").into())
    }

    /// The member events of `user_ids` as they were at `at`.
    pub(super) fn members(
        &self,
        cx: &Cx<'_>,
        user_ids: &BTreeSet<OwnedUserId>,
        at: Stamp,
    ) -> Result<Vec<Box<RawValue>>, ReadError> {
        let room_id = &self.viewer.room.room_id;
        let mut members = Vec::new();
        for user_id in user_ids {
            if let Some(pdu) = room::state_at(cx, room_id, &StateEventType::RoomMember, user_id.as_str(), at)? {
                members.push(ClientEvent::new(&pdu).in_room(room_id).to_raw());
            }
        }
        Ok(members)
    }
}
