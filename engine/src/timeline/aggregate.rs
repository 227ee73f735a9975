//! Bundled aggregations: what relates to an event, in its `unsigned`
//! ([spec v1.19, Client-Server API § Aggregations of child events](https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events)).

use std::collections::BTreeSet;

use journal::{ReadError, Stamp};
use ruma::{OwnedEventId, OwnedUserId, RoomId, UserId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Cx,
    room::{ClientEvent, Pdu, Relation, Viewer, relation_of},
    tables::{self, TimelineRow},
};

/// Something that relates to an event, without its content.
#[derive(Clone, Debug)]
pub struct Child {
    /// Where it stands.
    pub stamp: Stamp,
    /// Its id.
    pub event_id: OwnedEventId,
    /// How it relates.
    pub rel_type: String,
    /// Its type.
    pub event_type: String,
    /// Who sent it.
    pub sender: OwnedUserId,
}

/// Where children are read from: the store, or rows at hand.
pub trait Children {
    /// What relates to the event, oldest first.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    fn of(&self, parent: &Pdu) -> Result<Vec<Child>, ReadError>;
    /// The row of a child as it is served to the reader, for as long as it lives.
    ///
    /// # Errors
    /// As [`Children::of`].
    fn load(&self, child: &Child) -> Result<Option<TimelineRow>, ReadError>;
}

/// Children in the store.
#[derive(Debug)]
pub struct Stored<'a> {
    /// What is read from.
    pub cx: &'a Cx<'a>,
    /// Who reads which room.
    pub viewer: &'a Viewer,
}

impl Children for Stored<'_> {
    fn of(&self, parent: &Pdu) -> Result<Vec<Child>, ReadError> {
        let rows = tables::RELATIONS.scan(self.cx.view, &(self.viewer.room.name, self.cx.event(&parent.event_id)));
        rows.map(|found| {
            found.map(|((_, _, stamp), row)| Child {
                stamp,
                event_id: row.value.event_id,
                rel_type: row.value.rel_type,
                event_type: row.value.event_type,
                sender: row.value.sender,
            })
        })
        .collect()
    }

    fn load(&self, child: &Child) -> Result<Option<TimelineRow>, ReadError> {
        let row = tables::TIMELINE.get(self.cx.view, &(self.viewer.room.name, child.stamp))?;
        row.map(|row| Ok(self.viewer.served(self.cx, child.stamp, &row.value)?.into_owned())).transpose()
    }
}

/// Children among rows at hand. Enough for the end of a timeline: what relates to an event comes after it.
#[derive(Debug)]
pub struct AtHand<'a> {
    cx: &'a Cx<'a>,
    viewer: &'a Viewer,
    rows: &'a [(Stamp, TimelineRow)],
    related: Vec<(usize, Relation)>,
}

impl<'a> AtHand<'a> {
    /// Rows up to the very end of a timeline, oldest first.
    #[must_use]
    pub fn new(cx: &'a Cx<'a>, viewer: &'a Viewer, rows: &'a [(Stamp, TimelineRow)]) -> Self {
        let relation = |(index, (_, row)): (usize, &(Stamp, TimelineRow))| Some((index, relation_of(&row.pdu)?));
        Self { cx, viewer, rows, related: rows.iter().enumerate().filter_map(relation).collect() }
    }
}

impl Children for AtHand<'_> {
    fn of(&self, parent: &Pdu) -> Result<Vec<Child>, ReadError> {
        let related = self.related.iter().filter(|(_, relation)| relation.event_id == parent.event_id);
        Ok(related
            .filter_map(|(index, relation)| {
                let (stamp, row) = self.rows.get(*index)?;
                Some(Child {
                    stamp: *stamp,
                    event_id: row.pdu.event_id.clone(),
                    rel_type: relation.rel_type.clone(),
                    event_type: row.pdu.event_type.to_string(),
                    sender: row.pdu.sender.clone(),
                })
            })
            .collect())
    }

    fn load(&self, child: &Child) -> Result<Option<TimelineRow>, ReadError> {
        let found = self.rows.binary_search_by_key(&child.stamp, |(stamp, _)| *stamp);
        let row = found.ok().and_then(|index| self.rows.get(index));
        row.map(|(stamp, row)| Ok(self.viewer.served(self.cx, *stamp, row)?.into_owned())).transpose()
    }
}

