//! Appending events to a room: choose what they follow, check that the room allows them, sign them, and write all that
//! hangs on them into one draft.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use journal::{Name, ReadError, Seq, Stamp, Timestamp};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId,
    RoomVersionId, UInt, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    state_res::{auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules},
};

use super::{
    Room,
    pdu::{Pdu, Unsigned},
};
use crate::{
    Cx, Draft, Reject, Stop,
    tables::{self, ExtremityRow, MemberRow, RoomRow, SentBy, StateHeadRow},
};

mod guards;
mod lifetime;
mod store;

/// How many extremities one event follows at most; the specification allows 20.
const PREV_EVENTS_MAX: usize = 20;

/// An event to be appended.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Who sends it.
    pub sender: OwnedUserId,
    /// Its type.
    pub event_type: TimelineEventType,
    /// Present for state.
    pub state_key: Option<String>,
    /// Its content.
    pub content: CanonicalJsonObject,
    /// For `m.room.redaction` in room versions up to 10.
    pub redacts: Option<OwnedEventId>,
    /// The device and transaction that sent it.
    pub transaction: Option<SentBy>,
    /// An application service's own time for it; never after the server's, and never what expiry is counted from.
    pub origin_server_ts: Option<Timestamp>,
}

impl NewEvent {
    /// A state event.
    #[must_use]
    pub fn state(sender: &UserId, event_type: StateEventType, state_key: &str, content: CanonicalJsonObject) -> Self {
        Self {
            sender: sender.to_owned(),
            event_type: event_type.to_string().into(),
            state_key: Some(state_key.to_owned()),
            content,
            redacts: None,
            transaction: None,
            origin_server_ts: None,
        }
    }

    /// A message.
    #[must_use]
    pub fn message(sender: &UserId, event_type: TimelineEventType, content: CanonicalJsonObject) -> Self {
        Self {
            sender: sender.to_owned(),
            event_type,
            state_key: None,
            content,
            redacts: None,
            transaction: None,
            origin_server_ts: None,
        }
    }
}

/// A state event as the draft sees it: read from the room (with the row's version) or written by the draft itself.
#[derive(Clone)]
struct Known {
    pdu: Rc<Pdu>,
    stamp: Stamp,
    /// The version of the row as it was read; `None` for what the draft itself wrote.
    read: Option<Seq>,
}

/// A forward extremity, and where its row is.
struct Tip {
    stamp: Stamp,
    event_id: OwnedEventId,
    depth: u64,
    /// Where the id is not its hash.
    reference_hash: Option<String>,
}

/// The extremities on disk.
fn stored_tips(cx: Cx<'_>, room: Name) -> Result<Vec<Tip>, ReadError> {
    let Some(newest) = tables::EXTREMITIES.scan_back(cx.view, &(room,)).next().transpose()? else { return Ok(Vec::new()) };
    let since = newest.1.value.since;
    let tips = tables::EXTREMITIES.scan_from(cx.view, &(room,), &(room, since));
    tips.map(|found| {
        let ((_, stamp), row) = found?;
        let ExtremityRow { event_id, depth, reference_hash, .. } = row.value;
        Ok(Tip { stamp, event_id, depth, reference_hash })
    })
    .collect()
}

/// A room while a draft appends to it: the state includes what the draft has appended.
pub struct RoomDraft<'d, 'a> {
    /// The draft that everything is written into.
    pub draft: &'d mut Draft<'a>,
    /// The room.
    pub room: Room,
    tips: Vec<Tip>,
    /// What was read or written of the state; `None`: known to be absent.
    state: BTreeMap<(StateEventType, String), Option<Known>>,
    /// What the rows that are to be deleted are at, once something has been appended.
    stored_tips: Vec<Stamp>,
    /// The first place where an extremity can be after that.
    since: Stamp,
    head: Option<OwnedEventId>,
    guarded_head: bool,
    guarded: BTreeSet<(StateEventType, String)>,
    /// Members as read (all of them once `members_read`) and as written.
    members_seen: BTreeMap<OwnedUserId, MemberRow>,
    members_read: bool,
    /// What has been asked of policy.
    text_retention_ms: BTreeMap<OwnedUserId, u64>,
    last: Option<Rc<Pdu>>,
}

impl<'d, 'a> RoomDraft<'d, 'a> {
    /// Of a room that exists.
    ///
    /// # Errors
    /// `M_NOT_FOUND` when there is none.
    pub fn open(draft: &'d mut Draft<'a>, room: Room) -> Result<Self, Stop> {
        let cx = draft.cx();
        let mut tips = stored_tips(cx, room.name)?;
        tips.sort_by(|one, other| other.depth.cmp(&one.depth).then_with(|| one.event_id.cmp(&other.event_id)));
        let left = tips.split_off(tips.len().min(PREV_EVENTS_MAX));
        let stored_tips: Vec<Stamp> = tips.iter().map(|tip| tip.stamp).collect();
        // With none left over, whatever comes later comes after the newest that is followed here.
        let since = left.iter().map(|tip| tip.stamp).min().or_else(|| stored_tips.iter().copied().max()).unwrap_or_default();
        Ok(Self {
            draft,
            room,
            tips,
            state: BTreeMap::new(),
            stored_tips,
            since,
            head: None,
            guarded_head: false,
            guarded: BTreeSet::new(),
            members_seen: BTreeMap::new(),
            members_read: false,
            text_retention_ms: BTreeMap::new(),
            last: None,
        })
    }

