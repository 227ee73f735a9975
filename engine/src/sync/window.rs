//! The latest events of a room that a user may see.

use std::collections::BTreeSet;

use journal::{ReadError, Stamp};
use ruma::OwnedUserId;
use serde_json::value::RawValue;

use super::{EventFilter, event_form::EventForm};
use crate::{
    Cx,
    room::{ClientEvent, Viewer},
    tables::{self, TimelineRow},
    timeline::aggregate::{self, AtHand},
};

/// Events looked at for one window at most: a filter that lets nothing pass must not read a whole room.
const SCAN_MAX: usize = 1_000;

/// Who the events are rendered for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audience<'a> {
    /// The user's device in keys: its own transaction ids are echoed to it.
    pub device: Option<journal::Name>,
    /// Whom the user ignores.
    pub ignored: &'a BTreeSet<OwnedUserId>,
    /// How they are written.
    pub form: EventForm<'a>,
}

/// A piece of a timeline.
#[derive(Debug)]
pub(super) struct Window {
    /// All rows from the first one shown on, oldest first: also those that are not shown.
    pub rows: Vec<(Stamp, TimelineRow)>,
    /// Which of them are shown.
    pub shown: Vec<usize>,
    /// Whether earlier ones were left out.
    pub limited: bool,
    /// Where the window begins.
    pub start: Stamp,
}

impl Window {
    /// The last `limit` events at or after `from` and up to `end` that the viewer may see and the filter lets pass.
    pub fn read(
        cx: &Cx<'_>,
        viewer: &Viewer,
        (from, end): (Stamp, Stamp),
        filter: &EventFilter,
        limit: usize,
        audience: &Audience<'_>,
    ) -> Result<Self, ReadError> {
        let room = viewer.room.name;
        let mut window = Self { rows: Vec::new(), shown: Vec::new(), limited: false, start: end.next() };
        for found in tables::TIMELINE.scan_back_from(cx.view, &(room,), &(room, end)) {
            let ((_, stamp), row) = found?;
            if stamp < from {
                break;
            }
            if window.rows.len() >= SCAN_MAX {
                window.limited = true;
                break;
            }
            let passes = filter.includes(&row.value.pdu)
                && (row.value.pdu.state_key.is_some() || !audience.ignored.contains(&row.value.pdu.sender))
                && viewer.sees(cx, stamp, &row.value.pdu)?;
            if passes && window.shown.len() == limit {
                window.limited = true;
                break;
            }
            if passes {
                window.shown.push(window.rows.len());
            }
            window.rows.push((stamp, row.value));
        }
        window.finish(from);
        Ok(window)
    }

    /// Turns what was read backwards around.
    fn finish(&mut self, from: Stamp) {
        if self.limited {
            // Rows before the first one shown belong to the gap.
            let first = self.shown.last().map_or(0, |first| first + 1);
            self.rows.truncate(first);
        }
        let count = self.rows.len();
        self.rows.reverse();
        self.shown.reverse();
        for index in &mut self.shown {
            *index = count - 1 - *index;
        }
        self.start = match (self.limited, self.rows.first()) {
            (true, Some((stamp, _))) => *stamp,
            (true, None) => self.start,
            (false, _) => from.min(self.start),
        };
    }

    /// The rows that are shown.
    pub fn shown(&self) -> impl Iterator<Item = &(Stamp, TimelineRow)> {
        self.shown.iter().filter_map(|index| self.rows.get(*index))
    }

    /// Whether the event at `stamp` is shown.
    pub fn shows(&self, stamp: Stamp) -> bool {
        let found = self.rows.binary_search_by_key(&stamp, |(stamp, _)| *stamp);
        found.is_ok_and(|index| self.shown.binary_search(&index).is_ok())
    }

    /// Where earlier events are found: before the first one shown.
    pub fn first(&self) -> Stamp {
        self.shown().next().map_or(self.start, |(stamp, _)| *stamp)
    }

    /// The events shown, in the form of `/sync`.
    pub fn render(&self, cx: &Cx<'_>, viewer: &Viewer, audience: &Audience<'_>) -> Result<Vec<Box<RawValue>>, ReadError> {
        let at_hand = AtHand::new(cx, viewer, &self.rows);
        let reader = aggregate::Reader { user_id: &viewer.user_id, ignored: audience.ignored, room_id: None, now: cx.now() };
        let mut events = Vec::with_capacity(self.shown.len());
        for (stamp, row) in self.shown() {
            let row = &*viewer.served(cx, *stamp, row)?;
            let mut event = ClientEvent::of_row(row, cx.now());
            let unsigned = event.unsigned();
            unsigned.membership = Some(viewer.membership_at(cx, *stamp, &row.pdu)?);
            unsigned.relations = aggregate::bundle(&at_hand, &row.pdu, &reader)?;
            unsigned.transaction_id = transaction_id(row, audience.device);
            events.push(audience.form.write(event, &row.pdu));
        }
        Ok(events)
    }
}

/// The transaction id of an event, for the device that sent it.
pub(super) fn transaction_id(row: &TimelineRow, device: Option<journal::Name>) -> Option<&str> {
    row.transaction.as_ref().filter(|sent| Some(sent.device) == device).map(|sent| sent.txn_id.as_str())
}