/// `m.relations`
#[derive(Debug, Default, Serialize)]
struct Relations {
    #[serde(rename = "m.reference", skip_serializing_if = "Option::is_none")]
    reference: Option<References>,
    #[serde(rename = "m.replace", skip_serializing_if = "Option::is_none")]
    replace: Option<Box<RawValue>>,
    #[serde(rename = "m.thread", skip_serializing_if = "Option::is_none")]
    thread: Option<Thread>,
}

#[derive(Debug, Serialize)]
struct References {
    chunk: Vec<Reference>,
}

#[derive(Debug, Serialize)]
struct Reference {
    event_id: OwnedEventId,
}

#[derive(Debug, Serialize)]
struct Thread {
    count: usize,
    current_user_participated: bool,
    latest_event: Box<RawValue>,
}

/// Who the aggregation is for.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The user.
    pub user_id: &'a UserId,
    /// Whom the user ignores: what they sent does not count.
    pub ignored: &'a BTreeSet<OwnedUserId>,
    /// The `room_id` that bundled events carry; `None` for `/sync`.
    pub room_id: Option<&'a RoomId>,
    /// When.
    pub now: journal::Timestamp,
}

/// What relates to `parent`, for its `unsigned`; `None` if nothing that is bundled does.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn bundle(source: &impl Children, parent: &Pdu, reader: &Reader<'_>) -> Result<Option<Box<RawValue>>, ReadError> {
    if parent.state_key.is_some() {
        return Ok(None);
    }
    let mut children = source.of(parent)?;
    children.retain(|child| !reader.ignored.contains(&child.sender));
    if children.is_empty() {
        return Ok(None);
    }
    let relations = Relations {
        reference: references(&children),
        replace: latest_edit(source, parent, &children, reader)?,
        thread: thread(source, parent, &children, reader)?,
    };
    let any = relations.reference.is_some() || relations.replace.is_some() || relations.thread.is_some();
    Ok(any.then(|| crate::room::raw(&relations)))
}

fn references(children: &[Child]) -> Option<References> {
    let chunk: Vec<_> = children
        .iter()
        .filter(|child| child.rel_type == "m.reference")
        .map(|child| Reference { event_id: child.event_id.clone() })
        .collect();
    (!chunk.is_empty()).then_some(References { chunk })
}

/// The valid replacement that came last
/// ([spec v1.19, § Validity of replacement events](https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events)).
fn latest_edit(
    source: &impl Children,
    parent: &Pdu,
    children: &[Child],
    reader: &Reader<'_>,
) -> Result<Option<Box<RawValue>>, ReadError> {
    let event_type = parent.event_type.to_string();
    if relation_of(parent).is_some_and(|relation| relation.rel_type == "m.replace") {
        return Ok(None);
    }
    let edits = children
        .iter()
        .rev()
        .filter(|child| child.rel_type == "m.replace" && child.sender == parent.sender && child.event_type == event_type);
    for edit in edits {
        let Some(row) = source.load(edit)? else { continue };
        let encrypted = event_type == "m.room.encrypted";
        if row.pdu.state_key.is_none() && (encrypted || row.pdu.content.get().contains("m.new_content")) {
            return Ok(Some(event(&row, reader).to_raw()));
        }
    }
    Ok(None)
}

fn thread(
    source: &impl Children,
    parent: &Pdu,
    children: &[Child],
    reader: &Reader<'_>,
) -> Result<Option<Thread>, ReadError> {
    let replies: Vec<_> = children.iter().filter(|child| child.rel_type == "m.thread").collect();
    let Some(last) = replies.last() else { return Ok(None) };
    let Some(row) = source.load(last)? else { return Ok(None) };
    let mut latest = event(&row, reader);
    let edits = source.of(&row.pdu)?;
    if let Some(edit) = latest_edit(source, &row.pdu, &edits, reader)? {
        latest.unsigned().relations = Some(crate::room::raw(&Relations { replace: Some(edit), ..Relations::default() }));
    }
    let participated = parent.sender == reader.user_id || replies.iter().any(|reply| reply.sender == reader.user_id);
    Ok(Some(Thread { count: replies.len(), current_user_participated: participated, latest_event: latest.to_raw() }))
}

fn event<'a>(row: &'a TimelineRow, reader: &Reader<'a>) -> ClientEvent<'a> {
    let event = ClientEvent::of_row(row, reader.now);
    match reader.room_id {
        Some(room_id) => event.in_room(room_id),
        None => event,
    }
}