    /// A room that is made by this draft: `create` is its `m.room.create` event. In room version 12 its id names the room.
    ///
    /// # Errors
    /// `M_UNSUPPORTED_ROOM_VERSION`, or why the create event is not valid.
    pub fn create(
        draft: &'d mut Draft<'a>,
        version: RoomVersionId,
        random_id: OwnedRoomId,
        create: NewEvent,
    ) -> Result<Self, Stop> {
        let cx = draft.cx();
        let rules = version.rules().ok_or_else(|| Reject::UnsupportedRoomVersion(version.to_string()))?;
        let named_after_event = rules.authorization.room_create_event_id_as_room_id;
        let event = Unsigned {
            room_id: (!named_after_event).then_some(&*random_id),
            sender: &create.sender,
            event_type: &create.event_type,
            state_key: Some(""),
            content: create.content,
            redacts: None,
            prev_events: Vec::new(),
            auth_events: Vec::new(),
            depth: 1,
            origin_server_ts: timestamp(cx.now()),
            named: BTreeMap::new(),
        };
        let pdu = Pdu::build(cx.server, &rules, event)?;
        check_state_independent_auth_rules::<&Pdu>(&rules.authorization, &pdu, |_| None)
            .map_err(|reason| Reject::BadJson(format!("no room can begin like this: {reason}").into()))?;
        let room_id = if named_after_event {
            OwnedRoomId::try_from(pdu.event_id.as_str().replacen('$', "!", 1))
                .map_err(|_| Reject::bad_json("this room cannot be given an id"))?
        } else {
            random_id
        };
        let name = cx.room(&room_id);
        // Random ids don't meet; a caller that reuses one is told so instead of conflicting for ever.
        if tables::ROOMS.exists(cx.view, &(name,))? {
            return Err(Reject::RoomInUse("this room id is taken".into()).into());
        }
        tables::ROOMS.require(&mut draft.batch, &(name,), None);
        tables::ROOMS.put(&mut draft.batch, &(name,), &RoomRow { room_id: room_id.clone(), version: version.clone() });
        let room = Room { room_id, version, rules, name };
        let mut this = Self {
            draft,
            room,
            tips: Vec::new(),
            state: BTreeMap::new(),
            stored_tips: Vec::new(),
            since: Stamp::ZERO,
            head: None,
            guarded_head: true,
            guarded: BTreeSet::new(),
            members_seen: BTreeMap::new(),
            members_read: true,
            text_retention_ms: BTreeMap::new(),
            last: None,
        };
        this.store(pdu, None)?;
        Ok(this)
    }

