//! `GET /rooms/{roomId}/relations/{eventId}` and its narrower forms
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventid)).

use std::collections::{BTreeMap, BTreeSet};

use journal::{Name, Stamp};
use ruma::{EventId, RoomId};
use serde_json::value::RawValue;

use super::{Direction, Reading};
use crate::{
    Cx, Requester, Stop,
    sync::Token,
    tables::{self, RelationRow},
};

/// How deep a recursive request goes, as the specification suggests.
const DEPTH_MAX: u64 = 3;
/// Relations gathered for one request at most.
const RELATIONS_MAX: usize = 5_000;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct RelationsRequest<'a> {
    /// By whom.
    pub requester: &'a Requester,
    /// Of which room.
    pub room_id: &'a RoomId,
    /// What relates to this event.
    pub event_id: &'a EventId,
    /// Only of this kind.
    pub rel_type: Option<&'a str>,
    /// Only of this type.
    pub event_type: Option<&'a str>,
    /// From where.
    pub from: Option<Token>,
    /// Up to where at most.
    pub to: Option<Token>,
    /// Which way.
    pub direction: Direction,
    /// How many at most.
    pub limit: usize,
    /// Also what relates to what relates to it.
    pub recurse: bool,
}

/// A page of relations.
#[derive(Debug)]
pub struct RelationsPage {
    /// In the order asked for.
    pub events: Vec<Box<RawValue>>,
    /// Where the next page begins; `None` when there is none.
    pub next_batch: Option<Token>,
    /// How deep a recursive request went.
    pub recursion_depth: Option<u64>,
}

/// What relates to an event.
///
/// # Errors
/// `M_FORBIDDEN` when the requester may not read the room, `M_NOT_FOUND` when the event is not there (any more).
pub fn relations(cx: &Cx<'_>, request: &RelationsRequest<'_>) -> Result<RelationsPage, Stop> {
    let reading = Reading::new(cx, request.requester, request.room_id)?;
    reading.find(cx, request.event_id)?;
    let (children, depth) = descendants(cx, &reading, request)?;
    let wanted = |(stamp, child): &(&Stamp, &RelationRow)| {
        request.rel_type.is_none_or(|kind| child.rel_type == kind)
            && request.event_type.is_none_or(|event_type| child.event_type == event_type)
            && request.is_between(**stamp)
    };
    let wanted = children.iter().filter(wanted).map(|(stamp, _)| *stamp);
    let ordered: Vec<Stamp> = match request.direction {
        Direction::Forward => wanted.collect(),
        Direction::Backward => wanted.rev().collect(),
    };
    let mut page = RelationsPage { events: Vec::new(), next_batch: None, recursion_depth: request.recurse.then_some(depth) };
    let mut last = None;
    for stamp in ordered {
        if page.events.len() == request.limit {
            page.next_batch = last.map(|position| Token::at(position, cx.now()));
            break;
        }
        last = Some(if request.direction == Direction::Backward { stamp } else { stamp.next() });
        let Some(row) = tables::TIMELINE.get(cx.view, &(reading.viewer.room.name, stamp))? else { continue };
        if reading.shows(cx, stamp, &row.value.pdu)? {
            page.events.push(reading.render(cx, stamp, &row.value)?);
        }
    }
    Ok(page)
}

impl RelationsRequest<'_> {
    fn is_between(&self, stamp: Stamp) -> bool {
        let (from, to) = (self.from.map(|token| token.position), self.to.map(|token| token.position));
        match self.direction {
            Direction::Backward => from.is_none_or(|from| stamp < from) && to.is_none_or(|to| stamp >= to),
            Direction::Forward => from.is_none_or(|from| stamp >= from) && to.is_none_or(|to| stamp < to),
        }
    }
}

/// Everything that relates to the event, directly or (if asked) through others, and how deep that went.
fn descendants(
    cx: &Cx<'_>,
    reading: &Reading,
    request: &RelationsRequest<'_>,
) -> Result<(BTreeMap<Stamp, RelationRow>, u64), Stop> {
    let (mut children, mut depth) = (BTreeMap::new(), 0);
    let mut parents: BTreeSet<Name> = BTreeSet::from([cx.event(request.event_id)]);
    let depth_max = if request.recurse { DEPTH_MAX } else { 1 };
    while depth < depth_max && !parents.is_empty() {
        depth += 1;
        let mut next = BTreeSet::new();
        for parent in parents {
            for found in tables::RELATIONS.scan(cx.view, &(reading.viewer.room.name, parent)) {
                let ((_, _, stamp), row) = found?;
                if children.len() < RELATIONS_MAX && !children.contains_key(&stamp) {
                    next.insert(cx.event(&row.value.event_id));
                    children.insert(stamp, row.value);
                }
            }
        }
        parents = next;
    }
    Ok((children, depth))
}
