//! Writing an event that the room has allowed: the rows that hold it, find it, count it and tell of it.

use std::collections::BTreeSet;
use std::rc::Rc;

use journal::{Class, Stamp, Timestamp};
use ruma::{
    OwnedRoomId, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{Known, Pdu, RoomDraft, Tip};
use crate::{
    Reject, Stop, account,
    changes::Change,
    keys::backup,
    media, outbox,
    platform::webhooks,
    push::{self, Occasion, Recipient},
    room::{relation_of, stripped},
    tables::{self, EventRow, MemberRow, MembershipRow, RelationRow, SentBy, StateEventRow, StateRow, TimelineRow},
    timeline::search,
};

/// The content of `m.room.member`, as far as the server indexes it.
#[derive(Deserialize)]
struct MemberContent {
    membership: MembershipState,
    displayname: Option<String>,
    avatar_url: Option<String>,
}

/// The state that somebody who is invited or knocks may see
/// ([spec v1.19, § Stripped state](https://spec.matrix.org/v1.19/client-server-api/#stripped-state)).
const STRIPPED_STATE: [StateEventType; 8] = [
    StateEventType::RoomCreate,
    StateEventType::RoomJoinRules,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
    StateEventType::RoomHistoryVisibility,
];

impl RoomDraft<'_, '_> {
    /// Writes an allowed event.
    pub(super) fn store(&mut self, pdu: Pdu, transaction: Option<SentBy>) -> Result<(), Stop> {
        let cx = self.cx();
        let stamp = self.draft.next_stamp();
        let relation = relation_of(&pdu);
        let lifetime_ms = self.lifetime_ms(&pdu)?;
        let (class, expires) = self.end(&pdu, relation.as_ref(), lifetime_ms)?;
        let replaced = self.replaced(&pdu)?;
        let row = TimelineRow {
            transaction,
            redacted_because: None,
            replaces: replaced.as_ref().map(|known| Box::new((*known.pdu).clone())),
            received: cx.now(),
            ends: Some(expires).filter(|ends| *ends != cx.text_expiry()),
            pdu,
        };
        let batch = &mut self.draft.batch;
        let room = self.room.name;
        tables::TIMELINE.put(batch, &(room, stamp), &row, class, expires);
        let found = EventRow { room_id: self.room.room_id.clone(), index: stamp.index };
        let event = (cx.event(&row.pdu.event_id),);
        // The same words from the same sender in the same millisecond are the same event by its hash: one of the two is
        // decided again, and then follows the other.
        tables::EVENTS.require(batch, &event, None);
        tables::EVENTS.put(batch, &event, &found, class, expires);
        if let Some(relation) = relation {
            let key = (room, cx.event(&relation.event_id), stamp);
            let child = RelationRow {
                event_id: row.pdu.event_id.clone(),
                rel_type: relation.rel_type,
                event_type: row.pdu.event_type.to_string(),
                sender: row.pdu.sender.clone(),
                key: relation.key,
            };
            tables::RELATIONS.put(batch, &key, &child, class, expires);
        }
        search::index(batch, &cx, (&self.room.room_id, stamp), &row.pdu, class, expires);
        let pdu = Rc::new(row.pdu);
        let reference_hash = pdu.references.as_ref().map(|references| references.own.clone());
        self.tips = vec![Tip { stamp, event_id: pdu.event_id.clone(), depth: pdu.depth, reference_hash }];
        self.last = Some(Rc::clone(&pdu));
        if pdu.state_key.is_some() {
            self.store_state(&pdu, stamp, replaced, lifetime_ms)?;
        }
        let members = self.members()?;
        self.tell(&pdu, &members);
        if pdu.event_type == TimelineEventType::RoomEncrypted
            && let Some(session_id) = pdu.content_field::<String>("session_id")
        {
            backup::ciphertext_appended(self.draft, &self.room.room_id, &session_id, expires)?;
        }
        outbox::event_appended(self.draft, &self.room.room_id, &pdu, &members)?;
        webhooks::message_appended(self.draft, &pdu, &members, (class, expires))?;
        self.notify(&pdu, &members, stamp, (class, expires))
    }

    /// Judges the event by the push rules of everybody in the room and of the user it invites.
    fn notify(
        &mut self,
        pdu: &Pdu,
        members: &[MemberRow],
        stamp: Stamp,
        (class, expires): (Class, Timestamp),
    ) -> Result<(), Stop> {
        let invited = |member: &MemberRow| {
            member.membership == MembershipState::Invite && pdu.state_key.as_deref() == Some(member.user_id.as_str())
        };
        let joined = members.iter().filter(|member| member.membership == MembershipState::Join);
        let recipients: Vec<_> = joined
            .clone()
            .chain(members.iter().filter(|member| invited(member)))
            .map(|member| Recipient { user_id: &member.user_id, display_name: member.display_name.as_deref() })
            .collect();
        let occasion = Occasion {
            room_id: &self.room.room_id,
            joined_count: u64::try_from(joined.count()).unwrap_or(u64::MAX),
            pdu,
            stamp,
            class,
            expires,
        };
        push::notify_members(self.draft, &occasion, &recipients)?;
        Ok(())
    }

    fn replaced(&mut self, pdu: &Pdu) -> Result<Option<Known>, Stop> {
        let Some(state_key) = pdu.state_key.clone() else { return Ok(None) };
        Ok(self.known(&StateEventType::from(pdu.event_type.to_string()), &state_key)?)
    }

    fn store_state(&mut self, pdu: &Rc<Pdu>, stamp: Stamp, replaced: Option<Known>, lifetime_ms: u64) -> Result<(), Stop> {
        let cx = self.cx();
        let event_type = StateEventType::from(pdu.event_type.to_string());
        let state_key = pdu.state_key.clone().unwrap_or_default();
        let key = self.state_key(&event_type, &state_key);
        self.guard_head()?;
        let pictures = [replaced.as_ref().and_then(|old| media::picture_of(&old.pdu)), media::picture_of(pdu)];
        media::picture_changed(self.draft, self.room.name, &pdu.sender, pictures[0].as_deref(), pictures[1].as_deref())?;
        let batch = &mut self.draft.batch;
        if let Some(old) = replaced {
            let history = (key.0, key.1, key.2, old.stamp);
            let (class, expires) = (cx.text_class_for(lifetime_ms), cx.now().plus_ms(lifetime_ms));
            tables::STATE_HISTORY.put(batch, &history, &old.pdu, class, expires);
            tables::STATE_EVENTS.delete(batch, &(cx.event(&old.pdu.event_id),));
        }
        tables::STATE.put(batch, &key, &StateRow { pdu: (**pdu).clone(), index: stamp.index, rewritten: None });
        let found = StateEventRow { room_id: self.room.room_id.clone(), event_type: key.1, state_key: key.2 };
        tables::STATE_EVENTS.put(batch, &(cx.event(&pdu.event_id),), &found);
        self.head = Some(pdu.event_id.clone());
        let known = Known { pdu: Rc::clone(pdu), stamp, read: None };
        self.state.insert((event_type, state_key), Some(known));
        if pdu.event_type == TimelineEventType::RoomMember {
            self.store_member(pdu, stamp)?;
        }
        Ok(())
    }

    fn store_member(&mut self, pdu: &Pdu, stamp: Stamp) -> Result<(), Stop> {
        let cx = self.cx();
        let invalid = || Reject::bad_json("this is not a valid member event");
        let user_id: OwnedUserId =
            pdu.state_key.as_deref().and_then(|key| UserId::parse(key).ok()).ok_or_else(invalid)?.clone();
        let content: MemberContent = pdu.content_as().ok_or_else(invalid)?;
        let user = cx.user(&user_id);
        let member = MemberRow {
            user_id: user_id.clone(),
            membership: content.membership.clone(),
            index: stamp.index,
            display_name: content.displayname,
            avatar_url: content.avatar_url,
        };
        let stripped_state = match content.membership {
            MembershipState::Invite | MembershipState::Knock => self.stripped_state(pdu)?,
            _ => Vec::new(),
        };
        let was = self.members_seen.insert(user_id.clone(), member.clone());
        let before = match was {
            Some(row) => Some(row.membership),
            None => tables::MEMBERS.get(cx.view, &(self.room.name, user))?.map(|row| row.value.membership),
        };
        let batch = &mut self.draft.batch;
        tables::MEMBERS.put(batch, &(self.room.name, user), &member);
        let membership = MembershipRow {
            room_id: self.room.room_id.clone(),
            membership: content.membership.clone(),
            index: stamp.index,
            sender: pdu.sender.clone(),
            stripped_state,
        };
        tables::MEMBERSHIPS.put(batch, &(user, self.room.name), &membership);
        if before.as_ref() != Some(&content.membership) {
            self.tell_devices(&user_id, &content.membership)?;
            if content.membership == MembershipState::Join {
                self.carry_settings(&user_id)?;
            }
        }
        Ok(())
    }

    /// Who comes into a room that replaces another one takes along what they had set for that one.
    fn carry_settings(&mut self, user_id: &UserId) -> Result<(), Stop> {
        #[derive(Deserialize)]
        struct Predecessor {
            room_id: OwnedRoomId,
        }
        let create = self.state(&StateEventType::RoomCreate, "")?;
        if let Some(predecessor) = create.and_then(|pdu| pdu.content_field::<Predecessor>("predecessor")) {
            account::carry_over(self.draft, user_id, &predecessor.room_id, &self.room.room_id)?;
        }
        Ok(())
    }

    /// Who comes to share a room, or stops sharing one, has to learn of each other's devices. Invited users count:
    /// messages are encrypted to them.
    fn tell_devices(&mut self, user_id: &UserId, membership: &MembershipState) -> Result<(), Stop> {
        if *membership == MembershipState::Knock {
            return Ok(());
        }
        let mut others: BTreeSet<OwnedUserId> = self.present()?.into_iter().collect();
        others.remove(user_id);
        outbox::device_list_changed(self.draft, user_id, &others);
        let newcomer = BTreeSet::from([user_id.to_owned()]);
        for other in others {
            outbox::device_list_changed(self.draft, &other, &newcomer);
            self.draft.tell(&other, Change::DeviceList { user_id: user_id.to_owned() });
            self.draft.tell(user_id, Change::DeviceList { user_id: other });
        }
        Ok(())
    }

    /// Everybody who is joined or invited, with what the draft has written.
    pub(crate) fn present(&mut self) -> Result<Vec<OwnedUserId>, Stop> {
        let present = |membership: &MembershipState| matches!(membership, MembershipState::Join | MembershipState::Invite);
        Ok(self.members()?.into_iter().filter(|row| present(&row.membership)).map(|row| row.user_id).collect())
    }

    /// All members, with what the draft has written.
    pub(crate) fn members(&mut self) -> Result<Vec<MemberRow>, Stop> {
        let cx = self.cx();
        if !self.members_read {
            for found in tables::MEMBERS.scan(cx.view, &(self.room.name,)) {
                let row = found?.1.value;
                self.members_seen.entry(row.user_id.clone()).or_insert(row);
            }
            self.members_read = true;
        }
        Ok(self.members_seen.values().cloned().collect())
    }

    fn tell(&mut self, pdu: &Pdu, members: &[MemberRow]) {
        let change = Change::Room { room_id: self.room.room_id.clone() };
        for member in members {
            let target =
                pdu.event_type == TimelineEventType::RoomMember && pdu.state_key.as_deref() == Some(member.user_id.as_str());
            if target || member.membership == MembershipState::Join {
                self.draft.tell(&member.user_id, change.clone());
            }
        }
    }

    fn stripped_state(&mut self, member: &Pdu) -> Result<Vec<Box<serde_json::value::RawValue>>, Stop> {
        let mut state = Vec::new();
        for event_type in STRIPPED_STATE {
            state.extend(self.state(&event_type, "")?.map(|pdu| stripped(&pdu)));
        }
        // Who knocks is both.
        if member.state_key.as_deref() != Some(member.sender.as_str()) {
            state.extend(self.state(&StateEventType::RoomMember, member.sender.as_str())?.map(|pdu| stripped(&pdu)));
        }
        state.push(stripped(member));
        Ok(state)
    }
}