    /// What it is decided from.
    #[must_use]
    pub const fn cx(&self) -> Cx<'a> {
        self.draft.cx()
    }

    /// The state event at a key, with what this draft has appended.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub fn state(&mut self, event_type: &StateEventType, state_key: &str) -> Result<Option<Rc<Pdu>>, ReadError> {
        Ok(self.known(event_type, state_key)?.map(|known| known.pdu))
    }

    /// The event appended last.
    #[must_use]
    pub(super) fn last_appended(&self) -> Option<Pdu> {
        self.last.as_deref().cloned()
    }

    /// Appends an event if the room allows it, and returns its id.
    ///
    /// # Errors
    /// `M_FORBIDDEN` when the room's rules do not allow it, `M_TOO_LARGE` or `M_BAD_JSON` when it is not a valid event.
    pub fn append(&mut self, event: NewEvent) -> Result<OwnedEventId, Stop> {
        self.guard_newcomer(&event)?;
        let authorization = self.room.rules.authorization.clone();
        let content = super::pdu::raw_object(&event.content);
        let wanted =
            auth_types_for_event(&event.event_type, &event.sender, event.state_key.as_deref(), &content, &authorization)
                .map_err(|reason| Reject::BadJson(format!("this is not a valid event: {reason}").into()))?;
        let mut auth: Vec<Rc<Pdu>> = Vec::new();
        for (event_type, state_key) in &wanted {
            auth.extend(self.guard(event_type, state_key, event.state_key.is_some())?.map(|known| known.pdu));
        }
        // The create event allows every event; from version 12 on the room's id implies it.
        let create = self.known(&StateEventType::RoomCreate, "")?.map(|known| known.pdu);
        let pdu = Pdu::build(
            self.cx().server,
            &self.room.rules,
            Unsigned {
                room_id: Some(&self.room.room_id),
                sender: &event.sender,
                event_type: &event.event_type,
                state_key: event.state_key.as_deref(),
                content: event.content,
                redacts: event.redacts.as_deref(),
                prev_events: self.tips.iter().map(|tip| tip.event_id.clone()).collect(),
                auth_events: auth.iter().map(|pdu| pdu.event_id.clone()).collect(),
                depth: self.tips.iter().map(|tip| tip.depth).max().unwrap_or(0).saturating_add(1),
                origin_server_ts: timestamp(event.origin_server_ts.map_or(self.cx().now(), |ts| ts.min(self.cx().now()))),
                named: self.reference_hashes(&auth),
            },
        )?;
        let by_id = |event_id: &EventId| {
            auth.iter().chain(&create).find(|pdu| pdu.event_id == event_id || named_after(pdu, event_id)).map(|pdu| &**pdu)
        };
        check_state_independent_auth_rules(&authorization, &pdu, by_id).map_err(|reason| refused(&reason))?;
        let by_key = |event_type: &StateEventType, state_key: &str| {
            let event_type = TimelineEventType::from(event_type.to_string());
            auth.iter().chain(&create).find(|pdu| pdu.is_state(&event_type, state_key)).map(|pdu| &**pdu)
        };
        check_state_dependent_auth_rules(&authorization, &pdu, by_key).map_err(|reason| refused(&reason))?;
        let event_id = pdu.event_id.clone();
        self.store(pdu, event.transaction)?;
        Ok(event_id)
    }

    /// The reference hashes of what an event follows and is allowed by, in room versions that ask for them.
    fn reference_hashes(&self, auth: &[Rc<Pdu>]) -> BTreeMap<OwnedEventId, String> {
        let tips = self.tips.iter().filter_map(|tip| Some((tip.event_id.clone(), tip.reference_hash.clone()?)));
        let auth = auth.iter().filter_map(|pdu| Some((pdu.event_id.clone(), pdu.references.as_ref()?.own.clone())));
        tips.chain(auth).collect()
    }

    /// The event with which somebody leaves a room that is about to be erased: built like any other, and stored nowhere in it.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(crate) fn farewell(&self, user_id: &UserId) -> Result<Pdu, Stop> {
        let leave = CanonicalJsonValue::String(MembershipState::Leave.to_string());
        let event = Unsigned {
            room_id: Some(&self.room.room_id),
            sender: user_id,
            event_type: &TimelineEventType::RoomMember,
            state_key: Some(user_id.as_str()),
            content: CanonicalJsonObject::from([("membership".to_owned(), leave)]),
            redacts: None,
            prev_events: self.tips.iter().map(|tip| tip.event_id.clone()).collect(),
            auth_events: Vec::new(),
            depth: self.tips.iter().map(|tip| tip.depth).max().unwrap_or(0).saturating_add(1),
            origin_server_ts: timestamp(self.cx().now()),
            named: self.reference_hashes(&[]),
        };
        Ok(Pdu::build(self.cx().server, &self.room.rules, event)?)
    }

    /// Writes what the room follows now. Call it when everything has been appended.
    pub fn finish(self) {
        let Self { draft, room, tips, stored_tips, since, head, guarded_head, last, .. } = self;
        if last.is_some() {
            for stamp in stored_tips {
                tables::EXTREMITIES.delete(&mut draft.batch, &(room.name, stamp));
            }
            for Tip { stamp, event_id, depth, reference_hash } in tips {
                let row = ExtremityRow { event_id, depth, since, reference_hash };
                tables::EXTREMITIES.put(&mut draft.batch, &(room.name, stamp), &row);
            }
        }
        if let Some(event_id) = head {
            debug_assert!(guarded_head, "a state change guards the head");
            tables::STATE_HEADS.put(&mut draft.batch, &(room.name,), &StateHeadRow { event_id });
        }
    }

    fn known(&mut self, event_type: &StateEventType, state_key: &str) -> Result<Option<Known>, ReadError> {
        let key = (event_type.clone(), state_key.to_owned());
        if let Some(known) = self.state.get(&key) {
            return Ok(known.clone());
        }
        let row = tables::STATE.get(self.cx().view, &self.state_key(event_type, state_key))?;
        let known = row.map(|row| Known {
            stamp: row.value.stamp(row.version),
            pdu: Rc::new(row.value.pdu),
            read: Some(row.version),
        });
        self.state.insert(key, known.clone());
        Ok(known)
    }

    fn state_key(&self, event_type: &StateEventType, state_key: &str) -> (Name, Name, Name) {
        let cx = self.cx();
        (self.room.name, cx.name(&event_type.to_string()), cx.name(state_key))
    }
}

/// Whether `event_id` is the create event that a version 12 room is named after.
fn named_after(pdu: &Pdu, event_id: &EventId) -> bool {
    pdu.event_type == TimelineEventType::RoomCreate && pdu.event_id == event_id
}

fn refused(reason: &str) -> Reject {
    Reject::Forbidden(format!("you may not do this in this room: {reason}").into())
}

fn timestamp(now: Timestamp) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::new_saturating(now.as_ms()))
}
