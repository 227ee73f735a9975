//! `POST /search`: finding what was said by its words
//! ([spec v1.19, Client-Server API § Server Side Search](https://spec.matrix.org/v1.19/client-server-api/#server-side-search)).
//!
//! An event is found when all words of the term are in it; accents and capitals don't count. What one request looks at is
//! bounded: rooms, rows of words and events, see the constants. The newest of each room come first, so that what is cut off is old.

mod form;
mod index;
mod place;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use journal::{ReadError, Stamp};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
    events::{StateEventType, room::member::MembershipState},
};

use super::{
    Direction, Reading,
    context::{Around, side},
    room_state,
};
use crate::{
    Cx, Requester, Stop, room,
    sync::{EventFilter, Token},
    tables::{self, SearchWordRow, TimelineRow},
    words::words,
};
use form::{ContextCriteria, GroupBy, GroupOfResults, OrderBy, ResultContext, SearchResult};
pub use form::{SearchRequest, SearchResults};
pub use index::{INDEXED_WORDS_MAX, SearchKey};
pub(crate) use index::{forget, index};
use place::{Group, GroupKey, Place, Position};

/// Words of a term that are looked for: each costs a scan in every room.
const TERM_WORDS_MAX: usize = 10;
/// Rooms searched by one request: each costs a scan for every word. Whoever has more names some.
const ROOMS_MAX: usize = 500;
/// Rows of words read by one request.
const ROWS_MAX: usize = 20_000;
/// Events read by one request, to judge who may see them; `count` goes no further.
const EVENTS_MAX: usize = 2_000;
/// Results of a page, if the client doesn't say.
const PAGE_DEFAULT: usize = 10;
/// Results of a page at most.
const PAGE_MAX: usize = 50;
/// Events on either side of a result, if the client doesn't say: the specification's number.
const CONTEXT_DEFAULT: usize = 5;
/// Events on either side of a result at most.
const CONTEXT_MAX: usize = 20;
/// Events looked at on either side of a result at most.
const CONTEXT_SCAN_MAX: usize = 100;

/// An event that has all the words.
#[derive(Debug)]
struct Hit {
    place: Place,
    rank: f64,
    room_id: OwnedRoomId,
}

/// One that the requester may see and the filter lets pass.
#[derive(Debug)]
struct Found {
    hit: Hit,
    event_id: OwnedEventId,
    sender: OwnedUserId,
}

/// What the requester may read of what has all the words of the term.
///
/// # Errors
/// `M_INVALID_PARAM` for a `next_batch` that is none of ours.
pub fn search(
    cx: &Cx<'_>,
    requester: &Requester,
    request: &SearchRequest,
    next_batch: Option<&str>,
) -> Result<SearchResults, Stop> {
    let position = next_batch.filter(|text| !text.is_empty()).map(Position::decode).transpose()?;
    let mut search = Search { cx, requester, request, rooms: BTreeMap::new() };
    let terms = terms(&request.search_term);
    let found = search.found(search.hits(&terms)?)?;
    let limit = request.filter.limit_within(PAGE_DEFAULT, PAGE_MAX);
    let wanted = |found: &&Found| position.as_ref().is_none_or(|position| position.precedes(cx, found));
    let page: Vec<&Found> = found.iter().filter(wanted).take(limit).collect();
    let mut results = SearchResults {
        count: u64::try_from(found.len()).unwrap_or(u64::MAX),
        state: request.include_state.then(BTreeMap::new),
        ..SearchResults::default()
    };
    // A full page may be the last one: then the next is empty, and has no token.
    if let Some(last) = page.last().filter(|_| page.len() == limit) {
        let group = position.and_then(|position| position.group);
        results.next_batch = Some(Position { place: last.hit.place, group }.encode());
    }
    for GroupBy { key } in &request.groupings.group_by {
        results.groups.insert(*key, groups(cx, *key, &page, &found));
    }
    for found in page {
        search.tell(found, &terms, &mut results)?;
    }
    Ok(results)
}

/// The different words of a term.
fn terms(search_term: &str) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for word in words(search_term) {
        if terms.len() == TERM_WORDS_MAX {
            break;
        }
        terms.insert(word.folded);
    }
    terms
}

struct Search<'a> {
    cx: &'a Cx<'a>,
    requester: &'a Requester,
    request: &'a SearchRequest,
    /// The rooms in which something was found; `None`: not for this reader.
    rooms: BTreeMap<OwnedRoomId, Option<Reading>>,
}

impl Search<'_> {
    /// Events that have all the words, in order.
    fn hits(&self, terms: &BTreeSet<String>) -> Result<Vec<Hit>, Stop> {
        let mut hits = Vec::new();
        let mut rows_left = ROWS_MAX;
        if terms.is_empty() || self.request.filter.is_shut() {
            return Ok(hits);
        }
        for room_id in self.room_ids()? {
            self.hits_in(&room_id, terms, &mut rows_left, &mut hits)?;
        }
        hits.sort_unstable_by_key(|hit| std::cmp::Reverse(hit.place));
        hits.truncate(EVENTS_MAX);
        Ok(hits)
    }

    fn room_ids(&self) -> Result<Vec<OwnedRoomId>, ReadError> {
        let filter = &self.request.filter;
        if let Some(rooms) = &filter.rooms {
            let rooms: BTreeSet<_> = rooms.iter().filter(|room_id| filter.includes_room(room_id)).take(ROOMS_MAX).collect();
            return Ok(rooms.into_iter().cloned().collect());
        }
        let mut rooms = Vec::new();
        for found in tables::MEMBERSHIPS.scan(self.cx.view, &(self.cx.user(&self.requester.user_id),)) {
            let row = found?.1.value;
            let outside = matches!(row.membership, MembershipState::Invite | MembershipState::Knock);
            if !outside && filter.includes_room(&row.room_id) {
                rooms.push(row.room_id);
            }
            if rooms.len() == ROOMS_MAX {
                break;
            }
        }
        Ok(rooms)
    }

    /// Goes through the rows of all words side by side, newest first, and notes where they meet.
    fn hits_in(
        &self,
        room_id: &RoomId,
        terms: &BTreeSet<String>,
        rows_left: &mut usize,
        hits: &mut Vec<Hit>,
    ) -> Result<(), ReadError> {
        let cx = self.cx;
        let fields = self.request.keys.as_ref().map_or(u8::MAX, |keys| keys.iter().fold(0, |all, key| all | key.bit()));
        let scan = |term: &String| tables::SEARCH_WORDS.scan_back(cx.view, &(index::word_name(cx, room_id, term),));
        let mut scans: Vec<_> = terms.iter().map(scan).collect();
        let mut next = |scan: &mut journal::Scan<'_, (journal::Name, Stamp), SearchWordRow>| {
            while *rows_left > 0 {
                *rows_left -= 1;
                let Some(((_, stamp), row)) = scan.next().transpose()? else { return Ok(None) };
                if row.value.fields & fields != 0 {
                    return Ok(Some((stamp, row.value)));
                }
            }
            Ok::<_, ReadError>(None)
        };
        let mut heads = Vec::new();
        for scan in &mut scans {
            let Some(head) = next(scan)? else { return Ok(()) };
            heads.push(head);
        }
        while let Some(lowest) = heads.iter().map(|(stamp, _)| *stamp).min() {
            for (scan, head) in scans.iter_mut().zip(&mut heads) {
                while head.0 > lowest {
                    let Some(earlier) = next(scan)? else { return Ok(()) };
                    *head = earlier;
                }
            }
            if heads.iter().all(|(stamp, _)| *stamp == lowest) {
                let rank = heads.iter().map(|(_, row)| f64::from(row.count) / f64::from(row.length)).sum();
                let by_rank = self.request.order_by == OrderBy::Rank;
                hits.push(Hit { place: Place::new(by_rank.then_some(rank), lowest), rank, room_id: room_id.to_owned() });
                let (Some(scan), Some(head)) = (scans.first_mut(), heads.first_mut()) else { return Ok(()) };
                let Some(earlier) = next(scan)? else { return Ok(()) };
                *head = earlier;
            }
        }
        Ok(())
    }

    /// Those of the events that the requester may see and the filter lets pass.
    fn found(&mut self, hits: Vec<Hit>) -> Result<Vec<Found>, Stop> {
        let (cx, filter) = (self.cx, &self.request.filter);
        let mut found = Vec::new();
        for hit in hits {
            let Some(reading) = self.reading(&hit.room_id)? else { continue };
            let Some(row) = row_at(cx, reading, hit.place.stamp)? else { continue };
            if reading.passes(cx, filter, &row.pdu)? && reading.shows(cx, hit.place.stamp, &row.pdu)? {
                found.push(Found { hit, event_id: row.pdu.event_id, sender: row.pdu.sender });
            }
        }
        Ok(found)
    }

    fn reading(&mut self, room_id: &OwnedRoomId) -> Result<Option<&Reading>, Stop> {
        if !self.rooms.contains_key(room_id) {
            let reading = match Reading::new(self.cx, self.requester, room_id) {
                Ok(reading) => Some(reading),
                Err(Stop::Reject(_)) => None,
                Err(stop) => return Err(stop),
            };
            self.rooms.insert(room_id.clone(), reading);
        }
        Ok(self.rooms.get(room_id).and_then(Option::as_ref))
    }

    /// Writes a result with all that was asked for around it.
    fn tell(&mut self, found: &Found, terms: &BTreeSet<String>, results: &mut SearchResults) -> Result<(), Stop> {
        let (cx, request, user_id) = (self.cx, self.request, &self.requester.user_id);
        let (room_id, stamp) = (&found.hit.room_id, found.hit.place.stamp);
        let Some(reading) = self.reading(room_id)? else { return Ok(()) };
        let Some(row) = row_at(cx, reading, stamp)? else { return Ok(()) };
        for (_, text) in index::texts(&row.pdu) {
            let written = words(&text).filter(|word| terms.contains(&word.folded)).map(|word| word.written.to_lowercase());
            results.highlights.extend(written);
        }
        let context = match &request.event_context {
            Some(criteria) => Some(context(cx, reading, found, criteria)?),
            None => None,
        };
        let result = reading.render(cx, stamp, &row)?;
        results.results.push(SearchResult { context, rank: found.hit.rank, result });
        if let Some(state) = &mut results.state
            && !state.contains_key(room_id)
        {
            state.insert(room_id.clone(), room_state(cx, user_id, room_id)?);
        }
        Ok(())
    }
}

fn row_at(cx: &Cx<'_>, reading: &Reading, stamp: Stamp) -> Result<Option<TimelineRow>, ReadError> {
    Ok(tables::TIMELINE.get(cx.view, &(reading.viewer.room.name, stamp))?.map(|row| row.value))
}

fn context(cx: &Cx<'_>, reading: &Reading, found: &Found, criteria: &ContextCriteria) -> Result<ResultContext, Stop> {
    let stamp = found.hit.place.stamp;
    let filter = EventFilter::default();
    let limit = |asked: Option<u64>| {
        asked.map_or(CONTEXT_DEFAULT, |asked| usize::try_from(asked).unwrap_or(CONTEXT_MAX)).min(CONTEXT_MAX)
    };
    let around = |direction, from, asked| {
        let (limit, filter) = (limit(asked), &filter);
        Around { from, direction, limit, scan_max: CONTEXT_SCAN_MAX, filter }
    };
    let mut senders = BTreeSet::from([found.sender.clone()]);
    let before = side(cx, reading, &around(Direction::Backward, stamp, criteria.before_limit), &mut senders)?;
    let after = side(cx, reading, &around(Direction::Forward, stamp.next(), criteria.after_limit), &mut senders)?;
    let mut profiles = BTreeMap::new();
    if criteria.include_profile {
        for user_id in senders {
            let member = room::state_at(cx, &found.hit.room_id, &StateEventType::RoomMember, user_id.as_str(), stamp)?;
            profiles.insert(user_id, member.and_then(|pdu| pdu.content_as()).unwrap_or_default());
        }
    }
    Ok(ResultContext {
        end: Token::at(after.last, cx.now()).encode(),
        events_after: after.events,
        events_before: before.events,
        profile_info: criteria.include_profile.then_some(profiles),
        start: Token::at(before.last, cx.now()).encode(),
    })
}

/// The results of a page in groups, the group of the first result first.
fn groups(cx: &Cx<'_>, key: GroupKey, page: &[&Found], all: &[Found]) -> BTreeMap<String, GroupOfResults> {
    let mut groups: BTreeMap<String, GroupOfResults> = BTreeMap::new();
    let mut last: BTreeMap<&str, Place> = BTreeMap::new();
    for found in page {
        let (value, order) = (key.of(found), groups.len());
        let group = groups.entry(value.to_owned()).or_insert_with(|| GroupOfResults { order, ..GroupOfResults::default() });
        group.results.push(found.event_id.clone());
        last.insert(value, found.hit.place);
    }
    for found in all {
        let value = key.of(found);
        let (Some(place), Some(group)) = (last.get(value), groups.get_mut(value)) else { continue };
        if group.next_batch.is_none() && found.hit.place < *place {
            let group_key = Some(Group { key, name: cx.name(value) });
            group.next_batch = Some(Position { place: *place, group: group_key }.encode());
        }
    }
    groups
}
